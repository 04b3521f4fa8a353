//! The case file: what is, and what happened; what is to be settled and what can be done, as forms that enter by the one door.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::authority::Place;
use sync_core::case::CaseState;
use sync_core::document::Touch;
use sync_core::event::EventKind;
use sync_core::fold::{fold_case, folded_case};
use sync_core::ids::{DocumentId, EventId, UserId};
use sync_core::rules::obligations;
use sync_core::shape::DocumentKind;

use super::cases::Asked;
use super::format::{self, Moment};
use super::forms::{self, Choice, EventForm, FactForm, Options, Refused, Which};
use super::gate::Visitor;
use super::moments::{self, Moments, Then};
use super::page::{self, Frame};
use super::parts::{
    self, Attached, ConflictView, Due, Fact, Judged, PassageView, attached, conflicts, dues, facts, item, named_event,
    passages, pointer,
};
use super::reveal;
use super::timeline::{self, Beside};
use crate::accounts::roster;
use crate::app::App;
use crate::areas;
use crate::http::cases::{self as api, visible};
use crate::http::problem::Problem;
use crate::journal;
use crate::masking::Sight;
use crate::objects::uploads;

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
    /// How many limits are settled, by what became of them.
    settled: Vec<(String, &'static str, usize)>,
    duplicates: Vec<Choice>,
    forms: Vec<EventForm>,
    rarer: Vec<EventForm>,
    is_rarer_open: bool,
    /// The registers that may be corrected here and now.
    editable: Vec<FactForm>,
    /// Whose numbers may be shown.
    veiled: Vec<Choice>,
    revealed: Vec<Fact>,
    /// The past moment that is shown; what was asked for in the browser's field.
    then: Option<Then>,
    then_told: String,
    when: String,
    refused: Option<Refused>,
    may: May,
    /// The last entry of the journal that the page shows.
    seen: i64,
    /// What was done: a change, or only that something was.
    done: Option<String>,
}

/// What the visitor may do with what the file shows.
#[derive(Debug, Clone, Copy, Default)]
struct May {
    edit: bool,
    confirm: bool,
    judge_closure: bool,
    judge_evidence: bool,
}

impl May {
    fn of(visitor: &Visitor, place: &Place) -> Self {
        let subject = &visitor.principal.subject;
        let write = |kind| subject.role_for(kind, place).is_some();
        Self {
            edit: subject.may(place, &Touch::Text { name: "narrative".into() }).is_ok(),
            confirm: write(EventKind::PassageConfirmed),
            judge_closure: write(EventKind::ClosureConfirmed),
            judge_evidence: write(EventKind::EscalationWithdrawn),
        }
    }
}

impl FilePage {
    /// What was typed into the form of a part, if that one was not accepted.
    fn typed(&self, which: &str, name: &str) -> &str {
        let refused = self.refused.as_ref().filter(|r| (which == "reveal") == (r.which == Which::Reveal));
        refused.and_then(|r| r.typed(name)).unwrap_or_default()
    }

    fn is_refused(&self, which: &str) -> bool {
        let which = if which == "fact" { Which::Fact } else { Which::Reveal };
        self.refused.as_ref().is_some_and(|r| r.which == which)
    }

    /// The row of the change that was just made, if it can be put back.
    fn undoable(&self) -> Option<&timeline::Row> {
        let done = self.done.as_ref().filter(|_| self.may.edit)?;
        self.timeline.iter().find(|row| row.undo.as_ref() == Some(done))
    }
}

/// What a page is made with beside the case itself.
#[derive(Default)]
pub(super) struct Extra {
    /// A form that was not accepted.
    pub(super) refused: Option<Refused>,
    /// Numbers that were asked for with a reason.
    pub(super) revealed: Vec<Fact>,
    /// The status of the answer.
    pub(super) status: StatusCode,
}

/// What a page is made of that asks the database beside the file.
struct Around {
    state: CaseState,
    place: Place,
    then: Option<Then>,
    beside: Beside,
    names: BTreeMap<String, String>,
    people: Vec<Choice>,
    /// Attachments whose contents are here.
    stored: BTreeSet<String>,
}

fn around(
    conn: &mut crate::db::AnyConnection,
    app: &App,
    visitor: &Visitor,
    id: DocumentId,
    (moment, offers_people): (&Moments, bool),
) -> Result<Around, Problem> {
    let gone = || Problem::not_found("there is no such case");
    let subject = &visitor.principal.subject;
    let place = visible(conn, &visitor.principal, id, DocumentKind::Case)?;
    let now = journal::load(conn, id)?.ok_or_else(gone)?;
    let current = folded_case(&now);
    let (document, then) = moments::at(conn, id, now, moment)?;
    let folded = if then.is_some() { fold_case(&document) } else { current.as_ref().clone() };
    let sight = Sight::of(subject, &place);
    let mut state = sight.masked(&folded)?;
    // Names come from what the server vouches for now: an author's own copy may not have had them yet.
    for (user, name) in &current.people {
        state.people.entry(*user).or_insert_with(|| name.clone());
    }
    let beside = Beside::read(conn, &document, &state, (subject, &sight))?;
    let disputed = state.conflicts.iter().flat_map(|c| &c.values).filter_map(|v| v.value.as_str().map(str::to_owned));
    let named = [place.grid.as_ref(), place.building.as_ref(), Some(&place.community)];
    let of_state = ["place.grid", "place.building"].into_iter().filter_map(|p| state.text(p).map(str::to_owned));
    let named: Vec<String> =
        named.into_iter().flatten().map(ToString::to_string).chain(of_state).chain(disputed).collect();
    let attached = !state.attachments.is_empty();
    let stored = if attached { uploads::readable_in(conn, current.id)? } else { BTreeSet::new() };
    let people = if offers_people { roster::around(conn, place.community.as_str(), app.now_ms())? } else { Vec::new() };
    Ok(Around {
        then,
        beside,
        names: areas::names(conn, &named)?,
        stored,
        people: people.into_iter().map(|(value, label)| Choice { value, label }).collect(),
        state,
        place,
    })
}

