//! What a revoked phone still says. It has no session any more: its signature stands for one. It hands in what it carries for others,
//! what it has not sent itself, and what a restored server has lost of what it holds; nothing of the records comes to it. Before it
//! destroys everything the server has all of it: what cannot be placed is kept aside there.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction};

use super::{SyncProgress, SyncSession, outgoing};
use crate::ids::{BundleId, JournalId};
use crate::phone::{Phone, PhoneError};
use crate::store::{documents, meta_json, outbox};
use crate::sync::orders::{LastAnswer, LastWord, SignedLastWord};
use crate::sync::wire::{self, Doubt, SignedBundle, WireError};

/// Answers in a row that bring nothing further, after which the rest is said for good.
const IDLE_MAX: u32 = 3;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStep {
    /// There is more to hand in.
    Again,
    /// The phone is revoked and keeps what it holds.
    Revoked,
    /// The server orders it to destroy everything.
    Wipe(BundleId),
}

/// What a revoked phone still says, as bytes out and bytes in.
pub struct LastWords {
    session: SyncSession,
    idle: u32,
    /// Nothing more can be brought that would help the server to place what it lacks the ground for.
    last: bool,
}

fn broken(e: WireError) -> PhoneError {
    PhoneError::Protocol(e.to_string())
}

impl Phone {
    /// Begins the last words of a phone whose sessions have ended.
    pub fn last_words(&self) -> LastWords {
        LastWords { session: self.sync_begin(""), idle: 0, last: false }
    }
}

impl LastWords {
    /// What to send.
    pub fn next_request(&mut self) -> Result<Vec<u8>, PhoneError> {
        let phone = self.session.phone.clone();
        let word = phone.0.store.read(|conn| self.word(&phone, conn))?;
        wire::encode(&SignedLastWord::seal(&word, &phone.0.key).map_err(broken)?).map_err(broken)
    }

    fn word(&mut self, phone: &Phone, conn: &Connection) -> Result<LastWord, PhoneError> {
        let who = Phone::enrolment(conn)?;
        // What may build on others' changes comes after them.
        let mut bundles: Vec<SignedBundle> = self.session.forwarding.ask(conn)?;
        if bundles.is_empty() {
            let mut later = BTreeSet::new();
            if !self.last {
                later = self.session.stuck();
                later.extend(super::resupply::Handing::waiting(conn)?);
            }
            let (rows, _) = outgoing::take(conn, &later)?;
            bundles = outgoing::bundles(phone, conn, &who, rows)?;
        }
        let doubts = super::with_heads(conn, self.session.open_doubts(conn)?)?;
        self.session.doubted.clone_from(&doubts);
        let resupply = self.session.resupply.ask(conn, doubts.len())?;
        Ok(LastWord { bundles, doubts, resupply, last: self.last, ..LastWord::of(who.device) })
    }

    /// Takes the answer.
    pub fn apply_response(&mut self, bytes: &[u8]) -> Result<LastStep, PhoneError> {
        let answer: LastAnswer = wire::decode(bytes).map_err(broken)?;
        let phone = self.session.phone.clone();
        let (progress, more) = phone.0.store.write(|tx| -> Result<_, PhoneError> {
            let progress = self.take_in(tx, &answer)?;
            let carries = self.session.forwarding.has_more(tx)?;
            let more = carries || !self.session.open_doubts(tx)?.is_empty() || self.session.resupply.is_due(tx)?;
            Ok((progress, more))
        })?;
        let moved = progress.sent + progress.refused + progress.relayed + progress.resupplied > 0;
        self.idle = if moved { 0 } else { self.idle + 1 };
        if (more || (progress.pending > 0 && !self.last)) && self.idle < IDLE_MAX {
            return Ok(LastStep::Again);
        }
        if progress.pending > 0 && !self.last {
            (self.last, self.idle) = (true, 0);
            return Ok(LastStep::Again);
        }
        Ok(match answer.wipe {
            _ if progress.pending > 0 && moved => LastStep::Again,
            Some(order) => LastStep::Wipe(order),
            None => LastStep::Revoked,
        })
    }

    fn take_in(&mut self, tx: &Transaction<'_>, answer: &LastAnswer) -> Result<SyncProgress, PhoneError> {
        let session = &mut self.session;
        let mut progress = SyncProgress::default();
        let touched = &mut BTreeSet::new();
        let asked = std::mem::take(&mut session.doubted);
        documents::settle(tx, &asked.iter().map(|d| d.document).collect::<Vec<_>>())?;
        let known: Option<JournalId> = meta_json(tx, "journal")?;
        if let Some(journal) = answer.journal.filter(|j| known != Some(*j)) {
            super::resupply::meet_journal(&session.phone, tx, journal, known.is_some())?;
        }
        let phone = session.phone.clone();
        let said = (answer.results.as_slice(), answer.refused.as_slice());
        session.forwarding.hear(&phone, tx, said, answer.now_ms, &mut progress, touched)?;
        if !session.forwarding.answered {
            session.results(tx, &answer.results, answer.now_ms, &mut progress, touched)?;
        }
        progress.resupplied = session.resupply.hear(tx, &answer.resupplied)?;
        for document in &answer.lacking {
            // All of it that is proven is handed in: what the server has already costs it nothing.
            session.resupply.wanted(tx, &Doubt { document: *document, heads: Vec::new() })?;
        }
        progress.pending = outbox::count(tx, None)?;
        Ok(progress)
    }
}
