//! Reading a document: registers with every standing value, items, texts, events and the history of changes. Reads only; gives
//! plain values, never library types.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::iter::MapRangeItem;
use automerge::{Automerge, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use super::grammar::Touch;
use super::{Acceptance, ChangeHash, Document, Meta, actor_of, child, grammar, root_child};
use crate::error::DocumentError;
use crate::event::Event;
use crate::ids::{ActorId, AreaCode, EventId, UserId};
use crate::shape::{DocumentKind, FieldValue};
use crate::time::Witness;

/// One standing value of a register.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisterValue {
    /// The value.
    pub value: FieldValue,
    /// The identity of the writing, the same on all replicas.
    pub write: String,
    /// Under which actor it was written.
    pub actor: Option<ActorId>,
    /// When, as its author says, ms UTC.
    pub at_ms: i64,
}

/// A register that holds something.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// `category`, `place.grid`, `parties.ID.phone`.
    pub path: String,
    /// The displayed value.
    pub value: FieldValue,
    /// Every standing value, the displayed one first; empty while there is only one.
    pub standing: Vec<RegisterValue>,
}

/// A change, without its operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeInfo {
    /// Its identity.
    pub hash: ChangeHash,
    /// Under which actor.
    pub actor: ActorId,
    /// Its number among that actor's changes.
    pub seq: u64,
    /// What it follows.
    pub deps: Vec<ChangeHash>,
    /// When, as its author says, ms UTC.
    pub at_ms: i64,
    /// The text that it edits, if it edits one.
    pub text: Option<String>,
    /// How many operations it is made of.
    pub operations: u64,
}

/// Where an edit of a text touched it, in characters of the text as it reads now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextEdit {
    /// First character touched.
    pub start: usize,
    /// Behind the last character touched; may equal `start` where only deletions remain.
    pub end: usize,
}

pub(super) fn scalar_to_json(value: &ScalarValue) -> FieldValue {
    match value {
        ScalarValue::Str(s) => FieldValue::from(s.as_str()),
        ScalarValue::Int(i) | ScalarValue::Timestamp(i) => FieldValue::from(*i),
        ScalarValue::Uint(u) => FieldValue::from(*u),
        ScalarValue::Boolean(b) => FieldValue::from(*b),
        ScalarValue::F64(f) => FieldValue::from(*f),
        ScalarValue::Bytes(_) | ScalarValue::Counter(_) | ScalarValue::Unknown { .. } | ScalarValue::Null => {
            FieldValue::Null
        }
    }
}

fn scalar_at(doc: &Automerge, obj: &automerge::ObjId, key: &str) -> Option<FieldValue> {
    match doc.get(obj, key).ok()?? {
        (Value::Scalar(s), _) => Some(scalar_to_json(&s)),
        (Value::Object(_), _) => None,
    }
}

pub(super) fn meta(doc: &Automerge) -> Result<Meta, DocumentError> {
    let missing = |what: &str| DocumentError::Incomplete(format!("meta.{what}"));
    let map = root_child(doc, "meta").ok_or_else(|| DocumentError::Incomplete("meta".into()))?;
    let text =
        |key: &str| scalar_at(doc, &map, key).and_then(|v| v.as_str().map(str::to_owned)).ok_or_else(|| missing(key));
    let number = |key: &str| scalar_at(doc, &map, key).and_then(|v| v.as_i64()).ok_or_else(|| missing(key));
    Ok(Meta {
        id: text("id")?.parse().map_err(|_| missing("id"))?,
        kind: DocumentKind::parse(&text("kind")?).ok_or_else(|| missing("kind"))?,
        community: AreaCode::new(text("community")?).map_err(|_| missing("community"))?,
        version: number("version")?,
        created_by: text("created_by")?.parse().map_err(|_| missing("created_by"))?,
        created_ms: number("created_ms")?,
    })
}

/// The last number of each actor: heads do not say it, so all changes are gone through once.
pub(super) fn seqs(doc: &Automerge) -> BTreeMap<ActorId, u64> {
    let mut seqs: BTreeMap<ActorId, u64> = BTreeMap::new();
    for change in doc.get_changes_meta(&[]) {
        if let Some(actor) = actor_of(&change.actor) {
            let last = seqs.entry(actor).or_default();
            *last = change.seq.max(*last);
        }
    }
    seqs
}

fn text_object(doc: &Automerge, name: &str) -> Option<automerge::ObjId> {
    let found = match name.split_once('.') {
        None => child(doc, &ROOT, name)?,
        Some((collection, item)) => {
            let item = child(doc, &root_child(doc, collection)?, item)?.1;
            child(doc, &item, "text")?
        }
    };
    (found.0 == ObjType::Text).then_some(found.1)
}

