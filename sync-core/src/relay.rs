//! Relay: what one device made, carried to the server by others who can neither read nor alter it. A parcel is a sealed list of
//! signed bundles; it travels as a file, as QR frames, or inside another phone's sync. Bytes in, bytes out.

pub mod certificate;
pub mod frame;
pub mod meet;
pub mod parcel;
pub mod receipt;
pub mod seal;

pub use frame::{FrameError, FrameSet, FrameState};
pub use parcel::{Container, Content, Parcel};
pub use seal::{KeyId, OpeningKey, SealingKey};

/// Why bytes are not taken as a parcel, or a parcel is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Not a container of this format at all.
    #[error("this is no relay file")]
    NotAParcel,
    /// A version that this program does not know.
    #[error("the relay file has version {0}; update the app, or the server first")]
    Version(u8),
    /// It ends before it should.
    #[error("the relay file is cut off; fetch it again")]
    Truncated,
    /// Larger than a limit.
    #[error("the relay file exceeds {max} {what}")]
    TooLarge {
        /// The limit.
        max: usize,
        /// Bytes, items.
        what: &'static str,
    },
    /// Its checksum does not fit: it was damaged on the way.
    #[error("the relay file was damaged on the way; fetch it again")]
    Damaged,
    /// Its time is over.
    #[error("the parcel has expired; let its author export again")]
    Expired,
    /// Sealed to a key that this server does not have.
    #[error("the parcel is sealed to another server's key")]
    UnknownKey,
    /// Sealed to a key of this server, but it does not open: header or content were altered.
    #[error("the parcel does not open: it was altered")]
    NotOpened,
    /// This phone does not know the server's key yet.
    #[error("this phone does not know the server's relay key yet; let it sync once")]
    NoKey,
    /// This phone carries as much for others as it may.
    #[error("this phone carries {max} {what} for others already; let it sync first")]
    CarrierFull {
        /// The limit.
        max: usize,
        /// Of what.
        what: &'static str,
    },
    /// It opened, and what it holds is no list of bundles.
    #[error("the parcel's content cannot be read: {0}")]
    Content(String),
}

impl RelayError {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            RelayError::NotAParcel => "not_a_parcel",
            RelayError::Version(_) => "parcel_version",
            RelayError::Truncated => "parcel_truncated",
            RelayError::TooLarge { .. } => "parcel_too_large",
            RelayError::Damaged => "parcel_damaged",
            RelayError::Expired => "parcel_expired",
            RelayError::UnknownKey => "parcel_unknown_key",
            RelayError::NotOpened => "parcel_not_opened",
            RelayError::NoKey => "relay_no_key",
            RelayError::CarrierFull { .. } => "carrier_full",
            RelayError::Content(_) => "parcel_content",
        }
    }
}
