//! One sync, as bytes out and bytes in: it knows nothing of HTTP, threads or wall clocks. It is over when everything made here was
//! acknowledged or refused, and nothing more is to be fetched.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::Transaction;

use super::{Phone, PhoneError, TokenAt};
use crate::document::{Admission, ChangeHash, Document, Trust};
use crate::error::RefusalCode;
use crate::ids::{ActorId, BundleId, DocumentId, JournalId, UserId};
use crate::limits;
use crate::phone::ChangeNotice;
use crate::store::documents::{self, CursorRow, StoredDocument};
use crate::store::outbox::{self, OutboxRow, RefusedChange};
use crate::store::{StoreError, meta_json, set_meta_json};
use crate::sync::server::describe;
use crate::sync::token;
use crate::sync::wire::{
    self, Bundle, BundleChange, BundleEntry, Bytes, Cursor, Delivery, Doubt, Health, PROTOCOL_VERSION, PushOutcome,
    PushResult, SyncRequest, SyncResponse,
};
use crate::time::{Hlc, TimeClaim};

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
}

/// A sync under way.
pub struct SyncSession {
    phone: Phone,
    version: String,
    rounds: u32,
    more: bool,
    idle_rounds: u32,
    needs: HashMap<ChangeHash, u32>,
    doubted: BTreeSet<DocumentId>,
    failed: bool,
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
            doubted: BTreeSet::new(),
            failed: false,
        }
    }

    /// The next request, or `None` when the sync has come to its end.
    pub fn next_request(&mut self) -> Result<Option<Vec<u8>>, PhoneError> {
        if self.failed || self.rounds >= ROUNDS_MAX || self.idle_rounds > 8 {
            return Err(PhoneError::NotConverging);
        }
        let phone = self.phone.clone();
        let (request, asked) = phone.0.store.read(|conn| -> Result<_, PhoneError> {
            let who = Phone::enrolment(conn)?;
            let (rows, left) = take(conn)?;
            let doubts = documents::doubts(conn, limits::REQUEST_DOUBTS_TARGET)?;
            if self.rounds > 0 && !self.more && rows.is_empty() && doubts.is_empty() {
                return Ok((None, Vec::new()));
            }
            let cursors = documents::cursors(conn)?.into_iter().filter_map(|c| {
                Some(Cursor {
                    community: crate::ids::AreaCode::new(c.community).ok()?,
                    position: c.position,
                    backfill: c.backfill.and_then(|b| b.parse().ok()),
                    scope: c.scope,
                })
            });
            let mut heads = Vec::new();
            for id in &doubts {
                let held = documents::load(conn, *id)?.map(|d| d.document.heads()).unwrap_or_default();
                heads.push(Doubt { document: *id, heads: held });
            }
            let request = SyncRequest {
                version: PROTOCOL_VERSION,
                device: who.device,
                journal: meta_json(conn, "journal")?,
                cursors: cursors.collect(),
                bundles: bundles(&phone, conn, who.device, rows)?,
                doubts: heads,
                health: Health { version: self.version.clone(), wall_ms: phone.0.host.now_ms(), backlog: left },
            };
            Ok((Some(request), doubts))
        })?;
        let Some(request) = request else {
            self.phone.0.store.write(|tx| -> Result<(), PhoneError> {
                if let Some(now) = meta_json::<i64>(tx, "server_ms")? {
                    set_meta_json(tx, "last_complete_ms", &now)?;
                }
                Ok(())
            })?;
            return Ok(None);
        };
        self.doubted = asked.into_iter().collect();
        self.rounds += 1;
        wire::encode(&request).map(Some).map_err(|e| PhoneError::Protocol(e.to_string()))
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
        self.more = response.more;
        let moved = progress.sent + progress.received + progress.refused > 0 || response.more;
        self.idle_rounds = if moved { 0 } else { self.idle_rounds + 1 };
        if !touched.is_empty() {
            phone.0.notices.send(&ChangeNotice { documents: touched.into_iter().collect(), from_sync: true });
        }
        if let Some(refused) = response.refused.first() {
            self.failed = true;
            let detail = refused.detail.clone();
            return Err(match refused.code {
                RefusalCode::Revoked => PhoneError::Revoked(detail),
                code => PhoneError::BundleRefused { code: code.as_str().to_owned(), detail },
            });
        }
        Ok(progress)
    }

    fn take_in(
        &mut self,
        tx: &Transaction<'_>,
        response: &SyncResponse,
        touched: &mut BTreeSet<DocumentId>,
    ) -> Result<SyncProgress, PhoneError> {
        let mut progress = SyncProgress::default();
        let asked: Vec<_> = std::mem::take(&mut self.doubted).into_iter().collect();
        documents::settle(tx, &asked)?;
        self.note_server(tx, response)?;
        self.results(tx, &response.results, response.now_ms, &mut progress, touched)?;
        for delivery in &response.deliveries {
            match deliver(&self.phone, tx, delivery) {
                Ok(0) => {}
                Ok(n) => {
                    progress.received += n;
                    touched.insert(delivery.document);
                }
                Err(PhoneError::Store(e)) => return Err(e.into()),
                // One document that cannot be applied must not hold up the others: compare it with the server's.
                Err(_) => {
                    progress.unreadable += 1;
                    if !asked.contains(&delivery.document) {
                        documents::doubt(tx, delivery.document)?;
                    }
                }
            }
            documents::mark_synced(tx, delivery.document, response.now_ms)?;
        }
        for wanted in &response.wanted {
            supply(&self.phone, tx, wanted)?;
        }
        for id in &response.purge {
            documents::forget(tx, *id)?;
            touched.insert(*id);
        }
        let cursors: Vec<_> = response
            .cursors
            .iter()
            .map(|c| CursorRow {
                community: c.community.to_string(),
                position: c.position,
                backfill: c.backfill.map(|b| b.to_string()),
                scope: c.scope,
            })
            .collect();
        documents::set_cursors(tx, &cursors)?;
        if let Some(grants) = &response.grants
            && let Some(mut enrolment) = meta_json::<super::Enrolment>(tx, "enrolment")?
        {
            enrolment.grants.clone_from(grants);
            set_meta_json(tx, "enrolment", &enrolment)?;
        }
        progress.pending = outbox::count(tx, None)?;
        Ok(progress)
    }

    /// The journal's identity and the server's time.
    fn note_server(&self, tx: &Transaction<'_>, response: &SyncResponse) -> Result<(), PhoneError> {
        let host = &self.phone.0.host;
        let known: Option<JournalId> = meta_json(tx, "journal")?;
        if known.is_some_and(|k| k != response.journal) {
            // A restored server: what it acknowledged before may be gone. Everything held here is offered again.
            for id in documents::ids(tx)? {
                documents::doubt(tx, id)?;
            }
        }
        set_meta_json(tx, "journal", &response.journal)?;
        set_meta_json(tx, "server_ms", &response.now_ms)?;
        set_meta_json(tx, "clock_offset_ms", &(host.now_ms() - response.now_ms))?;
        if let Some(issued_ms) = token::issued_ms(&response.token) {
            documents::put_token(tx, issued_ms, &response.token)?;
            let at = TokenAt { issued_ms, monotonic_ms: host.monotonic_ms(), boot: host.boot() };
            set_meta_json(tx, "token_at", &at)?;
        }
        Ok(())
    }

    fn results(
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
                        self.failed = true;
                    }
                }
                PushOutcome::Quarantined(code, detail) | PushOutcome::Unreadable(code, detail) => {
                    refused.entry(result.document).or_default().push((result.hash, *code, detail.clone()));
                }
            }
        }
        for (document, changes) in refused {
            progress.refused += withdraw(&self.phone, tx, document, &changes, now_ms)?;
            touched.insert(document);
        }
        Ok(())
    }
}

