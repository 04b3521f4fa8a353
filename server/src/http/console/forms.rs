//! Forms for events, made from the vocabulary: what each kind asks for, with what was typed and what was wrong with it.

use serde_json::Value;
use sync_core::case::CaseState;
use sync_core::event::{Body, BodyField, BodyType, EventKind};
use sync_core::reference::codes;
use sync_core::shape::{DocumentKind, FieldSpec, FieldValue, Holds};

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

/// The form of one register.
pub(super) struct FactForm {
    /// Which.
    pub(super) path: String,
    /// Its one field.
    pub(super) input: Input,
}

/// Which form of a file was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// An event.
    Event,
    /// A fact.
    Fact,
    /// A conflict or passage, or what is put back.
    Settle,
    /// Numbers to be shown.
    Reveal,
}

/// A form that was sent and not accepted.
pub(super) struct Refused {
    /// Which.
    pub(super) which: Which,
    /// What was sent.
    pub(super) sent: Vec<(String, String)>,
    /// Why.
    pub(super) told: Told,
    /// The name of the field that is to blame.
    pub(super) field: Option<String>,
}

impl Refused {
    /// The kind of event that was sent.
    pub(super) fn kind(&self) -> Option<EventKind> {
        EventKind::parse(self.typed("kind")?).filter(|k| self.which == Which::Event && k.spec().is_some())
    }

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

/// The kinds that are offered, in the order in which they are; among them one that was sent and is not allowed any more, so that what
/// was typed is not lost. `judged` tells whether the file itself still shows the form of one that stands elsewhere.
pub(super) fn offered(allowed: &[EventKind], refused: Option<&Refused>, judged: bool) -> Vec<EventKind> {
    let sent = refused.and_then(Refused::kind).filter(|k| !(ELSEWHERE.contains(k) && judged));
    let is_sent = |k: &EventKind| sent == Some(*k);
    let rest = allowed.iter().filter(|k| !FIRST.contains(k) && !ELSEWHERE.contains(k));
    let first = FIRST.iter().filter(|k| allowed.contains(k) || is_sent(k));
    let kinds: Vec<EventKind> = first.chain(rest).copied().collect();
    let lost = sent.filter(|k| !kinds.contains(k));
    kinds.into_iter().chain(lost).collect()
}

/// The table that a field of a body takes its codes from.
fn table_of(kind: EventKind, field: &BodyField) -> Option<&'static str> {
    (kind == EventKind::Resolved && field.name == "method").then_some("resolution_method")
}

fn coded(table: &str, w: Words) -> Vec<Choice> {
    codes().codes(table).map(|c| Choice { value: c.to_owned(), label: w.code(table, c) }).collect()
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

fn choices(kind: EventKind, field: &BodyField, options: &Options, w: Words) -> Vec<Choice> {
    if let Some(table) = table_of(kind, field) {
        return coded(table, w);
    }
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
    let refused = refused.filter(|r| r.kind() == Some(kind));
    let asked = spec.body.iter().filter(|f| !BY_PROGRAMS.contains(&f.name));
    let inputs = asked.map(|field| {
        let name = format!("body.{}", field.name);
        Input {
            label: w.body(&kind, field.name),
            kind: if table_of(kind, field).is_some() { "choice" } else { kind_of(field.holds) },
            required: field.required,
            choices: choices(kind, field, options, w),
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

/// The forms of the registers that can be corrected, each with what it holds, or with what was typed if that was not accepted.
pub(super) fn facts(state: &CaseState, refused: Option<&Refused>, w: Words) -> Vec<FactForm> {
    let form = |field: &FieldSpec| {
        let (kind, choices) = match field.holds {
            Holds::Text => ("line", Vec::new()),
            Holds::Count => ("number", Vec::new()),
            Holds::Fen => ("money", Vec::new()),
            Holds::Moment => ("moment", Vec::new()),
            Holds::Flag => ("flag", Vec::new()),
            Holds::Code(table) => ("choice", coded(table, w)),
            _ => return None,
        };
        let refused = refused.filter(|r| r.which == Which::Fact && r.typed("path") == Some(field.path));
        let now = state.fields.get(field.path).map(|value| match (field.holds, value) {
            (Holds::Fen, v) => v.as_i64().map_or_else(String::new, format::yuan),
            (Holds::Moment, v) => v.as_i64().map_or_else(String::new, format::input),
            (_, FieldValue::String(text)) => text.clone(),
            (_, v) => v.to_string(),
        });
        let input = Input {
            name: "value".to_owned(),
            label: w.field(field.path),
            kind,
            required: false,
            choices,
            value: refused.and_then(|r| r.typed("value")).map_or_else(|| now.unwrap_or_default(), str::to_owned),
            wrong: refused.is_some(),
        };
        Some(FactForm { path: field.path.to_owned(), input })
    };
    DocumentKind::Case.shape().fields.iter().filter_map(form).collect()
}

/// What a field of a browser sent, with the ends of its lines as documents have them.
pub(super) fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Reads the body of an event out of what a form sent.
pub(super) fn body(kind: EventKind, sent: &[(String, String)], w: Words) -> Result<Body, Problem> {
    let mut body = Body::new();
    let Some(spec) = kind.spec() else { return Ok(body) };
    for field in spec.body {
        let name = format!("body.{}", field.name);
        let Some((_, text)) = sent.iter().find(|(n, v)| *n == name && !v.trim().is_empty()) else { continue };
        let text = plain(text.trim());
        let wrong = || {
            let remedy = match field.holds {
                BodyType::Fen => "send whole fen from 0",
                BodyType::Moment => "send milliseconds since 1970 UTC",
                _ => "send a whole number from 0",
            };
            let label = w.body(&kind, field.name);
            Problem::invalid("field_invalid", format!("{label}: {text}")).field(field.name).remedy(remedy)
        };
        let value = match field.holds {
            BodyType::Count => Value::from(text.parse::<i64>().ok().filter(|n| *n >= 0).ok_or_else(wrong)?),
            BodyType::Fen => Value::from(format::fen(&text).filter(|n| *n >= 0).ok_or_else(wrong)?),
            BodyType::Moment => Value::from(format::from_input(&text).ok_or_else(wrong)?),
            BodyType::Flag => Value::from(text == "true"),
            BodyType::Texts => {
                let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
                Value::from(lines.map(str::to_owned).collect::<Vec<_>>())
            }
            BodyType::Text | BodyType::OneOf(_) | BodyType::Event | BodyType::User | BodyType::Document => {
                Value::from(text.clone())
            }
        };
        body.insert(field.name.to_owned(), value);
    }
    Ok(body)
}
