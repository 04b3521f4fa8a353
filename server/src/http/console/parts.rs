//! What a case is, in words: its fields, what is in conflict, what is due and why.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sync_core::case::{CaseState, Item};
use sync_core::ids::EventId;
use sync_core::rules::Obligation;
use sync_core::shape::{DocumentKind, FieldValue, Holds};

use super::deeds::holds_of;
use super::format::{self, Moment};
use super::timeline;
use super::words::Words;
use crate::app::App;

/// A field with its value, as people call them.
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) value: String,
    /// Where more is to be read of it.
    pub(super) link: Option<String>,
}

impl Fact {
    /// One without more to read.
    pub(super) fn plain(label: String, value: String) -> Self {
        Self { label, value, link: None }
    }
}

/// A register with more than one standing value.
pub(super) struct ConflictView {
    pub(super) path: String,
    pub(super) label: String,
    pub(super) values: Vec<ConflictValueView>,
}

pub(super) struct ConflictValueView {
    pub(super) text: String,
    pub(super) json: String,
    pub(super) by: String,
    pub(super) at: Moment,
    pub(super) shown: bool,
}

/// A passage that two people wrote at once.
pub(super) struct PassageView {
    pub(super) flag: String,
    pub(super) text: String,
    pub(super) label: String,
    pub(super) merged: String,
    pub(super) versions: Vec<(String, Moment, String)>,
}

/// Something that a supervisor confirms, with the events it is about.
pub(super) struct Judged {
    pub(super) about: String,
    pub(super) label: String,
    pub(super) events: Vec<String>,
    pub(super) why: Option<String>,
}

/// What is or was due.
pub(super) struct Due {
    pub(super) rule: String,
    pub(super) started: Moment,
    pub(super) due: Moment,
    pub(super) outcome: String,
    pub(super) outcome_code: &'static str,
    pub(super) by: Option<String>,
    pub(super) trigger: String,
    pub(super) provisional: bool,
    pub(super) late: bool,
}

/// What somebody could undo.
pub(super) struct Undo {
    pub(super) path: String,
    pub(super) label: String,
    pub(super) json: String,
    pub(super) text: String,
}

pub(super) fn item(item: &Item, collection: &str, w: Words) -> Vec<Fact> {
    let spec = DocumentKind::Case.shape().collection(collection);
    let fields = spec.map_or(&[][..], |s| s.fields);
    let known = fields.iter().filter_map(|f| Some((f, item.fields.get(f.path)?)));
    let fact = |(f, v): (&sync_core::shape::FieldSpec, &FieldValue)| {
        Fact::plain(w.of_code("item", f.path), format::value(v, Some(f.holds), w))
    };
    known.filter(|(f, _)| f.path != "removed").map(fact).collect()
}

pub(super) fn facts(state: &CaseState, names: &BTreeMap<String, String>, w: Words) -> Vec<Fact> {
    let shown = DocumentKind::Case.shape().fields.iter().filter(|f| f.path != "title");
    let fact = |f: &sync_core::shape::FieldSpec| {
        let value = state.fields.get(f.path)?;
        let text = match (f.holds, value.as_str()) {
            (Holds::Area, Some(code)) => names.get(code).cloned().unwrap_or_else(|| code.to_owned()),
            _ => format::value(value, Some(f.holds), w),
        };
        let link = value.as_str().filter(|_| f.path == "report.patrol").map(|id| format!("/patrols/{id}"));
        let text = if link.is_some() { w.t("patrol-title") } else { text };
        Some(Fact { label: w.field(f.path), value: text, link })
    };
    shown.filter_map(fact).collect()
}

