//! The case file: what is, and what happened; what is to be settled and what can be done, as forms that enter by the one door.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::case::CaseState;
use sync_core::document::{ChangeHash, Document, Trust};
use sync_core::event::EventKind;
use sync_core::fold::{fold_case, folded_case};
use sync_core::ids::{DocumentId, EventId};
use sync_core::shape::{DocumentKind, Holds};

use super::cases::Asked;
use super::format::{self, Moment};
use super::forms::{self, Choice, EventForm, Options, Refused};
use super::gate::Visitor;
use super::page::{self, Frame};
use super::parts::{
    Attached, ConflictView, Due, Fact, Judged, PassageView, Undo, attached, conflicts, dues, facts, item, named_event,
    passages, undo,
};
use super::timeline::{self, Beside};
use crate::accounts::roster;
use crate::app::App;
use crate::areas::{self, Tree};
use crate::http::cases::{self as api, visible};
use crate::http::problem::Problem;
use crate::journal;
use crate::masking::Sight;
use crate::objects::uploads;

/// At which moment the file is looked at.
enum Moments {
    Now,
    Position(i64),
    SeenBy(EventId),
    SeenByChange(ChangeHash),
}

#[derive(Template)]
#[template(path = "file.html")]
struct FilePage {
    frame: Frame,
    id: String,
    title: String,
    status: String,
    status_code: &'static str,
    level: String,
    place: String,
    reported_by: String,
    created: Moment,
    file_number: Option<String>,
    assignee: Option<String>,
    amount: Option<String>,
    narrative: String,
    facts: Vec<Fact>,
    parties: Vec<Vec<Fact>>,
    statements: Vec<(Vec<Fact>, String)>,
    attachments: Vec<Attached>,
    timeline: Vec<timeline::Row>,
    stretches: Vec<timeline::Stretch>,
    conflicts: Vec<ConflictView>,
    passages: Vec<PassageView>,
    unknowing: Vec<Judged>,
    evidence: Vec<Judged>,
    dues: Vec<Due>,
    duplicates: Vec<Choice>,
    forms: Vec<EventForm>,
    rarer: Vec<EventForm>,
    is_rarer_open: bool,
    editable: Vec<Choice>,
    may_reveal: bool,
    revealed: Vec<(String, String)>,
    read_only: Option<String>,
    refused: Option<Refused>,
    undo: Option<Undo>,
    done: bool,
}

/// What a page is made with beside the case itself.
#[derive(Default)]
pub(super) struct Extra {
    /// A form that was not accepted.
    pub(super) refused: Option<Refused>,
    /// Numbers that were asked for with a reason.
    pub(super) revealed: Vec<(String, String)>,
    /// The status of the answer.
    pub(super) status: StatusCode,
}

fn moments(asked: &[(String, String)]) -> Moments {
    let of = |name: &str| asked.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let seen = of("seen").unwrap_or_default();
    if let Some(position) = of("at").and_then(|p| p.parse().ok()) {
        Moments::Position(position)
    } else if let Ok(event) = seen.parse() {
        Moments::SeenBy(event)
    } else if let Some(change) = ChangeHash::from_hex(seen) {
        Moments::SeenByChange(change)
    } else {
        Moments::Now
    }
}

/// What a page is made of that asks the database beside the file.
struct Around {
    state: CaseState,
    beside: Beside,
    names: BTreeMap<String, String>,
    people: Vec<Choice>,
    /// Attachments whose contents are here.
    stored: BTreeSet<String>,
}

/// The file as the author of a change had it when he wrote.
fn seen_by(now: &Document, change: Option<ChangeHash>) -> Result<Document, Problem> {
    let gone = || Problem::not_found("there is no such change in this case");
    let written = now.history().into_iter().find(|c| Some(c.hash) == change).ok_or_else(gone)?;
    now.at(&written.deps).map_err(|_| gone())
}

fn around(
    conn: &mut crate::db::AnyConnection,
    app: &App,
    visitor: &Visitor,
    id: DocumentId,
    moment: &Moments,
) -> Result<Around, Problem> {
    let gone = || Problem::not_found("there is no such case");
    let place = visible(conn, &visitor.principal, id, DocumentKind::Case)?;
    let now = journal::load(conn, id)?.ok_or_else(gone)?;
    let document = match moment {
        Moments::Now => now,
        Moments::Position(position) => {
            let entries = journal::of_document(conn, id)?;
            let then = entries.iter().filter(|e| e.position <= *position).map(|e| e.bytes.as_slice());
            Document::from_changes(then, Trust::Server).map_err(|_| gone())?
        }
        Moments::SeenBy(event) => seen_by(&now, now.event_changes().get(event).copied())?,
        Moments::SeenByChange(change) => seen_by(&now, Some(*change))?,
    };
    let folded = match moment {
        Moments::Now => folded_case(&document).as_ref().clone(),
        _ => fold_case(&document),
    };
    let sight = Sight::of(&visitor.principal.subject, &place);
    let mut state = sight.masked(&folded)?;
    // Names come from what the server vouches for now: an author's own copy may not have had them yet.
    for (user, name) in folded.people {
        state.people.entry(user).or_insert(name);
    }
    let beside = Beside::read(conn, &document, &state, &sight)?;
    let areas_named: Vec<String> = [place.grid.as_ref(), place.building.as_ref(), Some(&place.community)]
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let mut stored = BTreeSet::new();
    for hash in state.attachments.keys() {
        if uploads::is_stored(conn, hash)?.is_some() {
            stored.insert(hash.clone());
        }
    }
    let tree = Tree::load(conn)?;
    let works_here = |m: &roster::Member| {
        m.areas.iter().any(|a| tree.contains(a, place.community.as_str()) || tree.contains(place.community.as_str(), a))
    };
    let people = roster::at(conn, app.now_ms())?.into_iter().filter(works_here);
    Ok(Around {
        state,
        beside,
        names: areas::names(conn, &areas_named)?,
        stored,
        people: people.map(|m| Choice { value: m.user.id, label: m.user.name }).collect(),
    })
}

