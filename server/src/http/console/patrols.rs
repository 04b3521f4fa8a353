//! The list of patrols.

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::calendar::DAY_MS;

use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::Visitor;
use super::lists::{self, Asked, Wanted};
use super::page::{self, Frame, Told};
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
    received: Moment,
    updated: Moment,
    hazards: i32,
    hazards_open: i32,
    problems: i32,
    leaflets: i64,
    needs_review: bool,
}

#[derive(Template)]
#[template(path = "patrols.html")]
struct Patrols {
    frame: Frame,
    rows: Vec<Row>,
    asked: Wanted,
    statuses: Vec<Choice>,
    areas: Vec<Choice>,
    area: String,
    sorts: Vec<Choice>,
    next: Option<String>,
    told: Option<Told>,
}

const STATUSES: [&str; 3] = ["open", "hazards_open", "done"];

fn filter(asked: &Wanted) -> Result<PatrolFilter, Problem> {
    Ok(PatrolFilter {
        area: asked.area(),
        status: asked.find("status"),
        needs_review: asked.flag("review")?,
        received_from: asked.moment("received_from", 0)?,
        received_to: asked.moment("received_to", DAY_MS)?,
        sort: asked.find("sort"),
        cursor: asked.find("cursor"),
        limit: asked.find("limit").and_then(|l| l.parse().ok()),
        ..PatrolFilter::default()
    })
}

/// The address of a list: what the page reads as this.
pub(super) fn address(filter: &PatrolFilter) -> String {
    let f = filter.clone();
    lists::address(&[
        ("area", f.area.or(f.building).or(f.community)),
        ("status", f.status),
        ("review", f.needs_review.map(|on| on.to_string())),
        ("received_from", lists::input(f.received_from)),
        ("received_to", lists::input(f.received_to)),
        ("sort", f.sort),
    ])
}

impl Patrols {
    fn of(&self, name: &str) -> &str {
        self.asked.of(name)
    }
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, Wanted::new(asked.into_inner()));
    let listed = match filter(&asked) {
        Ok(filter) => api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await,
        Err(problem) => Err(problem),
    };
    let (items, next, refused) = lists::found(listed);
    let codes: Vec<String> =
        items.iter().flat_map(|p| [Some(p.community.clone()), p.grid.clone(), p.building.clone()]).flatten().collect();
    let names = app.run(move |conn| -> Result<_, DbError> { areas::names(conn, &codes) }).await?;
    let named = |code: &String| names.get(code).unwrap_or(code).clone();
    let rows = items.into_iter().map(|p| Row {
        place: format!(
            "{} {}",
            named(&p.community),
            p.building.as_ref().or(p.grid.as_ref()).map_or_else(String::new, named)
        ),
        status: w.of_code("patrolstatus", &p.status),
        status_code: p.status,
        created: format::moment(p.created_ms),
        received: format::moment(p.received_ms),
        updated: format::moment(p.updated_ms),
        hazards: p.hazards,
        hazards_open: p.hazards_open,
        problems: p.problems,
        leaflets: p.leaflets,
        needs_review: p.needs_review,
        id: p.id,
    });
    let area = asked.area();
    let page = Patrols {
        frame: Frame::new(&visitor, "patrols", w.t("patrols-title"), app.now_ms()),
        rows: rows.collect(),
        statuses: STATUSES.map(|s| Choice { value: s.into(), label: w.of_code("patrolstatus", s) }).into(),
        areas: lists::choices(&app, &visitor.principal.subject, area.clone()).await?,
        area: area.unwrap_or_default(),
        sorts: ["updated", "received"].map(|s| Choice { value: s.into(), label: w.of_code("sort", s) }).into(),
        next: next.map(|cursor| asked.next(&cursor)),
        asked,
        told: refused.as_ref().map(|problem| page::told(problem, w)),
    };
    page::answer_to(&page, refused.as_ref())
}
