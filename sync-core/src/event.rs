//! The vocabulary of what happens in the life of a case or patrol. An event is written once and never changed; a kind that this
//! program does not know is kept and shown as it is.

mod vocabulary;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{DeviceId, EventId, UserId};
use crate::role::{Level, Role};
use crate::time::{TimeClaim, Witness};

pub use vocabulary::{BodyField, BodyType, EventKind, KindSpec, VOCABULARY};

/// Who wrote an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Author {
    /// The account.
    pub user: UserId,
    /// In which role.
    pub role: Role,
    /// At which level that role was given; `None` for the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// On which phone; `None` at a desk of the hall and for the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
}

impl Author {
    /// The server itself.
    pub fn system() -> Self {
        Self { user: UserId::SYSTEM, role: Role::System, level: None, device: None }
    }
}

/// The body of an event: names of the vocabulary to JSON values. Fields that the vocabulary does not know are kept.
pub type Body = BTreeMap<String, Value>;

/// An event as it stands in a document, as one JSON string under its id. It is a single register because it is written once:
/// a map of registers could be changed field by field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Who wrote it.
    pub by: Author,
    /// When its author says it was written.
    pub at: TimeClaim,
    /// The newest events that its author had seen: the causal frontier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<EventId>,
    /// What the kind asks for.
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
    /// What a later version added; carried along untouched.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Event {
    /// A text of the body, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }
}

/// Why an event has no effect where it lands. Kept, shown greyed, never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MootReason {
    /// Somebody else had done the same already.
    AlreadyDone,
    /// The case was already closed.
    CaseClosed,
    /// The case was not closed.
    CaseNotClosed,
    /// The case has not been received by the hall.
    NotAccepted,
    /// No agreement stands.
    NoAgreement,
    /// A party refused mediation and has not consented since.
    ConsentRefused,
    /// There is nothing to close: neither resolved nor ended otherwise.
    NotResolved,
    /// The case is already at this level or above.
    AlreadyAtLevel,
    /// The event it refers to is not there, or has no effect itself.
    ReferenceMoot,
    /// No department was summoned.
    NotSummoned,
    /// The body lacks what the kind asks for.
    BodyIncomplete,
    /// A program newer than this one wrote a kind that this one does not know.
    UnknownKind,
}

impl MootReason {
    /// The stable code as text.
    pub fn as_str(self) -> &'static str {
        match self {
            MootReason::AlreadyDone => "already_done",
            MootReason::CaseClosed => "case_closed",
            MootReason::CaseNotClosed => "case_not_closed",
            MootReason::NotAccepted => "not_accepted",
            MootReason::NoAgreement => "no_agreement",
            MootReason::ConsentRefused => "consent_refused",
            MootReason::NotResolved => "not_resolved",
            MootReason::AlreadyAtLevel => "already_at_level",
            MootReason::ReferenceMoot => "reference_moot",
            MootReason::NotSummoned => "not_summoned",
            MootReason::BodyIncomplete => "body_incomplete",
            MootReason::UnknownKind => "unknown_kind",
        }
    }
}

/// An event as the fold sees it, in its place in the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// Its identity.
    pub id: EventId,
    /// What happened.
    pub kind: EventKind,
    /// Who wrote it.
    pub by: Author,
    /// When its author says.
    pub at: TimeClaim,
    /// What its author had seen.
    pub after: Vec<EventId>,
    /// What the kind asks for.
    pub body: Body,
    /// What the server wrote down when it arrived; `None` while no server has seen it.
    pub witness: Option<Witness>,
    /// Set when it has no effect.
    pub moot: Option<MootReason>,
    /// Set on an escalation that later evidence or a person withdrew.
    pub withdrawn: Option<Withdrawal>,
}

impl TimelineEntry {
    /// True when it has its effect: neither moot nor withdrawn.
    pub fn stands(&self) -> bool {
        self.moot.is_none() && self.withdrawn.is_none()
    }

    /// The latest moment at which it can have been written, ms UTC: trusted if witnessed, else its author's claim.
    pub fn latest_ms(&self) -> i64 {
        self.witness.map_or(self.at.hlc.wall_ms, |w| w.latest_ms)
    }

    /// A text of the body, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name).and_then(Value::as_str)
    }

    /// A truth value of the body; `false` when absent.
    pub fn flag(&self, name: &str) -> bool {
        self.body.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A whole number of the body, if it is there.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.body.get(name).and_then(Value::as_i64)
    }

    /// An event that the body refers to.
    pub fn reference(&self, name: &str) -> Option<EventId> {
        self.text(name).and_then(|t| t.parse().ok())
    }
}

/// How an escalation came to be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The event that shows the obligation had been met, or by which a person withdrew it.
    pub by: EventId,
    /// True when trusted time alone proved it; false when a person decided.
    pub automatic: bool,
}
