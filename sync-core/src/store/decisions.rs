//! What people decided about the refused changes of this phone.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use crate::document::ChangeHash;
use crate::ids::DocumentId;
use crate::sync::wire::Decision;

/// Refused changes about which no decision is known, oldest first.
pub fn undecided(conn: &Connection, limit: usize) -> Result<Vec<ChangeHash>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT hash FROM refused WHERE decided_ms IS NULL ORDER BY refused_ms, hash LIMIT ?1")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |r| r.get::<_, Vec<u8>>(0))?;
    let hashes: Vec<Vec<u8>> = rows.collect::<Result<_, _>>()?;
    Ok(hashes.into_iter().filter_map(|h| <[u8; 32]>::try_from(h).ok().map(ChangeHash)).collect())
}

/// Notes a decision. The words stay until the person has read it and discards them.
pub fn note(tx: &Transaction<'_>, decision: &Decision) -> Result<bool, StoreError> {
    let set = "UPDATE refused SET accepted = ?2, decided_by = ?3, reason = ?4, decided_ms = ?5 WHERE hash = ?1";
    let values = (decision.hash.0, decision.accepted, &decision.by, &decision.reason, decision.decided_ms);
    Ok(tx.prepare_cached(set)?.execute(values)? > 0)
}

/// Drops a refused change with its words; only one that was decided about. Gives whether it did.
pub fn discard(tx: &Transaction<'_>, hash: &ChangeHash) -> Result<bool, StoreError> {
    let delete = "DELETE FROM refused WHERE hash = ?1 AND decided_ms IS NOT NULL";
    Ok(tx.prepare_cached(delete)?.execute([hash.0])? > 0)
}

/// Whether a change that names a content may still come into its record: it is unsent, waits in quarantine, or was let in and is on its
/// way. A name stands in the bytes of a change letter by letter.
pub fn may_still_name(conn: &Connection, document: DocumentId, content: &str) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE document = ?1 AND instr(bytes, CAST(?2 AS BLOB)) > 0) \
               OR EXISTS (SELECT 1 FROM refused WHERE document = ?1 AND instr(bytes, CAST(?2 AS BLOB)) > 0 \
               AND (decided_ms IS NULL OR accepted = 1))";
    Ok(conn.prepare_cached(sql)?.query_row((document.to_string(), content), |r| r.get(0))?)
}

/// Who dismissed the change that names a content, and why, in words; the last one.
pub fn dismissal_of(conn: &Connection, document: DocumentId, content: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT decided_by, reason FROM refused WHERE document = ?1 AND instr(bytes, CAST(?2 AS BLOB)) > 0 \
               AND decided_ms IS NOT NULL AND accepted = 0 ORDER BY decided_ms DESC LIMIT 1";
    let words = |r: &rusqlite::Row<'_>| Ok(format!("{}：{}", r.get::<_, String>(0)?, r.get::<_, String>(1)?));
    Ok(conn.prepare_cached(sql)?.query_row((document.to_string(), content), words).optional()?)
}
