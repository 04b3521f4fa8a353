//! What can go wrong with a document, said so that a caller can act on it.

use serde::{Deserialize, Serialize};

/// An edit that was not made, naming the field and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum EditError {
    /// The document has no such field.
    #[error("there is no field `{field}` in a {document}")]
    UnknownField {
        /// As the caller named it.
        field: String,
        /// `case` or `patrol`.
        document: String,
    },
    /// The value does not fit the field.
    #[error("`{field}`: {problem}; {remedy}")]
    InvalidValue {
        /// Which field of which part.
        field: String,
        /// What is wrong.
        problem: String,
        /// What would be accepted.
        remedy: String,
    },
    /// Something the edit refers to is not in the document.
    #[error("there is no {what} `{id}` in this document")]
    NotFound {
        /// party, statement, event, text, attachment, flag.
        what: String,
        /// As the caller named it.
        id: String,
    },
    /// The author may not do this; the same table is enforced by the server.
    #[error("a {role} may not {action} here: {remedy}")]
    NotAllowed {
        /// The author's role.
        role: String,
        /// The change that was tried.
        action: String,
        /// Who may.
        remedy: String,
    },
    /// The event makes no sense now (it would be moot); the hall's forms refuse it rather than record nonsense.
    #[error("`{kind}` makes no sense now: {reason}")]
    Moot {
        /// The event kind.
        kind: String,
        /// Why, as a stable code of [`crate::event::MootReason`].
        reason: String,
    },
    /// The document could not take the edit; it is unchanged.
    #[error("the document could not be changed: {0}")]
    Document(#[from] DocumentError),
}

/// A document that cannot be read, or bytes that are not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DocumentError {
    /// The bytes are not a document that this program can read.
    #[error("not a readable document: {0}")]
    Unreadable(String),
    /// The document lacks what every document of its kind has.
    #[error("the document has no `{0}`")]
    Incomplete(String),
    /// Larger than this program accepts.
    #[error("the document would grow to {bytes} bytes; the limit is {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The change is refused by the change firewall.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The CRDT library failed; the document in memory was thrown away.
    #[error("the document library failed: {0}")]
    Engine(String),
}

/// Why a change was refused. The code is stable and part of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// What exactly, for a person.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its explanation.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        // Details quote what was sent, and are stored.
        Self { code, detail: detail.into().replace('\0', "\u{fffd}") }
    }
}

/// The reasons for which a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Larger than a limit.
    TooLarge,
    /// Not a well-formed change.
    Malformed,
    /// The actor is not registered to this device, or to another one.
    ForeignActor,
    /// It depends on changes that the document does not have.
    MissingDependency,
    /// Not the next change of its actor.
    SequenceGap,
    /// Another change already stands at this place of its actor: a restored backup wrote again.
    Fork,
    /// It writes where this kind of document has nothing.
    UnknownPlace,
    /// A value does not fit its place.
    InvalidValue,
    /// It rewrites what is written once.
    WrittenOnce,
    /// An event claims another author than the one who signed.
    ForgedAuthor,
    /// The author has no right to this.
    NotAllowed,
    /// The place is outside the author's areas.
    ForeignArea,
    /// The device was revoked when this was written.
    Revoked,
    /// The bundle's signature does not fit.
    BadSignature,
    /// It depends on a change that was refused.
    DependsOnRefused,
    /// The document was erased by law.
    Erased,
    /// Handed in for others to a restored server without its pledge that it stood in its journal.
    Unproven,
    /// The pledge that should cover it is not signed by this server.
    ForgedPledge,
    /// The pledge that should cover it is of a journal that this server does not know for its own.
    ForeignJournal,
}

impl RefusalCode {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::TooLarge,
        Self::Malformed,
        Self::ForeignActor,
        Self::MissingDependency,
        Self::SequenceGap,
        Self::Fork,
        Self::UnknownPlace,
        Self::InvalidValue,
        Self::WrittenOnce,
        Self::ForgedAuthor,
        Self::NotAllowed,
        Self::ForeignArea,
        Self::Revoked,
        Self::BadSignature,
        Self::DependsOnRefused,
        Self::Erased,
        Self::Unproven,
        Self::ForgedPledge,
        Self::ForeignJournal,
    ];

    /// The stable code as text.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalCode::TooLarge => "too_large",
            RefusalCode::Malformed => "malformed",
            RefusalCode::ForeignActor => "foreign_actor",
            RefusalCode::MissingDependency => "missing_dependency",
            RefusalCode::SequenceGap => "sequence_gap",
            RefusalCode::Fork => "fork",
            RefusalCode::UnknownPlace => "unknown_place",
            RefusalCode::InvalidValue => "invalid_value",
            RefusalCode::WrittenOnce => "written_once",
            RefusalCode::ForgedAuthor => "forged_author",
            RefusalCode::NotAllowed => "not_allowed",
            RefusalCode::ForeignArea => "foreign_area",
            RefusalCode::Revoked => "revoked",
            RefusalCode::BadSignature => "bad_signature",
            RefusalCode::DependsOnRefused => "depends_on_refused",
            RefusalCode::Erased => "erased",
            RefusalCode::Unproven => "unproven",
            RefusalCode::ForgedPledge => "forged_pledge",
            RefusalCode::ForeignJournal => "foreign_journal",
        }
    }
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
