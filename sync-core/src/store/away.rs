//! Records of which only the row of the list is left: which may leave, and what is kept although it could.

use rusqlite::{Connection, Transaction};

use super::StoreError;
use crate::case::Status;
use crate::ids::DocumentId;
use crate::patrol::PatrolStatus;

/// Records that may leave: over (what is resolved awaits its follow-up and its closing) and not changed since `before_ms`, all of it on the server, nothing about it open; with the bytes
/// that each takes, what was changed longest ago first.
pub fn due(conn: &Connection, before_ms: i64, now_ms: i64, limit: u32) -> Result<Vec<(DocumentId, u64)>, StoreError> {
    let over = Status::ALL.into_iter().filter(|s| !s.is_open() && *s != Status::Resolved).map(Status::as_str);
    let over: Vec<String> = over.chain([PatrolStatus::Done.as_str()]).map(|word| format!("'{word}'")).collect();
    let mut statement = conn.prepare_cached(&format!(
        "SELECT d.id, d.snapshot_bytes + d.tail_bytes FROM list l JOIN documents d ON d.id = l.document \
         WHERE l.away_ms IS NULL AND l.status IN ({}) AND l.changed_ms < ?1 AND l.needs_review = 0 AND l.conflicts = 0 AND l.passages = 0 \
         AND d.synced_ms IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.document = d.id AND k.until_ms > ?2) \
         AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.document = d.id) \
         AND NOT EXISTS (SELECT 1 FROM refused r WHERE r.document = d.id) \
         AND NOT EXISTS (SELECT 1 FROM doubts q WHERE q.document = d.id) \
         AND NOT EXISTS (SELECT 1 FROM peer_changes p WHERE p.document = d.id) \
         AND NOT EXISTS (SELECT 1 FROM uploads u WHERE u.document = d.id AND u.server_ms IS NULL) \
         ORDER BY l.changed_ms, d.id LIMIT ?3",
        over.join(", ")
    ))?;
    let rows =
        statement.query_map((before_ms, now_ms, limit), |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?)))?;
    let rows: Vec<(String, i64)> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter_map(|(id, size)| Some((id.parse().ok()?, u64::try_from(size).unwrap_or(0)))).collect())
}

/// Lets a record go. Its row stays in the list, and it is found by its title.
pub fn leave(tx: &Transaction<'_>, id: DocumentId, now_ms: i64) -> Result<(), StoreError> {
    let id = id.to_string();
    tx.prepare_cached("DELETE FROM documents WHERE id = ?1")?.execute([&id])?;
    tx.prepare_cached("DELETE FROM kept WHERE document = ?1")?.execute([&id])?;
    let title: String =
        tx.prepare_cached("SELECT title FROM list WHERE document = ?1")?.query_row([&id], |r| r.get(0))?;
    tx.prepare_cached("UPDATE list SET away_ms = ?2, due_ms = NULL, text = ?3 WHERE document = ?1")?.execute((
        &id,
        now_ms,
        crate::search::normalise(&title),
    ))?;
    Ok(())
}

/// Keeps a record that was asked for, or that is about to come, until a moment.
pub fn keep(tx: &Transaction<'_>, id: DocumentId, until_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO kept (document, until_ms) VALUES (?1, ?2) ON CONFLICT (document) DO UPDATE SET until_ms = ?2",
    )?
    .execute((id.to_string(), until_ms))?;
    Ok(())
}
