//! One sync, as bytes out and bytes in: it knows nothing of HTTP, threads or wall clocks. It is over when everything made here was
//! acknowledged or refused, and nothing more is to be fetched; what it cannot bring about for one record holds up no other.

pub(super) mod ending;
pub(super) mod incoming;
mod last_words;
pub(super) mod outgoing;
mod refork;
pub(super) mod withdraw;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, Transaction};

use super::forward::Forwarding;
use super::{Phone, PhoneError, TokenAt, away, dismissed, purge, relay, resupply, storage};
use crate::document::ChangeHash;
use crate::error::RefusalCode;
use crate::ids::{DeviceId, DocumentId, JournalId};
use crate::limits;
use crate::phone::ChangeNotice;
use crate::store::decisions;
use crate::store::documents::{self, CursorRow};
use crate::store::{attachments, list, meta_json, outbox, set_meta_json, standing};
use crate::sync::orders::Confirmed;
use crate::sync::token;
use crate::sync::wire::{
    self, BundleRefused, Cursor, Doubt, Health, PROTOCOL_VERSION, PushOutcome, PushResult, SyncRequest, SyncResponse,
};

use ending::Why;
pub use ending::{Incomplete, LeftOut};
pub use last_words::{LastStep, LastWords};

/// Rounds after which a sync gives up: far more than a new phone with a full community needs.
const ROUNDS_MAX: u32 = 10_000;
/// How often one change may be answered with `need` before its document is put in doubt.
const NEEDS_MAX: u32 = 3;

/// What one round brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncProgress {
    /// Changes acknowledged.
    pub sent: u64,
    /// Changes received.
    pub received: u64,
    /// Changes refused.
    pub refused: u64,
    /// Deliveries that could not be applied; their documents are compared in the next round.
    pub unreadable: u64,
    /// Changes still to be sent.
    pub pending: u64,
    /// Parcels of others that the server has taken or refused.
    pub relayed: u64,
    /// Documents forgotten because their owner may no longer see them.
    pub purged: u64,
    /// Documents of which a restored server has answered for what it had lost.
    pub resupplied: u64,
}

/// A sync under way.
pub struct SyncSession {
    phone: Phone,
    version: String,
    rounds: u32,
    more: bool,
    idle_rounds: u32,
    needs: HashMap<ChangeHash, u32>,
    /// Documents of which the server cannot take what is unsent; left out, so that they hold up no others.
    stuck: BTreeMap<DocumentId, Why>,
    /// Documents of which what came in could not be applied, nor what came when they were compared. They stay in doubt.
    unread: BTreeMap<DocumentId, Why>,
    /// Entries of the outbox in the request that is under way.
    carried: Vec<i64>,
    /// Its bundles, in order: of which device, with which documents.
    bundles: Vec<(DeviceId, Vec<DocumentId>)>,
    /// In the order they were asked: the server answers from the front.
    doubted: Vec<Doubt>,
    resupply: resupply::Handing,
    confirming: Confirmed,
    parcels: relay::Handing,
    forwarding: Forwarding,
    failed: bool,
}

impl Phone {
    /// Begins a sync. `version` names the app for the people who run the system.
    pub fn sync_begin(&self, version: &str) -> SyncSession {
        SyncSession::new(self.clone(), version)
    }
}

/// Records with what is held of them.
fn with_heads(conn: &Connection, documents: Vec<DocumentId>) -> Result<Vec<Doubt>, PhoneError> {
    let held = |document| {
        let stored = documents::load_readable(conn, document)?;
        Ok(Doubt { document, heads: stored.map(|d| d.document.heads()).unwrap_or_default() })
    };
    documents.into_iter().map(held).collect()
}

impl SyncSession {
    pub(super) fn new(phone: Phone, version: &str) -> Self {
        Self {
            phone,
            version: version.chars().take(100).collect(),
            rounds: 0,
            more: true,
            idle_rounds: 0,
            needs: HashMap::new(),
            stuck: BTreeMap::new(),
            unread: BTreeMap::new(),
            carried: Vec::new(),
            bundles: Vec::new(),
            doubted: Vec::new(),
            resupply: resupply::Handing::default(),
            confirming: Confirmed::default(),
            parcels: relay::Handing::default(),
            forwarding: Forwarding::default(),
            failed: false,
        }
    }

    /// Documents of which the server cannot take what is unsent.
    pub(super) fn stuck(&self) -> BTreeSet<DocumentId> {
        self.stuck.keys().copied().collect()
    }

