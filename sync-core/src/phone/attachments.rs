//! Attachments on the phone: added with their record in one stroke, read from the vault, and freed when room is short. Nothing is freed
//! that the server, in its present life, has not said to hold.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::{Bound, Phone, PhoneError, storage};
use crate::attachments::{Prepared, content_hash, prepare};
use crate::edit::Edit;
use crate::error::EditError;
use crate::ids::DocumentId;
use crate::limits;
use crate::store::attachments::{self as rows, FileRow};
use crate::store::{StoreError, documents, meta_json, set_meta_json, thumbnails};

/// Something that was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The name of its content.
    pub hash: String,
    /// What it is, and what it told of its making.
    pub prepared: Prepared,
}

/// Where an attachment is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentStatus {
    /// On this phone only.
    OnlyHere,
    /// The server has this many bytes of it.
    OnItsWay {
        /// Bytes.
        sent: u64,
    },
    /// The server has all of it since this time, ms UTC. For what others attached: since this phone learned of it.
    OnServer {
        /// ms UTC of the server; none for what others attached.
        since_ms: Option<i64>,
    },
    /// The server does not want it.
    Refused {
        /// A stable code.
        code: String,
        /// In words.
        detail: String,
    },
}

/// One attachment of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentAt {
    /// The name of its content.
    pub hash: String,
    /// Where it is.
    pub status: AttachmentStatus,
    /// Whether its content lies on this phone.
    pub is_here: bool,
    /// How much of it a download has brought so far, bytes.
    pub arrived: u64,
}

fn invalid(problem: String, remedy: &str) -> PhoneError {
    EditError::InvalidValue { field: "bytes".to_owned(), problem, remedy: remedy.to_owned() }.into()
}

impl Phone {
    /// Attaches a file to a record. The notes of the camera are taken out of it; time and place go into the record as evidence.
    /// When this returns both the file and the record's entry are on the disk.
    pub fn attach(&self, document: DocumentId, name: &str, bytes: &[u8]) -> Result<Attached, PhoneError> {
        self.admit()?;
        if bytes.len() > limits::ATTACHMENT_BYTES_MAX {
            let max = limits::ATTACHMENT_BYTES_MAX;
            return Err(invalid(format!("the file has {} bytes", bytes.len()), &format!("at most {max} bytes")));
        }
        let prepared = prepare(bytes)
            .map_err(|e| invalid(e.to_string(), "attach a whole JPEG, PNG, WebP, PDF or M4A file without location"))?;
        let hash = content_hash(&prepared.bytes);
        let size = u64::try_from(prepared.bytes.len()).unwrap_or(u64::MAX);
        self.make_room(size)?;
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.vault.put(&hash, &prepared.bytes, &*self.0.host)?;
        let media_type = prepared.media_type.as_str().to_owned();
        let edit = Edit::Attach {
            hash: hash.clone(),
            name: name.to_owned(),
            media_type: media_type.clone(),
            bytes: size,
            taken_ms: prepared.evidence.taken_ms,
            location: prepared.evidence.location,
        };
        let now_ms = self.0.host.now_ms();
        let file = FileRow { hash: hash.clone(), media_type, bytes: size };
        self.edit_with(document, &[edit], |tx| {
            rows::keep(tx, &file, now_ms)?;
            rows::queue(tx, document, &file.hash, size)
        })?;
        Ok(Attached { hash, prepared })
    }

    /// The content of an attachment, if it lies on this phone.
    pub fn attachment(&self, hash: &str) -> Result<Option<Vec<u8>>, PhoneError> {
        self.admit()?;
        let Some(file) = self.0.store.read(|c| rows::file(c, hash))? else { return Ok(None) };
        let bytes = self.0.vault.read_whole(hash, file.bytes)?;
        let now_ms = self.0.host.now_ms();
        self.0.store.write(|tx| rows::used(tx, hash, now_ms))?;
        Ok(Some(bytes))
    }

    /// Where the attachments of a record are; also of one that is not here, as far as they were made here.
    pub fn attachments(&self, document: DocumentId) -> Result<Vec<AttachmentAt>, PhoneError> {
        let entries = match self.document(document) {
            Ok(held) => held.attachments(),
            Err(e @ (PhoneError::NotFound | PhoneError::Away)) => {
                if self.0.store.read(|c| rows::of_document(c, document))?.iter().all(|u| u.fetched) {
                    return Err(e);
                }
                BTreeMap::new()
            }
            Err(e) => return Err(e),
        };
        self.0.store.read(|c| -> Result<_, PhoneError> {
            let own = rows::of_document(c, document)?;
            let mut all = Vec::new();
            let others = entries.into_keys().filter(|h| own.iter().all(|u| u.hash != *h));
            all.extend(others.map(|h| (h, AttachmentStatus::OnServer { since_ms: None })));
            all.extend(own.into_iter().map(|u| {
                let status = match (u.refused, u.server_ms) {
                    (Some((code, detail)), _) => AttachmentStatus::Refused { code, detail },
                    (None, Some(since_ms)) => AttachmentStatus::OnServer { since_ms: (!u.fetched).then_some(since_ms) },
                    (None, None) if u.location.is_some() => AttachmentStatus::OnItsWay { sent: u.sent },
                    (None, None) => AttachmentStatus::OnlyHere,
                };
                (u.hash, status)
            }));
            let at = |(hash, status): (String, AttachmentStatus)| {
                let is_here = rows::file(c, &hash)?.is_some();
                let arrived = if is_here { 0 } else { self.0.vault.arrived(&hash) };
                Ok(AttachmentAt { hash, status, is_here, arrived })
            };
            all.into_iter().map(at).collect()
        })
    }

