//! What came from phone to phone is handed in at the next sync, in its authors' own signed bundles, before anything of this phone's
//! own: that may build on it. What the server refuses is taken out of the document again, here as on its author's phone.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction};

use super::session::withdraw;
use super::{Phone, PhoneError, SyncProgress};
use crate::document::ChangeHash;
use crate::error::RefusalCode;
use crate::ids::DocumentId;
use crate::limits;
use crate::store::documents;
use crate::store::peers::{self, KeptBundle};
use crate::sync::wire::{BundleRefused, PushOutcome, PushResult, SignedBundle};

/// The bundles of others in one sync: each is handed in once, whatever is answered.
#[derive(Default)]
pub(super) struct Forwarding {
    behind: i64,
    asked: Vec<KeptBundle>,
    /// Whether the last response was about bundles of others.
    pub(super) answered: bool,
}

type Refusals = BTreeMap<DocumentId, Vec<(ChangeHash, RefusalCode, String)>>;

impl Forwarding {
    /// What the next request hands in for others. While there is something, this phone's own changes wait for the request after it.
    pub(super) fn ask(&mut self, conn: &Connection) -> Result<Vec<SignedBundle>, PhoneError> {
        self.asked = peers::after(conn, self.behind, limits::REQUEST_TARGET_BYTES, limits::REQUEST_PEER_BUNDLES_MAX)?;
        Ok(self.asked.iter().map(|k| k.bundle.bundle.clone()).collect())
    }

    /// Whether there is more to hand in for others than was handed in so far.
    pub(super) fn has_more(&self, conn: &Connection) -> Result<bool, PhoneError> {
        Ok(!peers::after(conn, self.behind, 1, 1)?.is_empty())
    }

    /// Takes the server's answers if they are about bundles of others.
    pub(super) fn hear(
        &mut self,
        phone: &Phone,
        tx: &Transaction<'_>,
        (results, unopened): (&[PushResult], &[BundleRefused]),
        now_ms: i64,
        progress: &mut SyncProgress,
        touched: &mut BTreeSet<DocumentId>,
    ) -> Result<(), PhoneError> {
        let asked = std::mem::take(&mut self.asked);
        self.answered = !asked.is_empty();
        let Some(last) = asked.last() else { return Ok(()) };
        self.behind = last.number;
        let mut refusals = Refusals::new();
        for result in results {
            match &result.outcome {
                PushOutcome::Need(_) => {}
                PushOutcome::Accepted(_) | PushOutcome::Duplicate => {
                    if peers::settle(tx, &result.hash)? {
                        progress.relayed += 1;
                    }
                    documents::mark_synced(tx, result.document, now_ms)?;
                }
                PushOutcome::Quarantined(code, detail) | PushOutcome::Unreadable(code, detail) => {
                    peers::settle(tx, &result.hash)?;
                    refusals.entry(result.document).or_default().push((result.hash, *code, detail.clone()));
                }
            }
        }
        for refused in unopened {
            let index = usize::try_from(refused.index).unwrap_or(usize::MAX);
            let Some(bundle) = asked.get(index) else { continue };
            for (hash, document) in peers::changes_in(tx, bundle.number)? {
                peers::settle(tx, &hash)?;
                refusals.entry(document).or_default().push((hash, refused.code, refused.detail.clone()));
            }
        }
        for (document, changes) in refusals {
            progress.refused += withdraw::withdraw(phone, tx, document, &changes, now_ms)?;
            progress.relayed += 1;
            touched.insert(document);
        }
        peers::drop_settled(tx)?;
        Ok(())
    }
}
