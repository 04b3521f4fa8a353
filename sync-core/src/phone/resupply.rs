//! Handing in to a restored server what it has lost, whoever made it: everything that its pledges prove to have stood in its journal.
//! What only this phone has written and nobody ever acknowledged goes the ordinary way, signed.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction};

use super::relay::KnownKeys;
use super::session::ending::Why;
use super::session::{outgoing, withdraw};
use super::{Phone, PhoneError};
use crate::document::{ChangeHash, Document};
use crate::error::RefusalCode;
use crate::ids::{DocumentId, JournalId};
use crate::limits;
use crate::store::pledges::{self, Word};
use crate::store::{actors, documents, outbox, peers, set_meta_json, standing};
use crate::sync::pledge::{self, Pledge, Resupplied, Resupply};
use crate::sync::wire::{Bytes, Delivery, Doubt, SyncResponse};
use crate::time::{Hlc, TimeClaim};

/// How often one document is handed in in one sync: once is enough unless something was lost on the way.
const ATTEMPTS_MAX: u32 = 3;

/// How often one document is compared in one sync because of what this phone has still to send of it: once with it, once after it.
const COMPARED_MAX: u32 = 3;

/// What one sync hands in.
#[derive(Default)]
pub(super) struct Handing {
    attempts: BTreeMap<DocumentId, u32>,
    compared: BTreeMap<DocumentId, u32>,
    /// Documents of the request under way.
    asked: Vec<DocumentId>,
    /// Documents of which the server lacks what this phone cannot prove; those of them that the server was told of.
    unproven: BTreeSet<DocumentId>,
    told: BTreeSet<DocumentId>,
    telling: Vec<DocumentId>,
    /// Documents that the server refused, with why.
    pub(super) refused: BTreeMap<DocumentId, (RefusalCode, String)>,
    /// Those of them that were compared again since: they wait for the next sync.
    parked: BTreeSet<DocumentId>,
    /// Documents of which the server has another side: changes that it keeps in quarantine, and why.
    forked: BTreeMap<DocumentId, (Vec<ChangeHash>, String)>,
}

/// Whether people at the hall can mend it, so that it is worth another attempt with the next sync.
fn can_be_mended(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::ForeignArea | RefusalCode::ForeignJournal)
}

impl Handing {
    /// Documents whose own changes wait until what they build on was handed in.
    pub(super) fn waiting(conn: &Connection) -> Result<Vec<DocumentId>, PhoneError> {
        Ok(pledges::waiting(conn)?.into_iter().map(|(id, _)| id).collect())
    }

    /// What the next request hands in; `None` when there is nothing to say. `doubts` are asked with the same request.
    pub(super) fn ask(&mut self, conn: &Connection, doubts: usize) -> Result<Option<Resupply>, PhoneError> {
        self.asked.clear();
        let mut resupply = Resupply::default();
        let mut shown: BTreeSet<i64> = BTreeSet::new();
        let mut bytes = 0;
        for (id, heads) in pledges::waiting(conn)? {
            if bytes >= limits::REQUEST_TARGET_BYTES || shown.len() >= limits::REQUEST_PLEDGES_MAX / 2 {
                break;
            }
            self.asked.push(id);
            let Some(stored) = documents::load_readable(conn, id)? else { continue };
            let pledged = pledges::of(conn, id)?;
            let proven = pledges::covered(&stored.document, pledged.iter().map(|(hash, _)| *hash));
            let missing = stored.document.changes_since(&heads);
            let given = missing.into_iter().filter(|c| proven.contains(&c.hash));
            let changes: Vec<Bytes> = given.map(|c| Bytes::from(c.bytes)).collect();
            bytes += changes.iter().map(|c| c.len()).sum::<usize>();
            for (_, number) in pledged {
                if shown.insert(number) {
                    match pledges::word(conn, number)? {
                        Word::Pledge(pledge) => {
                            bytes += pledge.list.len() + 100;
                            resupply.pledges.push(pledge);
                        }
                        Word::Receipt(receipt) => {
                            bytes += receipt.len();
                            resupply.receipts.push(receipt);
                        }
                    }
                }
            }
            let meta = stored.document.meta();
            let (kind, community) = (meta.kind, meta.community.clone());
            resupply.documents.push(Delivery { document: id, kind, community, changes });
        }
        self.telling = self.unproven.difference(&self.told).copied().take(limits::REQUEST_DOUBTS_TARGET).collect();
        resupply.unproven.clone_from(&self.telling);
        let busy = u64::try_from(self.asked.len() + doubts).unwrap_or(u64::MAX);
        resupply.left = pledges::open_count(conn)?.saturating_sub(busy);
        let says = !self.asked.is_empty() || doubts > 0 || !self.telling.is_empty();
        Ok(says.then_some(resupply))
    }

