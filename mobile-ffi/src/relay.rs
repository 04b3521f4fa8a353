//! Relay: what is unsent leaves the phone as a file or as QR codes, others' parcels are carried to the next sync, and receipts come
//! back. The host moves bytes and shows codes; it understands none of them.

use std::sync::{Arc, Mutex, PoisonError};

use sync_core::relay::frame::{self, FrameError};
use sync_core::relay::{Container, FrameSet};
use sync_core::store::carried::{CarriedParcel, CarriedState};

use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;

/// What an imported relay file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct RelayImportView {
    /// Parcels that this phone carries from now on.
    pub parcels_new: u64,
    /// Parcels that were here before.
    pub parcels_known: u64,
    /// Parcels whose time is over; they were not taken.
    pub parcels_expired: u64,
    /// Receipts that are new here.
    pub receipts_new: u64,
    /// Receipts that are not signed by this phone's server; they were not taken.
    pub receipts_refused: u64,
    /// Changes of this phone that a receipt proves to be on the server.
    pub acknowledged: u64,
}

/// How far a carried parcel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum CarriedParcelState {
    /// Here; it goes with the next sync.
    Carried,
    /// The server has it.
    Delivered,
    /// The server could not open it.
    Refused,
}

/// A parcel that this phone carries for somebody.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct CarriedParcelView {
    /// Its identity.
    pub id: String,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// When it came, ms UTC.
    pub taken_up_ms: i64,
    /// When it need not be carried any more, ms UTC.
    pub expires_ms: i64,
    /// How far it has come.
    pub state: CarriedParcelState,
    /// Why the server could not open it: a stable code.
    pub code: Option<String>,
}

impl From<&CarriedParcel> for CarriedParcelView {
    fn from(parcel: &CarriedParcel) -> Self {
        let (state, code) = match &parcel.state {
            CarriedState::Carried => (CarriedParcelState::Carried, None),
            CarriedState::Delivered => (CarriedParcelState::Delivered, None),
            CarriedState::Refused(code) => (CarriedParcelState::Refused, Some(code.clone())),
        };
        Self {
            id: parcel.id.to_string(),
            size_bytes: parcel.size,
            taken_up_ms: parcel.taken_up_ms,
            expires_ms: parcel.expires_ms,
            state,
            code,
        }
    }
}

/// What a scanned QR code added.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct RelayFrameView {
    /// Tells relay files apart whose codes are scanned at the same time.
    pub set: String,
    /// How many codes there are.
    pub count: u32,
    /// Which are missing, counted from 1.
    pub missing: Vec<u32>,
    /// This code had been scanned before.
    pub again: bool,
    /// The relay file, once nothing is missing.
    pub whole: Option<Vec<u8>>,
}

/// Gathers the QR codes of relay files, in any order.
#[derive(uniffi::Object, Default)]
pub struct RelayFrames(Mutex<FrameSet>);

#[uniffi::export]
impl RelayFrames {
    /// With nothing gathered yet.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Takes the text of a code as it was scanned. An error leaves what was gathered as it is.
    pub fn add(&self, text: String) -> Result<RelayFrameView> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner).add(&text)?;
        Ok(RelayFrameView {
            set: state.set,
            count: u32::from(state.count),
            missing: state.missing.into_iter().map(u32::from).collect(),
            again: state.again,
            whole: state.whole,
        })
    }
}

fn bytes_of(containers: Vec<Container>) -> Vec<Vec<u8>> {
    containers.iter().map(|c| c.bytes().to_vec()).collect()
}

#[uniffi::export]
impl PhoneLibrary {
    /// Everything unsent, as parcels that only the server can open: to be written one behind another into a file, shown as QR codes,
    /// or sent by any other way. Works without a network. The outbox stays as it is until the server's word has come.
    pub fn relay_export(&self) -> Result<Vec<Vec<u8>>> {
        Ok(bytes_of(self.phone.relay_export()?))
    }

    /// The texts of the QR codes of a parcel or of receipts, each with so many bytes of it (100 to 800).
    #[uniffi::method(default(payload_bytes = 400))]
    pub fn relay_frames(&self, parcel: Vec<u8>, payload_bytes: u32) -> Result<Vec<String>> {
        let container = Container::parse_one(&parcel)?;
        Ok(frame::frames(&container, usize::try_from(payload_bytes).unwrap_or(usize::MAX))?)
    }

    /// Takes a relay file: parcels of others are carried to the next sync, receipts are believed if the server signed them. All of
    /// it, or nothing.
    pub fn relay_import(&self, bytes: Vec<u8>) -> Result<RelayImportView> {
        let done = self.phone.relay_import(&bytes)?;
        Ok(RelayImportView {
            parcels_new: done.parcels_new,
            parcels_known: done.parcels_known,
            parcels_expired: done.parcels_expired,
            receipts_new: done.receipts_new,
            receipts_refused: done.receipts_refused,
            acknowledged: done.acknowledged,
        })
    }

    /// What this phone carries for others, and what became of it.
    pub fn relay_carried(&self) -> Result<Vec<CarriedParcelView>> {
        Ok(self.phone.relay_carried()?.iter().map(CarriedParcelView::from).collect())
    }

    /// The parcels carried for others, for another carrier who may meet the network earlier.
    pub fn relay_onward(&self) -> Result<Vec<Vec<u8>>> {
        Ok(bytes_of(self.phone.relay_onward()?))
    }

    /// The server's receipts to be carried back; nothing when there are none.
    pub fn relay_receipts(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.phone.relay_receipts()?.map(|c| c.bytes().to_vec()))
    }
}

impl From<FrameError> for PhoneLibError {
    fn from(e: FrameError) -> Self {
        let code = match &e {
            FrameError::NotAFrame => "not_a_frame",
            FrameError::Damaged => "frame_damaged",
            FrameError::Contradicts => "frame_contradicts",
            FrameError::Whole => "frames_damaged",
            FrameError::TooMany { .. } => "frames_too_many",
        };
        Self::Relay { code: code.to_owned(), reason: e.to_string() }
    }
}

impl From<sync_core::relay::RelayError> for PhoneLibError {
    fn from(e: sync_core::relay::RelayError) -> Self {
        Self::Relay { code: e.code().to_owned(), reason: e.to_string() }
    }
}
