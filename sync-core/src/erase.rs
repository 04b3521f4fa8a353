//! Making a document anew without a part of it, because the law wants that part forgotten. A history cannot be cut: what is left is
//! written into another document, under another id, and nothing of the old history goes with it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::{Document, Meta, Writer};
use crate::error::EditError;
use crate::ids::{ActorId, DocumentId};
use crate::shape::FieldValue;

/// What stands where words of an erased person stood.
pub const ERASED: &str = "[已删除]";
/// Events in one change: each has at most 32 KiB, and a change 256.
const EVENTS_IN_CHANGE: usize = 7;
/// A shorter name is part of too many other words.
const NEEDLE_CHARS_MIN: usize = 2;

/// The part that shall be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A party, by id: its entry, the statements taken from it, and its name and numbers wherever they stand in the file.
    Person(String),
    /// An attachment, by the hash of its content.
    Attachment(String),
}

/// Whether the document has this part.
pub fn has(document: &Document, part: &Part) -> bool {
    match part {
        Part::Person(id) => document.items("parties").contains(id),
        Part::Attachment(hash) => document.attachments().contains_key(hash),
    }
}

/// What is left of a document without a part, as a new document of this id. Registers in conflict keep the value that is displayed; what
/// this version does not know is left behind.
pub fn without(
    document: &Document,
    part: &Part,
    id: DocumentId,
    actor: ActorId,
    at_ms: i64,
) -> Result<Document, EditError> {
    let needles = needles(document, part);
    let text = |text: String| needles.iter().fold(text, |t, needle| t.replace(needle.as_str(), ERASED));
    let meta = Meta { id, ..document.meta().clone() };
    let shape = meta.kind.shape();
    let in_collection = |path: &str| path.split_once('.').is_some_and(|(c, _)| shape.collection(c).is_some());
    let registers = document.registers();
    let value = |path: &str| document.field(path).map(|v| without_words(&v, &text));
    let (mut made, _) = Document::create(meta, actor, |writer| {
        for register in registers.iter().filter(|r| !in_collection(&r.path)) {
            put(writer, &register.path, value(&register.path))?;
        }
        for name in shape.texts {
            writer.set_text(name, &text(document.text(name).unwrap_or_default()))?;
        }
        Ok(())
    })?;
    for collection in shape.collections {
        for item in document.items(collection.name) {
            if is_gone(document, part, collection.name, &item) {
                continue;
            }
            let path = |field: &str| format!("{}.{item}.{field}", collection.name);
            let fields: BTreeMap<&str, FieldValue> =
                collection.fields.iter().filter_map(|f| Some((f.path, value(&path(f.path))?))).collect();
            let words = document.text(&format!("{}.{item}", collection.name)).map(&text);
            made.edit(actor, at_ms, |writer| {
                writer.add_item(collection.name, &item, fields.iter().map(|(k, v)| (*k, v)), words.as_deref())
            })?;
        }
    }
    let events: Vec<_> = document.events().into_iter().collect();
    for some in events.chunks(EVENTS_IN_CHANGE) {
        made.edit(actor, at_ms, |writer| {
            for (id, event) in some {
                let mut event = event.clone();
                event.body.values_mut().chain(event.other.values_mut()).for_each(|v| *v = without_words(v, &text));
                writer.add_event(*id, &event)?;
            }
            Ok(())
        })?;
    }
    made.edit(actor, at_ms, |writer| vouched(writer, document, part))?;
    Ok(made)
}

fn vouched(writer: &mut Writer<'_>, document: &Document, part: &Part) -> Result<(), EditError> {
    for (id, witness) in document.witnesses() {
        writer.add_witness(id, &witness)?;
    }
    for (actor, user) in document.actors() {
        writer.add_actor(actor, user)?;
    }
    for (user, name) in document.people() {
        writer.add_person(user, &name)?;
    }
    let kept = |hash: &String| !matches!(part, Part::Attachment(gone) if gone == hash);
    for (hash, attachment) in document.attachments().iter().filter(|(hash, _)| kept(hash)) {
        writer.attach(hash, attachment)?;
    }
    Ok(())
}

fn put(writer: &mut Writer<'_>, path: &str, value: Option<FieldValue>) -> Result<(), EditError> {
    value.map_or(Ok(()), |value| writer.set(path, &value))
}

fn is_gone(document: &Document, part: &Part, collection: &str, item: &str) -> bool {
    match part {
        Part::Person(id) if collection == "parties" => id == item,
        Part::Person(id) if collection == "statements" => {
            document.field(&format!("statements.{item}.party")).is_some_and(|v| v.as_str() == Some(id))
        }
        _ => false,
    }
}

/// The words by which a person is known in the file.
fn needles(document: &Document, part: &Part) -> Vec<String> {
    let Part::Person(id) = part else { return Vec::new() };
    let fields = ["id_number", "phone", "name"];
    let known = fields.iter().filter_map(|f| document.field(&format!("parties.{id}.{f}")));
    let known = known.filter_map(|v| v.as_str().map(|s| s.trim().to_owned()));
    known.filter(|s| s.chars().count() >= NEEDLE_CHARS_MIN).collect()
}

fn without_words(value: &Value, text: &impl Fn(String) -> String) -> Value {
    match value {
        Value::String(s) => Value::String(text(s.clone())),
        Value::Array(items) => items.iter().map(|v| without_words(v, text)).collect(),
        Value::Object(fields) => fields.iter().map(|(k, v)| (k.clone(), without_words(v, text))).collect(),
        other => other.clone(),
    }
}
