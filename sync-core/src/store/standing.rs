//! Where things are, by the store's tables alone: no document is loaded. A thing is on the server only by the server's word; what a
//! request has carried is on its way until that request is answered.

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::ids::DocumentId;

/// Where something that belongs to this phone is: a record, or an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Some of it is on this phone only.
    OnlyHere,
    /// All that is not on the server was sent, first at this time (ms UTC), and nobody has answered yet.
    OnItsWay(i64),
    /// All of it is on the server since this time, ms UTC.
    OnServerSince(i64),
    /// Some of it was refused; the rest is on the server.
    Refused,
}

/// How many things stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingCounts {
    /// As [`Standing::OnlyHere`].
    pub only_here: u64,
    /// As [`Standing::OnItsWay`].
    pub on_its_way: u64,
    /// As [`Standing::OnServerSince`].
    pub on_server: u64,
    /// As [`Standing::Refused`].
    pub refused: u64,
}

/// Notes that a request carries these entries of the outbox; before it leaves.
pub fn note_sent(tx: &Transaction<'_>, ordinals: &[i64], now_ms: i64) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached("UPDATE outbox SET sent_ms = ?2 WHERE ordinal = ?1 AND sent_ms IS NULL")?;
    for ordinal in ordinals {
        statement.execute((ordinal, now_ms))?;
    }
    Ok(())
}

/// Notes that the request with these entries was answered, or never left: what is still in the outbox is only here again.
pub fn note_answered(tx: &Transaction<'_>, ordinals: &[i64]) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached("UPDATE outbox SET sent_ms = NULL WHERE ordinal = ?1")?;
    for ordinal in ordinals {
        statement.execute([ordinal])?;
    }
    Ok(())
}

/// Forgets that the server has anything: it was restored, and what it acknowledged may be gone.
pub fn forget_acknowledged(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("UPDATE documents SET synced_ms = NULL", [])?;
    Ok(())
}

/// Where a record is; `None` when nothing is known of it. A record whose every change was refused is not among the documents any
/// more, and one that was forgotten may still have unsent changes: both are told.
pub fn of_document(conn: &Connection, id: DocumentId) -> Result<Option<Standing>, StoreError> {
    let document = id;
    let id = document.to_string();
    let (unsent, here, since): (i64, i64, Option<i64>) = conn
        .prepare_cached("SELECT count(*), count(*) - count(sent_ms), min(sent_ms) FROM outbox WHERE document = ?1")?
        .query_row([&id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    if unsent > 0 {
        return Ok(Some(since.filter(|_| here == 0).map_or(Standing::OnlyHere, Standing::OnItsWay)));
    }
    // What another phone gave over in person, and nobody has handed in yet.
    if conn.prepare_cached("SELECT 1 FROM peer_changes WHERE document = ?1")?.exists([&id])? {
        return Ok(Some(Standing::OnlyHere));
    }
    if conn.prepare_cached("SELECT 1 FROM refused WHERE document = ?1")?.exists([&id])? {
        return Ok(Some(Standing::Refused));
    }
    let synced: Option<Option<i64>> = conn
        .prepare_cached("SELECT synced_ms FROM documents WHERE id = ?1")?
        .query_row([&id], |r| r.get(0))
        .optional()?;
    if synced.is_none() {
        return Ok(super::list::away_since(conn, document)?.map(Standing::OnServerSince));
    }
    Ok(synced.map(|at| at.map_or(Standing::OnlyHere, Standing::OnServerSince)))
}

/// How many records stand where; each is counted once, as [`of_document`] tells it.
pub fn count(conn: &Connection) -> Result<StandingCounts, StoreError> {
    let number = |sql: &str| -> Result<u64, StoreError> {
        let n: i64 = conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?;
        Ok(u64::try_from(n).unwrap_or(0))
    };
    const SETTLED: &str = "AND id NOT IN (SELECT document FROM outbox) AND id NOT IN (SELECT document FROM peer_changes) \
                           AND id NOT IN (SELECT document FROM refused)";
    let here =
        number("SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY document HAVING count(sent_ms) < count(*))")?;
    let given = number(
        "SELECT count(DISTINCT document) FROM peer_changes WHERE document NOT IN (SELECT document FROM outbox)",
    )?;
    let never = number(&format!("SELECT count(*) FROM documents WHERE synced_ms IS NULL {SETTLED}"))?;
    Ok(StandingCounts {
        only_here: here + given + never,
        on_its_way: number(
            "SELECT count(*) FROM (SELECT 1 FROM outbox GROUP BY document HAVING count(sent_ms) = count(*))",
        )?,
        on_server: number(&format!("SELECT count(*) FROM documents WHERE synced_ms IS NOT NULL {SETTLED}"))?
            + number("SELECT count(*) FROM list WHERE away_ms IS NOT NULL")?,
        refused: number(
            "SELECT count(DISTINCT document) FROM refused WHERE document NOT IN (SELECT document FROM outbox) \
             AND document NOT IN (SELECT document FROM peer_changes)",
        )?,
    })
}
