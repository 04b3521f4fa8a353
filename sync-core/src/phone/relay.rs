//! Relay on the phone: what is unsent leaves as sealed parcels without a network; parcels of others are carried to the next sync;
//! receipts come back. Nothing leaves the outbox but by the server's signed word.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::session::outgoing;
use super::{ChangeNotice, Phone, PhoneError, meet};
use crate::ids::{DocumentId, JournalId};
use crate::limits;
use crate::relay::parcel::{BodyKind, ParcelDigest, receipts_of};
use crate::relay::receipt::Receipt;
use crate::relay::{Container, Content, RelayError, SealingKey};
use crate::store::carried::{self, CarriedParcel, CarriedState};
use crate::store::outbox::OutboxRow;
use crate::store::{StoreError, documents, meta_json, outbox, peers, set_meta_json};
use crate::sync::relay::{ParcelOutcome, RelayAsk, RelayKeys, RelayNews};
use crate::sync::wire::{Bytes, Doubt};

/// What an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelayImport {
    /// Parcels that are carried from now on.
    pub parcels_new: u64,
    /// Parcels that were here before.
    pub parcels_known: u64,
    /// Parcels whose time is over; they were not taken.
    pub parcels_expired: u64,
    /// Receipts that are new here.
    pub receipts_new: u64,
    /// Receipts that are not signed by a key that this phone knows; they were not taken.
    pub receipts_refused: u64,
    /// Changes of this phone of which a receipt says that they are on the server.
    pub acknowledged: u64,
}

/// The keys of the server, as the phone keeps them.
#[derive(Serialize, Deserialize)]
pub(super) struct KnownKeys {
    mark: Vec<u8>,
    seal: [u8; 32],
    /// By which receipts and certificates are verified.
    pub(super) verify: Vec<[u8; 32]>,
}

impl KnownKeys {
    fn of(keys: &RelayKeys) -> Option<Self> {
        let key = |bytes: &Bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok();
        Some(Self {
            mark: keys.mark.to_vec(),
            seal: key(&keys.seal)?,
            verify: keys.verify.iter().map(key).collect::<Option<_>>()?,
        })
    }

    pub(super) fn load(conn: &Connection) -> Result<Option<Self>, StoreError> {
        meta_json(conn, "relay_keys")
    }
}

