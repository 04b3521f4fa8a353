//! Documents, cursors, tokens and doubts in the store.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use crate::document::{ChangeHash, Document};
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

/// What the store says of a document beside what it holds.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its newest changes, sorted; none, if that is not known.
    pub heads: Vec<ChangeHash>,
    /// Under which actor this phone writes into it.
    pub actor: ActorId,
    /// When the server last acknowledged everything of it, ms UTC.
    pub synced_ms: Option<i64>,
    /// Bytes of its snapshot and of the changes behind it.
    pub bytes: (u64, u64),
}

/// The fewest bytes of changes that are folded into a snapshot.
const TAIL_MIN: u64 = 8 * 1024;

fn damaged(id: DocumentId, what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("document {id}: {what}"))
}

/// What is known of a document without reading it.
pub fn standing(conn: &Connection, id: DocumentId) -> Result<Option<Standing>, StoreError> {
    type Row = (Option<Vec<u8>>, Vec<u8>, Option<i64>, i64, i64);
    let row: Option<Row> = conn
        .prepare_cached("SELECT heads, actor, synced_ms, snapshot_bytes, tail_bytes FROM documents WHERE id = ?1")?
        .query_row([id.to_string()], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))
        .optional()?;
    let Some((heads, actor, synced_ms, snapshot, tail)) = row else { return Ok(None) };
    let actor = <[u8; 16]>::try_from(actor).map(ActorId).map_err(|_| damaged(id, "actor"))?;
    let heads = ChangeHash::split(&heads.unwrap_or_default());
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Some(Standing { heads, actor, synced_ms, bytes: (count(snapshot), count(tail)) }))
}

/// The snapshot of a document and the changes behind it, one after another.
fn stored_bytes(conn: &Connection, id: DocumentId) -> Result<Vec<u8>, StoreError> {
    let key = id.to_string();
    let mut bytes: Vec<u8> = conn
        .prepare_cached("SELECT bytes FROM snapshots WHERE document = ?1")?
        .query_row([&key], |r| r.get(0))
        .optional()?
        .unwrap_or_default();
    let mut tail = conn.prepare_cached("SELECT bytes FROM tails WHERE document = ?1 ORDER BY at")?;
    let mut rows = tail.query([&key])?;
    while let Some(row) = rows.next()? {
        bytes.extend_from_slice(row.get_ref(0)?.as_blob().map_err(|e| damaged(id, e))?);
    }
    Ok(bytes)
}

/// Reads a document.
pub fn load(conn: &Connection, id: DocumentId) -> Result<Option<StoredDocument>, StoreError> {
    let Some(standing) = standing(conn, id)? else { return Ok(None) };
    read(conn, id, &standing).map(Some)
}

/// Reads a document of which it is known how it stands.
pub fn read(conn: &Connection, id: DocumentId, standing: &Standing) -> Result<StoredDocument, StoreError> {
    let document = Document::load(&stored_bytes(conn, id)?).map_err(|e| damaged(id, e))?;
    if !standing.heads.is_empty() && document.heads() != standing.heads {
        return Err(damaged(id, "a change is missing"));
    }
    Ok(StoredDocument { document, actor: standing.actor, synced_ms: standing.synced_ms })
}

/// Writes a document and its row in the list. Of a document that the store has, only what it lacks is written; once there is as much
/// of that as there is of the snapshot, all of it becomes a new snapshot: so an edit costs what it says, and reading never much more than
/// the file. Gives how many bytes it takes now.
pub fn save(tx: &Transaction<'_>, document: &Document, actor: ActorId) -> Result<u64, StoreError> {
    let meta = document.meta();
    let id = meta.id.to_string();
    let stored = standing(tx, meta.id)?;
    // Heads that are not known fit nothing: then it is written whole.
    let follows = |since: &[ChangeHash]| match &stored {
        Some(stored) => !since.is_empty() && stored.heads == since,
        None => since.is_empty(),
    };
    let lacking = document.unsaved().filter(|u| follows(&u.since)).map(|u| u.changes.as_slice());
    let (snapshot, tail) = stored.as_ref().map_or((0, 0), |s| s.bytes);
    let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (snapshot, tail) = match lacking {
        Some(changes) if tail + size(changes) <= snapshot.max(TAIL_MIN) => {
            if !changes.is_empty() {
                tx.prepare_cached("INSERT INTO tails (document, at, bytes) VALUES (?1, ?2, ?3)")?.execute((
                    &id,
                    i64::try_from(tail).unwrap_or(i64::MAX),
                    changes,
                ))?;
            }
            (snapshot, tail + size(changes))
        }
        _ => {
            let bytes = document.save();
            tx.prepare_cached("DELETE FROM tails WHERE document = ?1")?.execute([&id])?;
            tx.prepare_cached(
                "INSERT INTO snapshots (document, bytes) VALUES (?1, ?2) ON CONFLICT (document) DO UPDATE SET bytes = ?2",
            )?
            .execute((&id, &bytes))?;
            (size(&bytes), 0)
        }
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    tx.prepare_cached(
        "INSERT INTO documents (id, kind, community, actor, heads, snapshot_bytes, tail_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
         ON CONFLICT (id) DO UPDATE SET actor = ?4, heads = ?5, snapshot_bytes = ?6, tail_bytes = ?7",
    )?
    .execute((
        &id,
        meta.kind.as_str(),
        meta.community.as_str(),
        actor.0,
        ChangeHash::join(&document.heads()),
        number(snapshot),
        number(tail),
    ))?;
    super::list::note(tx, document)?;
    super::thumbnails::note(tx, document)?;
    Ok(snapshot + tail)
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

/// Remembers what a document is that is not here: something of it is to be sent.
pub fn remember(
    tx: &Transaction<'_>,
    id: DocumentId,
    kind: DocumentKind,
    community: &AreaCode,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO forgotten (document, kind, community) VALUES (?1, ?2, ?3)")?
        .execute((id.to_string(), kind.as_str(), community.as_str()))?;
    Ok(())
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
    if standing(tx, id)?.is_none() {
        return Ok(false);
    }
    let set = "INSERT INTO damaged (document, saved, found_ms) VALUES (?1, ?2, ?3)";
    tx.execute(set, (id.to_string(), stored_bytes(tx, id)?, now_ms))?;
    // What takes its place is written whole.
    tx.execute("UPDATE documents SET heads = NULL WHERE id = ?1", [id.to_string()])?;
    Ok(true)
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
    tx.execute("DELETE FROM pictures WHERE document = ?1", [id.to_string()])?;
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
