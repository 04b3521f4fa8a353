//! The list of hazards: what it can be narrowed to, and its rows.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::Subject;
use sync_core::role::AreaKind;
use sync_core::shape::DocumentKind;
use utoipa::{IntoParams, ToSchema};

use super::{After, Page, Placed, QueryError, decode_cursor, fill, page_limit, parts};
use crate::areas;
use crate::db::tables::hazards;
use crate::db::{AnyConnection, DbError};

/// A hazard that was found on a patrol.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = hazards)]
pub struct HazardSummary {
    /// The patrol record.
    #[diesel(column_name = document)]
    pub patrol: String,
    /// Its id in the record.
    pub hazard: String,
    /// The community.
    pub community: String,
    /// The grid.
    pub grid: Option<String>,
    /// The building.
    pub building: Option<String>,
    /// Who made the patrol record.
    pub created_by: String,
    /// Code of the table `hazard_kind`.
    pub kind: Option<String>,
    /// Code of the table `hazard_grade`.
    pub grade: Option<String>,
    /// Where exactly.
    pub place: String,
    /// What was noted.
    pub note: String,
    /// Who found it.
    pub found_by: Option<String>,
    /// When, as the clock of who found it says, ms UTC.
    pub found_ms: i64,
    /// Until when it is to be put right, ms UTC.
    pub rectify_by_ms: Option<i64>,
    /// Who says that it was put right.
    pub rectified_by: Option<String>,
    /// When, ms UTC.
    pub rectified_ms: Option<i64>,
}

/// What the list of hazards can be narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HazardFilter {
    /// Code of an area of any kind, district to building: hazards that lie in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// `open` or `rectified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Code of the table `hazard_kind`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Code of the table `hazard_grade`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<String>,
    /// Only those that are not put right in time, or only others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue: Option<bool>,
    /// Found at or after this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_from: Option<i64>,
    /// Found before this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_to: Option<i64>,
    /// `desc` (default, the last found first) or `asc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// From the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// 1 to 200; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

impl Placed for HazardSummary {
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str) {
        (&self.patrol, &self.community, self.grid.as_ref(), self.building.as_ref(), &self.created_by)
    }
}

/// A narrowed query of either database.
type Narrowed = hazards::BoxedQuery<'static, <AnyConnection as Connection>::Backend>;

/// What one list asks, checked.
struct Question {
    filter: HazardFilter,
    communities: Vec<String>,
    within: Option<(AreaKind, String)>,
    parts: Option<(Vec<String>, Vec<String>)>,
    user: String,
    ascending: bool,
    limit: i64,
    after: Option<After>,
    now_ms: i64,
}

impl Question {
    fn of(
        conn: &mut AnyConnection,
        subject: &Subject,
        filter: &HazardFilter,
        now_ms: i64,
    ) -> Result<Result<Self, QueryError>, DbError> {
        let invalid = |field, problem: &str| QueryError::Invalid { field, problem: problem.to_owned() };
        let checked = || -> Result<_, QueryError> {
            if !matches!(filter.state.as_deref(), None | Some("open" | "rectified")) {
                return Err(invalid("state", "use open or rectified"));
            }
            let ascending = match filter.order.as_deref() {
                None | Some("desc") => false,
                Some("asc") => true,
                Some(_) => return Err(invalid("order", "use asc or desc")),
            };
            let after = filter.cursor.as_deref().map(decode_cursor).transpose()?;
            Ok((ascending, page_limit(filter.limit)?, after))
        };
        let (ascending, limit, after) = match checked() {
            Ok(checked) => checked,
            Err(e) => return Ok(Err(e)),
        };
        let mut communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
        let mut within = None;
        if let Some(code) = &filter.area {
            let Some(scope) = areas::scope(conn, code)? else {
                return Ok(Err(invalid("area", "use the code of an area")));
            };
            communities.retain(|c| scope.communities.contains(c));
            within = scope.part;
        }
        let (parts, user) = (parts(subject), subject.user.to_string());
        Ok(Ok(Self { filter: filter.clone(), communities, within, parts, user, ascending, limit, after, now_ms }))
    }