/// The unsent changes in parts that fit into parcels: in order, the changes of one document together where they fit.
fn parts(conn: &Connection) -> Result<Vec<Vec<OutboxRow>>, PhoneError> {
    let mut statement = conn
        .prepare_cached("SELECT document FROM outbox GROUP BY document ORDER BY min(ordinal)")
        .map_err(StoreError::from)?;
    let ids = statement.query_map([], |r| r.get::<_, String>(0)).map_err(StoreError::from)?;
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for id in ids {
        let id: String = id.map_err(StoreError::from)?;
        let Ok(id) = id.parse::<DocumentId>() else { continue };
        let rows = outbox::of_document(conn, id)?;
        let whole: usize = rows.iter().map(size_of_row).sum();
        if bytes + whole > limits::PARCEL_TARGET_BYTES && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        for row in rows {
            let size = size_of_row(&row);
            let full = bytes + size > limits::PARCEL_TARGET_BYTES || part.len() >= limits::BUNDLE_CHANGES_MAX;
            if full && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += size;
            part.push(row);
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    Ok(parts)
}

/// What a change takes in a bundle: its claim and frame come to some 200 bytes.
fn size_of_row(row: &OutboxRow) -> usize {
    row.bytes.len() + 200
}

impl Phone {
    /// Takes note of the server's journal and public keys for relay and of this phone's certificate, as they are told at
    /// registration; a sync renews them.
    pub fn relay_keys_put(
        &self,
        journal: JournalId,
        keys: &RelayKeys,
        certificate: Option<&[u8]>,
    ) -> Result<(), PhoneError> {
        self.0.store.write(|tx| {
            if meta_json::<JournalId>(tx, "journal")?.is_none() {
                set_meta_json(tx, "journal", &journal)?;
            }
            if let Some(certificate) = certificate {
                meet::put_certificate(tx, certificate)?;
            }
            put_keys(tx, keys)
        })
    }

    /// Everything that is unsent, as parcels for a file, QR codes or any other way. The outbox stays as it is until the server's
    /// word has come: exporting again, or syncing as well, does no harm.
    pub fn relay_export(&self) -> Result<Vec<Container>, PhoneError> {
        let now_ms = self.now_ms()?;
        self.0.store.read(|conn| {
            let who = Self::enrolment(conn)?;
            let keys = KnownKeys::load(conn)?.ok_or(RelayError::NoKey)?;
            let seal = SealingKey::new(keys.seal);
            let mut parcels = Vec::new();
            // What others gave this phone at a meeting goes first: its own may build on it.
            let mut behind = 0;
            loop {
                let kept = peers::after(conn, behind, limits::PARCEL_TARGET_BYTES, limits::PARCEL_BUNDLES_MAX)?;
                let Some(last) = kept.last() else { break };
                behind = last.number;
                let bundles = kept.into_iter().map(|k| k.bundle.bundle).collect();
                parcels.push(Container::seal(&Content { device: who.device, bundles }, &seal, now_ms, &*self.0.host)?);
            }
            for part in parts(conn)? {
                let bundles = outgoing::bundles(self, conn, &who, part)?;
                let content = Content { device: who.device, bundles };
                parcels.push(Container::seal(&content, &seal, now_ms, &*self.0.host)?);
            }
            Ok(parcels)
        })
    }

    /// Takes a relay file: parcels of others are carried, receipts are believed if the server signed them and carried on. All of
    /// it, or nothing.
    pub fn relay_import(&self, bytes: &[u8]) -> Result<RelayImport, PhoneError> {
        let containers = Container::parse_file(bytes)?;
        let now_ms = self.now_ms()?;
        let mut done = RelayImport::default();
        let mut touched = Vec::new();
        self.0.store.write(|tx| -> Result<(), PhoneError> {
            carried::drop_expired(tx, now_ms)?;
            for container in &containers {
                match container.kind {
                    BodyKind::Sealed if container.is_expired(now_ms) => done.parcels_expired += 1,
                    BodyKind::Sealed => match carried::take_up(tx, container, now_ms)? {
                        Ok(true) => done.parcels_new += 1,
                        Ok(false) => done.parcels_known += 1,
                        Err(full) => return Err(RelayError::CarrierFull { max: full.max, what: full.what }.into()),
                    },
                    BodyKind::Receipts => {
                        for receipt in receipts_of(container)? {
                            take_receipt(tx, &receipt, now_ms, &mut done, &mut touched)?;
                        }
                    }
                }
            }
            Ok(())
        })?;
        touched.sort_unstable();
        touched.dedup();
        if !touched.is_empty() {
            self.0.notices.send(&ChangeNotice { documents: touched, from_sync: true });
        }
        Ok(done)
    }

    /// The parcels that this phone carries for others and what became of those that it handed in, in the order they came.
    pub fn relay_carried(&self) -> Result<Vec<CarriedParcel>, PhoneError> {
        self.0.store.read(|conn| Ok(carried::all(conn)?))
    }

    /// The parcels that this phone carries, for another carrier who may meet the network earlier. They stay here too.
    pub fn relay_onward(&self) -> Result<Vec<Container>, PhoneError> {
        let now_ms = self.now_ms()?;
        let parcels = self.0.store.read(|conn| Ok::<_, PhoneError>(carried::all_bytes(conn, now_ms)?))?;
        Ok(parcels.iter().map(|bytes| Container::parse_one(bytes)).collect::<Result<_, _>>()?)
    }

    /// The receipts that this phone carries back, in one container; `None` when there are none.
    pub fn relay_receipts(&self) -> Result<Option<Container>, PhoneError> {
        let now_ms = self.now_ms()?;
        let receipts = self.0.store.read(|conn| Ok::<_, PhoneError>(carried::receipts(conn)?))?;
        // The newest go first into what may be too small for all.
        let mut list: Vec<Bytes> = Vec::new();
        let mut bytes = 0;
        for receipt in receipts.into_iter().rev() {
            bytes += receipt.len();
            if bytes > limits::PARCEL_BYTES_MAX / 2 && !list.is_empty() {
                break;
            }
            list.push(Bytes::from(receipt));
        }
        if list.is_empty() {
            return Ok(None);
        }
        Ok(Some(Container::receipts(&list, now_ms, &*self.0.host)?))
    }
}

fn put_keys(tx: &Transaction<'_>, keys: &RelayKeys) -> Result<(), PhoneError> {
    let keys = KnownKeys::of(keys).ok_or_else(|| PhoneError::Protocol("a relay key has not 32 bytes".into()))?;
    Ok(set_meta_json(tx, "relay_keys", &keys)?)
}

/// Believes a receipt if the server signed it: what it names leaves the outbox, the parcel it is about need not be carried.
fn take_receipt(
    tx: &Transaction<'_>,
    bytes: &[u8],
    now_ms: i64,
    done: &mut RelayImport,
    touched: &mut Vec<DocumentId>,
) -> Result<(), PhoneError> {
    let verify = KnownKeys::load(tx)?.map(|k| k.verify).unwrap_or_default();
    let Some(receipt) = Receipt::verified(bytes, &verify) else {
        done.receipts_refused += 1;
        return Ok(());
    };
    if carried::keep_receipt(tx, &Sha256::digest(bytes).into(), bytes, now_ms)? {
        done.receipts_new += 1;
    }
    if receipt.others == 0
        && let Some(digest) = receipt.digest()
    {
        carried::answered(tx, &digest, &CarriedState::Delivered)?;
    }
    // What stood in a journal that this phone does not know, or knows no more, may have been lost with it.
    if meta_json::<JournalId>(tx, "journal")? != Some(receipt.journal) {
        return Ok(());
    }
    for hash in &receipt.taken {
        let document: Option<String> = tx
            .prepare_cached("SELECT document FROM outbox WHERE hash = ?1")
            .and_then(|mut s| s.query_row([hash.0], |r| r.get(0)).optional())
            .map_err(StoreError::from)?;
        let Some(document) = document.and_then(|d| d.parse().ok()) else { continue };
        outbox::remove(tx, hash)?;
        documents::mark_synced(tx, document, receipt.at_ms)?;
        touched.push(document);
        done.acknowledged += 1;
    }
    documents::forget_wholly(tx)?;
    Ok(())
}

/// Notes which documents the server's receipt proves.
fn note_proofs(tx: &Transaction<'_>, asked: &[Doubt], proof: Option<&Vec<u8>>) -> Result<(), PhoneError> {
    let keys = KnownKeys::load(tx)?.map(|k| k.verify).unwrap_or_default();
    let receipt = proof.and_then(|bytes| Receipt::verified(bytes, &keys));
    let taken: BTreeSet<_> = receipt.map(|r| r.taken).unwrap_or_default().into_iter().collect();
    let good = |d: &Doubt| !d.heads.is_empty() && d.heads.iter().all(|h| taken.contains(h));
    let documents: Vec<_> = asked.iter().map(|d| (d.document, d.heads.clone(), good(d))).collect();
    Ok(peers::proven(tx, proof.map(Vec::as_slice), &documents)?)
}

/// The parcels of one sync: each is handed in once, whatever is answered.
#[derive(Default)]
pub(super) struct Handing {
    asked: Vec<ParcelDigest>,
    done: Vec<ParcelDigest>,
    to_prove: Vec<Doubt>,
    /// Whether the last response was asked for proofs.
    pub(super) proved: bool,
}

impl Handing {
    /// What the next request says about relay. Proofs are asked for when everything else was `settled`.
    pub(super) fn ask(&mut self, phone: &Phone, conn: &Connection, settled: bool) -> Result<RelayAsk, PhoneError> {
        self.to_prove.clear();
        if settled && meet::allowed(conn)? {
            for document in peers::unproven(conn, limits::REQUEST_PROOFS_MAX)? {
                let held = documents::load_readable(conn, document)?;
                let heads = held.map(|d| d.document.heads()).unwrap_or_default();
                self.to_prove.push(Doubt { document, heads });
            }
        }
        let parcels = carried::to_send(conn, &self.done, phone.now_ms()?)?;
        self.asked = parcels.iter().map(|p| Sha256::digest(p).into()).collect();
        Ok(RelayAsk {
            mark: KnownKeys::load(conn)?.map(|k| Bytes::from(k.mark)).unwrap_or_default(),
            certified_until_ms: meet::own_certificate(conn)?.map_or(0, |(c, _)| c.expires_ms),
            prove: self.to_prove.clone(),
            parcels: parcels.into_iter().map(Bytes::from).collect(),
        })
    }

    /// Takes what the server says; gives how many parcels were answered. A server that says nothing of them is asked at the next
    /// sync again.
    pub(super) fn hear(
        &mut self,
        tx: &Transaction<'_>,
        news: Option<&RelayNews>,
        now_ms: i64,
    ) -> Result<u64, PhoneError> {
        self.done.append(&mut self.asked);
        if let Some(keys) = news.and_then(|n| n.keys.as_ref()) {
            put_keys(tx, keys)?;
        }
        self.proved = !self.to_prove.is_empty();
        if self.proved {
            note_proofs(tx, &std::mem::take(&mut self.to_prove), news.and_then(|n| n.proof.as_deref()))?;
        }
        let Some(news) = news else { return Ok(0) };
        if let Some(certificate) = &news.certificate {
            meet::put_certificate(tx, certificate)?;
        }
        let mut answered = 0;
        for answer in &news.parcels {
            let state = match &answer.outcome {
                ParcelOutcome::Taken => CarriedState::Delivered,
                ParcelOutcome::Waiting => CarriedState::Carried,
                ParcelOutcome::Refused(code, _) => CarriedState::Refused(code.clone()),
            };
            carried::answered(tx, &answer.digest, &state)?;
            if let Some(receipt) = &answer.receipt {
                take_receipt(tx, receipt, now_ms, &mut RelayImport::default(), &mut Vec::new())?;
            }
            // What waits for others is where it was: a sync that only hears so has moved nothing.
            answered += u64::from(!matches!(answer.outcome, ParcelOutcome::Waiting));
        }
        Ok(answered)
    }
}
