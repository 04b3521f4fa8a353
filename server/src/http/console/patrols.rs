//! Patrols: the list, and one record with its hazards.

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;

use super::cases::{Asked, with};
use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::Visitor;
use super::page::{self, Frame};
use crate::app::App;
use crate::areas;
use crate::db::DbError;
use crate::http::patrols as api;
use crate::http::problem::Problem;
use crate::queries::PatrolFilter;

struct Row {
    id: String,
    place: String,
    status: String,
    status_code: String,
    created: Moment,
    updated: Moment,
    hazards: i32,
    hazards_open: i32,
    problems: i32,
    leaflets: i64,
}

#[derive(Template)]
#[template(path = "patrols.html")]
struct Patrols {
    frame: Frame,
    rows: Vec<Row>,
    status: String,
    statuses: Vec<Choice>,
    next: Option<String>,
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, asked.into_inner());
    let of = |name: &str| asked.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone()).filter(|v| !v.is_empty());
    let filter = PatrolFilter { status: of("status"), cursor: of("cursor"), ..PatrolFilter::default() };
    let found = api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await?.into_inner();
    let codes: Vec<String> =
        found.items.iter().flat_map(|p| [Some(p.community.clone()), p.building.clone()]).flatten().collect();
    let names = app.run(move |conn| -> Result<_, DbError> { areas::names(conn, &codes) }).await?;
    let named = |code: &String| names.get(code).unwrap_or(code).clone();
    let rows = found.items.into_iter().map(|p| Row {
        place: format!("{} {}", named(&p.community), p.building.as_ref().map_or_else(String::new, named)),
        status: w.of_code("patrolstatus", &p.status),
        status_code: p.status,
        created: format::moment(p.created_ms),
        updated: format::moment(p.updated_ms),
        hazards: p.hazards,
        hazards_open: p.hazards_open,
        problems: p.problems,
        leaflets: p.leaflets,
        id: p.id,
    });
    let statuses = ["open", "hazards_open", "done"];
    let page = Patrols {
        frame: Frame::new(&visitor, "patrols", w.t("patrols-title"), app.now_ms()),
        rows: rows.collect(),
        status: of("status").unwrap_or_default(),
        statuses: statuses.map(|s| Choice { value: s.into(), label: w.of_code("patrolstatus", s) }).into(),
        next: found.next.map(|cursor| format!("{}&cursor={}", with(&asked, "", ""), page::escaped(&cursor))),
    };
    page::answer(&page)
}

struct Hazard {
    facts: Vec<(String, String)>,
    rectified: bool,
}

#[derive(Template)]
#[template(path = "patrol.html")]
struct Record {
    frame: Frame,
    status: String,
    status_code: &'static str,
    facts: Vec<(String, String)>,
    checklist: Vec<(String, String)>,
    hazards: Vec<Hazard>,
    notes: String,
}

/// One record.
pub(super) async fn record(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let state = api::record(visitor.principal.clone(), id, app.clone()).await?.into_inner().state;
    let shape = DocumentKind::Patrol.shape();
    let fact = |path: &str, value: &sync_core::shape::FieldValue| {
        let text = match value.as_str().and_then(|v| v.parse().ok()) {
            Some(user) if path == "worker" => state.people.get(&user).cloned(),
            _ => None,
        };
        (w.field(path), text.unwrap_or_else(|| format::value(value, shape.field(path), w)))
    };
    let (checklist, facts): (Vec<_>, Vec<_>) =
        state.fields.iter().partition(|(path, _)| path.starts_with("checklist."));
    let of_hazard = shape.collection("hazards").map_or(&[][..], |c| c.fields);
    let hazards = state.hazards.iter().map(|(id, item)| Hazard {
        facts: of_hazard
            .iter()
            .filter_map(|f| {
                Some((w.of_code("item", f.path), format::value(item.fields.get(f.path)?, Some(f.holds), w)))
            })
            .collect(),
        rectified: state.hazards_rectified.iter().any(|done| done == id),
    });
    let page = Record {
        frame: Frame::new(&visitor, "patrols", w.t("patrol-title"), app.now_ms()),
        status: w.of_code("patrolstatus", state.status.as_str()),
        status_code: state.status.as_str(),
        hazards: hazards.collect(),
        facts: facts.into_iter().map(|(p, v)| fact(p, v)).collect(),
        checklist: checklist.into_iter().map(|(p, v)| fact(p, v)).collect(),
        notes: state.notes.clone(),
    };
    page::answer(&page)
}