/// Whether the form of a kind asks for a person.
fn asks_for_people(kind: EventKind) -> bool {
    kind.spec().is_some_and(|s| s.body.iter().any(|f| f.holds == sync_core::event::BodyType::User))
}

pub(super) async fn shown(
    visitor: Visitor,
    id: DocumentId,
    asked: &[(String, String)],
    app: &web::Data<App>,
    extra: Extra,
) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let moment = moments::asked_for(asked)?;
    let file = api::file(visitor.principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let is_past = !matches!(moment, Moments::Now);
    let refused = extra.refused.as_ref();
    let offers_people =
        !is_past && file.allowed_events.iter().copied().chain(refused.and_then(Refused::kind)).any(asks_for_people);
    let (shared, who) = (app.clone(), visitor.clone());
    let read = app.run(move |conn| around(conn, &shared, &who, id, (&moment, offers_people)));
    let Around { state, place, then, beside, names, people, stored } = read.await?;
    let person = |user: UserId| timeline::person(&state, user, w);
    let may = if then.is_some() { May::default() } else { May::of(&visitor, &place) };
    let duplicates = file.possible_duplicates.into_iter().map(|d| Choice { value: d.id, label: d.title });
    let duplicates: Vec<Choice> = duplicates.collect();
    let options = Options { events: timeline::choices(&state, w), people, cases: duplicates.clone() };
    let judged = |about: EventId, events: &[EventId], why, field: &str| {
        let typed = refused.filter(|r| r.kind().is_some() && r.typed(field) == Some(about.to_string().as_str()));
        Judged {
            about: about.to_string(),
            label: named_event(&state, about, w),
            events: events.iter().map(|e| pointer(&state, *e, w)).collect(),
            why,
            reason: typed.and_then(|r| r.typed("body.reason")).unwrap_or_default().to_owned(),
            wrong: typed.is_some(),
        }
    };
    let unknowing = state.closed_without_knowing.iter().map(|c| judged(c.closure, &c.unseen, None, "body.closure"));
    let unknowing: Vec<Judged> = unknowing.collect();
    let evidence = state.evidence_pending.iter().map(|e| {
        let why = serde_json::to_value(e.why).ok();
        let why = why.and_then(|v| v.as_str().map(|code| w.of_code("pending", code)));
        judged(e.escalation, &[e.evidence], why, "body.escalation")
    });
    let evidence: Vec<Judged> = evidence.collect();
    let allowed = if then.is_some() { &[][..] } else { &file.allowed_events };
    let offered = forms::offered(allowed, refused, unknowing.iter().chain(&evidence).any(|j| j.wrong));
    let form = |k: &EventKind| forms::of_kind(*k, &options, refused, w);
    let (common, rarer): (Vec<EventKind>, Vec<EventKind>) = offered.into_iter().partition(|k| forms::is_common(*k));
    let area = |path: &str| state.text(path).map(|code| names.get(code).cloned().unwrap_or_else(|| code.to_owned()));
    let placed = [names.get(state.community.as_str()).cloned(), area("place.grid"), area("place.building")];
    let rows = timeline::rows(&state, &beside, &app.law.rules, w);
    let due = match &then {
        Some(then) => obligations(&state, &app.law.rules, &app.law.calendar, then.at_ms),
        None => file.obligations,
    };
    let dues = dues(&state, &due, app, w);
    let title = state.text("title").map_or_else(|| short(&state.narrative), str::to_owned);
    let frame = Frame::new(&visitor, "cases", title.clone(), app.now_ms());
    let page = FilePage {
        id: id.to_string(),
        title,
        status: w.of_code("status", state.status.as_str()),
        status_code: state.status.as_str(),
        level: w.of_code("level", state.level.as_str()),
        place: placed.into_iter().flatten().collect::<Vec<_>>().join(" "),
        reported_by: person(state.created_by),
        created: format::moment(state.created_ms),
        file_number: state.file_number.clone(),
        assignee: state.assignee.map(person),
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
        conflicts: conflicts(&state.conflicts, DocumentKind::Case, &person, &names, w),
        passages: passages(&state.passages, &person, w),
        unknowing,
        evidence,
        settled: parts::settled(&dues),
        dues,
        duplicates,
        forms: common.iter().filter_map(form).collect(),
        is_rarer_open: refused.and_then(Refused::kind).is_some_and(|kind| rarer.contains(&kind)),
        rarer: rarer.iter().filter_map(form).collect(),
        editable: if may.edit { forms::facts(&state, refused, w) } else { Vec::new() },
        veiled: if file.may_reveal && then.is_none() { reveal::veiled(&state, w) } else { Vec::new() },
        revealed: extra.revealed,
        may,
        seen: beside.last_position(),
        done: asked.iter().find(|(n, _)| n == "done").map(|(_, v)| v.clone()),
        then_told: then.as_ref().map(|t| t.told(person, w)).unwrap_or_default(),
        when: format::input(then.as_ref().map_or(app.now_ms(), |t| t.at_ms)),
        then,
        refused: extra.refused,
        frame: Frame { path: format!("/cases/{id}"), ..frame },
    };
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