pub(super) async fn shown(
    visitor: Visitor,
    id: DocumentId,
    asked: &[(String, String)],
    app: &web::Data<App>,
    extra: Extra,
) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let file = api::file(visitor.principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let moment = moments(asked);
    let read_only = match moment {
        Moments::Now => None,
        Moments::Position(_) => Some(w.t("case-at")),
        Moments::SeenBy(_) | Moments::SeenByChange(_) => Some(w.t("case-seen")),
    };
    let (shared, who) = (app.clone(), visitor.clone());
    let Around { state, beside, names, people, stored } =
        app.run(move |conn| around(conn, &shared, &who, id, &moment)).await?;
    let duplicates = file.possible_duplicates.into_iter().map(|d| Choice { value: d.id, label: d.title });
    let duplicates: Vec<Choice> = duplicates.collect();
    let options = Options { events: timeline::choices(&state, w), people, cases: duplicates.clone() };
    let allowed = if read_only.is_some() { &[][..] } else { &file.allowed_events };
    let offered = forms::offered(allowed);
    let form = |k: &EventKind| forms::of_kind(*k, &options, extra.refused.as_ref(), w);
    let (common, rarer): (Vec<EventKind>, Vec<EventKind>) = offered.into_iter().partition(|k| forms::is_common(*k));
    let judged = |about: EventId, events: Vec<String>, why| Judged {
        about: about.to_string(),
        label: named_event(&state, about, w),
        events,
        why,
    };
    let area = |path: &str| state.text(path).map(|code| names.get(code).cloned().unwrap_or_else(|| code.to_owned()));
    let place = [names.get(state.community.as_str()).cloned(), area("place.grid"), area("place.building")];
    let editable = DocumentKind::Case
        .shape()
        .fields
        .iter()
        .filter(|f| matches!(f.holds, Holds::Text | Holds::Count | Holds::Fen | Holds::Code(_)));
    let rows = timeline::rows(&state, &beside, &app.law.rules, w);
    let page = FilePage {
        id: id.to_string(),
        title: state.text("title").map_or_else(|| short(&state.narrative), str::to_owned),
        status: w.of_code("status", state.status.as_str()),
        status_code: state.status.as_str(),
        level: w.of_code("level", state.level.as_str()),
        place: place.into_iter().flatten().collect::<Vec<_>>().join(" "),
        reported_by: timeline::person(&state, state.created_by, w),
        created: format::moment(state.created_ms),
        file_number: state.file_number.clone(),
        assignee: state.assignee.map(|a| timeline::person(&state, a, w)),
        amount: state.amount_agreed.map(|fen| format!("{} {}", format::yuan(fen), w.t("yuan"))),
        narrative: state.narrative.clone(),
        facts: facts(&state, &names, w),
        parties: state.parties.values().map(|p| item(p, "parties", w)).collect(),
        statements: state
            .statements
            .values()
            .map(|s| (item(s, "statements", w), s.text.clone().unwrap_or_default()))
            .collect(),
        attachments: attached(&state, &stored, w),
        stretches: timeline::stretches(&rows),
        timeline: rows,
        conflicts: conflicts(&state, w),
        passages: passages(&state, w),
        unknowing: state
            .closed_without_knowing
            .iter()
            .map(|c| judged(c.closure, c.unseen.iter().map(|e| named_event(&state, *e, w)).collect(), None))
            .collect(),
        evidence: state
            .evidence_pending
            .iter()
            .map(|e| {
                let why = serde_json::to_value(e.why).ok();
                let why = why.and_then(|v| v.as_str().map(|code| w.of_code("pending", code)));
                judged(e.escalation, vec![named_event(&state, e.evidence, w)], why)
            })
            .collect(),
        dues: if read_only.is_some() { Vec::new() } else { dues(&state, &file.obligations, app, w) },
        duplicates,
        forms: common.iter().filter_map(form).collect(),
        is_rarer_open: extra.refused.as_ref().is_some_and(|r| {
            EventKind::parse(r.typed("kind").unwrap_or_default()).is_some_and(|kind| rarer.contains(&kind))
        }),
        rarer: rarer.iter().filter_map(form).collect(),
        editable: editable.map(|f| Choice { value: f.path.to_owned(), label: w.field(f.path) }).collect(),
        may_reveal: file.may_reveal && read_only.is_none(),
        revealed: extra.revealed,
        undo: undo(asked, &state, w),
        done: asked.iter().any(|(n, _)| n == "done"),
        read_only,
        refused: extra.refused,
        frame: Frame::new(&visitor, "cases", String::new(), app.now_ms()),
    };
    let page =
        FilePage { frame: Frame { title: page.title.clone(), path: format!("/cases/{id}"), ..page.frame }, ..page };
    page::answer_as(&page, extra.status)
}

fn short(text: &str) -> String {
    text.split(['。', '\n']).next().unwrap_or_default().chars().take(30).collect()
}

/// The file.
pub(super) async fn page(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    asked: Asked,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    shown(visitor, id.into_inner(), &asked, &app, Extra::default()).await
}
