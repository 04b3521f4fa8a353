//! The phones that somebody looks after: how far each is in step, and revoking or wiping one.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::{Sent, Visitor};
use super::lists::{self, Asked, Wanted};
use super::page::{self, Frame};
use super::see;
use crate::app::App;
use crate::http::problem::Problem;
use crate::http::replication::ReplicationFilter;
use crate::http::{devices, orders, replication};
use crate::queries::PAGE_MAX;
use crate::replication::{DeviceHealth, State};

struct Row {
    id: String,
    name: String,
    holder: String,
    states: Vec<(String, &'static str)>,
    seen: Option<Moment>,
    backlog: String,
    offset: String,
    version: String,
    refused: i64,
    storage: String,
    revoked: bool,
}

#[derive(Template)]
#[template(path = "phones.html")]
struct Phones {
    frame: Frame,
    rows: Vec<Row>,
    state: String,
    states: Vec<Choice>,
    areas: Vec<Choice>,
    area: String,
    next: Option<String>,
    done: bool,
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, Wanted::new(asked.into_inner()));
    let area = asked.find("area");
    let limit = asked.find("limit").and_then(|l| l.parse().ok()).or(Some(PAGE_MAX));
    let filter =
        ReplicationFilter { area: area.clone(), state: asked.find("state"), cursor: asked.find("cursor"), limit };
    let found = replication::list(app.clone(), visitor.principal.clone(), web::Query(filter)).await?.into_inner();
    let row = |d: DeviceHealth| Row {
        states: d.states.iter().map(|s| (w.of_code("state", s.as_str()), s.as_str())).collect(),
        seen: d.last_seen_ms.map(format::moment),
        backlog: d.backlog.map_or_else(String::new, |n| n.to_string()),
        offset: d.clock_offset_ms.map_or_else(String::new, |ms| match ms / 60_000 {
            0 => w.t("phone-offset-none"),
            minutes => format!("{}{}", if minutes < 0 { "−" } else { "+" }, format::span(ms, w)),
        }),
        version: d.version.unwrap_or_default(),
        refused: d.refused,
        storage: d
            .storage_bytes
            .map_or_else(String::new, |b| format!("{}.{} MB", b / 1_000_000, b % 1_000_000 / 100_000)),
        revoked: d.revoked_ms.is_some(),
        id: d.device,
        name: d.name,
        holder: d.user_name,
    };
    let page = Phones {
        frame: Frame::new(&visitor, "phones", w.t("phones-title"), app.now_ms()),
        rows: found.items.into_iter().map(row).collect(),
        state: asked.of("state").to_owned(),
        areas: lists::choices(&app, &visitor.principal.subject, area.clone()).await?,
        area: area.unwrap_or_default(),
        states: State::ALL.map(|s| Choice { value: s.as_str().into(), label: w.of_code("state", s.as_str()) }).into(),
        next: found.next.map(|cursor| asked.next(&cursor)),
        done: asked.has("done"),
    };
    page::answer(&page)
}

/// Revokes or wipes a phone; what cannot be undone asks for a second word.
pub(super) async fn order(
    visitor: Visitor,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
    sent: Sent,
) -> Result<HttpResponse, Problem> {
    visitor.must_own(&sent)?;
    let (id, order) = path.into_inner();
    if !sent.iter().any(|(n, v)| n == "sure" && v == "true") {
        return Err(Problem::invalid("field_invalid", visitor.words.t("phone-confirm")).field("sure"));
    }
    let (who, at) = (visitor.principal.clone(), web::Path::from(id));
    match order.as_str() {
        "revoke" => devices::revoke(app, who, at).await.map(|_| ())?,
        "wipe" => orders::wipe(app, who, at).await.map(|_| ())?,
        _ => return Err(Problem::not_found("there is no such order")),
    }
    Ok(see("/phones?done=1"))
}
