//! What was refused: its words, why it was refused, and the decision.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError as _, web};
use askama::Template;
use sync_core::calendar::DAY_MS;
use sync_core::error::RefusalCode;
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;

use super::deeds::Deed;
use super::format::{self, Moment};
use super::forms::Choice;
use super::gate::{Owned, Visitor};
use super::lists::{self, Asked, Wanted};
use super::page::{self, Frame, Told};
use super::preview::{self, Named};
use super::see;
use crate::app::App;
use crate::db::AnyConnection;
use crate::http::extract::Principal;
use crate::http::problem::Problem;
use crate::http::quarantine::{self as api, DecisionRequest};
use crate::objects::refs::{self, Standing};
use crate::objects::uploads;
use crate::queries::{QuarantineFilter, QuarantineRow};

struct Row {
    id: String,
    document: String,
    kind: String,
    author: String,
    why: String,
    detail: String,
    lines: Vec<Deed>,
    /// Photos that may be shown, by their hashes.
    pictures: Vec<String>,
    /// Whether it names photos that are not shown.
    has_more_photos: bool,
    written: Moment,
    received: Moment,
    state: String,
    state_code: String,
    reason: Option<String>,
    /// Who decided, and when.
    decided: Option<(String, Moment)>,
}

impl Row {
    /// What says most of it in a list: the first line that has words of its author.
    fn telling(&self) -> Option<&Deed> {
        self.lines.iter().find(|l| l.after.is_some()).or(self.lines.first())
    }
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct Quarantine {
    frame: Frame,
    rows: Vec<Row>,
    asked: Wanted,
    state: String,
    states: Vec<Choice>,
    codes: Vec<Choice>,
    next: Option<String>,
    told: Option<Told>,
}

impl Quarantine {
    fn of(&self, name: &str) -> &str {
        self.asked.of(name)
    }

    /// Whether one of the rarer conditions is in force.
    fn is_narrowed_further(&self) -> bool {
        ["detail", "reason", "received_from", "received_to"].iter().any(|name| self.asked.find(name).is_some())
    }
}

#[derive(Template)]
#[template(path = "quarantine_entry.html")]
struct Entry {
    frame: Frame,
    row: Row,
    /// What the same decision is about.
    together: Vec<Row>,
    told: Option<Told>,
    reason: String,
}

impl Entry {
    /// Whether the reason was not accepted: the only thing that can be typed here.
    fn is_blamed(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.field.is_some())
    }
}

async fn rows(app: &web::Data<App>, visitor: &Visitor, items: Vec<QuarantineRow>) -> Result<Vec<Row>, Problem> {
    let (w, now_ms, read) = (visitor.words, app.now_ms(), items.clone());
    let named = app.run(move |conn| Named::of(conn, &read, now_ms)).await?;
    let row = |q: QuarantineRow| Row {
        author: named.person(&q.author, w),
        lines: q.preview.lines().map(|line| preview::words(line, preview::kind_of(&q.kind), &named, w)).collect(),
        pictures: Vec::new(),
        has_more_photos: false,
        written: format::moment(q.written_ms),
        received: format::moment(q.received_ms),
        state: w.of_code("qstate", &q.state),
        state_code: q.state,
        decided: q.decided_by.as_ref().map(|by| named.person(by, w)).zip(q.decided_ms.map(format::moment)),
        id: q.id,
        document: q.document,
        kind: q.kind,
        why: w.of_code("refusal", &q.code),
        detail: q.detail,
        reason: q.reason,
    };
    Ok(items.into_iter().map(row).collect())
}

/// The photos of a row, and which of them were handed in and may be looked at: a refused change opens nothing by what it names.
fn pictures(
    conn: &mut AnyConnection,
    who: &Principal,
    row: &QuarantineRow,
) -> Result<(Vec<String>, Vec<String>), Problem> {
    let named: Vec<String> = row.preview.lines().filter_map(preview::photo).map(str::to_owned).collect();
    let Some(document) = row.document.parse::<DocumentId>().ok().filter(|_| row.kind == DocumentKind::Case.as_str())
    else {
        return Ok((named, Vec::new()));
    };
    let there = uploads::readable_in(conn, document)?;
    let mut shown = Vec::new();
    for hash in named.iter().filter(|hash| there.contains(*hash)) {
        let standing = refs::standing(conn, &who.subject, who.user, document, hash)?;
        if matches!(standing, Standing::Reader | Standing::Decider) {
            shown.push(hash.clone());
        }
    }
    Ok((named, shown))
}

