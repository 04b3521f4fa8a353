//! The numbers of the day.

use diesel::dsl::{count_star, sum};
use diesel::prelude::*;

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

/// Counts for some communities; `day_ms` is when the day began, ms UTC.
pub fn numbers(conn: &mut AnyConnection, communities: &[String], day_ms: i64, now_ms: i64) -> Result<Numbers, DbError> {
    let all = || cases::table.filter(cases::community.eq_any(communities));
    let open = || all().filter(cases::is_open.eq(true));
    let walked = || patrols::table.filter(patrols::community.eq_any(communities));
    let hazards: Option<i64> =
        walked().filter(patrols::hazards_open.gt(0)).select(sum(patrols::hazards_open)).first(conn)?;
    Ok(Numbers {
        received: all().filter(cases::received_ms.ge(day_ms)).select(count_star()).first(conn)?,
        open: open().select(count_star()).first(conn)?,
        overdue: open().filter(cases::due_ms.le(now_ms)).select(count_star()).first(conn)?,
        escalated: open().filter(cases::level.ne("community")).select(count_star()).first(conn)?,
        patrols: walked().filter(patrols::received_ms.ge(day_ms)).select(count_star()).first(conn)?,
        hazards: hazards.unwrap_or(0),
    })
}