    /// Records to be compared with the next request: those of which this sync cannot say already how they stand.
    fn open_doubts(&self, conn: &Connection) -> Result<Vec<DocumentId>, PhoneError> {
        let parked = self.unread.len() + self.resupply.refused.len();
        let mut doubts = documents::doubts(conn, limits::REQUEST_DOUBTS_TARGET + parked)?;
        doubts.retain(|id| !self.unread.contains_key(id) && !self.resupply.is_parked(id));
        doubts.truncate(limits::REQUEST_DOUBTS_TARGET);
        Ok(doubts)
    }

    /// The next request, or `None` when the sync has come to its end.
    pub fn next_request(&mut self) -> Result<Option<Vec<u8>>, PhoneError> {
        if self.failed || self.rounds >= ROUNDS_MAX || self.idle_rounds > 8 {
            return Err(PhoneError::NotConverging);
        }
        let phone = self.phone.clone();
        let made = phone.0.store.read(|conn| -> Result<_, PhoneError> {
            let who = Phone::enrolment(conn)?;
            let others = self.forwarding.ask(conn)?;
            let mut later = self.stuck();
            later.extend(resupply::Handing::waiting(conn)?);
            let (mut rows, mut left) = outgoing::take(conn, &later)?;
            if !others.is_empty() {
                left += u64::try_from(std::mem::take(&mut rows).len()).unwrap_or(0);
            }
            let doubts = self.open_doubts(conn)?;
            let confirmed = purge::confirmed(&phone, conn)?;
            let purged = confirmed.documents.len() + confirmed.communities.len() > 0;
            let due = !rows.is_empty() || !doubts.is_empty() || !others.is_empty() || purged;
            let due = due || self.resupply.is_due(conn)?;
            let settled = self.rounds > 0 && !self.more && !due;
            let ask = self.parcels.ask(&phone, conn, settled)?;
            if settled && !ask.asks() {
                return Ok(None);
            }
            let cursors = documents::cursors(conn)?.into_iter().filter_map(|c| {
                Some(Cursor {
                    community: crate::ids::AreaCode::new(c.community).ok()?,
                    position: c.position,
                    backfill: c.backfill.and_then(|b| b.parse().ok()),
                    scope: c.scope,
                })
            });
            let heads = with_heads(conn, doubts)?;
            let carried: Vec<i64> = rows.iter().map(|r| r.ordinal).collect();
            let (sealed, unknown) = outgoing::seal(&phone, conn, &who, rows)?;
            self.bundles = sealed.iter().map(|s| (s.device, s.documents.clone())).collect();
            for id in unknown {
                self.stuck.insert(id, Why::new("unknown", "it can no longer be told what record this was"));
            }
            let (used, free_bytes) = storage::used_and_left(conn)?;
            let health = Health {
                version: self.version.clone(),
                wall_ms: phone.0.host.now_ms(),
                backlog: left,
                storage_bytes: Some(used),
                free_bytes,
            };
            let request = SyncRequest {
                version: PROTOCOL_VERSION,
                device: who.device,
                journal: meta_json(conn, "journal")?,
                cursors: cursors.collect(),
                bundles: match others.is_empty() {
                    true => sealed.into_iter().map(|s| s.signed).collect(),
                    false => others,
                },
                resupply: self.resupply.ask(conn, heads.len())?,
                doubts: heads,
                undecided: decisions::undecided(conn, limits::REQUEST_UNDECIDED_MAX)?,
                health,
                relay: Some(ask),
                confirmed: Some(confirmed).filter(|c| *c != Confirmed::default()),
            };
            Ok(Some((request, carried)))
        })?;
        let Some((request, carried)) = made else {
            let left = self.stuck.iter().chain(&self.unread).map(|(id, why)| (*id, why.clone()));
            let left = left.chain(self.resupply.left_out()).collect();
            let ended = phone.0.store.write(|tx| ending::end(tx, &left))?;
            return ended.map(|()| None).map_err(PhoneError::Incomplete);
        };
        self.confirming = request.confirmed.clone().unwrap_or_default();
        if !carried.is_empty() {
            // Before it leaves: whoever asks meanwhile is told that it is on its way, also after a crash.
            let now_ms = phone.now_ms()?;
            phone.0.store.write(|tx| standing::note_sent(tx, &carried, now_ms))?;
        }
        self.carried = carried;
        self.doubted.clone_from(&request.doubts);
        self.rounds += 1;
        wire::encode(&request).map(Some).map_err(|e| PhoneError::Protocol(e.to_string()))
    }

    /// Notes that the last request has not reached the server, or was not taken as a whole: what it carried is only here again.
    pub fn not_sent(&mut self) -> Result<(), PhoneError> {
        let carried = std::mem::take(&mut self.carried);
        Ok(self.phone.0.store.write(|tx| standing::note_answered(tx, &carried))?)
    }

