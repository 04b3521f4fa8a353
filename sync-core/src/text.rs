//! Passages of a collaborative text that two people wrote without having seen each other. The merged text is kept, but nobody is
//! shown a sentence that nobody wrote without being told.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// A passage that needs a reader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassageFlag {
    /// Stable on all replicas; named by the event that confirms it.
    pub flag: String,
    /// Which text: `narrative`, `notes`, `statements.ID`.
    pub text: String,
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
