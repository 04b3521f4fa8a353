//! One patrol record: what was found, what two people disagree on, and what happened. Conflicts and flagged passages are settled by the
//! same action as on a case file; a hazard is put right here.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError as _, web};
use askama::Template;
use sync_core::authority::Place;
use sync_core::document::{ChangeHash, Touch};
use sync_core::edit::Edit;
use sync_core::event::{Body, EventKind, TimelineEntry};
use sync_core::fold::folded_case;
use sync_core::ids::{DocumentId, EventId, UserId};
use sync_core::patrol::PatrolState;
use sync_core::shape::{DocumentKind, Holds};

use super::actions::{decided, of, wish};
use super::deeds::{Changes, Deed};
use super::format::{self, Moment};
use super::forms::{self, Choice};
use super::gate::{Owned, Visitor};
use super::lists::{Asked, Wanted};
use super::page::{self, Frame, Told};
use super::parts::{self, ConflictView, Fact, PassageView};
use super::reveal;
use super::see;
use super::settle::{self, Outcome};
use super::words::Words;
use crate::app::App;
use crate::areas;
use crate::db::AnyConnection;
use crate::http::cases::{EditRequest, visible};
use crate::http::extract::Principal;
use crate::http::patrols as api;
use crate::http::problem::Problem;
use crate::journal;
use crate::masking::Sight;
use crate::projection;

struct Hazard {
    id: String,
    facts: Vec<Fact>,
    rectified: Option<(String, Moment)>,
    /// What was typed beside it, if that was not accepted.
    note: String,
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
    /// What the events say, each in a line.
    said: Vec<String>,
    /// Why they have no effect.
    moot: Option<String>,
    deeds: Vec<Deed>,
    /// The change, if it can be put back.
    undo: Option<String>,
}

#[derive(Template)]
#[template(path = "patrol.html")]
struct Record {
    frame: Frame,
    id: String,
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
    conflicts: Vec<ConflictView>,
    passages: Vec<PassageView>,
    may: May,
    /// The last entry of the journal that the page shows.
    seen: i64,
    /// The texts whose numbers may be shown, and what was.
    veiled: Vec<Choice>,
    revealed: Vec<Fact>,
    /// Whether a reason was not accepted, and how it read.
    is_revealing: bool,
    reason: String,
    done: bool,
    told: Option<Told>,
}

/// What the visitor may do with what the record shows.
#[derive(Debug, Clone, Copy, Default)]
struct May {
    edit: bool,
    confirm: bool,
    rectify: bool,
}

impl May {
    fn of(visitor: &Visitor, place: &Place) -> Self {
        let subject = &visitor.principal.subject;
        Self {
            edit: subject.may(place, &Touch::Text { name: "notes".into() }).is_ok(),
            confirm: subject.role_for(EventKind::PassageConfirmed, place).is_some(),
            rectify: subject.role_for(EventKind::HazardRectified, place).is_some(),
        }
    }
}

/// What a record is shown with, from the tables.
struct Around {
    names: BTreeMap<String, String>,
    cases: Vec<Choice>,
    changes: Changes,
    /// The change by which each event was written.
    written: BTreeMap<EventId, ChangeHash>,
    place: Place,
}

/// What an event of a patrol says, in words.
fn said(state: &PatrolState, entry: &TimelineEntry, w: Words) -> Vec<String> {
    let hazard = |id: &str| {
        let item = state.hazards.get(id)?;
        let text = |name: &str| item.fields.get(name).and_then(|v| v.as_str());
        let parts = [text("kind").map(|code| w.code("hazard_kind", code)), text("note").map(str::to_owned)];
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" · "))
    };
    let line = |(name, value): (&String, &serde_json::Value)| match (name.as_str(), value.as_str()) {
        ("hazard", Some(id)) => hazard(id).unwrap_or_else(|| w.t("preview-other")),
        _ => format!("{} {}", w.of_code("body", name), format::value(value, None, w)),
    };
    entry.body.iter().map(line).collect()
}

