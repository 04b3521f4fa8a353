//! Registers that two people set without having seen each other. Both values are kept; one is displayed meanwhile; whoever may
//! edit the field settles it by writing a value.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;
use crate::shape::FieldValue;

/// One register with more than one standing value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Which register: `category`, `place.detail`, `parties.ID.phone`.
    pub path: String,
    /// The standing values; the displayed one first.
    pub values: Vec<ConflictValue>,
}

/// One of the standing values of a register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictValue {
    /// The value.
    pub value: FieldValue,
    /// The identity of the writing, stable on all replicas.
    pub write: String,
    /// Who wrote it, once a server has vouched for the actor.
    pub by: Option<UserId>,
    /// When, as its author says, ms UTC.
    pub at_ms: i64,
}
