//! Projections: the rows that lists, queues and pages read, computed from a document alone. Written in the transaction that
//! appends to the journal; `rebuild` recomputes them and must come to the same bytes.

mod finding;
mod hazards;

use diesel::prelude::*;
use sha2::{Digest, Sha256};
use sync_core::authority::Place;
use sync_core::calendar::Calendar;
use sync_core::case::CaseState;
use sync_core::document::Document;
use sync_core::event::EventKind;
use sync_core::fold::{fold_patrol, folded_case};
use sync_core::patrol::PatrolState;
use sync_core::rules::{Obligation, RuleSet, due_ms, next_action_ms, obligations as due_in};
use sync_core::search;
use sync_core::shape::DocumentKind;

use crate::db::tables::{cases, notifications, obligations, patrols};
use crate::db::{AnyConnection, DbError, insert_all};
use crate::masking::{self, NumberKey, Sight};

pub use finding::{Searchable, candidates, index, with_number};
pub use hazards::{HazardRow, hazards_of};

/// What rules and calendar a deployment uses.
#[derive(Clone)]
pub struct Law {
    /// The rule set.
    pub rules: RuleSet,
    /// The calendar.
    pub calendar: Calendar,
    /// The key by which numbers are found; without one they are not.
    pub numbers: Option<NumberKey>,
}

impl Law {
    /// The shipped defaults.
    pub fn shipped() -> Self {
        Self { rules: RuleSet::shipped().clone(), calendar: Calendar::shipped().clone(), numbers: None }
    }
}

/// The row of a case.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable, AsChangeset)]
#[diesel(table_name = cases, primary_key(document), treat_none_as_null = true)]
#[expect(missing_docs, reason = "the migration documents the columns")]
pub struct CaseRow {
    pub document: String,
    pub search_id: i64,
    pub community: String,
    pub grid: Option<String>,
    pub building: Option<String>,
    pub title: String,
    pub category: Option<String>,
    pub severity: Option<String>,
    pub status: String,
    pub level: String,
    pub is_open: bool,
    pub assignee: Option<String>,
    pub created_by: String,
    pub created_ms: i64,
    pub received_ms: i64,
    pub updated_ms: i64,
    pub people_involved: Option<i64>,
    pub amount_claimed: Option<i64>,
    pub amount_agreed: Option<i64>,
    pub conflicts: i32,
    pub passages: i32,
    pub closed_without_knowing: i32,
    pub evidence_pending: i32,
    pub needs_review: bool,
    pub major_alert: bool,
    pub arrived_late: bool,
    pub due_ms: Option<i64>,
    pub next_action_ms: Option<i64>,
    pub position: i64,
    pub search_text: String,
    pub numbers: String,
    pub awaited: String,
    pub summoned_ms: Option<i64>,
    pub resolved_ms: Option<i64>,
    pub late_ms: i64,
}

/// The row of a patrol.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable)]
#[diesel(table_name = patrols)]
#[expect(missing_docs, reason = "the migration documents the columns")]
pub struct PatrolRow {
    pub document: String,
    pub community: String,
    pub grid: Option<String>,
    pub building: Option<String>,
    pub status: String,
    pub created_by: String,
    pub created_ms: i64,
    pub received_ms: i64,
    pub updated_ms: i64,
    pub hazards: i32,
    pub hazards_open: i32,
    pub problems: i32,
    pub leaflets: i64,
    pub needs_review: bool,
    pub position: i64,
}

/// The row of an obligation.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable)]
#[diesel(table_name = obligations)]
#[expect(missing_docs, reason = "the migration documents the columns")]
pub struct ObligationRow {
    pub document: String,
    pub rule: String,
    pub trigger_event: String,
    pub community: String,
    pub level: String,
    pub started_ms: i64,
    pub due_ms: i64,
    pub provisional: bool,
    pub outcome: String,
    pub outcome_event: Option<String>,
}

/// The row of a notification.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable)]
#[diesel(table_name = notifications)]
#[expect(missing_docs, reason = "the migration documents the columns")]
pub struct NotificationRow {
    pub document: String,
    pub event: String,
    pub kind: String,
    pub community: String,
    pub level: String,
    pub roles: String,
    pub raised_ms: i64,
    pub withdrawn_by: Option<String>,
    pub withdrawn_written_ms: Option<i64>,
    pub withdrawn_received_ms: Option<i64>,
}

/// All rows of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Of a case file.
    Case(Box<CaseRow>, Vec<ObligationRow>, Vec<NotificationRow>),
    /// Of a patrol record.
    Patrol(Box<PatrolRow>, Vec<HazardRow>),
}

/// When the first and the last change of a document arrived, and its last position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// ms UTC.
    pub first_ms: i64,
    /// ms UTC.
    pub last_ms: i64,
    /// In the journal.
    pub position: i64,
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// A number for the search index, from the document's id alone.
pub fn search_id(document: &str) -> i64 {
    let hash: [u8; 32] = Sha256::digest(document.as_bytes()).into();
    // Positive 63 bits: row ids of SQLite's index are signed.
    hash.iter().take(8).fold(0i64, |n, b| (n << 8 | i64::from(*b)) & i64::MAX)
}

