//! What a case is, in words: its fields, what is in conflict, what is due and why.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::case::{CaseState, Item};
use sync_core::conflict::Conflict;
use sync_core::document::ChangeHash;
use sync_core::ids::{EventId, UserId};
use sync_core::rules::Obligation;
use sync_core::shape::{DocumentKind, FieldValue, Holds};
use sync_core::text::PassageFlag;
use sync_core::time::TimeBasis;

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

/// Characters of a value that needs a line of its own.
const LONG: usize = 18;

impl Fact {
    /// Whether it is more than fits beside another one.
    pub(super) fn is_long(&self) -> bool {
        self.value.chars().count() > LONG
    }

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
    /// Which writing, stable on all replicas.
    pub(super) write: String,
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
    pub(super) versions: Vec<VersionView>,
}

/// A passage as one of its authors left it, divided where the versions part.
pub(super) struct VersionView {
    pub(super) by: String,
    pub(super) at: Moment,
    pub(super) before: String,
    pub(super) differs: String,
    pub(super) after: String,
}

/// An event that something refers to: where it stands on the page, when it arrived, and on what its time rests.
pub(super) struct Pointer {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) basis: Option<String>,
    pub(super) arrived: Option<Moment>,
}

/// Something that a supervisor confirms, with the events it is about.
pub(super) struct Judged {
    pub(super) about: String,
    pub(super) label: String,
    pub(super) events: Vec<Pointer>,
    pub(super) why: Option<String>,
    /// The reason that was typed, if it was not accepted.
    pub(super) reason: String,
    pub(super) wrong: bool,
}

/// What is or was due.
pub(super) struct Due {
    pub(super) rule: String,
    pub(super) started: Moment,
    pub(super) due: Moment,
    pub(super) outcome: String,
    pub(super) outcome_code: &'static str,
    pub(super) by: Option<Pointer>,
    pub(super) trigger: String,
    pub(super) provisional: bool,
    pub(super) late: bool,
}

impl Due {
    /// Whether somebody still waits for it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.outcome_code, "pending" | "overdue")
    }
}

/// How an address says what was done: by the change, which can be put back, or only that it was.
pub(super) fn done(change: Option<ChangeHash>) -> String {
    change.map_or_else(|| "1".to_owned(), ChangeHash::to_hex)
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

pub(super) fn conflicts(
    conflicts: &[Conflict],
    kind: DocumentKind,
    person: &dyn Fn(UserId) -> String,
    names: &BTreeMap<String, String>,
    w: Words,
) -> Vec<ConflictView> {
    let view = |c: &Conflict| {
        let holds = holds_of(kind, &c.path);
        let text = |v: &FieldValue| match (holds, v.as_str()) {
            (Some(Holds::Area), Some(code)) => names.get(code).cloned().unwrap_or_else(|| code.to_owned()),
            (Some(Holds::User), Some(id)) => id.parse().map_or_else(|_| id.to_owned(), person),
            _ => format::value(v, holds, w),
        };
        let value = |(n, v): (usize, &sync_core::conflict::ConflictValue)| ConflictValueView {
            text: text(&v.value),
            write: v.write.clone(),
            by: v.by.map_or_else(|| w.t("unknown"), person),
            at: format::moment(v.at_ms),
            shown: n == 0,
        };
        let values = c.values.iter().enumerate().map(value).collect();
        ConflictView { path: c.path.clone(), label: w.field(&c.path), values }
    };
    conflicts.iter().map(view).collect()
}

pub(super) fn text_label(name: &str, w: Words) -> String {
    w.t(match name {
        "notes" => "patrol-notes",
        _ if name.starts_with("statements.") => "case-statements",
        _ => "case-narrative",
    })
}

/// Texts divided into what all begin with, what each has of its own, and what all end with.
fn parted(texts: &[&str]) -> Vec<[String; 3]> {
    let texts: Vec<Vec<char>> = texts.iter().map(|t| t.chars().collect()).collect();
    let Some(first) = texts.first() else { return Vec::new() };
    let shortest = texts.iter().map(Vec::len).min().unwrap_or(0);
    let same = |a: &mut dyn Iterator<Item = (&char, &char)>| a.take_while(|(x, y)| x == y).count();
    let head = texts.iter().map(|t| same(&mut first.iter().zip(t))).min().unwrap_or(0);
    let tail = texts.iter().map(|t| same(&mut first.iter().rev().zip(t.iter().rev()))).min().unwrap_or(0);
    let tail = tail.min(shortest.saturating_sub(head));
    let part = |t: &[char], from: usize, to: usize| t.get(from..to).unwrap_or_default().iter().collect::<String>();
    texts.iter().map(|t| [part(t, 0, head), part(t, head, t.len() - tail), part(t, t.len() - tail, t.len())]).collect()
}

pub(super) fn passages(flags: &[PassageFlag], person: &dyn Fn(UserId) -> String, w: Words) -> Vec<PassageView> {
    let versions = |p: &PassageFlag| {
        let texts: Vec<&str> = p.versions.iter().map(|v| v.passage.as_str()).collect();
        let view = |(v, [before, differs, after]): (&sync_core::text::PassageVersion, [String; 3])| VersionView {
            by: v.by.map_or_else(|| w.t("unknown"), person),
            at: format::moment(v.at_ms),
            before,
            differs,
            after,
        };
        p.versions.iter().zip(parted(&texts)).map(view).collect()
    };
    let view = |p: &PassageFlag| PassageView {
        flag: p.flag.clone(),
        text: p.text.clone(),
        label: text_label(&p.text, w),
        merged: p.merged.clone(),
        versions: versions(p),
    };
    flags.iter().map(view).collect()
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
            // That a rule raised it is no reason in words.
            let words = |name: &&str| e.text(name).filter(|text| (*name, *text) != ("reason", "rule"));
            let said = ["fact", "text", "summary", "reason", "note"].iter().find_map(words).unwrap_or_default();
            let at = format::moment(e.at.hlc.wall_ms).text;
            format!("{} · {} · {at} {said}", w.event(&e.kind), timeline::person(state, e.by.user, w))
        },
    )
}

