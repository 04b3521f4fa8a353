//! The server's pledges, and its receipts that other phones gave, each kept as long as it is the newest word on some change of some
//! document; and the documents that are to be handed in to a restored server.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction};

use super::StoreError;
use super::documents;
use crate::document::{ChangeHash, Document};
use crate::ids::DocumentId;
use crate::relay::receipt::Receipt;
use crate::sync::pledge::{Pledge, Pledged};
use crate::sync::wire::Bytes;

fn hashes(bytes: &[u8]) -> Vec<ChangeHash> {
    bytes.as_chunks::<32>().0.iter().map(|h| ChangeHash(*h)).collect()
}

/// Keeps a pledge with the documents that it is about, as far as they are here; drops what it makes superfluous.
pub fn keep(tx: &Transaction<'_>, pledge: &Pledge, pledged: &Pledged) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO pledges (journal, at_ms, signature, list) VALUES (?1, ?2, ?3, ?4)")?.execute((
        pledge.journal.to_string(),
        pledge.at_ms,
        pledge.signature.as_slice(),
        pledge.list.as_slice(),
    ))?;
    cover(tx, pledged)
}

/// The same for a receipt of the server that another phone gave with the changes that it proves.
pub fn keep_receipt(
    tx: &Transaction<'_>,
    receipt: &Receipt,
    bytes: &[u8],
    pledged: &Pledged,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO pledges (journal, at_ms, signature, list, receipt) VALUES (?1, ?2, x'', x'', ?3)")?
        .execute((receipt.journal.to_string(), receipt.at_ms, bytes))?;
    cover(tx, pledged)
}

/// The one kept last is the newest word on these changes.
fn cover(tx: &Transaction<'_>, pledged: &Pledged) -> Result<(), StoreError> {
    let number = tx.last_insert_rowid();
    let mut superseded: BTreeSet<i64> = [number].into();
    for (document, fresh) in pledged {
        let before = of(tx, *document)?;
        for hash in fresh {
            // A document that is not here needs no proof.
            tx.prepare_cached(
                "INSERT INTO pledged (document, hash, pledge) SELECT ?1, ?2, ?3 \
                 WHERE EXISTS (SELECT 1 FROM documents WHERE id = ?1) \
                 ON CONFLICT (document, hash) DO UPDATE SET pledge = ?3",
            )?
            .execute((document.to_string(), hash.0, number))?;
        }
        if before.is_empty() {
            continue;
        }
        superseded.extend(before.iter().map(|(_, pledge)| *pledge));
        let Some(stored) = documents::load_readable(tx, *document)? else { continue };
        let mut below = covered(&stored.document, fresh.iter().copied());
        below.retain(|hash| !fresh.contains(hash));
        for (hash, _) in before.iter().filter(|(hash, _)| below.contains(hash)) {
            tx.prepare_cached("DELETE FROM pledged WHERE document = ?1 AND hash = ?2")?
                .execute((document.to_string(), hash.0))?;
        }
    }
    for number in superseded {
        tx.prepare_cached("DELETE FROM pledges WHERE number = ?1 AND number NOT IN (SELECT pledge FROM pledged)")?
            .execute([number])?;
    }
    Ok(())
}

/// These changes and all that they build on.
pub fn covered(document: &Document, heads: impl Iterator<Item = ChangeHash>) -> BTreeSet<ChangeHash> {
    let mut covered: BTreeSet<ChangeHash> = heads.collect();
    for change in document.history().iter().rev() {
        if covered.contains(&change.hash) {
            covered.extend(change.deps.iter().copied());
        }
    }
    covered
}

/// The pledged changes of a document, each with the number of its pledge.
pub fn of(conn: &Connection, document: DocumentId) -> Result<Vec<(ChangeHash, i64)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT hash, pledge FROM pledged WHERE document = ?1")?;
    let rows = statement.query_map([document.to_string()], |r| Ok((ChangeHash(r.get(0)?), r.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The server's word, however it came here.
pub enum Word {
    /// With one of its answers to this phone.
    Pledge(Pledge),
    /// With what another phone gave: the receipt as it is signed.
    Receipt(Bytes),
}

/// One of them.
pub fn word(conn: &Connection, number: i64) -> Result<Word, StoreError> {
    let query = "SELECT journal, at_ms, signature, list, receipt FROM pledges WHERE number = ?1";
    type Row = (String, i64, Vec<u8>, Vec<u8>, Option<Vec<u8>>);
    let (journal, at_ms, signature, list, receipt): Row = conn
        .prepare_cached(query)?
        .query_row([number], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))?;
    if let Some(receipt) = receipt {
        return Ok(Word::Receipt(Bytes::from(receipt)));
    }
    let journal = journal.parse().map_err(|_| StoreError::Damaged(format!("pledge {number}")))?;
    Ok(Word::Pledge(Pledge { journal, at_ms, signature: Bytes::from(signature), list: Bytes::from(list) }))
}

/// Drops pledges of which no document is here any more.
pub fn drop_unused(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM pledges WHERE number NOT IN (SELECT pledge FROM pledged)", [])?;
    Ok(())
}

/// Notes that a document is to be handed in: the server has these heads of it.
pub fn hand_in(tx: &Transaction<'_>, document: DocumentId, heads: &[ChangeHash]) -> Result<(), StoreError> {
    let heads: Vec<u8> = heads.iter().flat_map(|h| h.0).collect();
    tx.prepare_cached("INSERT OR REPLACE INTO resupply (document, heads) VALUES (?1, ?2)")?
        .execute((document.to_string(), heads))?;
    Ok(())
}

/// Notes that the server has answered for a document.
pub fn handed_in(tx: &Transaction<'_>, document: DocumentId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM resupply WHERE document = ?1")?.execute([document.to_string()])?;
    Ok(())
}

/// Forgets what was to be handed in.
pub fn hand_in_nothing(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM resupply", [])?;
    Ok(())
}

/// The documents to be handed in, with what the server has of each.
pub fn waiting(conn: &Connection) -> Result<Vec<(DocumentId, Vec<ChangeHash>)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT document, heads FROM resupply ORDER BY document")?;
    let rows = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
    let rows: Vec<(String, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter_map(|(id, heads)| Some((id.parse().ok()?, hashes(&heads)))).collect())
}

/// Whether a document is still to be compared or handed in.
pub fn is_open(conn: &Connection, document: DocumentId) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT 1 FROM doubts WHERE document = ?1) OR EXISTS (SELECT 1 FROM resupply WHERE document = ?1)";
    Ok(conn.prepare_cached(query)?.query_row([document.to_string()], |r| r.get(0))?)
}

/// How many documents are in doubt or to be handed in.
pub fn open_count(conn: &Connection) -> Result<u64, StoreError> {
    let n: i64 =
        conn.query_row("SELECT (SELECT count(*) FROM doubts) + (SELECT count(*) FROM resupply)", [], |r| r.get(0))?;
    Ok(u64::try_from(n).unwrap_or(0))
}
