//! Purging what its owner may no longer see: out of tables, index and log before it is confirmed. What he wrote and has not sent, and what
//! was refused of it, stays: those are his own words. Of what was erased by law only words stay that came too late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use rusqlite::{Connection, Transaction};

use super::session::withdraw;
use super::{Phone, PhoneError};
use crate::error::RefusalCode;
use crate::ids::{AreaCode, DocumentId};
use crate::limits;
use crate::store::{StoreError, meta_json, set_meta_json};
use crate::store::{attachments as files, documents, list, outbox, pledges, thumbnails};
use crate::sync::orders::{Confirmed, PhonePolicy};
use crate::sync::wire::SyncResponse;

const POLICY: &str = "lock_policy";

/// Carries out the orders of an answer; gives how many documents were forgotten.
pub(super) fn obey(
    tx: &Transaction<'_>,
    response: &SyncResponse,
    touched: &mut BTreeSet<DocumentId>,
) -> Result<u64, PhoneError> {
    let mut forgotten = 0;
    let erased: BTreeSet<DocumentId> = response.orders.iter().flat_map(|o| o.erased.iter().copied()).collect();
    let mut purge = |id: DocumentId| -> Result<(), PhoneError> {
        for name in thumbnails::drop_of(tx, id)? {
            note(tx, "file", &name)?;
        }
        let by_law = erased.contains(&id);
        if by_law {
            // Typed meanwhile: a server that is restored now may never have heard of the record, and nobody has it to build on any more.
            let why = (RefusalCode::Erased, "the document was erased by law before this was sent");
            withdraw::keep_unsent(tx, id, why, response.now_ms)?;
        }
        contents(tx, id, by_law)?;
        documents::purge(tx, id)?;
        if by_law {
            // Of what was refused before nothing stays either; what is refused because of the erasure was told above, and is its author's.
            outbox::forget_refused(tx, id, RefusalCode::Erased)?;
        }
        touched.insert(id);
        forgotten += 1;
        Ok(())
    };
    // What a restored server may lack goes only after it was compared and, if this very answer says that it is lacking, handed in: the
    // answer to that orders it once more.
    let wanted: BTreeSet<DocumentId> = response.wanted.iter().map(|w| w.document).collect();
    let open = |id: &DocumentId| Ok::<_, StoreError>(wanted.contains(id) || pledges::is_open(tx, *id)?);
    for id in &response.purge {
        if open(id)? {
            continue;
        }
        purge(*id)?;
        note(tx, "document", &id.to_string())?;
    }
    for community in response.orders.iter().flat_map(|o| &o.communities) {
        for id in documents::ids_of(tx, community)? {
            if !open(&id)? {
                purge(id)?;
            }
        }
        // What is away has left its row, small pictures and perhaps contents.
        for name in thumbnails::drop_of_community(tx, community.as_str())? {
            note(tx, "file", &name)?;
        }
        for id in list::away_of(tx, community.as_str())? {
            contents(tx, id, false)?;
        }
        list::forget_community(tx, community.as_str())?;
        note(tx, "community", community.as_str())?;
    }
    if let Some(policy) = response.orders.as_ref().and_then(|o| o.policy.as_ref()) {
        set_meta_json(tx, POLICY, policy)?;
    }
    if forgotten > 0 || response.orders.iter().any(|o| !o.communities.is_empty()) {
        list::leave_no_trace(tx)?;
    }
    Ok(forgotten)
}

/// Lets go the contents of a record, whole or in part, also of one that had left the phone before. Their files go when nobody can read
/// them any more: before the purge is confirmed.
fn contents(tx: &Transaction<'_>, id: DocumentId, erased: bool) -> Result<(), PhoneError> {
    let held = documents::load_readable(tx, id)?;
    let mut named: BTreeMap<String, bool> = BTreeMap::new();
    for hash in held.iter().flat_map(|d| d.document.attachments().into_keys()) {
        let placed = files::is_placed(tx, &hash)?;
        named.insert(hash, placed);
    }
    // After that: what was placed by this record alone is not any more.
    named.extend(files::purge(tx, id, erased)?);
    for hash in named.into_iter().filter(|(_, placed)| !placed).map(|(hash, _)| hash) {
        files::drop_file(tx, &hash)?;
        note(tx, "file", &hash)?;
    }
    Ok(())
}

fn note(tx: &Transaction<'_>, kind: &str, target: &str) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO purged (kind, target) VALUES (?1, ?2)")?.execute((kind, target))?;
    Ok(())
}

fn waiting(conn: &Connection, kind: &str) -> Result<Vec<String>, StoreError> {
    let max = if kind == "file" { -1 } else { i64::try_from(limits::RESPONSE_PURGES_MAX).unwrap_or(0) };
    let mut statement = conn.prepare_cached("SELECT target FROM purged WHERE kind = ?1 ORDER BY target LIMIT ?2")?;
    let rows = statement.query_map((kind, max), |r| r.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the next request confirms, and the policy that this phone keeps. Purges are confirmed only when nothing of them lingers.
pub(super) fn confirmed(phone: &Phone, conn: &Connection) -> Result<Confirmed, PhoneError> {
    let (documents, communities) = (waiting(conn, "document")?, waiting(conn, "community")?);
    let policy = meta_json::<PhonePolicy>(conn, POLICY)?;
    if documents.len() + communities.len() == 0 || !phone.0.store.scrub()? {
        return Ok(Confirmed { policy, ..Confirmed::default() });
    }
    let turn = phone.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
    for hash in waiting(conn, "file")? {
        // The same content may have been attached anew meanwhile.
        if !thumbnails::is_known(conn, &hash)? {
            phone.0.vault.remove(&hash)?;
        }
    }
    drop(turn);
    Ok(Confirmed {
        documents: documents.iter().filter_map(|d| d.parse().ok()).collect(),
        communities: communities.into_iter().filter_map(|c| AreaCode::new(c).ok()).collect(),
        policy,
    })
}

/// Forgets what the server has heard.
pub(super) fn heard(tx: &Transaction<'_>, confirmed: &Confirmed) -> Result<(), StoreError> {
    let forget = |kind: &str, target: &str| -> Result<(), StoreError> {
        tx.prepare_cached("DELETE FROM purged WHERE kind = ?1 AND target = ?2")?.execute((kind, target))?;
        Ok(())
    };
    for id in &confirmed.documents {
        forget("document", &id.to_string())?;
    }
    confirmed.communities.iter().try_for_each(|c| forget("community", c.as_str()))?;
    if confirmed.documents.len() + confirmed.communities.len() > 0 {
        tx.execute("DELETE FROM purged WHERE kind = 'file'", [])?;
    }
    Ok(())
}

/// The policy that this phone keeps.
pub(super) fn policy(conn: &Connection) -> Result<PhonePolicy, StoreError> {
    Ok(meta_json(conn, POLICY)?.unwrap_or_default())
}
