//! Where an object stands in the shape of its document.

use automerge::ObjType;

use super::grammar::SERVER_SECTIONS;
use crate::shape::Shape;

/// Where an object stands in the shape of its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Meta,
    Section(String),
    Collection(&'static str),
    Item(&'static str, String),
    Text(String),
    Events,
    Attachments,
    ServerSection(String),
    Unknown,
}

/// The one place of an object in its parent, by shape.
pub(super) fn place_below(shape: &Shape, parent: &Place, key: &str, kind: ObjType) -> Option<Place> {
    Some(match (parent, kind) {
        (Place::Root, ObjType::Map) => match key {
            "meta" => Place::Meta,
            "events" => Place::Events,
            "attachments" => Place::Attachments,
            k if SERVER_SECTIONS.contains(&k) => Place::ServerSection(k.to_owned()),
            k => match shape.collection(k) {
                Some(c) => Place::Collection(c.name),
                None => Place::Section(shape.sections().find(|s| *s == k)?.to_owned()),
            },
        },
        (Place::Root, ObjType::Text) => Place::Text((*shape.texts.iter().find(|t| **t == key)?).to_owned()),
        (Place::Collection(c), ObjType::Map) if uuid::Uuid::parse_str(key).is_ok() => Place::Item(c, key.to_owned()),
        (Place::Item(c, id), ObjType::Text) if key == "text" && shape.collection(c)?.has_text => {
            Place::Text(format!("{c}.{id}"))
        }
        _ => return None,
    })
}
