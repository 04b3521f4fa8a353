//! Events as a screen shows them, in the one order that all replicas agree on. A moot event is shown with its reason.

use sync_core::event::TimelineEntry;
use sync_core::time::{TimeBasis, Witness};

use crate::value::{FieldMap, fields_out};

/// One event.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct TimelineView {
    /// Its id.
    pub id: String,
    /// What happened: a name of the vocabulary, or one of a newer program.
    pub kind: String,
    /// The account that wrote it.
    pub by: String,
    /// In which role.
    pub role: String,
    /// At which level that role was given; nothing for the server itself.
    pub level: Option<String>,
    /// On which phone; nothing at a desk.
    pub device: Option<String>,
    /// When its author says.
    pub claimed_ms: i64,
    /// What the kind asks for.
    pub body: FieldMap,
    /// What the server wrote down when it arrived; nothing while no server has seen it.
    pub witness: Option<WitnessView>,
    /// The code of the reason why it has no effect; nothing when it has.
    pub moot: Option<String>,
    /// Set on an escalation that was withdrawn.
    pub withdrawn: Option<WithdrawalView>,
}

/// What the server vouches for.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WitnessView {
    /// When it arrived.
    pub received_ms: i64,
    /// It cannot have been written before this.
    pub earliest_ms: i64,
    /// It cannot have been written after this.
    pub latest_ms: i64,
    /// `server`, `anchored`, `claimed` or `local`.
    pub basis: String,
}

/// How an escalation came to be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct WithdrawalView {
    /// The event that showed it, or by which a person withdrew it.
    pub by_event: String,
    /// True when trusted time alone proved it.
    pub automatic: bool,
}

impl From<&Witness> for WitnessView {
    fn from(w: &Witness) -> Self {
        let basis = match w.basis {
            TimeBasis::Server => "server",
            TimeBasis::Anchored => "anchored",
            TimeBasis::Claimed => "claimed",
            TimeBasis::Local => "local",
        };
        Self { received_ms: w.received_ms, earliest_ms: w.earliest_ms, latest_ms: w.latest_ms, basis: basis.to_owned() }
    }
}

impl From<&TimelineEntry> for TimelineView {
    fn from(e: &TimelineEntry) -> Self {
        Self {
            id: e.id.to_string(),
            kind: e.kind.to_string(),
            by: e.by.user.to_string(),
            role: e.by.role.as_str().to_owned(),
            level: e.by.level.map(|l| l.as_str().to_owned()),
            device: e.by.device.map(|d| d.to_string()),
            claimed_ms: e.at.hlc.wall_ms,
            body: fields_out(&e.body),
            witness: e.witness.as_ref().map(WitnessView::from),
            moot: e.moot.map(|m| m.as_str().to_owned()),
            withdrawn: e
                .withdrawn
                .as_ref()
                .map(|w| WithdrawalView { by_event: w.by.to_string(), automatic: w.automatic }),
        }
    }
}
