//! What happened in a case, as rows: who, when as he says and when it arrived, from which phone, and what became of it.

use std::collections::BTreeMap;

use sync_core::authority::Subject;
use sync_core::case::CaseState;
use sync_core::document::{ChangeHash, Document};
use sync_core::event::{BodyType, EventKind, TimelineEntry};
use sync_core::ids::{EventId, UserId};
use sync_core::reference::Lang;
use sync_core::rules::RuleSet;
use sync_core::shape::DocumentKind;
use sync_core::time::{TimeBasis, Witness};

use super::deeds::{Change, Changes, Deed};
use super::format::{self, Moment};
use super::parts::{self, Fact, Pointer};
use super::words::Words;
use crate::accounts::devices;
use crate::db::{AnyConnection, DbError};
use crate::journal::Line;
use crate::masking::Sight;
use crate::queries;

/// What arrives later than this after it was written was written offline, ms: a phone with a network syncs sooner.
const OFFLINE_MS: i64 = 10 * 60_000;

/// What the journal and the tables know beside the document.
pub(super) struct Beside {
    positions: BTreeMap<EventId, i64>,
    seen: BTreeMap<EventId, bool>,
    devices: BTreeMap<String, String>,
    changes: Changes,
    /// Other cases that events name, if the reader may see them.
    titles: BTreeMap<String, String>,
}

impl Beside {
    /// Looks up where each event stands in the journal, what was changed beside events, and what the phones are called.
    pub(super) fn read(
        conn: &mut AnyConnection,
        document: &Document,
        state: &CaseState,
        (subject, sight): (&Subject, &Sight),
    ) -> Result<Self, DbError> {
        let named = state.timeline.iter().filter(|e| e.kind == EventKind::Merged).filter_map(|e| e.text("into"));
        let named: Vec<String> = named.map(str::to_owned).collect();
        let written = document.event_changes();
        let changes = Changes::read(conn, document, sight, false)?;
        let positions = &changes.positions;
        let first: Vec<ChangeHash> =
            document.history().into_iter().filter(|c| c.deps.is_empty()).map(|c| c.hash).collect();
        let of_events = state.timeline.iter().filter_map(|e| e.by.device).map(|d| d.to_string());
        let ids = of_events.chain(changes.all.iter().filter_map(|c| c.line.device.clone())).collect();
        Ok(Self {
            positions: written.iter().filter_map(|(id, c)| Some((*id, *positions.get(c)?))).collect(),
            seen: written.iter().map(|(id, c)| (*id, !first.contains(c))).collect(),
            devices: devices::names(conn, &ids)?,
            titles: if named.is_empty() { BTreeMap::new() } else { queries::case_titles(conn, subject, &named)? },
            changes,
        })
    }

    /// The last entry of the journal that the file shows.
    pub(super) fn last_position(&self) -> i64 {
        self.changes.positions.values().copied().max().unwrap_or(0)
    }

    fn device(&self, id: Option<String>) -> Option<String> {
        id.map(|id| self.devices.get(&id).cloned().unwrap_or(id))
    }
}

/// When something was written, and how well that is known.
pub(super) struct Times {
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
}