/// An event to point at.
pub(super) fn pointer(state: &CaseState, id: EventId, w: Words) -> Pointer {
    let witness = state.entry(id).and_then(|e| e.witness);
    Pointer {
        id: id.to_string(),
        label: named_event(state, id, w),
        basis: state.entry(id).map(|_| w.t(format::basis(witness.map_or(TimeBasis::Local, |at| at.basis)))),
        arrived: witness.map(|at| format::moment(at.received_ms)),
    }
}

pub(super) fn dues(state: &CaseState, obligations: &[Obligation], app: &App, w: Words) -> Vec<Due> {
    let due = |o: &Obligation| Due {
        rule: w.rule(&app.law.rules, &o.rule),
        started: format::moment(o.started_ms),
        due: format::moment(o.due_ms),
        outcome: w.of_code("outcome", o.outcome.as_str()),
        outcome_code: o.outcome.as_str(),
        by: o.outcome.event().map(|e| pointer(state, e, w)),
        trigger: named_event(state, o.trigger, w),
        provisional: o.provisional,
        late: o.arrived_late,
    };
    let mut all: Vec<Due> = obligations.iter().map(due).collect();
    all.sort_by_key(|d| (!d.is_open(), d.due.ms));
    all
}

/// What is no longer due, by what became of it: the word, its code and how often.
pub(super) fn settled(dues: &[Due]) -> Vec<(String, &'static str, usize)> {
    let mut all: Vec<(String, &'static str, usize)> = Vec::new();
    for due in dues.iter().filter(|d| !d.is_open()) {
        match all.iter_mut().find(|(_, code, _)| *code == due.outcome_code) {
            Some((.., count)) => *count += 1,
            None => all.push((due.outcome.clone(), due.outcome_code, 1)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::parted;

    #[test]
    fn versions_part_where_their_authors_wrote_different_things() {
        let part = |texts: &[&str]| parted(texts).into_iter().map(|p| p.join("|")).collect::<Vec<_>>();
        assert_eq!(
            part(&["上月工资未发,情绪平稳", "上月工资仅发一半,情绪平稳"]),
            ["上月工资|未发|,情绪平稳", "上月工资|仅发一半|,情绪平稳"]
        );
        assert_eq!(part(&["甲乙", "甲乙甲乙"]), ["甲乙||", "甲乙|甲乙|"]);
        assert_eq!(part(&["甲", "", "乙"]), ["|甲|", "||", "|乙|"]);
        assert!(part(&[]).is_empty());
    }
}
