//! What the server refused, on the phone of who wrote it: never lost, dropped only when it was decided about and read.

use super::{Phone, PhoneError};
use crate::document::ChangeHash;
use crate::store::decisions;
use crate::store::outbox::{self, RefusedChange};

impl Phone {
    /// What the server refused, with the words and with what people at the hall decided about it.
    pub fn refused(&self) -> Result<Vec<RefusedChange>, PhoneError> {
        self.admit()?;
        self.0.store.read(|c| Ok(outbox::refused(c)?))
    }

    /// Drops a refused change that was decided about, when its author has read what became of it. One that waits is kept.
    pub fn discard_refused(&self, hash: &ChangeHash) -> Result<bool, PhoneError> {
        self.admit()?;
        self.0.store.write(|tx| Ok(decisions::discard(tx, hash)?))
    }
}