    /// Takes the answer to the last request: all of it in one transaction, so that a crash leaves the phone before or behind it.
    pub fn apply_response(&mut self, bytes: &[u8]) -> Result<SyncProgress, PhoneError> {
        let response: SyncResponse = wire::decode(bytes).map_err(|e| PhoneError::Protocol(e.to_string()))?;
        if response.version != PROTOCOL_VERSION {
            return Err(PhoneError::Protocol(format!("protocol version {}", response.version)));
        }
        let phone = self.phone.clone();
        let mut touched: BTreeSet<DocumentId> = BTreeSet::new();
        let progress = phone.0.store.write(|tx| self.take_in(tx, &response, &mut touched))?;
        if response.orders.as_ref().is_some_and(|o| o.policy.is_some()) {
            phone.policy_changed()?;
        }
        self.carried.clear();
        self.more = response.more;
        let steps = progress.sent
            + progress.received
            + progress.refused
            + progress.relayed
            + progress.purged
            + progress.resupplied;
        let moved = steps > 0 || response.more || self.parcels.proved;
        self.idle_rounds = if moved { 0 } else { self.idle_rounds + 1 };
        if !touched.is_empty() {
            phone.0.notices.send(&ChangeNotice { documents: touched.into_iter().collect(), from_sync: true });
        }
        if !self.forwarding.answered {
            self.leave_out(&response.refused)?;
        }
        Ok(progress)
    }

    /// A bundle that the server did not open ends only its own records' part in this sync; unless it is this phone that is revoked.
    fn leave_out(&mut self, refused: &[BundleRefused]) -> Result<(), PhoneError> {
        for BundleRefused { index, code, detail } in refused {
            let bundle = usize::try_from(*index).ok().and_then(|i| self.bundles.get(i));
            let (device, documents) =
                bundle.ok_or_else(|| PhoneError::Protocol("a bundle is refused that was not sent".into()))?;
            if *code == RefusalCode::Revoked && self.phone.identity()?.is_some_and(|who| who.device == *device) {
                self.failed = true;
                return Err(PhoneError::Revoked(detail.clone()));
            }
            for id in documents {
                self.stuck.insert(*id, Why::new(code.as_str(), detail.clone()));
            }
            self.idle_rounds = 0;
        }
        Ok(())
    }

    fn take_in(
        &mut self,
        tx: &Transaction<'_>,
        response: &SyncResponse,
        touched: &mut BTreeSet<DocumentId>,
    ) -> Result<SyncProgress, PhoneError> {
        let mut progress = SyncProgress::default();
        let mut asked = std::mem::take(&mut self.doubted);
        // The answer was full before it came to the last ones: they are asked again.
        asked.truncate(asked.len().saturating_sub(usize::try_from(response.unanswered).unwrap_or(usize::MAX)));
        let doubts = asked;
        let asked: Vec<DocumentId> = doubts.iter().map(|d| d.document).collect();
        documents::settle(tx, &asked)?;
        standing::note_answered(tx, &self.carried)?;
        purge::heard(tx, &std::mem::take(&mut self.confirming))?;
        self.note_server(tx, response)?;
        let said = (response.results.as_slice(), response.refused.as_slice());
        self.forwarding.hear(&self.phone, tx, said, response.now_ms, &mut progress, touched)?;
        if !self.forwarding.answered {
            self.results(tx, &response.results, response.now_ms, &mut progress, touched)?;
        }
        // First what must go: an answer may order a community to be forgotten and begin to send it anew.
        progress.purged = purge::obey(tx, response, touched)?;
        if progress.purged > 0 {
            self.phone.0.opened.clear();
        }
        for delivery in &response.deliveries {
            if !asked.contains(&delivery.document) && away::wants_whole(tx, delivery.document)? {
                documents::doubt(tx, delivery.document)?;
                continue;
            }
            match incoming::deliver(&self.phone, tx, delivery, response.now_ms) {
                Ok(n) => {
                    progress.received += n;
                    if n > 0 {
                        touched.insert(delivery.document);
                    }
                    self.unread.remove(&delivery.document);
                }
                Err(PhoneError::Store(e)) => return Err(e.into()),
                // One document that cannot be applied must not hold up the others: compare it with the server's.
                Err(e) => {
                    progress.unreadable += 1;
                    documents::doubt(tx, delivery.document)?;
                    if asked.contains(&delivery.document) {
                        self.unread.insert(delivery.document, Why::new("unread", e.to_string()));
                    }
                }
            }
            documents::mark_synced(tx, delivery.document, response.now_ms)?;
        }
        list::index(tx)?;
        for decision in &response.decisions {
            if decisions::note(tx, decision)? && !decision.accepted {
                dismissed::note(&self.phone, tx, &decision.hash)?;
            }
        }
        progress.resupplied = self.resupply.hear(tx, &response.resupplied)?;
        for wanted in &response.wanted {
            self.resupply.wanted(tx, wanted)?;
        }
        for (id, withdrawn) in self.resupply.go_over(&self.phone, tx, response.now_ms)? {
            progress.refused += withdrawn;
            touched.insert(id);
            self.unread.remove(&id);
        }
        for id in asked.iter().filter(|id| !response.wanted.iter().any(|w| w.document == **id)) {
            documents::mark_synced(tx, *id, response.now_ms)?;
        }
        let mut cursors: Vec<_> = response
            .cursors
            .iter()
            .map(|c| CursorRow {
                community: c.community.to_string(),
                position: c.position,
                backfill: c.backfill.map(|b| b.to_string()),
                scope: c.scope,
            })
            .collect();
        // A community of which something is left here is named until the server orders it to be forgotten.
        for before in documents::cursors(tx)? {
            if cursors.iter().all(|c| c.community != before.community) && list::holds(tx, &before.community)? {
                cursors.push(before);
            }
        }
        documents::set_cursors(tx, &cursors)?;
        documents::forget_wholly(tx)?;
        if let Some(grants) = &response.grants
            && let Some(mut enrolment) = meta_json::<super::Enrolment>(tx, "enrolment")?
        {
            enrolment.grants.clone_from(grants);
            set_meta_json(tx, "enrolment", &enrolment)?;
        }
        progress.relayed += self.parcels.hear(tx, response.relay.as_ref(), response.now_ms)?;
        resupply::note_pledge(tx, response, &doubts)?;
        progress.pending = outbox::count(tx, None)?;
        Ok(progress)
    }

