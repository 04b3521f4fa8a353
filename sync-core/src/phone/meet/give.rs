//! What this phone tells and gives another: only of documents that the other may see by its certificate, only with proof.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::authority::{Place, Subject};
use crate::document::{ChangeHash, Document, RawChange};
use crate::ids::DocumentId;
use crate::limits;
use crate::phone::session::outgoing;
use crate::phone::{Phone, PhoneError};
use crate::relay::certificate::Certificate;
use crate::relay::meet::{Gift, Held, PeerBundle};
use crate::store::outbox::OutboxRow;
use crate::store::{StoreError, documents, outbox, peers};
use crate::sync::wire::{Bytes, Delivery};

/// A document larger than this does not fit into a message.
const DELIVERY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The documents that the other may see, last changed first.
fn visible(conn: &Connection, subject: &Subject) -> Result<Vec<(DocumentId, Document)>, PhoneError> {
    let communities: BTreeSet<String> = subject.communities().iter().map(ToString::to_string).collect();
    let mut statement = conn
        .prepare_cached("SELECT document, community FROM list ORDER BY changed_ms DESC, document")
        .map_err(StoreError::from)?;
    let rows =
        statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).map_err(StoreError::from)?;
    let mut all = Vec::new();
    for row in rows {
        let (id, community) = row.map_err(StoreError::from)?;
        if all.len() >= limits::MEET_DOCUMENTS_MAX {
            break;
        }
        let Some(id) = id.parse().ok().filter(|_| communities.contains(&community)) else { continue };
        let Some(stored) = documents::load_readable(conn, id)? else { continue };
        if subject.may_read(&Place::of(&stored.document)) {
            all.push((id, stored.document));
        }
    }
    Ok(all)
}

/// The heads of what this phone holds of what the other may see.
pub(super) fn held(phone: &Phone, peer: &Certificate) -> Result<Vec<Held>, PhoneError> {
    let subject = peer.subject(phone.now_ms()?);
    phone.0.store.read(|conn| {
        let all = visible(conn, &subject)?;
        Ok(all.into_iter().map(|(document, d)| Held { document, heads: d.heads() }).collect())
    })
}

/// What the other lacks, in messages.
pub(super) fn gifts(phone: &Phone, peer: &Certificate, theirs: Vec<Held>) -> Result<Vec<Gift>, PhoneError> {
    let now_ms = phone.now_ms()?;
    let subject = peer.subject(now_ms);
    let theirs: BTreeMap<DocumentId, Vec<ChangeHash>> = theirs.into_iter().map(|h| (h.document, h.heads)).collect();
    phone.0.store.read(|conn| {
        let mut pile = Pile::default();
        for (id, document) in visible(conn, &subject)? {
            let known = theirs.get(&id).map(Vec::as_slice).unwrap_or_default();
            let missing = document.changes_since(known);
            if missing.is_empty() {
                continue;
            }
            if let Some((receipt, delivery)) = journal(conn, &document, &missing)? {
                pile.add_delivery(conn, receipt, delivery)?;
            }
            let missing: BTreeSet<ChangeHash> = missing.iter().map(|c| c.hash).collect();
            for bundle in of_others(conn, id, &missing, now_ms)? {
                pile.add_bundle(bundle);
            }
            for bundle in own(conn, phone, id, &missing)? {
                pile.add_bundle(bundle);
            }
            if pile.total > limits::MEET_BYTES_MAX / 2 {
                break;
            }
        }
        Ok(pile.gifts)
    })
}

