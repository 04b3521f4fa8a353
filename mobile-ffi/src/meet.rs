//! Meeting another phone without a network: the host finds it and carries the messages; the core says what is in them.

use std::sync::{Arc, Mutex, PoisonError};

use sync_core::phone::{MeetPeer, MeetReport, MeetState, Meeting};

use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;

/// Who the other phone is, by the certificate that the server gave it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct MeetPeerView {
    /// The phone.
    pub device: String,
    /// Its holder's name.
    pub name: String,
    /// What he is charged with, such as `grid_worker@GM-BIYAN-01`.
    pub roles: Vec<String>,
    /// Whether the two have met before.
    pub known: bool,
}

/// What a meeting brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct MeetReportView {
    /// Changes given that the server has.
    pub given: u64,
    /// Bundles given that no server has yet.
    pub given_bundles: u64,
    /// Changes that are new here.
    pub received: u64,
    /// What was offered and not taken: not to be seen here, not applicable, or no room.
    pub left_out: u64,
}

/// How far a meeting has come.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum MeetStateView {
    /// The other has not shown yet who it is.
    Greeting,
    /// The two have never met: show who it is, and call `agree` when the person does.
    Introduced {
        /// The other.
        peer: MeetPeerView,
    },
    /// The two are exchanging.
    Exchanging {
        /// The other.
        peer: MeetPeerView,
    },
    /// Everything was said, and what came is stored.
    Over {
        /// What it brought.
        report: MeetReportView,
    },
}

impl From<MeetPeer> for MeetPeerView {
    fn from(peer: MeetPeer) -> Self {
        let roles = peer.roles.iter().map(|(role, area)| format!("{role}@{area}")).collect();
        Self { device: peer.device.to_string(), name: peer.name, roles, known: peer.known }
    }
}

impl From<MeetState> for MeetStateView {
    fn from(state: MeetState) -> Self {
        let report = |r: MeetReport| MeetReportView {
            given: r.given,
            given_bundles: r.given_bundles,
            received: r.received,
            left_out: r.left_out,
        };
        match state {
            MeetState::Greeting => Self::Greeting,
            MeetState::Introduced(peer) => Self::Introduced { peer: peer.into() },
            MeetState::Exchanging(peer) => Self::Exchanging { peer: peer.into() },
            MeetState::Over(r) => Self::Over { report: report(r) },
        }
    }
}

/// A meeting under way. The messages of one phone must reach the other in order and whole. Dropping it ends it; nothing is kept
/// before its end.
#[derive(uniffi::Object)]
pub struct PhoneMeeting(Mutex<Meeting>);

#[uniffi::export]
impl PhoneMeeting {
    /// The messages for the other phone, each given once, in order. Ask after every call.
    pub fn outgoing(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).outgoing()
    }

    /// Takes a message of the other phone. An error ends the meeting; it has changed nothing.
    pub fn receive(&self, bytes: Vec<u8>) -> Result<MeetStateView> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).receive(&bytes)?.into())
    }

    /// The person has agreed to the first meeting with this phone.
    pub fn agree(&self) -> Result<MeetStateView> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).agree()?.into())
    }
}

#[uniffi::export]
impl PhoneLibrary {
    /// Whether this phone takes part in meetings; it does not until it is allowed. Then its syncs also fetch the server's proofs of
    /// what it holds, to show them to others.
    pub fn meet_allow(&self, allowed: bool) -> Result<()> {
        Ok(self.phone.meet_allow(allowed)?)
    }

    /// Begins a meeting with a phone that the host has found. Works without a network.
    pub fn meet_begin(&self) -> Result<Arc<PhoneMeeting>> {
        Ok(Arc::new(PhoneMeeting(Mutex::new(self.phone.meet_begin()?))))
    }

    /// Forgets that a phone was met; the next meeting with it is a first one. Says whether it was known.
    pub fn meet_forget(&self, device: String) -> Result<bool> {
        Ok(self.phone.meet_forget(device.parse()?)?)
    }
}

impl From<sync_core::relay::meet::MeetError> for PhoneLibError {
    fn from(e: sync_core::relay::meet::MeetError) -> Self {
        Self::Relay { code: e.code().to_owned(), reason: e.to_string() }
    }
}
