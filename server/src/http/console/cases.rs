//! The list of cases: what it is narrowed to stands in the address, so that a list can be kept and passed on.

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::calendar::DAY_MS;
use sync_core::case::Status;
use sync_core::reference::{codes, numbers};
use sync_core::role::AreaKind;

use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::Visitor;
use super::page::{self, Frame};
use super::words::Words;
use crate::app::App;
use crate::areas;
use crate::db::{AnyConnection, DbError};
use crate::http::cases as api;
use crate::http::problem::Problem;
use crate::queries::{CaseFilter, CaseSummary};

/// Grids or buildings that a list offers to choose from.
const AREAS_MAX: i64 = 500;

/// What the address says.
pub(super) type Asked = web::Query<Vec<(String, String)>>;

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
        flag(i32::from(c.arrived_late), "flag-late");
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
pub(super) fn filter(asked: &[(String, String)]) -> Result<CaseFilter, Problem> {
    let of = |name: &str| {
        let found = asked.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.trim().to_owned());
        found.filter(|v| !v.is_empty())
    };
    let on = |name: &str| of(name).map(|v| v == "true");
    let day = |name: &'static str, more_ms: i64| {
        let wrong = || Problem::invalid("query_invalid", format!("`{name}` is no date")).field(name);
        of(name).map(|t| format::from_input(&t).map(|ms| ms + more_ms).ok_or_else(wrong)).transpose()
    };
    Ok(CaseFilter {
        community: of("community"),
        grid: of("grid"),
        building: of("building"),
        level: of("level"),
        status: of("status"),
        category: of("category"),
        open: on("open"),
        needs_review: on("review"),
        major: on("major"),
        arrived_late: on("late"),
        overdue: on("overdue"),
        flag: of("flag"),
        created_from: day("from", 0)?,
        created_to: day("to", DAY_MS)?,
        q: of("q"),
        sort: of("sort"),
        order: of("order"),
        cursor: of("cursor"),
        limit: of("limit").and_then(|l| l.parse().ok()),
    })
}

/// The same list with one thing changed.
pub(super) fn with(asked: &[(String, String)], name: &str, value: &str) -> String {
    let kept = asked.iter().filter(|(n, v)| n != name && n != "cursor" && !v.is_empty());
    let mut pairs: Vec<String> = kept.map(|(n, v)| format!("{n}={}", page::escaped(v))).collect();
    if !value.is_empty() {
        pairs.push(format!("{name}={}", page::escaped(value)));
    }
    pairs.join("&")
}

#[derive(Template)]
#[template(path = "cases.html")]
struct Cases {
    frame: Frame,
    rows: Vec<Row>,
    asked: Vec<(String, String)>,
    statuses: Vec<Choice>,
    levels: Vec<Choice>,
    categories: Vec<Choice>,
    communities: Vec<Choice>,
    grids: Vec<Choice>,
    buildings: Vec<Choice>,
    flags: Vec<Choice>,
    sorts: Vec<Choice>,
    next: Option<String>,
    export: String,
    told: Option<page::Told>,
}

impl Cases {
    fn of(&self, name: &str) -> &str {
        self.asked.iter().rev().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }
}

/// Choices of a kind of code.
fn choices<'a>(w: Words, kind: &str, codes: impl IntoIterator<Item = &'a str>) -> Vec<Choice> {
    codes.into_iter().map(|c| Choice { value: c.to_owned(), label: w.of_code(kind, c) }).collect()
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, asked.into_inner());
    let listed = match filter(&asked) {
        Ok(filter) => api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await,
        Err(problem) => Err(problem),
    };
    // A list that cannot be answered is shown empty, with what was asked still in its form.
    let (items, next, told) = match listed {
        Ok(page) => {
            let page = page.into_inner();
            (page.items, page.next, None)
        }
        Err(problem) => {
            let mut told = page::told(&problem, w);
            if asked.iter().any(|(n, v)| n == "q" && !numbers(v).is_empty()) {
                told.text = w.t("problem-query-number");
            }
            (Vec::new(), None, Some(told))
        }
    };
    let subject = visitor.principal.subject.clone();
    let communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
    let codes_of = communities.clone();
    let of = |name: &str| asked.iter().rev().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone());
    // Who has one community need not choose it first.
    let only = communities.first().filter(|_| communities.len() == 1).cloned();
    let (community, grid) = (of("community").filter(|c| communities.contains(c)).or(only), of("grid"));
    let found = app.run(move |conn| -> Result<_, DbError> {
        let inside = |conn: &mut AnyConnection, outer: Option<&String>, kind| match outer {
            Some(outer) => areas::inside(conn, outer, kind, AREAS_MAX),
            None => Ok(Vec::new()),
        };
        let grids = inside(conn, community.as_ref(), AreaKind::Grid)?;
        let outer = grid.as_ref().filter(|g| grids.iter().any(|a| a.code == **g)).or(community.as_ref());
        Ok((areas::names(conn, &codes_of)?, inside(conn, outer, AreaKind::Building)?, grids))
    });
    let (names, buildings, grids) = found.await?;
    let areas = |found: Vec<areas::Area>| found.into_iter().map(|a| Choice { value: a.code, label: a.name }).collect();
    let communities = communities.into_iter().map(|c| Choice { label: names.get(&c).unwrap_or(&c).clone(), value: c });
    let page = Cases {
        frame: Frame::new(&visitor, "cases", w.t("cases-title"), app.now_ms()),
        rows: rows(&app, items, w).await?,
        statuses: choices(w, "status", Status::ALL.iter().map(|s| s.as_str())),
        levels: choices(w, "level", ["community", "street", "district"]),
        categories: codes()
            .codes("category")
            .map(|c| Choice { value: c.to_owned(), label: w.code("category", c) })
            .collect(),
        communities: communities.collect(),
        grids: areas(grids),
        buildings: areas(buildings),
        flags: choices(w, "filter", ["conflicts", "passages", "unknowing", "evidence"]),
        sorts: choices(w, "sort", ["updated", "created", "due"]),
        next: next.map(|cursor| format!("{}&cursor={}", with(&asked, "", ""), page::escaped(&cursor))),
        export: with(&asked, "limit", ""),
        asked,
        told,
    };
    page::answer(&page)
}
