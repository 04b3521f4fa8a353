//! What can go wrong, as few cases as a caller can act on. Each says what the person in front of the screen can do.

use sync_core::error::{DocumentError, EditError};
use sync_core::ids::IdError;
use sync_core::phone::PhoneError;
use sync_core::store::StoreError;

/// Why a call of the phone library failed. Nothing was changed, unless the call says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum PhoneLibError {
    /// The key does not open this store. Its contents are untouched.
    #[error("this key does not open the store; pass the one that it was created with")]
    WrongKey,
    /// The store cannot be read. It was not deleted.
    #[error("the store is damaged: {reason}")]
    StoreDamaged {
        /// What was found.
        reason: String,
    },
    /// The store's file or folder cannot be used.
    #[error("the store cannot be used: {reason}")]
    StoreUnavailable {
        /// What the system says.
        reason: String,
    },
    /// A newer version of the app wrote the store.
    #[error("the store was written by a newer version; update the app")]
    StoreNewer,
    /// There is no room left. What was committed before is safe.
    #[error("the phone's storage is full; free some space and try again")]
    DiskFull,
    /// There is no room for a file, and nothing that the server has could be freed for it. Nothing was entered.
    #[error("there is no room for {needed} bytes, only for {fits}; {remedy}")]
    NoRoom {
        /// What the file takes, bytes.
        needed: u64,
        /// What could be made room for, bytes.
        fits: u64,
        /// What leaves no room: `quota` (of attachments), `limit` (of the app) or `disk`.
        bound: String,
        /// What to do.
        remedy: String,
    },
    /// Nobody is logged in, or the session has ended; records can still be read and written.
    #[error("nobody is logged in; log in again")]
    NotLoggedIn,
    /// The login or the password is wrong.
    #[error("the login or the password is wrong")]
    BadCredentials,
    /// The server cannot be reached, or stopped answering. What was written is safe and travels with the next sync.
    #[error("the server cannot be reached: {reason}")]
    Offline {
        /// What happened on the way.
        reason: String,
        /// Whether the request may have reached the server.
        sent: bool,
    },
    /// Whoever answered could not prove to be the server.
    #[error("the server cannot be trusted: {reason}")]
    Untrusted {
        /// What was wrong with its certificate or address.
        reason: String,
    },
    /// The server refused the request.
    #[error("the server answered {status} {code}: {detail}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// The stable code of the problem.
        code: String,
        /// For a person.
        detail: String,
    },
    /// The server is busy.
    #[error("the server is busy; try again in {after_ms} ms")]
    TryLater {
        /// How long to wait.
        after_ms: u64,
    },
    /// The phone is locked: show the PIN first.
    #[error("the phone is locked; unlock it with the PIN")]
    Locked,
    /// The PIN is wrong.
    #[error("the PIN is wrong; the next try in {after_ms} ms")]
    PinWrong {
        /// How long to wait, ms.
        after_ms: u64,
    },
    /// Too many wrong PINs; this one was not looked at.
    #[error("too many wrong PINs; wait {after_ms} ms")]
    PinWait {
        /// How long to wait, ms.
        after_ms: u64,
    },
    /// Everything on this phone was destroyed. Call `wipe_confirm`, and delete the key from the platform's key store.
    #[error("this phone was wiped")]
    Wiped,
    /// This phone was revoked by an administrator; what it had not sent stays on it.
    #[error("this phone was revoked; ask the administrator")]
    Revoked,
    /// The sync came to its end, but something was left out; `status` says what. It is kept, and the next sync tries again.
    #[error("the sync is not complete: {reason}")]
    SyncIncomplete {
        /// Changes that are still on this phone only.
        changes: u64,
        /// Records left out.
        records: u64,
        /// The first of them and why.
        reason: String,
    },
    /// The record was closed long ago and is on the server only: call `fetch_record`, then `sync`.
    #[error("this record was closed long ago and is on the server only; fetch it and sync")]
    RecordAway,
    /// The host cancelled the call.
    #[error("cancelled")]
    Cancelled,
    /// Another sync is under way on this phone.
    #[error("a sync is under way already; wait for it")]
    AlreadySyncing,
    /// An argument or a value does not fit.
    #[error("`{field}`: {problem}; {remedy}")]
    InvalidInput {
        /// Which.
        field: String,
        /// What is wrong with it.
        problem: String,
        /// What would do.
        remedy: String,
    },
    /// The person who is logged in may not do this.
    #[error("you may not {action} here: {remedy}")]
    NotAllowed {
        /// What was tried.
        action: String,
        /// Who may.
        remedy: String,
    },
    /// A relay file or QR code was not taken, or cannot be made; or a meeting with another phone ended.
    #[error("{reason}")]
    Relay {
        /// A stable code.
        code: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is no such thing on this phone.
    #[error("there is no {what} `{id}` on this phone")]
    NotFound {
        /// case, patrol, party, statement, event, flag.
        what: String,
        /// As the caller named it.
        id: String,
    },
    /// The event makes no sense now.
    #[error("`{kind}` makes no sense now: {reason}")]
    Moot {
        /// The kind of event.
        kind: String,
        /// The stable code of the reason.
        reason: String,
    },
    /// What the server sent cannot be understood.
    #[error("the answer cannot be understood: {reason}")]
    Protocol {
        /// What was wrong with it.
        reason: String,
    },
    /// The library itself failed; please report it.
    #[error("the library failed: {reason}")]
    Internal {
        /// For the report.
        reason: String,
    },
}

