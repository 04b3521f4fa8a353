//! What this phone carries for others: sealed parcels towards the server, receipts back from it. A quota bounds both; what the
//! server has answered makes room first, and a parcel that nobody has answered is never dropped before its time.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use crate::ids::BundleId;
use crate::limits;
use crate::relay::Container;
use crate::relay::parcel::ParcelDigest;

/// How far a carried parcel has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarriedState {
    /// On this phone; it goes with the next sync.
    Carried,
    /// The server has it.
    Delivered,
    /// The server could not open it, for this reason.
    Refused(String),
}

/// A carried parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedParcel {
    /// Its identity, by its author's word.
    pub id: BundleId,
    /// Its size, in bytes.
    pub size: u64,
    /// When it came to this phone, ms UTC by its best knowledge.
    pub taken_up_ms: i64,
    /// When it need not be carried any more, ms UTC.
    pub expires_ms: i64,
    /// How far it has come.
    pub state: CarriedState,
}

/// Why a parcel found no place: count or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// The limit that is reached.
    pub max: usize,
    /// Of what.
    pub what: &'static str,
}

fn number(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// Takes up a parcel. `Ok(Ok(false))` when it was here before, in whatever state.
pub fn take_up(tx: &Transaction<'_>, parcel: &Container, now_ms: i64) -> Result<Result<bool, Full>, StoreError> {
    let known: Option<i64> =
        tx.query_row("SELECT number FROM parcels WHERE digest = ?1", [parcel.digest()], |r| r.get(0)).optional()?;
    if known.is_some() {
        return Ok(Ok(false));
    }
    let (count, bytes): (i64, i64) =
        tx.query_row("SELECT count(*), coalesce(sum(size), 0) FROM parcels WHERE bytes IS NOT NULL", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })?;
    if number(count) >= limits::CARRIED_PARCELS_MAX {
        return Ok(Err(Full { max: limits::CARRIED_PARCELS_MAX, what: "parcels" }));
    }
    if number(bytes) + parcel.bytes().len() > limits::CARRIED_BYTES_MAX {
        return Ok(Err(Full { max: limits::CARRIED_BYTES_MAX, what: "bytes" }));
    }
    tx.execute(
        "INSERT INTO parcels (digest, id, taken_up_ms, expires_ms, size, bytes, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'carried')",
        rusqlite::params![
            parcel.digest(),
            parcel.id.to_string(),
            now_ms,
            parcel.expires_ms,
            i64::try_from(parcel.bytes().len()).unwrap_or(i64::MAX),
            parcel.bytes(),
        ],
    )?;
    // Of those that were answered only a memory is kept, and not for ever.
    let answered = i64::try_from(limits::CARRIED_PARCELS_MAX).unwrap_or(0);
    tx.execute(
        "DELETE FROM parcels WHERE bytes IS NULL AND number NOT IN \
         (SELECT number FROM parcels WHERE bytes IS NULL ORDER BY number DESC LIMIT ?1)",
        [answered],
    )?;
    Ok(Ok(true))
}

/// Drops what has expired. Gives how many were still carried.
pub fn drop_expired(tx: &Transaction<'_>, now_ms: i64) -> Result<u64, StoreError> {
    let carried = tx.execute("DELETE FROM parcels WHERE expires_ms <= ?1 AND bytes IS NOT NULL", [now_ms])?;
    tx.execute("DELETE FROM parcels WHERE expires_ms <= ?1", [now_ms])?;
    tx.execute("DELETE FROM parcel_receipts WHERE taken_up_ms <= ?1", [now_ms.saturating_sub(limits::PARCEL_LIFE_MS)])?;
    Ok(u64::try_from(carried).unwrap_or(0))
}

/// Notes what became of a parcel; its bytes are no longer needed.
pub fn answered(tx: &Transaction<'_>, digest: &[u8], state: &CarriedState) -> Result<(), StoreError> {
    let (name, code) = match state {
        CarriedState::Carried => return Ok(()),
        CarriedState::Delivered => ("delivered", None),
        CarriedState::Refused(code) => ("refused", Some(code)),
    };
    // A parcel that arrived by another way is delivered, whatever was said of it here.
    tx.execute(
        "UPDATE parcels SET bytes = NULL, state = ?2, code = ?3 WHERE digest = ?1 AND state <> 'delivered'",
        (digest, name, code),
    )?;
    Ok(())
}

/// Parcels to be handed in, in the order they came, leaving some out, up to a number and a size; one too large travels alone.
pub fn to_send(conn: &Connection, leave_out: &[ParcelDigest], now_ms: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT digest, size, number FROM parcels WHERE bytes IS NOT NULL AND expires_ms > ?1 ORDER BY number",
    )?;
    let rows =
        statement.query_map([now_ms], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?)))?;
    let (mut out, mut sum) = (Vec::new(), 0);
    for row in rows {
        let (digest, size, key) = row?;
        if leave_out.iter().any(|d| d.as_slice() == digest) {
            continue;
        }
        sum += number(size);
        let full = sum > limits::REQUEST_PARCELS_TARGET_BYTES && !out.is_empty();
        if full || out.len() >= limits::REQUEST_PARCELS_MAX {
            break;
        }
        out.push(conn.query_row("SELECT bytes FROM parcels WHERE number = ?1", [key], |r| r.get(0))?);
    }
    Ok(out)
}

/// Every parcel still carried, as it travels, in the order they came.
pub fn all_bytes(conn: &Connection, now_ms: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT bytes FROM parcels WHERE bytes IS NOT NULL AND expires_ms > ?1 ORDER BY number")?;
    let rows = statement.query_map([now_ms], |r| r.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is carried, and what became of it, in the order they came.
pub fn all(conn: &Connection) -> Result<Vec<CarriedParcel>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT id, size, taken_up_ms, expires_ms, state, code FROM parcels ORDER BY number")?;
    type Row = (String, i64, i64, i64, String, Option<String>);
    let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)))?;
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    let read = |(id, size, taken_up_ms, expires_ms, state, code): Row| {
        let state = match state.as_str() {
            "delivered" => CarriedState::Delivered,
            "refused" => CarriedState::Refused(code.unwrap_or_default()),
            _ => CarriedState::Carried,
        };
        Some(CarriedParcel {
            id: id.parse().ok()?,
            size: u64::try_from(size).unwrap_or(0),
            taken_up_ms,
            expires_ms,
            state,
        })
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Keeps a receipt to hand it on; the oldest make room. Gives whether it is new here.
pub fn keep_receipt(tx: &Transaction<'_>, digest: &[u8; 32], bytes: &[u8], now_ms: i64) -> Result<bool, StoreError> {
    let new = tx.execute(
        "INSERT OR IGNORE INTO parcel_receipts (digest, taken_up_ms, bytes) VALUES (?1, ?2, ?3)",
        (digest, now_ms, bytes),
    )? > 0;
    tx.execute(
        "DELETE FROM parcel_receipts WHERE number NOT IN \
         (SELECT number FROM parcel_receipts ORDER BY number DESC LIMIT ?1)",
        [i64::try_from(limits::CARRIED_PARCELS_MAX).unwrap_or(0)],
    )?;
    Ok(new)
}

/// The receipts that are carried back, oldest first.
pub fn receipts(conn: &Connection) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT bytes FROM parcel_receipts ORDER BY number")?;
    let rows = statement.query_map([], |r| r.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
