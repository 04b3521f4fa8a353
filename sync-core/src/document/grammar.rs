//! What a change touches, told in paths. Every operation must have a place in the shape of its document; whatever has none, or
//! rewrites what is written once, is refused. Works on the operations themselves, not on a difference of states, so that nothing
//! can hide behind a value that lost.

use std::collections::HashMap;

use automerge::{Automerge, ObjType, Prop, ReadDoc, ScalarValue};
use automerge::{ExpandedChange, legacy};

use super::entries;
use super::firewall::Trust;
use super::place::{Place, place_below};
use super::read::scalar_to_json;
use super::stage::Ahead;
use crate::error::{Refusal, RefusalCode};
use crate::event::Event;
use crate::ids::{AreaCode, EventId, UserId};
use crate::shape::{DocumentKind, FieldValue, Shape, check_value};

/// The prefix of the message that a change carries which edits an existing text, followed by the text's name.
pub(super) const TEXT_MESSAGE: &str = "t:";
/// What stands before the hash of a change in the server's section `witness`, where it tells who let a refused change in.
pub(super) const ACCEPTED: &str = "accepted:";
/// Sections that only the server writes.
pub(super) const SERVER_SECTIONS: [&str; 3] = ["witness", "people", "actors"];

/// One thing that a change does to a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Touch {
    /// Creates the document.
    Create {
        /// Its creator, as the document says.
        created_by: UserId,
    },
    /// Writes a register: `category`, `place.grid`, `parties.ID.phone`.
    Field {
        /// The register.
        path: String,
        /// The new value.
        value: FieldValue,
    },
    /// Adds an item to a collection.
    Item {
        /// The collection.
        collection: &'static str,
        /// The item.
        id: String,
    },
    /// Edits a text: `narrative`, `statements.ID`.
    Text {
        /// Which.
        name: String,
    },
    /// Adds an event.
    Event {
        /// Its id.
        id: EventId,
        /// What it says.
        event: Box<Event>,
    },
    /// Attaches something by hash.
    Attachment {
        /// The hash.
        hash: String,
        /// Who, as the entry says.
        by: Option<UserId>,
        /// What he calls it.
        name: String,
    },
    /// Writes what only the server may write.
    Server,
    /// Something of a newer version, accepted only from the server.
    Unknown,
}

/// An object by the operation that made it.
pub(super) type ObjectAt = (u64, automerge::ActorId);

/// What a change was found to do.
pub(super) struct Walked {
    /// In paths.
    pub(super) touches: Vec<Touch>,
    /// The objects that it makes.
    pub(super) made: HashMap<ObjectAt, Place>,
    /// The keys that it writes where each is written once, with the map that holds them.
    pub(super) written: Vec<(Option<ObjectAt>, String)>,
}

fn refuse(code: RefusalCode, detail: impl Into<String>) -> Refusal {
    Refusal::new(code, detail)
}

/// The map that an operation writes; `None` for the root.
fn object_at(op: &legacy::Op) -> Option<ObjectAt> {
    match &op.obj {
        legacy::ObjectId::Root => None,
        legacy::ObjectId::Id(o) => Some((o.counter(), o.actor().clone())),
    }
}

pub(super) struct Walk<'a> {
    doc: &'a Automerge,
    ahead: &'a Ahead,
    shape: &'a Shape,
    trust: Trust,
    /// True for the first change of a document: the only one that may make the root's maps and texts.
    founding: bool,
    /// True for a change that stands in the document already: what it wrote once is there by itself.
    standing: bool,
    made: HashMap<ObjectAt, Place>,
    written: Vec<(Option<ObjectAt>, String)>,
    touches: Vec<Touch>,
    text: Option<String>,
    meta: HashMap<String, FieldValue>,
}

/// What a change does to a document, into which the changes `ahead` of it will have gone.
pub(super) fn touches(
    doc: &Automerge,
    ahead: &Ahead,
    kind: DocumentKind,
    change: &ExpandedChange,
    trust: Trust,
) -> Result<Walked, Refusal> {
    walked(doc, ahead, kind, change, (trust, false))
}

