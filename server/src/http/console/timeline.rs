//! What happened in a case, as rows: who, when as he says and when it arrived, from which phone, and what became of it.

use std::collections::BTreeMap;

use sync_core::case::CaseState;
use sync_core::document::{ChangeHash, Document};
use sync_core::event::{BodyType, EventKind, TimelineEntry};
use sync_core::ids::{DeviceId, EventId, UserId};
use sync_core::reference::Lang;
use sync_core::rules::RuleSet;
use sync_core::time::TimeBasis;

use super::format::{self, Moment};
use super::words::Words;
use crate::accounts::devices;
use crate::db::{AnyConnection, DbError};
use crate::journal;

/// What arrives later than this after it was written was written offline, ms: a phone with a network syncs sooner.
const OFFLINE_MS: i64 = 10 * 60_000;

/// What the journal and the tables know beside the document.
pub(super) struct Beside {
    positions: BTreeMap<EventId, i64>,
    seen: BTreeMap<EventId, bool>,
    devices: BTreeMap<String, String>,
}

impl Beside {
    /// Looks up where each event stands in the journal, and what the phones are called.
    pub(super) fn read(conn: &mut AnyConnection, document: &Document, state: &CaseState) -> Result<Self, DbError> {
        let changes = document.event_changes();
        let positions: BTreeMap<ChangeHash, i64> = journal::positions(conn, document.meta().id)?;
        let first: Vec<ChangeHash> =
            document.history().into_iter().filter(|c| c.deps.is_empty()).map(|c| c.hash).collect();
        let mut names = BTreeMap::new();
        for device in state.timeline.iter().filter_map(|e| e.by.device) {
            if let std::collections::btree_map::Entry::Vacant(slot) = names.entry(device.to_string())
                && let Some(found) = devices::find(conn, device)?
            {
                slot.insert(found.name);
            }
        }
        Ok(Self {
            positions: changes.iter().filter_map(|(id, c)| Some((*id, *positions.get(c)?))).collect(),
            seen: changes.iter().map(|(id, c)| (*id, !first.contains(c))).collect(),
            devices: names,
        })
    }

    fn device(&self, device: Option<DeviceId>) -> Option<String> {
        let id = device?.to_string();
        Some(self.devices.get(&id).cloned().unwrap_or(id))
    }
}

/// One row.
pub(super) struct Row {
    /// The event.
    pub(super) id: String,
    /// What happened.
    pub(super) label: String,
    /// The kind as a code.
    pub(super) kind: String,
    /// Who.
    pub(super) by: String,
    /// In which role.
    pub(super) role: String,
    /// On which phone; none at a desk.
    pub(super) device: Option<String>,
    /// When he says.
    pub(super) claimed: Moment,
    /// On what the time rests, in words.
    pub(super) basis: String,
    /// The same as a code.
    pub(super) basis_code: &'static str,
    /// Between which moments it must have been written, where that is known and says more than the claim.
    pub(super) between: Option<(Moment, Moment)>,
    /// When it arrived.
    pub(super) arrived: Option<Moment>,
    /// How much later, if it was written offline.
    pub(super) later: Option<String>,
    /// What it says: name and value.
    pub(super) body: Vec<(String, String)>,
    /// Why it has no effect.
    pub(super) moot: Option<String>,
    /// How it came to be withdrawn.
    pub(super) withdrawn: Option<String>,
    /// Its position in the journal: the file at that moment can be looked at.
    pub(super) position: Option<i64>,
    /// Whether what its author had seen can be looked at.
    pub(super) seen: bool,
}

/// A stretch in which a phone had no network.
pub(super) struct Stretch {
    /// Which phone.
    pub(super) device: String,
    /// The first thing written in it.
    pub(super) from: Moment,
    /// When it arrived.
    pub(super) to: Moment,
    /// How many things were written.
    pub(super) count: usize,
}

/// What somebody is called.
pub(super) fn person(state: &CaseState, user: UserId, w: Words) -> String {
    if user == UserId::SYSTEM {
        return w.t("system");
    }
    state.people.get(&user).cloned().unwrap_or_else(|| user.to_string())
}