/// What of the missing changes the server has proven to stand in the journal: all that its proven heads build on.
fn journal(
    conn: &Connection,
    document: &Document,
    missing: &[RawChange],
) -> Result<Option<(i64, Delivery)>, PhoneError> {
    let meta = document.meta();
    let Some((heads, receipt)) = peers::proof(conn, meta.id)? else { return Ok(None) };
    let mut proven: BTreeSet<ChangeHash> = heads.into_iter().collect();
    for change in document.history().iter().rev() {
        if proven.contains(&change.hash) {
            proven.extend(change.deps.iter().copied());
        }
    }
    let given = missing.iter().filter(|c| proven.contains(&c.hash));
    let changes: Vec<Bytes> = given.map(|c| Bytes::from(c.bytes.clone())).collect();
    let size: usize = changes.iter().map(|c| c.len()).sum();
    if changes.is_empty() || size > DELIVERY_BYTES_MAX {
        return Ok(None);
    }
    let delivery = Delivery { document: meta.id, kind: meta.kind, community: meta.community.clone(), changes };
    Ok(Some((receipt, delivery)))
}

/// Bundles that came from others, as far as their certificates still hold.
fn of_others(
    conn: &Connection,
    id: DocumentId,
    missing: &BTreeSet<ChangeHash>,
    now_ms: i64,
) -> Result<Vec<PeerBundle>, PhoneError> {
    let keys = super::KnownKeys::load(conn)?.map(|k| k.verify).unwrap_or_default();
    let mut out = Vec::new();
    for kept in peers::of_document(conn, id)? {
        let lacks = peers::changes_in(conn, kept.number)?.iter().any(|(hash, _)| missing.contains(hash));
        let holds = Certificate::verified(&kept.bundle.certificate, &keys).is_some_and(|c| c.holds(now_ms));
        if lacks && holds {
            out.push(kept.bundle);
        }
    }
    Ok(out)
}

/// What the person of this phone made and no server has acknowledged, signed document by document.
fn own(
    conn: &Connection,
    phone: &Phone,
    id: DocumentId,
    missing: &BTreeSet<ChangeHash>,
) -> Result<Vec<PeerBundle>, PhoneError> {
    let Some((certificate, bytes)) = super::own_certificate(conn)? else { return Ok(Vec::new()) };
    let who = Phone::enrolment(conn)?;
    let mut parts: Vec<Vec<OutboxRow>> = Vec::new();
    let mut size = 0;
    for row in outbox::of_document(conn, id)? {
        if row.author != certificate.user || !missing.contains(&row.hash) {
            continue;
        }
        size += row.bytes.len() + 200;
        match parts.last_mut() {
            Some(part) if size <= limits::PARCEL_TARGET_BYTES && part.len() < limits::BUNDLE_CHANGES_MAX => {
                part.push(row)
            }
            _ => {
                size = row.bytes.len() + 200;
                parts.push(vec![row]);
            }
        }
    }
    let mut out = Vec::new();
    for part in parts {
        let bundles = outgoing::bundles(phone, conn, &who, part)?;
        let certificate = Bytes::from(bytes.clone());
        out.extend(bundles.into_iter().map(|bundle| PeerBundle { certificate: certificate.clone(), bundle }));
    }
    Ok(out)
}

#[derive(Default)]
struct Pile {
    gifts: Vec<Gift>,
    size: usize,
    total: usize,
    receipts: BTreeSet<i64>,
}

impl Pile {
    fn gift(&mut self, size: usize) -> Option<&mut Gift> {
        if self.gifts.is_empty() || self.size + size > limits::MEET_MESSAGE_TARGET_BYTES {
            self.gifts.push(Gift::default());
            self.size = 0;
        }
        self.size += size;
        self.total += size;
        self.gifts.last_mut()
    }

    fn add_delivery(&mut self, conn: &Connection, receipt: i64, delivery: Delivery) -> Result<(), PhoneError> {
        if self.receipts.insert(receipt) {
            let bytes = peers::proof_receipt(conn, receipt)?;
            if let Some(gift) = self.gift(bytes.len()) {
                gift.receipts.push(Bytes::from(bytes));
            }
        }
        let size = delivery.changes.iter().map(|c| c.len() + 8).sum();
        if let Some(gift) = self.gift(size) {
            gift.deliveries.push(delivery);
        }
        Ok(())
    }

    fn add_bundle(&mut self, bundle: PeerBundle) {
        if let Some(gift) = self.gift(bundle.bundle.payload.len() + bundle.certificate.len() + 100) {
            gift.bundles.push(bundle);
        }
    }
}