/// What a change did that stands in the document.
pub(super) fn standing_touches(
    doc: &Automerge,
    kind: DocumentKind,
    change: &ExpandedChange,
) -> Result<Vec<Touch>, Refusal> {
    Ok(walked(doc, &Ahead::default(), kind, change, (Trust::Server, true))?.touches)
}

fn walked(
    doc: &Automerge,
    ahead: &Ahead,
    kind: DocumentKind,
    change: &ExpandedChange,
    (trust, standing): (Trust, bool),
) -> Result<Walked, Refusal> {
    let founding = change.deps.is_empty();
    let mut walk = Walk {
        doc,
        ahead,
        shape: kind.shape(),
        trust,
        founding,
        standing,
        made: HashMap::new(),
        written: Vec::new(),
        touches: Vec::new(),
        text: None,
        meta: HashMap::new(),
    };
    for (i, op) in change.operations.iter().enumerate() {
        let id = change.start_op.get().saturating_add(u64::try_from(i).unwrap_or(u64::MAX));
        walk.operation(op, (id, change.actor_id.clone()))?;
    }
    walk.check_text_message(change)?;
    if founding {
        let by = walk.meta.get("created_by").and_then(|v| v.as_str()).and_then(|s| s.parse().ok());
        let created_by = by.ok_or_else(|| refuse(RefusalCode::Malformed, "meta.created_by is missing"))?;
        walk.touches.push(Touch::Create { created_by });
    }
    Ok(Walked { touches: walk.touches, made: walk.made, written: walk.written })
}

