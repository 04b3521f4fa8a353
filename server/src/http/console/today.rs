//! What needs somebody now, by his roles and areas, and the numbers of the day.

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::calendar::{DAY_MS, day_of};
use sync_core::role::{AreaKind, Role};

use super::cases::{self, Row};
use super::gate::Visitor;
use super::page::{self, Frame};
use crate::app::App;
use crate::db::DbError;
use crate::http::problem::Problem;
use crate::http::{cases as api, quarantine, replication};
use crate::queries::{self, CaseFilter, QuarantineFilter};

/// Rows of one section; the rest is behind its heading.
const SHOWN: i64 = 6;

/// A part of the page: what it is about, where all of it stands, and the first of it.
struct Section {
    key: &'static str,
    title: String,
    link: String,
    rows: Vec<Row>,
    more: bool,
}

/// One number of the day.
struct Number {
    label: String,
    value: i64,
    link: Option<&'static str>,
}

/// Something outside the case list that waits.
struct Waiting {
    title: String,
    link: &'static str,
    count: String,
}

#[derive(Template)]
#[template(path = "today.html")]
struct Today {
    frame: Frame,
    sections: Vec<Section>,
    waiting: Vec<Waiting>,
    numbers: Vec<Number>,
}

fn sections(now_ms: i64) -> Vec<(&'static str, &'static str, CaseFilter)> {
    let open = || CaseFilter { open: Some(true), limit: Some(SHOWN), ..CaseFilter::default() };
    let due = || CaseFilter { sort: Some("due".into()), ..open() };
    let flagged = |flag: &str| CaseFilter { flag: Some(flag.into()), limit: Some(SHOWN), ..CaseFilter::default() };
    let new = CaseFilter {
        created_from: Some(now_ms - DAY_MS),
        sort: Some("created".into()),
        limit: Some(SHOWN),
        ..CaseFilter::default()
    };
    vec![
        ("today-overdue", "open=true&overdue=true&sort=due", CaseFilter { overdue: Some(true), ..due() }),
        ("today-soon", "open=true&overdue=false&sort=due", CaseFilter { overdue: Some(false), ..due() }),
        ("today-major", "open=true&major=true", CaseFilter { major: Some(true), ..open() }),
        ("today-conflicts", "flag=conflicts", flagged("conflicts")),
        ("today-passages", "flag=passages", flagged("passages")),
        ("today-unknowing", "flag=unknowing", flagged("unknowing")),
        ("today-evidence", "flag=evidence", flagged("evidence")),
        ("today-late", "open=true&late=true", CaseFilter { arrived_late: Some(true), ..open() }),
        ("today-new", "sort=created", new),
    ]
}

/// The page.
pub(super) async fn page(visitor: Visitor, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, now_ms) = (visitor.words, app.now_ms());
    let who = &visitor.principal;
    let mut shown = Vec::new();
    for (key, link, filter) in sections(now_ms) {
        let page = api::list(who.clone(), web::Query(filter), app.clone()).await?.into_inner();
        let mut more = page.next.is_some();
        let mut items = page.items;
        if key == "today-soon" {
            let before = items.len();
            items.retain(|c| c.due_ms.is_some_and(|due| due <= now_ms + DAY_MS));
            more &= items.len() == before;
        }
        if items.is_empty() {
            continue;
        }
        let rows = cases::rows(&app, items, w).await?;
        shown.push(Section { key, title: w.t(key), link: format!("/cases?{link}"), rows, more });
    }
    let holds = |role: Role| who.subject.grants.iter().any(|g| g.role == role);
    let mut waiting = Vec::new();
    if holds(Role::Supervisor) {
        let filter =
            QuarantineFilter { state: Some("waiting".into()), limit: Some(200), ..QuarantineFilter::default() };
        let found = quarantine::list(who.clone(), web::Query(filter), app.clone()).await?.into_inner();
        if !found.items.is_empty() {
            let count = if found.next.is_some() { "200+".into() } else { found.items.len().to_string() };
            waiting.push(Waiting { title: w.t("today-quarantine"), link: "/quarantine", count });
        }
    }
    if holds(Role::Supervisor) || holds(Role::Administrator) {
        let filter = replication::ReplicationFilter { state: Some("silent".into()), ..Default::default() };
        let found = replication::list(app.clone(), who.clone(), web::Query(filter)).await?.into_inner();
        let silent = found.states.get("silent").copied().unwrap_or(0);
        if silent > 0 {
            waiting.push(Waiting {
                title: w.t("today-phones"),
                link: "/phones?state=silent",
                count: silent.to_string(),
            });
        }
    }
    // Numbers of whole communities, for who looks after whole ones.
    let whole = |kind: AreaKind| matches!(kind, AreaKind::Community | AreaKind::Street | AreaKind::District);
    let grants = who.subject.grants.iter().filter(|g| whole(g.kind));
    let communities: Vec<String> = grants.flat_map(|g| &g.communities).map(ToString::to_string).collect();
    let day_ms = day_of(now_ms) * DAY_MS - 8 * 3_600_000;
    let counted = app.run(move |conn| -> Result<_, DbError> { queries::numbers(conn, &communities, day_ms, now_ms) });
    let n = counted.await?;
    let number = |key: &str, value, link| Number { label: w.t(key), value, link };
    let numbers = vec![
        number("number-received", n.received, Some("/cases?sort=created")),
        number("number-open", n.open, Some("/cases?open=true")),
        number("number-overdue", n.overdue, Some("/cases?open=true&overdue=true&sort=due")),
        number("number-escalated", n.escalated, Some("/cases?open=true&level=street")),
        number("number-patrols", n.patrols, Some("/patrols")),
        number("number-hazards", n.hazards, Some("/patrols?status=hazards_open")),
    ];
    let frame = Frame::new(&visitor, "today", w.t("today-title"), now_ms);
    page::answer(&Today { frame, sections: shown, waiting, numbers })
}
