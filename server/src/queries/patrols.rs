//! The patrol list: what it can be narrowed to, and its rows.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::Subject;
use sync_core::role::AreaKind;
use sync_core::shape::DocumentKind;
use utoipa::{IntoParams, ToSchema};

use super::{After, Page, Placed, QueryError, decode_cursor, fill, page_limit, parts};
use crate::areas;
use crate::db::tables::patrols;
use crate::db::{AnyConnection, DbError};

/// A row of the patrol list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = patrols)]
pub struct PatrolSummary {
    /// The document.
    #[diesel(column_name = document)]
    pub id: String,
    /// Its community.
    pub community: String,
    /// Its grid.
    pub grid: Option<String>,
    /// Its building.
    pub building: Option<String>,
    /// open, hazards_open or done.
    pub status: String,
    /// Who made it.
    pub created_by: String,
    /// When, as its maker says, ms UTC.
    pub created_ms: i64,
    /// When it first arrived, ms UTC.
    pub received_ms: i64,
    /// When the last change arrived, ms UTC.
    pub updated_ms: i64,
    /// Hazards found.
    pub hazards: i32,
    /// Hazards not put right.
    pub hazards_open: i32,
    /// Checklist items with problems.
    pub problems: i32,
    /// Leaflets given out.
    pub leaflets: i64,
    /// Conflicts or flagged passages.
    pub needs_review: bool,
}

/// What the patrol list can be narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PatrolFilter {
    /// Code of an area of any kind, district to building: patrols that lie in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Community code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community: Option<String>,
    /// Building code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// open, hazards_open or done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only those on which two people disagree, or only others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_review: Option<bool>,
    /// Arrived at or after this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_from: Option<i64>,
    /// Arrived before this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_to: Option<i64>,
    /// `updated` (default) or `received`; the last first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// From the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// 1 to 200; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// A narrowed query of either database.
type Narrowed = patrols::BoxedQuery<'static, <AnyConnection as Connection>::Backend>;

/// The patrols that are asked for, in no order; the inner error is the asker's.
fn narrowed(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &PatrolFilter,
) -> Result<Result<impl Fn() -> Narrowed + use<>, QueryError>, DbError> {
    let mut communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
    let mut within = None;
    if let Some(code) = &filter.area {
        let Some(scope) = areas::scope(conn, code)? else {
            return Ok(Err(QueryError::Invalid { field: "area", problem: "use the code of an area".into() }));
        };
        communities.retain(|c| scope.communities.contains(c));
        within = scope.part;
    }
    let (filter, parts, user) = (filter.clone(), parts(subject), subject.user.to_string());
    Ok(Ok(move || {
        let mut query = patrols::table.filter(patrols::community.eq_any(communities.clone())).into_boxed();
        if let Some((grids, buildings)) = parts.clone() {
            let own = patrols::created_by.eq(user.clone());
            query = query.filter(patrols::grid.eq_any(grids).or(patrols::building.eq_any(buildings)).or(own));
        }
        match within.clone() {
            Some((AreaKind::Grid, code)) => query = query.filter(patrols::grid.eq(code)),
            Some((AreaKind::Building, code)) => query = query.filter(patrols::building.eq(code)),
            _ => {}
        }
        if let Some(v) = filter.community.clone() {
            query = query.filter(patrols::community.eq(v));
        }
        if let Some(v) = filter.building.clone() {
            query = query.filter(patrols::building.eq(v));
        }
        if let Some(v) = filter.status.clone() {
            query = query.filter(patrols::status.eq(v));
        }
        if let Some(v) = filter.needs_review {
            query = query.filter(patrols::needs_review.eq(v));
        }
        if let Some(v) = filter.received_from {
            query = query.filter(patrols::received_ms.ge(v));
        }
        if let Some(v) = filter.received_to {
            query = query.filter(patrols::received_ms.lt(v));
        }
        query
    }))
}

/// A page of the patrols that somebody may see, last changed or last arrived first.
pub fn patrol_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &PatrolFilter,
) -> Result<Result<Page<PatrolSummary>, QueryError>, DbError> {
    let asked = || -> Result<_, QueryError> {
        let by_arrival = match filter.sort.as_deref() {
            None | Some("updated") => false,
            Some("received") => true,
            Some(_) => return Err(QueryError::Invalid { field: "sort", problem: "use updated or received".into() }),
        };
        Ok((by_arrival, page_limit(filter.limit)?, filter.cursor.as_deref().map(decode_cursor).transpose()?))
    };
    let (by_arrival, limit, after) = match asked() {
        Ok(asked) => asked,
        Err(e) => return Ok(Err(e)),
    };
    let narrowed = match narrowed(conn, subject, filter)? {
        Ok(narrowed) => narrowed,
        Err(e) => return Ok(Err(e)),
    };
    let key = |r: &PatrolSummary| (if by_arrival { r.received_ms } else { r.updated_ms }, r.id.clone());
    let fetch = |after: Option<&After>, limit| {
        let mut query = narrowed();
        macro_rules! paged {
            ($column:expr) => {{
                if let Some((value, id)) = after.cloned() {
                    query = query.filter($column.lt(value).or($column.eq(value).and(patrols::document.lt(id))));
                }
                query.order(($column.desc(), patrols::document.desc())).limit(limit)
            }};
        }
        let ordered = if by_arrival { paged!(patrols::received_ms) } else { paged!(patrols::updated_ms) };
        Ok(ordered.select(PatrolSummary::as_select()).load(conn)?)
    };
    fill(subject, DocumentKind::Patrol, limit, after, key, fetch).map(Ok)
}

/// How many patrols of a list somebody may see, and whether there are more than were counted: at most so many are.
pub fn patrol_count(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &PatrolFilter,
    max: i64,
) -> Result<Result<(i64, bool), QueryError>, DbError> {
    let narrowed = match narrowed(conn, subject, filter)? {
        Ok(narrowed) => narrowed,
        Err(e) => return Ok(Err(e)),
    };
    let found = narrowed().limit(max.saturating_add(1)).select(PatrolSummary::as_select()).load(conn)?;
    let more = i64::try_from(found.len()).unwrap_or(i64::MAX) > max;
    let seen = found.iter().filter(|p: &&PatrolSummary| p.visible_to(subject, DocumentKind::Patrol)).count();
    Ok(Ok((i64::try_from(seen).unwrap_or(i64::MAX).min(max), more)))
}

impl Placed for PatrolSummary {
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str) {
        (&self.id, &self.community, self.grid.as_ref(), self.building.as_ref(), &self.created_by)
    }
}
