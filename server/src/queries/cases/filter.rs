//! What the case list can be narrowed to, and the question that it makes of the database.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::Subject;
use sync_core::role::AreaKind;
use sync_core::search;
use utoipa::{IntoParams, ToSchema};

use super::SEARCH_MAX;
use crate::areas;
use crate::db::tables::{cases, notifications};
use crate::db::{AnyConnection, DbError};
use crate::projection;
use crate::queries::{After, QueryError, decode_cursor, page_limit, parts};

/// What a case can be flagged with.
const FLAGS: [&str; 4] = ["conflicts", "passages", "unknowing", "evidence"];

/// What the case list can be narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CaseFilter {
    /// Code of an area of any kind, district to building: cases that lie in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<String>,
    /// Community code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community: Option<String>,
    /// Grid code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<String>,
    /// Building code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
    /// community, street or district.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// A status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The category begins with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Only open ones, or only others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// Only those on which a supervisor has something to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_review: Option<bool>,
    /// Only major alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<bool>,
    /// Only those that were overdue when they arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrived_late: Option<bool>,
    /// Only those in which something is overdue now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue: Option<bool>,
    /// Something is due before this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_to: Option<i64>,
    /// Only those on which this stands open: `conflicts`, `passages`, `unknowing` (closed without knowing), `evidence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<String>,
    /// Who is charged with it: an account, or `me`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Who created it: an account, or `me`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Only those to which a department was summoned that has not come, or only others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summoned: Option<bool>,
    /// Only those to which this department was summoned and has not come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Created at or after this, as its creator says, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_from: Option<i64>,
    /// Created before this, as its creator says, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_to: Option<i64>,
    /// Arrived at or after this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_from: Option<i64>,
    /// Arrived before this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_to: Option<i64>,
    /// Settled at or after this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_from: Option<i64>,
    /// Settled before this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_to: Option<i64>,
    /// Raised to a higher level at or after this, ms UTC, and not taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalated_from: Option<i64>,
    /// Full text: every word of it must occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// `updated` (default), `created`, `received` or `due`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// `desc` (default; `asc` for `due`) or `asc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// From the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// 1 to 200; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Updated,
    Created,
    Received,
    Due,
}

/// What one list asks, checked.
pub(super) struct Question<'a> {
    pub(super) sort: Sort,
    pub(super) limit: i64,
    pub(super) after: Option<After>,
    filter: &'a CaseFilter,
    subject: &'a Subject,
    communities: Vec<String>,
    /// Where the asked area narrows further than to communities.
    within: Option<(AreaKind, String)>,
    ascending: bool,
    words: Vec<String>,
    found: Option<Vec<i64>>,
    now_ms: i64,
}

/// A narrowed query of either database.
type Narrowed<'a> = cases::BoxedQuery<'a, <AnyConnection as Connection>::Backend>;

fn invalid(field: &'static str, problem: &str) -> QueryError {
    QueryError::Invalid { field, problem: problem.to_owned() }
}

fn order(filter: &CaseFilter) -> Result<(Sort, bool, i64, Option<After>), QueryError> {
    let sort = match filter.sort.as_deref() {
        None | Some("updated") => Sort::Updated,
        Some("created") => Sort::Created,
        Some("received") => Sort::Received,
        Some("due") => Sort::Due,
        Some(_) => return Err(invalid("sort", "use updated, created, received or due")),
    };
    let ascending = match filter.order.as_deref() {
        None => sort == Sort::Due,
        Some("asc") => true,
        Some("desc") => false,
        Some(_) => return Err(invalid("order", "use asc or desc")),
    };
    if filter.flag.as_deref().is_some_and(|f| !FLAGS.contains(&f)) {
        return Err(invalid("flag", "use conflicts, passages, unknowing or evidence"));
    }
    let after = filter.cursor.as_deref().map(decode_cursor).transpose()?;
    Ok((sort, ascending, page_limit(filter.limit)?, after))
}

