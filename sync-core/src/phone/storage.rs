//! How much room a phone has: what takes it, how tight it is, and what could be freed without losing anything.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Bound, Phone, PhoneError};
use crate::limits;
use crate::store::{StoreError, attachments, away, meta_json, set_meta_json, thumbnails};

const ROOM: &str = "storage_room";

/// How tight it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// There is room.
    Easy,
    /// Less than [`limits::STORAGE_TIGHT_BYTES`] are left: time to free something.
    Tight,
    /// Less than [`limits::STORAGE_FULL_BYTES`] are left: photos are refused, and edits when the disk is full.
    Full,
}

/// What the host says of the room for this store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// How many bytes the store and its attachments may take in all; absent: as many as there are.
    pub limit: Option<u64>,
    /// How many bytes are free on the disk; absent: unknown.
    pub free: Option<u64>,
}

/// What the host said, and what the store took then: what was written since is no longer free.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Told {
    #[serde(flatten)]
    room: Room,
    #[serde(default)]
    used: Option<u64>,
}

/// What takes room, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageReport {
    /// Records, index and everything else in the store's file, without the pages that are empty.
    pub records: u64,
    /// Empty pages of the file: they are filled before it grows.
    pub empty: u64,
    /// Contents of attachments.
    pub attachments: u64,
    /// Small pictures; all of them can be fetched again.
    pub thumbnails: u64,
    /// Of the records: parcels and bundles that are carried for others.
    pub carried: u64,
    /// What `free_up` could give back: contents that the server has.
    pub freeable_attachments: u64,
    /// And closed records, all of which are on the server.
    pub freeable_records: u64,
    /// What is left: within the limit, on the disk; absent when the host has told neither.
    pub left: Option<u64>,
    /// How tight it is.
    pub pressure: Pressure,
}

impl StorageReport {
    /// Everything that this store takes.
    pub fn used(&self) -> u64 {
        self.records.saturating_add(self.empty).saturating_add(self.attachments).saturating_add(self.thumbnails)
    }
}

fn number(conn: &Connection, sql: &str) -> Result<u64, StoreError> {
    let n: i64 = conn.prepare_cached(sql)?.query_row([], |r| r.get(0))?;
    Ok(u64::try_from(n).unwrap_or(0))
}

/// Bytes of a page. The cipher answers this question itself, in words.
fn page_size(conn: &Connection) -> Result<u64, StoreError> {
    let size: String = conn.prepare_cached("PRAGMA cipher_page_size")?.query_row([], |r| r.get(0))?;
    size.parse().map_err(|_| StoreError::Damaged(format!("page size `{size}`")))
}

fn used(conn: &Connection) -> Result<u64, StoreError> {
    let file = number(conn, "PRAGMA page_count")?.saturating_mul(page_size(conn)?);
    Ok(file.saturating_add(attachments::held(conn)?).saturating_add(thumbnails::held(conn)?.0))
}

/// What the store's file and the attachments take, and what is left for them: what the phone tells the server of itself.
pub(super) fn used_and_left(conn: &Connection) -> Result<(u64, Option<u64>), StoreError> {
    let used = used(conn)?;
    let told: Told = meta_json(conn, ROOM)?.unwrap_or_default();
    Ok((used, left(&told, used).map(|(left, _)| left)))
}

/// What is left, and by what it is bounded.
fn left(told: &Told, used: u64) -> Option<(u64, Bound)> {
    let within = told.room.limit.map(|limit| (limit.saturating_sub(used), Bound::Limit));
    let then = told.used.unwrap_or(used);
    let free = told.room.free.map(|free| (free.saturating_add(then).saturating_sub(used), Bound::Disk));
    within.into_iter().chain(free).min_by_key(|(left, _)| *left)
}

/// By how many bytes a file of this size is too large for what is left, when the room for text is kept; with 0 by how much the store is
/// beyond what it may take. Nothing when it fits.
pub(super) fn short(conn: &Connection, bytes: u64) -> Result<Option<(u64, Bound)>, StoreError> {
    let told: Told = meta_json(conn, ROOM)?.unwrap_or_default();
    let used = used(conn)?;
    if bytes == 0 {
        let over = told.room.limit.map(|limit| (used.saturating_sub(limit), Bound::Limit));
        return Ok(over.filter(|(over, _)| *over > 0));
    }
    let needed = bytes.saturating_add(limits::STORAGE_FULL_BYTES);
    let over = left(&told, used).map(|(left, bound)| (needed.saturating_sub(left), bound));
    Ok(over.filter(|(over, _)| *over > 0))
}

fn report(conn: &Connection, now_ms: i64) -> Result<StorageReport, StoreError> {
    let empty = number(conn, "PRAGMA freelist_count")?.saturating_mul(page_size(conn)?);
    let (used, left) = used_and_left(conn)?;
    let (held, small) = (attachments::held(conn)?, thumbnails::held(conn)?.0);
    let pressure = match left {
        Some(left) if left < limits::STORAGE_FULL_BYTES => Pressure::Full,
        Some(left) if left < limits::STORAGE_TIGHT_BYTES => Pressure::Tight,
        _ => Pressure::Easy,
    };
    Ok(StorageReport {
        records: used.saturating_sub(held).saturating_sub(small).saturating_sub(empty),
        empty,
        attachments: held,
        thumbnails: small,
        carried: number(conn, "SELECT coalesce(sum(size), 0) FROM parcels")?
            .saturating_add(number(conn, "SELECT coalesce(sum(size), 0) FROM peer_bundles")?),
        freeable_attachments: attachments::freeable(conn)?.iter().map(|f| f.bytes).sum(),
        freeable_records: away::due(conn, now_ms, now_ms, limits::AWAY_AT_ONCE)?.iter().map(|(_, size)| size).sum(),
        left,
        pressure,
    })
}

impl Phone {
    /// Takes note of the room that the host gives; kept until it is told again. What the server has gives way at once where the store
    /// is beyond it; a file that does not fit is refused from then on.
    pub fn set_storage_room(&self, room: Room) -> Result<(), PhoneError> {
        self.0
            .store
            .write(|tx| -> Result<(), StoreError> { set_meta_json(tx, ROOM, &Told { room, used: Some(used(tx)?) }) })?;
        self.make_room(0)
    }

    /// What takes room, and how tight it is.
    pub fn storage(&self) -> Result<StorageReport, PhoneError> {
        let now_ms = self.now_ms()?;
        Ok(self.0.store.read(|c| report(c, now_ms))?)
    }

    /// Frees at least so many bytes if it can, in the order of least harm, and never what the server does not have: contents of
    /// attachments, that which was not looked at for the longest time first; then small pictures, that which is needed least first; then
    /// closed records, which leave their row in the list. Gives how many it freed.
    pub fn free_up(&self, bytes: u64) -> Result<u64, PhoneError> {
        self.admit()?;
        let mut freed = 0_u64;
        for file in self.0.store.read(attachments::freeable)? {
            if freed >= bytes {
                break;
            }
            if self.free(&file.hash)? {
                freed = freed.saturating_add(file.bytes);
            }
        }
        if freed < bytes {
            freed = freed.saturating_add(self.free_thumbnails(bytes - freed)?);
        }
        if freed < bytes {
            freed = freed.saturating_add(self.free_records(bytes - freed)?);
        }
        Ok(freed)
    }
}
