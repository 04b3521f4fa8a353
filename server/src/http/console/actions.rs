//! What is done on a case file: events and corrections enter by the one door; what is not accepted comes back with all that was typed.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError as _, web};
use serde_json::{Value, json};
use sync_core::edit::Edit;
use sync_core::event::{Body, EventKind};
use sync_core::ids::DocumentId;
use sync_core::shape::{DocumentKind, FieldValue, Holds};

use super::deeds::holds_of;
use super::file::{Extra, shown};
use super::format;
use super::forms::{self, Refused};
use super::gate::{Sent, Visitor};
use super::page;
use super::see;
use crate::app::App;
use crate::http::cases::{self as api, EditRequest, visible};
use crate::http::persons;
use crate::http::problem::Problem;
use crate::journal;

/// Shows the file once more, with what was sent and why it was not accepted.
async fn again(
    visitor: Visitor,
    id: DocumentId,
    app: &web::Data<App>,
    sent: Vec<(String, String)>,
    problem: Problem,
) -> Result<HttpResponse, Problem> {
    let field = problem.body().field;
    let field = field.map(|f| f.trim_start_matches("body.").to_owned());
    let refused = Refused { sent, told: page::told(&problem, visitor.words), field };
    let extra = Extra { refused: Some(refused), revealed: Vec::new(), status: problem.status_code() };
    shown(visitor, id, &[], app, extra).await
}

async fn write(visitor: &Visitor, id: DocumentId, edits: Vec<Edit>, app: &web::Data<App>) -> Result<(), Problem> {
    let request = web::Json(EditRequest { edits });
    api::edit(visitor.principal.clone(), web::Path::from(id), request, app.clone()).await.map(|_| ())
}

fn of<'a>(sent: &'a [(String, String)], name: &str) -> &'a str {
    sent.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
}

/// Reads an event out of a form; with it, for a flagged passage, the version that was chosen.
async fn edits(
    visitor: &Visitor,
    id: DocumentId,
    sent: &[(String, String)],
    app: &web::Data<App>,
) -> Result<Vec<Edit>, Problem> {
    let unknown = || Problem::invalid("field_invalid", "there is no such event").field("kind");
    let kind = EventKind::parse(of(sent, "kind")).filter(|k| k.spec().is_some()).ok_or_else(unknown)?;
    let body: Body = forms::body(kind, sent, visitor.words)?;
    let mut edits = Vec::new();
    let version = of(sent, "version");
    if kind == EventKind::PassageConfirmed && !version.is_empty() {
        let (name, who) = (of(sent, "body.text").to_owned(), visitor.principal.clone());
        let whole = app.run(move |conn| -> Result<Option<String>, Problem> {
            visible(conn, &who, id, DocumentKind::Case)?;
            Ok(journal::load(conn, id)?.and_then(|d| d.text(&name)))
        });
        let (whole, merged) = (whole.await?.unwrap_or_default(), of(sent, "merged"));
        if merged.is_empty() || !whole.contains(merged) {
            return Err(Problem::conflict("event_moot", "the passage reads otherwise by now").field("text"));
        }
        let wording = whole.replacen(merged, version, 1);
        edits.push(Edit::SetText { name: of(sent, "body.text").to_owned(), wording });
    }
    edits.push(Edit::AddEvent { kind, body });
    Ok(edits)
}

/// Enters an event.
pub(super) async fn event(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    sent: Sent,
) -> Result<HttpResponse, Problem> {
    let (id, sent) = (id.into_inner(), sent.into_inner());
    visitor.must_own(&sent)?;
    let done = match edits(&visitor, id, &sent, &app).await {
        Ok(edits) => write(&visitor, id, edits, &app).await,
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => Ok(see(&format!("/cases/{id}?done=1"))),
        Err(problem) => again(visitor, id, &app, sent, problem).await,
    }
}