/// Computes the rows of a document.
pub fn compute(document: &Document, arrival: Arrival, law: &Law) -> Result<Rows, DbError> {
    match document.meta().kind {
        DocumentKind::Case => case_rows(document, &folded_case(document), arrival, law),
        DocumentKind::Patrol => patrol_rows(document, &fold_patrol(document), arrival),
    }
}

/// What a case is called where there is no more room: its title, else how its narrative begins, else where it is.
pub(crate) fn title(state: &CaseState) -> String {
    if let Some(title) = state.text("title") {
        return Sight::list().text(title);
    }
    let narrative = Sight::list().text(&state.narrative);
    let first = narrative.split(['。', '\n']).next().unwrap_or_default();
    let head: String = first.chars().take(30).collect();
    // Cut only after masking: half a number is no longer known for one.
    if !head.is_empty() { head } else { Sight::list().text(state.text("place.detail").unwrap_or_default()) }
}

fn search_text(state: &CaseState) -> String {
    let mut parts = vec![title(state), state.narrative.clone()];
    // Who reported, and his number, are for the file and not for finding it.
    let personal = |path: &str| sync_core::case::SHAPE.fields.iter().any(|f| f.path == path && f.personal);
    let fields = state.fields.iter().filter(|(path, _)| !personal(path));
    parts.extend(fields.filter_map(|(_, v)| v.as_str().map(str::to_owned)));
    parts.extend(state.file_number.clone());
    for party in state.parties.values() {
        parts.extend(["name", "organisation"].iter().filter_map(|f| party.fields.get(*f)?.as_str().map(str::to_owned)));
    }
    parts.extend(state.statements.values().filter_map(|s| s.text.clone()));
    for event in &state.timeline {
        parts.extend(event.body.values().filter_map(|v| v.as_str().map(str::to_owned)));
    }
    if let Some(entry) = state.text("category").and_then(|c| sync_core::reference::codes().entry("category", c)) {
        parts.push(entry.zh.clone());
    }
    // Whoever looks for a number asks by its keyed hash; none stands here in clear. Each part by itself: the end of one and the
    // beginning of the next are no number.
    let shown: Vec<String> = parts.iter().map(|part| Sight::list().text(part)).collect();
    search::normalise(&shown.join("\n"))
}

/// How a department that is awaited stands in its column: on a line of its own, between line breaks, so that it is found whole.
pub(crate) fn awaited_line(department: &str) -> String {
    let name: Vec<&str> = department.split_whitespace().collect();
    format!("\n{}\n", Sight::list().text(&name.join(" ")))
}

/// By how much the most overdue of what was overdue when it arrived was so, ms.
fn late_ms(state: &CaseState, due: &[Obligation]) -> i64 {
    let late = due.iter().filter(|o| o.arrived_late).filter_map(|o| {
        let arrived = state.entry(o.trigger)?.witness?.received_ms;
        Some(arrived.saturating_sub(o.due_ms))
    });
    late.max().unwrap_or(0)
}

fn case_rows(document: &Document, state: &CaseState, arrival: Arrival, law: &Law) -> Result<Rows, DbError> {
    let place = Place::of(document);
    let id = state.id.to_string();
    let due = due_in(state, &law.rules, &law.calendar, i64::MIN);
    let awaited = state.awaited();
    let row = CaseRow {
        search_id: search_id(&id),
        community: state.community.to_string(),
        grid: place.grid.map(String::from),
        building: place.building.map(String::from),
        title: title(state),
        category: state.text("category").map(str::to_owned),
        severity: state.text("severity").map(str::to_owned),
        status: state.status.as_str().to_owned(),
        level: state.level.as_str().to_owned(),
        is_open: state.status.is_open(),
        assignee: state.assignee.map(|a| a.to_string()),
        created_by: state.created_by.to_string(),
        created_ms: state.created_ms,
        received_ms: arrival.first_ms,
        updated_ms: arrival.last_ms,
        people_involved: state.number("people_involved"),
        amount_claimed: state.number("amount_claimed"),
        amount_agreed: state.amount_agreed,
        conflicts: count(state.conflicts.len()),
        passages: count(state.passages.len()),
        closed_without_knowing: count(state.closed_without_knowing.len()),
        evidence_pending: count(state.evidence_pending.len()),
        needs_review: state.needs_review(),
        major_alert: law.rules.is_major(state),
        arrived_late: due.iter().any(|o| o.arrived_late),
        due_ms: due_ms(state, &due),
        next_action_ms: next_action_ms(&due),
        position: arrival.position,
        search_text: search_text(state),
        numbers: masking::number_terms(state, law.numbers.as_ref())?,
        awaited: awaited.iter().map(|a| awaited_line(&a.department)).collect::<Vec<_>>().join(""),
        summoned_ms: awaited.iter().map(|a| a.since_ms).min(),
        resolved_ms: state.resolved_ms(),
        late_ms: late_ms(state, &due),
        document: id.clone(),
    };
    let obligations = due.iter().map(|o| ObligationRow {
        document: id.clone(),
        rule: o.rule.clone(),
        trigger_event: o.trigger.to_string(),
        community: row.community.clone(),
        level: row.level.clone(),
        started_ms: o.started_ms,
        due_ms: o.due_ms,
        provisional: o.provisional,
        outcome: o.outcome.as_str().to_owned(),
        outcome_event: o.outcome.event().map(|e| e.to_string()),
    });
    let obligations = obligations.collect();
    let told = |e: &&sync_core::event::TimelineEntry| {
        e.moot.is_none() && matches!(e.kind, EventKind::Escalation | EventKind::Reminder | EventKind::FlashReport)
    };
    let notifications = state.timeline.iter().filter(told).map(|e| {
        let by = e.withdrawn.as_ref().and_then(|w| state.entry(w.by));
        NotificationRow {
            document: id.clone(),
            event: e.id.to_string(),
            kind: e.kind.to_string(),
            community: row.community.clone(),
            level: e.text("to").unwrap_or(&row.level).to_owned(),
            roles: e.body.get("notify").map_or_else(String::new, ToString::to_string),
            raised_ms: e.latest_ms(),
            withdrawn_by: by.map(|b| b.id.to_string()),
            withdrawn_written_ms: by.map(|b| b.at.hlc.wall_ms),
            withdrawn_received_ms: by.and_then(|b| b.witness).map(|w| w.received_ms),
        }
    });
    let notifications = notifications.collect();
    Ok(Rows::Case(Box::new(row), obligations, notifications))
}

