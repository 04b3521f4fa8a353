//! A patrol record as a screen shows it.

use std::collections::HashMap;

use sync_core::patrol::PatrolState;

use super::{AttachmentView, ConflictView, ItemView, PassageView, TimelineView};
use crate::value::{FieldMap, fields_out};

/// A patrol record.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct PatrolView {
    /// Its id.
    pub id: String,
    /// The community whose journal it belongs to.
    pub community: String,
    /// Who created it.
    pub created_by: String,
    /// When, as its creator says.
    pub created_ms: i64,
    /// `open`, `hazards_open` or `done`.
    pub status: String,
    /// Registers that hold something, checklist answers included.
    pub fields: FieldMap,
    /// What was found.
    pub hazards: Vec<ItemView>,
    /// The ids of hazards that were put right.
    pub hazards_rectified: Vec<String>,
    /// Case files that this patrol gave rise to.
    pub cases: Vec<ItemView>,
    /// Remarks.
    pub notes: String,
    /// What is attached.
    pub attachments: Vec<AttachmentView>,
    /// Everything that happened.
    pub timeline: Vec<TimelineView>,
    /// Registers that wait to be settled.
    pub conflicts: Vec<ConflictView>,
    /// Passages that wait to be confirmed.
    pub passages: Vec<PassageView>,
    /// Checklist items answered `problem`.
    pub problems: Vec<String>,
    /// Leaflets given out.
    pub leaflets: i64,
    /// Names of the people who wrote, by account, as the server vouches for them.
    pub people: HashMap<String, String>,
}

impl From<&PatrolState> for PatrolView {
    fn from(s: &PatrolState) -> Self {
        Self {
            id: s.id.to_string(),
            community: s.community.to_string(),
            created_by: s.created_by.to_string(),
            created_ms: s.created_ms,
            status: s.status.as_str().to_owned(),
            fields: fields_out(&s.fields),
            hazards: super::items(&s.hazards),
            hazards_rectified: s.hazards_rectified.clone(),
            cases: super::items(&s.cases),
            notes: s.notes.clone(),
            attachments: super::attachments(&s.attachments),
            timeline: s.timeline.iter().map(TimelineView::from).collect(),
            conflicts: super::conflicts(&s.conflicts),
            passages: super::passages(&s.passages),
            problems: s.problems.clone(),
            leaflets: s.leaflets,
            people: super::people(&s.people),
        }
    }
}