impl Times {
    /// When it arrived, beside when it was written: the day is not said twice.
    pub(super) fn arrived_beside(&self) -> Option<Moment> {
        let at = self.arrived.clone()?;
        let same_day = at.text.split_once(' ').filter(|(day, _)| self.claimed.text.starts_with(day));
        let text = same_day.map(|(_, time)| time.to_owned());
        Some(text.map_or_else(|| at.clone(), |text| Moment { text, ms: at.ms }))
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
    /// In which role; empty for what is no event.
    pub(super) role: String,
    /// On which phone; none at a desk.
    pub(super) device: Option<String>,
    /// When.
    pub(super) times: Times,
    /// What it says: name and value.
    pub(super) body: Vec<Fact>,
    /// What it changed, if it is no event.
    pub(super) deeds: Vec<Deed>,
    /// Why it has no effect.
    pub(super) moot: Option<String>,
    /// How it came to be withdrawn, and by what evidence.
    pub(super) withdrawn: Option<(String, Pointer)>,
    /// Its position in the journal: the file at that moment can be looked at.
    pub(super) position: Option<i64>,
    /// Whether what its author had seen can be looked at.
    pub(super) seen: bool,
    /// The change that can be put back.
    pub(super) undo: Option<String>,
}

impl Row {
    /// Whether another edit belongs to this one: the same hand in one go, arrived together.
    fn goes_on_in(&self, next: &Self) -> bool {
        let arrived = |row: &Self| row.times.arrived.as_ref().map(|m| m.ms);
        let apart_ms = next.times.claimed.ms.saturating_sub(self.times.claimed.ms);
        let alone = self.undo.is_some() || next.undo.is_some();
        !alone
            && (&self.by, &self.device, arrived(self)) == (&next.by, &next.device, arrived(next))
            && (0..OFFLINE_MS).contains(&apart_ms)
    }
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

fn body(entry: &TimelineEntry, state: &CaseState, beside: &Beside, rules: &RuleSet, w: Words) -> Vec<Fact> {
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
            _ if name == "text" && entry.kind == EventKind::PassageConfirmed => {
                parts::text_label(text.unwrap_or_default(), w)
            }
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
    let fact = |(name, value): (&String, &serde_json::Value)| {
        let label = w.body(&entry.kind, name);
        let id = value.as_str().filter(|_| matches!(holds(name), Some(BodyType::Document)));
        match id.and_then(|id| Some((id, beside.titles.get(id)?))) {
            Some((id, title)) => Fact { label, value: title.clone(), link: Some(format!("/cases/{id}")) },
            // What somebody may not see has no title for him.
            None if id.is_some() => Fact::plain(label, w.t("case-elsewhere")),
            None => Fact::plain(label, shown(name, value)),
        }
    };
    values.map(fact).collect()
}

fn times(claimed_ms: i64, witness: Option<Witness>, by_phone: bool, w: Words) -> Times {
    let offline = |at: &Witness| by_phone && at.received_ms.saturating_sub(claimed_ms) > OFFLINE_MS;
    let basis = format::basis(witness.map_or(TimeBasis::Local, |at| at.basis));
    Times {
        claimed: format::moment(claimed_ms),
        basis: w.t(basis),
        basis_code: basis,
        between: witness
            .filter(|at| at.basis == TimeBasis::Anchored && at.latest_ms.saturating_sub(at.earliest_ms) > 60_000)
            .map(|at| (format::moment(at.earliest_ms), format::moment(at.latest_ms))),
        arrived: witness.map(|at| format::moment(at.received_ms)),
        later: witness.filter(offline).map(|at| format::span(at.received_ms.saturating_sub(claimed_ms), w)),
    }
}

/// When a change was written, as the journal has it.
pub(super) fn line_times(line: &Line, w: Words) -> Times {
    let witness = Witness {
        received_ms: line.received_ms,
        earliest_ms: line.earliest_ms,
        latest_ms: line.latest_ms,
        basis: serde_json::from_value(line.basis.as_str().into()).unwrap_or(TimeBasis::Claimed),
    };
    times(line.written_ms, Some(witness), line.device.is_some(), w)
}

fn event(entry: &TimelineEntry, state: &CaseState, beside: &Beside, rules: &RuleSet, w: Words) -> Row {
    let withdrawn = entry.withdrawn.as_ref().map(|by| {
        let how = w.t(if by.automatic { "case-withdrawn-auto" } else { "case-withdrawn-person" });
        (how, parts::pointer(state, by.by, w))
    });
    Row {
        id: entry.id.to_string(),
        label: w.event(&entry.kind),
        kind: entry.kind.to_string(),
        by: person(state, entry.by.user, w),
        role: w.of_code("role", entry.by.role.as_str()),
        device: beside.device(entry.by.device.map(|d| d.to_string())),
        times: times(entry.at.hlc.wall_ms, entry.witness, entry.by.device.is_some(), w),
        body: body(entry, state, beside, rules, w),
        deeds: Vec::new(),
        moot: entry.moot.map(|m| w.of_code("moot", m.as_str())),
        withdrawn,
        position: beside.positions.get(&entry.id).copied(),
        seen: beside.seen.get(&entry.id).copied().unwrap_or(false),
        undo: None,
    }
}

fn edit(change: &Change, state: &CaseState, beside: &Beside, w: Words) -> Row {
    let line = &change.line;
    let author = line.author.parse().unwrap_or(UserId::SYSTEM);
    Row {
        id: change.hash.to_hex(),
        label: w.t("case-edit"),
        kind: "edit".into(),
        by: person(state, author, w),
        role: String::new(),
        device: beside.device(line.device.clone()),
        times: line_times(line, w),
        body: Vec::new(),
        deeds: beside.changes.deeds(DocumentKind::Case, change, w),
        moot: None,
        withdrawn: None,
        position: Some(line.position),
        seen: true,
        undo: change.can_undo.then(|| change.hash.to_hex()),
    }
}

/// The rows of a case: its events in the order in which they fold, and between them what was changed, as its author dates it.
pub(super) fn rows(state: &CaseState, beside: &Beside, rules: &RuleSet, w: Words) -> Vec<Row> {
    let mut rows: Vec<Row> = state.timeline.iter().map(|entry| event(entry, state, beside, rules, w)).collect();
    let mut edits: Vec<Row> = Vec::new();
    for row in beside.changes.all.iter().map(|change| edit(change, state, beside, w)) {
        match edits.last_mut().filter(|before| before.goes_on_in(&row)) {
            Some(before) => {
                before.deeds.extend(row.deeds);
                before.position = row.position;
            }
            None => edits.push(row),
        }
    }
    for row in edits {
        let after = rows.iter().rposition(|r| r.times.claimed.ms <= row.times.claimed.ms);
        rows.insert(after.map_or(0, |n| n + 1), row);
    }
    rows
}

/// The stretches in which phones wrote without a network: what arrived together was written in one.
pub(super) fn stretches(rows: &[Row]) -> Vec<Stretch> {
    let mut found: BTreeMap<(String, i64), Stretch> = BTreeMap::new();
    for row in rows.iter().filter(|r| r.times.later.is_some()) {
        let (Some(device), Some(arrived)) = (&row.device, &row.times.arrived) else { continue };
        let begun =
            || Stretch { device: device.clone(), from: row.times.claimed.clone(), to: arrived.clone(), count: 0 };
        let stretch = found.entry((device.clone(), arrived.ms)).or_insert_with(begun);
        if row.times.claimed.ms < stretch.from.ms {
            stretch.from = row.times.claimed.clone();
        }
        stretch.count += row.deeds.len().max(1);
    }
    let mut all: Vec<Stretch> = found.into_values().collect();
    all.sort_by_key(|s| s.from.ms);
    all
}

/// Events that a form can refer to.
pub(super) fn choices(state: &CaseState, w: Words) -> Vec<(EventKind, super::forms::Choice)> {
    let standing = state.timeline.iter().filter(|e| e.stands());
    let label = |e: &TimelineEntry| format!("{} {}", w.event(&e.kind), format::moment(e.at.hlc.wall_ms).text);
    standing.map(|e| (e.kind, super::forms::Choice { value: e.id.to_string(), label: label(e) })).collect()
}
