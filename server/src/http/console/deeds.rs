//! What changes did beside events, in words: registers with what they held before, the passage of a text that changed, what was added.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::document::{ChangeHash, ChangeInfo, Document, Touch};
use sync_core::event::EventKind;
use sync_core::ids::UserId;
use sync_core::shape::{DocumentKind, FieldValue, Holds};

use super::format;
use super::forms::Choice;
use super::settle;
use super::words::Words;
use crate::areas;
use crate::db::{AnyConnection, DbError};
use crate::journal::{self, Line};
use crate::masking::Sight;

/// Characters shown on either side of what changed in a text.
const AROUND: usize = 8;

/// One change, as the journal and the document have it.
pub(super) struct Change {
    /// Its identity.
    pub(super) hash: ChangeHash,
    /// Its line in the journal.
    pub(super) line: Line,
    /// The events that it writes.
    pub(super) events: Vec<EventKind>,
    /// Whether the server wrote down something of its own.
    pub(super) is_servers: bool,
    /// Whether it was written at a desk and can be put back: nobody has written there since.
    pub(super) can_undo: bool,
    /// What it did beside.
    acts: Vec<Act>,
}

enum Act {
    Set { path: String, before: Option<FieldValue>, after: FieldValue },
    Rewrote { name: String, before: String, after: String },
    Added { collection: &'static str, fields: Vec<(String, FieldValue)>, text: String },
    Attached(String),
}

/// One thing that a change did, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    /// What it is about.
    pub(super) label: String,
    /// What stood there before.
    pub(super) before: Option<String>,
    /// What stands there since.
    pub(super) after: Option<String>,
}

/// The changes of a document in the order of the journal, and what the areas and attachments that they name are called.
pub(super) struct Changes {
    /// The changes.
    pub(super) all: Vec<Change>,
    /// Where each stands in the journal, also those that are left out.
    pub(super) positions: BTreeMap<ChangeHash, i64>,
    /// Areas by code, cases by id.
    names: BTreeMap<String, String>,
}

/// What a register of a document holds; `None` for one that there is not.
pub(super) fn holds_of(kind: DocumentKind, path: &str) -> Option<Holds> {
    let shape = kind.shape();
    match path.split('.').collect::<Vec<_>>().as_slice() {
        [collection, _, name] if shape.collection(collection).is_some() => {
            shape.collection(collection)?.fields.iter().find(|f| f.path == *name).map(|f| f.holds)
        }
        _ => shape.field(path),
    }
}

/// What differs between two texts, with a little of what stands around it.
fn passage(before: &str, after: &str) -> (String, String) {
    let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let room = old.len().min(new.len()).saturating_sub(head);
    let tail = old.iter().rev().zip(new.iter().rev()).take(room).take_while(|(a, b)| a == b).count();
    let cut = |text: &[char]| {
        let (from, to) = (head.saturating_sub(AROUND), (text.len() - tail + AROUND).min(text.len()));
        let middle: String = text.get(from..to).unwrap_or_default().iter().collect();
        format!("{}{middle}{}", if from > 0 { "…" } else { "" }, if to < text.len() { "…" } else { "" })
    };
    (cut(&old), cut(&new))
}

impl Changes {
    /// Reads the changes of a document as somebody may see them; those that only wrote events, or are the server's, if `all` are asked for.
    pub(super) fn read(
        conn: &mut AnyConnection,
        document: &Document,
        sight: &Sight,
        all: bool,
    ) -> Result<Self, DbError> {
        let history: BTreeMap<ChangeHash, ChangeInfo> = document.history().into_iter().map(|c| (c.hash, c)).collect();
        let eventful: BTreeSet<ChangeHash> = document.event_changes().into_values().collect();
        let registers = document.registers();
        let (mut changes, mut codes, mut positions) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for line in journal::lines(conn, document.meta().id)? {
            let Some((hash, info)) = line.change_hash().and_then(|hash| Some((hash, history.get(&hash)?))) else {
                continue;
            };
            positions.insert(hash, line.position);
            let plain = line.author == UserId::SYSTEM.to_string() || (eventful.contains(&hash) && info.operations == 1);
            if plain && !all {
                continue;
            }
            // What a file begins with is the file, not a change of it.
            if info.deps.is_empty() && !all {
                continue;
            }
            let touches = document.did(hash).unwrap_or_default();
            let acts = acts(document, info, &touches, sight);
            for act in &acts {
                if let Act::Set { path, before, after } = act
                    && holds_of(document.meta().kind, path) == Some(Holds::Area)
                {
                    codes.extend(
                        [before.as_ref(), Some(after)]
                            .into_iter()
                            .flatten()
                            .filter_map(|v| v.as_str())
                            .map(str::to_owned),
                    );
                }
            }
            let events = touches.iter().filter_map(|t| match t {
                Touch::Event { event, .. } => Some(event.kind),
                _ => None,
            });
            let events: Vec<EventKind> = events.collect();
            if all || !acts.is_empty() {
                let is_servers = touches.iter().any(|t| matches!(t, Touch::Server));
                let can_undo = line.device.is_none()
                    && line.author != UserId::SYSTEM.to_string()
                    && settle::reversed(document, info, &touches, &registers).is_some();
                changes.push(Change { hash, line, events, is_servers, can_undo, acts });
            }
        }
        let codes: Vec<String> = codes.into_iter().collect();
        Ok(Self { all: changes, positions, names: areas::names(conn, &codes)? })
    }

