//! Which records are history: closed, and at rest for long. The feed does not hand them to a phone that is new to them; nothing else
//! depends on it.

use std::collections::BTreeSet;

use diesel::prelude::*;
use sync_core::patrol::PatrolStatus;

use crate::db::tables::{cases, patrols};
use crate::db::{AnyConnection, DbError};

/// Those of these records that were closed and have not changed since a moment, ms UTC: history, which nobody who is new to them needs
/// at hand.
pub fn closed_before(conn: &mut AnyConnection, ids: &[String], before_ms: i64) -> Result<BTreeSet<String>, DbError> {
    let old_cases = cases::table
        .filter(cases::document.eq_any(ids))
        .filter(cases::is_open.eq(false))
        .filter(cases::needs_review.eq(false))
        .filter(cases::updated_ms.lt(before_ms));
    let old_patrols = patrols::table
        .filter(patrols::document.eq_any(ids))
        .filter(patrols::status.eq(PatrolStatus::Done.as_str()))
        .filter(patrols::updated_ms.lt(before_ms));
    let mut old: Vec<String> = old_cases.select(cases::document).load(conn)?;
    old.extend(old_patrols.select(patrols::document).load::<String>(conn)?);
    Ok(old.into_iter().collect())
}
