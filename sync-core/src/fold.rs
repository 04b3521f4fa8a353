//! The fold: the pure function from a document to its state. It reads nothing but the document, so that any two replicas with the
//! same changes show the same state, whatever order the changes came in. An event that makes no sense where it lands is kept and
//! shown as moot with its reason; nothing here fails or panics.

mod case;
mod offer;
mod order;
mod passages;
mod patrol;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::case::{CaseState, Item};
use crate::conflict::{Conflict, ConflictValue};
use crate::document::{Document, Register};
use crate::ids::{ActorId, UserId};
use crate::shape::FieldValue;

pub use case::{allowed_now, fold_case};
pub use offer::would_stand;
pub use order::Causality;
pub use patrol::fold_patrol;

/// The state of a case file, kept with the document until it changes: a long file is folded once for whoever asks.
pub fn folded_case(document: &Document) -> Arc<CaseState> {
    document.derive(fold_case)
}

/// The parts that every kind of document folds alike.
struct Parts {
    fields: BTreeMap<String, FieldValue>,
    collections: BTreeMap<&'static str, BTreeMap<String, Item>>,
    conflicts: Vec<Conflict>,
    actors: BTreeMap<ActorId, UserId>,
}

fn parts(document: &Document) -> Parts {
    let actors = document.actors();
    let mut fields = BTreeMap::new();
    let mut conflicts = Vec::new();
    let mut collections: BTreeMap<&'static str, BTreeMap<String, Item>> = BTreeMap::new();
    for collection in document.shape().collections {
        let items = collections.entry(collection.name).or_default();
        for id in document.items(collection.name) {
            let text = if collection.has_text { document.text(&format!("{}.{id}", collection.name)) } else { None };
            items.insert(id, Item { fields: BTreeMap::new(), text });
        }
    }
    for register in document.registers() {
        if register.standing.len() > 1 {
            conflicts.push(conflict(&register, &actors));
        }
        if register.value.is_null() {
            continue;
        }
        let Register { path, value, .. } = register;
        let item = path.split_once('.').and_then(|(c, rest)| Some((c, rest.split_once('.')?)));
        let slot = item.and_then(|(c, (id, key))| Some((collections.get_mut(c)?.get_mut(id)?, key)));
        match slot {
            Some((item, key)) => {
                item.fields.insert(key.to_owned(), value);
            }
            None => {
                fields.insert(path, value);
            }
        }
    }
    Parts { fields, collections, conflicts, actors }
}

fn conflict(register: &Register, actors: &BTreeMap<ActorId, UserId>) -> Conflict {
    let values = register.standing.iter().map(|v| ConflictValue {
        value: v.value.clone(),
        write: v.write.clone(),
        by: v.actor.and_then(|a| actors.get(&a).copied()),
        at_ms: v.at_ms,
    });
    Conflict { path: register.path.clone(), values: values.collect() }
}