fn body(entry: &TimelineEntry, state: &CaseState, rules: &RuleSet, w: Words) -> Vec<(String, String)> {
    let spec = entry.kind.spec();
    let holds = |name: &str| spec.and_then(|s| s.body.iter().find(|f| f.name == name)).map(|f| f.holds);
    let quoted = |id: &str| {
        let found = id.parse::<EventId>().ok().and_then(|id| state.entry(id));
        found.map_or_else(
            || id.to_owned(),
            |e| format!("{} {}", w.event(&e.kind), format::moment(e.at.hlc.wall_ms).text),
        )
    };
    let shown = |name: &String, value: &serde_json::Value| {
        let text = value.as_str();
        match (holds(name), text) {
            // The server gives the rule as the reason, and the rule stands beside it.
            _ if name == "reason" && text == Some("rule") => w.t("system"),
            _ if name == "text" && entry.kind == EventKind::PassageConfirmed => w.t("case-narrative"),
            _ if name == "method" => text.map_or_else(String::new, |code| w.code("resolution_method", code)),
            _ if name == "rule" => text.map_or_else(String::new, |id| w.rule(rules, id)),
            (Some(BodyType::OneOf(_)), Some(code)) => w.of_code("choice", code),
            (Some(BodyType::Event), Some(id)) => quoted(id),
            (Some(BodyType::User), Some(id)) => {
                id.parse().map_or_else(|_| id.to_owned(), |user| person(state, user, w))
            }
            (Some(BodyType::Fen), _) => {
                format!("{} {}", format::yuan(value.as_i64().unwrap_or_default()), w.t("yuan"))
            }
            (Some(BodyType::Moment), _) => value.as_i64().map_or_else(String::new, |ms| format::moment(ms).text),
            _ if name == "notify" || name == "satisfied_by" => {
                let kind = if name == "notify" { "level" } else { "event" };
                let codes = value.as_array().into_iter().flatten().filter_map(|v| v.as_str());
                codes.map(|c| w.of_code(kind, c)).collect::<Vec<_>>().join(if w.lang == Lang::Zh {
                    "、"
                } else {
                    ", "
                })
            }
            _ => format::value(value, None, w),
        }
    };
    let hidden = |name: &&String| !matches!(name.as_str(), "rule_set" | "flag");
    let values = entry.body.iter().filter(|(name, _)| hidden(name));
    values.map(|(name, value)| (w.of_code("body", name), shown(name, value))).collect()
}

/// The rows of a case, in the order in which it folds.
pub(super) fn rows(state: &CaseState, beside: &Beside, rules: &RuleSet, w: Words) -> Vec<Row> {
    let row = |entry: &TimelineEntry| {
        let written_ms = entry.at.hlc.wall_ms;
        let witness = entry.witness;
        let offline = |w: &sync_core::time::Witness| {
            entry.by.device.is_some() && w.received_ms.saturating_sub(written_ms) > OFFLINE_MS
        };
        let basis = witness.map_or(TimeBasis::Local, |w| w.basis);
        let withdrawn = entry.withdrawn.as_ref().map(|by| {
            let how = w.t(if by.automatic { "case-withdrawn-auto" } else { "case-withdrawn-person" });
            let evidence = state
                .entry(by.by)
                .map(|e| format!(" · {} {}", w.event(&e.kind), format::moment(e.at.hlc.wall_ms).text));
            format!("{how}{}", evidence.unwrap_or_default())
        });
        Row {
            id: entry.id.to_string(),
            label: w.event(&entry.kind),
            kind: entry.kind.to_string(),
            by: person(state, entry.by.user, w),
            role: w.of_code("role", entry.by.role.as_str()),
            device: beside.device(entry.by.device),
            claimed: format::moment(written_ms),
            basis: w.t(format::basis(basis)),
            basis_code: format::basis(basis),
            between: witness
                .filter(|w| w.basis == TimeBasis::Anchored && w.latest_ms.saturating_sub(w.earliest_ms) > 60_000)
                .map(|w| (format::moment(w.earliest_ms), format::moment(w.latest_ms))),
            arrived: witness.map(|w| format::moment(w.received_ms)),
            later: witness.filter(offline).map(|at| format::span(at.received_ms.saturating_sub(written_ms), w)),
            body: body(entry, state, rules, w),
            moot: entry.moot.map(|m| w.of_code("moot", m.as_str())),
            withdrawn,
            position: beside.positions.get(&entry.id).copied(),
            seen: beside.seen.get(&entry.id).copied().unwrap_or(false),
        }
    };
    state.timeline.iter().map(row).collect()
}

/// The stretches in which phones wrote without a network: what arrived together was written in one.
pub(super) fn stretches(state: &CaseState, beside: &Beside) -> Vec<Stretch> {
    let mut found: BTreeMap<(String, i64), (i64, usize)> = BTreeMap::new();
    for entry in &state.timeline {
        let (Some(device), Some(witness)) = (entry.by.device, entry.witness) else { continue };
        let written_ms = entry.at.hlc.wall_ms;
        if witness.received_ms.saturating_sub(written_ms) > OFFLINE_MS {
            let stretch = found.entry((device.to_string(), witness.received_ms)).or_insert((written_ms, 0));
            stretch.0 = stretch.0.min(written_ms);
            stretch.1 += 1;
        }
    }
    let mut all: Vec<Stretch> = found
        .into_iter()
        .map(|((device, to), (from, count))| Stretch {
            device: beside.devices.get(&device).cloned().unwrap_or(device),
            from: format::moment(from),
            to: format::moment(to),
            count,
        })
        .collect();
    all.sort_by_key(|s| s.from.ms);
    all
}

/// Events that a form can refer to.
pub(super) fn choices(state: &CaseState, w: Words) -> Vec<(EventKind, super::forms::Choice)> {
    let standing = state.timeline.iter().filter(|e| e.stands());
    let label = |e: &TimelineEntry| format!("{} {}", w.event(&e.kind), format::moment(e.at.hlc.wall_ms).text);
    standing.map(|e| (e.kind, super::forms::Choice { value: e.id.to_string(), label: label(e) })).collect()
}