pub(super) fn text_chars(doc: &Automerge, name: &str) -> usize {
    text_object(doc, name).map_or(0, |t| doc.length(&t))
}

/// What a change writes, as far as it can be told without its document: values with their keys, and inserted text.
fn written(change: &automerge::ExpandedChange) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut inserted = String::new();
    for op in &change.operations {
        let value = op.primitive_value();
        match (&op.key, value) {
            (_, Some(ScalarValue::Str(text))) if op.insert => inserted.push_str(&text),
            (automerge::legacy::Key::Map(key), Some(value)) => match scalar_to_json(&value) {
                FieldValue::Null => {}
                value => lines.push(format!("{key} = {value}")),
            },
            _ => {}
        }
    }
    lines.extend(Some(inserted).filter(|t| !t.is_empty()));
    lines.join("\n")
}

impl Document {
    /// What a change writes, for a person to read where its document is not at hand; `None` if it cannot be read.
    pub fn written(bytes: &[u8]) -> Option<String> {
        Some(written(Self::decode(bytes).ok()?.expanded()))
    }

    pub(super) fn text_object(&self, name: &str) -> Option<automerge::ObjId> {
        text_object(&self.inner, name)
    }

    /// A text as it reads now; `None` if the document has no such text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.inner.text(self.text_object(name)?).ok()
    }

    /// A text as it read at these heads.
    pub fn text_at(&self, name: &str, heads: &[ChangeHash]) -> Option<String> {
        let heads: Vec<_> = heads.iter().map(|h| automerge::ChangeHash(h.0)).collect();
        self.inner.text_at(self.text_object(name)?, &heads).ok()
    }

    /// The displayed value of one register, `None` when empty.
    pub fn field(&self, path: &str) -> Option<FieldValue> {
        let (obj, key) = self.register_place(path)?;
        scalar_at(&self.inner, &obj, key).filter(|v| !v.is_null())
    }

    /// The displayed value of one register as it was at these heads, `None` when empty.
    pub fn field_at(&self, path: &str, heads: &[ChangeHash]) -> Option<FieldValue> {
        let (obj, key) = self.register_place(path)?;
        let heads: Vec<_> = heads.iter().map(|h| automerge::ChangeHash(h.0)).collect();
        let value = self.inner.get_at(&obj, key, &heads).ok().flatten()?.0;
        value.as_scalar().map(scalar_to_json).filter(|v| !v.is_null())
    }

    /// The map and key of a register, if that map exists.
    pub(super) fn register_place<'p>(&self, path: &'p str) -> Option<(automerge::ObjId, &'p str)> {
        let Some((first, rest)) = path.split_once('.') else { return Some((ROOT, path)) };
        let map = root_child(&self.inner, first)?;
        if self.shape().collection(first).is_none() {
            return Some((map, rest));
        }
        let (item, key) = rest.split_once('.')?;
        Some((child(&self.inner, &map, item)?.1, key))
    }

    /// Every register that holds something or is in conflict, in a fixed order.
    pub fn registers(&self) -> Vec<Register> {
        let mut out = Vec::new();
        self.registers_of(&ROOT, "", &mut out);
        for section in self.shape().sections() {
            if let Some(map) = root_child(&self.inner, section) {
                self.registers_of(&map, &format!("{section}."), &mut out);
            }
        }
        for collection in self.shape().collections {
            for (id, item) in self.item_objects(collection.name) {
                self.registers_of(&item, &format!("{}.{id}.", collection.name), &mut out);
            }
        }
        out
    }

    fn registers_of(&self, map: &automerge::ObjId, prefix: &str, out: &mut Vec<Register>) {
        for entry in self.inner.map_range(map, ..) {
            let MapRangeItem { key, value, conflict, .. } = &entry;
            let automerge::ValueRef::Scalar(scalar) = value else { continue };
            let value = scalar_to_json(&scalar.to_owned().into());
            let standing = if *conflict { self.standing(map, key) } else { Vec::new() };
            if value.is_null() && standing.len() < 2 {
                continue;
            }
            out.push(Register { path: format!("{prefix}{key}"), value, standing });
        }
    }

    fn standing(&self, map: &automerge::ObjId, key: &str) -> Vec<RegisterValue> {
        let all = self.inner.get_all(map, key).unwrap_or_default();
        let mut values: Vec<_> = all
            .into_iter()
            .rev()
            .filter_map(|(value, id)| match value {
                Value::Scalar(s) => Some(RegisterValue {
                    value: scalar_to_json(&s),
                    write: id.to_string(),
                    actor: match &id {
                        automerge::ObjId::Id(_, actor, _) => actor_of(actor),
                        automerge::ObjId::Root => None,
                    },
                    at_ms: self.written_ms(&id),
                }),
                Value::Object(_) => None,
            })
            .collect();
        values.dedup_by(|a, b| a.write == b.write);
        // The same value written twice is agreement, not conflict.
        if values.windows(2).all(|pair| matches!(pair, [a, b] if a.value == b.value)) { Vec::new() } else { values }
    }

    fn written_ms(&self, id: &automerge::ObjId) -> i64 {
        let hash = self.inner.hash_for_opid(id);
        hash.and_then(|h| self.inner.get_change_meta_by_hash(&h).map(|m| m.timestamp)).unwrap_or(0)
    }

    fn item_objects(&self, collection: &str) -> Vec<(String, automerge::ObjId)> {
        let Some(map) = root_child(&self.inner, collection) else { return Vec::new() };
        let items = self.inner.map_range(&map, ..);
        items
            .filter(|e| matches!(e.value, automerge::ValueRef::Object(_)))
            .map(|e| (e.key.to_string(), e.id()))
            .collect()
    }

    /// The ids of the items of a collection, sorted.
    pub fn items(&self, collection: &str) -> Vec<String> {
        self.item_objects(collection).into_iter().map(|(id, _)| id).collect()
    }

    /// Which actor added each item of a collection.
    pub fn item_authors(&self, collection: &str) -> BTreeMap<String, ActorId> {
        let author = |(id, object): (String, automerge::ObjId)| match object {
            automerge::ObjId::Id(_, actor, _) => Some((id, actor_of(&actor)?)),
            automerge::ObjId::Root => None,
        };
        self.item_objects(collection).into_iter().filter_map(author).collect()
    }

    /// The string entries of a map at the root, sorted by key.
    fn strings(&self, map: &str) -> Vec<(String, String)> {
        let Some(map) = root_child(&self.inner, map) else { return Vec::new() };
        let entries = self.inner.map_range(&map, ..);
        entries
            .filter_map(|e| match &e.value {
                automerge::ValueRef::Scalar(s) => match ScalarValue::from(s.to_owned()) {
                    ScalarValue::Str(text) => Some((e.key.to_string(), text.to_string())),
                    _ => None,
                },
                automerge::ValueRef::Object(_) => None,
            })
            .collect()
    }

    /// Every event, sorted by id. What cannot be read as an event is left out; the firewall lets nothing such in.
    pub fn events(&self) -> BTreeMap<EventId, Event> {
        let events = self.strings("events").into_iter();
        events.filter_map(|(id, text)| Some((id.parse().ok()?, serde_json::from_str(&text).ok()?))).collect()
    }

    /// What the server wrote down about events.
    pub fn witnesses(&self) -> BTreeMap<EventId, Witness> {
        let entries = self.strings("witness").into_iter();
        entries.filter_map(|(id, text)| Some((id.parse().ok()?, serde_json::from_str(&text).ok()?))).collect()
    }

    /// Refused changes that a person let in after all, as the server wrote it down.
    pub fn acceptances(&self) -> BTreeMap<ChangeHash, Acceptance> {
        let entries = self.strings("witness").into_iter();
        let read = |(key, text): (String, String)| {
            let change: automerge::ChangeHash = key.strip_prefix(grammar::ACCEPTED)?.parse().ok()?;
            Some((ChangeHash(change.0), serde_json::from_str(&text).ok()?))
        };
        entries.filter_map(read).collect()
    }

    /// Names of the people who wrote, as the server vouches for them.
    pub fn people(&self) -> BTreeMap<UserId, String> {
        self.strings("people").into_iter().filter_map(|(id, name)| Some((id.parse().ok()?, name))).collect()
    }

    /// Who stands behind each actor, as the server vouches for it.
    pub fn actors(&self) -> BTreeMap<ActorId, UserId> {
        let entries = self.strings("actors").into_iter();
        entries.filter_map(|(actor, user)| Some((ActorId::from_hex(&actor).ok()?, user.parse().ok()?))).collect()
    }

    /// What is attached, by content hash. Where several people attached the same without knowing of each other, the first entry in the
    /// order of the operations stands; what the others called it is in the history.
    pub fn attachments(&self) -> BTreeMap<String, crate::case::Attachment> {
        let Some(map) = root_child(&self.inner, "attachments") else { return BTreeMap::new() };
        let first = |hash: &str| {
            let entries = self.inner.get_all(&map, hash).ok()?;
            let (entry, _) = entries.into_iter().min_by(|(_, a), (_, b)| a.cmp(b))?;
            serde_json::from_str(entry.as_str()?).ok()
        };
        self.inner
            .keys(&map)
            .filter_map(|hash| Some((first(&hash)?, hash)))
            .map(|(entry, hash)| (hash, entry))
            .collect()
    }

    /// Every change in an order in which each comes after what it depends on.
    pub fn history(&self) -> Vec<ChangeInfo> {
        let changes = self.inner.get_changes_meta(&[]);
        changes
            .iter()
            .filter_map(|m| {
                Some(ChangeInfo {
                    hash: ChangeHash(m.hash.0),
                    actor: actor_of(&m.actor)?,
                    seq: m.seq,
                    deps: m.deps.iter().map(|d| ChangeHash(d.0)).collect(),
                    at_ms: m.timestamp,
                    text: m.message.as_deref().and_then(|m| m.strip_prefix(grammar::TEXT_MESSAGE)).map(str::to_owned),
                    operations: (m.max_op + 1).saturating_sub(m.start_op),
                })
            })
            .collect()
    }

    /// What a change did that stands here; `None` if it does not, or cannot be read. The document is not taken back to where it was then.
    pub fn did(&self, change: ChangeHash) -> Option<Vec<Touch>> {
        let change = self.inner.get_change_by_hash(&automerge::ChangeHash(change.0))?;
        let read = || grammar::standing_touches(&self.inner, self.meta.kind, &change.decode());
        catch_unwind(AssertUnwindSafe(read)).ok()?.ok()
    }

    /// Where the edit of a text by this change lies in the text as it reads now. `None` if the change does not edit it.
    pub fn text_edit(&self, name: &str, change: ChangeHash) -> Option<TextEdit> {
        let obj = self.text_object(name)?;
        let change = self.inner.get_change_by_hash(&automerge::ChangeHash(change.0))?;
        let decoded = change.decode();
        let mut span: Option<TextEdit> = None;
        let mut cover = |start: usize, end: usize| {
            let s = span.get_or_insert(TextEdit { start, end });
            s.start = s.start.min(start);
            s.end = s.end.max(end);
        };
        for (i, op) in decoded.operations.iter().enumerate() {
            // The same change may make an item with a text of its own; asked for a place in another text, the engine asserts.
            let here = match (&op.obj, &obj) {
                (automerge::legacy::ObjectId::Id(op), automerge::ObjId::Id(counter, actor, _)) => {
                    op.counter() == *counter && op.actor() == actor
                }
                _ => false,
            };
            if !here {
                continue;
            }
            let inserted = op.insert;
            let (counter, actor) = if inserted {
                (decoded.start_op.get().checked_add(u64::try_from(i).ok()?)?, decoded.actor_id.to_hex_string())
            } else {
                let automerge::legacy::Key::Seq(automerge::legacy::ElementId::Id(id)) = &op.key else { continue };
                (id.counter(), id.actor().to_hex_string())
            };
            let cursor = automerge::Cursor::try_from(format!("{counter}@{actor}")).ok()?;
            if let Ok(position) = self.inner.get_cursor_position(&obj, &cursor, None) {
                cover(position, if inserted { position + 1 } else { position });
            }
        }
        span
    }
}

impl Document {
    /// In which change each event was written.
    pub fn event_changes(&self) -> BTreeMap<EventId, ChangeHash> {
        let Some(events) = root_child(&self.inner, "events") else { return BTreeMap::new() };
        // Per actor the first operation of each change, in order.
        let mut starts: BTreeMap<Vec<u8>, BTreeMap<u64, automerge::ChangeHash>> = BTreeMap::new();
        for change in self.inner.get_changes_meta(&[]) {
            starts.entry(change.actor.to_bytes().to_vec()).or_default().insert(change.start_op, change.hash);
        }
        let written = |id: &str| {
            let (_, write) = self.inner.get(&events, id).ok()??;
            let automerge::ObjId::Id(counter, actor, _) = write else { return None };
            let (_, hash) = starts.get(actor.to_bytes())?.range(..=counter).next_back()?;
            Some((id.parse().ok()?, ChangeHash(hash.0)))
        };
        self.inner.keys(&events).filter_map(|id| written(&id)).collect()
    }
}
