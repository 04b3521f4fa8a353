//! Attachments as the host sees them: added, read, fetched, sent. What is sent when is decided in the core; here it gets a network.

use std::sync::{Arc, PoisonError};

use sync_core::phone::{self, TransferProgress};

use crate::cancel::CancelToken;
use crate::edits::LocationView;
use crate::error::{PhoneLibError, Result};
use crate::library::{PhoneLibrary, document_id};
use crate::policy::TransferPolicy;

/// What was attached.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct AttachedView {
    /// SHA-256 of the content, hexadecimal: its name in the record.
    pub hash: String,
    /// What it is, by its contents.
    pub media_type: String,
    /// Size in bytes, without the notes of the camera.
    pub bytes: u64,
    /// When the camera says that it was taken; kept in the record, taken out of the file.
    pub taken_ms: Option<i64>,
    /// Where the camera says that it was; kept in the record, taken out of the file.
    pub location: Option<LocationView>,
}

/// Where an attachment is.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum AttachmentStatusView {
    /// On this phone only.
    OnlyHere,
    /// The server has a part of it.
    OnItsWay {
        /// Bytes.
        sent: u64,
    },
    /// The server has all of it.
    OnServer {
        /// Since when, ms UTC; none for what others attached.
        since_ms: Option<i64>,
    },
    /// The server does not want it: it stays on this phone until `discard_attachment` or `retry_attachment`.
    Refused {
        /// A stable code; `dismissed` when the change that entered it was dismissed.
        code: String,
        /// In words.
        detail: String,
    },
}

/// One attachment of a record.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct AttachmentAtView {
    /// SHA-256 of the content, hexadecimal.
    pub hash: String,
    /// Where it is.
    pub status: AttachmentStatusView,
    /// Whether its content lies on this phone.
    pub is_here: bool,
    /// How much of it a download has brought so far, bytes.
    pub arrived: u64,
}

/// What a run of transfers did, so far or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, uniffi::Record)]
pub struct TransferReport {
    /// Bytes of contents sent.
    pub bytes_sent: u64,
    /// Bytes of contents received.
    pub bytes_received: u64,
    /// Attachments that the server has since now.
    pub uploaded: u64,
    /// Attachments that came in.
    pub downloaded: u64,
    /// Small pictures that came in before anybody asked.
    pub thumbnails: u64,
    /// Attachments that the server does not want; see `attachment_statuses`.
    pub refused: u64,
    /// Attachments made here that are still to be sent.
    pub waiting: u64,
}

impl From<TransferProgress> for TransferReport {
    fn from(p: TransferProgress) -> Self {
        Self {
            bytes_sent: p.bytes_sent,
            bytes_received: p.bytes_received,
            uploaded: p.uploaded,
            downloaded: p.downloaded,
            thumbnails: p.thumbnails,
            refused: p.refused,
            waiting: p.waiting,
        }
    }
}

/// Is told how a run goes on. Called on the thread that transfers, with no lock held; what it throws is ignored.
#[uniffi::export(with_foreign)]
pub trait TransferListener: Send + Sync {
    /// One piece was transferred and is stored.
    fn on_transfer(&self, progress: TransferReport) -> Result<()>;
}

#[uniffi::export]
impl PhoneLibrary {
    /// Attaches a file to a record: JPEG, PNG, WebP, PDF or M4A, at most 20 MiB. The notes of the camera are taken out of it; time and
    /// place go into the record. When this returns it is safe on this phone; `transfer_attachments` sends it.
    pub fn attach_photo(&self, id: String, name: String, bytes: Vec<u8>) -> Result<AttachedView> {
        let attached = self.phone.attach(document_id("record", &id)?, &name, &bytes);
        let attached = attached.map_err(PhoneLibError::about("record", &id))?;
        Ok(AttachedView {
            hash: attached.hash,
            media_type: attached.prepared.media_type.as_str().to_owned(),
            bytes: u64::try_from(attached.prepared.bytes.len()).unwrap_or(u64::MAX),
            taken_ms: attached.prepared.evidence.taken_ms,
            location: attached.prepared.evidence.location.map(Into::into),
        })
    }

    /// Attaches the file at this path. The file itself is left as it is.
    pub fn attach_file(&self, id: String, name: String, path: String) -> Result<AttachedView> {
        let wrong = |e: std::io::Error| PhoneLibError::invalid("path", e.to_string(), "name a file that can be read");
        let size = std::fs::metadata(&path).map_err(wrong)?.len();
        if size > u64::try_from(sync_core::limits::ATTACHMENT_BYTES_MAX).unwrap_or(u64::MAX) {
            return Err(PhoneLibError::invalid("path", format!("the file has {size} bytes"), "at most 20 MiB"));
        }
        self.attach_photo(id, name, std::fs::read(&path).map_err(wrong)?)
    }

