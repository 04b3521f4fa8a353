//! One look at the database for the live streams: what has grown since the last one, and whether those who listen still may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::dsl::{count_star, max};
use diesel::prelude::*;
use sync_core::ids::AreaCode;

use super::{DeviceChange, Growth, Notice};
use crate::accounts::grants;
use crate::app::App;
use crate::areas::Tree;
use crate::db::tables::{
    areas, assignments, communities, devices, journal as entries, quarantine, replication_alerts, sessions, users,
};
use crate::db::{AnyConnection, DbError};
use crate::{journal, replication};

/// Changed documents that one notice names.
pub const DOCUMENTS_MAX: usize = 256;
/// Identities in one query.
const CHUNK: usize = 500;

/// What the last look saw.
pub struct Seen {
    heads: BTreeMap<String, i64>,
    aside: Aside,
    aside_at: Instant,
}

/// What is looked at less often than the journals.
#[derive(Clone, Default, PartialEq, Eq)]
struct Aside {
    waiting: BTreeMap<String, (i64, Option<String>)>,
    devices: DeviceFigures,
    rights: (i64, Option<i64>, Option<i64>, i64, i64),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct DeviceFigures {
    registered: i64,
    registered_ms: Option<i64>,
    revoked: i64,
    revoked_ms: Option<i64>,
    /// When an alert about one was last raised or closed.
    alert_ms: Option<i64>,
}

/// Looks once, and tells the streams what is new. With nothing seen before, every head is told: a stream knows what it told.
pub fn round(app: &App, seen: Option<Seen>, aside_every: Duration) -> Result<Seen, DbError> {
    let mut conn = app.db.get()?;
    let heads: BTreeMap<String, i64> =
        communities::table.select((communities::code, communities::head)).load(&mut *conn)?.into_iter().collect();
    // Asked after reading: whoever begins to listen from now on reads no older heads himself.
    let alone = app.live.count() == 0;
    for (code, head) in &heads {
        let before = seen.as_ref().map(|s| s.heads.get(code).copied().unwrap_or_default());
        if before == Some(*head) || alone {
            continue;
        }
        let community = AreaCode::new(code.clone()).map_err(|_| DbError::Row(format!("community {code}")))?;
        let places = match before {
            Some(before) => changed(&mut conn, &community, before, *head)?,
            None => None,
        };
        app.live.tell(&Notice::Grown(Arc::new(Growth { community, head: *head, places })));
    }
    match seen {
        Some(s) if alone || s.aside_at.elapsed() < aside_every => Ok(Seen { heads, ..s }),
        other => {
            end_those_who_may_not(app, &mut conn)?;
            let now = aside(&mut conn, app.now_ms())?;
            // What happened between a stream's beginning and the first look is told twice rather than never.
            let before = other.map_or_else(|| Aside { devices: now.devices, ..Aside::default() }, |s| s.aside);
            if before != now {
                tell_aside(app, &mut conn, &before, &now)?;
            }
            Ok(Seen { heads, aside: now, aside_at: Instant::now() })
        }
    }
}

/// The documents that were changed behind one position up to another; `None` when they are too many to name.
pub fn changed(
    conn: &mut AnyConnection,
    community: &AreaCode,
    after: i64,
    head: i64,
) -> Result<Option<Vec<sync_core::authority::Place>>, DbError> {
    let ids: Vec<String> = entries::table
        .filter(entries::community.eq(community.as_str()))
        .filter(entries::position.gt(after))
        .filter(entries::position.le(head))
        .select(entries::document)
        .distinct()
        .limit(i64::try_from(DOCUMENTS_MAX + 1).unwrap_or(i64::MAX))
        .load(conn)?;
    if ids.len() > DOCUMENTS_MAX {
        return Ok(None);
    }
    journal::document_rows(conn, &ids)?.values().map(journal::DocumentRow::place).collect::<Result<_, _>>().map(Some)
}

/// How many refused changes wait in each community, and which came last.
fn waiting(conn: &mut AnyConnection) -> Result<BTreeMap<String, (i64, Option<String>)>, DbError> {
    let rows: Vec<(String, i64, Option<String>)> = quarantine::table
        .filter(quarantine::state.eq("waiting"))
        .group_by(quarantine::community)
        .select((quarantine::community, count_star(), max(quarantine::id)))
        .load(conn)?;
    Ok(rows.into_iter().map(|(community, n, last)| (community, (n, last))).collect())
}

/// How many refused changes wait in a community.
pub fn waiting_in(conn: &mut AnyConnection, community: &AreaCode) -> Result<i64, DbError> {
    let of = quarantine::table.filter(quarantine::community.eq(community.as_str()));
    Ok(of.filter(quarantine::state.eq("waiting")).count().get_result(conn)?)
}

fn aside(conn: &mut AnyConnection, now_ms: i64) -> Result<Aside, DbError> {
    let (registered, registered_ms) = devices::table.select((count_star(), max(devices::registered_ms))).first(conn)?;
    let gone = devices::table.filter(devices::revoked_ms.is_not_null());
    let (revoked, revoked_ms) = gone.select((count_star(), max(devices::revoked_ms))).first(conn)?;
    let (raised_ms, closed_ms) = replication_alerts::table
        .select((max(replication_alerts::raised_ms), max(replication_alerts::closed_ms)))
        .first::<(Option<i64>, Option<i64>)>(conn)?;
    let (roles, from_ms, until_ms) =
        assignments::table.select((count_star(), max(assignments::from_ms), max(assignments::until_ms))).first(conn)?;
    // Roles begin and end by themselves, too.
    let held: i64 = assignments::table
        .filter(assignments::from_ms.le(now_ms))
        .filter(assignments::until_ms.is_null().or(assignments::until_ms.gt(now_ms)))
        .count()
        .get_result(conn)?;
    let areas: i64 = areas::table.count().get_result(conn)?;
    Ok(Aside {
        waiting: waiting(conn)?,
        devices: DeviceFigures { registered, registered_ms, revoked, revoked_ms, alert_ms: raised_ms.max(closed_ms) },
        rights: (roles, from_ms, until_ms, held, areas),
    })
}

fn tell_aside(app: &App, conn: &mut AnyConnection, before: &Aside, now: &Aside) -> Result<(), DbError> {
    let codes: BTreeSet<&String> = before.waiting.keys().chain(now.waiting.keys()).collect();
    for code in codes {
        let here = now.waiting.get(code);
        if here != before.waiting.get(code)
            && let Ok(community) = AreaCode::new(code.clone())
        {
            app.live.tell(&Notice::Quarantine(community, here.map_or(0, |(n, _)| *n)));
        }
    }
    if now.rights != before.rights {
        let people: BTreeSet<_> = app.live.listeners().into_iter().map(|l| l.user).collect();
        for user in people {
            let subject = grants::now(conn, user, app.now_ms())?;
            app.live.tell_user(user, &Notice::Judged(Arc::new(subject)));
        }
    }
    if now.devices != before.devices {
        for change in device_changes(conn, &before.devices, app.now_ms())? {
            app.live.tell(&Notice::Device(Arc::new(change)));
        }
    }
    Ok(())
}

fn device_changes(conn: &mut AnyConnection, before: &DeviceFigures, now_ms: i64) -> Result<Vec<DeviceChange>, DbError> {
    let since = (before.registered_ms.unwrap_or(i64::MIN), before.revoked_ms.unwrap_or(i64::MIN));
    let rows: Vec<(String, String)> = devices::table
        .filter(devices::registered_ms.ge(since.0).or(devices::revoked_ms.ge(since.1)))
        .order(devices::id)
        .limit(i64::try_from(DOCUMENTS_MAX).unwrap_or(i64::MAX))
        .select((devices::id, devices::user_id))
        .load(conn)?;
    let alerted = replication::changed_since(conn, before.alert_ms.unwrap_or(i64::MIN))?;
    let rows: BTreeSet<(String, String)> = rows.into_iter().chain(alerted).collect();
    let tree = Tree::load(conn)?;
    let mut changes = Vec::with_capacity(rows.len());
    for (device, user) in rows {
        let held: Vec<String> = assignments::table
            .filter(assignments::user_id.eq(user))
            .filter(assignments::from_ms.le(now_ms))
            .filter(assignments::until_ms.is_null().or(assignments::until_ms.gt(now_ms)))
            .select(assignments::area)
            .load(conn)?;
        let areas = held.iter().flat_map(|a| tree.chain(a)).map(|a| a.code.clone()).collect();
        changes.push(DeviceChange { device, areas });
    }
    Ok(changes)
}

/// Ends the streams whose session was ended, whose account was closed, or whose token has expired.
fn end_those_who_may_not(app: &App, conn: &mut AnyConnection) -> Result<(), DbError> {
    let listeners = app.live.listeners();
    let now_ms = app.now_ms();
    let mut gone: BTreeSet<String> = BTreeSet::new();
    let ids: Vec<String> = listeners.iter().map(|l| l.session.to_string()).collect();
    for chunk in ids.chunks(CHUNK) {
        let ended = sessions::table.filter(sessions::id.eq_any(chunk)).filter(sessions::revoked_ms.is_not_null());
        gone.extend(ended.select(sessions::id).load::<String>(conn)?);
    }
    let ids: Vec<String> = listeners.iter().map(|l| l.user.to_string()).collect();
    for chunk in ids.chunks(CHUNK) {
        let closed = users::table.filter(users::id.eq_any(chunk)).filter(users::active.eq(false));
        gone.extend(closed.select(users::id).load::<String>(conn)?);
    }
    app.live
        .end(|l| l.expires_ms <= now_ms || gone.contains(&l.session.to_string()) || gone.contains(&l.user.to_string()));
    Ok(())
}