    /// Whether it is worth a request of its own.
    pub(super) fn is_due(&self, conn: &Connection) -> Result<bool, PhoneError> {
        Ok(self.unproven.len() > self.told.len() || !pledges::waiting(conn)?.is_empty())
    }

    /// Takes the server's answers; gives how many documents have moved.
    pub(super) fn hear(&mut self, tx: &Transaction<'_>, answers: &[Resupplied]) -> Result<u64, PhoneError> {
        self.told.extend(std::mem::take(&mut self.telling));
        let asked = std::mem::take(&mut self.asked);
        let mut moved = 0;
        for id in asked {
            pledges::handed_in(tx, id)?;
            // A server that says nothing of it cannot be supplied.
            let Some(answer) = answers.iter().find(|a| a.document == id) else { continue };
            moved += 1;
            if !answer.aside.is_empty() {
                let why = answer.refused.as_ref().map(|(_, detail)| detail.clone()).unwrap_or_default();
                self.forked.insert(id, (answer.aside.clone(), why));
            }
            // Compared once more: what is left of it is this phone's own to send, and what stands is pledged anew.
            documents::doubt(tx, id)?;
            match &answer.refused {
                // The server has less of it than it had: once compared again, it says what it lacks now.
                Some((RefusalCode::MissingDependency, _)) if self.attempts.get(&id) < Some(&ATTEMPTS_MAX) => {}
                Some(refused) => {
                    self.refused.insert(id, refused.clone());
                }
                None => {}
            }
        }
        Ok(moved)
    }

    /// Goes over to the server's side of documents of which it keeps this phone's in quarantine: what was written on this phone stays with
    /// its words among what was refused, and the rest of the server's side comes next. What builds on it and is unsent goes to quarantine
    /// first. Gives the documents that went over.
    pub(super) fn go_over(
        &mut self,
        phone: &Phone,
        tx: &Transaction<'_>,
        now_ms: i64,
    ) -> Result<Vec<(DocumentId, u64)>, PhoneError> {
        let mut over = Vec::new();
        for id in self.forked.keys().copied().collect::<Vec<_>>() {
            if outbox::count(tx, Some(id))? > 0 {
                continue;
            }
            let Some((aside, why)) = self.forked.remove(&id) else { continue };
            let refused: Vec<_> = aside.into_iter().map(|hash| (hash, RefusalCode::Fork, why.clone())).collect();
            over.push((id, withdraw::withdraw(phone, tx, id, &refused, now_ms)?));
            self.refused.remove(&id);
            documents::doubt(tx, id)?;
        }
        Ok(over)
    }

