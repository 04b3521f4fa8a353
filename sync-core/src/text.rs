//! Passages of a collaborative text that two people wrote without having seen each other. The merged text is kept, but nobody is
//! shown a sentence that nobody wrote without being told.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// Whether every database can keep it: PostgreSQL takes no NUL, and one such text would hold up everything sent along with it.
pub fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

/// Whether every text in it is storable, names included.
pub fn is_storable_json(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => is_storable(text),
        Value::Array(items) => items.iter().all(is_storable_json),
        Value::Object(fields) => fields.iter().all(|(name, v)| is_storable(name) && is_storable_json(v)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A passage that needs a reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassageFlag {
    /// Stable on all replicas; named by the event that confirms it.
    pub flag: String,
    /// Which text: `narrative`, `notes`, `statements.ID`.
    pub text: String,
    /// Where the passage begins in the text as it reads now, in characters.
    #[serde(default)]
    pub start: usize,
    /// The passage as it reads now, merged.
    pub merged: String,
    /// What each author had written, whole sentences.
    pub versions: Vec<PassageVersion>,
}

/// What one author had written in a flagged passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassageVersion {
    /// Who, once a server has vouched for the actor.
    pub by: Option<UserId>,
    /// When, as its author says, ms UTC.
    pub at_ms: i64,
    /// The passage as that author left it.
    pub passage: String,
}
