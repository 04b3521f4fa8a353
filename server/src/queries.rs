//! Lists over the projections: filters, order and pages. Only rows that the asker may see leave this room.

use base64::Engine as _;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::{Place, Subject};
use sync_core::ids::AreaCode;
use sync_core::search;
use sync_core::shape::DocumentKind;
use utoipa::{IntoParams, ToSchema};

use crate::db::tables::{cases, notifications, patrols, quarantine};
use crate::db::{AnyConnection, DbError};
use crate::projection;

/// The most rows in one page.
pub const PAGE_MAX: i64 = 200;
const SEARCH_MAX: i64 = 20_000;

/// A page cursor that is not one of ours.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// A parameter is at fault.
    #[error("`{field}`: {problem}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What would do.
        problem: String,
    },
}

/// A row of the case list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, ToSchema)]
pub struct CaseSummary {
    /// The document.
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

/// One page.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Updated,
    Created,
    Due,
}

fn encode_cursor(value: i64, id: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{value}|{id}"))
}

fn decode_cursor(cursor: &str) -> Result<(i64, String), QueryError> {
    let bad = || QueryError::Invalid { field: "cursor", problem: "not a cursor of a page before".into() };
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (value, id) = text.split_once('|').ok_or_else(bad)?;
    Ok((value.parse().map_err(|_| bad())?, id.to_owned()))
}

fn area(code: &Option<String>) -> Option<AreaCode> {
    code.as_ref().and_then(|c| AreaCode::new(c.clone()).ok())
}

impl CaseSummary {
    fn place(&self) -> Option<Place> {
        Some(Place {
            document: self.id.parse().ok()?,
            kind: DocumentKind::Case,
            community: AreaCode::new(self.community.clone()).ok()?,
            grid: area(&self.grid),
            building: area(&self.building),
            created_by: self.created_by.parse().ok()?,
        })
    }

    fn key(&self, sort: Sort) -> i64 {
        match sort {
            Sort::Updated => self.updated_ms,
            Sort::Created => self.created_ms,
            Sort::Due => self.due_ms.unwrap_or(i64::MAX),
        }
    }
}

/// A page of the cases that somebody may see. The outer error is the database's, the inner the asker's.
pub fn case_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &CaseFilter,
    now_ms: i64,
) -> Result<Result<Page<CaseSummary>, QueryError>, DbError> {
    let invalid = |field, problem: &str| Ok(Err(QueryError::Invalid { field, problem: problem.to_owned() }));
    let sort = match filter.sort.as_deref() {
        None | Some("updated") => Sort::Updated,
        Some("created") => Sort::Created,
        Some("due") => Sort::Due,
        Some(_) => return invalid("sort", "use updated, created or due"),
    };
    let ascending = match filter.order.as_deref() {
        None => sort == Sort::Due,
        Some("asc") => true,
        Some("desc") => false,
        Some(_) => return invalid("order", "use asc or desc"),
    };
    let limit = filter.limit.unwrap_or(50);
    if !(1..=PAGE_MAX).contains(&limit) {
        return invalid("limit", "use 1 to 200");
    }
    let mut after = match filter.cursor.as_deref().map(decode_cursor).transpose() {
        Ok(after) => after,
        Err(e) => return Ok(Err(e)),
    };
    let words: Vec<String> =
        filter.q.as_deref().map(search::normalise).unwrap_or_default().split(' ').map(str::to_owned).collect();
    let words: Vec<String> = words.into_iter().filter(|w| !w.is_empty()).take(8).collect();
    let found = match words.iter().max_by_key(|w| w.chars().count()) {
        Some(word) => projection::candidates(conn, word, SEARCH_MAX)?,
        None => None,
    };
    let wanted = usize::try_from(limit).unwrap_or(50);
    let mut items: Vec<CaseSummary> = Vec::new();
    // Some rows of a community may be hidden from the asker: fetch on until the page is full, with a bound.
    for _ in 0..100 {
        let rows =
            batch(conn, subject, filter, sort, ascending, after.as_ref(), &words, found.as_deref(), now_ms, limit + 1)?;
        let exhausted = rows.len() <= wanted;
        after = rows.last().map(|r| (r.key(sort), r.id.clone()));
        items.extend(rows.into_iter().filter(|r| r.place().is_some_and(|p| subject.may_read(&p))));
        if exhausted || items.len() > wanted {
            break;
        }
    }
    let more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| more).map(|r| encode_cursor(r.key(sort), &r.id));
    Ok(Ok(Page { items, next }))
}

