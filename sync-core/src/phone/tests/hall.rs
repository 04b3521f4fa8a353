//! A hall in memory for the phone's tests: it judges with the server's own code, and can be made to forget, refuse or purge.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::document::{ChangeHash, Document, RawChange};
use crate::error::RefusalCode;
use crate::ids::JournalId;
use crate::sync::bundle;
use crate::sync::server::{Bench, Standing, judge};
use crate::sync::token;
use crate::sync::wire::{
    self, BundleRefused, Bytes, Cursor, Delivery, Doubt, PROTOCOL_VERSION, PushOutcome, PushResult, SyncRequest,
    SyncResponse,
};

pub(super) struct Hall {
    journal: u128,
    now_ms: i64,
    devices: BTreeMap<DeviceId, UserId>,
    actors: BTreeMap<ActorId, (DeviceId, UserId)>,
    entries: Vec<(DocumentId, RawChange)>,
    pub(super) documents: BTreeMap<DocumentId, Document>,
    /// Changes that are refused.
    pub(super) refuse: BTreeMap<ChangeHash, (RefusalCode, String)>,
    /// Changes that this hall cannot even read.
    pub(super) unreadable: BTreeSet<ChangeHash>,
    /// Documents that the next answer tells the phone to forget.
    pub(super) purge: Vec<DocumentId>,
    pub(super) requests: usize,
}

impl Hall {
    pub(super) fn new() -> Self {
        Self {
            journal: 1,
            now_ms: 1_558_054_900_000,
            devices: BTreeMap::new(),
            actors: BTreeMap::new(),
            entries: Vec::new(),
            documents: BTreeMap::new(),
            refuse: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            purge: Vec::new(),
            requests: 0,
        }
    }

    /// Knows the phone as its owner's.
    pub(super) fn register(&mut self, phone: &Phone) {
        let who = phone.identity().unwrap().unwrap();
        self.devices.insert(who.device, who.user);
    }

    /// Knows a phone as somebody's.
    pub(super) fn know(&mut self, device: DeviceId, user: UserId) {
        self.devices.insert(device, user);
    }

    /// Restored from a backup of before everything: another journal, and nobody is known.
    pub(super) fn forget_everything(&mut self) {
        *self = Self { journal: self.journal + 1, ..Self::new() };
    }

    /// Somebody else edits a document of this hall.
    pub(super) fn edit(&mut self, id: DocumentId, actor: u8, path: &str, value: i64) {
        let document = self.documents.get_mut(&id).unwrap();
        let (_, change) = document.edit(ActorId([actor; 16]), self.now_ms, |w| w.set(path, &value.into())).unwrap();
        self.entries.push((id, change.unwrap()));
    }

    /// A whole sync.
    pub(super) fn sync(&mut self, phone: &Phone) -> Result<(), PhoneError> {
        let mut session = phone.sync_begin("test");
        while let Some(request) = session.next_request()? {
            session.apply_response(&self.answer(&request))?;
        }
        Ok(())
    }

