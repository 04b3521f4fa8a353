//! The outbox: what this phone has made and nobody has acknowledged; and what was refused, with its words.

use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

use super::{StoreError, documents};
use crate::document::{ChangeHash, RawChange};
use crate::error::RefusalCode;
use crate::ids::{ActorId, AreaCode, DocumentId, UserId};
use crate::shape::DocumentKind;
use crate::time::TimeClaim;

/// One unsent change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The order in which it was made.
    pub ordinal: i64,
    /// Which document.
    pub document: DocumentId,
    /// Who made it: a phone that is handed on keeps people apart.
    pub author: UserId,
    /// Its identity.
    pub hash: ChangeHash,
    /// Under which actor.
    pub actor: ActorId,
    /// When.
    pub at: TimeClaim,
    /// The change.
    pub bytes: Vec<u8>,
}

/// A change that the server refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedChange {
    /// Its identity.
    pub hash: ChangeHash,
    /// Which document.
    pub document: DocumentId,
    /// Why: a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// What the user had written, to read or to use again.
    pub words: String,
    /// When the phone learned of it, ms UTC.
    pub refused_ms: i64,
    /// What people at the hall decided about it; none while it waits.
    pub decision: Option<RefusedDecision>,
}

/// What became of a refused change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDecision {
    /// True: it is in the document. False: it was dismissed.
    pub accepted: bool,
    /// What people call who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, ms UTC of the server.
    pub decided_ms: i64,
}

/// Adds a change at the end.
pub fn push(
    tx: &Transaction<'_>,
    document: DocumentId,
    author: UserId,
    change: &RawChange,
    at: &TimeClaim,
) -> Result<(), StoreError> {
    let at = serde_json::to_string(at).map_err(|e| StoreError::Sql(e.to_string()))?;
    tx.prepare_cached(
        "INSERT OR IGNORE INTO outbox (document, author, hash, actor, at, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((document.to_string(), author.to_string(), change.hash.0, change.actor.0, at, &change.bytes))?;
    Ok(())
}

/// Unsent changes behind an ordinal, in order.
pub fn after(conn: &Connection, ordinal: i64, limit: i64) -> Result<Vec<OutboxRow>, StoreError> {
    read(conn, "ordinal > ?1 ORDER BY ordinal LIMIT ?2", (ordinal, limit))
}

/// Unsent changes of a document, in order.
pub fn of_document(conn: &Connection, id: DocumentId) -> Result<Vec<OutboxRow>, StoreError> {
    read(conn, "document = ?1 ORDER BY ordinal", [id.to_string()])
}

fn read(conn: &Connection, which: &str, values: impl rusqlite::Params) -> Result<Vec<OutboxRow>, StoreError> {
    let sql = format!("SELECT ordinal, document, author, hash, actor, at, bytes FROM outbox WHERE {which}");
    let mut statement = conn.prepare_cached(&sql)?;
    type Row = (i64, String, String, Vec<u8>, Vec<u8>, String, Vec<u8>);
    let rows = statement
        .query_map(values, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?)))?;
    let one = |row: Row| {
        let damaged = || StoreError::Damaged(format!("outbox entry {}", row.0));
        Ok(OutboxRow {
            ordinal: row.0,
            document: row.1.parse().map_err(|_| damaged())?,
            author: row.2.parse().map_err(|_| damaged())?,
            hash: <[u8; 32]>::try_from(row.3.as_slice()).map(ChangeHash).map_err(|_| damaged())?,
            actor: <[u8; 16]>::try_from(row.4.as_slice()).map(ActorId).map_err(|_| damaged())?,
            at: serde_json::from_str(&row.5).map_err(|_| damaged())?,
            bytes: row.6.clone(),
        })
    };
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    rows.into_iter().map(one).collect()
}

/// How many changes are unsent, of one document or in all.
pub fn count(conn: &Connection, document: Option<DocumentId>) -> Result<u64, StoreError> {
    let n: i64 = match document {
        Some(id) => {
            conn.query_row("SELECT count(*) FROM outbox WHERE document = ?1", [id.to_string()], |r| r.get(0))?
        }
        None => conn.query_row("SELECT count(*) FROM outbox", [], |r| r.get(0))?,
    };
    Ok(u64::try_from(n).unwrap_or(0))
}

/// Whether something is unsent, of one document or at all, that was not refused before.
pub fn holds_new(conn: &Connection, document: Option<DocumentId>) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE (?1 IS NULL OR document = ?1) \
               AND hash NOT IN (SELECT hash FROM refused))";
    Ok(conn.prepare_cached(sql)?.query_row([document.map(|id| id.to_string())], |r| r.get(0))?)
}