#[expect(clippy::too_many_arguments, reason = "each narrows the same one query")]
fn batch(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &CaseFilter,
    sort: Sort,
    ascending: bool,
    after: Option<&(i64, String)>,
    words: &[String],
    found: Option<&[i64]>,
    now_ms: i64,
    limit: i64,
) -> Result<Vec<CaseSummary>, DbError> {
    let communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
    let mut query = cases::table.filter(cases::community.eq_any(communities)).into_boxed();
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
        Some(false) => query = query.filter(cases::due_ms.gt(now_ms).or(cases::due_ms.is_null())),
        None => {}
    }
    if let Some(v) = filter.created_from {
        query = query.filter(cases::created_ms.ge(v));
    }
    if let Some(v) = filter.created_to {
        query = query.filter(cases::created_ms.lt(v));
    }
    if let Some(ids) = found {
        query = query.filter(cases::search_id.eq_any(ids.to_vec()));
    }
    for word in words {
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
    Ok(query
        .limit(limit)
        .select((
            cases::document,
            cases::community,
            cases::grid,
            cases::building,
            cases::title,
            cases::category,
            cases::severity,
            cases::status,
            cases::level,
            cases::is_open,
            cases::assignee,
            cases::created_by,
            cases::created_ms,
            cases::received_ms,
            cases::updated_ms,
            cases::people_involved,
            cases::amount_claimed,
            cases::amount_agreed,
            cases::conflicts,
            cases::passages,
            cases::closed_without_knowing,
            cases::evidence_pending,
            cases::needs_review,
            cases::major_alert,
            cases::arrived_late,
            cases::due_ms,
        ))
        .load::<CaseSummary>(conn)?)
}

/// The folded state of a case, as JSON.
pub fn case_state(conn: &mut AnyConnection, id: &str) -> Result<Option<String>, DbError> {
    Ok(cases::table.find(id).select(cases::state).first(conn).optional()?)
}

/// The folded state of a patrol, as JSON.
pub fn patrol_state(conn: &mut AnyConnection, id: &str) -> Result<Option<String>, DbError> {
    Ok(patrols::table.find(id).select(patrols::state).first(conn).optional()?)
}

/// Other cases of the same building that were created within a day: perhaps the same dispute, told twice.
pub fn possible_duplicates(conn: &mut AnyConnection, id: &str) -> Result<Vec<(String, String)>, DbError> {
    let own: Option<(Option<String>, i64)> =
        cases::table.find(id).select((cases::building, cases::created_ms)).first(conn).optional()?;
    let Some((Some(building), created_ms)) = own else { return Ok(Vec::new()) };
    let day = sync_core::calendar::DAY_MS;
    Ok(cases::table
        .filter(cases::building.eq(building))
        .filter(cases::created_ms.between(created_ms - day, created_ms + day))
        .filter(cases::document.ne(id))
        .filter(cases::status.ne("merged"))
        .order((cases::created_ms, cases::document))
        .limit(20)
        .select((cases::document, cases::title))
        .load(conn)?)
}