    /// The answer to one request.
    pub(super) fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        self.requests += 1;
        self.now_ms += 1_000;
        let request: SyncRequest = wire::decode(request).unwrap();
        request.check().unwrap();
        let (mut results, mut refused) = (Vec::new(), Vec::new());
        let mut sent = BTreeSet::new();
        for (index, signed) in request.bundles.iter().enumerate() {
            let bundle = bundle::read(signed).unwrap();
            if self.devices.get(&bundle.device) != Some(&bundle.user) {
                let (code, detail) = (RefusalCode::ForgedAuthor, "this phone is another person's".to_owned());
                refused.push(BundleRefused { index: u32::try_from(index).unwrap(), code, detail });
                continue;
            }
            let owner = (bundle.device, bundle.user);
            let own = |a: &&ActorId, all: &mut BTreeMap<_, _>| *all.entry(**a).or_insert(owner) == owner;
            let actors: BTreeSet<_> = bundle.actors.iter().filter(|a| own(a, &mut self.actors)).copied().collect();
            for entry in &bundle.entries {
                results.extend(self.judged(entry, &actors, bundle.user));
            }
        }
        sent.extend(results.iter().map(|r| r.hash));
        let here = request.journal == Some(JournalId(uuid::Uuid::from_u128(self.journal)));
        let position = request.cursors.first().filter(|_| here).map_or(0, |c| usize::try_from(c.position).unwrap());
        let mut deliveries = Vec::new();
        let mut wanted = Vec::new();
        for doubt in &request.doubts {
            let Some(document) = self.documents.get(&doubt.document) else {
                wanted.push(Doubt { document: doubt.document, heads: vec![] });
                continue;
            };
            if doubt.heads.iter().any(|h| !document.has(h)) {
                wanted.push(Doubt { document: doubt.document, heads: document.heads() });
            }
            deliveries.extend(delivery(doubt.document, document.changes_since(&doubt.heads)));
        }
        for (id, change) in self.entries.iter().skip(position).filter(|(_, c)| !sent.contains(&c.hash)) {
            deliveries.extend(delivery(*id, vec![change.clone()]));
        }
        let at = i64::try_from(self.entries.len()).unwrap();
        wire::encode(&SyncResponse {
            version: PROTOCOL_VERSION,
            journal: JournalId(uuid::Uuid::from_u128(self.journal)),
            now_ms: self.now_ms,
            token: Bytes::from(token::issue(&DeviceKey::from_seed([9; 32]), request.device, self.now_ms).unwrap()),
            results,
            refused,
            deliveries,
            wanted,
            purge: std::mem::take(&mut self.purge),
            decisions: Vec::new(),
            cursors: vec![Cursor { community: community(), position: at, backfill: None, scope: 1 }],
            grants: None,
            more: false,
            relay: None,
            orders: None,
            unanswered: 0,
            pledge: None,
            resupplied: Vec::new(),
        })
        .unwrap()
    }

    fn judged(&mut self, entry: &wire::BundleEntry, actors: &BTreeSet<ActorId>, user: UserId) -> Vec<PushResult> {
        let mut held = self.documents.remove(&entry.document);
        let mut entry = entry.clone();
        let mut results = Vec::new();
        entry.changes.retain(|change| {
            let hash = Document::decode(&change.bytes).unwrap().raw.hash;
            let readable = !self.unreadable.contains(&hash);
            if !readable {
                use sha2::{Digest, Sha256};
                let hash = ChangeHash(Sha256::digest(&change.bytes).into());
                let outcome = PushOutcome::Unreadable(RefusalCode::TooLarge, "too large here".into());
                results.push(PushResult { document: entry.document, hash, outcome });
            }
            readable
        });
        let grants = vec![grant()];
        let readings: Vec<_> = entry.changes.iter().map(|c| Document::decode(&c.bytes)).collect();
        let own =
            |(code, detail): &(RefusalCode, String)| Standing { code: *code, detail: detail.clone(), is_own: true };
        let standing = self.refuse.iter().map(|(hash, refusal)| (*hash, own(refusal))).collect();
        let verdict = judge(
            &mut held,
            &entry,
            &readings,
            &Bench {
                former: &[],
                subject: &Subject { user, grants },
                actors,
                revoked_ms: None,
                tokens: &[],
                quarantined: &standing,
                now_ms: self.now_ms,
                is_last: false,
            },
        );
        self.entries.extend(verdict.accepted.into_iter().map(|a| (entry.document, a.inspected.raw)));
        if let Some(document) = held {
            self.documents.insert(entry.document, document);
        }
        results.extend(verdict.results);
        results
    }
}

fn delivery(document: DocumentId, changes: Vec<RawChange>) -> Option<Delivery> {
    let changes: Vec<_> = changes.into_iter().map(|c| Bytes::from(c.bytes)).collect();
    let delivery = Delivery { document, kind: DocumentKind::Case, community: community(), changes };
    (!delivery.changes.is_empty()).then_some(delivery)
}