    /// The server lacks something of a document.
    pub(super) fn wanted(&mut self, tx: &Transaction<'_>, wanted: &Doubt) -> Result<(), PhoneError> {
        let id = wanted.document;
        let Some(stored) = documents::load_readable(tx, id)? else { return Ok(()) };
        let missing: BTreeSet<ChangeHash> =
            stored.document.changes_since(&wanted.heads).into_iter().map(|c| c.hash).collect();
        let pledged = pledges::of(tx, id)?;
        let proven = pledges::covered(&stored.document, pledged.into_iter().map(|(hash, _)| hash));
        let attempts = self.attempts.entry(id).or_default();
        if missing.iter().any(|h| proven.contains(h)) && !self.refused.contains_key(&id) && *attempts < ATTEMPTS_MAX {
            *attempts += 1;
            return Ok(pledges::hand_in(tx, id, &wanted.heads)?);
        }
        let of_others = outgoing::supply(tx, &stored.document, &wanted.heads)?;
        if self.refused.get(&id).is_some_and(|(code, _)| can_be_mended(*code)) {
            self.parked.insert(id);
            documents::doubt(tx, id)?;
        } else if of_others {
            self.unproven.insert(id);
        } else {
            // What it lacks is this phone's to send, or has just been refused. What stands afterwards is compared once more: it may be
            // this phone's to forget, and nobody says so before.
            let compared = self.compared.entry(id).or_default();
            if *compared < COMPARED_MAX {
                *compared += 1;
                documents::doubt(tx, id)?;
            }
        }
        Ok(())
    }

    /// Whether a document is not asked about any more in this sync.
    pub(super) fn is_parked(&self, id: &DocumentId) -> bool {
        self.parked.contains(id) || self.forked.contains_key(id)
    }

    /// What the server did not take, with why.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (DocumentId, Why)> {
        self.refused.iter().map(|(id, (code, detail))| (*id, Why::new(code.as_str(), detail.clone())))
    }
}

/// Notes that the server's journal is another one than was last heard of. `restored`: there was one.
pub(super) fn meet_journal(
    phone: &Phone,
    tx: &Transaction<'_>,
    journal: JournalId,
    restored: bool,
) -> Result<(), PhoneError> {
    if restored {
        // A restored server: what it acknowledged before may be gone. Everything held here is offered again.
        standing::forget_acknowledged(tx)?;
        // What was to be handed in is compared anew: the life before this one lacked other things.
        pledges::hand_in_nothing(tx)?;
        // If this store is an older copy too, the server that could have noticed it is gone.
        phone.take_new_actors(tx)?;
        for id in documents::ids(tx)? {
            documents::doubt(tx, id)?;
        }
        peers::forget_proofs(tx)?;
        offer_refused(tx)?;
    }
    Ok(set_meta_json(tx, "journal", &journal)?)
}

/// Sends again what was refused and nobody has decided about: the restored server may have lost it from its quarantine, where people
/// decide. By the rights that it restored it may also be right.
fn offer_refused(tx: &Transaction<'_>) -> Result<(), PhoneError> {
    for refused in outbox::undecided(tx)? {
        // What cannot be read was nobody's words, and what is no change of this phone's is not its own to send.
        let Ok(decoded) = Document::decode(&refused.bytes) else { continue };
        let Some(owner) = actors::owner(tx, decoded.raw.actor)? else { continue };
        if documents::envelope(tx, refused.document)?.is_none() {
            let Some((kind, community)) = &refused.envelope else { continue };
            documents::remember(tx, refused.document, *kind, community)?;
        }
        // Its evidence went with the refusal; what is left is its author's word.
        let at = TimeClaim { hlc: Hlc { wall_ms: decoded.at_ms(), count: 0 }, anchor: None };
        outbox::push(tx, refused.document, owner.author, &decoded.raw, &at)?;
    }
    Ok(())
}

/// Keeps the pledge of an answer, if it is one. `doubts`: what was asked, with the heads held then.
pub(super) fn note_pledge(tx: &Transaction<'_>, response: &SyncResponse, doubts: &[Doubt]) -> Result<(), PhoneError> {
    let Some(note) = &response.pledge else { return Ok(()) };
    let doubts = doubts.iter().map(|d| (d.document, d.heads.as_slice()));
    let pledged = pledge::pledged(response, &note.standing, doubts);
    let pledge = Pledge {
        journal: response.journal,
        at_ms: response.now_ms,
        signature: note.signature.clone(),
        list: Bytes::from(pledge::list(&pledged)),
    };
    let keys = KnownKeys::load(tx)?.map(|k| k.verify).unwrap_or_default();
    // One that this phone cannot verify would only be refused by whom it is shown to.
    if pledge.is_genuine(&keys) {
        pledges::keep(tx, &pledge, &pledged)?;
    }
    Ok(())
}
