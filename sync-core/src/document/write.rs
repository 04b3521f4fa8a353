//! Writing a document: one edit is one change, made of typed steps that are checked against the shape before they are taken. An
//! edit that fails leaves the document as it was.

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, ObjType, ROOT, ReadDoc, ScalarValue, TextEncoding};

use super::{Acceptance, ChangeHash, Document, Meta, RawChange, Unsaved, child, grammar, raw, root_child};
use crate::case::Attachment;
use crate::error::{DocumentError, EditError};
use crate::event::Event;
use crate::ids::{ActorId, EventId, UserId};
use crate::limits;
use crate::shape::{FieldValue, Shape, check_value};
use crate::time::Witness;

/// The steps of one edit.
pub struct Writer<'a> {
    tx: Transaction<'a>,
    shape: &'static Shape,
    text: Option<String>,
}

fn engine(e: automerge::AutomergeError) -> EditError {
    EditError::Document(DocumentError::Engine(e.to_string()))
}

fn json_to_scalar(value: &FieldValue) -> ScalarValue {
    match value {
        FieldValue::String(s) => ScalarValue::Str(s.as_str().into()),
        FieldValue::Bool(b) => ScalarValue::Boolean(*b),
        FieldValue::Number(n) => n.as_i64().map_or(ScalarValue::Null, ScalarValue::Int),
        FieldValue::Null | FieldValue::Array(_) | FieldValue::Object(_) => ScalarValue::Null,
    }
}

/// A change that the firewall of every other replica would refuse must not come to be.
fn travels(change: &automerge::Change) -> Result<(), EditError> {
    let (bytes, ops) = (change.raw_bytes().len(), change.len());
    if bytes <= limits::CHANGE_BYTES_MAX && ops <= limits::CHANGE_OPS_MAX {
        return Ok(());
    }
    Err(EditError::InvalidValue {
        field: "edits".to_owned(),
        problem: format!("the change has {bytes} bytes and {ops} operations"),
        remedy: format!(
            "at most {} bytes and {} operations; save in smaller steps",
            limits::CHANGE_BYTES_MAX,
            limits::CHANGE_OPS_MAX
        ),
    })
}

