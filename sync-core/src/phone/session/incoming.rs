//! What comes in: each change through the change firewall, and a record that could no longer be read is made anew from what the
//! server has and what was unsent.

use rusqlite::Transaction;

use super::refork;
use crate::document::{Admission, Document, Inspected, Trust};
use crate::error::RefusalCode;
use crate::ids::ActorId;
use crate::phone::{Phone, PhoneError};
use crate::store::documents::{self, StoredDocument};
use crate::store::outbox;
use crate::store::{StoreError, meta_json, set_meta_json};
use crate::sync::wire::Delivery;
use crate::time::Hlc;

fn broken(e: impl ToString) -> PhoneError {
    PhoneError::Protocol(e.to_string())
}

/// Takes note of when changes of others were made.
pub(in crate::phone) fn observe<'a>(
    phone: &Phone,
    tx: &Transaction<'_>,
    seen: impl Iterator<Item = &'a Inspected>,
) -> Result<(), PhoneError> {
    let hlc = meta_json::<Hlc>(tx, "hlc")?.unwrap_or_default();
    let wall_ms = phone.0.host.now_ms();
    let hlc = seen.fold(hlc, |hlc, i| hlc.observe(Hlc { wall_ms: i.at_ms, count: 0 }, wall_ms));
    Ok(set_meta_json(tx, "hlc", &hlc)?)
}

/// Another change stands where this restored phone has written since: what it wrote is written again under another actor.
fn make_room(
    phone: &Phone,
    tx: &Transaction<'_>,
    document: &Document,
    actor: ActorId,
    changes: &[&[u8]],
) -> Result<Option<(Document, ActorId)>, PhoneError> {
    let lacking = |c: &&&[u8]| Document::links(c).is_some_and(|(hash, _)| !document.has(&hash));
    let Some(Ok(decoded)) = changes.iter().find(lacking).map(|c| Document::decode(c)) else { return Ok(None) };
    let id = document.meta().id;
    let clashing = refork::clashing(tx, id, (decoded.raw.actor, decoded.raw.seq))?;
    if clashing.is_empty() {
        return Ok(None);
    }
    documents::save(tx, document, actor)?;
    phone.take_new_actors(tx)?;
    refork::remake(phone, tx, id, &clashing)?;
    Ok(documents::load(tx, id)?.map(|stored| (stored.document, stored.actor)))
}

/// Applies what came in for one document; gives how many changes were new.
pub(in crate::phone) fn deliver(
    phone: &Phone,
    tx: &Transaction<'_>,
    delivery: &Delivery,
    now_ms: i64,
) -> Result<u64, PhoneError> {
    let mut changes = delivery.changes.iter();
    let mut hlc = meta_json::<Hlc>(tx, "hlc")?.unwrap_or_default();
    let mut observe = |i: &Inspected| hlc = hlc.observe(Hlc { wall_ms: i.at_ms, count: 0 }, phone.0.host.now_ms());
    let stored = phone.passing(tx, delivery.document);
    let damaged = matches!(stored, Err(StoreError::Damaged(_)));
    let mut unsent = Vec::new();
    let mut new = 0;
    let (mut document, mut actor) = match stored {
        Ok(Some(StoredDocument { document, actor, .. })) => (document, actor),
        Ok(None) | Err(StoreError::Damaged(_)) => {
            let first = changes.next().ok_or_else(|| broken("an empty delivery"))?;
            let (document, inspected) = Document::found(first, Trust::Server).map_err(broken)?;
            if document.meta().id != delivery.document {
                return Err(broken("a delivery holds another document than it says"));
            }
            observe(&inspected);
            new += 1;
            unsent = outbox::of_document(tx, delivery.document)?;
            // How far the actor of the lost record had come is not known for sure: nobody writes under it again.
            let anew = damaged || !unsent.is_empty();
            (document, if anew { ActorId(phone.0.host.sixteen()) } else { Phone::actor(tx)? })
        }
        Err(e) => return Err(e.into()),
    };
    let changes: Vec<&[u8]> = changes.map(|c| &***c).collect();
    let (mut applied, mut outcome) = document.admit_all(changes.iter().copied(), Trust::Server);
    if outcome.as_ref().is_err_and(|e| e.code == RefusalCode::Fork)
        && let Some((mended, under)) = make_room(phone, tx, &document, actor, &changes)?
    {
        (document, actor) = (mended, under);
        let (more, again) = document.admit_all(changes.iter().copied(), Trust::Server);
        applied.extend(more);
        outcome = again;
    }
    new += u64::try_from(applied.len()).unwrap_or(0);
    applied.iter().for_each(&mut observe);
    if damaged {
        documents::set_aside(tx, delivery.document, now_ms)?;
    }
    // What this phone made and nobody has acknowledged belongs to a record that comes back; what does not fit stays unsent.
    for row in unsent {
        if let Ok(Admission::Applied(_)) = document.admit(&row.bytes, Trust::Server, |_, _| Ok(())) {
            new += 1;
        }
    }
    if new > 0 {
        let bytes = documents::save(tx, &document, actor)?;
        set_meta_json(tx, "hlc", &hlc)?;
        phone.still_open(document, bytes);
    }
    outcome.map(|()| new).map_err(broken)
}
