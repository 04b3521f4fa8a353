//! What was refused: its words, why it was refused, and the decision.

use actix_web::{HttpResponse, ResponseError as _, web};
use askama::Template;
use sync_core::shape::DocumentKind;

use super::cases::{Asked, with};
use super::deeds::Deed;
use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::{Sent, Visitor};
use super::page::{self, Frame, Told};
use super::words::Words;
use super::{preview, see};
use crate::accounts::users;
use crate::app::App;
use crate::db::DbError;
use crate::http::problem::Problem;
use crate::http::quarantine::{self as api, DecisionRequest};
use crate::queries::{QuarantineFilter, QuarantineRow};

struct Row {
    id: String,
    document: String,
    kind: String,
    author: String,
    why: String,
    detail: String,
    lines: Vec<Deed>,
    written: Moment,
    received: Moment,
    state: String,
    state_code: String,
    reason: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct Quarantine {
    frame: Frame,
    rows: Vec<Row>,
    state: String,
    text: String,
    states: Vec<Choice>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantine_entry.html")]
struct Entry {
    frame: Frame,
    row: Row,
    told: Option<Told>,
    reason: String,
}

fn kind_of(kind: &str) -> DocumentKind {
    DocumentKind::parse(kind).unwrap_or(DocumentKind::Case)
}

async fn rows(app: &web::Data<App>, items: Vec<QuarantineRow>, w: Words) -> Result<Vec<Row>, Problem> {
    let authors: Vec<_> = items.iter().filter_map(|q| q.author.parse().ok()).collect();
    let names = app.run(move |conn| -> Result<_, DbError> {
        let mut names = std::collections::BTreeMap::new();
        for user in authors {
            if let Some(row) = users::by_id(conn, user)? {
                names.insert(row.id, row.name);
            }
        }
        Ok(names)
    });
    let names = names.await?;
    let row = |q: QuarantineRow| Row {
        author: names.get(&q.author).cloned().unwrap_or(q.author),
        lines: q.preview.lines().map(|line| preview::words(line, kind_of(&q.kind), w)).collect(),
        written: format::moment(q.written_ms),
        received: format::moment(q.received_ms),
        state: w.of_code("qstate", &q.state),
        state_code: q.state,
        id: q.id,
        document: q.document,
        kind: q.kind,
        why: w.of_code("refusal", &q.code),
        detail: q.detail,
        reason: q.reason,
    };
    Ok(items.into_iter().map(row).collect())
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, asked.into_inner());
    let of = |name: &str| asked.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let state = of("state").unwrap_or_else(|| "waiting".into());
    let filter = QuarantineFilter {
        state: Some(state.clone()).filter(|s| !s.is_empty()),
        text: of("text").filter(|t| !t.is_empty()),
        cursor: of("cursor"),
        ..QuarantineFilter::default()
    };
    let found = api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await?.into_inner();
    let states = ["waiting", "accepted", "dismissed"];
    let page = Quarantine {
        frame: Frame::new(&visitor, "quarantine", w.t("quarantine-title"), app.now_ms()),
        rows: rows(&app, found.items, w).await?,
        state,
        text: of("text").unwrap_or_default(),
        states: states.map(|s| Choice { value: s.into(), label: w.of_code("qstate", s) }).into(),
        next: found.next.map(|cursor| format!("{}&cursor={}", with(&asked, "", ""), page::escaped(&cursor))),
    };
    page::answer(&page)
}

async fn one(
    visitor: Visitor,
    id: String,
    app: web::Data<App>,
    (told, reason): (Option<Told>, String),
    status: actix_web::http::StatusCode,
) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let found = api::entry(visitor.principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let gone = || Problem::not_found("there is no such entry");
    let row = rows(&app, vec![found], w).await?.pop().ok_or_else(gone)?;
    let mut frame = Frame::new(&visitor, "quarantine", w.t("quarantine-title"), app.now_ms());
    frame.path = format!("/quarantine/{}", row.id);
    page::answer_as(&Entry { frame, row, told, reason }, status)
}

/// One entry.
pub(super) async fn entry(
    visitor: Visitor,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    one(visitor, id.into_inner(), app, (None, String::new()), actix_web::http::StatusCode::OK).await
}

/// Lets it in or dismisses it.
pub(super) async fn decide(
    visitor: Visitor,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
    sent: Sent,
) -> Result<HttpResponse, Problem> {
    visitor.must_own(&sent)?;
    let (id, decision) = path.into_inner();
    let reason = sent.iter().find(|(n, _)| n == "reason").map_or("", |(_, v)| v.trim()).to_owned();
    let request = web::Json(DecisionRequest { reason: Some(reason.clone()).filter(|r| !r.is_empty()) });
    let (who, at) = (visitor.principal.clone(), web::Path::from(id.clone()));
    let decided = match decision.as_str() {
        "accept" => api::accept(who, at, request, app.clone()).await,
        "dismiss" => api::dismiss(who, at, request, app.clone()).await,
        _ => return Err(Problem::not_found("there is no such decision")),
    };
    match decided {
        Ok(_) => Ok(see(&format!("/quarantine/{id}"))),
        Err(problem) => {
            let told = page::told(&problem, visitor.words);
            one(visitor, id, app, (Some(told), reason), problem.status_code()).await
        }
    }
}
