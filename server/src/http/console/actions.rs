//! What is done on a case file: events, corrections and decisions enter by the one door; what is not accepted comes back with all that
//! was typed.

use actix_web::{HttpResponse, ResponseError as _, web};
use serde_json::json;
use sync_core::document::ChangeHash;
use sync_core::edit::Edit;
use sync_core::event::{Body, EventKind};
use sync_core::ids::{DocumentId, UserId};
use sync_core::shape::{DocumentKind, FieldValue, Holds};

use super::deeds::holds_of;
use super::file::{Extra, shown};
use super::format;
use super::forms::{self, Refused, Which};
use super::gate::{Owned, Visitor};
use super::page::{self, Told};
use super::parts;
use super::see;
use super::settle::{self, Meanwhile, Outcome, Wish};
use super::words::Words;
use crate::app::App;
use crate::http::cases::{self as api, EditRequest};
use crate::http::problem::Problem;

/// Shows the file once more, with what was sent and why it was not accepted.
pub(super) async fn again(
    visitor: Visitor,
    id: DocumentId,
    app: &web::Data<App>,
    (which, sent): (Which, Vec<(String, String)>),
    problem: &Problem,
    told: Told,
) -> Result<HttpResponse, Problem> {
    let field = problem.body().field;
    let field = field.map(|f| f.trim_start_matches("body.").to_owned());
    let refused = Refused { which, sent, told, field };
    let extra = Extra { refused: Some(refused), revealed: Vec::new(), status: problem.status_code() };
    shown(visitor, id, &[], app, extra).await
}

/// What a form sent under a name; nothing, if it did not.
pub(super) fn of<'a>(sent: &'a [(String, String)], name: &str) -> &'a str {
    sent.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
}

/// Enters an event.
pub(super) async fn event(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let unknown = || Problem::invalid("field_invalid", "there is no such event").field("kind");
    let kind = EventKind::parse(of(&sent, "kind")).filter(|k| k.spec().is_some()).ok_or_else(unknown)?;
    let done = match forms::body(kind, &sent, visitor.words) {
        Ok(body) => write(&visitor, id, (kind, body), &app).await,
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => Ok(see(&format!("/cases/{id}?done=1"))),
        Err(problem) => {
            let told = told_of(kind, &problem, visitor.words);
            again(visitor, id, &app, (Which::Event, sent), &problem, told).await
        }
    }
}

/// A problem with an event in words: its field goes by the name that it has in the form.
fn told_of(kind: EventKind, problem: &Problem, w: Words) -> Told {
    let told = page::told(problem, w);
    let field = problem.body().field;
    let field = field.as_deref().map(|f| f.trim_start_matches("body."));
    let of_form = kind.spec().and_then(|s| s.body.iter().find(|f| Some(f.name) == field));
    Told { field: of_form.map(|f| w.body(&kind, f.name)).or(told.field), ..told }
}

async fn write(
    visitor: &Visitor,
    id: DocumentId,
    (kind, body): (EventKind, Body),
    app: &web::Data<App>,
) -> Result<(), Problem> {
    let request = web::Json(EditRequest { edits: vec![Edit::AddEvent { kind, body }] });
    api::edit(visitor.principal.clone(), web::Path::from(id), request, app.clone()).await.map(|_| ())
}

/// The value that was typed into a register's form.
fn typed(path: &str, text: &str) -> Result<FieldValue, Problem> {
    let wrong = |remedy: &str| Problem::invalid("field_invalid", text.to_owned()).field(path).remedy(remedy);
    let text = forms::plain(text.trim());
    if text.is_empty() {
        return Ok(FieldValue::Null);
    }
    Ok(match holds_of(DocumentKind::Case, path) {
        Some(Holds::Count) => json!(text.parse::<i64>().map_err(|_| wrong("send a whole number from 0"))?),
        Some(Holds::Fen) => json!(format::fen(&text).ok_or_else(|| wrong("send whole fen from 0"))?),
        Some(Holds::Moment) => {
            json!(format::from_input(&text).ok_or_else(|| wrong("send milliseconds since 1970 UTC"))?)
        }
        Some(Holds::Flag) => json!(text == "true"),
        _ => json!(text),
    })
}

/// What a form wants settled.
pub(super) fn wish(sent: &[(String, String)]) -> Result<Wish, Problem> {
    let unknown = |field: &str| Problem::invalid("field_invalid", "nothing that can be settled").field(field);
    Ok(match of(sent, "act") {
        "value" => Wish::Value { path: of(sent, "path").to_owned(), write: of(sent, "write").to_owned() },
        "passage" => Wish::Passage {
            text: of(sent, "text").to_owned(),
            flag: of(sent, "flag").to_owned(),
            version: Some(of(sent, "version"))
                .filter(|v| !v.is_empty())
                .map(str::parse)
                .transpose()
                .map_err(|_| unknown("version"))?,
        },
        "undo" => Wish::Undo(ChangeHash::from_hex(of(sent, "change")).ok_or_else(|| unknown("change"))?),
        _ => return Err(unknown("act")),
    })
}

/// Somebody else's decision in words.
pub(super) fn decided(kind: DocumentKind, other: &Meanwhile, w: Words) -> String {
    let system = (other.by == UserId::SYSTEM).then(|| w.t("system"));
    let who = other.name.clone().or(system).unwrap_or_else(|| w.t("unknown"));
    let what = other.value.as_ref().map(|v| format::value(v, holds_of(kind, &other.path), w));
    let what = what.unwrap_or_else(|| w.t("row-confirmed"));
    format!("{who} · {} · {what}", format::moment(other.at_ms).text)
}

/// Settles a conflict or a passage, or puts a change back.
pub(super) async fn settled(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let wish = wish(&sent);
    entered(visitor, id.into_inner(), app, (Which::Settle, sent), wish).await
}

/// Corrects a fact.
pub(super) async fn field(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let path = of(&sent, "path").to_owned();
    let wish = typed(&path, of(&sent, "value")).map(|value| Wish::Fact { path, value });
    entered(visitor, id.into_inner(), app, (Which::Fact, sent), wish).await
}

async fn entered(
    visitor: Visitor,
    id: DocumentId,
    app: web::Data<App>,
    (which, sent): (Which, Vec<(String, String)>),
    wish: Result<Wish, Problem>,
) -> Result<HttpResponse, Problem> {
    // A page that does not say what it showed has seen nothing.
    let seen = of(&sent, "seen").parse().unwrap_or(0);
    let outcome = match wish {
        Ok(wish) => {
            let (shared, who) = (app.clone(), visitor.principal.clone());
            app.transact(move |conn| settle::carry_out(conn, &shared.context(), &who, id, &wish, seen)).await
        }
        Err(problem) => Err(problem),
    };
    let w = visitor.words;
    let (problem, told) = match outcome {
        Ok(Outcome::Written(change)) => return Ok(see(&format!("/cases/{id}?done={}", parts::done(change)))),
        Ok(Outcome::Meanwhile(other)) => {
            let problem =
                Problem::conflict("changed_meanwhile", "somebody wrote it after the page was made").field(&other.path);
            let told = page::told(&problem, w);
            (problem, Told { reason: Some(decided(DocumentKind::Case, &other, w)), ..told })
        }
        Err(problem) => {
            let told = page::told(&problem, w);
            (problem, told)
        }
    };
    again(visitor, id, &app, (which, sent), &problem, told).await
}
