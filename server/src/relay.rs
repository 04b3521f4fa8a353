//! Parcels that others carried here, over a phone's sync, a clerk's upload or a file. Each is opened and settled in a transaction of
//! its own, and its bundles are judged exactly as if their authors' phones had sent them; who carried it counts for nothing.

use diesel::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sync_core::document::ChangeHash;
use sync_core::error::{Refusal, RefusalCode};
use sync_core::ids::{BundleId, DeviceId, DocumentId, Entropy, UserId};
use sync_core::limits;
use sync_core::relay::certificate::{self, Certificate};
use sync_core::relay::receipt::Receipt;
use sync_core::relay::{Container, Content, RelayError};
use sync_core::sync::bundle::{self, DeviceKey};
use sync_core::sync::relay::{ParcelAnswer, ParcelOutcome, RelayAsk, RelayKeys, RelayNews};
use sync_core::sync::server::Opened;
use sync_core::sync::wire::{Bytes, Doubt, PushOutcome, PushResult};

use crate::accounts::devices;
use crate::accounts::keys::Keys;
use crate::app::App;
use crate::audit::{Act, Origin};
use crate::db::tables::{journal as journal_rows, refused_parcels};
use crate::db::{AnyConnection, DbError};
use crate::http::extract::Principal;
use crate::{bundles, journal};

/// How many parcels that could not be opened are kept for a look at them.
const REFUSED_KEPT: i64 = 32;

/// What became of the changes of one bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BundleReport {
    /// Changes that stand in the journal since now.
    pub accepted: usize,
    /// Changes that stood there before.
    pub duplicates: usize,
    /// Changes that build on what is not here yet.
    pub waiting: usize,
    /// Changes kept in quarantine.
    pub quarantined: usize,
    /// Why the bundle was not opened; a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A parcel and what became of it.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Its identity by its author's word, if it has one.
    pub parcel: Option<BundleId>,
    /// What its carrier is told.
    pub answer: ParcelAnswer,
    /// What became of its bundles.
    pub bundles: Vec<BundleReport>,
}

/// The public keys as phones are told them.
pub fn public_keys(app: &App, conn: &mut AnyConnection) -> Result<RelayKeys, DbError> {
    let keys = app.relay_keys(conn)?;
    let seal = keys.opening().first().map(|k| k.public().bytes()).unwrap_or_default();
    Ok(RelayKeys {
        mark: mark(&keys),
        seal: Bytes::from(seal.to_vec()),
        verify: keys.public().iter().map(|k| Bytes::from(k.to_vec())).collect(),
    })
}

/// Changes whenever the keys do.
fn mark(keys: &Keys) -> Bytes {
    let digest = Sha256::digest(keys.public().concat());
    Bytes::from(digest.iter().take(8).copied().collect::<Vec<u8>>())
}

/// What a sync answers about relay; nothing when there is nothing to say. `recertify` when the roles of the phone's holder are not
/// those that the phone knew.
pub fn news(
    app: &App,
    conn: &mut AnyConnection,
    holder: &Principal,
    ask: Option<&RelayAsk>,
    recertify: bool,
    parcels: Vec<ParcelAnswer>,
) -> Result<Option<RelayNews>, DbError> {
    let Some(ask) = ask else { return Ok(None) };
    let due = ask.certified_until_ms.saturating_sub(app.now_ms()) < certificate::RENEWED_BELOW_MS;
    let certificate = if due || recertify { certificate(app, conn, holder)? } else { None };
    let proof = if ask.prove.is_empty() { None } else { Some(prove(app, conn, &ask.prove)?) };
    let known = ask.mark == mark(&*app.relay_keys(conn)?);
    let keys = if known { None } else { Some(public_keys(app, conn)?) };
    let news = RelayNews { keys, certificate, proof, parcels };
    Ok(Some(news).filter(|n| *n != RelayNews::default()))
}

