//! What phones gave each other: whom this one has met, the bundles of others that it must still hand in, and the server's proofs of
//! what stands in the journal.

use rusqlite::{Connection, OptionalExtension, Transaction};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::document::ChangeHash;
use crate::ids::{DeviceId, DocumentId};
use crate::limits;
use crate::relay::meet::PeerBundle;
use crate::sync::wire::{Bytes, from_cbor, to_cbor};

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

/// The certificate that a phone showed when it was last met.
pub fn met(conn: &Connection, device: DeviceId) -> Result<Option<Vec<u8>>, StoreError> {
    let query = "SELECT certificate FROM peers WHERE device = ?1";
    Ok(conn.prepare_cached(query)?.query_row([device.to_string()], |r| r.get(0)).optional()?)
}

/// Notes that a phone was met.
pub fn note_met(tx: &Transaction<'_>, device: DeviceId, certificate: &[u8], now_ms: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO peers (device, certificate, met_ms) VALUES (?1, ?2, ?3) \
         ON CONFLICT (device) DO UPDATE SET certificate = ?2, met_ms = ?3",
        (device.to_string(), certificate, now_ms),
    )?;
    Ok(())
}

/// Forgets that a phone was met: the next meeting with it is a first one.
pub fn forget_met(tx: &Transaction<'_>, device: DeviceId) -> Result<bool, StoreError> {
    Ok(tx.execute("DELETE FROM peers WHERE device = ?1", [device.to_string()])? > 0)
}

/// Keeps a bundle of somebody until a server has spoken of its changes. `false` when there is no room.
pub fn keep(
    tx: &Transaction<'_>,
    bundle: &PeerBundle,
    document: DocumentId,
    changes: &[ChangeHash],
) -> Result<bool, StoreError> {
    let mut fresh = Vec::new();
    for hash in changes {
        let known: i64 = tx.query_row("SELECT count(*) FROM peer_changes WHERE hash = ?1", [hash.0], |r| r.get(0))?;
        if known == 0 {
            fresh.push(hash);
        }
    }
    if fresh.is_empty() {
        return Ok(true);
    }
    let size = bundle.bundle.payload.len() + bundle.certificate.len();
    let (count, bytes): (i64, i64) =
        tx.query_row("SELECT count(*), coalesce(sum(size), 0) FROM peer_bundles", [], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if usize::try_from(count).unwrap_or(usize::MAX) >= limits::PEER_BUNDLES_MAX
        || bytes.saturating_add(size) > limits::PEER_BUNDLES_BYTES_MAX
    {
        return Ok(false);
    }
    let digest: [u8; 32] = Sha256::digest(&bundle.bundle.payload).into();
    let stored = to_cbor(&bundle.bundle).map_err(|e| StoreError::Sql(e.to_string()))?;
    tx.execute(
        "INSERT OR IGNORE INTO peer_bundles (digest, certificate, bundle, size) VALUES (?1, ?2, ?3, ?4)",
        (digest, bundle.certificate.as_slice(), stored, i64::try_from(size).unwrap_or(i64::MAX)),
    )?;
    for hash in fresh {
        tx.execute(
            "INSERT INTO peer_changes (hash, document, bundle) \
             SELECT ?1, ?2, number FROM peer_bundles WHERE digest = ?3",
            (hash.0, document.to_string(), digest),
        )?;
    }
    Ok(true)
}

/// A bundle that is kept for others.
#[derive(Debug, Clone)]
pub struct KeptBundle {
    /// Its place in the order they came.
    pub number: i64,
    /// The bundle with its certificate.
    pub bundle: PeerBundle,
}

fn read(conn: &Connection, which: &str, values: impl rusqlite::Params) -> Result<Vec<KeptBundle>, StoreError> {
    let sql = format!("SELECT number, certificate, bundle FROM peer_bundles WHERE {which} ORDER BY number");
    let mut statement = conn.prepare_cached(&sql)?;
    type Row = (i64, Vec<u8>, Vec<u8>);
    let rows = statement.query_map(values, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    let one = |(number, certificate, bundle): Row| {
        let bundle = from_cbor(&bundle).map_err(|_| damaged("a bundle of a peer"))?;
        Ok(KeptBundle { number, bundle: PeerBundle { certificate: Bytes::from(certificate), bundle } })
    };
    rows.into_iter().map(one).collect()
}

/// The bundles kept for a document.
pub fn of_document(conn: &Connection, id: DocumentId) -> Result<Vec<KeptBundle>, StoreError> {
    read(conn, "number IN (SELECT bundle FROM peer_changes WHERE document = ?1)", [id.to_string()])
}

/// Bundles behind a place, in the order they came, up to about so many bytes.
pub fn after(
    conn: &Connection,
    number: i64,
    bytes_max: usize,
    count_max: usize,
) -> Result<Vec<KeptBundle>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT number, size FROM peer_bundles WHERE number > ?1 ORDER BY number")?;
    let rows = statement.query_map([number], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))?;
    let (mut last, mut sum, mut count) = (number, 0, 0);
    for row in rows {
        let (n, size) = row?;
        sum += usize::try_from(size).unwrap_or(usize::MAX / 4);
        count += 1;
        if count > count_max || (sum > bytes_max && count > 1) {
            break;
        }
        last = n;
    }
    read(conn, "number > ?1 AND number <= ?2", [number, last])
}