    /// The content of an attachment, if it lies on this phone; else `fetch_attachment` brings it.
    pub fn attachment_bytes(&self, hash: String) -> Result<Option<Vec<u8>>> {
        Ok(self.phone.attachment(&hash)?)
    }

    /// Where the attachments of a record are.
    pub fn attachment_statuses(&self, id: String) -> Result<Vec<AttachmentAtView>> {
        let all = self.phone.attachments(document_id("record", &id)?).map_err(PhoneLibError::about("record", &id))?;
        let view = |a: phone::AttachmentAt| AttachmentAtView {
            hash: a.hash,
            status: match a.status {
                phone::AttachmentStatus::OnlyHere => AttachmentStatusView::OnlyHere,
                phone::AttachmentStatus::OnItsWay { sent } => AttachmentStatusView::OnItsWay { sent },
                phone::AttachmentStatus::OnServer { since_ms } => AttachmentStatusView::OnServer { since_ms },
                phone::AttachmentStatus::Refused { code, detail } => AttachmentStatusView::Refused { code, detail },
            },
            is_here: a.is_here,
            arrived: a.arrived,
        };
        Ok(all.into_iter().map(view).collect())
    }

    /// Sends what was attached on this phone, in the order of need; then fetches small pictures if the policy says so. Text goes first:
    /// when anything is unsent this syncs before, and again between two pieces when something was written meanwhile.
    /// Blocks; whatever cuts it off, the next run goes on from there.
    #[uniffi::method(default(listener = None, cancel = None))]
    pub fn transfer_attachments(
        &self,
        policy: TransferPolicy,
        listener: Option<Arc<dyn TransferListener>>,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<TransferReport> {
        if self.phone.status()?.pending > 0 {
            match self.sync(None, cancel.clone()) {
                // Records that the server cannot take now hold up their own attachments only.
                Ok(_) | Err(PhoneLibError::SyncIncomplete { .. } | PhoneLibError::Protocol { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        let _turn = self.transferring.lock().unwrap_or_else(PoisonError::into_inner);
        self.carry(self.phone.transfer_begin(policy.into_core()?)?, listener, cancel.as_ref())
    }

    /// Brings one attachment of a record to this phone, or goes on with it, and gives its content. Nothing when the policy forbids it.
    #[uniffi::method(default(listener = None, cancel = None))]
    pub fn fetch_attachment(
        &self,
        id: String,
        hash: String,
        policy: TransferPolicy,
        listener: Option<Arc<dyn TransferListener>>,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<Option<Vec<u8>>> {
        if let Some(bytes) = self.phone.attachment(&hash)? {
            return Ok(Some(bytes));
        }
        let missing = PhoneLibError::about("attachment", &hash);
        if policy.thumbnails_only {
            return Ok(None);
        }
        // Beside a run of transfers, not behind it: somebody waits in front of the screen.
        let _turn = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let session =
            self.phone.fetch_begin(document_id("record", &id)?, &hash, policy.into_core()?).map_err(missing)?;
        self.carry(session, listener, cancel.as_ref()).map_err(|e| match e {
            PhoneLibError::NotFound { .. } => PhoneLibError::not_found("attachment", hash.clone()),
            other => other,
        })?;
        Ok(self.phone.attachment(&hash)?)
    }

    /// How many bytes attachments may take on this phone. What the server has is freed when there is more.
    pub fn set_attachment_quota(&self, bytes: u64) -> Result<()> {
        Ok(self.phone.set_attachment_quota(bytes)?)
    }

    /// Frees every content that the server has; gives the bytes.
    pub fn free_attachments(&self) -> Result<u64> {
        Ok(self.phone.free_attachments()?)
    }

    /// Lets go of an attachment that the server does not want, when the person so chooses; its content is freed. Gives whether it did:
    /// one that may still be sent is kept.
    pub fn discard_attachment(&self, id: String, hash: String) -> Result<bool> {
        let gone = self.phone.discard_attachment(document_id("record", &id)?, &hash);
        gone.map_err(PhoneLibError::about("attachment", &hash))
    }

    /// Lets an attachment that the server refused be tried again.
    pub fn retry_attachment(&self, id: String, hash: String) -> Result<()> {
        let tried = self.phone.attachment_retry(document_id("record", &id)?, &hash);
        tried.map_err(PhoneLibError::about("attachment", &hash))
    }
}