    /// Attachments made here that are not on the server yet.
    pub fn attachments_waiting(&self) -> Result<u64, PhoneError> {
        self.0.store.read(|c| Ok(rows::waiting(c)?))
    }

    /// Lets an attachment that the server refused be tried again, as when its quota was raised.
    pub fn attachment_retry(&self, document: DocumentId, hash: &str) -> Result<(), PhoneError> {
        let known = self.0.store.write(|tx| rows::retry(tx, document, hash))?;
        if known { Ok(()) } else { Err(PhoneError::NotFound) }
    }

    /// How many bytes attachments may take on this phone.
    pub fn set_attachment_quota(&self, bytes: u64) -> Result<(), PhoneError> {
        self.0.store.write(|tx| set_meta_json(tx, "attachment_quota", &bytes))?;
        self.make_room(0)
    }

    /// Frees what the server has, least recently used first, then small pictures, until so many bytes fit into the quota and the room
    /// that the host gives. Fails, and frees nothing, when that would not be enough.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), PhoneError> {
        let (quota, room, freeable, small) = self.0.store.read(|c| -> Result<_, StoreError> {
            let quota: Option<u64> = meta_json(c, "attachment_quota")?;
            let quota = quota.unwrap_or(limits::ATTACHMENT_QUOTA_BYTES);
            let over = rows::held(c)?.saturating_add(bytes).saturating_sub(quota);
            Ok((over, storage::short(c, bytes)?, rows::freeable(c)?, thumbnails::held(c)?.0))
        })?;
        let (mut over, bound) = room.unwrap_or((0, Bound::Limit));
        let contents: u64 = freeable.iter().map(|f| f.bytes).sum();
        let lacking = [(quota.saturating_sub(contents), Bound::Quota), (over.saturating_sub(contents + small), bound)];
        if let Some((lacking, bound)) = lacking.into_iter().find(|(lacking, _)| *lacking > 0 && bytes > 0) {
            return Err(PhoneError::NoRoom { needed: bytes, fits: bytes.saturating_sub(lacking), bound });
        }
        let mut quota = quota;
        for file in freeable {
            if quota == 0 && over == 0 {
                return Ok(());
            }
            if self.free(&file.hash)? {
                (quota, over) = (quota.saturating_sub(file.bytes), over.saturating_sub(file.bytes));
            }
        }
        let over = over.saturating_sub(self.free_thumbnails(over)?);
        match [(quota, Bound::Quota), (over, bound)].into_iter().find(|(lacking, _)| *lacking > 0 && bytes > 0) {
            // Something was attached anew just now, or the server does not vouch for it any more.
            Some((lacking, bound)) => {
                Err(PhoneError::NoRoom { needed: bytes, fits: bytes.saturating_sub(lacking), bound })
            }
            None => Ok(()),
        }
    }

    /// Frees everything that the server has; gives the bytes.
    pub fn free_attachments(&self) -> Result<u64, PhoneError> {
        let freeable = self.0.store.read(rows::freeable)?;
        let mut freed = 0;
        for file in freeable {
            if self.free(&file.hash)? {
                freed += file.bytes;
            }
        }
        self.sweep_vault()?;
        Ok(freed)
    }

    /// Frees a content if the server still vouches for it; gives whether it did. In the vault's turn: it may be attached anew at this
    /// very moment. First the row, then the file: a crash between leaves a file that nobody knows, and never a row without its file.
    pub(super) fn free(&self, hash: &str) -> Result<bool, PhoneError> {
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let freed = self.0.store.write(|tx| rows::drop_vouched(tx, hash))?;
        if freed {
            self.0.vault.remove(hash)?;
        }
        Ok(freed)
    }

    /// Lets go what has arrived of records that were purged meanwhile.
    pub(super) fn clear_left_behind(&self) -> Result<(), PhoneError> {
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = self.0.store.write(rows::left_behind)?;
        Ok(gone.iter().try_for_each(|hash| self.0.vault.remove(hash))?)
    }

    /// Finds out for which records the contents lie here that an older program fetched, so that the server is asked about them. What no
    /// record here names any more goes.
    pub(super) fn place_contents(&self) -> Result<(), PhoneError> {
        let mut loose: BTreeMap<String, FileRow> =
            self.0.store.read(rows::unplaced)?.into_iter().map(|f| (f.hash.clone(), f)).collect();
        if loose.is_empty() {
            return Ok(());
        }
        let now_ms = self.0.host.now_ms();
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.store.write(|tx| -> Result<(), PhoneError> {
            for id in documents::ids(tx)? {
                let Some(stored) = documents::load_readable(tx, id)? else { continue };
                for hash in stored.document.attachments().into_keys() {
                    if let Some(file) = loose.remove(&hash) {
                        rows::fetched(tx, id, &file, now_ms, None)?;
                    }
                }
            }
            Ok(loose.keys().try_for_each(|hash| rows::drop_file(tx, hash))?)
        })?;
        Ok(loose.keys().try_for_each(|hash| self.0.vault.remove(hash))?)
    }

    /// Deletes what lies in the vault and no row knows: left by a crash. Downloads under way stay.
    fn sweep_vault(&self) -> Result<(), PhoneError> {
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for name in self.0.vault.names()? {
            let known = name.ends_with(".part") || self.0.store.read(|c| thumbnails::is_known(c, &name))?;
            if !known {
                self.0.vault.discard(&name)?;
            }
        }
        Ok(())
    }
}
