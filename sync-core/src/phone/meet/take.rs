//! What another phone gave: a change is taken only if the server's receipt proves that it stands in the journal, or its author's own
//! signature covers it. Nobody can put words into another's mouth, not even the phone that brings them.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Transaction;

use super::{MeetReport, own_certificate};
use crate::authority::{Place, Subject};
use crate::document::{ChangeHash, Document};
use crate::ids::{ActorId, DocumentId, JournalId};
use crate::phone::relay::KnownKeys;
use crate::phone::session::incoming;
use crate::phone::{Phone, PhoneError};
use crate::relay::certificate::Certificate;
use crate::relay::meet::{Gift, MeetError, PeerBundle};
use crate::relay::receipt::Receipt;
use crate::store::documents::{self, StoredDocument};
use crate::store::{StoreError, actors, meta_json, peers, pledges};
use crate::sync::bundle;
use crate::sync::pledge::Pledged;
use crate::sync::server::{self, Bench};
use crate::sync::wire::{Bundle, BundleEntry, Bytes, Delivery, PushOutcome};

fn malformed(e: impl ToString) -> PhoneError {
    MeetError::Malformed(e.to_string()).into()
}

fn unproven(what: impl ToString) -> PhoneError {
    MeetError::Unproven(what.to_string()).into()
}

/// Takes everything that was given, or fails whole.
pub(super) fn take(
    phone: &Phone,
    tx: &Transaction<'_>,
    gifts: &[Gift],
    now_ms: i64,
    report: &mut MeetReport,
    touched: &mut Vec<DocumentId>,
) -> Result<(), PhoneError> {
    let keys = KnownKeys::load(tx)?.map(|k| k.verify).unwrap_or_default();
    let (own, _) = own_certificate(tx)?.ok_or(MeetError::NotCertified)?;
    let who = Phone::enrolment(tx)?;
    let subject = Subject { user: who.user, grants: who.grants };
    let journal: Option<JournalId> = meta_json(tx, "journal")?;
    let mut proven: BTreeSet<ChangeHash> = BTreeSet::new();
    let mut receipts: Vec<(&Bytes, Receipt, Pledged)> = Vec::new();
    for gift in gifts {
        for bytes in &gift.receipts {
            let receipt = Receipt::verified(bytes, &keys).ok_or_else(|| unproven("a receipt"))?;
            if Some(receipt.journal) != journal {
                return Err(unproven("a receipt of another journal"));
            }
            proven.extend(receipt.taken.iter().copied());
            receipts.push((bytes, receipt, Pledged::new()));
        }
        for delivery in &gift.deliveries {
            check_delivery(delivery, &proven)?;
            let new = deliver(phone, tx, delivery, &subject, now_ms)?;
            report.received += new;
            if new > 0 {
                touched.push(delivery.document);
                shown(delivery, &mut receipts);
            } else {
                report.left_out += 1;
            }
        }
        for given in &gift.bundles {
            match bundle_of(given, &keys)? {
                // One's own words, brought back.
                (certificate, _, _) if certificate.device == own.device => {}
                (certificate, bundle, entry) if certificate.holds(now_ms) => {
                    let new = apply(phone, tx, given, (&certificate, &bundle, &entry), &subject, now_ms)?;
                    match new {
                        Some(new) => {
                            report.received += new;
                            touched.push(entry.document);
                        }
                        None => report.left_out += 1,
                    }
                }
                _ => report.left_out += 1,
            }
        }
    }
    // A server that is restored one day asks who can prove what it has lost: this phone can, as the one that gave it could.
    for (bytes, receipt, pledged) in receipts.iter().filter(|(_, _, pledged)| !pledged.is_empty()) {
        pledges::keep_receipt(tx, receipt, bytes, pledged)?;
    }
    touched.sort_unstable();
    touched.dedup();
    Ok(())
}

/// Notes which receipts prove what was taken.
fn shown(delivery: &Delivery, receipts: &mut [(&Bytes, Receipt, Pledged)]) {
    let given: BTreeSet<ChangeHash> =
        delivery.changes.iter().filter_map(|c| Document::links(c).map(|(hash, _)| hash)).collect();
    for (_, receipt, pledged) in receipts {
        let heads: BTreeSet<ChangeHash> = receipt.taken.iter().filter(|hash| given.contains(hash)).copied().collect();
        if !heads.is_empty() {
            pledged.entry(delivery.document).or_default().extend(heads);
        }
    }
}

/// Every change must be a proven head, or what one builds on: a change names what it builds on by hash, so that nothing can be put
/// underneath.
fn check_delivery(delivery: &Delivery, heads: &BTreeSet<ChangeHash>) -> Result<(), PhoneError> {
    let mut below: BTreeSet<ChangeHash> = BTreeSet::new();
    for bytes in delivery.changes.iter().rev() {
        let change = Document::decode(bytes).map_err(malformed)?;
        if !heads.contains(&change.raw.hash) && !below.contains(&change.raw.hash) {
            return Err(unproven(change.raw.hash));
        }
        below.extend(change.deps);
    }
    Ok(())
}

