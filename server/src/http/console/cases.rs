//! The list of cases: what it is narrowed to stands in the address, so that a list can be kept and passed on.

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::calendar::DAY_MS;
use sync_core::case::Status;
use sync_core::reference::{codes, numbers};

use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::Visitor;
pub(super) use super::lists::Asked;
use super::lists::{self, Wanted};
use super::page::{self, Frame};
use super::words::Words;
use crate::app::App;
use crate::areas;
use crate::db::DbError;
use crate::http::cases as api;
use crate::http::problem::Problem;
use crate::queries::{CaseFilter, CaseSummary};

/// A row of the list in words.
pub(super) struct Row {
    /// The document.
    pub(super) id: String,
    /// Its title.
    pub(super) title: String,
    /// Where it stands.
    pub(super) status: String,
    /// The same as a code.
    pub(super) status_code: String,
    /// The hall it lies with.
    pub(super) level: String,
    /// Its category.
    pub(super) category: String,
    /// Its place.
    pub(super) place: String,
    /// When the next thing is due.
    pub(super) due: Option<Moment>,
    /// Whether that is past.
    pub(super) overdue: bool,
    /// How many people.
    pub(super) people: String,
    /// When it was reported.
    pub(super) created: Moment,
    /// When it arrived.
    pub(super) received: Moment,
    /// When it last changed.
    pub(super) updated: Moment,
    /// What somebody must look at.
    pub(super) flags: Vec<String>,
}

/// Rows in the words of a language.
pub(super) async fn rows(app: &web::Data<App>, items: Vec<CaseSummary>, w: Words) -> Result<Vec<Row>, Problem> {
    let places: Vec<String> = items.iter().filter_map(|c| c.building.clone().or_else(|| c.grid.clone())).collect();
    let communities = items.iter().map(|c| c.community.clone());
    let wanted: Vec<String> = places.into_iter().chain(communities).collect();
    let names = app.run(move |conn| -> Result<_, DbError> { areas::names(conn, &wanted) }).await?;
    let named = |code: &String| names.get(code).unwrap_or(code).clone();
    let now_ms = app.now_ms();
    let row = |c: CaseSummary| {
        let mut flags = Vec::new();
        let mut flag = |n: i32, key: &str| {
            if n > 0 {
                flags.push(if n > 1 { format!("{} {n}", w.t(key)) } else { w.t(key) });
            }
        };
        flag(c.conflicts, "flag-conflicts");
        flag(c.passages, "flag-passages");
        flag(c.closed_without_knowing, "flag-unknowing");
        flag(c.evidence_pending, "flag-evidence");
        flag(i32::from(c.major_alert), "flag-major");
        if c.arrived_late {
            flags.push(format!("{} {}", w.t("flag-late"), format::span(c.late_ms, w)));
        }
        for department in c.awaited.lines().filter(|l| !l.is_empty()) {
            flags.push(format!("{} {department}", w.t("flag-awaited")));
        }
        let place = c.building.as_ref().or(c.grid.as_ref());
        Row {
            status: w.of_code("status", &c.status),
            level: w.of_code("level", &c.level),
            category: c.category.as_deref().map_or_else(String::new, |code| w.code("category", code)),
            place: place.map_or_else(|| named(&c.community), |p| format!("{} {}", named(&c.community), named(p))),
            due: c.due_ms.map(format::moment),
            overdue: c.due_ms.is_some_and(|due| due <= now_ms),
            people: c.people_involved.map_or_else(String::new, |n| n.to_string()),
            created: format::moment(c.created_ms),
            received: format::moment(c.received_ms),
            updated: format::moment(c.updated_ms),
            title: if c.title.is_empty() { c.id.clone() } else { c.title },
            status_code: c.status,
            id: c.id,
            flags,
        }
    };
    Ok(items.into_iter().map(row).collect())
}

/// What the list is narrowed to, as the API asks it.
pub(super) fn filter(asked: &Wanted) -> Result<CaseFilter, Problem> {
    Ok(CaseFilter {
        area: asked.area(),
        community: None,
        grid: None,
        building: None,
        level: asked.find("level"),
        status: asked.find("status"),
        category: asked.find("category"),
        open: asked.flag("open")?,
        needs_review: asked.flag("review")?,
        major: asked.flag("major")?,
        arrived_late: asked.flag("late")?,
        overdue: asked.flag("overdue")?,
        due_to: asked.moment("due_to", DAY_MS)?,
        flag: asked.find("flag"),
        assignee: asked.find("assignee"),
        created_by: asked.find("by"),
        summoned: asked.flag("summoned")?,
        department: asked.find("department"),
        created_from: asked.moment("from", 0)?,
        created_to: asked.moment("to", DAY_MS)?,
        received_from: asked.moment("received_from", 0)?,
        received_to: asked.moment("received_to", DAY_MS)?,
        resolved_from: asked.moment("resolved_from", 0)?,
        resolved_to: asked.moment("resolved_to", DAY_MS)?,
        escalated_from: asked.moment("raised_from", 0)?,
        q: asked.find("q"),
        sort: asked.find("sort"),
        order: asked.find("order"),
        cursor: asked.find("cursor"),
        limit: asked.find("limit").and_then(|l| l.parse().ok()),
    })
}