fn around(conn: &mut AnyConnection, principal: &Principal, state: &PatrolState) -> Result<Around, Problem> {
    let gone = || Problem::not_found("there is no such patrol");
    let document = journal::load(conn, state.id)?.ok_or_else(gone)?;
    let place = Place::of(&document);
    let sight = Sight::of(&principal.subject, &place);
    let of_areas = ["place.grid", "place.building"].into_iter().filter_map(|p| state.fields.get(p)?.as_str());
    let disputed = state.conflicts.iter().flat_map(|c| &c.values).filter_map(|v| v.value.as_str());
    let codes: Vec<String> = of_areas.chain(disputed).map(str::to_owned).chain([state.community.to_string()]).collect();
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
    Ok(Around { names: areas::names(conn, &codes)?, cases, changes, written: document.event_changes(), place })
}

/// What a record is shown with after a form was sent.
#[derive(Default)]
pub(super) struct After {
    pub(super) done: bool,
    pub(super) status: StatusCode,
    pub(super) told: Option<Told>,
    pub(super) sent: Vec<(String, String)>,
    /// Whether what was sent asked for numbers to be shown.
    pub(super) is_revealing: bool,
    /// Numbers that were asked for with a reason, by the path of their text.
    pub(super) revealed: BTreeMap<String, serde_json::Value>,
}

