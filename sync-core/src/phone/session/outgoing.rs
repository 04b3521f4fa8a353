//! What goes out: the outbox in order, signed for the person who wrote it; and what a restored server has lost.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, Transaction};

use crate::document::{ChangeHash, Document, Trust};
use crate::ids::{ActorId, BundleId, DeviceId, DocumentId, UserId};
use crate::limits;
use crate::phone::{Enrolment, Phone, PhoneError};
use crate::store::outbox::{self, OutboxRow};
use crate::store::{actors, documents};
use crate::sync::wire::{Bundle, BundleChange, BundleEntry, Bytes, SignedBundle};
use crate::time::{Hlc, TimeClaim};

/// How many rows are read at once: a row may be a quarter of a megabyte.
const PAGE: i64 = 64;

/// A signed bundle with what it holds, so that the server's word on the bundle can be told of the records in it.
pub(super) struct Sealed {
    pub(super) signed: SignedBundle,
    pub(super) device: DeviceId,
    pub(super) documents: Vec<DocumentId>,
}

/// What the next request carries, leaving these documents out, and how many changes stay behind it.
pub(in crate::phone) fn take(
    conn: &Connection,
    left_out: &BTreeSet<DocumentId>,
) -> Result<(Vec<OutboxRow>, u64), PhoneError> {
    let mut rows: Vec<OutboxRow> = Vec::new();
    let (mut bytes, mut ordinal, mut full) = (0, 0, false);
    while !full {
        let page = outbox::after(conn, ordinal, PAGE)?;
        let Some(last) = page.last() else { break };
        ordinal = last.ordinal;
        for row in page.into_iter().filter(|r| !left_out.contains(&r.document)) {
            bytes += row.bytes.len() + 200;
            // A single change larger than the target still travels, alone.
            full =
                rows.len() >= limits::BUNDLE_CHANGES_MAX || (bytes > limits::REQUEST_TARGET_BYTES && !rows.is_empty());
            if full {
                break;
            }
            rows.push(row);
        }
    }
    let left = outbox::count(conn, None)?.saturating_sub(u64::try_from(rows.len()).unwrap_or(0));
    Ok((rows, left))
}

/// Signs what is to be sent: one bundle for each person, as the device that the phone was when he wrote; one entry for each document.
pub(in crate::phone) fn bundles(
    phone: &Phone,
    conn: &Connection,
    who: &Enrolment,
    rows: Vec<OutboxRow>,
) -> Result<Vec<SignedBundle>, PhoneError> {
    Ok(seal(phone, conn, who, rows)?.0.into_iter().map(|s| s.signed).collect())
}

/// As [`bundles`], with what each holds; and the documents of which nobody can tell any more what they are, which no bundle holds.
pub(super) fn seal(
    phone: &Phone,
    conn: &Connection,
    who: &Enrolment,
    rows: Vec<OutboxRow>,
) -> Result<(Vec<Sealed>, Vec<DocumentId>), PhoneError> {
    let mut by_author: BTreeMap<(DeviceId, UserId), Vec<OutboxRow>> = BTreeMap::new();
    for row in rows {
        // A server that has forgotten this phone knows it under its new number only.
        let device = match actors::owner(conn, row.actor)? {
            Some(owner) if row.author != who.user => owner.device,
            _ => who.device,
        };
        by_author.entry((device, row.author)).or_default().push(row);
    }
    let (mut out, mut unknown) = (Vec::new(), Vec::new());
    for ((device, user), rows) in by_author {
        let actors: BTreeSet<ActorId> = rows.iter().map(|r| r.actor).collect();
        let named: BTreeSet<i64> = rows.iter().filter_map(|r| r.at.anchor.map(|a| a.token_ms)).collect();
        let mut tokens = Vec::new();
        for issued in named {
            tokens.extend(documents::token(conn, issued)?.map(Bytes::from));
        }
        let mut entries: Vec<BundleEntry> = Vec::new();
        for row in rows {
            let change = BundleChange { at: row.at, bytes: Bytes::from(row.bytes) };
            if let Some(entry) = entries.iter_mut().find(|e| e.document == row.document) {
                entry.changes.push(change);
                continue;
            }
            // Not from the document: one that can no longer be read must not keep its own changes back, nor others'.
            let (kind, community) = match documents::envelope(conn, row.document)? {
                Some(known) => known,
                None => match Document::found(&change.bytes, Trust::Stranger) {
                    Ok((document, _)) => (document.meta().kind, document.meta().community.clone()),
                    Err(_) => {
                        unknown.push(row.document);
                        continue;
                    }
                },
            };
            entries.push(BundleEntry { document: row.document, kind, community, changes: vec![change] });
        }
        if entries.is_empty() {
            continue;
        }
        let documents = entries.iter().map(|e| e.document).collect();
        let id = BundleId::from_parts(phone.0.host.now_ms(), phone.0.host.ten());
        let bundle = Bundle { id, device, user, actors: actors.into_iter().collect(), tokens, entries };
        let signed = phone.0.key.seal(&bundle).map_err(|e| PhoneError::Protocol(e.to_string()))?;
        out.push(Sealed { signed, device, documents });
    }
    Ok((out, unknown))
}

/// Sends again what the server lacks of a document and this phone wrote, under whichever of its actors and for whomever. Gives
/// whether others wrote something of it, which this phone cannot send.
pub(in crate::phone) fn supply(
    tx: &Transaction<'_>,
    document: &Document,
    heads: &[ChangeHash],
) -> Result<bool, PhoneError> {
    let history: BTreeMap<ChangeHash, i64> = document.history().into_iter().map(|c| (c.hash, c.at_ms)).collect();
    let mut of_others = false;
    for change in document.changes_since(heads) {
        let Some(owner) = actors::owner(tx, change.actor)? else {
            of_others = true;
            continue;
        };
        // Its evidence went with the acknowledgement; what is left is its author's word.
        let wall_ms = history.get(&change.hash).copied().unwrap_or_default();
        let at = TimeClaim { hlc: Hlc { wall_ms, count: 0 }, anchor: None };
        outbox::push(tx, document.meta().id, owner.author, &change, &at)?;
    }
    Ok(of_others)
}