/// The address of a list: what [`filter`] reads as this.
pub(super) fn address(filter: &CaseFilter) -> String {
    let f = filter.clone();
    let flag = |on: Option<bool>| on.map(|on| on.to_string());
    let at = lists::input;
    lists::address(&[
        ("area", f.area.or(f.building).or(f.grid).or(f.community)),
        ("level", f.level),
        ("status", f.status),
        ("category", f.category),
        ("open", flag(f.open)),
        ("review", flag(f.needs_review)),
        ("major", flag(f.major)),
        ("late", flag(f.arrived_late)),
        ("overdue", flag(f.overdue)),
        ("due_to", at(f.due_to)),
        ("flag", f.flag),
        ("assignee", f.assignee),
        ("by", f.created_by),
        ("summoned", flag(f.summoned)),
        ("department", f.department),
        ("from", at(f.created_from)),
        ("to", at(f.created_to)),
        ("received_from", at(f.received_from)),
        ("received_to", at(f.received_to)),
        ("resolved_from", at(f.resolved_from)),
        ("resolved_to", at(f.resolved_to)),
        ("raised_from", at(f.escalated_from)),
        ("q", f.q),
        ("sort", f.sort),
        ("order", f.order),
    ])
}

#[derive(Template)]
#[template(path = "cases.html")]
struct Cases {
    frame: Frame,
    rows: Vec<Row>,
    asked: Wanted,
    statuses: Vec<Choice>,
    levels: Vec<Choice>,
    categories: Vec<Choice>,
    areas: Vec<Choice>,
    area: String,
    flags: Vec<Choice>,
    sorts: Vec<Choice>,
    by_arrival: bool,
    next: Option<String>,
    told: Option<page::Told>,
}

/// Conditions that are asked for more rarely, each with a moment.
const MOMENTS: [&str; 6] = ["received_from", "received_to", "resolved_from", "resolved_to", "raised_from", "due_to"];

impl Cases {
    fn of(&self, name: &str) -> &str {
        self.asked.of(name)
    }

    fn moments(&self) -> [&'static str; 6] {
        MOMENTS
    }

    /// A moment for a field of the form, also where only a day was named.
    fn moment(&self, name: &str) -> String {
        let typed = self.asked.of(name);
        if typed.is_empty() || typed.contains('T') { typed.to_owned() } else { format!("{typed}T00:00") }
    }

    /// Whether one of the rarer conditions is in force.
    fn is_narrowed_further(&self) -> bool {
        MOMENTS.iter().chain(["department", "by", "assignee"].iter()).any(|name| self.asked.find(name).is_some())
    }
}

/// Choices of a kind of code.
fn choices<'a>(w: Words, kind: &str, codes: impl IntoIterator<Item = &'a str>) -> Vec<Choice> {
    codes.into_iter().map(|c| Choice { value: c.to_owned(), label: w.of_code(kind, c) }).collect()
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, Wanted::new(asked.into_inner()));
    let listed = match filter(&asked) {
        Ok(filter) => api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await,
        Err(problem) => Err(problem),
    };
    // A list that cannot be answered is shown empty, with what was asked still in its form.
    let (items, next, refused) = lists::found(listed);
    let told = refused.as_ref().map(|problem| {
        let mut told = page::told(problem, w);
        if asked.find("q").is_some_and(|q| !numbers(&q).is_empty()) {
            told.text = w.t("problem-query-number");
        }
        told
    });
    let area = asked.area();
    let page = Cases {
        frame: Frame::new(&visitor, "cases", w.t("cases-title"), app.now_ms()),
        rows: rows(&app, items, w).await?,
        statuses: choices(w, "status", Status::ALL.iter().map(|s| s.as_str())),
        levels: choices(w, "level", ["community", "street", "district"]),
        categories: codes()
            .codes("category")
            .map(|c| Choice { value: c.to_owned(), label: w.code("category", c) })
            .collect(),
        areas: lists::choices(&app, &visitor.principal.subject, area.clone()).await?,
        area: area.unwrap_or_default(),
        flags: choices(w, "filter", ["conflicts", "passages", "unknowing", "evidence"]),
        sorts: choices(w, "sort", ["updated", "received", "created", "due"]),
        by_arrival: asked.of("sort") == "received",
        next: next.map(|cursor| asked.next(&cursor)),
        asked,
        told,
    };
    page::answer_to(&page, refused.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_list_is_read_as_the_list_that_it_was_made_from() {
        let minute = 60_000 * 25_970_000;
        let asked = CaseFilter {
            area: Some("GM-BIYAN-01".into()),
            open: Some(true),
            overdue: Some(false),
            due_to: Some(minute),
            assignee: Some("me".into()),
            department: Some("城管 & 人社".into()),
            received_from: Some(minute - 60_000),
            escalated_from: Some(minute),
            sort: Some("due".into()),
            ..CaseFilter::default()
        };
        let written = address(&asked);
        let pairs = web::Query::<Vec<(String, String)>>::from_query(&written).unwrap().into_inner();
        assert_eq!(filter(&Wanted::new(pairs)).unwrap(), asked, "{written}");
    }
}
