//! Documents, cursors, tokens and doubts in the store.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use crate::document::Document;
use crate::ids::{ActorId, AreaCode, DocumentId};
use crate::shape::DocumentKind;

/// A document with what the store knows beside it.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    /// The document.
    pub document: Document,
    /// Under which actor this phone writes into it.
    pub actor: ActorId,
    /// When the server last acknowledged everything of it, ms UTC.
    pub synced_ms: Option<i64>,
}

/// How far a community was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorRow {
    /// The community.
    pub community: String,
    /// The position.
    pub position: i64,
    /// While whole documents are being received.
    pub backfill: Option<String>,
    /// Under which scope.
    pub scope: u64,
}

/// Reads a document.
pub fn load(conn: &Connection, id: DocumentId) -> Result<Option<StoredDocument>, StoreError> {
    let row: Option<(Vec<u8>, Vec<u8>, Option<i64>)> = conn
        .prepare_cached("SELECT saved, actor, synced_ms FROM documents WHERE id = ?1")?
        .query_row([id.to_string()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let Some((saved, actor, synced_ms)) = row else { return Ok(None) };
    let damaged = |what: String| StoreError::Damaged(format!("document {id}: {what}"));
    let document = Document::load(&saved).map_err(|e| damaged(e.to_string()))?;
    let actor = <[u8; 16]>::try_from(actor).map(ActorId).map_err(|_| damaged("actor".into()))?;
    Ok(Some(StoredDocument { document, actor, synced_ms }))
}

/// Writes a document and its row in the list.
pub fn save(tx: &Transaction<'_>, document: &Document, actor: ActorId) -> Result<(), StoreError> {
    let meta = document.meta();
    tx.prepare_cached(
        "INSERT INTO documents (id, kind, community, saved, actor) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (id) DO UPDATE SET saved = ?4, actor = ?5",
    )?
    .execute((meta.id.to_string(), meta.kind.as_str(), meta.community.as_str(), document.save(), actor.0))?;
    super::list::put(tx, &super::list::row_of(document))
}

/// Kind and community of a document that is here, or was while something of it is unsent; the document itself is not read.
pub fn envelope(conn: &Connection, id: DocumentId) -> Result<Option<(DocumentKind, AreaCode)>, StoreError> {
    let row: Option<(String, String)> = conn
        .prepare_cached(
            "SELECT kind, community FROM documents WHERE id = ?1 \
             UNION ALL SELECT kind, community FROM forgotten WHERE document = ?1 LIMIT 1",
        )?
        .query_row([id.to_string()], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    Ok(row.and_then(|(kind, community)| Some((DocumentKind::parse(&kind)?, AreaCode::new(community).ok()?))))
}

/// Reads a document that may have become unreadable: `None` then too.
pub fn load_readable(conn: &Connection, id: DocumentId) -> Result<Option<StoredDocument>, StoreError> {
    match load(conn, id) {
        Err(StoreError::Damaged(_)) => Ok(None),
        other => other,
    }
}

/// Keeps a record that cannot be read as it was found, before another takes its place. Gives whether there was one.
pub fn set_aside(tx: &Transaction<'_>, id: DocumentId, now_ms: i64) -> Result<bool, StoreError> {
    let set = "INSERT INTO damaged (document, saved, found_ms) SELECT id, saved, ?2 FROM documents WHERE id = ?1";
    Ok(tx.execute(set, (id.to_string(), now_ms))? > 0)
}

/// Forgets a document; its unsent changes stay in the outbox and can still be sent.
pub fn forget(tx: &Transaction<'_>, id: DocumentId) -> Result<(), StoreError> {
    for sql in [
        "INSERT OR REPLACE INTO forgotten (document, kind, community) SELECT id, kind, community FROM documents \
         WHERE id = ?1 AND EXISTS (SELECT 1 FROM outbox WHERE document = ?1)",
        "DELETE FROM documents WHERE id = ?1",
        "DELETE FROM list WHERE document = ?1",
        "DELETE FROM doubts WHERE document = ?1",
    ] {
        tx.execute(sql, [id.to_string()])?;
    }
    Ok(())
}

/// Forgets a document for good, also where it was kept because it could not be read. Its unsent changes and refused words stay.
pub fn purge(tx: &Transaction<'_>, id: DocumentId) -> Result<(), StoreError> {
    forget(tx, id)?;
    tx.execute("DELETE FROM damaged WHERE document = ?1", [id.to_string()])?;
    Ok(())
}

/// The documents of a community.
pub fn ids_of(conn: &Connection, community: &AreaCode) -> Result<Vec<DocumentId>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT id FROM documents WHERE community = ?1 ORDER BY id")?;
    let rows = statement.query_map([community.as_str()], |r| r.get::<_, String>(0))?;
    let ids: Vec<String> = rows.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
}

/// Drops what is still known of forgotten documents of which nothing is unsent any more.
pub fn forget_wholly(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM forgotten WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.document = forgotten.document)",
    )?
    .execute([])?;
    Ok(())
}

