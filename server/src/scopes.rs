//! Under which rights a phone was last served, community by community: other rights cost only the difference. What a phone holds is never
//! guessed too small when it is to be purged: an unknown past means that the whole community is purged and sent anew.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::{Grant, Place, Subject};
use sync_core::ids::{AreaCode, DeviceId, DocumentId, UserId};

use crate::db::tables::device_scopes;
use crate::db::{AnyConnection, DbError};

/// Changes of rights during one initial transfer that are remembered.
const BASES_MAX: usize = 64;

/// What a phone held under former rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    grants: Vec<Grant>,
    /// How far whole documents had come; `None` when all had.
    backfill: Option<DocumentId>,
}

/// The rights that a phone was served under, and what it held before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The roles.
    pub grants: Vec<Grant>,
    /// Latest first.
    pub bases: Vec<Base>,
}

/// What a phone holds of a community: a question about places, not a list.
#[derive(Debug, Clone, Default)]
pub struct Held {
    steps: Vec<(Subject, Option<DocumentId>)>,
}

impl Held {
    /// What was held before these rights.
    pub fn before(user: UserId, served: &Served) -> Self {
        let step = |b: &Base| (Subject { user, grants: b.grants.clone() }, b.backfill);
        Self { steps: served.bases.iter().map(step).collect() }
    }

    /// Whether a document that lies there is on the phone.
    pub fn holds(&self, place: &Place) -> bool {
        for (subject, backfill) in &self.steps {
            // Rights that did not show it made the phone purge it, whatever was before.
            if !subject.may_read(place) {
                return false;
            }
            if backfill.is_none_or(|reached| place.document <= reached) {
                return true;
            }
        }
        false
    }
}

/// All that is known of a device, by community and scope.
pub type Known = BTreeMap<(String, u64), Served>;

#[derive(Queryable)]
struct Row {
    _device: String,
    community: String,
    scope: i64,
    grants: String,
    bases: String,
}

fn number(scope: u64) -> i64 {
    // 53 bits by construction; a stranger's number fits nothing.
    i64::try_from(scope).unwrap_or(-1)
}

/// Reads what is known of a device.
pub fn of_device(conn: &mut AnyConnection, device: DeviceId) -> Result<Known, DbError> {
    let rows = device_scopes::table.filter(device_scopes::device.eq(device.to_string())).load::<Row>(conn)?.into_iter();
    rows.map(|row| {
        let damaged = |_| DbError::Row(format!("scope of device {device}"));
        let grants = serde_json::from_str(&row.grants).map_err(damaged)?;
        let bases = serde_json::from_str(&row.bases).map_err(damaged)?;
        let scope = u64::try_from(row.scope).unwrap_or_default();
        Ok(((row.community, scope), Served { grants, bases }))
    })
    .collect()
}

/// The roles that touch a community, as they are kept.
fn snapshot(subject: &Subject, community: &AreaCode) -> Vec<Grant> {
    let touching = subject.grants.iter().filter(|g| g.communities.contains(community));
    touching.map(|g| Grant { communities: vec![community.clone()], ..g.clone() }).collect()
}

/// Notes that a phone is served under other rights from now on. `last` is what it was served under, and how far it had come.
pub fn begin(
    conn: &mut AnyConnection,
    device: DeviceId,
    (community, scope): (&AreaCode, u64),
    subject: &Subject,
    last: Option<(&Served, Option<DocumentId>)>,
) -> Result<Served, DbError> {
    let mut bases = Vec::new();
    if let Some((served, backfill)) = last {
        bases.push(Base { grants: served.grants.clone(), backfill });
        bases.extend(served.bases.iter().filter(|_| backfill.is_some()).cloned());
        bases.truncate(BASES_MAX);
    }
    let served = Served { grants: snapshot(subject, community), bases };
    put(conn, device, (community, scope), &served)?;
    Ok(served)
}

/// Notes that a phone has received everything under these rights: what was before no longer matters.
pub fn settled(
    conn: &mut AnyConnection,
    device: DeviceId,
    (community, scope): (&AreaCode, u64),
    subject: &Subject,
) -> Result<(), DbError> {
    let served = Served { grants: snapshot(subject, community), bases: Vec::new() };
    diesel::delete(of(device, community).filter(device_scopes::scope.ne(number(scope)))).execute(conn)?;
    put(conn, device, (community, scope), &served)
}

/// Forgets a community that a phone has purged.
pub fn forget(conn: &mut AnyConnection, device: DeviceId, community: &AreaCode) -> Result<(), DbError> {
    diesel::delete(of(device, community)).execute(conn)?;
    Ok(())
}

#[diesel::dsl::auto_type]
fn of<'a>(device: DeviceId, community: &'a AreaCode) -> _ {
    let device: String = device.to_string();
    let community: &'a str = community.as_str();
    device_scopes::table.filter(device_scopes::device.eq(device)).filter(device_scopes::community.eq(community))
}

fn put(
    conn: &mut AnyConnection,
    device: DeviceId,
    (community, scope): (&AreaCode, u64),
    served: &Served,
) -> Result<(), DbError> {
    let text = |e: serde_json::Error| DbError::Row(format!("scope of device {device}: {e}"));
    let grants = serde_json::to_string(&served.grants).map_err(text)?;
    let bases = serde_json::to_string(&served.bases).map_err(text)?;
    diesel::delete(of(device, community).filter(device_scopes::scope.eq(number(scope)))).execute(conn)?;
    diesel::insert_into(device_scopes::table)
        .values((
            device_scopes::device.eq(device.to_string()),
            device_scopes::community.eq(community.as_str()),
            device_scopes::scope.eq(number(scope)),
            device_scopes::grants.eq(grants),
            device_scopes::bases.eq(bases),
        ))
        .execute(conn)?;
    Ok(())
}
