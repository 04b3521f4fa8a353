//! The numbers of the day.

use std::collections::BTreeSet;

use diesel::dsl::{case_when, count_star, sum};
use diesel::prelude::*;
use diesel::sql_types::Integer;
use sync_core::authority::{Grant, Subject};
use sync_core::role::{AreaKind, Role};

use crate::db::tables::{cases, hazards, notifications, patrols};
use crate::db::{AnyConnection, DbError};

/// What a day adds up to in some communities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Cases that arrived since the day began.
    pub received: i64,
    /// Cases settled since the day began.
    pub resolved: i64,
    /// Cases raised since the day began, and not taken back.
    pub raised: i64,
    /// Open cases to which a department was summoned that has not come.
    pub summoned: i64,
    /// Open cases.
    pub open: i64,
    /// Open cases in which something is overdue.
    pub overdue: i64,
    /// Open cases with a street.
    pub street: i64,
    /// Open cases with the district.
    pub district: i64,
    /// Patrols that arrived since the day began.
    pub patrols: i64,
    /// Hazards that were not put right.
    pub hazards: i64,
}

/// The communities that somebody looks after as a whole.
pub fn whole_communities(subject: &Subject) -> Vec<String> {
    let whole = |g: &&Grant| {
        let reads = !matches!(g.role, Role::Administrator | Role::BuildingCaptain);
        reads && matches!(g.kind, AreaKind::Community | AreaKind::Street | AreaKind::District)
    };
    let grants = subject.grants.iter().filter(whole);
    let found: BTreeSet<String> = grants.flat_map(|g| &g.communities).map(ToString::to_string).collect();
    found.into_iter().collect()
}

/// Counts for some communities; `day_ms` is when the day began, ms UTC. Asked without their names, of indexes that hold all that is
/// asked: with them, a database would look up each community's rows one by one.
pub fn numbers(conn: &mut AnyConnection, communities: &[String], day_ms: i64, now_ms: i64) -> Result<Numbers, DbError> {
    let asked: BTreeSet<&str> = communities.iter().map(String::as_str).collect();
    let is_asked = |community: &String| asked.contains(community.as_str());
    let count = |found: Vec<String>| i64::try_from(found.iter().filter(|c| is_asked(c)).count()).unwrap_or(i64::MAX);
    let received = cases::table.filter(cases::received_ms.ge(day_ms)).select(cases::community).load(conn)?;
    let resolved = cases::table.filter(cases::resolved_ms.ge(day_ms)).select(cases::community).load(conn)?;
    let summoned = cases::table.filter(cases::summoned_ms.is_not_null()).select(cases::community).load(conn)?;
    let raised = notifications::table
        .filter(notifications::raised_ms.ge(day_ms))
        .filter(notifications::kind.eq("escalation"))
        .filter(notifications::withdrawn_by.is_null())
        .select((notifications::community, notifications::document));
    // A case may climb twice in a day.
    let raised: BTreeSet<(String, String)> = raised.load(conn)?.into_iter().collect();
    let walked = patrols::table.filter(patrols::received_ms.ge(day_ms)).select(patrols::community).load(conn)?;
    let hazards = hazards::table.filter(hazards::rectified_ms.is_null()).select(hazards::community).load(conn)?;
    // In one walk through the index, not in one for what is open and another for what of it is overdue.
    let overdue = sum(case_when(cases::due_ms.le(now_ms), 1.into_sql::<Integer>()).otherwise(0.into_sql::<Integer>()));
    let open: Vec<(String, String, i64, Option<i64>)> = cases::table
        .filter(cases::is_open.eq(true))
        .group_by((cases::level, cases::community))
        .select((cases::level, cases::community, count_star(), overdue))
        .load(conn)?;
    let open: Vec<_> = open.into_iter().filter(|(_, community, ..)| is_asked(community)).collect();
    let with = |level: &str| open.iter().filter(|(l, ..)| l == level).map(|(.., n, _)| n).sum();
    Ok(Numbers {
        received: count(received),
        resolved: count(resolved),
        raised: count(raised.into_iter().map(|(community, _)| community).collect()),
        summoned: count(summoned),
        open: open.iter().map(|(.., n, _)| n).sum(),
        overdue: open.iter().filter_map(|(.., n)| *n).sum(),
        street: with("street"),
        district: with("district"),
        patrols: count(walked),
        hazards: count(hazards),
    })
}