pub(super) fn conflicts(state: &CaseState, w: Words) -> Vec<ConflictView> {
    let view = |c: &sync_core::conflict::Conflict| {
        let value = |(n, v): (usize, &sync_core::conflict::ConflictValue)| ConflictValueView {
            text: format::value(&v.value, holds_of(DocumentKind::Case, &c.path), w),
            json: v.value.to_string(),
            by: v.by.map_or_else(|| w.t("unknown"), |by| timeline::person(state, by, w)),
            at: format::moment(v.at_ms),
            shown: n == 0,
        };
        let values = c.values.iter().enumerate().map(value).collect();
        ConflictView { path: c.path.clone(), label: w.field(&c.path), values }
    };
    state.conflicts.iter().map(view).collect()
}

pub(super) fn text_label(name: &str, w: Words) -> String {
    w.t(if name.starts_with("statements.") { "case-statements" } else { "case-narrative" })
}

pub(super) fn passages(state: &CaseState, w: Words) -> Vec<PassageView> {
    let view = |p: &sync_core::text::PassageFlag| PassageView {
        flag: p.flag.clone(),
        text: p.text.clone(),
        label: text_label(&p.text, w),
        merged: p.merged.clone(),
        versions: p
            .versions
            .iter()
            .map(|v| {
                let by = v.by.map_or_else(|| w.t("unknown"), |by| timeline::person(state, by, w));
                (by, format::moment(v.at_ms), v.passage.clone())
            })
            .collect(),
    };
    state.passages.iter().map(view).collect()
}

/// Something attached.
pub(super) struct Attached {
    pub(super) hash: String,
    pub(super) name: String,
    pub(super) by: String,
    pub(super) taken: Option<Moment>,
    pub(super) size: String,
    pub(super) is_picture: bool,
    /// Whether its contents have arrived.
    pub(super) is_here: bool,
}

pub(super) fn attached(state: &CaseState, stored: &BTreeSet<String>, w: Words) -> Vec<Attached> {
    let view = |(hash, a): (&String, &sync_core::case::Attachment)| Attached {
        name: a.name.clone(),
        by: timeline::person(state, a.by, w),
        taken: a.taken_ms.map(format::moment),
        size: format::bytes(a.bytes),
        is_picture: a.media_type.starts_with("image/"),
        is_here: stored.contains(hash),
        hash: hash.clone(),
    };
    state.attachments.iter().map(view).collect()
}

pub(super) fn named_event(state: &CaseState, id: EventId, w: Words) -> String {
    state.entry(id).map_or_else(
        || id.to_string(),
        |e| {
            let said = ["fact", "text", "summary", "reason", "note"].iter().find_map(|n| e.text(n)).unwrap_or_default();
            let at = format::moment(e.at.hlc.wall_ms).text;
            format!("{} · {} · {at} {said}", w.event(&e.kind), timeline::person(state, e.by.user, w))
        },
    )
}

pub(super) fn dues(state: &CaseState, obligations: &[Obligation], app: &App, w: Words) -> Vec<Due> {
    let due = |o: &Obligation| Due {
        rule: w.rule(&app.law.rules, &o.rule),
        started: format::moment(o.started_ms),
        due: format::moment(o.due_ms),
        outcome: w.of_code("outcome", o.outcome.as_str()),
        outcome_code: o.outcome.as_str(),
        by: o.outcome.event().map(|e| named_event(state, e, w)),
        trigger: named_event(state, o.trigger, w),
        provisional: o.provisional,
        late: o.arrived_late,
    };
    let mut all: Vec<Due> = obligations.iter().map(due).collect();
    let open = |d: &Due| matches!(d.outcome_code, "pending" | "overdue");
    all.sort_by_key(|d| (!open(d), d.due.ms));
    all
}

pub(super) fn undo(asked: &[(String, String)], state: &CaseState, w: Words) -> Option<Undo> {
    let of = |name: &str| asked.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let (path, text) = (of("undo")?, of("was")?);
    let was: Value = serde_json::from_str(text).ok()?;
    // Only what is not so any more can be put back.
    (state.fields.get(path).unwrap_or(&Value::Null) != &was).then(|| Undo {
        path: path.to_owned(),
        label: w.field(path),
        json: was.to_string(),
        text: format::value(&was, holds_of(DocumentKind::Case, path), w),
    })
}