/// Notes that the server has acknowledged all that this phone has of a document.
pub fn mark_synced(tx: &Transaction<'_>, id: DocumentId, now_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE documents SET synced_ms = ?2 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE document = ?1)",
    )?
    .execute((id.to_string(), now_ms))?;
    Ok(())
}

/// The ids of all documents.
pub fn ids(conn: &Connection) -> Result<Vec<DocumentId>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT id FROM documents ORDER BY id")?;
    let rows = statement.query_map([], |r| r.get::<_, String>(0))?;
    let ids: Vec<String> = rows.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
}

/// All cursors.
pub fn cursors(conn: &Connection) -> Result<Vec<CursorRow>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT community, position, backfill, scope FROM cursors ORDER BY community")?;
    let rows = statement.query_map([], |r| {
        let scope: i64 = r.get(3)?;
        Ok(CursorRow {
            community: r.get(0)?,
            position: r.get(1)?,
            backfill: r.get(2)?,
            scope: u64::try_from(scope).unwrap_or(0),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Replaces all cursors.
pub fn set_cursors(tx: &Transaction<'_>, cursors: &[CursorRow]) -> Result<(), StoreError> {
    tx.execute("DELETE FROM cursors", [])?;
    for c in cursors {
        tx.prepare_cached("INSERT INTO cursors (community, position, backfill, scope) VALUES (?1, ?2, ?3, ?4)")?
            .execute((&c.community, c.position, &c.backfill, i64::try_from(c.scope).unwrap_or(0)))?;
    }
    Ok(())
}

/// Puts a document in doubt.
pub fn doubt(tx: &Transaction<'_>, id: DocumentId) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO doubts (document) VALUES (?1)")?.execute([id.to_string()])?;
    Ok(())
}

/// Settles doubts.
pub fn settle(tx: &Transaction<'_>, ids: &[DocumentId]) -> Result<(), StoreError> {
    for id in ids {
        tx.prepare_cached("DELETE FROM doubts WHERE document = ?1")?.execute([id.to_string()])?;
    }
    Ok(())
}

/// Documents in doubt.
pub fn doubts(conn: &Connection, limit: usize) -> Result<Vec<DocumentId>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT document FROM doubts ORDER BY document LIMIT ?1")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |r| r.get::<_, String>(0))?;
    let ids: Vec<String> = rows.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
}

/// Keeps a time token; those that no unsent change names are dropped.
pub fn put_token(tx: &Transaction<'_>, issued_ms: i64, bytes: &[u8]) -> Result<(), StoreError> {
    tx.execute("INSERT OR IGNORE INTO tokens (issued_ms, bytes) VALUES (?1, ?2)", (issued_ms, bytes))?;
    tx.execute(
        "DELETE FROM tokens WHERE issued_ms < ?1 AND NOT EXISTS \
         (SELECT 1 FROM outbox WHERE json_extract(outbox.at, '$.anchor.token_ms') = tokens.issued_ms)",
        [issued_ms],
    )?;
    Ok(())
}

/// The token issued at this time.
pub fn token(conn: &Connection, issued_ms: i64) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(conn
        .prepare_cached("SELECT bytes FROM tokens WHERE issued_ms = ?1")?
        .query_row([issued_ms], |r| r.get(0))
        .optional()?)
}
