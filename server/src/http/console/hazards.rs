//! Hazards of all patrols: what is left to be put right, where, since when and by whom it was found.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::authority::Place;
use sync_core::calendar::DAY_MS;
use sync_core::event::EventKind;
use sync_core::ids::AreaCode;
use sync_core::reference::codes;
use sync_core::shape::DocumentKind;

use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::Visitor;
use super::lists::{self, Asked, Wanted};
use super::page::{self, Frame, Told};
use super::words::Words;
use crate::accounts::users;
use crate::app::App;
use crate::areas;
use crate::db::{AnyConnection, DbError};
use crate::http::hazards as api;
use crate::http::problem::Problem;
use crate::queries::{HazardFilter, HazardSummary};

struct Row {
    patrol: String,
    hazard: String,
    kind: String,
    grade: String,
    place: String,
    note: String,
    found_by: String,
    found: Moment,
    due: Option<Moment>,
    overdue: bool,
    rectified: Option<(String, Moment)>,
    may_rectify: bool,
}

#[derive(Template)]
#[template(path = "hazards.html")]
struct Hazards {
    frame: Frame,
    rows: Vec<Row>,
    asked: Wanted,
    state: String,
    states: Vec<Choice>,
    areas: Vec<Choice>,
    area: String,
    kinds: Vec<Choice>,
    grades: Vec<Choice>,
    next: Option<String>,
    told: Option<Told>,
}

impl Hazards {
    fn of(&self, name: &str) -> &str {
        self.asked.of(name)
    }

    fn is_done(&self) -> bool {
        self.asked.has("done")
    }
}

/// What is open, unless the address says otherwise.
fn filter(asked: &Wanted) -> Result<HazardFilter, Problem> {
    let overdue = asked.flag("overdue")?;
    let state = if asked.has("state") { asked.find("state") } else { overdue.is_none().then(|| "open".into()) };
    Ok(HazardFilter {
        area: asked.area(),
        state,
        kind: asked.find("kind"),
        grade: asked.find("grade"),
        overdue,
        found_from: asked.moment("from", 0)?,
        found_to: asked.moment("to", DAY_MS)?,
        order: asked.find("order"),
        cursor: asked.find("cursor"),
        limit: asked.find("limit").and_then(|l| l.parse().ok()),
    })
}

/// The address of a list: what the page reads as this.
pub(super) fn address(filter: &HazardFilter) -> String {
    let f = filter.clone();
    lists::address(&[
        ("area", f.area),
        ("state", Some(f.state.unwrap_or_default())),
        ("kind", f.kind),
        ("grade", f.grade),
        ("overdue", f.overdue.map(|on| on.to_string())),
        ("from", lists::input(f.found_from)),
        ("to", lists::input(f.found_to)),
        ("order", f.order),
    ])
}

/// What areas and people of a list are called.
fn named(conn: &mut AnyConnection, items: &[HazardSummary]) -> Result<BTreeMap<String, String>, DbError> {
    let codes = items.iter().flat_map(|h| [Some(&h.community), h.grid.as_ref(), h.building.as_ref()]).flatten();
    let mut names = areas::names(conn, &codes.cloned().collect::<Vec<_>>())?;
    for id in items.iter().flat_map(|h| [h.found_by.as_ref(), h.rectified_by.as_ref()]).flatten() {
        if !names.contains_key(id)
            && let Ok(user) = id.parse()
            && let Some(user) = users::by_id(conn, user)?
        {
            names.insert(id.clone(), user.name);
        }
    }
    Ok(names)
}

fn may_rectify(visitor: &Visitor, h: &HazardSummary) -> bool {
    let area = |code: Option<&String>| code.and_then(|c| AreaCode::new(c.clone()).ok());
    let place = || {
        Some(Place {
            document: h.patrol.parse().ok()?,
            kind: DocumentKind::Patrol,
            community: AreaCode::new(h.community.clone()).ok()?,
            grid: area(h.grid.as_ref()),
            building: area(h.building.as_ref()),
            created_by: h.created_by.parse().ok()?,
        })
    };
    let subject = &visitor.principal.subject;
    h.rectified_ms.is_none() && place().is_some_and(|p| subject.role_for(EventKind::HazardRectified, &p).is_some())
}

fn choices(table: &'static str, w: Words) -> Vec<Choice> {
    codes().codes(table).map(|c| Choice { value: c.to_owned(), label: w.code(table, c) }).collect()
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, Wanted::new(asked.into_inner()));
    let listed = match filter(&asked) {
        Ok(filter) => api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await,
        Err(problem) => Err(problem),
    };
    let (items, next, refused) = lists::found(listed);
    let read = items.clone();
    let names = app.run(move |conn| named(conn, &read)).await?;
    let name = |code: &String| names.get(code).unwrap_or(code).clone();
    let now_ms = app.now_ms();
    let row = |h: HazardSummary| {
        let inner = h.building.as_ref().or(h.grid.as_ref()).map(name);
        let place = [Some(name(&h.community)), inner, Some(h.place.clone()).filter(|p| !p.is_empty())];
        let mut place: Vec<String> = place.into_iter().flatten().collect();
        place.dedup();
        Row {
            may_rectify: may_rectify(&visitor, &h),
            kind: h.kind.as_deref().map_or_else(|| w.t("patrol-hazards"), |code| w.code("hazard_kind", code)),
            grade: h.grade.as_deref().map_or_else(String::new, |code| w.code("hazard_grade", code)),
            place: place.join(" "),
            note: h.note,
            found_by: h.found_by.as_ref().map_or_else(|| w.t("unknown"), name),
            found: format::moment(h.found_ms),
            due: h.rectify_by_ms.map(format::moment),
            overdue: h.rectified_ms.is_none() && h.rectify_by_ms.is_some_and(|due| due <= now_ms),
            rectified: h
                .rectified_ms
                .map(|ms| (h.rectified_by.as_ref().map_or_else(|| w.t("unknown"), name), format::moment(ms))),
            patrol: h.patrol,
            hazard: h.hazard,
        }
    };
    let rows = items.into_iter().map(row).collect();
    let area = asked.area();
    let unsaid = if asked.find("overdue").is_some() { "" } else { "open" };
    let page = Hazards {
        frame: Frame::new(&visitor, "hazards", w.t("hazards-title"), now_ms),
        rows,
        state: if asked.has("state") { asked.of("state").to_owned() } else { unsaid.into() },
        states: ["open", "rectified"].map(|s| Choice { value: s.into(), label: w.of_code("hazardstate", s) }).into(),
        areas: lists::choices(&app, &visitor.principal.subject, area.clone()).await?,
        area: area.unwrap_or_default(),
        kinds: choices("hazard_kind", w),
        grades: choices("hazard_grade", w),
        next: next.map(|cursor| asked.next(&cursor)),
        asked,
        told: refused.as_ref().map(|problem| page::told(problem, w)),
    };
    page::answer_to(&page, refused.as_ref())
}
