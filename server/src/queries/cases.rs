//! The case list: what it can be narrowed to, and its rows.

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::Subject;
use sync_core::search;
use sync_core::shape::DocumentKind;
use utoipa::{IntoParams, ToSchema};

use super::{After, Page, Placed, QueryError, decode_cursor, fill, page_limit};
use crate::db::tables::cases;
use crate::db::{AnyConnection, DbError};
use crate::projection;

/// Cases that the search index may name for one question.
const SEARCH_MAX: i64 = 20_000;

/// What a case can be flagged with.
const FLAGS: [&str; 4] = ["conflicts", "passages", "unknowing", "evidence"];

/// A row of the case list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = cases)]
pub struct CaseSummary {
    /// The document.
    #[diesel(column_name = document)]
    pub id: String,
    /// Its community.
    pub community: String,
    /// Its grid.
    pub grid: Option<String>,
    /// Its building.
    pub building: Option<String>,
    /// Given, or the beginning of the narrative.
    pub title: String,
    /// Code of the table `category`.
    pub category: Option<String>,
    /// Code of the table `severity`.
    pub severity: Option<String>,
    /// Where it stands.
    pub status: String,
    /// The hall it lies with.
    pub level: String,
    /// Whether something is still to be done about the dispute.
    pub is_open: bool,
    /// Who is charged with it.
    pub assignee: Option<String>,
    /// Who created it.
    pub created_by: String,
    /// When, as its creator says, ms UTC.
    pub created_ms: i64,
    /// When it first arrived, ms UTC.
    pub received_ms: i64,
    /// When the last change arrived, ms UTC.
    pub updated_ms: i64,
    /// How many people.
    pub people_involved: Option<i64>,
    /// Fen.
    pub amount_claimed: Option<i64>,
    /// Fen.
    pub amount_agreed: Option<i64>,
    /// Registers set by two people who had not seen each other.
    pub conflicts: i32,
    /// Flagged passages.
    pub passages: i32,
    /// Closings by somebody who had not seen new facts.
    pub closed_without_knowing: i32,
    /// Escalations with late evidence to be judged.
    pub evidence_pending: i32,
    /// Whether a supervisor has something to decide.
    pub needs_review: bool,
    /// Whether it is a major alert.
    pub major_alert: bool,
    /// Whether something was overdue when it first arrived.
    pub arrived_late: bool,
    /// When the next thing is due, ms UTC.
    pub due_ms: Option<i64>,
}

/// What the case list can be narrowed to.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CaseFilter {
    /// Community code.
    pub community: Option<String>,
    /// Grid code.
    pub grid: Option<String>,
    /// Building code.
    pub building: Option<String>,
    /// community, street or district.
    pub level: Option<String>,
    /// A status.
    pub status: Option<String>,
    /// The category begins with this.
    pub category: Option<String>,
    /// Only open ones, or only others.
    pub open: Option<bool>,
    /// Only those on which a supervisor has something to decide.
    pub needs_review: Option<bool>,
    /// Only major alerts.
    pub major: Option<bool>,
    /// Only those that were overdue when they arrived.
    pub arrived_late: Option<bool>,
    /// Only those in which something is overdue now.
    pub overdue: Option<bool>,
    /// Only those on which this stands open: `conflicts`, `passages`, `unknowing` (closed without knowing), `evidence`.
    pub flag: Option<String>,
    /// Created at or after this, ms UTC.
    pub created_from: Option<i64>,
    /// Created before this, ms UTC.
    pub created_to: Option<i64>,
    /// Full text: every word of it must occur.
    pub q: Option<String>,
    /// `updated` (default), `created` or `due`.
    pub sort: Option<String>,
    /// `desc` (default; `asc` for `due`) or `asc`.
    pub order: Option<String>,
    /// From the page before.
    pub cursor: Option<String>,
    /// 1 to 200; 50 by default.
    pub limit: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Updated,
    Created,
    Due,
}

impl CaseSummary {
    fn key(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Updated => self.updated_ms,
            Sort::Created => self.created_ms,
            Sort::Due => self.due_ms.unwrap_or(i64::MAX),
        }
    }
}

impl Placed for CaseSummary {
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str) {
        (&self.id, &self.community, self.grid.as_ref(), self.building.as_ref(), &self.created_by)
    }
}

/// What one list asks, checked.
struct Question<'a> {
    filter: &'a CaseFilter,
    communities: Vec<String>,
    sort: Sort,
    ascending: bool,
    words: Vec<String>,
    found: Option<Vec<i64>>,
    now_ms: i64,
}

/// A page of the cases that somebody may see. The outer error is the database's, the inner the asker's.
pub fn case_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &CaseFilter,
    now_ms: i64,
) -> Result<Result<Page<CaseSummary>, QueryError>, DbError> {
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
    let communities = subject.communities().into_iter().map(String::from).collect();
    let question = Question { filter, communities, sort, ascending, words, found, now_ms };
    let key = |r: &CaseSummary| (r.key(sort), r.id.clone());
    fill(subject, DocumentKind::Case, limit, after, key, |after, limit| batch(conn, &question, after, limit)).map(Ok)
}

