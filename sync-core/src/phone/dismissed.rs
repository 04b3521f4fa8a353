//! Attachments that nobody will take any more: the change that entered them was dismissed. They wait no longer, say why, and stay on the
//! phone until their owner lets them go; nothing else does.

use std::sync::PoisonError;

use rusqlite::{Connection, Transaction};

use super::{Phone, PhoneError};
use crate::document::ChangeHash;
use crate::ids::DocumentId;
use crate::store::attachments::{self as rows, UploadRow};
use crate::store::{StoreError, decisions};

/// The code of an attachment whose change was dismissed.
const DISMISSED: &str = "dismissed";
/// The code of an attachment that its record does not name, and no change that could be let in.
const NOT_REFERRED_TO: &str = "attachment_not_referred_to";

/// Marks what a change had entered that was dismissed just now.
pub(super) fn note(phone: &Phone, tx: &Transaction<'_>, change: &ChangeHash) -> Result<(), PhoneError> {
    for row in rows::named_by_refused(tx, change)? {
        if let Some((code, detail)) = why(phone, tx, &row)? {
            rows::refuse(tx, &row, code, &detail)?;
        }
    }
    Ok(())
}

/// Why an attachment is wanted no more; nothing when it is, or may be. What the record names, what is unsent and what waits in quarantine
/// is wanted; of a record that is not here only a dismissal is proof enough.
pub(super) fn why(
    phone: &Phone,
    conn: &Connection,
    row: &UploadRow,
) -> Result<Option<(&'static str, String)>, PhoneError> {
    let held = match phone.passing(conn, row.document) {
        Ok(held) => held,
        Err(StoreError::Damaged(_)) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let names = held.as_ref().is_some_and(|d| d.document.attachments().contains_key(&row.hash));
    if names || decisions::may_still_name(conn, row.document, &row.hash)? {
        return Ok(None);
    }
    if let Some(decision) = decisions::dismissal_of(conn, row.document, &row.hash)? {
        return Ok(Some((DISMISSED, decision)));
    }
    let detail = || "the record does not name it any more".to_owned();
    Ok(held.is_some().then(|| (NOT_REFERRED_TO, detail())))
}

impl Phone {
    /// Lets go of an attachment that the server does not want, by the choice of its owner; its content goes unless it lies here for
    /// another record too. Gives whether it did: one that may still be sent is kept.
    pub fn discard_attachment(&self, document: DocumentId, hash: &str) -> Result<bool, PhoneError> {
        self.admit()?;
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = self.0.store.write(|tx| rows::discard(tx, document, hash))?;
        if gone == Some(true) {
            self.0.vault.remove(hash)?;
        }
        Ok(gone.is_some())
    }
}