impl Document {
    /// Founds a document. `first` takes the first steps; all of it is one change.
    pub fn create(
        meta: Meta,
        actor: ActorId,
        first: impl FnOnce(&mut Writer<'_>) -> Result<(), EditError>,
    ) -> Result<(Self, RawChange), EditError> {
        let mut inner = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
        inner.set_actor(automerge::ActorId::from(actor.0));
        let shape = meta.kind.shape();
        let mut writer = Writer { tx: inner.transaction(), shape, text: None };
        writer.found(&meta)?;
        first(&mut writer)?;
        let (tx, _) = writer.finish();
        tx.commit_with(CommitOptions::default().with_time(meta.created_ms));
        let change = inner.get_last_local_change();
        change.as_ref().map_or(Ok(()), travels)?;
        let change = change.as_ref().and_then(raw);
        let change = change.ok_or_else(|| DocumentError::Engine("the first change is missing".into()))?;
        let mut document = Self::of(inner)?;
        document.unsaved = Some(Unsaved { since: Vec::new(), changes: change.bytes.clone() });
        Ok((document, change))
    }

    /// Makes one edit under this actor. Gives the change it made, or `None` if it changed nothing. `at_ms` is the author's wall
    /// clock.
    pub fn edit<R>(
        &mut self,
        actor: ActorId,
        at_ms: i64,
        steps: impl FnOnce(&mut Writer<'_>) -> Result<R, EditError>,
    ) -> Result<(R, Option<RawChange>), EditError> {
        let shape = self.shape();
        self.inner.set_actor(automerge::ActorId::from(actor.0));
        let mut writer = Writer { tx: self.inner.transaction(), shape, text: None };
        let result = match steps(&mut writer) {
            Ok(result) => result,
            Err(e) => {
                writer.tx.rollback();
                return Err(e);
            }
        };
        let (tx, text) = writer.finish();
        let mut options = CommitOptions::default().with_time(at_ms);
        if let Some(text) = &text {
            options.set_message(format!("{}{text}", grammar::TEXT_MESSAGE));
        }
        let (hash, _) = tx.commit_with(options);
        let change = hash.and_then(|h| self.inner.get_change_by_hash(&h));
        change.as_ref().map_or(Ok(()), travels)?;
        let change = change.as_ref().and_then(raw);
        if let Some(change) = &change {
            self.counted(change.actor, change.seq, &change.bytes);
        }
        Ok((result, change))
    }
}

impl<'a> Writer<'a> {
    fn finish(self) -> (Transaction<'a>, Option<String>) {
        (self.tx, self.text)
    }

    fn found(&mut self, meta: &Meta) -> Result<(), EditError> {
        let map = self.tx.put_object(&ROOT, "meta", ObjType::Map).map_err(engine)?;
        let entries: [(&str, ScalarValue); 6] = [
            ("id", meta.id.to_string().into()),
            ("kind", meta.kind.as_str().into()),
            ("community", meta.community.as_str().into()),
            ("version", ScalarValue::Int(meta.version)),
            ("created_by", meta.created_by.to_string().into()),
            ("created_ms", ScalarValue::Int(meta.created_ms)),
        ];
        for (key, value) in entries {
            self.tx.put(&map, key, value).map_err(engine)?;
        }
        let maps = self.shape.sections().chain(self.shape.collections.iter().map(|c| c.name));
        for name in maps.chain(["events", "attachments"]).chain(grammar::SERVER_SECTIONS) {
            self.tx.put_object(&ROOT, name, ObjType::Map).map_err(engine)?;
        }
        for text in self.shape.texts {
            self.tx.put_object(&ROOT, *text, ObjType::Text).map_err(engine)?;
        }
        Ok(())
    }

    fn unknown_field(&self, path: &str) -> EditError {
        EditError::UnknownField {
            field: path.chars().take(100).collect(),
            document: self.shape.kind.as_str().to_owned(),
        }
    }

    /// Writes a register; `null` empties it. Writing the value that stands alone already changes nothing.
    pub fn set(&mut self, path: &str, value: &FieldValue) -> Result<(), EditError> {
        let unknown = || self.unknown_field(path);
        let (obj, key, holds) = match path.split_once('.') {
            Some((collection, rest)) if self.shape.collection(collection).is_some() => {
                let (item, key) = rest.split_once('.').ok_or_else(unknown)?;
                let spec = self.shape.collection(collection).and_then(|c| c.fields.iter().find(|f| f.path == key));
                let holds = spec.ok_or_else(unknown)?.holds;
                let map = root_child(&self.tx, collection).ok_or_else(unknown)?;
                let item = child(&self.tx, &map, item).ok_or_else(|| EditError::NotFound {
                    what: collection.to_owned(),
                    id: item.chars().take(60).collect(),
                })?;
                (item.1, key, holds)
            }
            Some((section, key)) => {
                let holds = self.shape.field(path).ok_or_else(unknown)?;
                (root_child(&self.tx, section).ok_or_else(unknown)?, key, holds)
            }
            None => (ROOT, path, self.shape.field(path).ok_or_else(unknown)?),
        };
        check_value(path, holds, value)?;
        let scalar = json_to_scalar(value);
        let standing = self.tx.get_all(&obj, key).map_err(engine)?;
        let same = match standing.as_slice() {
            [] => scalar == ScalarValue::Null,
            [(automerge::Value::Scalar(s), _)] => s.as_ref() == &scalar,
            _ => false,
        };
        if same {
            return Ok(());
        }
        // Writing one of two standing values would only remove the other, and nobody could tell who settled it: write anew.
        let null = |v: &automerge::Value<'_>| matches!(v, automerge::Value::Scalar(s) if s.is_null());
        if standing.len() > 1 && !standing.iter().any(|(v, _)| null(v)) && scalar != ScalarValue::Null {
            self.tx.put(&obj, key, ScalarValue::Null).map_err(engine)?;
        }
        self.tx.put(&obj, key, scalar).map_err(engine)
    }

    /// Adds an item to a collection, with its registers and, where the collection has one, its text.
    pub fn add_item<'f>(
        &mut self,
        collection: &str,
        id: &str,
        fields: impl IntoIterator<Item = (&'f str, &'f FieldValue)>,
        text: Option<&str>,
    ) -> Result<(), EditError> {
        let spec = self.shape.collection(collection).ok_or_else(|| self.unknown_field(collection))?;
        let map = root_child(&self.tx, collection).ok_or_else(|| self.unknown_field(collection))?;
        if self.tx.length(&map) >= limits::PARTIES_MAX {
            return Err(EditError::InvalidValue {
                field: collection.to_owned(),
                problem: format!("there are {} already", limits::PARTIES_MAX),
                remedy: "use one entry for several people".to_owned(),
            });
        }
        let item = self.tx.put_object(&map, id, ObjType::Map).map_err(engine)?;
        for (name, value) in fields {
            self.set(&format!("{collection}.{id}.{name}"), value)?;
        }
        if spec.has_text {
            let object = self.tx.put_object(&item, "text", ObjType::Text).map_err(engine)?;
            let text = text.unwrap_or_default();
            check_text(collection, text)?;
            self.tx.splice_text(&object, 0, 0, text).map_err(engine)?;
        }
        Ok(())
    }

    /// Gives a text its new wording; only what differs is written, so that edits of other passages merge. One change edits one
    /// text.
    pub fn set_text(&mut self, name: &str, wording: &str) -> Result<(), EditError> {
        check_text(name, wording)?;
        let not_found = || EditError::NotFound { what: "text".to_owned(), id: name.chars().take(80).collect() };
        let (kind, object) = match name.split_once('.') {
            None => child(&self.tx, &ROOT, name),
            Some((collection, item)) => root_child(&self.tx, collection)
                .and_then(|c| child(&self.tx, &c, item))
                .and_then(|(_, item)| child(&self.tx, &item, "text")),
        }
        .ok_or_else(not_found)?;
        if kind != ObjType::Text {
            return Err(not_found());
        }
        let before = self.tx.text(&object).map_err(engine)?;
        if before == wording {
            return Ok(());
        }
        if self.text.as_deref().is_some_and(|t| t != name) {
            return Err(EditError::InvalidValue {
                field: name.to_owned(),
                problem: "another text is edited in the same change".to_owned(),
                remedy: "edit one text at a time".to_owned(),
            });
        }
        let fresh = self.tx.base_heads().is_empty();
        let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), wording.chars().collect());
        let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let rest = |t: &[char]| t.len() - head;
        let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let tail = tail.min(rest(&old)).min(rest(&new));
        let (gone, come) = (rest(&old) - tail, rest(&new) - tail);
        if gone.saturating_mul(come) <= limits::TEXT_COMPARISONS_MAX {
            self.tx.update_text(&object, wording).map_err(engine)?;
        } else {
            let stretch: String = new.iter().skip(head).take(come).collect();
            let gone = isize::try_from(gone).unwrap_or(isize::MAX);
            self.tx.splice_text(&object, head, gone, &stretch).map_err(engine)?;
        }
        if !fresh {
            self.text = Some(name.to_owned());
        }
        Ok(())
    }

    /// Adds an event.
    pub fn add_event(&mut self, id: EventId, event: &Event) -> Result<(), EditError> {
        let text =
            serde_json::to_string(event).map_err(|e| EditError::Document(DocumentError::Engine(e.to_string())))?;
        if text.len() > limits::EVENT_BYTES_MAX {
            return Err(EditError::InvalidValue {
                field: "body".to_owned(),
                problem: format!("the event has {} bytes", text.len()),
                remedy: format!("at most {} bytes; put long texts into a statement", limits::EVENT_BYTES_MAX),
            });
        }
        self.put_string("events", &id.to_string(), text)
    }

    /// Writes down what the server knows of an event. Server only.
    pub fn add_witness(&mut self, id: EventId, witness: &Witness) -> Result<(), EditError> {
        let text =
            serde_json::to_string(witness).map_err(|e| EditError::Document(DocumentError::Engine(e.to_string())))?;
        self.put_string("witness", &id.to_string(), text)
    }

    /// Writes down who let a refused change in. Server only.
    pub fn add_acceptance(&mut self, change: ChangeHash, acceptance: &Acceptance) -> Result<(), EditError> {
        let text =
            serde_json::to_string(acceptance).map_err(|e| EditError::Document(DocumentError::Engine(e.to_string())))?;
        self.put_string("witness", &format!("{}{}", grammar::ACCEPTED, change.to_hex()), text)
    }

    /// Vouches for the person behind an actor. Server only.
    pub fn add_actor(&mut self, actor: ActorId, user: UserId) -> Result<(), EditError> {
        self.put_string("actors", &actor.to_hex(), user.to_string())
    }

    /// Vouches for a person's name. Server only.
    pub fn add_person(&mut self, user: UserId, name: &str) -> Result<(), EditError> {
        self.put_string("people", &user.to_string(), name.to_owned())
    }

    /// Enters an attachment by the hash of its content.
    pub fn attach(&mut self, hash: &str, attachment: &Attachment) -> Result<(), EditError> {
        if !crate::attachments::is_content_hash(hash) {
            return Err(EditError::InvalidValue {
                field: "hash".to_owned(),
                problem: "not a SHA-256".to_owned(),
                remedy: "64 lower-case hexadecimal digits".to_owned(),
            });
        }
        if root_child(&self.tx, "attachments").and_then(|m| self.tx.get(&m, hash).ok().flatten()).is_some() {
            return Ok(());
        }
        let text =
            serde_json::to_string(attachment).map_err(|e| EditError::Document(DocumentError::Engine(e.to_string())))?;
        self.put_string("attachments", hash, text)
    }

    fn put_string(&mut self, map: &str, key: &str, text: String) -> Result<(), EditError> {
        let map =
            root_child(&self.tx, map).ok_or_else(|| EditError::Document(DocumentError::Incomplete(map.to_owned())))?;
        self.tx.put(&map, key, text).map_err(engine)
    }
}

fn check_text(name: &str, text: &str) -> Result<(), EditError> {
    if !crate::text::is_storable(text) {
        return Err(EditError::InvalidValue {
            field: name.to_owned(),
            problem: "the text holds a NUL character".to_owned(),
            remedy: "leave it out".to_owned(),
        });
    }
    let chars = text.chars().count();
    if chars <= limits::TEXT_CHARS_MAX {
        return Ok(());
    }
    Err(EditError::InvalidValue {
        field: name.to_owned(),
        problem: format!("the text has {chars} characters"),
        remedy: format!("at most {} characters", limits::TEXT_CHARS_MAX),
    })
}
