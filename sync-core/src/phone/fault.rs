//! What a phone answers when it does not do what was asked: typed, and in words that say what to do.

use super::session::Incomplete;
use crate::error::EditError;
use crate::relay::RelayError;
use crate::relay::meet::MeetError;
use crate::store::StoreError;

/// What leaves no room for a file on the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The quota of attachments.
    Quota,
    /// What the host lets the store take in all.
    Limit,
    /// What the host says is free on the disk, less what is kept for text.
    Disk,
}

impl Bound {
    /// A stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Limit => "limit",
            Self::Disk => "disk",
        }
    }

    /// What to do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Quota => {
                "send the attachments that wait, so that they can give way, or raise the quota of attachments"
            }
            Self::Limit => "send the attachments that wait, so that they can give way, or let the app take more room",
            Self::Disk => "free some space on the phone, or send the attachments that wait, so that they can give way",
        }
    }
}

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
    /// There is no room for a file, and nothing that the server has could be freed for it. Nothing was entered.
    #[error("there is no room for {needed} bytes, only for {fits}; {}", bound.remedy())]
    NoRoom {
        /// What the file takes.
        needed: u64,
        /// What could be made room for.
        fits: u64,
        /// By what.
        bound: Bound,
    },
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
