//! Lists, what was refused, and how far a phone is in step. Rows come from the store's list table; no document is loaded for them.

use sync_core::phone::{DocumentStatus, LeftOut, SyncStatus};
use sync_core::store::list::{ListFilter, ListRow};
use sync_core::store::outbox::RefusedChange;

use crate::error::Result;
use crate::library::document_id;

/// What a list is narrowed to. Everything is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, uniffi::Record)]
pub struct ListFilterInput {
    /// A status.
    #[uniffi(default = None)]
    pub status: Option<String>,
    /// A level.
    #[uniffi(default = None)]
    pub level: Option<String>,
    /// Words that must occur; two characters are enough.
    #[uniffi(default = None)]
    pub text: Option<String>,
    /// Only what somebody must look at, or only what nobody must.
    #[uniffi(default = None)]
    pub needs_review: Option<bool>,
    /// Only what has unsent changes, or only what has none.
    #[uniffi(default = None)]
    pub unsynced: Option<bool>,
    /// At most so many; 200 by default, 1,000 at most.
    #[uniffi(default = None)]
    pub limit: Option<u32>,
    /// Begin behind this record, the last of the page before.
    #[uniffi(default = None)]
    pub after: Option<String>,
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RowView {
    /// The record.
    pub id: String,
    /// `case` or `patrol`.
    pub kind: String,
    /// Its community.
    pub community: String,
    /// Given, or the beginning of the text.
    pub title: String,
    /// Where it stands.
    pub status: String,
    /// The hall it lies with; nothing for a patrol.
    pub level: Option<String>,
    /// Code of the table `category`.
    pub category: Option<String>,
    /// Its grid.
    pub grid: Option<String>,
    /// Its building.
    pub building: Option<String>,
    /// When it was made.
    pub created_ms: i64,
    /// When it was last changed, by the authors' clocks.
    pub changed_ms: i64,
    /// When the next thing is due.
    pub due_ms: Option<i64>,
    /// Registers in conflict.
    pub conflicts: i64,
    /// Flagged passages.
    pub passages: i64,
    /// Whether somebody must look at it.
    pub needs_review: bool,
    /// Since when the record itself is on the server only; it was closed long ago and comes after `fetch_record`.
    pub away_ms: Option<i64>,
}

/// A change that the server refused. It is in quarantine there, where a person can still accept it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RefusedChangeView {
    /// The record.
    pub document: String,
    /// Why: a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// What the person had written, to read or to use again.
    pub words: String,
    /// When the phone learned of it.
    pub refused_ms: i64,
    /// Names the change: to discard it when it was decided about.
    pub hash: String,
    /// What people at the hall decided; nothing while it waits.
    pub decision: Option<RefusedDecisionView>,
}

/// What became of a refused change.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RefusedDecisionView {
    /// True: it is in the record now. False: it was dismissed.
    pub accepted: bool,
    /// What people call who decided.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, ms UTC.
    pub decided_ms: i64,
}

/// How this phone stands with the server.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct StatusView {
    /// Changes that no server has acknowledged.
    pub unsent: u64,
    /// Changes that the server refused.
    pub refused: u64,
    /// When the last sync came to its end with everything acknowledged, by the server's clock.
    pub last_complete_ms: Option<i64>,
    /// This phone's wall clock less the server's, at the last contact.
    pub clock_offset_ms: Option<i64>,
    /// How many records stand where.
    pub records: StandingCountsView,
    /// Attachments made here that are still to be sent.
    pub attachments_waiting: u64,
    /// What is still to be sent of them, bytes.
    pub attachments_waiting_bytes: u64,
    /// Attachments made here that the server does not want; `attachment_statuses` of their records say why.
    pub attachments_refused: u64,
    /// Records that the last sync left out, the first of them; empty when it was complete.
    pub left_out: Vec<LeftOutView>,
    /// How many it left out in all.
    pub left_out_count: u64,
}