fn deliver(
    phone: &Phone,
    tx: &Transaction<'_>,
    delivery: &Delivery,
    subject: &Subject,
    now_ms: i64,
) -> Result<u64, PhoneError> {
    let here = documents::envelope(tx, delivery.document)?.is_some();
    let new = match incoming::deliver(phone, tx, delivery, now_ms) {
        Ok(new) => new,
        Err(PhoneError::Store(e)) => return Err(e.into()),
        // It stands in the journal, but something between is missing here: the next sync brings it.
        Err(_) => 0,
    };
    let stored = documents::load_readable(tx, delivery.document)?;
    if !here && !stored.is_some_and(|s| subject.may_read(&Place::of(&s.document))) {
        documents::forget(tx, delivery.document)?;
        return Ok(0);
    }
    if new > 0 && peers::changes_of(tx, delivery.document)?.is_empty() {
        documents::mark_synced(tx, delivery.document, now_ms)?;
    }
    if !here {
        came_anew(tx, delivery.document)?;
    }
    Ok(new)
}

/// A record that was not here before the meeting is compared with the server's at the next sync: it may have moved, or been erased, since
/// the other phone heard of it, and this phone may have been told to forget it already.
fn came_anew(tx: &Transaction<'_>, id: DocumentId) -> Result<(), StoreError> {
    documents::doubt(tx, id)
}

/// Reads a bundle with its author's certificate and signature; anything wrong with them is the bringer's fault.
fn bundle_of(given: &PeerBundle, keys: &[[u8; 32]]) -> Result<(Certificate, Bundle, BundleEntry), PhoneError> {
    let certificate = Certificate::verified(&given.certificate, keys).ok_or(MeetError::Forged)?;
    let key = certificate.public_key().ok_or(MeetError::Forged)?;
    let mut bundle = bundle::read(&given.bundle).map_err(malformed)?;
    bundle::check(&given.bundle, &key).map_err(|_| unproven("a bundle that its author did not sign"))?;
    if bundle.device != certificate.device || bundle.user != certificate.user {
        return Err(unproven("a bundle in another's name"));
    }
    match (bundle.entries.pop(), bundle.entries.is_empty()) {
        (Some(entry), true) => Ok((certificate, bundle, entry)),
        _ => Err(malformed("a bundle of more than one document")),
    }
}

/// Applies a bundle as the server would judge it, by what its author is charged with. `None` when it is left out.
fn apply(
    phone: &Phone,
    tx: &Transaction<'_>,
    given: &PeerBundle,
    (certificate, bundle, entry): (&Certificate, &Bundle, &BundleEntry),
    subject: &Subject,
    now_ms: i64,
) -> Result<Option<u64>, PhoneError> {
    let stored = documents::load_readable(tx, entry.document)?;
    let (mut document, actor) = match stored {
        Some(StoredDocument { document, actor, .. }) => (Some(document), actor),
        None => (None, Phone::actor(tx)?),
    };
    let vouched = document.as_ref().map(Document::actors).unwrap_or_default();
    let mut own: BTreeSet<ActorId> = BTreeSet::new();
    for named in bundle.actors.iter().take(1_000) {
        let anothers = vouched.get(named).is_some_and(|user| *user != certificate.user);
        if !anothers && !server::is_desk_actor(*named) && actors::owner(tx, *named)?.is_none() {
            own.insert(*named);
        }
    }
    let bench = Bench {
        former: &[],
        subject: &certificate.subject(now_ms),
        actors: &own,
        revoked_ms: None,
        tokens: &[],
        quarantined: &BTreeMap::new(),
        now_ms,
        is_last: false,
    };
    let readings: Vec<_> = entry.changes.iter().map(|c| Document::decode(&c.bytes)).collect();
    let verdict = server::judge(&mut document, entry, &readings, &bench);
    let taken = |o: &PushOutcome| matches!(o, PushOutcome::Accepted(_) | PushOutcome::Duplicate);
    let Some(document) =
        document.filter(|d| verdict.results.iter().all(|r| taken(&r.outcome)) && subject.may_read(&Place::of(d)))
    else {
        return Ok(None);
    };
    let fresh: Vec<ChangeHash> = verdict.accepted.iter().map(|a| a.inspected.raw.hash).collect();
    if fresh.is_empty() {
        return Ok(Some(0));
    }
    // What is shown here must be handed in from here: else nobody would tell this phone that it was refused.
    if !peers::keep(tx, given, entry.document, &fresh)? {
        return Ok(None);
    }
    let here = documents::envelope(tx, entry.document)?.is_some();
    documents::save(tx, &document, actor)?;
    if !here {
        came_anew(tx, entry.document)?;
    }
    incoming::observe(phone, tx, verdict.accepted.iter().map(|a| &a.inspected))?;
    u64::try_from(fresh.len()).map(Some).map_err(|_| StoreError::Damaged("count".into()).into())
}