    fn narrowed(&self) -> Narrowed {
        let filter = &self.filter;
        let mut query = hazards::table.filter(hazards::community.eq_any(self.communities.clone())).into_boxed();
        if let Some((grids, buildings)) = self.parts.clone() {
            let own = hazards::created_by.eq(self.user.clone());
            query = query.filter(hazards::grid.eq_any(grids).or(hazards::building.eq_any(buildings)).or(own));
        }
        match self.within.clone() {
            Some((AreaKind::Grid, code)) => query = query.filter(hazards::grid.eq(code)),
            Some((AreaKind::Building, code)) => query = query.filter(hazards::building.eq(code)),
            _ => {}
        }
        match filter.state.as_deref() {
            Some("open") => query = query.filter(hazards::rectified_ms.is_null()),
            Some("rectified") => query = query.filter(hazards::rectified_ms.is_not_null()),
            _ => {}
        }
        if let Some(v) = filter.kind.clone() {
            query = query.filter(hazards::kind.eq(v));
        }
        if let Some(v) = filter.grade.clone() {
            query = query.filter(hazards::grade.eq(v));
        }
        match filter.overdue {
            Some(true) => {
                query = query.filter(hazards::rectified_ms.is_null()).filter(hazards::rectify_by_ms.le(self.now_ms));
            }
            Some(false) => {
                let in_time = hazards::rectify_by_ms.is_null().or(hazards::rectify_by_ms.gt(self.now_ms));
                query = query.filter(hazards::rectified_ms.is_not_null().or(in_time));
            }
            None => {}
        }
        if let Some(v) = filter.found_from {
            query = query.filter(hazards::found_ms.ge(v));
        }
        if let Some(v) = filter.found_to {
            query = query.filter(hazards::found_ms.lt(v));
        }
        query
    }

    fn batch(
        &self,
        conn: &mut AnyConnection,
        after: Option<&After>,
        limit: i64,
    ) -> Result<Vec<HazardSummary>, DbError> {
        let mut query = self.narrowed();
        if let Some((ms, id)) = after.cloned() {
            let (document, hazard) = id.split_once('/').unwrap_or((&id, ""));
            let (document, hazard) = (document.to_owned(), hazard.to_owned());
            let (same, found) = (hazards::found_ms.eq(ms), hazards::found_ms);
            let here = hazards::document.eq(document.clone());
            query = if self.ascending {
                let behind = hazards::document.gt(document).or(here.and(hazards::hazard.gt(hazard)));
                query.filter(found.gt(ms).or(same.and(behind)))
            } else {
                let behind = hazards::document.lt(document).or(here.and(hazards::hazard.lt(hazard)));
                query.filter(found.lt(ms).or(same.and(behind)))
            };
        }
        query = if self.ascending {
            query.order((hazards::found_ms.asc(), hazards::document.asc(), hazards::hazard.asc()))
        } else {
            query.order((hazards::found_ms.desc(), hazards::document.desc(), hazards::hazard.desc()))
        };
        Ok(query.limit(limit).select(HazardSummary::as_select()).load(conn)?)
    }
}

/// A page of the hazards that somebody may see.
pub fn hazard_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &HazardFilter,
    now_ms: i64,
) -> Result<Result<Page<HazardSummary>, QueryError>, DbError> {
    let question = match Question::of(conn, subject, filter, now_ms)? {
        Ok(question) => question,
        Err(e) => return Ok(Err(e)),
    };
    let key = |h: &HazardSummary| (h.found_ms, format!("{}/{}", h.patrol, h.hazard));
    let fetch = |after: Option<&After>, limit| question.batch(conn, after, limit);
    fill(subject, DocumentKind::Patrol, question.limit, question.after.clone(), key, fetch).map(Ok)
}

/// How many hazards of a list somebody may see, and whether there are more than were counted: at most so many are.
pub fn hazard_count(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &HazardFilter,
    now_ms: i64,
    max: i64,
) -> Result<Result<(i64, bool), QueryError>, DbError> {
    let question = match Question::of(conn, subject, filter, now_ms)? {
        Ok(question) => question,
        Err(e) => return Ok(Err(e)),
    };
    let found = question.batch(conn, None, max.saturating_add(1))?;
    let more = i64::try_from(found.len()).unwrap_or(i64::MAX) > max;
    let seen = found.iter().filter(|h| h.visible_to(subject, DocumentKind::Patrol)).count();
    Ok(Ok((i64::try_from(seen).unwrap_or(i64::MAX).min(max), more)))
}