/// The newest unsent change by its ordinal; 0 when nothing is unsent.
pub fn newest(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn.prepare_cached("SELECT coalesce(max(ordinal), 0) FROM outbox")?.query_row([], |r| r.get(0))?)
}

/// Removes a change that was acknowledged or moved to the refused ones. Gives whether it was there.
pub fn remove(tx: &Transaction<'_>, hash: &ChangeHash) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM outbox WHERE hash = ?1")?.execute([hash.0])? > 0)
}

/// Notes which change was written again as which.
pub fn note_remade(tx: &Transaction<'_>, former: &ChangeHash, hash: &ChangeHash) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO remade (hash, former) VALUES (?1, ?2)")?.execute((hash.0, former.0))?;
    Ok(())
}

/// Forgets the refused changes of a document, but for those that were refused for one reason.
pub fn forget_refused(tx: &Transaction<'_>, id: DocumentId, but: RefusalCode) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM refused WHERE document = ?1 AND code <> ?2")?
        .execute((id.to_string(), but.as_str()))?;
    Ok(())
}

/// Forgets that a change was refused, as long as nobody has decided about it. Gives whether it was.
pub fn not_refused(tx: &Transaction<'_>, hash: &ChangeHash) -> Result<bool, StoreError> {
    let sql = "DELETE FROM refused WHERE hash = ?1 AND decided_ms IS NULL";
    Ok(tx.prepare_cached(sql)?.execute([hash.0])? > 0)
}

/// A refused change about which nobody has decided, as it can be sent again.
pub struct Undecided {
    /// Which document.
    pub document: DocumentId,
    /// What it is; none where that was not written down.
    pub envelope: Option<(DocumentKind, AreaCode)>,
    /// The change.
    pub bytes: Vec<u8>,
}

/// Refused changes about which nobody has decided, in the order in which they were refused.
pub fn undecided(conn: &Connection) -> Result<Vec<Undecided>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT document, kind, community, bytes FROM refused WHERE decided_ms IS NULL ORDER BY refused_ms, rowid",
    )?;
    type Row = (String, Option<String>, Option<String>, Vec<u8>);
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?;
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    let read = |(document, kind, community, bytes): Row| {
        let envelope = kind.zip(community).and_then(|(k, c)| Some((DocumentKind::parse(&k)?, AreaCode::new(c).ok()?)));
        Some(Undecided { document: document.parse().ok()?, envelope, bytes })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Keeps a refused change with its words, and what its document is as long as that is known.
pub fn refuse(tx: &Transaction<'_>, refused: &RefusedChange, bytes: &[u8]) -> Result<(), StoreError> {
    let (kind, community) = documents::envelope(tx, refused.document)?.unzip();
    tx.prepare_cached(
        "INSERT INTO refused (hash, document, code, detail, words, bytes, refused_ms, kind, community) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         ON CONFLICT (hash) DO UPDATE SET code = excluded.code, detail = excluded.detail WHERE decided_ms IS NULL",
    )?
    .execute((
        refused.hash.0,
        refused.document.to_string(),
        &refused.code,
        &refused.detail,
        &refused.words,
        bytes,
        refused.refused_ms,
        kind.map(DocumentKind::as_str),
        community.as_ref().map(AreaCode::as_str),
    ))?;
    Ok(())
}

/// What was refused, last first.
pub fn refused(conn: &Connection) -> Result<Vec<RefusedChange>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT hash, document, code, detail, words, refused_ms, accepted, decided_by, reason, decided_ms \
         FROM refused ORDER BY refused_ms DESC, hash",
    )?;
    type Row = (Vec<u8>, String, String, String, String, i64, Option<RefusedDecision>);
    let decision = |r: &rusqlite::Row<'_>| -> Result<Option<RefusedDecision>, rusqlite::Error> {
        let Some(decided_ms) = r.get(9)? else { return Ok(None) };
        Ok(Some(RefusedDecision { accepted: r.get(6)?, by: r.get(7)?, reason: r.get(8)?, decided_ms }))
    };
    let rows = statement
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, decision(r)?)))?;
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    let read = |(hash, document, code, detail, words, refused_ms, decision): Row| {
        Some(RefusedChange {
            hash: <[u8; 32]>::try_from(hash).ok().map(ChangeHash)?,
            document: document.parse().ok()?,
            code,
            detail,
            words,
            refused_ms,
            decision,
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
