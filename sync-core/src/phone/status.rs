//! How a phone stands with its server: what is unsent, refused or left out, and where each record is. Nothing is loaded for it.

use super::{Incomplete, Phone, PhoneError};
use crate::ids::{DocumentId, JournalId};
use crate::store::standing::{self, Standing, StandingCounts};
use crate::store::{StoreError, attachments, meta_json, outbox};

pub use crate::store::attachments::Counts as AttachmentCounts;

/// How this phone stands with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStatus {
    /// Changes that no server has acknowledged.
    pub pending: u64,
    /// Changes that the server refused.
    pub refused: u64,
    /// When the last sync came to its end with everything acknowledged, ms UTC of the server.
    pub last_complete_ms: Option<i64>,
    /// What the last sync that came to its end left out; nothing when it was complete.
    pub incomplete: Option<Incomplete>,
    /// How many records stand where.
    pub records: StandingCounts,
    /// How the attachments stand that were made here.
    pub attachments: AttachmentCounts,
    /// This phone's wall clock less the server's, at the last contact.
    pub clock_offset_ms: Option<i64>,
    /// The journal that this phone last met; another one after the server was restored.
    pub journal: Option<JournalId>,
}

/// Where a document is.
pub type DocumentStatus = Standing;

impl Phone {
    /// How this phone stands with the server.
    pub fn status(&self) -> Result<SyncStatus, PhoneError> {
        self.0.store.read(|c| -> Result<_, PhoneError> {
            let refused: i64 =
                c.query_row("SELECT count(*) FROM refused", [], |r| r.get(0)).map_err(StoreError::from)?;
            Ok(SyncStatus {
                pending: outbox::count(c, None)?,
                refused: u64::try_from(refused).unwrap_or(0),
                last_complete_ms: meta_json(c, "last_complete_ms")?,
                incomplete: meta_json::<Option<Incomplete>>(c, "incomplete")?.flatten(),
                records: standing::count(c)?,
                attachments: attachments::counts(c)?,
                clock_offset_ms: meta_json(c, "clock_offset_ms")?,
                journal: meta_json(c, "journal")?,
            })
        })
    }

    /// Where a document is; the document itself is not read.
    pub fn document_status(&self, id: DocumentId) -> Result<DocumentStatus, PhoneError> {
        self.admit()?;
        self.0.store.read(|c| standing::of_document(c, id)?.ok_or(PhoneError::NotFound))
    }
}
