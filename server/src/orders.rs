//! What phones are ordered to do: to purge what their owner may no longer see, or to destroy everything. An order stands until the phone
//! confirms it, however many answers are lost; what was confirmed stays to be seen.

use std::collections::BTreeSet;

use diesel::prelude::*;
use sync_core::authority::Subject;
use sync_core::ids::{AreaCode, BundleId, DeviceId, DocumentId, Entropy, UserId};
use sync_core::limits;
use sync_core::sync::orders::Confirmed;

use crate::db::tables::device_orders as orders;
use crate::db::{AnyConnection, DbError, insert_all};
use crate::{journal, scopes};

/// Purge one document.
pub const DOCUMENT: &str = "document";
/// Purge everything of a community.
pub const COMMUNITY: &str = "community";
/// Destroy everything.
pub const WIPE: &str = "wipe";

const ROWS_AT_ONCE: usize = 500;

/// One order.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = orders)]
pub struct Order {
    /// To which phone.
    pub device: String,
    /// [`DOCUMENT`], [`COMMUNITY`] or [`WIPE`].
    pub kind: String,
    /// The document or community; empty for a wipe.
    pub target: String,
    /// Its identity: a confirmation names it where it is signed.
    pub id: String,
    /// When, ms UTC.
    pub ordered_ms: i64,
    /// By whom; none when it follows from rights or places.
    pub ordered_by: Option<String>,
    /// When the phone confirmed it, ms UTC.
    pub confirmed_ms: Option<i64>,
}

/// What a phone is to purge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purge {
    /// Documents.
    pub documents: Vec<DocumentId>,
    /// Communities.
    pub communities: Vec<AreaCode>,
}

/// Notes what a phone has confirmed.
pub fn confirm(conn: &mut AnyConnection, device: DeviceId, confirmed: &Confirmed, now_ms: i64) -> Result<(), DbError> {
    let documents: Vec<String> = confirmed.documents.iter().map(ToString::to_string).collect();
    for some in documents.chunks(ROWS_AT_ONCE) {
        mark(conn, device, DOCUMENT, some, now_ms)?;
    }
    if !confirmed.communities.is_empty() {
        let codes: Vec<String> = confirmed.communities.iter().map(ToString::to_string).collect();
        mark(conn, device, COMMUNITY, &codes, now_ms)?;
    }
    Ok(())
}

fn mark(
    conn: &mut AnyConnection,
    device: DeviceId,
    kind: &str,
    targets: &[String],
    now_ms: i64,
) -> Result<(), DbError> {
    let open = orders::table
        .filter(orders::device.eq(device.to_string()))
        .filter(orders::kind.eq(kind))
        .filter(orders::target.eq_any(targets))
        .filter(orders::confirmed_ms.is_null());
    diesel::update(open).set(orders::confirmed_ms.eq(Some(now_ms))).execute(conn)?;
    Ok(())
}