/// What waits, unless the address says otherwise.
fn filter(asked: &Wanted) -> Result<QuarantineFilter, Problem> {
    let state = if asked.has("state") { asked.find("state") } else { Some("waiting".into()) };
    // `decided` is no state of its own: accepted, dismissed and erased.
    let decided = (state.as_deref() == Some("decided")).then_some(true);
    Ok(QuarantineFilter {
        state: state.filter(|_| decided.is_none()),
        decided,
        community: asked.find("community"),
        document: asked.find("document"),
        author: asked.find("author"),
        device: asked.find("device"),
        code: asked.find("code"),
        detail: asked.find("detail"),
        reason: asked.find("reason"),
        text: asked.find("text"),
        received_from: asked.moment("received_from", 0)?,
        received_to: asked.moment("received_to", DAY_MS)?,
        limit: asked.find("limit").and_then(|l| l.parse().ok()),
        cursor: asked.find("cursor"),
    })
}

/// The list.
pub(super) async fn page(visitor: Visitor, asked: Asked, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let (w, asked) = (visitor.words, Wanted::new(asked.into_inner()));
    let listed = match filter(&asked) {
        Ok(filter) => api::list(visitor.principal.clone(), web::Query(filter), app.clone()).await,
        Err(problem) => Err(problem),
    };
    let (items, next, refused) = match listed {
        // Who may not look at all is told so on a page of its own.
        Err(problem) if problem.status_code() == StatusCode::FORBIDDEN => return Err(problem),
        listed => lists::found(listed),
    };
    let state = if asked.has("state") { asked.of("state").to_owned() } else { "waiting".into() };
    let page = Quarantine {
        frame: Frame::new(&visitor, "quarantine", w.t("quarantine-title"), app.now_ms()),
        rows: rows(&app, &visitor, items).await?,
        state,
        states: ["waiting", "decided", "accepted", "dismissed"]
            .map(|s| Choice { value: s.into(), label: w.of_code("qstate", s) })
            .into(),
        codes: RefusalCode::ALL
            .iter()
            .map(|c| Choice { value: c.as_str().into(), label: w.of_code("refusal", c.as_str()) })
            .collect(),
        next: next.map(|cursor| asked.next(&cursor)),
        asked,
        told: refused.as_ref().map(|problem| page::told(problem, w)),
    };
    page::answer_to(&page, refused.as_ref())
}

async fn one(
    visitor: Visitor,
    id: String,
    app: web::Data<App>,
    (told, reason): (Option<Told>, String),
    status: StatusCode,
) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let found = api::entry(visitor.principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let gone = || Problem::not_found("there is no such entry");
    let (who, read) = (visitor.principal.clone(), found.row.clone());
    let (named, shown) = app.run(move |conn| pictures(conn, &who, &read)).await?;
    let mut together = rows(&app, &visitor, [vec![found.row], found.together].concat()).await?.into_iter();
    let mut row = together.next().ok_or_else(gone)?;
    row.has_more_photos = row.state_code == "waiting" && shown.len() < named.len();
    row.pictures = shown;
    let mut frame = Frame::new(&visitor, "quarantine", w.t("quarantine-title"), app.now_ms());
    frame.path = format!("/quarantine/{}", row.id);
    page::answer_as(&Entry { frame, row, together: together.collect(), told, reason }, status)
}

/// One entry.
pub(super) async fn entry(
    visitor: Visitor,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    one(visitor, id.into_inner(), app, (None, String::new()), StatusCode::OK).await
}

/// Lets it in or dismisses it.
pub(super) async fn decide(
    visitor: Visitor,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
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
