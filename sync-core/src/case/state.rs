//! What a case file folds to: the state that lists, pages, rules and countdowns read. Never stored in the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attachments::Location;
use crate::conflict::Conflict;
use crate::document::{Acceptance, ChangeHash};
use crate::event::TimelineEntry;
use crate::ids::{AreaCode, DocumentId, EventId, UserId};
use crate::role::Level;
use crate::shape::FieldValue;
use crate::text::PassageFlag;

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// 已上报: told, not yet received by a hall.
    Reported,
    /// 已受理.
    Accepted,
    /// 已分派.
    Assigned,
    /// 调解中.
    Mediating,
    /// 已达成协议.
    Agreed,
    /// 调解终止: mediation ended without agreement.
    Terminated,
    /// 已移送: another body handles it.
    Transferred,
    /// 不予受理.
    Rejected,
    /// 已并案: another file goes on.
    Merged,
    /// 已化解.
    Resolved,
    /// 已办结.
    Closed,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 11] = [
        Status::Reported,
        Status::Accepted,
        Status::Assigned,
        Status::Mediating,
        Status::Agreed,
        Status::Terminated,
        Status::Transferred,
        Status::Rejected,
        Status::Merged,
        Status::Resolved,
        Status::Closed,
    ];

    /// The name in tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Reported => "reported",
            Status::Accepted => "accepted",
            Status::Assigned => "assigned",
            Status::Mediating => "mediating",
            Status::Agreed => "agreed",
            Status::Terminated => "terminated",
            Status::Transferred => "transferred",
            Status::Rejected => "rejected",
            Status::Merged => "merged",
            Status::Resolved => "resolved",
            Status::Closed => "closed",
        }
    }

    /// Reads the name back.
    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// True while somebody still has to do something about the dispute itself.
    pub fn is_open(self) -> bool {
        matches!(
            self,
            Status::Reported
                | Status::Accepted
                | Status::Assigned
                | Status::Mediating
                | Status::Agreed
                | Status::Terminated
        )
    }
}

/// An item of a collection: a party, a statement, a hazard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its registers that hold something.
    pub fields: BTreeMap<String, FieldValue>,
    /// Its text, where the collection has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Something attached by the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// File name for people.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was taken, ms UTC, as its author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_ms: Option<i64>,
    /// Where it was taken, as its author says. The file itself tells it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Who attached it.
    pub by: UserId,
    /// What a later version added.
    #[serde(flatten)]
    pub other: BTreeMap<String, FieldValue>,
}

/// A case that was closed by somebody who had not seen new facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedWithoutKnowing {
    /// The closing event.
    pub closure: EventId,
    /// The new facts that its author had not seen.
    pub unseen: Vec<EventId>,
}

/// An escalation with late evidence that a person has to judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidencePending {
    /// The escalation.
    pub escalation: EventId,
    /// The late event.
    pub evidence: EventId,
    /// Why it was not withdrawn by itself.
    pub why: PendingReason,
}

/// Why late evidence needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingReason {
    /// Only the phone's own clock says that it was in time.
    OnlyClaimed,
    /// The higher level has already acted.
    LevelActed,
}

/// What a case file adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Parties that stand.
    pub parties: u32,
    /// The most people that one of them represents: representatives of the same people are not added up.
    pub people_represented: i64,
    /// Statements taken.
    pub statements: u32,
    /// Mediation sessions held.
    pub mediation_sessions: u32,
    /// Departments that came when they were summoned.
    pub departments_reported_in: u32,
    /// Escalations that stand.
    pub escalations: u32,
    /// Follow-ups made.
    pub follow_ups: u32,
}

/// The state of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseState {
    /// The document.
    pub id: DocumentId,
    /// The community whose journal it belongs to.
    pub community: AreaCode,
    /// Who created it.
    pub created_by: UserId,
    /// When, as its creator says, ms UTC.
    pub created_ms: i64,
    /// Where it stands.
    pub status: Status,
    /// The hall it lies with.
    pub level: Level,
    /// The highest level it has been at.
    pub level_highest: Level,
    /// Who is charged with it.
    pub assignee: Option<UserId>,
    /// The file number given at acceptance.
    pub file_number: Option<String>,
    /// Registers that hold something; displayed value of each.
    pub fields: BTreeMap<String, FieldValue>,
    /// The parties, removed ones left out.
    pub parties: BTreeMap<String, Item>,
    /// The statements.
    pub statements: BTreeMap<String, Item>,
    /// The story.
    pub narrative: String,
    /// What is attached, by content hash.
    pub attachments: BTreeMap<String, Attachment>,
    /// Everything that happened, in the one order all replicas agree on.
    pub timeline: Vec<TimelineEntry>,
    /// Registers that two people set without having seen each other.
    pub conflicts: Vec<Conflict>,
    /// Passages that two people wrote at once, not yet confirmed.
    pub passages: Vec<PassageFlag>,
    /// Closed by somebody who had not seen new facts, not yet confirmed.
    pub closed_without_knowing: Vec<ClosedWithoutKnowing>,
    /// Escalations with late evidence that a person has to judge.
    pub evidence_pending: Vec<EvidencePending>,
    /// Sum agreed, fen, of the agreement that stands.
    pub amount_agreed: Option<i64>,
    /// What the file adds up to.
    pub totals: Totals,
    /// Names of the people who wrote, as the server vouches for them.
    pub people: BTreeMap<UserId, String>,
    /// Changes that were refused and that a person let in after all, by their hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<ChangeHash, Acceptance>,
}

impl CaseState {
    /// A text register.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.fields.get(path).and_then(FieldValue::as_str)
    }

    /// A number register.
    pub fn number(&self, path: &str) -> Option<i64> {
        self.fields.get(path).and_then(FieldValue::as_i64)
    }

    /// A truth register; `false` when empty.
    pub fn flag(&self, path: &str) -> bool {
        self.fields.get(path).and_then(FieldValue::as_bool).unwrap_or(false)
    }

    /// The entry of this event.
    pub fn entry(&self, id: EventId) -> Option<&TimelineEntry> {
        self.timeline.iter().find(|e| e.id == id)
    }

    /// True when a supervisor has something to decide before this file can rest.
    pub fn needs_review(&self) -> bool {
        !(self.conflicts.is_empty()
            && self.passages.is_empty()
            && self.closed_without_knowing.is_empty()
            && self.evidence_pending.is_empty())
    }
}
