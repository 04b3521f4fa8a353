//! The numbers of the day.

use std::collections::BTreeSet;

use diesel::dsl::{case_when, count_star, sum};
use diesel::prelude::*;
use diesel::sql_types::Integer;

use crate::db::tables::{cases, patrols};
use crate::db::{AnyConnection, DbError};

/// What a day adds up to in some communities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Cases that arrived since the day began.
    pub received: i64,
    /// Open cases.
    pub open: i64,
    /// Open cases in which something is overdue.
    pub overdue: i64,
    /// Open cases with street or district.
    pub escalated: i64,
    /// Patrols that arrived since the day began.
    pub patrols: i64,
    /// Hazards that were not put right.
    pub hazards: i64,
}

/// Counts for some communities; `day_ms` is when the day began, ms UTC. Asked without their names, of indexes that hold all that is
/// asked: with them, a database would look up each community's rows one by one.
pub fn numbers(conn: &mut AnyConnection, communities: &[String], day_ms: i64, now_ms: i64) -> Result<Numbers, DbError> {
    let asked: BTreeSet<&str> = communities.iter().map(String::as_str).collect();
    let is_asked = |community: &String| asked.contains(community.as_str());
    let count = |found: Vec<String>| i64::try_from(found.iter().filter(|c| is_asked(c)).count()).unwrap_or(i64::MAX);
    let received = cases::table.filter(cases::received_ms.ge(day_ms)).select(cases::community).load(conn)?;
    let walked = patrols::table.filter(patrols::received_ms.ge(day_ms)).select(patrols::community).load(conn)?;
    let hazards =
        patrols::table.filter(patrols::hazards_open.gt(0)).select((patrols::community, patrols::hazards_open));
    let hazards: Vec<(String, i32)> = hazards.load(conn)?;
    // In one walk through the index, not in one for what is open and another for what of it is overdue.
    let overdue = sum(case_when(cases::due_ms.le(now_ms), 1.into_sql::<Integer>()).otherwise(0.into_sql::<Integer>()));
    let open: Vec<(String, String, i64, Option<i64>)> = cases::table
        .filter(cases::is_open.eq(true))
        .group_by((cases::level, cases::community))
        .select((cases::level, cases::community, count_star(), overdue))
        .load(conn)?;
    let open: Vec<_> = open.into_iter().filter(|(_, community, ..)| is_asked(community)).collect();
    Ok(Numbers {
        received: count(received),
        open: open.iter().map(|(.., n, _)| n).sum(),
        overdue: open.iter().filter_map(|(.., n)| *n).sum(),
        escalated: open.iter().filter(|(level, ..)| level != "community").map(|(.., n, _)| n).sum(),
        patrols: count(walked),
        hazards: hazards.iter().filter(|(community, _)| is_asked(community)).map(|(_, n)| i64::from(*n)).sum(),
    })
}
