//! Closed records leave the phone after the time that the server sets. What lists and search need of them stays, and each comes back
//! when it is asked for or changes. Nothing leaves that the server does not have, or of which something is unsent, refused or in doubt.

use rusqlite::Transaction;

use super::{Phone, PhoneError, purge};
use crate::ids::DocumentId;
use crate::limits;
use crate::store::{StoreError, away, documents, list};

const DAY_MS: i64 = 86_400_000;

impl Phone {
    /// Asks for a record that is not here, such as one that was closed long ago: it comes with the next sync if its owner may see it,
    /// and stays for a week at least.
    pub fn fetch(&self, id: DocumentId) -> Result<(), PhoneError> {
        self.admit()?;
        let now_ms = self.now_ms()?;
        self.0.store.write(|tx| {
            away::keep(tx, id, now_ms.saturating_add(limits::FETCHED_KEPT_MS))?;
            Ok(documents::doubt(tx, id)?)
        })
    }

    /// Lets closed records go, oldest first, until so many bytes are free; gives how many it freed.
    pub(super) fn free_records(&self, bytes: u64) -> Result<u64, PhoneError> {
        let now_ms = self.now_ms()?;
        self.0.store.write(|tx| -> Result<u64, PhoneError> {
            let mut freed = 0_u64;
            for (id, size) in away::due(tx, now_ms, now_ms, limits::AWAY_AT_ONCE)? {
                if freed >= bytes {
                    break;
                }
                away::leave(tx, id, now_ms)?;
                freed = freed.saturating_add(size);
            }
            Ok(freed)
        })
    }
}

/// Lets go what was closed long enough ago; a part at a time, at the end of each sync. `now_ms` is the server's.
pub(super) fn tidy(tx: &Transaction<'_>, now_ms: i64) -> Result<u64, StoreError> {
    let Some(days) = purge::policy(tx)?.closed_days else { return Ok(0) };
    let before_ms = now_ms.saturating_sub(i64::from(days).saturating_mul(DAY_MS));
    let mut gone = 0;
    for (id, _) in away::due(tx, before_ms, now_ms, limits::AWAY_AT_ONCE)? {
        away::leave(tx, id, now_ms)?;
        gone += 1;
    }
    Ok(gone)
}

/// Whether a change came of a record that is away: it has to come whole.
pub(super) fn wants_whole(tx: &Transaction<'_>, id: DocumentId) -> Result<bool, StoreError> {
    Ok(list::away_since(tx, id)?.is_some() && documents::envelope(tx, id)?.is_none())
}