/// What the next request carries, and how many changes stay behind it.
fn take(conn: &rusqlite::Connection) -> Result<(Vec<OutboxRow>, u64), PhoneError> {
    let mut rows = outbox::after(conn, 0, i64::try_from(limits::BUNDLE_CHANGES_MAX).unwrap_or(1_000))?;
    let mut bytes = 0;
    let mut n = 0;
    for row in &rows {
        bytes += row.bytes.len() + 200;
        // A single change larger than the target still travels, alone.
        if bytes > limits::REQUEST_TARGET_BYTES && n > 0 {
            break;
        }
        n += 1;
    }
    rows.truncate(n);
    let left = outbox::count(conn, None)?.saturating_sub(u64::try_from(n).unwrap_or(0));
    Ok((rows, left))
}

/// Signs what is to be sent: one bundle for each person, one entry for each document.
fn bundles(
    phone: &Phone,
    conn: &rusqlite::Connection,
    device: crate::ids::DeviceId,
    rows: Vec<OutboxRow>,
) -> Result<Vec<wire::SignedBundle>, PhoneError> {
    let mut by_author: BTreeMap<UserId, Vec<OutboxRow>> = BTreeMap::new();
    for row in rows {
        by_author.entry(row.author).or_default().push(row);
    }
    let mut out = Vec::new();
    for (user, rows) in by_author {
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
            // A purged document is known only by its changes.
            let (kind, community) = match documents::load(conn, row.document)? {
                Some(stored) => (stored.document.meta().kind, stored.document.meta().community.clone()),
                None => match Document::found(&change.bytes, Trust::Stranger) {
                    Ok((document, _)) => (document.meta().kind, document.meta().community.clone()),
                    Err(_) => continue,
                },
            };
            entries.push(BundleEntry { document: row.document, kind, community, changes: vec![change] });
        }
        let id = BundleId::from_parts(phone.0.host.now_ms(), phone.0.host.ten());
        let bundle = Bundle { id, device, user, actors: actors.into_iter().collect(), tokens, entries };
        out.push(phone.0.key.seal(&bundle).map_err(|e| PhoneError::Protocol(e.to_string()))?);
    }
    Ok(out)
}