impl<'a> Question<'a> {
    /// Checks what is asked; the inner error is the asker's.
    pub(super) fn of(
        conn: &mut AnyConnection,
        subject: &'a Subject,
        filter: &'a CaseFilter,
        now_ms: i64,
    ) -> Result<Result<Self, QueryError>, DbError> {
        let (sort, ascending, limit, after) = match order(filter) {
            Ok(order) => order,
            Err(e) => return Ok(Err(e)),
        };
        let text = search::normalise(filter.q.as_deref().unwrap_or_default());
        let words: Vec<String> = text.split(' ').filter(|w| !w.is_empty()).take(8).map(str::to_owned).collect();
        let found = match words.iter().max_by_key(|w| w.chars().count()) {
            Some(word) => projection::candidates(conn, word, SEARCH_MAX)?,
            None => None,
        };
        let mut communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
        let mut within = None;
        if let Some(code) = &filter.area {
            match areas::scope(conn, code)? {
                None => return Ok(Err(invalid("area", "use the code of an area"))),
                Some(areas::Scope { communities: asked, part }) => {
                    communities.retain(|c| asked.contains(c));
                    within = part;
                }
            }
        }
        Ok(Ok(Self { sort, limit, after, filter, subject, communities, within, ascending, words, found, now_ms }))
    }

    /// An account that is asked for.
    fn account(&self, named: &str) -> String {
        if named == "me" { self.subject.user.to_string() } else { named.to_owned() }
    }