/// A certificate of the phone of somebody's session; none when the session has no phone.
pub fn certificate(app: &App, conn: &mut AnyConnection, holder: &Principal) -> Result<Option<Bytes>, DbError> {
    let device = holder.device.map(|id| devices::find(conn, id)).transpose()?.flatten();
    let (Some(id), Some(key)) = (holder.device, device.and_then(|d| d.key())) else { return Ok(None) };
    let certificate = Certificate {
        device: id,
        key: Bytes::from(key.to_vec()),
        user: holder.user,
        name: holder.name.clone(),
        grants: holder.subject.grants.clone(),
        journal: app.journal,
        issued_ms: app.now_ms(),
        expires_ms: app.now_ms().saturating_add(certificate::LIFE_MS),
    };
    let keys = app.relay_keys(conn)?;
    let signed = certificate.sign(signing_key(&keys)?).map_err(|e| DbError::Row(format!("a certificate: {e}")))?;
    Ok(Some(signed).filter(|c| c.len() <= certificate::BYTES_MAX).map(Bytes::from))
}

fn signing_key(keys: &Keys) -> Result<&DeviceKey, DbError> {
    keys.current().ok_or_else(|| DbError::Row("no key for relay".into()))
}

/// The server's word about those of the heads that stand in the journal.
fn prove(app: &App, conn: &mut AnyConnection, asked: &[Doubt]) -> Result<Bytes, DbError> {
    let mut taken = Vec::new();
    for doubt in asked {
        let hashes: Vec<Vec<u8>> = doubt.heads.iter().map(|h| h.0.to_vec()).collect();
        let found: Vec<Vec<u8>> = journal_rows::table
            .filter(journal_rows::document.eq(doubt.document.to_string()))
            .filter(journal_rows::hash.eq_any(hashes))
            .select(journal_rows::hash)
            .load(conn)?;
        taken.extend(found.into_iter().filter_map(|h| <[u8; 32]>::try_from(h).ok().map(ChangeHash)));
    }
    sign(app, conn, None, taken, 0)
}

/// Settles the parcels that a phone has carried here.
pub fn take_all(app: &App, parcels: &[Bytes], carrier: DeviceId) -> Result<Vec<ParcelAnswer>, DbError> {
    let via = format!("device {carrier}");
    parcels.iter().map(|bytes| Ok(settled(app, bytes, &via, None)?.answer)).collect()
}

/// Settles one parcel that a person has handed in; that it was is written down. What it says of the parcel is durable.
pub fn take(app: &App, bytes: &[u8], by: &Origin) -> Result<Settled, DbError> {
    let via = if by.user == UserId::SYSTEM { "file".to_owned() } else { format!("user {}", by.user) };
    settled(app, bytes, &via, Some(by))
}