/// Applies what came in for one document; gives how many changes were new.
fn deliver(phone: &Phone, tx: &Transaction<'_>, delivery: &Delivery) -> Result<u64, PhoneError> {
    let broken = |e: crate::error::Refusal| PhoneError::Protocol(e.to_string());
    let mut changes = delivery.changes.iter();
    let stored = documents::load(tx, delivery.document)?;
    let mut new = 0;
    let (mut document, actor) = match stored {
        Some(StoredDocument { document, actor, .. }) => (document, actor),
        None => {
            let first = changes.next().ok_or_else(|| PhoneError::Protocol("an empty delivery".into()))?;
            let (document, _) = Document::found(first, Trust::Server).map_err(broken)?;
            if document.meta().id != delivery.document {
                return Err(PhoneError::Protocol("a delivery holds another document than it says".into()));
            }
            new += 1;
            (document, Phone::actor(tx)?)
        }
    };
    let mut failed = None;
    let mut hlc = meta_json::<Hlc>(tx, "hlc")?.unwrap_or_default();
    for change in changes {
        match document.admit(change, Trust::Server, |_, _| Ok(())) {
            Ok(Admission::Applied(inspected)) => {
                new += 1;
                hlc = hlc.observe(Hlc { wall_ms: inspected.at_ms, count: 0 }, phone.0.host.now_ms());
            }
            Ok(Admission::Duplicate(_)) => {}
            Err(e) => {
                failed = Some(e);
                break;
            }
        }
    }
    if new > 0 {
        documents::save(tx, &document, actor)?;
        set_meta_json(tx, "hlc", &hlc)?;
    }
    match failed {
        Some(e) => Err(broken(e)),
        None => Ok(new),
    }
}