/// The changes of a document that came from phone to phone and of which no server has spoken.
pub fn changes_of(conn: &Connection, id: DocumentId) -> Result<Vec<ChangeHash>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT hash FROM peer_changes WHERE document = ?1")?;
    let rows = statement.query_map([id.to_string()], |r| r.get::<_, [u8; 32]>(0))?;
    Ok(rows.map(|h| h.map(ChangeHash)).collect::<Result<_, _>>()?)
}

/// The changes of a bundle of which no server has spoken, with their document.
pub fn changes_in(conn: &Connection, bundle: i64) -> Result<Vec<(ChangeHash, DocumentId)>, StoreError> {
    let mut statement = conn.prepare_cached("SELECT hash, document FROM peer_changes WHERE bundle = ?1")?;
    let rows = statement.query_map([bundle], |r| Ok((r.get::<_, [u8; 32]>(0)?, r.get::<_, String>(1)?)))?;
    let rows: Vec<([u8; 32], String)> = rows.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter_map(|(h, d)| Some((ChangeHash(h), d.parse().ok()?))).collect())
}

/// A server has spoken of a change: it need not be handed in any more. Gives whether it was one of these.
pub fn settle(tx: &Transaction<'_>, hash: &ChangeHash) -> Result<bool, StoreError> {
    Ok(tx.prepare_cached("DELETE FROM peer_changes WHERE hash = ?1")?.execute([hash.0])? > 0)
}

/// Drops bundles of which nothing is open.
pub fn drop_settled(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM peer_bundles WHERE number NOT IN (SELECT bundle FROM peer_changes)", [])?;
    Ok(())
}

/// Documents whose heads the server should prove: those that changed and of which nothing is open.
pub fn unproven(conn: &Connection, limit: usize) -> Result<Vec<DocumentId>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT document FROM unproven WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.document = unproven.document) \
         AND NOT EXISTS (SELECT 1 FROM peer_changes WHERE peer_changes.document = unproven.document) LIMIT ?1",
    )?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |r| r.get::<_, String>(0))?;
    let ids: Vec<String> = rows.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
}

/// Notes what the server has proven of documents: their heads, by one receipt. Those that it could not prove are asked for again
/// when they change.
pub fn proven(
    tx: &Transaction<'_>,
    receipt: Option<&[u8]>,
    documents: &[(DocumentId, Vec<ChangeHash>, bool)],
) -> Result<(), StoreError> {
    let mut number = None;
    for (id, heads, good) in documents {
        tx.execute("DELETE FROM unproven WHERE document = ?1", [id.to_string()])?;
        let (true, Some(bytes)) = (*good, receipt) else { continue };
        let number = match number {
            Some(number) => number,
            None => {
                tx.execute("INSERT INTO proof_receipts (bytes) VALUES (?1)", [bytes])?;
                *number.insert(tx.last_insert_rowid())
            }
        };
        let heads: Vec<u8> = heads.iter().flat_map(|h| h.0).collect();
        tx.execute(
            "INSERT INTO proofs (document, heads, receipt) VALUES (?1, ?2, ?3) \
             ON CONFLICT (document) DO UPDATE SET heads = ?2, receipt = ?3",
            (id.to_string(), heads, number),
        )?;
    }
    tx.execute("DELETE FROM proof_receipts WHERE number NOT IN (SELECT receipt FROM proofs)", [])?;
    Ok(())
}

/// Another journal: what the old one proved proves nothing any more.
pub fn forget_proofs(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute_batch(
        "DELETE FROM proofs; DELETE FROM proof_receipts; INSERT OR IGNORE INTO unproven (document) SELECT id FROM documents;",
    )?;
    Ok(())
}

/// The proven heads of a document and the number of the receipt that proves them.
pub fn proof(conn: &Connection, id: DocumentId) -> Result<Option<(Vec<ChangeHash>, i64)>, StoreError> {
    let row: Option<(Vec<u8>, i64)> = conn
        .prepare_cached("SELECT heads, receipt FROM proofs WHERE document = ?1")?
        .query_row([id.to_string()], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let heads = |bytes: &[u8]| bytes.as_chunks::<32>().0.iter().map(|h| ChangeHash(*h)).collect();
    Ok(row.map(|(bytes, receipt)| (heads(&bytes), receipt)))
}

/// A receipt that proves heads.
pub fn proof_receipt(conn: &Connection, number: i64) -> Result<Vec<u8>, StoreError> {
    Ok(conn.query_row("SELECT bytes FROM proof_receipts WHERE number = ?1", [number], |r| r.get(0))?)
}
