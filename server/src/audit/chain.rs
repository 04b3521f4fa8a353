//! The chain: once a second the rows that have come are numbered without gaps, and each is bound to the one before by SHA-256. Whoever
//! alters, deletes, inserts or reorders sealed rows is found; whoever cuts off the tail and mends the head is found by a checkpoint
//! that is held elsewhere. Acts never wait for the chain: only the one writer that seals locks its head.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sync_core::sync::wire::to_cbor;

use super::{Act, Checkpoint, Origin, Row};
use crate::app::App;
use crate::db::tables::{audit, audit_chain};
use crate::db::{AnyConnection, Database, DbError};
use sync_core::ids::Entropy;

const DOMAIN: &[u8] = b"fengqiao-audit-v1";
const BATCH: i64 = 1_000;
const EVERY: Duration = Duration::from_secs(1);

/// One end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) seq: i64,
    pub(super) hash: Vec<u8>,
}

pub(super) fn end(conn: &mut AnyConnection, name: &str) -> Result<End, DbError> {
    let (seq, hash) = audit_chain::table.find(name).select((audit_chain::seq, audit_chain::hash)).first(conn)?;
    Ok(End { seq, hash })
}

fn set_end(conn: &mut AnyConnection, name: &str, end: &End) -> Result<(), DbError> {
    diesel::update(audit_chain::table.find(name))
        .set((audit_chain::seq.eq(end.seq), audit_chain::hash.eq(&end.hash)))
        .execute(conn)?;
    Ok(())
}

/// The hash of a row behind another: over the domain, the hash before, and the row's columns as one CBOR array.
fn hash(before: &[u8], seq: i64, row: &Row) -> Result<Vec<u8>, DbError> {
    let columns = (
        seq,
        &row.id,
        row.at_ms,
        &row.actor,
        &row.device,
        &row.origin,
        &row.action,
        &row.object,
        &row.community,
        &row.reason,
        &row.detail,
    );
    let bytes = to_cbor(&columns).map_err(|e| DbError::Row(format!("audit row {}: {e}", row.id)))?;
    let mut digest = Sha256::new();
    digest.update(DOMAIN);
    digest.update(before);
    digest.update(bytes);
    Ok(digest.finalize().to_vec())
}

/// Numbers and chains what has come; gives how many rows were sealed. However many processes do it, each row is sealed once.
pub fn seal(db: &Database) -> Result<usize, DbError> {
    let waiting = |conn: &mut AnyConnection| {
        let first = audit::table.filter(audit::seq.is_null()).select(audit::id);
        first.first::<String>(conn).optional()
    };
    let mut sealed = 0;
    // Looking first keeps an idle server from writing.
    while waiting(&mut *db.get()?)?.is_some() {
        sealed += db.transaction(batch)?;
    }
    Ok(sealed)
}

fn batch(conn: &mut AnyConnection) -> Result<usize, DbError> {
    // An update that changes nothing takes the head's lock on PostgreSQL; whoever waited sees what was sealed meanwhile.
    diesel::update(audit_chain::table.find("head")).set(audit_chain::seq.eq(audit_chain::seq)).execute(conn)?;
    let mut head = end(conn, "head")?;
    let rows: Vec<Row> =
        audit::table.filter(audit::seq.is_null()).order(audit::id).limit(BATCH).select(Row::as_select()).load(conn)?;
    for row in &rows {
        let seq = head.seq + 1;
        head = End { seq, hash: hash(&head.hash, seq, row)? };
        diesel::update(audit::table.find(&row.id))
            .set((audit::seq.eq(Some(seq)), audit::hash.eq(Some(&head.hash))))
            .execute(conn)?;
    }
    set_end(conn, "head", &head)?;
    Ok(rows.len())
}

/// Seals every second until told to stop, and once more then.
pub async fn seal_regularly(app: Arc<App>, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        let halted = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            _ = stop.changed() => true,
        };
        let db = app.db.clone();
        match tokio::task::spawn_blocking(move || seal(&db)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the audit log could not be sealed"),
            Err(error) => tracing::error!(%error, "the audit log could not be sealed"),
        }
        if halted {
            return;
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Sealed rows that were checked.
    pub rows: i64,
    /// The last row whose time was over and that was deleted by rule; 0 when none was.
    pub base: i64,
    /// The last sealed row.
    pub head: i64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// Rows of the last second, not in the chain yet.
    pub unsealed: i64,
    /// The first row at which the chain is broken.
    pub bad: Option<Bad>,
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Which place of the chain.
    pub seq: i64,
    /// Which row stands there, if one does.
    pub id: Option<String>,
    /// What is wrong.
    pub what: String,
}