/// Sends again what the server lacks of a document and this phone wrote.
fn supply(phone: &Phone, tx: &Transaction<'_>, wanted: &Doubt) -> Result<(), PhoneError> {
    let Some(stored) = documents::load(tx, wanted.document)? else { return Ok(()) };
    let who = Phone::enrolment(tx)?;
    let own = [Phone::actor(tx)?, stored.actor];
    let history: BTreeMap<ChangeHash, i64> = stored.document.history().into_iter().map(|c| (c.hash, c.at_ms)).collect();
    for change in stored.document.changes_since(&wanted.heads) {
        if own.contains(&change.actor) {
            // Its evidence went with the acknowledgement; what is left is its author's word.
            let wall_ms = history.get(&change.hash).copied().unwrap_or_else(|| phone.0.host.now_ms());
            let at = TimeClaim { hlc: Hlc { wall_ms, count: 0 }, anchor: None };
            outbox::push(tx, wanted.document, who.user, &change, &at)?;
        }
    }
    Ok(())
}

/// Takes refused changes, and what builds on them, out of the document; keeps their words; goes on under a new actor.
fn withdraw(
    phone: &Phone,
    tx: &Transaction<'_>,
    id: DocumentId,
    changes: &[(ChangeHash, RefusalCode, String)],
    now_ms: i64,
) -> Result<u64, PhoneError> {
    let Some(StoredDocument { document, .. }) = documents::load(tx, id)? else { return Ok(0) };
    let mut reasons: BTreeMap<ChangeHash, (RefusalCode, String)> =
        changes.iter().map(|(h, c, d)| (*h, (*c, d.clone()))).collect();
    // History is in causal order: what builds on a refused change is met after it.
    for change in document.history() {
        if reasons.contains_key(&change.hash) {
            continue;
        }
        if let Some(dep) = change.deps.iter().find(|d| reasons.contains_key(d)) {
            let detail = format!("it builds on {dep}, which was refused");
            reasons.insert(change.hash, (RefusalCode::DependsOnRefused, detail));
        }
    }
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut replay: Option<Document> = None;
    let mut count = 0;
    for change in document.changes() {
        let touches = match &mut replay {
            None => match Document::found(&change.bytes, Trust::Server) {
                Ok((founded, inspected)) => {
                    replay = Some(founded);
                    inspected.touches
                }
                Err(_) => Vec::new(),
            },
            Some(document) => match document.admit(&change.bytes, Trust::Server, |_, _| Ok(())) {
                Ok(Admission::Applied(inspected)) => inspected.touches,
                _ => Vec::new(),
            },
        };
        let Some((code, detail)) = reasons.get(&change.hash) else {
            kept.push(change.bytes);
            continue;
        };
        let mut words: Vec<String> = touches.iter().map(describe).collect();
        for touch in &touches {
            if let crate::document::Touch::Text { name } = touch
                && let Some(text) = replay.as_ref().and_then(|d| d.text_at(name, &[change.hash]))
            {
                words.push(text);
            }
            if let crate::document::Touch::Event { event, .. } = touch {
                words.push(serde_json::to_string(&event.body).unwrap_or_default());
            }
        }
        let refused = RefusedChange {
            hash: change.hash,
            document: id,
            code: code.as_str().to_owned(),
            detail: detail.clone(),
            words: words.join("\n"),
            refused_ms: now_ms,
        };
        outbox::refuse(tx, &refused, &change.bytes)?;
        outbox::remove(tx, &change.hash)?;
        count += 1;
    }
    if kept.is_empty() {
        documents::forget(tx, id)?;
        return Ok(count);
    }
    let agreed = Document::from_changes(kept.iter().map(Vec::as_slice), Trust::Server)
        .map_err(|e| StoreError::Damaged(format!("document {id}: {e}")))?;
    documents::save(tx, &agreed, ActorId(phone.0.host.sixteen()))?;
    documents::mark_synced(tx, id, now_ms)?;
    Ok(count)
}