    fn flagged<'q>(&self, mut query: Narrowed<'q>) -> Narrowed<'q> {
        let filter = self.filter;
        if let Some(v) = filter.needs_review {
            query = query.filter(cases::needs_review.eq(v));
        }
        if let Some(v) = filter.major {
            query = query.filter(cases::major_alert.eq(v));
        }
        if let Some(v) = filter.arrived_late {
            query = query.filter(cases::arrived_late.eq(v));
        }
        if filter.flag.is_some() {
            // Each of them wants a decision; there is an index of those that do.
            query = query.filter(cases::needs_review.eq(true));
        }
        match filter.flag.as_deref() {
            Some("conflicts") => query.filter(cases::conflicts.gt(0)),
            Some("passages") => query.filter(cases::passages.gt(0)),
            Some("unknowing") => query.filter(cases::closed_without_knowing.gt(0)),
            Some("evidence") => query.filter(cases::evidence_pending.gt(0)),
            _ => query,
        }
    }

    fn placed<'q>(&self, mut query: Narrowed<'q>) -> Narrowed<'q> {
        let filter = self.filter;
        query = query.filter(cases::community.eq_any(self.communities.clone()));
        if let Some((grids, buildings)) = parts(self.subject) {
            let own = cases::created_by.eq(self.subject.user.to_string());
            query = query.filter(cases::grid.eq_any(grids).or(cases::building.eq_any(buildings)).or(own));
        }
        match self.within.clone() {
            Some((AreaKind::Grid, code)) => query = query.filter(cases::grid.eq(code)),
            Some((AreaKind::Building, code)) => query = query.filter(cases::building.eq(code)),
            _ => {}
        }
        if let Some(v) = filter.community.clone() {
            query = query.filter(cases::community.eq(v));
        }
        if let Some(v) = filter.grid.clone() {
            query = query.filter(cases::grid.eq(v));
        }
        if let Some(v) = filter.building.clone() {
            query = query.filter(cases::building.eq(v));
        }
        query
    }

    fn timed<'q>(&self, mut query: Narrowed<'q>) -> Narrowed<'q> {
        let filter = self.filter;
        match filter.overdue {
            Some(true) => query = query.filter(cases::due_ms.le(self.now_ms)),
            // In the order of what is due, what is not due at all does not stand.
            Some(false) if self.sort == Sort::Due => query = query.filter(cases::due_ms.gt(self.now_ms)),
            Some(false) => query = query.filter(cases::due_ms.gt(self.now_ms).or(cases::due_ms.is_null())),
            None => {}
        }
        if let Some(v) = filter.due_to {
            query = query.filter(cases::due_ms.lt(v));
        }
        if let Some(v) = filter.created_from {
            query = query.filter(cases::created_ms.ge(v));
        }
        if let Some(v) = filter.created_to {
            query = query.filter(cases::created_ms.lt(v));
        }
        if let Some(v) = filter.received_from {
            query = query.filter(cases::received_ms.ge(v));
        }
        if let Some(v) = filter.received_to {
            query = query.filter(cases::received_ms.lt(v));
        }
        if let Some(v) = filter.resolved_from {
            query = query.filter(cases::resolved_ms.ge(v));
        }
        if let Some(v) = filter.resolved_to {
            query = query.filter(cases::resolved_ms.lt(v));
        }
        if let Some(v) = filter.escalated_from {
            let raised = notifications::table
                .filter(notifications::raised_ms.ge(v))
                .filter(notifications::kind.eq("escalation"))
                .filter(notifications::withdrawn_by.is_null());
            query = query.filter(cases::document.eq_any(raised.select(notifications::document)));
        }
        query
    }

    /// The cases that are asked for, in order, behind a place.
    pub(super) fn narrowed<'q>(&self, after: Option<&After>) -> Narrowed<'q> {
        let filter = self.filter;
        let mut query = self.timed(self.flagged(self.placed(cases::table.into_boxed())));
        if let Some(v) = filter.level.clone() {
            query = query.filter(cases::level.eq(v));
        }
        if let Some(v) = filter.status.clone() {
            query = query.filter(cases::status.eq(v));
        }
        if let Some(v) = &filter.category {
            let pattern = search::like_pattern(v);
            query = query.filter(cases::category.like(pattern.trim_start_matches('%').to_owned()).escape('\\'));
        }
        if let Some(v) = filter.open {
            query = query.filter(cases::is_open.eq(v));
        }
        if let Some(v) = &filter.assignee {
            query = query.filter(cases::assignee.eq(self.account(v)));
        }
        if let Some(v) = &filter.created_by {
            query = query.filter(cases::created_by.eq(self.account(v)));
        }
        match filter.summoned {
            Some(true) => query = query.filter(cases::summoned_ms.is_not_null()),
            Some(false) => query = query.filter(cases::summoned_ms.is_null()),
            None => {}
        }
        if let Some(v) = &filter.department {
            let pattern = search::like_pattern(&projection::awaited_line(v));
            query = query.filter(cases::summoned_ms.is_not_null()).filter(cases::awaited.like(pattern).escape('\\'));
        }
        if let Some(ids) = &self.found {
            query = query.filter(cases::search_id.eq_any(ids.clone()));
        }
        for word in &self.words {
            query = query.filter(cases::search_text.like(search::like_pattern(word)).escape('\\'));
        }
        self.ordered(query, after)
    }

    fn ordered<'q>(&self, mut query: Narrowed<'q>, after: Option<&After>) -> Narrowed<'q> {
        let ascending = self.ascending;
        macro_rules! paged {
            ($column:expr) => {{
                if let Some((value, id)) = after {
                    let (value, id) = (*value, id.clone());
                    query = if ascending {
                        query.filter($column.gt(value).or($column.eq(value).and(cases::document.gt(id))))
                    } else {
                        query.filter($column.lt(value).or($column.eq(value).and(cases::document.lt(id))))
                    };
                }
                if ascending {
                    query.order(($column.asc(), cases::document.asc()))
                } else {
                    query.order(($column.desc(), cases::document.desc()))
                }
            }};
        }
        match self.sort {
            Sort::Updated => paged!(cases::updated_ms),
            Sort::Created => paged!(cases::created_ms),
            Sort::Received => paged!(cases::received_ms),
            Sort::Due => {
                query = query.filter(cases::due_ms.is_not_null());
                paged!(cases::due_ms)
            }
        }
    }
}