/// The record, after whatever was sent.
pub(super) async fn shown(
    visitor: Visitor,
    id: DocumentId,
    app: web::Data<App>,
    after: After,
) -> Result<HttpResponse, Problem> {
    let (w, principal) = (visitor.words, visitor.principal.clone());
    let record = api::record(principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let (state, may_reveal) = (record.state, record.may_reveal);
    let veiled = if may_reveal { reveal::veiled_texts(&state, w) } else { Vec::new() };
    let read = state.clone();
    let found = app.run(move |conn| around(conn, &principal, &read)).await?;
    let Around { names, cases, changes, written, place: lies } = found;
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
    let plain = |path: &&String| {
        !path.starts_with("checklist.") && !matches!(path.as_str(), "worker" | "place.grid" | "place.building")
    };
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
    let rectified = |id: &str| state.rectification(id).map(|e| (person(e.by.user), format::moment(e.latest_ms())));
    let of_hazard = shape.collection("hazards").map_or(&[][..], |c| c.fields);
    let hazards = state.hazards.iter().map(|(id, item)| Hazard {
        facts: of_hazard
            .iter()
            .filter_map(|f| {
                let value = format::value(item.fields.get(f.path)?, Some(f.holds), w);
                Some(Fact::plain(w.of_code("item", f.path), value))
            })
            .collect(),
        rectified: rectified(id),
        note: if of(&after.sent, "body.hazard") == id {
            of(&after.sent, "body.note").to_owned()
        } else {
            String::new()
        },
        id: id.clone(),
    });
    let may = May::of(&visitor, &lies);
    let written = &written;
    let entries = |change: ChangeHash| state.timeline.iter().filter(move |e| written.get(&e.id) == Some(&change));
    let happened = changes.all.iter().map(|c| Happened {
        said: entries(c.hash).flat_map(|e| said(&state, e, w)).collect(),
        moot: entries(c.hash).find_map(|e| e.moot).map(|reason| w.of_code("moot", reason.as_str())),
        by: c.line.author.parse().map_or_else(|_| c.line.author.clone(), person),
        at_desk: c.line.device.is_none(),
        written: format::moment(c.line.written_ms),
        arrived: format::moment(c.line.received_ms),
        events: c.events.iter().map(|kind| w.event(kind)).collect(),
        deeds: changes.deeds(DocumentKind::Patrol, c, w),
        undo: (may.edit && c.can_undo).then(|| c.hash.to_hex()),
    });
    let fact = |path: &String, value: &sync_core::shape::FieldValue| {
        let holds = shape.field(path);
        let shown = match (holds, value.as_str()) {
            (Some(Holds::User), Some(id)) => id.parse().map_or_else(|_| id.to_owned(), person),
            _ => format::value(value, holds, w),
        };
        Fact::plain(w.field(path), shown)
    };
    let page = Record {
        frame: Frame {
            path: format!("/patrols/{id}"),
            ..Frame::new(&visitor, "patrols", w.t("patrol-title"), app.now_ms())
        },
        id: id.to_string(),
        status: w.of_code("patrolstatus", state.status.as_str()),
        status_code: state.status.as_str(),
        place: place.into_iter().flatten().collect::<Vec<_>>().join(" "),
        worker: person(worker),
        created: format::moment(state.created_ms),
        facts: state.fields.iter().filter(|(path, _)| plain(path)).map(|(p, v)| fact(p, v)).collect(),
        checklist: items.map(answer).collect(),
        hazards: hazards.collect(),
        cases,
        notes: state.notes.clone(),
        // What the server noted of its own says nothing of the patrol.
        happened: happened.filter(|h| !h.events.is_empty() || !h.deeds.is_empty()).collect(),
        conflicts: parts::conflicts(&state.conflicts, DocumentKind::Patrol, &person, &names, w),
        passages: parts::passages(&state.passages, &person, w),
        may,
        seen: changes.positions.values().copied().max().unwrap_or(0),
        revealed: reveal::shown_texts(&after.revealed, &veiled, w),
        veiled,
        is_revealing: after.is_revealing,
        reason: if after.is_revealing { of(&after.sent, "reason").to_owned() } else { String::new() },
        done: after.done,
        told: after.told,
    };
    page::answer_as(&page, after.status)
}

/// One record.
pub(super) async fn page(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    asked: Asked,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let done = Wanted::new(asked.into_inner()).has("done");
    shown(visitor, id.into_inner(), app, After { done, ..After::default() }).await
}

/// Settles a conflict or a passage, or puts a change back.
pub(super) async fn settled(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    // A page that does not say what it showed has seen nothing.
    let seen = of(&sent, "seen").parse().unwrap_or(0);
    let outcome = match wish(&sent) {
        Ok(wish) => {
            let (shared, who) = (app.clone(), visitor.principal.clone());
            let at = (DocumentKind::Patrol, id);
            app.transact(move |conn| settle::carry_out_in(conn, &shared.context(), &who, at, &wish, seen)).await
        }
        Err(problem) => Err(problem),
    };
    let w = visitor.words;
    let (status, told) = match outcome {
        Ok(Outcome::Written(_)) => return Ok(see(&format!("/patrols/{id}?done=1"))),
        Ok(Outcome::Meanwhile(other)) => {
            let problem =
                Problem::conflict("changed_meanwhile", "somebody wrote it after the page was made").field(&other.path);
            let told = page::told(&problem, w);
            (problem.status_code(), Told { reason: Some(decided(DocumentKind::Patrol, &other, w)), ..told })
        }
        Err(problem) => (problem.status_code(), page::told(&problem, w)),
    };
    shown(visitor, id, app, After { status, told: Some(told), sent, ..After::default() }).await
}

/// Enters what happened: a hazard was put right.
pub(super) async fn event(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
    Owned(sent): Owned,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let body = [("hazard", of(&sent, "body.hazard").trim()), ("note", of(&sent, "body.note").trim())];
    let body = body.into_iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.to_owned(), forms::plain(v).into()));
    let body: Body = body.collect();
    let request = EditRequest { edits: vec![Edit::AddEvent { kind: EventKind::HazardRectified, body }] };
    let done = api::edit(visitor.principal.clone(), web::Path::from(id), web::Json(request), app.clone()).await;
    match done {
        Ok(_) if of(&sent, "back") == "hazards" => Ok(see("/hazards?state=open&done=1")),
        Ok(_) => Ok(see(&format!("/patrols/{id}?done=1"))),
        Err(problem) => {
            let told = Some(page::told(&problem, visitor.words));
            shown(visitor, id, app, After { status: problem.status_code(), told, sent, ..After::default() }).await
        }
    }
}