impl Walk<'_> {
    fn resolve(&self, obj: &legacy::ObjectId) -> Result<Place, Refusal> {
        let legacy::ObjectId::Id(op) = obj else { return Ok(Place::Root) };
        let object = (op.counter(), op.actor().clone());
        if let Some(place) = self.made.get(&object).or_else(|| self.ahead.place(&object)) {
            return Ok(place.clone());
        }
        let missing = || refuse(RefusalCode::Malformed, "an operation names an object that is not there");
        let exid = automerge::ObjId::Id(op.counter(), op.actor().clone(), 0);
        let kind = self.doc.object_type(&exid).map_err(|_| missing())?;
        let mut path = Vec::new();
        for parent in self.doc.parents(&exid).map_err(|_| missing())? {
            let Prop::Map(key) = parent.prop else { return Err(missing()) };
            path.push(key);
        }
        path.reverse();
        let depth = path.len();
        let mut place = Place::Root;
        for (i, key) in path.iter().enumerate() {
            let kind = if i + 1 == depth { kind } else { ObjType::Map };
            place = match place_below(self.shape, &place, key, kind) {
                Some(place) => place,
                None => Place::Unknown,
            };
        }
        if depth == 0 { Err(missing()) } else { Ok(place) }
    }

    fn operation(&mut self, op: &legacy::Op, id: ObjectAt) -> Result<(), Refusal> {
        let place = self.resolve(&op.obj)?;
        if place == Place::Unknown {
            return self.unknown(op, id, "an object that this version does not know");
        }
        if let Place::Text(name) = place {
            return self.text_operation(name, op);
        }
        let legacy::Key::Map(key) = &op.key else {
            return Err(refuse(RefusalCode::UnknownPlace, "a list operation where there is no list"));
        };
        match &op.action {
            legacy::OpType::Make(kind) => self.make(&place, key.as_str(), *kind, op, id),
            legacy::OpType::Put(value) => self.put(&place, key.as_str(), value, op, id),
            // Settling a conflict with one of the standing values may be told as the removal of the others.
            legacy::OpType::Delete if matches!(place, Place::Root | Place::Section(_) | Place::Item(..)) => {
                self.put(&place, key.as_str(), &ScalarValue::Null, op, id)
            }
            legacy::OpType::Delete => {
                Err(refuse(RefusalCode::WrittenOnce, format!("`{key}` is written once and cannot be deleted")))
            }
            _ => Err(refuse(RefusalCode::UnknownPlace, format!("counters and marks have no place here (`{key}`)"))),
        }
    }

    fn unknown(&mut self, op: &legacy::Op, id: ObjectAt, what: &str) -> Result<(), Refusal> {
        if self.trust != Trust::Server {
            return Err(refuse(RefusalCode::UnknownPlace, format!("the change writes {what}")));
        }
        if matches!(op.action, legacy::OpType::Make(_)) {
            self.made.insert(id, Place::Unknown);
        }
        self.touches.push(Touch::Unknown);
        Ok(())
    }

    fn make(&mut self, place: &Place, key: &str, kind: ObjType, op: &legacy::Op, id: ObjectAt) -> Result<(), Refusal> {
        let Some(below) = place_below(self.shape, place, key, kind) else {
            return self.unknown(op, id, &format!("`{}`", key.chars().take(60).collect::<String>()));
        };
        let fresh = op.pred.is_empty();
        let allowed = match (&below, place) {
            (Place::Item(..), _) => fresh && !self.exists(op, key),
            // The text of an item is made with the item, in the same change.
            (Place::Text(_), Place::Item(..)) => {
                fresh
                    && matches!(&op.obj, legacy::ObjectId::Id(o) if self.made.contains_key(&(o.counter(), o.actor().clone())))
            }
            _ => self.founding && fresh,
        };
        if !allowed || self.made.values().any(|p| *p == below) {
            return Err(refuse(RefusalCode::WrittenOnce, format!("`{key}` is made once and stands")));
        }
        if let Place::Item(collection, item) = &below {
            self.written.push((object_at(op), key.to_owned()));
            self.touches.push(Touch::Item { collection, id: item.clone() });
        }
        self.made.insert(id, below);
        Ok(())
    }

    /// Whether the map that an operation writes already has this key.
    fn exists(&self, op: &legacy::Op, key: &str) -> bool {
        if self.standing {
            return false;
        }
        if self.ahead.is_written(object_at(op), key) {
            return true;
        }
        let obj = match &op.obj {
            legacy::ObjectId::Root => automerge::ROOT,
            legacy::ObjectId::Id(o) => automerge::ObjId::Id(o.counter(), o.actor().clone(), 0),
        };
        matches!(self.doc.get(&obj, key), Ok(Some(_)))
    }

    fn put(
        &mut self,
        place: &Place,
        key: &str,
        value: &ScalarValue,
        op: &legacy::Op,
        id: ObjectAt,
    ) -> Result<(), Refusal> {
        let json = scalar_to_json(value);
        match place {
            Place::Meta => {
                if !self.founding || self.meta.insert(key.to_owned(), json).is_some() {
                    return Err(refuse(RefusalCode::WrittenOnce, format!("`meta.{key}` is written once")));
                }
                Ok(())
            }
            Place::Root => self.field(key.to_owned(), json, op, id),
            Place::Section(section) => self.field(format!("{section}.{key}"), json, op, id),
            Place::Item(collection, item) => self.item_field(collection, item, key, json, op, id),
            Place::Events => self.event(key, value, op),
            Place::Attachments => self.attachment(key, value, op),
            Place::ServerSection(_) => {
                self.touches.push(Touch::Server);
                Ok(())
            }
            Place::Collection(_) | Place::Text(_) | Place::Unknown => {
                self.unknown(op, id, &format!("`{}`", key.chars().take(60).collect::<String>()))
            }
        }
    }

    fn field(&mut self, path: String, value: FieldValue, op: &legacy::Op, id: ObjectAt) -> Result<(), Refusal> {
        let Some(holds) = self.shape.field(&path) else {
            return self.unknown(op, id, &format!("the field `{}`", path.chars().take(60).collect::<String>()));
        };
        self.check(&path, holds, &value)?;
        self.touches.push(Touch::Field { path, value });
        Ok(())
    }

    fn item_field(
        &mut self,
        collection: &'static str,
        item: &str,
        key: &str,
        value: FieldValue,
        op: &legacy::Op,
        id: ObjectAt,
    ) -> Result<(), Refusal> {
        let path = format!("{collection}.{item}.{key}");
        let spec = self.shape.collection(collection).and_then(|c| c.fields.iter().find(|f| f.path == key));
        let Some(spec) = spec else {
            return self.unknown(op, id, &format!("the field `{}`", path.chars().take(100).collect::<String>()));
        };
        self.check(&path, spec.holds, &value)?;
        self.touches.push(Touch::Field { path, value });
        Ok(())
    }

    fn check(&self, path: &str, holds: crate::shape::Holds, value: &FieldValue) -> Result<(), Refusal> {
        match check_value(path, holds, value) {
            Err(e) if self.trust != Trust::Server => Err(refuse(RefusalCode::InvalidValue, e.to_string())),
            _ => Ok(()),
        }
    }

    fn event(&mut self, key: &str, value: &ScalarValue, op: &legacy::Op) -> Result<(), Refusal> {
        let id: EventId = key.parse().map_err(|_| refuse(RefusalCode::InvalidValue, "an event's id is a UUID"))?;
        if !op.pred.is_empty()
            || self.exists(op, key)
            || self.touches.iter().any(|t| matches!(t, Touch::Event { id: i, .. } if *i == id))
        {
            return Err(refuse(RefusalCode::WrittenOnce, format!("the event {id} is written once")));
        }
        let event = entries::event(id, value, self.trust)?;
        self.written.push((object_at(op), key.to_owned()));
        self.touches.push(Touch::Event { id, event: Box::new(event) });
        Ok(())
    }

    fn attachment(&mut self, key: &str, value: &ScalarValue, op: &legacy::Op) -> Result<(), Refusal> {
        if !crate::attachments::is_content_hash(key) {
            return Err(refuse(
                RefusalCode::InvalidValue,
                "an attachment is named by the 64 hexadecimal digits of its SHA-256",
            ));
        }
        // The same photo may come from several people who did not know of each other: each entry stands beside the others.
        let is_here = |t: &Touch| matches!(t, Touch::Attachment { hash, .. } if hash == key);
        if !op.pred.is_empty() || self.touches.iter().any(is_here) {
            return Err(refuse(RefusalCode::WrittenOnce, "an attachment is entered once"));
        }
        let entry = entries::attachment(value, self.trust)?;
        self.touches.push(Touch::Attachment { hash: key.to_owned(), by: Some(entry.by), name: entry.name });
        Ok(())
    }

    fn text_operation(&mut self, name: String, op: &legacy::Op) -> Result<(), Refusal> {
        if let legacy::OpType::Put(ScalarValue::Str(s)) = &op.action
            && self.trust != Trust::Server
            && !crate::text::is_storable(s)
        {
            return Err(refuse(RefusalCode::InvalidValue, format!("the text `{name}` would hold a NUL character")));
        }
        match &op.action {
            legacy::OpType::Put(ScalarValue::Str(s)) if op.insert && s.chars().count() <= 8 => {}
            legacy::OpType::Delete => {}
            _ => return Err(refuse(RefusalCode::UnknownPlace, format!("the text `{name}` takes characters only"))),
        }
        if self.made.values().any(|p| matches!(p, Place::Text(n) if *n == name)) {
            return Ok(());
        }
        match &self.text {
            Some(known) if *known == name => Ok(()),
            Some(_) => Err(refuse(RefusalCode::Malformed, "one change edits one text")),
            None => {
                self.touches.push(Touch::Text { name: name.clone() });
                self.text = Some(name);
                Ok(())
            }
        }
    }

    /// The fold finds the edits of a text by the message of their change; so the message must tell the truth.
    fn check_text_message(&self, change: &ExpandedChange) -> Result<(), Refusal> {
        let told = change.message.as_deref().and_then(|m| m.strip_prefix(TEXT_MESSAGE));
        if told == self.text.as_deref() {
            Ok(())
        } else {
            Err(refuse(RefusalCode::Malformed, "the message of a change names the one text that it edits"))
        }
    }
}

/// Reads `meta` of a founding change before the document exists.
pub(super) fn founding_kind(change: &ExpandedChange) -> Result<(DocumentKind, AreaCode), Refusal> {
    let mut kind = None;
    let mut community = None;
    for op in &change.operations {
        if let (legacy::OpType::Put(ScalarValue::Str(value)), legacy::Key::Map(key)) = (&op.action, &op.key) {
            match key.as_str() {
                "kind" if kind.is_none() => kind = DocumentKind::parse(value),
                "community" if community.is_none() => community = AreaCode::new(value.as_str()).ok(),
                _ => {}
            }
        }
    }
    kind.zip(community)
        .ok_or_else(|| refuse(RefusalCode::Malformed, "the first change of a document says its kind and community"))
}
