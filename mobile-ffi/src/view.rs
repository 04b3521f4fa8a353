//! What a screen shows: plain records made from folded state. Ids and codes are text; times are milliseconds since 1970 UTC.

mod case;
mod list;
mod patrol;
mod timeline;

pub use case::{CaseView, ClosedWithoutKnowingView, EvidenceView, ObligationView};
pub use list::{
    DocumentStatusView, LeftOutView, ListFilterInput, RefusedChangeView, RefusedDecisionView, RowView,
    StandingCountsView, StatusView,
};
pub use patrol::PatrolView;
pub use timeline::{TimelineView, WithdrawalView, WitnessView};

use std::collections::{BTreeMap, HashMap};

use sync_core::case::{Attachment, Item};
use sync_core::conflict::Conflict;
use sync_core::ids::UserId;
use sync_core::text::PassageFlag;

use crate::value::{FieldMap, FieldValue, fields_out};

/// A party, statement, hazard or linked case.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct ItemView {
    /// Its id, used in paths such as `parties.ID.phone`.
    pub id: String,
    /// Its registers that hold something.
    pub fields: FieldMap,
    /// Its text, where it has one.
    pub text: Option<String>,
}

/// Something attached by the hash of its content.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct AttachmentView {
    /// SHA-256 of the content, hexadecimal.
    pub hash: String,
    /// File name for people.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was taken, as its author says.
    pub taken_ms: Option<i64>,
    /// Where it was taken, as its author says.
    pub location: Option<crate::edits::LocationView>,
    /// Who attached it.
    pub by: String,
}

/// A register that two people set without having seen each other.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct ConflictView {
    /// Which register.
    pub path: String,
    /// The standing values; the displayed one first.
    pub values: Vec<ConflictValueView>,
}

/// One of the standing values.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct ConflictValueView {
    /// The value.
    pub value: FieldValue,
    /// Who wrote it, once a server has vouched for it.
    pub by: Option<String>,
    /// When, as its author says.
    pub at_ms: i64,
}

/// A passage that two people wrote at once.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PassageView {
    /// Names it when it is confirmed.
    pub flag: String,
    /// Which text.
    pub text: String,
    /// As it reads now, merged.
    pub merged: String,
    /// What each author had written.
    pub versions: Vec<PassageVersionView>,
}

/// What one author had written in a passage.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PassageVersionView {
    /// Who, once a server has vouched for it.
    pub by: Option<String>,
    /// When, as its author says.
    pub at_ms: i64,
    /// The passage as that author left it.
    pub passage: String,
}

fn items(items: &BTreeMap<String, Item>) -> Vec<ItemView> {
    let view = |(id, item): (&String, &Item)| ItemView {
        id: id.clone(),
        fields: fields_out(&item.fields),
        text: item.text.clone(),
    };
    items.iter().map(view).collect()
}

fn attachments(attachments: &BTreeMap<String, Attachment>) -> Vec<AttachmentView> {
    let view = |(hash, a): (&String, &Attachment)| AttachmentView {
        hash: hash.clone(),
        name: a.name.clone(),
        media_type: a.media_type.clone(),
        bytes: a.bytes,
        taken_ms: a.taken_ms,
        location: a.location.map(Into::into),
        by: a.by.to_string(),
    };
    attachments.iter().map(view).collect()
}

fn conflicts(conflicts: &[Conflict]) -> Vec<ConflictView> {
    let view = |c: &Conflict| ConflictView {
        path: c.path.clone(),
        values: c
            .values
            .iter()
            .map(|v| ConflictValueView { value: (&v.value).into(), by: v.by.map(|u| u.to_string()), at_ms: v.at_ms })
            .collect(),
    };
    conflicts.iter().map(view).collect()
}

fn passages(flags: &[PassageFlag]) -> Vec<PassageView> {
    let view = |p: &PassageFlag| PassageView {
        flag: p.flag.clone(),
        text: p.text.clone(),
        merged: p.merged.clone(),
        versions: p
            .versions
            .iter()
            .map(|v| PassageVersionView { by: v.by.map(|u| u.to_string()), at_ms: v.at_ms, passage: v.passage.clone() })
            .collect(),
    };
    flags.iter().map(view).collect()
}

fn people(people: &BTreeMap<UserId, String>) -> HashMap<String, String> {
    people.iter().map(|(id, name)| (id.to_string(), name.clone())).collect()
}