fn patrol_rows(document: &Document, state: &PatrolState, arrival: Arrival) -> Result<Rows, DbError> {
    let place = Place::of(document);
    let hazards = hazards::rows(document, state);
    let row = PatrolRow {
        document: state.id.to_string(),
        community: state.community.to_string(),
        grid: place.grid.map(String::from),
        building: place.building.map(String::from),
        status: state.status.as_str().to_owned(),
        created_by: state.created_by.to_string(),
        created_ms: state.created_ms,
        received_ms: arrival.first_ms,
        updated_ms: arrival.last_ms,
        hazards: count(state.hazards.len()),
        hazards_open: count(state.hazards.len().saturating_sub(state.hazards_rectified.len())),
        problems: count(state.problems.len()),
        leaflets: state.leaflets,
        needs_review: !(state.conflicts.is_empty() && state.passages.is_empty()),
        position: arrival.position,
    };
    Ok(Rows::Patrol(Box::new(row), hazards))
}

/// Writes the rows of a document in the place of those it has; `known` says whether it may have some. What has not changed is not
/// written again: indexes cost more than looking. Gives what the search index must take up in the same transaction.
pub fn write(conn: &mut AnyConnection, rows: &Rows, known: bool) -> Result<Option<Searchable>, DbError> {
    let mut searchable = None;
    match rows {
        Rows::Patrol(row, found) => {
            if known {
                diesel::delete(patrols::table.find(&row.document)).execute(conn)?;
            }
            diesel::insert_into(patrols::table).values(row.as_ref()).execute(conn)?;
            hazards::write(conn, &row.document, found, known)?;
        }
        Rows::Case(row, due, told) => {
            let mut searched: Option<(String, String)> = None;
            if known {
                let columns = (cases::search_text, cases::numbers);
                searched = cases::table.find(&row.document).select(columns).first(conn).optional()?;
            }
            if searched.is_none() {
                diesel::insert_into(cases::table).values(row.as_ref()).execute(conn)?;
            } else {
                diesel::update(cases::table.find(&row.document)).set(row.as_ref()).execute(conn)?;
            }
            if searched.as_ref().is_none_or(|(text, numbers)| (text, numbers) != (&row.search_text, &row.numbers)) {
                searchable = Some(finding::terms(row, searched.is_some()));
            }
            obligations_of(conn, &row.document, due, known)?;
            notifications_of(conn, &row.document, told, known)?;
        }
    }
    Ok(searchable)
}

fn obligations_of(conn: &mut AnyConnection, id: &str, due: &[ObligationRow], known: bool) -> Result<(), DbError> {
    let of = || obligations::table.filter(obligations::document.eq(id));
    if known {
        let mut standing = of().load::<ObligationRow>(conn)?;
        standing.sort_by(|a, b| (&a.rule, &a.trigger_event).cmp(&(&b.rule, &b.trigger_event)));
        let mut wanted: Vec<&ObligationRow> = due.iter().collect();
        wanted.sort_by(|a, b| (&a.rule, &a.trigger_event).cmp(&(&b.rule, &b.trigger_event)));
        if standing.iter().eq(wanted) {
            return Ok(());
        }
        diesel::delete(of()).execute(conn)?;
    }
    insert_all!(conn, obligations::table, due);
    Ok(())
}

fn notifications_of(conn: &mut AnyConnection, id: &str, told: &[NotificationRow], known: bool) -> Result<(), DbError> {
    if known {
        diesel::delete(notifications::table.filter(notifications::document.eq(id))).execute(conn)?;
    }
    if !told.is_empty() {
        insert_all!(conn, notifications::table, told);
    }
    Ok(())
}