/// The value of a register that a form sent: as JSON where a value was chosen, as text where one was typed.
fn typed(path: &str, sent: &[(String, String)]) -> Result<FieldValue, Problem> {
    let wrong = |text: &str| Problem::invalid("field_invalid", text.to_owned()).field(path);
    if let Some((_, chosen)) = sent.iter().find(|(n, _)| n == "json") {
        return serde_json::from_str(chosen).map_err(|_| wrong(chosen));
    }
    let text = of(sent, "value").trim();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    Ok(match holds_of(DocumentKind::Case, path) {
        Some(Holds::Count) => json!(text.parse::<i64>().map_err(|_| wrong(text))?),
        Some(Holds::Fen) => json!(format::fen(text).ok_or_else(|| wrong(text))?),
        Some(Holds::Moment) => json!(format::from_input(text).ok_or_else(|| wrong(text))?),
        Some(Holds::Flag) => json!(text == "true"),
        _ => json!(text),
    })
}

/// Writes a register: settles a conflict, puts a former value back, or corrects a fact.
pub(super) async fn field(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    sent: Sent,
) -> Result<HttpResponse, Problem> {
    let (id, sent) = (id.into_inner(), sent.into_inner());
    visitor.must_own(&sent)?;
    let path = of(&sent, "path").to_owned();
    let (who, at) = (visitor.principal.clone(), path.clone());
    let before = app.run(move |conn| -> Result<Value, Problem> {
        visible(conn, &who, id, DocumentKind::Case)?;
        Ok(journal::load(conn, id)?.and_then(|d| d.field(&at)).unwrap_or(Value::Null))
    });
    let before = before.await?;
    let done = match typed(&path, &sent) {
        Ok(value) => write(&visitor, id, vec![Edit::SetField { path: path.clone(), value }], &app).await,
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => {
            // A number does not travel in an address, nor does anything long.
            let was = before.to_string();
            let personal = DocumentKind::Case.shape().fields.iter().any(|f| f.path == path && f.personal);
            let keeps = !personal && !path.contains("parties.") && !path.contains("statements.") && was.len() < 200;
            let undo = format!("&undo={}&was={}", page::escaped(&path), page::escaped(&was));
            Ok(see(&format!("/cases/{id}?done=1{}", if keeps { undo } else { String::new() })))
        }
        Err(problem) => again(visitor, id, &app, sent, problem).await,
    }
}

/// Shows masked numbers, with a reason that is logged.
pub(super) async fn reveal(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    sent: Sent,
) -> Result<HttpResponse, Problem> {
    let (id, sent) = (id.into_inner(), sent.into_inner());
    visitor.must_own(&sent)?;
    let who = visitor.principal.clone();
    let fields = app.run(move |conn| -> Result<Vec<String>, Problem> {
        visible(conn, &who, id, DocumentKind::Case)?;
        let Some(document) = journal::load(conn, id)? else { return Ok(Vec::new()) };
        let of_parties = document
            .items("parties")
            .into_iter()
            .flat_map(|p| ["phone", "id_number"].map(|f| format!("parties.{p}.{f}")));
        let all = of_parties.chain(["report.reporter_phone".to_owned()]);
        Ok(all.filter(|f| document.field(f).is_some_and(|v| !v.is_null())).collect())
    });
    let fields = fields.await?;
    let asked = json!({ "reason": of(&sent, "reason").trim(), "fields": fields });
    match persons::reveal(visitor.principal.clone(), web::Path::from(id), web::Json(asked), app.clone()).await {
        Ok(revealed) => {
            let w = visitor.words;
            let values = revealed.into_inner().values.into_iter();
            let revealed = values.map(|(path, v)| (w.field(&path), format::value(&v, None, w))).collect();
            let extra = Extra { refused: None, revealed, status: StatusCode::OK };
            shown(visitor, id, &[], &app, extra).await
        }
        Err(problem) => again(visitor, id, &app, sent, problem).await,
    }
}