/// Orders a phone to purge.
pub fn purge(
    conn: &mut AnyConnection,
    device: DeviceId,
    purge: &Purge,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<(), DbError> {
    let documents = purge.documents.iter().map(|d| (DOCUMENT, d.to_string()));
    // For two reasons at once is still one order.
    let all: BTreeSet<(&str, String)> =
        documents.chain(purge.communities.iter().map(|c| (COMMUNITY, c.to_string()))).collect();
    let all: Vec<(&str, String)> = all.into_iter().collect();
    for some in all.chunks(ROWS_AT_ONCE) {
        for kind in [DOCUMENT, COMMUNITY] {
            let targets: Vec<&String> = some.iter().filter(|(k, _)| *k == kind).map(|(_, t)| t).collect();
            let same = orders::table
                .filter(orders::device.eq(device.to_string()))
                .filter(orders::kind.eq(kind))
                .filter(orders::target.eq_any(targets));
            diesel::delete(same).execute(conn)?;
        }
        let rows: Vec<Order> =
            some.iter().map(|(kind, target)| order(device, kind, target, None, now_ms, entropy)).collect();
        insert_all!(conn, orders::table, &rows);
    }
    Ok(())
}

fn order(device: DeviceId, kind: &str, target: &str, by: Option<UserId>, now_ms: i64, entropy: &dyn Entropy) -> Order {
    Order {
        device: device.to_string(),
        kind: kind.to_owned(),
        target: target.to_owned(),
        id: BundleId::from_parts(now_ms, entropy.ten()).to_string(),
        ordered_ms: now_ms,
        ordered_by: by.map(|u| u.to_string()),
        confirmed_ms: None,
    }
}

/// What a phone has still to purge, as much as fits one answer, and whether there is more. An order that rights or places have overtaken
/// is dropped, unless this very answer gives it.
pub fn open_purges(
    conn: &mut AnyConnection,
    device: DeviceId,
    subject: &Subject,
    fresh: &Purge,
) -> Result<(Purge, bool), DbError> {
    let rows = orders::table
        .filter(orders::device.eq(device.to_string()))
        .filter(orders::confirmed_ms.is_null())
        .filter(orders::kind.ne(WIPE))
        .order((orders::kind, orders::target))
        .load::<Order>(conn)?;
    if rows.is_empty() {
        return Ok((Purge::default(), false));
    }
    let ids: Vec<String> = rows.iter().filter(|r| r.kind == DOCUMENT).map(|r| r.target.clone()).collect();
    let mut lying = std::collections::BTreeMap::new();
    for some in ids.chunks(ROWS_AT_ONCE) {
        lying.extend(journal::document_rows(conn, some)?);
    }
    let seen = subject.communities();
    let mut purge = Purge::default();
    for row in rows {
        let overtaken = if row.kind == COMMUNITY {
            let code = AreaCode::new(row.target.clone()).map_err(|_| DbError::Row(format!("order {}", row.id)))?;
            let overtaken = seen.contains(&code) && !fresh.communities.contains(&code);
            if !overtaken {
                purge.communities.push(code);
            }
            overtaken
        } else {
            let id: DocumentId = row.target.parse().map_err(|_| DbError::Row(format!("order {}", row.id)))?;
            let visible = match lying.get(&row.target) {
                Some(found) => subject.may_read(&found.place()?),
                None => false,
            };
            let overtaken = visible && !fresh.documents.contains(&id);
            if !overtaken {
                purge.documents.push(id);
            }
            overtaken
        };
        if overtaken {
            diesel::delete(orders::table.find((&row.device, &row.kind, &row.target))).execute(conn)?;
        }
    }
    let more = purge.documents.len() > limits::RESPONSE_PURGES_MAX;
    purge.documents.truncate(limits::RESPONSE_PURGES_MAX);
    Ok((purge, more))
}

/// Orders a phone to destroy everything. Ordering it again changes nothing.
pub fn wipe(
    conn: &mut AnyConnection,
    device: DeviceId,
    by: UserId,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<(), DbError> {
    let there = orders::table.find((device.to_string(), WIPE, "")).count().get_result::<i64>(conn)?;
    if there == 0 {
        diesel::insert_into(orders::table).values(order(device, WIPE, "", Some(by), now_ms, entropy)).execute(conn)?;
    }
    Ok(())
}

/// The order to destroy everything that a phone has not confirmed.
pub fn open_wipe(conn: &mut AnyConnection, device: DeviceId) -> Result<Option<BundleId>, DbError> {
    let row = orders::table.find((device.to_string(), WIPE, "")).first::<Order>(conn).optional()?;
    let open = row.filter(|r| r.confirmed_ms.is_none());
    open.map(|r| r.id.parse().map_err(|_| DbError::Row(format!("order {}", r.id)))).transpose()
}

/// Notes that a phone has destroyed everything. A confirmation of another order counts for nothing.
pub fn wiped(conn: &mut AnyConnection, device: DeviceId, id: BundleId, now_ms: i64) -> Result<bool, DbError> {
    let open = orders::table
        .filter(orders::device.eq(device.to_string()))
        .filter(orders::kind.eq(WIPE))
        .filter(orders::id.eq(id.to_string()))
        .filter(orders::confirmed_ms.is_null());
    Ok(diesel::update(open).set(orders::confirmed_ms.eq(Some(now_ms))).execute(conn)? > 0)
}

/// All orders to a phone, latest first.
pub fn of_device(conn: &mut AnyConnection, device: DeviceId, limit: i64) -> Result<Vec<Order>, DbError> {
    Ok(orders::table
        .filter(orders::device.eq(device.to_string()))
        .order((orders::ordered_ms.desc(), orders::kind, orders::target))
        .limit(limit)
        .load::<Order>(conn)?)
}

/// Forgets what was served of communities whose purge a phone has confirmed.
pub fn forget_served(conn: &mut AnyConnection, device: DeviceId, confirmed: &Confirmed) -> Result<(), DbError> {
    confirmed.communities.iter().try_for_each(|code| scopes::forget(conn, device, code))
}
