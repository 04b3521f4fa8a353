//! What a phone answers when it does not do what was asked: typed, and in words that say what to do.

use super::session::Incomplete;
use crate::error::EditError;
use crate::relay::RelayError;
use crate::relay::meet::MeetError;
use crate::store::StoreError;

/// Why a phone did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A relay file is not taken or cannot be made.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// A meeting with another phone ended; it changed nothing.
    #[error(transparent)]
    Meet(#[from] MeetError),
    /// The edit is at fault; nothing was changed.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Nobody has signed in on this phone yet.
    #[error("nobody has signed in on this phone yet")]
    NotEnrolled,
    /// No such document here.
    #[error("there is no such document on this phone")]
    NotFound,
    /// The record was closed long ago and is on the server only.
    #[error("this record was closed long ago and is on the server only; ask for it and sync")]
    Away,
    /// The server's answer cannot be understood.
    #[error("the server's answer cannot be understood: {0}")]
    Protocol(String),
    /// The phone is locked.
    #[error("the phone is locked; unlock it with the PIN")]
    Locked,
    /// The PIN is not taken.
    #[error("a PIN has 6 to 64 characters, and not all the same")]
    PinInvalid,
    /// The PIN is wrong.
    #[error("the PIN is wrong; the next try in {after_ms} ms")]
    PinWrong {
        /// How long to wait.
        after_ms: i64,
    },
    /// Too many wrong PINs: this one was not looked at.
    #[error("too many wrong PINs; wait {after_ms} ms")]
    PinWait {
        /// How long to wait.
        after_ms: i64,
    },
    /// Everything on this phone was destroyed.
    #[error("this phone was wiped")]
    Wiped,
    /// This phone was revoked.
    #[error("this phone was revoked: {0}")]
    Revoked(String),
    /// The sync came to its end, but not with everything that was due.
    #[error("the sync is not complete: {0}")]
    Incomplete(Incomplete),
    /// Round after round brings nothing new.
    #[error("the sync does not come to an end; what was made here is kept")]
    NotConverging,
}
