//! A registered phone under a stranger's fingers: it sends what no honest phone would, and asks for what it may not see.

use std::sync::Arc;

use server::accounts::{devices, sessions};
use server::db::{AnyConnection, DbError};
use sync_core::authority::{Grant, Subject};
use sync_core::document::{Document, RawChange};
use sync_core::edit::{Draft, Edit, Pen, apply, create};
use sync_core::error::EditError;
use sync_core::event::EventKind;
use sync_core::ids::{ActorId, AreaCode, BundleId, DeviceId, DocumentId, Entropy, UserId};
use sync_core::role::{AreaKind, Role};
use sync_core::shape::DocumentKind;
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::wire::{
    Bundle, BundleChange, BundleEntry, Bytes, Cursor, Doubt, Health, PROTOCOL_VERSION, SyncRequest,
};
use sync_core::time::{Hlc, TimeClaim};
use uuid::Uuid;

use super::dice::SeededEntropy;
use super::world::{SESSION, World};
use crate::phones::{event, set, write};

/// The phone.
pub struct Hostile {
    user: UserId,
    entropy: Arc<SeededEntropy>,
    key: DeviceKey,
    session: Option<(DeviceId, Uuid)>,
}

impl Hostile {
    /// Its owner.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Somebody's.
    pub fn new(user: UserId, entropy: SeededEntropy) -> Self {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        Self { user, entropy: Arc::new(entropy), key: DeviceKey::from_seed(seed), session: None }
    }
}

fn everything(user: UserId) -> Subject {
    let area = |code: &str| AreaCode::new(code).unwrap();
    let communities = vec![area("GM-BIYAN"), area("GM-BAIHUA")];
    let grant = Grant {
        role: Role::Supervisor,
        area: area("440311"),
        kind: AreaKind::District,
        communities,
        from_ms: 0,
        until_ms: None,
    };
    Subject { user, grants: vec![grant] }
}

impl World {
    pub(super) fn hostile_session(&mut self) -> Option<(DeviceId, String)> {
        let (now_ms, app) = (self.now_ms(), self.server.app());
        let standing =
            self.hostile.session.filter(|(_, session)| sessions::stands(&mut app.db.get().unwrap(), *session).unwrap());
        let (user, key) = (self.hostile.user, self.hostile.key.public());
        let work = |conn: &mut AnyConnection| -> Result<Option<(DeviceId, Uuid)>, DbError> {
            let Some(device) = devices::register(conn, user, "by hand", &key, now_ms, &app.entropy)? else {
                return Ok(None);
            };
            Ok(Some((device, sessions::open(conn, user, Some(device), now_ms, &SESSION, &app.entropy)?.session)))
        };
        let session = match standing {
            Some(session) => Some(session),
            None => app.db.transaction(work).unwrap(),
        };
        self.hostile.session = session;
        let (device, session) = session?;
        Some((device, self.token(user, session, device)))
    }

    /// One forgery after the other in one request, and a look at what is not its own.
    pub fn attack(&mut self) {
        let Some((device, token)) = self.hostile_session() else { return };
        let now_ms = self.now_ms();
        let own = self.hostile.user;
        let victim = self.dice.below(self.phones.len());
        let other = self.phones[victim].user;
        let actor = ActorId(self.hostile.entropy.sixteen());
        let stolen_actor = self.phones[victim].core().documents().unwrap().first().and_then(|id| {
            let changes = self.phones[victim].core().document(*id).unwrap().changes();
            changes.last().map(|c| c.actor)
        });
        let entropy = self.hostile.entropy.clone();
        let mut forged = Vec::new();
        for what in 0..self.dice.below(3) + 1 {
            let pretended = if self.dice.chance(500) { own } else { other };
            let under = stolen_actor.filter(|_| self.dice.chance(300)).unwrap_or(actor);
            let subject = everything(pretended);
            let at = TimeClaim { hlc: Hlc { wall_ms: now_ms, count: u32::try_from(what).unwrap() }, anchor: None };
            let pen = Pen { subject: Some(&subject), device: Some(device), actor: under, at, entropy: &*entropy };
            forged.extend(self.forge(&pen));
        }
        self.forged.extend(forged.iter().map(|(_, change)| change.hash));
        let entries: Vec<BundleEntry> = forged
            .iter()
            .map(|(document, change)| BundleEntry {
                document: document.meta().id,
                kind: document.meta().kind,
                community: document.meta().community.clone(),
                changes: vec![BundleChange {
                    at: TimeClaim { hlc: Hlc { wall_ms: now_ms, count: 0 }, anchor: None },
                    bytes: Bytes::from(change.bytes.clone()),
                }],
            })
            .collect();
        let bundle = Bundle {
            id: BundleId::from_parts(now_ms, self.hostile.entropy.ten()),
            device: if self.dice.chance(200) { DeviceId(Uuid::from_u128(7)) } else { device },
            user: if self.dice.chance(250) { other } else { own },
            actors: std::iter::once(actor).chain(stolen_actor).collect(),
            tokens: Vec::new(),
            entries,
        };
        let mut signed = self.hostile.key.seal(&bundle).unwrap();
        if self.dice.chance(150) {
            signed.signature[3] ^= 1;
        }
        let doubts = self.documents().into_iter().take(40).map(|document| Doubt { document, heads: Vec::new() });
        let cursor = |code: &str| Cursor {
            community: AreaCode::new(code).unwrap(),
            position: 0,
            backfill: Some(DocumentId(Uuid::nil())),
            scope: 0,
        };
        let request = SyncRequest {
            version: PROTOCOL_VERSION,
            device,
            journal: Some(self.server.app().journal),
            cursors: vec![cursor("GM-BIYAN"), cursor("GM-BAIHUA")],
            bundles: vec![signed],
            doubts: doubts.collect(),
            undecided: Vec::new(),
            confirmed: None,
            resupply: None,
            health: Health::default(),
            relay: None,
        };
        let heard = self.serve_by_hand(&token, &request);
        let said = heard.map(|r| (r.results.len(), r.refused.len(), r.deliveries.len()));
        self.tell(format!("a stranger sends {} forgeries: {said:?}", forged.len()));
    }

    fn forge(&mut self, pen: &Pen<'_>) -> Option<(Document, RawChange)> {
        let foreign: Vec<DocumentId> = self
            .documents()
            .into_iter()
            .filter(|id| {
                let row = server::journal::document_row(&mut self.server.app().db.get().unwrap(), *id).unwrap();
                row.is_some_and(|r| r.community == "GM-BIYAN")
            })
            .collect();
        if foreign.is_empty() || self.dice.chance(300) {
            let community = AreaCode::new("GM-BIYAN").unwrap();
            let edits = vec![set("place.grid", "GM-BIYAN-02"), write("narrative", "这不是真的。")];
            return create(&Draft { kind: DocumentKind::Case, community, edits }, pen).ok();
        }
        let id = *self.dice.pick(&foreign);
        let mut document = server::journal::load(&mut self.server.app().db.get().unwrap(), id).unwrap()?;
        let edits: Vec<Edit> = if self.dice.chance(500) && document.meta().kind == DocumentKind::Case {
            vec![event(EventKind::Note, serde_json::json!({"text": "这不是真的。"}))]
        } else {
            vec![set("place.detail", "别处")]
        };
        let made: Result<_, EditError> = apply(&mut document, &edits, pen);
        made.ok()?.change.map(|change| (document, change))
    }
}
