//! Registered phones.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::ids::{DeviceId, Entropy, UserId};

use crate::db::tables::devices;
use crate::db::{AnyConnection, DbError};
use crate::plain;

/// One phone.
#[derive(Debug, Clone, Queryable)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Who registered it.
    pub user_id: String,
    /// What people call it.
    pub name: String,
    /// Its Ed25519 key.
    pub public_key: Vec<u8>,
    /// ms UTC.
    pub registered_ms: i64,
    /// Since when nothing new from it is accepted.
    pub revoked_ms: Option<i64>,
    /// Last contact, ms UTC.
    pub last_seen_ms: Option<i64>,
    /// Its wall clock less the server's, at the last contact.
    pub clock_offset_ms: Option<i64>,
    /// Changes it still had to send.
    pub backlog: Option<i64>,
    /// Version of its library.
    pub version: Option<String>,
    /// When a sync of it last came to an end with nothing unsent, in doubt or to fetch, ms UTC.
    pub complete_ms: Option<i64>,
    /// Documents that it compared with the server's at the last contact.
    pub doubts: Option<i64>,
    /// Bytes that its records, index and attachments take.
    pub storage_bytes: Option<i64>,
    /// Bytes that are free for them, if its host knows.
    pub storage_free_bytes: Option<i64>,
}

impl Device {
    /// Its key as 32 bytes.
    pub fn key(&self) -> Option<[u8; 32]> {
        <[u8; 32]>::try_from(self.public_key.as_slice()).ok()
    }
}

/// Registers a phone; the same key of the same person gives the same device again.
pub fn register(
    conn: &mut AnyConnection,
    user: UserId,
    name: &str,
    key: &[u8; 32],
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<Option<DeviceId>, DbError> {
    let known = devices::table.filter(devices::public_key.eq(key.to_vec())).first::<Device>(conn).optional()?;
    if let Some(device) = known {
        // A key is no secret: another person who offers it does not get the phone.
        let same = device.revoked_ms.is_none() && device.user_id == user.to_string();
        return Ok(device.id.parse().ok().filter(|_| same));
    }
    let id = DeviceId::from_parts(now_ms, entropy.ten());
    diesel::insert_into(devices::table)
        .values((
            devices::id.eq(id.to_string()),
            devices::user_id.eq(user.to_string()),
            devices::name.eq(name),
            devices::public_key.eq(key.to_vec()),
            devices::registered_ms.eq(now_ms),
        ))
        .execute(conn)?;
    Ok(Some(id))
}

/// One device.
pub fn find(conn: &mut AnyConnection, id: DeviceId) -> Result<Option<Device>, DbError> {
    Ok(devices::table.find(id.to_string()).first::<Device>(conn).optional()?)
}

/// What people call these devices, by id.
pub fn names(conn: &mut AnyConnection, ids: &BTreeSet<String>) -> Result<BTreeMap<String, String>, DbError> {
    let rows = devices::table.filter(devices::id.eq_any(ids)).select((devices::id, devices::name));
    Ok(rows.load::<(String, String)>(conn)?.into_iter().collect())
}

/// All devices, by registration.
pub fn all(conn: &mut AnyConnection) -> Result<Vec<Device>, DbError> {
    Ok(devices::table.order((devices::registered_ms, devices::id)).load::<Device>(conn)?)
}

/// Revokes a device from now on.
pub fn revoke(conn: &mut AnyConnection, id: DeviceId, now_ms: i64) -> Result<bool, DbError> {
    let target = devices::table.filter(devices::id.eq(id.to_string())).filter(devices::revoked_ms.is_null());
    Ok(diesel::update(target).set(devices::revoked_ms.eq(Some(now_ms))).execute(conn)? > 0)
}

/// What a phone told of itself in one request, and whether anything is left for another.
pub struct Contact<'a> {
    /// In its own words.
    pub health: &'a sync_core::sync::wire::Health,
    /// How many documents it compared.
    pub doubts: usize,
    /// Whether there is more for it to fetch, or something that it must hand in.
    pub more: bool,
}

/// What a phone is believed of how much it has still to send: one that tells more must not spoil the sum of all.
const BACKLOG_MAX: u64 = 1_000_000;

#[derive(AsChangeset)]
#[diesel(table_name = devices)]
struct Completed {
    complete_ms: Option<i64>,
}

/// Notes what a phone told of itself.
pub fn seen(conn: &mut AnyConnection, id: DeviceId, contact: &Contact<'_>, now_ms: i64) -> Result<(), DbError> {
    let health = contact.health;
    let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let is_complete = health.backlog == 0 && contact.doubts == 0 && !contact.more;
    let doubts = i64::try_from(contact.doubts).unwrap_or(i64::MAX);
    diesel::update(devices::table.find(id.to_string()))
        .set((
            Completed { complete_ms: is_complete.then_some(now_ms) },
            devices::doubts.eq(Some(doubts)),
            devices::storage_bytes.eq(health.storage_bytes.map(whole)),
            devices::storage_free_bytes.eq(health.free_bytes.map(whole)),
            devices::last_seen_ms.eq(Some(now_ms)),
            devices::clock_offset_ms.eq(Some(health.wall_ms.saturating_sub(now_ms))),
            devices::backlog.eq(Some(whole(health.backlog.min(BACKLOG_MAX)))),
            devices::version.eq(Some(plain::cell(&health.version))),
        ))
        .execute(conn)?;
    Ok(())
}
