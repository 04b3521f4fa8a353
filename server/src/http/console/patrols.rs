//! Patrols: the list, and one record with its hazards.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::authority::Place;
use sync_core::fold::folded_case;
use sync_core::ids::{DocumentId, UserId};
use sync_core::patrol::PatrolState;
use sync_core::shape::DocumentKind;

use super::cases::{Asked, with};
use super::deeds::{Changes, Deed};
use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::Visitor;
use super::page::{self, Frame};
use super::parts::Fact;
use crate::app::App;
use crate::areas;
use crate::db::{AnyConnection, DbError};
use crate::http::cases::visible;
use crate::http::extract::Principal;
use crate::http::patrols as api;
use crate::http::problem::Problem;
use crate::journal;
use crate::masking::Sight;
use crate::projection;
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
    let codes: Vec<String> = found
        .items
        .iter()
        .flat_map(|p| [Some(p.community.clone()), p.grid.clone(), p.building.clone()])
        .flatten()
        .collect();
    let names = app.run(move |conn| -> Result<_, DbError> { areas::names(conn, &codes) }).await?;
    let named = |code: &String| names.get(code).unwrap_or(code).clone();
    let rows = found.items.into_iter().map(|p| Row {
        place: format!(
            "{} {}",
            named(&p.community),
            p.building.as_ref().or(p.grid.as_ref()).map_or_else(String::new, named)
        ),
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
    facts: Vec<Fact>,
    rectified: bool,
}

struct Answer {
    item: String,
    answer: String,
    answer_code: String,
    note: Option<String>,
}

struct Happened {
    by: String,
    at_desk: bool,
    written: Moment,
    arrived: Moment,
    events: Vec<String>,
    deeds: Vec<Deed>,
}

#[derive(Template)]
#[template(path = "patrol.html")]
struct Record {
    frame: Frame,
    status: String,
    status_code: &'static str,
    place: String,
    worker: String,
    created: Moment,
    facts: Vec<Fact>,
    checklist: Vec<Answer>,
    hazards: Vec<Hazard>,
    cases: Vec<Choice>,
    notes: String,
    happened: Vec<Happened>,
}

/// What a record is shown with, from the tables.
struct Around {
    names: BTreeMap<String, String>,
    cases: Vec<Choice>,
    changes: Changes,
}

fn around(conn: &mut AnyConnection, principal: &Principal, state: &PatrolState) -> Result<Around, Problem> {
    let gone = || Problem::not_found("there is no such patrol");
    let document = journal::load(conn, state.id)?.ok_or_else(gone)?;
    let sight = Sight::of(&principal.subject, &Place::of(&document));
    let of_areas = ["place.grid", "place.building"].into_iter().filter_map(|p| state.fields.get(p)?.as_str());
    let codes: Vec<String> = of_areas.map(str::to_owned).chain([state.community.to_string()]).collect();
    let mut cases = Vec::new();
    for id in state.cases.values().filter_map(|item| item.fields.get("case")?.as_str()?.parse().ok()) {
        if visible(conn, principal, id, DocumentKind::Case).is_ok()
            && let Some(case) = journal::load(conn, id)?
        {
            let title = Some(projection::title(&folded_case(&case))).filter(|t| !t.is_empty());
            cases.push(Choice { value: id.to_string(), label: title.unwrap_or_else(|| id.to_string()) });
        }
    }
    let changes = Changes::read(conn, &document, &sight, true)?.with_titles(&cases);
    Ok(Around { names: areas::names(conn, &codes)?, cases, changes })
}

/// One record.
pub(super) async fn record(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let (w, principal) = (visitor.words, visitor.principal.clone());
    let state = api::record(principal.clone(), id, app.clone()).await?.into_inner().state;
    let read = state.clone();
    let Around { names, cases, changes } = app.run(move |conn| around(conn, &principal, &read)).await?;
    let named = |code: &str| names.get(code).map_or_else(|| code.to_owned(), Clone::clone);
    let shape = DocumentKind::Patrol.shape();
    let person = |id: UserId| match state.people.get(&id) {
        Some(name) => name.clone(),
        None if id == UserId::SYSTEM => w.t("system"),
        None => id.to_string(),
    };
    let area = |path: &str| state.fields.get(path).and_then(|v| v.as_str()).map(named);
    let place = [Some(named(state.community.as_str())), area("place.grid"), area("place.building")];
    let worker = state.fields.get("worker").and_then(|v| v.as_str()?.parse().ok()).unwrap_or(state.created_by);
    let shown = |path: &&String| {
        !path.starts_with("checklist.") && !matches!(path.as_str(), "worker" | "place.grid" | "place.building")
    };
    let facts = state.fields.iter().filter(|(path, _)| shown(path));
    let text = |path: &str| state.fields.get(path).and_then(|v| v.as_str()).map(str::to_owned);
    let items = state.fields.keys().filter_map(|path| path.strip_prefix("checklist.").filter(|i| !i.contains('.')));
    let answer = |item: &str| {
        let code = text(&format!("checklist.{item}")).unwrap_or_default();
        Answer {
            item: w.code("checklist", item),
            answer: w.of_code("answer", &code),
            answer_code: code,
            note: text(&format!("checklist.{item}.note")),
        }
    };
    let of_hazard = shape.collection("hazards").map_or(&[][..], |c| c.fields);
    let hazards = state.hazards.iter().map(|(id, item)| Hazard {
        facts: of_hazard
            .iter()
            .filter_map(|f| {
                let value = format::value(item.fields.get(f.path)?, Some(f.holds), w);
                Some(Fact::plain(w.of_code("item", f.path), value))
            })
            .collect(),
        rectified: state.hazards_rectified.iter().any(|done| done == id),
    });
    let happened = changes.all.iter().map(|c| Happened {
        by: c.line.author.parse().map_or_else(|_| c.line.author.clone(), person),
        at_desk: c.line.device.is_none(),
        written: format::moment(c.line.written_ms),
        arrived: format::moment(c.line.received_ms),
        events: c.events.iter().map(|kind| w.event(kind)).collect(),
        deeds: changes.deeds(DocumentKind::Patrol, c, w),
    });
    let page = Record {
        frame: Frame::new(&visitor, "patrols", w.t("patrol-title"), app.now_ms()),
        status: w.of_code("patrolstatus", state.status.as_str()),
        status_code: state.status.as_str(),
        place: place.into_iter().flatten().collect::<Vec<_>>().join(" "),
        worker: person(worker),
        created: format::moment(state.created_ms),
        facts: facts.map(|(p, v)| Fact::plain(w.field(p), format::value(v, shape.field(p), w))).collect(),
        checklist: items.map(answer).collect(),
        hazards: hazards.collect(),
        cases,
        notes: state.notes.clone(),
        // What the server noted of its own says nothing of the patrol.
        happened: happened.filter(|h| !h.events.is_empty() || !h.deeds.is_empty()).collect(),
    };
    page::answer(&page)
}