/// A row of the patrol list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, ToSchema)]
pub struct PatrolSummary {
    /// The document.
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
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PatrolFilter {
    /// Community code.
    pub community: Option<String>,
    /// Building code.
    pub building: Option<String>,
    /// open, hazards_open or done.
    pub status: Option<String>,
    /// From the page before.
    pub cursor: Option<String>,
    /// 1 to 200; 50 by default.
    pub limit: Option<i64>,
}

/// A page of the patrols that somebody may see, last changed first.
pub fn patrol_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &PatrolFilter,
) -> Result<Result<Page<PatrolSummary>, QueryError>, DbError> {
    let limit = filter.limit.unwrap_or(50);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Ok(Err(QueryError::Invalid { field: "limit", problem: "use 1 to 200".into() }));
    }
    let mut after = match filter.cursor.as_deref().map(decode_cursor).transpose() {
        Ok(after) => after,
        Err(e) => return Ok(Err(e)),
    };
    let wanted = usize::try_from(limit).unwrap_or(50);
    let communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
    let mut items: Vec<PatrolSummary> = Vec::new();
    for _ in 0..100 {
        let mut query = patrols::table.filter(patrols::community.eq_any(communities.clone())).into_boxed();
        if let Some(v) = &filter.community {
            query = query.filter(patrols::community.eq(v));
        }
        if let Some(v) = &filter.building {
            query = query.filter(patrols::building.eq(v));
        }
        if let Some(v) = &filter.status {
            query = query.filter(patrols::status.eq(v));
        }
        if let Some((value, id)) = after.clone() {
            query = query
                .filter(patrols::updated_ms.lt(value).or(patrols::updated_ms.eq(value).and(patrols::document.lt(id))));
        }
        let rows = query
            .order((patrols::updated_ms.desc(), patrols::document.desc()))
            .limit(limit + 1)
            .select((
                patrols::document,
                patrols::community,
                patrols::grid,
                patrols::building,
                patrols::status,
                patrols::created_by,
                patrols::created_ms,
                patrols::received_ms,
                patrols::updated_ms,
                patrols::hazards,
                patrols::hazards_open,
                patrols::problems,
                patrols::leaflets,
                patrols::needs_review,
            ))
            .load::<PatrolSummary>(conn)?;
        let exhausted = rows.len() <= wanted;
        after = rows.last().map(|r| (r.updated_ms, r.id.clone()));
        items.extend(rows.into_iter().filter(|r| {
            let place = || {
                Some(Place {
                    document: r.id.parse().ok()?,
                    kind: DocumentKind::Patrol,
                    community: AreaCode::new(r.community.clone()).ok()?,
                    grid: area(&r.grid),
                    building: area(&r.building),
                    created_by: r.created_by.parse().ok()?,
                })
            };
            place().is_some_and(|p| subject.may_read(&p))
        }));
        if exhausted || items.len() > wanted {
            break;
        }
    }
    let more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| more).map(|r| encode_cursor(r.updated_ms, &r.id));
    Ok(Ok(Page { items, next }))
}

/// A refused change that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, ToSchema)]
pub struct QuarantineRow {
    /// Its id.
    pub id: String,
    /// Which document it was for.
    pub document: String,
    /// Its kind.
    pub kind: String,
    /// Its community.
    pub community: String,
    /// Who wrote it.
    pub author: String,
    /// On which device.
    pub device: String,
    /// Why it was refused: a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// What it would do, one line each.
    pub preview: String,
    /// When its author says, ms UTC.
    pub written_ms: i64,
    /// When it arrived, ms UTC.
    pub received_ms: i64,
    /// waiting, accepted or dismissed.
    pub state: String,
}

/// What is kept aside in communities, last arrived first.
pub fn quarantine_list(
    conn: &mut AnyConnection,
    communities: &[String],
    limit: i64,
) -> Result<Vec<QuarantineRow>, DbError> {
    Ok(quarantine::table
        .filter(quarantine::community.eq_any(communities))
        .order((quarantine::received_ms.desc(), quarantine::id.desc()))
        .limit(limit)
        .select((
            quarantine::id,
            quarantine::document,
            quarantine::kind,
            quarantine::community,
            quarantine::author,
            quarantine::device,
            quarantine::code,
            quarantine::detail,
            quarantine::preview,
            quarantine::written_ms,
            quarantine::received_ms,
            quarantine::state,
        ))
        .load(conn)?)
}

/// What somebody was told by the rules.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, ToSchema)]
pub struct Notification {
    /// Which case.
    pub document: String,
    /// The event in it.
    pub event: String,
    /// escalation, reminder or flash_report.
    pub kind: String,
    /// Its community.
    pub community: String,
    /// The level concerned.
    pub level: String,
    /// The levels that were told, as a JSON list.
    pub notify: String,
    /// When, ms UTC.
    pub raised_ms: i64,
    /// The event that withdrew it.
    pub withdrawn_by: Option<String>,
    /// When that event was written, as its author says, ms UTC.
    pub withdrawn_written_ms: Option<i64>,
    /// When it arrived, ms UTC.
    pub withdrawn_received_ms: Option<i64>,
}

/// What was told in communities, last first.
pub fn notification_list(
    conn: &mut AnyConnection,
    communities: &[String],
    limit: i64,
) -> Result<Vec<Notification>, DbError> {
    Ok(notifications::table
        .filter(notifications::community.eq_any(communities))
        .order((notifications::raised_ms.desc(), notifications::event.desc()))
        .limit(limit)
        .load(conn)?)
}
