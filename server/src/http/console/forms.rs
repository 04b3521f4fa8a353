//! Forms for events, made from the vocabulary: what each kind asks for, with what was typed and what was wrong with it.

use serde_json::Value;
use sync_core::event::{Body, BodyField, BodyType, EventKind};

use super::format;
use super::page::Told;
use super::words::Words;
use crate::http::problem::Problem;

/// Kinds that a page offers in this order; the rest follow in the order of the vocabulary.
const FIRST: &[EventKind] = &[
    EventKind::Accepted,
    EventKind::Rejected,
    EventKind::Assigned,
    EventKind::MediationSession,
    EventKind::MediationAgreement,
    EventKind::Whistle,
    EventKind::ReportIn,
    EventKind::Escalation,
    EventKind::ReturnOrder,
    EventKind::Resolved,
    EventKind::FollowUp,
    EventKind::Closed,
];
/// What the file itself offers beside the thing that is to be decided, and what only programs write.
const ELSEWHERE: &[EventKind] = &[
    EventKind::Reported,
    EventKind::PassageConfirmed,
    EventKind::ClosureConfirmed,
    EventKind::EscalationWithdrawn,
    EventKind::EscalationKept,
    EventKind::HazardRectified,
];
/// What a program writes into an event and no person is asked for.
const BY_PROGRAMS: &[&str] =
    &["rule", "rule_set", "trigger", "satisfied_by", "by_level", "arrived_late", "notify", "number", "due_rule"];

/// One choice of a field.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// What is sent.
    pub(super) value: String,
    /// What is read.
    pub(super) label: String,
}

/// One field of a form.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// `body.reason`.
    pub(super) name: String,
    /// What it is called.
    pub(super) label: String,
    /// `text`, `lines`, `number`, `money`, `moment`, `choice`, `flag`.
    pub(super) kind: &'static str,
    /// Whether the event makes no sense without it.
    pub(super) required: bool,
    /// What can be chosen.
    pub(super) choices: Vec<Choice>,
    /// What was typed.
    pub(super) value: String,
    /// Whether it was not accepted.
    pub(super) wrong: bool,
}

/// The form of one kind of event.
pub(super) struct EventForm {
    /// The kind.
    pub(super) kind: String,
    /// What it is called.
    pub(super) label: String,
    /// What it asks for.
    pub(super) inputs: Vec<Input>,
    /// Whether it is shown open: it was sent, and not accepted.
    pub(super) open: bool,
}

/// A form that was sent and not accepted.
pub(super) struct Refused {
    /// What was sent.
    pub(super) sent: Vec<(String, String)>,
    /// Why.
    pub(super) told: Told,
    /// The name of the field that is to blame.
    pub(super) field: Option<String>,
}

impl Refused {
    /// What was typed into a field.
    pub(super) fn typed(&self, name: &str) -> Option<&str> {
        self.sent.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What can be chosen in this case: events to refer to, people, other cases.
pub(super) struct Options {
    /// Events of the case by kind.
    pub(super) events: Vec<(EventKind, Choice)>,
    /// People who work there.
    pub(super) people: Vec<Choice>,
    /// Other cases that may be the same dispute.
    pub(super) cases: Vec<Choice>,
}

/// Whether a kind is one of those that a hall writes every day.
pub(super) fn is_common(kind: EventKind) -> bool {
    FIRST.contains(&kind)
}

/// The kinds that are offered, in the order in which they are.
pub(super) fn offered(allowed: &[EventKind]) -> Vec<EventKind> {
    let rest = allowed.iter().filter(|k| !FIRST.contains(k) && !ELSEWHERE.contains(k));
    FIRST.iter().filter(|k| allowed.contains(k)).chain(rest).copied().collect()
}

fn kind_of(holds: BodyType) -> &'static str {
    match holds {
        BodyType::Text => "text",
        BodyType::Texts => "lines",
        BodyType::Count => "number",
        BodyType::Fen => "money",
        BodyType::Moment => "moment",
        BodyType::Flag => "flag",
        BodyType::OneOf(_) | BodyType::Event | BodyType::User | BodyType::Document => "choice",
    }
}

fn choices(field: &BodyField, options: &Options, w: Words) -> Vec<Choice> {
    let fits = |kind: &EventKind| match field.name {
        "whistle" => *kind == EventKind::Whistle,
        "escalation" => *kind == EventKind::Escalation,
        "closure" => *kind == EventKind::Closed,
        _ => true,
    };
    match field.holds {
        BodyType::OneOf(codes) => {
            codes.iter().map(|c| Choice { value: (*c).to_owned(), label: w.of_code("choice", c) }).collect()
        }
        BodyType::Event => options.events.iter().filter(|(k, _)| fits(k)).map(|(_, c)| c.clone()).collect(),
        BodyType::User => options.people.clone(),
        BodyType::Document => options.cases.clone(),
        _ => Vec::new(),
    }
}

/// The form of a kind, with what was typed if it was sent and not accepted.
pub(super) fn of_kind(kind: EventKind, options: &Options, refused: Option<&Refused>, w: Words) -> Option<EventForm> {
    let spec = kind.spec()?;
    let refused = refused.filter(|r| r.typed("kind") == Some(spec.name));
    let asked = spec.body.iter().filter(|f| !BY_PROGRAMS.contains(&f.name));
    let inputs = asked.map(|field| {
        let name = format!("body.{}", field.name);
        Input {
            label: w.of_code("body", field.name),
            kind: kind_of(field.holds),
            required: field.required,
            choices: choices(field, options, w),
            value: refused.and_then(|r| r.typed(&name)).unwrap_or_default().to_owned(),
            wrong: refused.is_some_and(|r| r.field.as_deref() == Some(field.name)),
            name,
        }
    });
    Some(EventForm {
        kind: spec.name.to_owned(),
        label: w.event(&kind),
        inputs: inputs.collect(),
        open: refused.is_some(),
    })
}

/// Reads the body of an event out of what a form sent.
pub(super) fn body(kind: EventKind, sent: &[(String, String)], w: Words) -> Result<Body, Problem> {
    let mut body = Body::new();
    let Some(spec) = kind.spec() else { return Ok(body) };
    for field in spec.body {
        let name = format!("body.{}", field.name);
        let Some(text) = sent.iter().find(|(n, _)| *n == name).map(|(_, v)| v.trim()).filter(|v| !v.is_empty()) else {
            continue;
        };
        let wrong = || {
            let label = w.of_code("body", field.name);
            Problem::invalid("field_invalid", format!("{label}: {text}")).field(field.name)
        };
        let value = match field.holds {
            BodyType::Count => Value::from(text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or_else(wrong)?),
            BodyType::Fen => Value::from(format::fen(text).filter(|n| *n >= 0).ok_or_else(wrong)?),
            BodyType::Moment => Value::from(format::from_input(text).ok_or_else(wrong)?),
            BodyType::Flag => Value::from(text == "true"),
            BodyType::Texts => {
                let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
                Value::from(lines.map(str::to_owned).collect::<Vec<_>>())
            }
            BodyType::Text | BodyType::OneOf(_) | BodyType::Event | BodyType::User | BodyType::Document => {
                Value::from(text)
            }
        };
        body.insert(field.name.to_owned(), value);
    }
    Ok(body)
}
