//! One content on its way to this phone: each piece is on the disk before the next is asked for, and nothing counts before the hash of all
//! of it is proved.

use std::sync::PoisonError;

use super::{ATTEMPTS_MAX, Job, TransferReply, TransferSession, length};
use crate::attachments::vault::PIECE_BYTES;
use crate::ids::DocumentId;
use crate::phone::PhoneError;
use crate::store::attachments::{self as rows, FileRow};

impl TransferSession {
    pub(super) fn downloaded(
        &mut self,
        document: DocumentId,
        file: FileRow,
        attempts: u32,
        reply: &TransferReply,
    ) -> Result<(), PhoneError> {
        let vault = &self.phone.0.vault;
        let from = match reply.status {
            206 => vault.arrived(&file.hash).min(file.bytes / PIECE_BYTES * PIECE_BYTES),
            // Somebody on the way, or an older server, sends all of it.
            200 => 0,
            404 => return Err(PhoneError::NotFound),
            status => return Err(PhoneError::Protocol(format!("an attachment was answered with {status}"))),
        };
        self.progress.bytes_received += length(&reply.body);
        if from + length(&reply.body) > file.bytes {
            return Err(PhoneError::Protocol("more bytes than the record says".into()));
        }
        let stands = vault.add(&file.hash, file.bytes, from, &reply.body, &*self.phone.0.host)?;
        let mut failed = stands == from;
        if stands >= file.bytes {
            // In its turn: until it is entered it would be swept away as something that a crash has left.
            let _turn = vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
            if vault.complete(&file.hash, file.bytes)? {
                let now_ms = self.phone.0.host.now_ms();
                self.phone.0.store.write(|tx| {
                    rows::keep(tx, &file, now_ms)?;
                    rows::fetched(tx, document, &file, now_ms, self.life.as_deref())
                })?;
                self.progress.downloaded += 1;
                return Ok(());
            }
            failed = true;
        }
        let attempts = attempts + u32::from(failed);
        if attempts >= ATTEMPTS_MAX {
            return Err(PhoneError::Protocol("the attachment arrives altered again and again".into()));
        }
        self.jobs.push_front(Job::Download { document, file, attempts });
        Ok(())
    }
}
