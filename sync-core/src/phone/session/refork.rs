//! What a phone that was restored from a backup wrote where its actor had been already: written again under a new actor, in the place
//! of the first writing. Nothing typed is lost, and nobody need type it again.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Transaction;

use crate::document::{Admission, ChangeHash, Document, Trust};
use crate::ids::{ActorId, DocumentId};
use crate::phone::{Phone, PhoneError};
use crate::store::actors;
use crate::store::documents::{self, StoredDocument};
use crate::store::outbox::{self, OutboxRow};

/// Writes unsent changes of a document again, with what builds on them. Gives what was written again; empty when it cannot be done, and
/// nothing was changed then.
pub(super) fn remake(
    phone: &Phone,
    tx: &Transaction<'_>,
    id: DocumentId,
    forked: &BTreeSet<ChangeHash>,
) -> Result<BTreeSet<ChangeHash>, PhoneError> {
    let Some(StoredDocument { document, .. }) = documents::load_readable(tx, id)? else { return Ok(BTreeSet::new()) };
    let mut moved = forked.clone();
    for change in document.history() {
        if change.deps.iter().any(|d| moved.contains(d)) {
            moved.insert(change.hash);
        }
    }
    let rows: BTreeMap<ChangeHash, OutboxRow> =
        outbox::of_document(tx, id)?.into_iter().map(|row| (row.hash, row)).collect();
    let (again, kept): (Vec<_>, Vec<_>) = document.changes().into_iter().partition(|c| moved.contains(&c.hash));
    // Somebody else's, or acknowledged: not this phone's to write again. Nor is what a record begins with.
    if again.is_empty() || kept.is_empty() || again.iter().any(|c| !rows.contains_key(&c.hash)) {
        return Ok(BTreeSet::new());
    }
    let actor = ActorId(phone.0.host.sixteen());
    let bytes: Vec<Vec<u8>> = again.into_iter().map(|c| c.bytes).collect();
    let Ok(remade) = Document::remake(&bytes, actor) else { return Ok(BTreeSet::new()) };
    let Ok(mut agreed) = Document::from_changes(kept.iter().map(|c| c.bytes.as_slice()), Trust::Server) else {
        return Ok(BTreeSet::new());
    };
    for (_, change) in &remade {
        match agreed.admit(&change.bytes, Trust::Server, |_, _| Ok(())) {
            Ok(Admission::Applied(_)) => {}
            _ => return Ok(BTreeSet::new()),
        }
    }
    for (former, change) in &remade {
        let Some(row) = rows.get(former) else { continue };
        if let Some(owner) = actors::owner(tx, row.actor)? {
            actors::note(tx, actor, owner)?;
        }
        outbox::remove(tx, former)?;
        outbox::push(tx, id, row.author, change, &row.at)?;
        outbox::note_remade(tx, former, &change.hash)?;
    }
    documents::save(tx, &agreed, actor)?;
    Ok(moved)
}

/// Unsent changes of a document whose place another change of their actor holds: `place` is where that one stands.
pub(super) fn clashing(
    tx: &Transaction<'_>,
    id: DocumentId,
    place: (ActorId, u64),
) -> Result<BTreeSet<ChangeHash>, PhoneError> {
    let mut clashing = BTreeSet::new();
    for row in outbox::of_document(tx, id)?.into_iter().filter(|row| row.actor == place.0) {
        if let Ok(decoded) = Document::decode(&row.bytes)
            && decoded.raw.seq >= place.1
        {
            clashing.insert(row.hash);
        }
    }
    Ok(clashing)
}