fn order(filter: &CaseFilter) -> Result<(Sort, bool, i64, Option<After>), QueryError> {
    let invalid = |field, problem: &str| QueryError::Invalid { field, problem: problem.to_owned() };
    let sort = match filter.sort.as_deref() {
        None | Some("updated") => Sort::Updated,
        Some("created") => Sort::Created,
        Some("due") => Sort::Due,
        Some(_) => return Err(invalid("sort", "use updated, created or due")),
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

fn batch(
    conn: &mut AnyConnection,
    question: &Question<'_>,
    after: Option<&After>,
    limit: i64,
) -> Result<Vec<CaseSummary>, DbError> {
    let Question { filter, sort, ascending, now_ms, .. } = question;
    let (ascending, now_ms) = (*ascending, *now_ms);
    let mut query = cases::table.filter(cases::community.eq_any(&question.communities)).into_boxed();
    if let Some(v) = &filter.community {
        query = query.filter(cases::community.eq(v));
    }
    if let Some(v) = &filter.grid {
        query = query.filter(cases::grid.eq(v));
    }
    if let Some(v) = &filter.building {
        query = query.filter(cases::building.eq(v));
    }
    if let Some(v) = &filter.level {
        query = query.filter(cases::level.eq(v));
    }
    if let Some(v) = &filter.status {
        query = query.filter(cases::status.eq(v));
    }
    if let Some(v) = &filter.category {
        let pattern = search::like_pattern(v);
        query = query.filter(cases::category.like(pattern.trim_start_matches('%').to_owned()).escape('\\'));
    }
    if let Some(v) = filter.open {
        query = query.filter(cases::is_open.eq(v));
    }
    if let Some(v) = filter.needs_review {
        query = query.filter(cases::needs_review.eq(v));
    }
    if let Some(v) = filter.major {
        query = query.filter(cases::major_alert.eq(v));
    }
    if let Some(v) = filter.arrived_late {
        query = query.filter(cases::arrived_late.eq(v));
    }
    match filter.overdue {
        Some(true) => query = query.filter(cases::due_ms.le(now_ms)),
        // In the order of what is due, what is not due at all does not stand.
        Some(false) if *sort == Sort::Due => query = query.filter(cases::due_ms.gt(now_ms)),
        Some(false) => query = query.filter(cases::due_ms.gt(now_ms).or(cases::due_ms.is_null())),
        None => {}
    }
    if filter.flag.is_some() {
        // Each of them wants a decision; there is an index of those that do.
        query = query.filter(cases::needs_review.eq(true));
    }
    match filter.flag.as_deref() {
        Some("conflicts") => query = query.filter(cases::conflicts.gt(0)),
        Some("passages") => query = query.filter(cases::passages.gt(0)),
        Some("unknowing") => query = query.filter(cases::closed_without_knowing.gt(0)),
        Some("evidence") => query = query.filter(cases::evidence_pending.gt(0)),
        _ => {}
    }
    if let Some(v) = filter.created_from {
        query = query.filter(cases::created_ms.ge(v));
    }
    if let Some(v) = filter.created_to {
        query = query.filter(cases::created_ms.lt(v));
    }
    if let Some(ids) = &question.found {
        query = query.filter(cases::search_id.eq_any(ids));
    }
    for word in &question.words {
        query = query.filter(cases::search_text.like(search::like_pattern(word)).escape('\\'));
    }
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
    let query = match sort {
        Sort::Updated => paged!(cases::updated_ms),
        Sort::Created => paged!(cases::created_ms),
        Sort::Due => {
            query = query.filter(cases::due_ms.is_not_null());
            paged!(cases::due_ms)
        }
    };
    Ok(query.limit(limit).select(CaseSummary::as_select()).load::<CaseSummary>(conn)?)
}

/// Other cases of the same building that were created within a day: perhaps the same dispute, told twice.
pub fn possible_duplicates(conn: &mut AnyConnection, subject: &Subject, id: &str) -> Result<Vec<CaseSummary>, DbError> {
    let own: Option<(Option<String>, i64)> =
        cases::table.find(id).select((cases::building, cases::created_ms)).first(conn).optional()?;
    let Some((Some(building), created_ms)) = own else { return Ok(Vec::new()) };
    let day = sync_core::calendar::DAY_MS;
    Ok(cases::table
        .filter(cases::building.eq(building))
        .filter(cases::created_ms.between(created_ms.saturating_sub(day), created_ms.saturating_add(day)))
        .filter(cases::document.ne(id))
        .filter(cases::status.ne("merged"))
        .order((cases::created_ms, cases::document))
        .limit(20)
        .select(CaseSummary::as_select())
        .load::<CaseSummary>(conn)?
        .into_iter()
        .filter(|c| c.visible_to(subject, DocumentKind::Case))
        .collect())
}

/// What these cases are called, those left out that somebody may not see.
pub fn case_titles(
    conn: &mut AnyConnection,
    subject: &Subject,
    ids: &[String],
) -> Result<BTreeMap<String, String>, DbError> {
    let rows = cases::table.filter(cases::document.eq_any(ids)).select(CaseSummary::as_select());
    let rows = rows.load::<CaseSummary>(conn)?.into_iter().filter(|c| c.visible_to(subject, DocumentKind::Case));
    Ok(rows.map(|c| (c.id.clone(), if c.title.is_empty() { c.id } else { c.title })).collect())
}

/// Cases that somebody may see in which a number of this keyed hash stands, last changed first.
pub fn cases_with_number(conn: &mut AnyConnection, subject: &Subject, mac: &str) -> Result<Vec<CaseSummary>, DbError> {
    let found = projection::with_number(conn, mac, SEARCH_MAX)?;
    let rows = cases::table.filter(cases::search_id.eq_any(found)).order((cases::updated_ms.desc(), cases::document));
    let rows = rows.limit(super::PAGE_MAX).select(CaseSummary::as_select()).load::<CaseSummary>(conn)?;
    Ok(rows.into_iter().filter(|c| c.visible_to(subject, DocumentKind::Case)).collect())
}