/// What every call that can fail returns.
pub type Result<T> = std::result::Result<T, PhoneLibError>;

impl PhoneLibError {
    pub(crate) fn invalid(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::InvalidInput { field: field.to_owned(), problem: problem.into(), remedy: remedy.into() }
    }

    pub(crate) fn not_found(what: &str, id: impl Into<String>) -> Self {
        Self::NotFound { what: what.to_owned(), id: id.into() }
    }

    /// The error of a call about one record, which is named when it is the one that is missing.
    pub(crate) fn about(what: &str, id: &str) -> impl FnOnce(PhoneError) -> Self {
        move |e| match e {
            PhoneError::NotFound => Self::not_found(what, id),
            other => other.into(),
        }
    }

    pub(crate) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol { reason: reason.into() }
    }

    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal { reason: reason.into() }
    }
}

impl From<StoreError> for PhoneLibError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::WrongKey => Self::WrongKey,
            StoreError::Newer { .. } => Self::StoreNewer,
            StoreError::DiskFull => Self::DiskFull,
            StoreError::Damaged(reason) => Self::StoreDamaged { reason },
            StoreError::Io(reason) => Self::StoreUnavailable { reason },
            StoreError::Destroyed => Self::Wiped,
            StoreError::NotEncrypted | StoreError::Sql(_) => Self::Internal { reason: e.to_string() },
        }
    }
}

impl From<PhoneError> for PhoneLibError {
    fn from(e: PhoneError) -> Self {
        match e {
            PhoneError::Store(e) => e.into(),
            PhoneError::Relay(e) => e.into(),
            PhoneError::Meet(e) => e.into(),
            PhoneError::Edit(e) => e.into(),
            PhoneError::NotEnrolled => Self::NotLoggedIn,
            PhoneError::Locked => Self::Locked,
            PhoneError::PinInvalid => Self::invalid("pin", "it is too short or too plain", e.to_string()),
            PhoneError::PinWrong { after_ms } => Self::PinWrong { after_ms: u64::try_from(after_ms).unwrap_or(0) },
            PhoneError::PinWait { after_ms } => Self::PinWait { after_ms: u64::try_from(after_ms).unwrap_or(0) },
            PhoneError::Wiped => Self::Wiped,
            PhoneError::NotFound => Self::not_found("record", ""),
            PhoneError::Away => Self::RecordAway,
            PhoneError::NoRoom { needed, fits, bound } => {
                Self::NoRoom { needed, fits, bound: bound.as_str().to_owned(), remedy: bound.remedy().to_owned() }
            }
            PhoneError::Revoked(_) => Self::Revoked,
            PhoneError::Protocol(reason) => Self::Protocol { reason },
            PhoneError::NotConverging => Self::Protocol { reason: e.to_string() },
            PhoneError::Incomplete(i) => {
                Self::SyncIncomplete { changes: i.changes, records: i.records, reason: i.to_string() }
            }
        }
    }
}

impl From<IdError> for PhoneLibError {
    fn from(e: IdError) -> Self {
        Self::invalid(e.what, format!("`{}` is not a valid {}", e.value, e.what), e.remedy)
    }
}

impl From<EditError> for PhoneLibError {
    fn from(e: EditError) -> Self {
        match e {
            EditError::UnknownField { field, document } => {
                Self::invalid(&field, format!("a {document} has no such field"), "see the shape of the document")
            }
            EditError::InvalidValue { field, problem, remedy } => Self::InvalidInput { field, problem, remedy },
            EditError::NotFound { what, id } => Self::NotFound { what, id },
            EditError::NotAllowed { action, remedy, .. } => Self::NotAllowed { action, remedy },
            EditError::Moot { kind, reason } => Self::Moot { kind, reason },
            EditError::Document(e) => e.into(),
        }
    }
}

impl From<DocumentError> for PhoneLibError {
    fn from(e: DocumentError) -> Self {
        match e {
            DocumentError::TooLarge { bytes, max } => Self::invalid(
                "document",
                format!("it would grow to {bytes} bytes"),
                format!("a document holds at most {max} bytes; begin another"),
            ),
            DocumentError::Unreadable(reason) => Self::StoreDamaged { reason },
            DocumentError::Incomplete(what) => Self::StoreDamaged { reason: format!("a document has no `{what}`") },
            DocumentError::Refused(r) => Self::protocol(r.to_string()),
            DocumentError::Engine(reason) => Self::Internal { reason },
        }
    }
}

impl From<uniffi::UnexpectedUniFFICallbackError> for PhoneLibError {
    fn from(e: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::internal(format!("a callback failed: {}", e.reason))
    }
}
