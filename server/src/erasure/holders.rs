//! Which phones may hold a document that is erased: those that wrote in it, those that it was given to, and those that may have been given
//! it by a phone that they met. Who was wiped since, or has purged it since, is clean already.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde_json::Value;
use sync_core::ids::{DeviceId, DocumentId};
use sync_core::relay::certificate;
use sync_core::sync::orders::Confirmed;

use crate::areas;
use crate::db::tables::{
    areas as area_rows, assignments, audit, device_orders, devices, documents, erased_documents, erased_holders,
    held_documents,
};
use crate::db::{AnyConnection, DbError};
use crate::{journal, orders};

/// Deliveries that are read at once.
const PAGE: i64 = 500;
const ROWS_AT_ONCE: usize = 500;

/// Why a phone may hold a document; the better reason is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// Somebody it met may have given it.
    Met,
    /// A sync gave it.
    Given,
    /// It wrote in it.
    Wrote,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Given => "given",
            Self::Wrote => "wrote",
        }
    }
}

/// Notes the phones that may hold a document which is about to be destroyed.
pub(super) fn note(
    conn: &mut AnyConnection,
    id: DocumentId,
    community: &str,
    entries: &[journal::Entry],
) -> Result<(), DbError> {
    // By phone: why, and when it had it last.
    let mut held: BTreeMap<String, (Why, i64)> = BTreeMap::new();
    let mut add = |device: String, why: Why, at_ms: i64| {
        let known = held.entry(device).or_insert((why, at_ms));
        *known = (known.0.max(why), known.1.max(at_ms));
    };
    for entry in entries {
        entry.device.iter().for_each(|d| add(d.clone(), Why::Wrote, entry.received_ms));
    }
    let given = audit::table
        .filter(audit::action.eq("sync.deliver"))
        .filter(audit::detail.like(format!("%{}%", id.0.simple())))
        .select((audit::device, audit::at_ms));
    for (device, at_ms) in given.load::<(Option<String>, i64)>(conn)? {
        device.into_iter().for_each(|d| add(d, Why::Given, at_ms));
    }
    let before = || held_documents::table.filter(held_documents::document.eq(id.to_string()));
    let given = before().select((held_documents::device, held_documents::given_ms));
    for (device, at_ms) in given.load::<(String, i64)>(conn)? {
        add(device, Why::Given, at_ms);
    }
    diesel::delete(before()).execute(conn)?;
    let since_ms = entries.iter().map(|e| e.received_ms).min().unwrap_or_default();
    for device in near(conn, community, since_ms)? {
        add(device, Why::Met, since_ms);
    }
    for (device, (why, at_ms)) in held {
        let clean = clean_since(conn, &device, id, community, at_ms)?;
        diesel::insert_into(erased_holders::table)
            .values((
                erased_holders::document.eq(id.to_string()),
                erased_holders::device.eq(device),
                erased_holders::confirmed_ms.eq(clean),
                erased_holders::why.eq(Some(why.as_str())),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Phones of people who are or were charged with something in a community, and that could show a certificate to another phone after a
/// moment: two phones that meet give each other what both may see.
fn near(conn: &mut AnyConnection, community: &str, since_ms: i64) -> Result<Vec<String>, DbError> {
    let path = areas::find(conn, community)?.map_or_else(|| community.to_owned(), |a| a.path);
    // The areas above it, and all within it.
    let above: Vec<&str> = path.split('/').filter(|code| !code.is_empty()).collect();
    let around = area_rows::code.eq_any(above).or(area_rows::path.like(areas::within(&path)).escape('\\'));
    let people = assignments::table
        .filter(assignments::area.eq_any(area_rows::table.filter(around).select(area_rows::code)))
        .filter(assignments::until_ms.is_null().or(assignments::until_ms.ge(since_ms)))
        .select(assignments::user_id);
    let known = devices::table
        .filter(devices::user_id.eq_any(people))
        .filter(devices::last_seen_ms.ge(since_ms.saturating_sub(certificate::LIFE_MS)));
    Ok(known.select(devices::id).load(conn)?)
}

/// Since when a phone is known not to hold a document that it had last at a moment: it was wiped, or has purged it or all of its
/// community since.
fn clean_since(
    conn: &mut AnyConnection,
    device: &str,
    id: DocumentId,
    community: &str,
    had_ms: i64,
) -> Result<Option<i64>, DbError> {
    let rows: Vec<(String, Option<i64>)> = device_orders::table
        .filter(device_orders::device.eq(device))
        .filter(device_orders::confirmed_ms.is_not_null())
        .filter(device_orders::target.eq_any([String::new(), id.to_string(), community.to_owned()]))
        .select((device_orders::kind, device_orders::confirmed_ms))
        .load(conn)?;
    let counts = |kind: &str, at_ms: i64| kind == orders::WIPE || at_ms > had_ms;
    Ok(rows.into_iter().filter_map(|(kind, at)| at.filter(|at| counts(&kind, *at))).min())
}

/// Notes that a phone has forgotten what it was told to.
pub(crate) fn confirmed(
    conn: &mut AnyConnection,
    device: DeviceId,
    confirmed: &Confirmed,
    now_ms: i64,
) -> Result<(), DbError> {
    let documents: Vec<String> = confirmed.documents.iter().map(ToString::to_string).collect();
    for some in documents.chunks(ROWS_AT_ONCE) {
        let rows = open(device).filter(erased_holders::document.eq_any(some));
        diesel::update(rows).set(erased_holders::confirmed_ms.eq(Some(now_ms))).execute(conn)?;
    }
    for community in &confirmed.communities {
        let erased = erased_documents::table.filter(erased_documents::community.eq(community.as_str()));
        let rows = open(device).filter(erased_holders::document.eq_any(erased.select(erased_documents::document)));
        diesel::update(rows).set(erased_holders::confirmed_ms.eq(Some(now_ms))).execute(conn)?;
    }
    Ok(())
}

/// Notes that a phone has destroyed everything.
pub(crate) fn wiped(conn: &mut AnyConnection, device: DeviceId, now_ms: i64) -> Result<(), DbError> {
    diesel::update(open(device)).set(erased_holders::confirmed_ms.eq(Some(now_ms))).execute(conn)?;
    Ok(())
}

#[diesel::dsl::auto_type]
pub(super) fn open(device: DeviceId) -> _ {
    let device: String = device.to_string();
    erased_holders::table.filter(erased_holders::device.eq(device)).filter(erased_holders::confirmed_ms.is_null())
}

/// Keeps, of deliveries that the audit log is about to forget, which phones were given what: an erasure asks them all.
pub(crate) fn remember(conn: &mut AnyConnection, before_ms: i64) -> Result<(), DbError> {
    let mut after = String::new();
    loop {
        let page: Vec<(String, Option<String>, i64, String)> = audit::table
            .filter(audit::action.eq("sync.deliver"))
            .filter(audit::at_ms.lt(before_ms))
            .filter(audit::id.gt(&after))
            .order(audit::id)
            .limit(PAGE)
            .select((audit::id, audit::device, audit::at_ms, audit::detail))
            .load(conn)?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        for (_, device, at_ms, detail) in page {
            let Some(device) = device else { continue };
            let detail: Value = serde_json::from_str(&detail).unwrap_or_default();
            let named = detail.get("documents").and_then(Value::as_str).unwrap_or_default().split(' ');
            let ids: Vec<String> =
                named.filter_map(|id| id.parse().ok()).map(|id: DocumentId| id.to_string()).collect();
            for some in ids.chunks(ROWS_AT_ONCE) {
                // What was erased since is not to be named again.
                let there: Vec<String> =
                    documents::table.filter(documents::id.eq_any(some)).select(documents::id).load(conn)?;
                there.iter().try_for_each(|id| keep(conn, id, &device, at_ms))?;
            }
        }
    }
}

fn keep(conn: &mut AnyConnection, document: &str, device: &str, given_ms: i64) -> Result<(), DbError> {
    let known = held_documents::table.find((document, device));
    let last: Option<i64> = known.select(held_documents::given_ms).first(conn).optional()?;
    match last {
        Some(last) if last >= given_ms => {}
        Some(_) => {
            diesel::update(known).set(held_documents::given_ms.eq(given_ms)).execute(conn)?;
        }
        None => {
            diesel::insert_into(held_documents::table)
                .values((
                    held_documents::document.eq(document),
                    held_documents::device.eq(device),
                    held_documents::given_ms.eq(given_ms),
                ))
                .execute(conn)?;
        }
    }
    Ok(())
}