    /// Has documents called by their titles instead of their ids.
    pub(super) fn with_titles(mut self, titled: &[Choice]) -> Self {
        self.names.extend(titled.iter().map(|t| (t.value.clone(), t.label.clone())));
        self
    }

    /// What a change did, in words.
    pub(super) fn deeds(&self, kind: DocumentKind, change: &Change, w: Words) -> Vec<Deed> {
        change.acts.iter().map(|act| self.deed(kind, act, w)).collect()
    }

    fn value(&self, kind: DocumentKind, path: &str, value: &FieldValue, w: Words) -> String {
        match (holds_of(kind, path), value.as_str()) {
            (Some(Holds::Document), Some(_)) if path == "report.patrol" => w.t("patrol-title"),
            (Some(Holds::Area | Holds::Document), Some(code)) => {
                self.names.get(code).cloned().unwrap_or_else(|| code.to_owned())
            }
            (holds, _) => format::value(value, holds, w),
        }
    }

    fn deed(&self, kind: DocumentKind, act: &Act, w: Words) -> Deed {
        match act {
            Act::Set { path, before, after } => Deed {
                label: w.field(path),
                before: before.as_ref().filter(|v| !v.is_null()).map(|v| self.value(kind, path, v, w)),
                after: Some(self.value(kind, path, after, w)),
            },
            Act::Rewrote { name, before, after } => {
                let (before, after) = passage(before, after);
                Deed { label: super::parts::text_label(name, w), before: Some(before), after: Some(after) }
            }
            Act::Added { collection, fields, text } => {
                let values = fields.iter().map(|(path, v)| self.value(kind, path, v, w));
                let said: Vec<String> = values.chain([text.clone()]).filter(|t| !t.is_empty()).collect();
                Deed { label: format!("+ {}", w.group(collection)), before: None, after: Some(said.join(" · ")) }
            }
            Act::Attached(name) => {
                Deed { label: format!("+ {}", w.t("case-attachments")), before: None, after: Some(name.clone()) }
            }
        }
    }
}

fn acts(document: &Document, info: &ChangeInfo, touches: &[Touch], sight: &Sight) -> Vec<Act> {
    let added: BTreeSet<String> = touches
        .iter()
        .filter_map(|t| match t {
            Touch::Item { collection, id } => Some(format!("{collection}.{id}.")),
            _ => None,
        })
        .collect();
    let mut acts = Vec::new();
    for (path, value) in settle::fields(touches) {
        if !added.iter().any(|item| path.starts_with(item)) {
            // What its author saw there: what somebody else wrote meanwhile was not replaced by it.
            let before = settle::former(document, info, path, value).filter(|v| !v.is_null());
            let before = before.map(|before| sight.value(path, &before));
            acts.push(Act::Set { path: path.to_owned(), before, after: sight.value(path, value) });
        }
    }
    for touch in touches {
        match touch {
            Touch::Field { .. } => {}
            Touch::Item { collection, id } => {
                let item = format!("{collection}.{id}.");
                let fields = touches.iter().filter_map(|t| match t {
                    Touch::Field { path, value } if path.starts_with(&item) => {
                        Some((path.clone(), sight.value(path, value)))
                    }
                    _ => None,
                });
                let text = document.text_at(&format!("{collection}.{id}"), &[info.hash]).unwrap_or_default();
                acts.push(Act::Added { collection, fields: fields.collect(), text: sight.text(&text) });
            }
            // Masked before they are compared: half a number must not come to light at the edge of what changed.
            Touch::Text { name } => acts.push(Act::Rewrote {
                name: name.clone(),
                before: sight.text(&document.text_at(name, &info.deps).unwrap_or_default()),
                after: sight.text(&document.text_at(name, &[info.hash]).unwrap_or_default()),
            }),
            Touch::Attachment { name, .. } => acts.push(Act::Attached(sight.text(name))),
            Touch::Create { .. } | Touch::Event { .. } | Touch::Server | Touch::Unknown => {}
        }
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::passage;

    #[test]
    fn a_passage_is_what_differs_with_a_little_around_it() {
        let (before, after) = passage(
            "两名工人到大厅反映,工地上月工资尚未发放,情绪平稳。",
            "两名工人到大厅反映,工地上月工资仅发放一半,情绪平稳。",
        );
        assert_eq!(before, "…映,工地上月工资尚未发放,情绪平稳。");
        assert_eq!(after, "…映,工地上月工资仅发放一半,情绪平稳。");
        assert_eq!(passage("", "新写"), (String::new(), "新写".into()));
        assert_eq!(passage("甲乙", "甲乙甲乙"), ("甲乙".into(), "甲乙甲乙".into()));
    }
}