/// Seals what has come, then checks every sealed row, both ends, and the checkpoints that were held elsewhere.
pub fn verify(db: &Database, checkpoints: &[Checkpoint]) -> Result<Report, DbError> {
    seal(db)?;
    db.snapshot(|conn| {
        let (base, head) = (end(conn, "base")?, end(conn, "head")?);
        let unsealed = audit::table.filter(audit::seq.is_null()).count().get_result(conn)?;
        let mut report = Report { base: base.seq, head: head.seq, unsealed, ..Report::default() };
        let mut last = base.clone();
        let mut pruned = End { seq: 0, hash: vec![0; 32] };
        report.bad = walk(conn, checkpoints, &mut last, &mut pruned, &mut report.rows)?;
        report.hash = hex(&last.hash);
        let bad = |seq: i64, what: String| Some(Bad { seq, id: None, what });
        if report.bad.is_none() && last != head {
            let what =
                format!("the chain ends at {}, but its head says {}: rows are missing at the end", last.seq, head.seq);
            report.bad = bad(last.seq + 1, what);
        }
        if report.bad.is_none() && base != pruned {
            report.bad = bad(base.seq, "rows before this one are gone, and no rule deleted them".into());
        }
        let beyond = checkpoints.iter().find(|c| c.seq > last.seq);
        if let (None, Some(c)) = (&report.bad, beyond) {
            report.bad = bad(last.seq + 1, format!("a checkpoint knows row {}: rows are missing at the end", c.seq));
        }
        Ok(report)
    })
}

fn walk(
    conn: &mut AnyConnection,
    checkpoints: &[Checkpoint],
    last: &mut End,
    pruned: &mut End,
    rows: &mut i64,
) -> Result<Option<Bad>, DbError> {
    loop {
        let batch: Vec<Row> = audit::table
            .filter(audit::seq.gt(last.seq))
            .order(audit::seq)
            .limit(BATCH)
            .select(Row::as_select())
            .load(conn)?;
        if batch.is_empty() {
            return Ok(None);
        }
        for row in batch {
            let seq = last.seq + 1;
            let bad = |what: &str| Bad { seq, id: Some(row.id.clone()), what: what.to_owned() };
            if row.seq != Some(seq) {
                return Ok(Some(Bad { id: None, ..bad("the row of this number is missing") }));
            }
            let computed = hash(&last.hash, seq, &row)?;
            if row.hash.as_ref() != Some(&computed) {
                return Ok(Some(bad("the row is not what was sealed: it or its order was altered")));
            }
            *last = End { seq, hash: computed };
            if checkpoints.iter().any(|c| c.seq == last.seq && c.hash != hex(&last.hash)) {
                return Ok(Some(bad("a checkpoint knows another row here: the chain was made anew")));
            }
            if row.action == PRUNED {
                *pruned = pruned_end(&row.detail).unwrap_or_else(|| pruned.clone());
            }
            *rows += 1;
        }
    }
}

const PRUNED: &str = "audit.prune";

fn pruned_end(detail: &str) -> Option<End> {
    let detail: Value = serde_json::from_str(detail).ok()?;
    let hash = unhex(detail.get("hash")?.as_str()?)?;
    Some(End { seq: detail.get("seq")?.as_i64()?, hash })
}

/// Deletes sealed rows that are older than a moment, from the beginning of the chain, and writes down to which row; gives how many.
/// At least one row stays, so that the chain goes on from something.
pub fn prune(
    conn: &mut AnyConnection,
    origin: &Origin,
    before_ms: i64,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<usize, DbError> {
    diesel::update(audit_chain::table.find("head")).set(audit_chain::seq.eq(audit_chain::seq)).execute(conn)?;
    // The first row that stays: rows are sealed nearly, not exactly, in the order of their time.
    let kept = audit::table.filter(audit::seq.is_not_null()).filter(audit::at_ms.ge(before_ms));
    let kept: Option<Option<i64>> = kept.order(audit::seq).select(audit::seq).first(conn).optional()?;
    let kept = kept.flatten().unwrap_or(end(conn, "head")?.seq);
    let last = audit::table.filter(audit::seq.eq(kept - 1)).select(audit::hash);
    let Some(Some(hash)) = last.first::<Option<Vec<u8>>>(conn).optional()? else { return Ok(0) };
    let base = End { seq: kept - 1, hash };
    let gone = diesel::delete(audit::table.filter(audit::seq.le(base.seq))).execute(conn)?;
    set_end(conn, "base", &base)?;
    let detail = serde_json::json!({ "seq": base.seq, "hash": hex(&base.hash), "rows": gone });
    Act::new(origin, PRUNED, "audit").detail(detail).record(conn, now_ms, entropy)?;
    Ok(gone)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[a, b]| a << 4 | b).collect())
}
