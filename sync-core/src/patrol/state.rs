//! What a patrol record folds to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::case::{Attachment, Item};
use crate::conflict::Conflict;
use crate::document::{Acceptance, ChangeHash};
use crate::event::{EventKind, TimelineEntry};
use crate::ids::{AreaCode, DocumentId, UserId};
use crate::shape::FieldValue;
use crate::text::PassageFlag;

/// Where a patrol stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatrolStatus {
    /// On the way.
    Open,
    /// Ended, with hazards that are not put right yet.
    HazardsOpen,
    /// Ended, nothing left to do.
    Done,
}

impl PatrolStatus {
    /// The name in tables and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            PatrolStatus::Open => "open",
            PatrolStatus::HazardsOpen => "hazards_open",
            PatrolStatus::Done => "done",
        }
    }
}

/// The state of a patrol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PatrolState {
    /// The document.
    pub id: DocumentId,
    /// The community whose journal it belongs to.
    pub community: AreaCode,
    /// Who created it.
    pub created_by: UserId,
    /// When, as its creator says, ms UTC.
    pub created_ms: i64,
    /// Where it stands.
    pub status: PatrolStatus,
    /// Registers that hold something; displayed value of each, checklist answers included.
    pub fields: BTreeMap<String, FieldValue>,
    /// What was found.
    pub hazards: BTreeMap<String, Item>,
    /// The ids of hazards that were put right.
    pub hazards_rectified: Vec<String>,
    /// Case files that this patrol gave rise to.
    pub cases: BTreeMap<String, Item>,
    /// Remarks.
    pub notes: String,
    /// What is attached, by content hash.
    pub attachments: BTreeMap<String, Attachment>,
    /// Everything that happened.
    pub timeline: Vec<TimelineEntry>,
    /// Registers that two people set without having seen each other.
    pub conflicts: Vec<Conflict>,
    /// Passages that two people wrote at once, not yet confirmed.
    pub passages: Vec<PassageFlag>,
    /// Checklist items answered `problem`.
    pub problems: Vec<String>,
    /// Leaflets given out, from the register and from publicity events.
    pub leaflets: i64,
    /// Names of the people who wrote, as the server vouches for them.
    pub people: BTreeMap<UserId, String>,
    /// Changes that were refused and that a person let in after all, by their hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<ChangeHash, Acceptance>,
}

impl PatrolState {
    /// The event by which a hazard was put right, if it was.
    pub fn rectification(&self, hazard: &str) -> Option<&TimelineEntry> {
        let done =
            |e: &&TimelineEntry| e.kind == EventKind::HazardRectified && e.stands() && e.text("hazard") == Some(hazard);
        self.timeline.iter().find(done)
    }
}
