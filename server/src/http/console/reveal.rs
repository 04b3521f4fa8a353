//! Masked numbers shown: one person of a case or one text of a patrol record at a time, each by a button of its own, with a reason that
//! is logged before the answer leaves.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError as _, web};
use serde_json::json;
use sync_core::case::CaseState;
use sync_core::ids::DocumentId;
use sync_core::patrol::PatrolState;
use sync_core::shape::DocumentKind;

use super::actions::{again, of};
use super::file::{Extra, shown};
use super::format;
use super::forms::{Choice, Which};
use super::gate::{Owned, Visitor};
use super::page;
use super::parts::{self, Fact};
use super::patrol::{self, After};
use super::words::Words;
use crate::app::App;
use crate::http::cases::visible;
use crate::http::persons;
use crate::http::problem::Problem;
use crate::journal;

/// The reporter and the narrative beside the parties, who go by their ids.
const REPORTER: &str = "reporter";
/// What is masked in a register or in a text.
const HIDDEN: char = '*';
const NUMBERS: [&str; 2] = ["phone", "id_number"];

/// Whose numbers are masked in a state as somebody sees it.
pub(super) fn veiled(state: &CaseState, w: Words) -> Vec<Choice> {
    let hidden = |v: Option<&serde_json::Value>| v.and_then(|v| v.as_str()).is_some_and(|t| t.contains(HIDDEN));
    let parties = state.parties.iter().filter(|(_, p)| NUMBERS.iter().any(|f| hidden(p.fields.get(*f))));
    let named = |name: Option<&str>, else_: &str| name.map_or_else(|| w.t(else_), str::to_owned);
    let party = |(id, p): (&String, &sync_core::case::Item)| Choice {
        value: id.clone(),
        label: named(p.fields.get("name").and_then(|v| v.as_str()), "case-parties"),
    };
    let reporter = hidden(state.fields.get("report.reporter_phone")).then(|| Choice {
        value: REPORTER.into(),
        label: named(state.text("report.reporter"), "field-report-reporter"),
    });
    let text = |(name, text): (String, &str)| {
        text.contains(HIDDEN).then(|| Choice { label: parts::text_label(&name, w), value: name })
    };
    let statements =
        state.statements.iter().map(|(id, s)| (format!("statements.{id}"), s.text.as_deref().unwrap_or_default()));
    let texts = [("narrative".to_owned(), state.narrative.as_str())].into_iter().chain(statements).filter_map(text);
    parties.map(party).chain(reporter).chain(texts).collect()
}

/// Which texts of a patrol record are masked as somebody sees it, by their paths.
pub(super) fn veiled_texts(state: &PatrolState, w: Words) -> Vec<Choice> {
    let hidden = |v: &serde_json::Value| v.as_str().is_some_and(|t| t.contains(HIDDEN));
    let mut all = Vec::new();
    if state.notes.contains(HIDDEN) {
        all.push(Choice { value: "notes".into(), label: parts::text_label("notes", w) });
    }
    for (path, _) in state.fields.iter().filter(|(_, v)| hidden(v)) {
        let item = path.strip_prefix("checklist.").and_then(|rest| rest.strip_suffix(".note"));
        let label = item.map_or_else(|| w.field(path), |item| w.code("checklist", item));
        all.push(Choice { value: path.clone(), label });
    }
    for (collection, items, heading) in
        [("hazards", &state.hazards, "patrol-hazards"), ("cases", &state.cases, "patrol-cases")]
    {
        for (id, item) in items {
            let kind = item.fields.get("kind").and_then(|v| v.as_str());
            let what = kind.map_or_else(|| w.t(heading), |code| w.code("hazard_kind", code));
            all.extend(item.fields.iter().filter(|(_, v)| hidden(v)).map(|(name, _)| Choice {
                value: format!("{collection}.{id}.{name}"),
                label: format!("{what} · {}", w.of_code("item", name)),
            }));
        }
    }
    all
}

/// What was shown of a patrol record, each by what its button said.
pub(super) fn shown_texts(values: &BTreeMap<String, serde_json::Value>, veiled: &[Choice], w: Words) -> Vec<Fact> {
    let label = |path: &str| veiled.iter().find(|v| v.value == path).map_or_else(|| w.field(path), |v| v.label.clone());
    values.iter().map(|(path, v)| Fact::plain(label(path), format::value(v, None, w))).collect()
}

/// Shows the numbers in one text of a patrol record.
pub(super) async fn reveal_patrol(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let asked = json!({ "reason": of(&sent, "reason").trim(), "fields": [of(&sent, "who")] });
    let who = visitor.principal.clone();
    let after = match persons::reveal_patrol(who, web::Path::from(id), web::Json(asked), app.clone()).await {
        Ok(revealed) => After { revealed: revealed.into_inner().values, ..After::default() },
        Err(problem) => {
            let told = Some(page::told(&problem, visitor.words));
            After { status: problem.status_code(), told, sent, is_revealing: true, ..After::default() }
        }
    };
    patrol::shown(visitor, id, app, after).await
}

/// Whether a name is that of a text, not of a register.
fn is_text(name: &str) -> bool {
    name == "narrative" || name.starts_with("statements.")
}

fn fields(who: &str) -> Vec<String> {
    match who {
        REPORTER => vec!["report.reporter_phone".to_owned()],
        text if is_text(text) => vec![text.to_owned()],
        party => NUMBERS.iter().map(|f| format!("parties.{party}.{f}")).collect(),
    }
}

/// Shows the numbers of one person.
pub(super) async fn reveal(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let (who, wanted) = (visitor.principal.clone(), of(&sent, "who").to_owned());
    let found = app.run(move |conn| -> Result<_, Problem> {
        visible(conn, &who, id, DocumentKind::Case)?;
        let gone = || Problem::not_found("there is no such case");
        let document = journal::load(conn, id)?.ok_or_else(gone)?;
        let holds = |f: &String| document.text(f).is_some() || document.field(f).is_some();
        let name = document.field(&format!("parties.{wanted}.name"));
        let reporter = document.field("report.reporter").filter(|_| wanted == REPORTER);
        let name = name.or(reporter).and_then(|v| v.as_str().map(str::to_owned));
        Ok((fields(&wanted).into_iter().filter(holds).collect::<Vec<_>>(), name))
    });
    let (fields, name) = found.await?;
    let asked = json!({ "reason": of(&sent, "reason").trim(), "fields": fields });
    let w = visitor.words;
    match persons::reveal(visitor.principal.clone(), web::Path::from(id), web::Json(asked), app.clone()).await {
        Ok(revealed) => {
            let fact = |(path, v): (String, serde_json::Value)| {
                let label = if is_text(&path) { parts::text_label(&path, w) } else { w.field(&path) };
                let label = name.as_ref().map_or_else(|| label.clone(), |name| format!("{name} · {label}"));
                Fact::plain(label, format::value(&v, None, w))
            };
            let revealed = revealed.into_inner().values.into_iter().map(fact).collect();
            shown(visitor, id, &[], &app, Extra { refused: None, revealed, status: StatusCode::OK }).await
        }
        Err(problem) => {
            let told = page::told(&problem, w);
            again(visitor, id, &app, (Which::Reveal, sent), &problem, told).await
        }
    }
}