/// How many things stand where; see `DocumentStatusView`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, uniffi::Record)]
pub struct StandingCountsView {
    /// On this phone only, or some of it.
    pub only_here: u64,
    /// Sent, and not answered yet.
    pub on_its_way: u64,
    /// On the server.
    pub on_server: u64,
    /// Refused, or some of it.
    pub refused: u64,
}

/// A record that a sync has left out.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LeftOutView {
    /// The record.
    pub document: String,
    /// A stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// Changes of it that are still on this phone only.
    pub changes: u64,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum DocumentStatusView {
    /// Some of it is on this phone only.
    OnlyHere,
    /// All that is not on the server was sent, and nobody has answered yet.
    OnItsWay {
        /// Since when, by the phone's idea of the server's time.
        since_ms: i64,
    },
    /// All of it is on the server.
    OnServer {
        /// Since when, by the server's clock.
        since_ms: i64,
    },
    /// Some of it was refused; the rest is on the server.
    Refused,
}

impl ListFilterInput {
    pub(crate) fn into_core(self) -> Result<ListFilter> {
        Ok(ListFilter {
            status: self.status,
            level: self.level,
            text: self.text,
            needs_review: self.needs_review,
            unsynced: self.unsynced,
            limit: self.limit,
            after: self.after.map(|id| document_id("record", &id)).transpose()?,
        })
    }
}

impl From<&ListRow> for RowView {
    fn from(r: &ListRow) -> Self {
        Self {
            id: r.document.to_string(),
            kind: r.kind.as_str().to_owned(),
            community: r.community.clone(),
            title: r.title.clone(),
            status: r.status.clone(),
            level: r.level.clone(),
            category: r.category.clone(),
            grid: r.grid.clone(),
            building: r.building.clone(),
            created_ms: r.created_ms,
            changed_ms: r.changed_ms,
            due_ms: r.due_ms,
            conflicts: r.conflicts,
            passages: r.passages,
            needs_review: r.needs_review,
            away_ms: r.away_ms,
        }
    }
}

impl From<&RefusedChange> for RefusedChangeView {
    fn from(r: &RefusedChange) -> Self {
        Self {
            document: r.document.to_string(),
            code: r.code.clone(),
            detail: r.detail.clone(),
            words: r.words.clone(),
            refused_ms: r.refused_ms,
            hash: r.hash.to_hex(),
            decision: r.decision.as_ref().map(|d| RefusedDecisionView {
                accepted: d.accepted,
                by: d.by.clone(),
                reason: d.reason.clone(),
                decided_ms: d.decided_ms,
            }),
        }
    }
}

impl From<&SyncStatus> for StatusView {
    fn from(s: &SyncStatus) -> Self {
        Self {
            unsent: s.pending,
            refused: s.refused,
            last_complete_ms: s.last_complete_ms,
            clock_offset_ms: s.clock_offset_ms,
            records: StandingCountsView {
                only_here: s.records.only_here,
                on_its_way: s.records.on_its_way,
                on_server: s.records.on_server,
                refused: s.records.refused,
            },
            attachments_waiting: s.attachments.waiting,
            attachments_waiting_bytes: s.attachments.waiting_bytes,
            attachments_refused: s.attachments.refused,
            left_out: s.incomplete.iter().flat_map(|i| &i.left_out).map(LeftOutView::from).collect(),
            left_out_count: s.incomplete.as_ref().map_or(0, |i| i.records),
        }
    }
}

impl From<&LeftOut> for LeftOutView {
    fn from(l: &LeftOut) -> Self {
        Self { document: l.document.to_string(), code: l.code.clone(), detail: l.detail.clone(), changes: l.changes }
    }
}

impl From<DocumentStatus> for DocumentStatusView {
    fn from(s: DocumentStatus) -> Self {
        match s {
            DocumentStatus::OnlyHere => Self::OnlyHere,
            DocumentStatus::OnItsWay(since_ms) => Self::OnItsWay { since_ms },
            DocumentStatus::OnServerSince(since_ms) => Self::OnServer { since_ms },
            DocumentStatus::Refused => Self::Refused,
        }
    }
}