    /// The journal's identity and the server's time.
    fn note_server(&self, tx: &Transaction<'_>, response: &SyncResponse) -> Result<(), PhoneError> {
        let host = &self.phone.0.host;
        let known: Option<JournalId> = meta_json(tx, "journal")?;
        if known != Some(response.journal) {
            resupply::meet_journal(&self.phone, tx, response.journal, known.is_some())?;
        }
        attachments::note_losses(tx, response.orders.as_ref().map_or(0, |o| o.losses))?;
        set_meta_json(tx, "server_ms", &response.now_ms)?;
        set_meta_json(tx, "clock_offset_ms", &(host.now_ms() - response.now_ms))?;
        if let Some(issued_ms) = token::issued_ms(&response.token) {
            documents::put_token(tx, issued_ms, &response.token)?;
            let at = TokenAt { issued_ms, monotonic_ms: host.monotonic_ms(), boot: host.boot() };
            set_meta_json(tx, "token_at", &at)?;
        }
        Ok(())
    }

    pub(super) fn results(
        &mut self,
        tx: &Transaction<'_>,
        results: &[PushResult],
        now_ms: i64,
        progress: &mut SyncProgress,
        touched: &mut BTreeSet<DocumentId>,
    ) -> Result<(), PhoneError> {
        let mut refused: BTreeMap<DocumentId, Vec<(ChangeHash, RefusalCode, String)>> = BTreeMap::new();
        for result in results {
            match &result.outcome {
                PushOutcome::Accepted(_) | PushOutcome::Duplicate => {
                    if outbox::remove(tx, &result.hash)? {
                        progress.sent += 1;
                        // Taken out here with what it built on, which was let in since.
                        if outbox::not_refused(tx, &result.hash)? {
                            documents::doubt(tx, result.document)?;
                        }
                    }
                    documents::mark_synced(tx, result.document, now_ms)?;
                }
                PushOutcome::Need(_) => {
                    let times = self.needs.entry(result.hash).or_default();
                    *times += 1;
                    // The server lacks what this change builds on: compare the document, so that it says what it wants.
                    if *times <= NEEDS_MAX {
                        documents::doubt(tx, result.document)?;
                    } else {
                        let why = Why::new(ending::NEED, "the server lacks what these changes build on");
                        if self.stuck.insert(result.document, why).is_none() {
                            self.idle_rounds = 0;
                        }
                    }
                }
                PushOutcome::Quarantined(code, detail) | PushOutcome::Unreadable(code, detail) => {
                    refused.entry(result.document).or_default().push((result.hash, *code, detail.clone()));
                }
            }
        }
        for (document, changes) in refused {
            progress.refused += withdraw::withdraw(&self.phone, tx, document, &changes, now_ms)?;
            touched.insert(document);
        }
        Ok(())
    }
}