fn settled(app: &App, bytes: &[u8], via: &str, by: Option<&Origin>) -> Result<Settled, DbError> {
    let opened = open(app, bytes)?;
    app.db.transaction(|conn| {
        let settled = match &opened {
            Ok((container, content)) => settle(app, conn, container, content)?,
            Err(error) => refuse(app, conn, bytes, error, via)?,
        };
        if let Err(error) = &opened {
            // Whoever carried it: what came and could not be opened may be somebody's attempt.
            let server = Origin::server();
            let detail = serde_json::json!({ "code": error.code(), "bytes": bytes.len(), "via": via });
            Act::new(by.unwrap_or(&server), "relay.refuse", hex(&settled.answer.digest)).detail(detail).record(
                conn,
                app.now_ms(),
                &app.entropy,
            )?;
        } else if let Some(by) = by {
            let hex = hex(&settled.answer.digest);
            let changes: usize = settled.bundles.iter().map(|b| b.accepted).sum();
            let detail = serde_json::json!({ "bundles": settled.bundles.len(), "accepted": changes });
            Act::new(by, "relay.import", hex).detail(detail).record(conn, app.now_ms(), &app.entropy)?;
        }
        Ok(settled)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn open(app: &App, bytes: &[u8]) -> Result<Result<(Container, Content), RelayError>, DbError> {
    let container = match Container::parse_one(bytes) {
        Ok(container) if container.is_expired(app.now_ms()) => return Ok(Err(RelayError::Expired)),
        Ok(container) => container,
        Err(error) => return Ok(Err(error)),
    };
    let mut conn = app.db.get()?;
    let mut opened = container.open(&app.relay_keys(&mut conn)?.opening());
    if opened == Err(RelayError::UnknownKey) {
        opened = container.open(&app.relay_keys_again(&mut conn)?.opening());
    }
    Ok(opened.map(|content| (container, content)))
}

fn settle(app: &App, conn: &mut AnyConnection, container: &Container, content: &Content) -> Result<Settled, DbError> {
    let context = app.context();
    let opened: Vec<Result<Opened, Refusal>> =
        content.bundles.iter().map(|b| bundle::read(b).map(Opened::from)).collect();
    let changes = |o: &Opened| o.bundle.entries.iter().map(|e| e.changes.len()).sum::<usize>();
    if opened.iter().flatten().map(changes).sum::<usize>() > limits::PARCEL_CHANGES_MAX {
        let error = RelayError::TooLarge { max: limits::PARCEL_CHANGES_MAX, what: "changes" };
        return Ok(refused(Some(container.id), container.digest(), &error));
    }
    // All locks at once, in the one order that everybody takes them in.
    let codes: Vec<_> =
        opened.iter().flatten().flat_map(|o| o.bundle.entries.iter().map(|e| e.community.clone())).collect();
    journal::lock(conn, &codes)?;
    let time_keys = app.time_keys(conn)?.public();
    let (mut bundles, mut taken, mut others) = (Vec::new(), Vec::new(), 0);
    for (signed, opened) in content.bundles.iter().zip(&opened) {
        let results = match opened {
            Ok(opened) => bundles::take(conn, &context, signed, opened, &time_keys, false)?,
            Err(refusal) => Err(refusal.clone()),
        };
        match results {
            Ok(results) => {
                let durable = |r: &&PushResult| matches!(r.outcome, PushOutcome::Accepted(_) | PushOutcome::Duplicate);
                taken.extend(results.iter().filter(durable).map(|r| r.hash));
                others += results.iter().filter(|r| !durable(r)).count();
                bundles.push(report(&results));
            }
            Err(refusal) => {
                tracing::warn!(parcel = %container.id, code = refusal.code.as_str(), "bundle of a parcel refused");
                others += opened.as_ref().map_or(1, changes);
                bundles.push(BundleReport { refused: Some(code(refusal.code)), ..BundleReport::default() });
            }
        }
    }
    app.metrics.changes_accepted.inc_by(sum(&bundles, |b| b.accepted));
    app.metrics.changes_quarantined.inc_by(sum(&bundles, |b| b.quarantined));
    let waiting = bundles.iter().any(|b| b.waiting > 0);
    let receipt = sign(app, conn, Some(container), taken, others)?;
    let answer = ParcelAnswer {
        digest: Bytes::from(container.digest().to_vec()),
        outcome: if waiting { ParcelOutcome::Waiting } else { ParcelOutcome::Taken },
        receipt: Some(receipt),
    };
    Ok(Settled { parcel: Some(container.id), answer, bundles })
}

fn sign(
    app: &App,
    conn: &mut AnyConnection,
    parcel: Option<&Container>,
    taken: Vec<ChangeHash>,
    others: usize,
) -> Result<Bytes, DbError> {
    let receipt = Receipt {
        journal: app.journal,
        parcel: Bytes::from(parcel.map(|p| p.digest().to_vec()).unwrap_or_default()),
        at_ms: app.now_ms(),
        taken,
        others: u64::try_from(others).unwrap_or(u64::MAX),
    };
    let keys = app.relay_keys(conn)?;
    receipt.sign(signing_key(&keys)?).map(Bytes::from).map_err(|e| DbError::Row(format!("a receipt: {e}")))
}

fn report(results: &[PushResult]) -> BundleReport {
    let mut report = BundleReport::default();
    for result in results {
        *match result.outcome {
            PushOutcome::Accepted(_) => &mut report.accepted,
            PushOutcome::Duplicate => &mut report.duplicates,
            PushOutcome::Need(_) => &mut report.waiting,
            PushOutcome::Quarantined(..) | PushOutcome::Unreadable(..) => &mut report.quarantined,
        } += 1;
    }
    report
}

fn sum(bundles: &[BundleReport], of: fn(&BundleReport) -> usize) -> u64 {
    u64::try_from(bundles.iter().map(of).sum::<usize>()).unwrap_or_default()
}

fn code(code: RefusalCode) -> String {
    code.as_str().to_owned()
}

fn refused(parcel: Option<BundleId>, digest: [u8; 32], error: &RelayError) -> Settled {
    let outcome = ParcelOutcome::Refused(error.code().to_owned(), error.to_string());
    let answer = ParcelAnswer { digest: Bytes::from(digest.to_vec()), outcome, receipt: None };
    Settled { parcel, answer, bundles: Vec::new() }
}

/// Keeps a parcel that cannot be opened, so that somebody can look at it; the oldest make room.
fn refuse(
    app: &App,
    conn: &mut AnyConnection,
    bytes: &[u8],
    error: &RelayError,
    via: &str,
) -> Result<Settled, DbError> {
    use refused_parcels as r;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    tracing::warn!(via, code = error.code(), "parcel refused");
    let known: i64 = r::table.filter(r::digest.eq(digest.to_vec())).count().get_result(conn)?;
    if known == 0 && *error != RelayError::Expired && bytes.len() <= limits::PARCEL_BYTES_MAX {
        diesel::insert_into(r::table)
            .values((
                r::id.eq(DocumentId::from_parts(app.now_ms(), app.entropy.ten()).to_string()),
                r::digest.eq(digest.to_vec()),
                r::via.eq(via),
                r::code.eq(error.code()),
                r::detail.eq(error.to_string()),
                r::received_ms.eq(app.now_ms()),
                r::bytes.eq(bytes),
            ))
            .execute(conn)?;
        let kept: Vec<String> =
            r::table.order((r::received_ms.desc(), r::id.desc())).limit(REFUSED_KEPT).select(r::id).load(conn)?;
        diesel::delete(r::table.filter(r::id.ne_all(kept))).execute(conn)?;
    }
    let parcel = Container::parse_one(bytes).ok().map(|c| c.id);
    Ok(refused(parcel, digest, error))
}

/// A parcel that could not be opened, without its bytes.
#[derive(Debug, Clone, Queryable, Serialize)]
pub struct RefusedParcel {
    /// SHA-256 of the bytes.
    #[serde(skip)]
    pub digest: Vec<u8>,
    /// By which way it came.
    pub via: String,
    /// Why, as a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// When, ms UTC.
    pub received_ms: i64,
}

/// The parcels that could not be opened, last first.
pub fn refused_parcels(conn: &mut AnyConnection) -> Result<Vec<RefusedParcel>, DbError> {
    use refused_parcels as r;
    let columns = (r::digest, r::via, r::code, r::detail, r::received_ms);
    Ok(r::table.order((r::received_ms.desc(), r::id.desc())).select(columns).load(conn)?)
}

/// The receipts of settled parcels in one container, to be taken back to where the parcels came from.
pub fn receipts(app: &App, settled: &[Settled]) -> Result<Option<Container>, RelayError> {
    let list: Vec<Bytes> = settled.iter().filter_map(|s| s.answer.receipt.clone()).collect();
    if list.is_empty() {
        return Ok(None);
    }
    Container::receipts(&list, app.now_ms(), &app.entropy).map(Some)
}
