//! The case list: its rows, pages and counts, and single cases for other rooms.

mod filter;

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde::Serialize;
use sync_core::authority::Subject;
use sync_core::shape::DocumentKind;
use utoipa::ToSchema;

use super::{After, Page, Placed, QueryError, fill};
use crate::db::tables::cases;
use crate::db::{AnyConnection, DbError};
use crate::projection;

pub use filter::CaseFilter;
use filter::{Question, Sort};

/// Cases that the search index may name for one question.
const SEARCH_MAX: i64 = 20_000;

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
    /// Departments that were summoned and have not come, one a line.
    pub awaited: String,
    /// Since when the first of them is awaited, ms UTC.
    pub summoned_ms: Option<i64>,
    /// When it was settled, ms UTC.
    pub resolved_ms: Option<i64>,
    /// By how much something was overdue when it arrived, ms.
    pub late_ms: i64,
}

/// As much of a row as tells who may see it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = cases)]
struct Spot {
    document: String,
    community: String,
    grid: Option<String>,
    building: Option<String>,
    created_by: String,
}

impl Placed for Spot {
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str) {
        (&self.document, &self.community, self.grid.as_ref(), self.building.as_ref(), &self.created_by)
    }
}

impl CaseSummary {
    fn key(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Updated => self.updated_ms,
            Sort::Created => self.created_ms,
            Sort::Received => self.received_ms,
            Sort::Due => self.due_ms.unwrap_or(i64::MAX),
        }
    }
}

impl Placed for CaseSummary {
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str) {
        (&self.id, &self.community, self.grid.as_ref(), self.building.as_ref(), &self.created_by)
    }
}

/// A page of the cases that somebody may see. The outer error is the database's, the inner the asker's.
pub fn case_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &CaseFilter,
    now_ms: i64,
) -> Result<Result<Page<CaseSummary>, QueryError>, DbError> {
    let question = match Question::of(conn, subject, filter, now_ms)? {
        Ok(question) => question,
        Err(e) => return Ok(Err(e)),
    };
    let key = |r: &CaseSummary| (r.key(question.sort), r.id.clone());
    let after = question.after.clone();
    fill(subject, DocumentKind::Case, question.limit, after, key, |after, limit| batch(conn, &question, after, limit))
        .map(Ok)
}

fn batch(
    conn: &mut AnyConnection,
    question: &Question<'_>,
    after: Option<&After>,
    limit: i64,
) -> Result<Vec<CaseSummary>, DbError> {
    Ok(question.narrowed(after).limit(limit).select(CaseSummary::as_select()).load::<CaseSummary>(conn)?)
}

/// How many cases of a list somebody may see, and whether there are more than were counted: at most so many are.
pub fn case_count(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &CaseFilter,
    now_ms: i64,
    max: i64,
) -> Result<Result<(i64, bool), QueryError>, DbError> {
    let question = match Question::of(conn, subject, filter, now_ms)? {
        Ok(question) => question,
        Err(e) => return Ok(Err(e)),
    };
    // What SQL could not leave out is left out here, so that one more is asked for only where nothing is.
    let found = question.narrowed(None).limit(max.saturating_add(1)).select(Spot::as_select()).load::<Spot>(conn)?;
    let more = i64::try_from(found.len()).unwrap_or(i64::MAX) > max;
    let seen = found.iter().filter(|s| s.visible_to(subject, DocumentKind::Case)).count();
    Ok(Ok((i64::try_from(seen).unwrap_or(i64::MAX).min(max), more)))
}

/// All cases of a list that somebody may see, in its order, by their ids: what is taken along in one piece.
pub fn case_ids(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &CaseFilter,
    now_ms: i64,
) -> Result<Result<Vec<String>, QueryError>, DbError> {
    let question = match Question::of(conn, subject, filter, now_ms)? {
        Ok(question) => question,
        Err(e) => return Ok(Err(e)),
    };
    let found = question.narrowed(None).select(Spot::as_select()).load::<Spot>(conn)?;
    let seen = found.into_iter().filter(|s| s.visible_to(subject, DocumentKind::Case));
    Ok(Ok(seen.map(|s| s.document).collect()))
}

/// These cases in this order, those left out that somebody may not see (any more).
pub fn cases_of(conn: &mut AnyConnection, subject: &Subject, ids: &[String]) -> Result<Vec<CaseSummary>, DbError> {
    let rows = cases::table.filter(cases::document.eq_any(ids)).select(CaseSummary::as_select());
    let rows = rows.load::<CaseSummary>(conn)?.into_iter().filter(|c| c.visible_to(subject, DocumentKind::Case));
    let mut rows: BTreeMap<String, CaseSummary> = rows.map(|c| (c.id.clone(), c)).collect();
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
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
