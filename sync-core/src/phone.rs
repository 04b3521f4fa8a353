//! The phone: store, clocks, identity and typed edits behind one door. Everything works without a network; a sync is a session of
//! bytes in and bytes out, and this room never speaks to anything itself.

mod attachments;
mod away;
mod dismissed;
mod fault;
mod forward;
mod live;
mod lock;
mod meet;
mod notice;
mod people;
mod purge;
mod refused;
mod relay;
mod restored;
mod resupply;
mod session;
mod status;
mod storage;
mod thumbnails;
mod transfer;
mod watch;
mod wipe;

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::attachments::vault::Vault;
use crate::authority::{Grant, Place, Subject};
use crate::calendar::Calendar;
use crate::case::CaseState;
use crate::document::{Document, Opened};
use crate::edit::{self, Draft, Edit, Edited, Pen};
use crate::event::{EventKind, VOCABULARY};
use crate::fold;
use crate::ids::{ActorId, DeviceId, DocumentId, Entropy, UserId};
use crate::patrol::PatrolState;
use crate::rules::{Obligation, RuleSet, obligations};
use crate::shape::DocumentKind;
use crate::store::actors::{self, Owner};
use crate::store::documents::StoredDocument;
use crate::store::list::{ListFilter, ListRow};
use crate::store::{Store, StoreError, documents, list, meta, meta_json, outbox, set_meta, set_meta_json};
use crate::sync::bundle::DeviceKey;
use crate::sync::pace::Pace;
use crate::time::{Anchor, Hlc, PhoneClock, TimeClaim};

pub use attachments::{Attached, AttachmentAt, AttachmentStatus};
pub use fault::{Bound, PhoneError};
pub use live::Heard;
pub use lock::{LockState, PIN_CHARS_MAX, PIN_CHARS_MIN};
pub use meet::{MeetPeer, MeetReport, MeetState, Meeting};
pub use notice::{ChangeNotice, SubscriptionId};
pub use people::{People, Person};
pub use relay::RelayImport;
pub use session::{Incomplete, LeftOut, SyncProgress, SyncSession};
pub use session::{LastStep, LastWords};
pub use status::{AttachmentCounts, DocumentStatus, SyncStatus};
pub use storage::{Pressure, Room, StorageReport};
pub use transfer::{TransferPolicy, TransferProgress, TransferReply, TransferRequest, TransferSession};
pub use wipe::WipeNote;

/// What a phone asks of its host: clocks and randomness.
pub trait PhoneHost: PhoneClock + Entropy {}
impl<T: PhoneClock + Entropy> PhoneHost for T {}

/// Who works on this phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// As the server registered it.
    pub device: DeviceId,
    /// The account.
    pub user: UserId,
    /// What people call its owner.
    pub name: String,
    /// What its owner types.
    pub login: String,
    /// What he is charged with.
    pub grants: Vec<Grant>,
}

/// The tokens of the session with the server; kept encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTokens {
    /// Short-lived.
    pub access: String,
    /// Replaced at every use.
    pub refresh: String,
    /// When the access token expires, ms UTC.
    pub expires_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct TokenAt {
    issued_ms: i64,
    monotonic_ms: i64,
    boot: u64,
}

struct Inner {
    store: Store,
    host: Arc<dyn PhoneHost>,
    key: DeviceKey,
    vault: Vault,
    notices: notice::Notices,
    pace: Mutex<Option<Pace>>,
    gate: Mutex<lock::Gate>,
    opened: Opened,
}

/// Files that are kept open in memory, by the bytes they take in the store: the one that is being written, and those looked at before.
const OPENED_BYTES: usize = 512 * 1024;

/// One phone. Cheap to copy; every function can be called from any thread.
#[derive(Clone)]
pub struct Phone(Arc<Inner>);

impl Phone {
    /// Opens or creates the phone's store.
    pub fn open(path: &Path, key: &[u8; 32], host: Arc<dyn PhoneHost>) -> Result<Self, PhoneError> {
        if Self::wipe_note(path)?.is_some() {
            return Err(PhoneError::Wiped);
        }
        let store = Store::open(path, key)?;
        let seed = store.write(|tx| -> Result<[u8; 32], StoreError> {
            if let Some(seed) = meta(tx, "device_key")? {
                return <[u8; 32]>::try_from(seed).map_err(|_| StoreError::Damaged("device key".into()));
            }
            let mut seed = [0; 32];
            host.fill(&mut seed);
            set_meta(tx, "device_key", &seed)?;
            set_meta(tx, "actor", &host.sixteen())?;
            Ok(seed)
        })?;
        restored::opened(&store, path, &*host)?;
        let vault = Vault::beside(path, &transfer::vault_key(&store, &*host)?);
        let key = DeviceKey::from_seed(seed);
        let gate = Mutex::new(lock::Gate::of(&store, &*host)?);
        let notices = notice::Notices::default();
        let (pace, opened) = (Mutex::default(), Opened::new(OPENED_BYTES));
        Ok(Self(Arc::new(Inner { store, host, key, vault, notices, pace, gate, opened })))
    }

    /// The key that the server registers.
    pub fn device_public_key(&self) -> [u8; 32] {
        self.0.key.public()
    }

    /// Signs a message of a domain.
    pub fn sign(&self, domain: &[u8], message: &[u8]) -> [u8; 64] {
        self.0.key.sign(domain, message)
    }

    /// Notes who works on this phone from now on. What somebody before him has not sent stays his.
    pub fn enrol(&self, enrolment: &Enrolment) -> Result<(), PhoneError> {
        self.0.store.write(|tx| -> Result<(), PhoneError> {
            let before = meta_json::<Enrolment>(tx, "enrolment")?;
            if before.is_some_and(|b| b.user != enrolment.user || b.device != enrolment.device) {
                // Another person writes under another actor.
                self.take_new_actors(tx)?;
            }
            Ok(set_meta_json(tx, "enrolment", enrolment)?)
        })
    }

    /// Who works on this phone.
    pub fn identity(&self) -> Result<Option<Enrolment>, PhoneError> {
        self.0.store.read(|c| Ok(meta_json(c, "enrolment")?))
    }

    /// Notes what the person is charged with now.
    pub fn update_grants(&self, grants: Vec<Grant>) -> Result<(), PhoneError> {
        self.0.store.write(|tx| -> Result<(), PhoneError> {
            let Some(mut enrolment) = meta_json::<Enrolment>(tx, "enrolment")? else {
                return Err(PhoneError::NotEnrolled);
            };
            enrolment.grants = grants;
            Ok(set_meta_json(tx, "enrolment", &enrolment)?)
        })
    }

    /// The tokens of the session.
    pub fn session_get(&self) -> Result<Option<SessionTokens>, PhoneError> {
        self.0.store.read(|c| Ok(meta_json::<Option<SessionTokens>>(c, "session")?.flatten()))
    }

    /// Keeps or forgets the tokens of the session.
    pub fn session_put(&self, tokens: Option<&SessionTokens>) -> Result<(), PhoneError> {
        self.0.store.write(|tx| Ok(set_meta_json(tx, "session", &tokens)?))
    }

    fn enrolment(conn: &Connection) -> Result<Enrolment, PhoneError> {
        meta_json(conn, "enrolment")?.ok_or(PhoneError::NotEnrolled)
    }

    fn actor(conn: &Connection) -> Result<ActorId, PhoneError> {
        let bytes = meta(conn, "actor")?.and_then(|a| <[u8; 16]>::try_from(a).ok());
        Ok(bytes.map(ActorId).ok_or_else(|| StoreError::Damaged("actor".into()))?)
    }

    /// The next reading of the phone's hybrid clock with its evidence; kept in the same transaction as what is stamped with it.
    fn claim(&self, tx: &rusqlite::Transaction<'_>) -> Result<TimeClaim, PhoneError> {
        let host = &self.0.host;
        let hlc = meta_json::<Hlc>(tx, "hlc")?.unwrap_or_default().tick(host.now_ms());
        set_meta_json(tx, "hlc", &hlc)?;
        let anchor = meta_json::<TokenAt>(tx, "token_at")?.map(|t| Anchor {
            token_ms: t.issued_ms,
            elapsed_ms: (t.boot == host.boot()).then(|| host.monotonic_ms() - t.monotonic_ms),
        });
        Ok(TimeClaim { hlc, anchor })
    }

    /// The phone's best idea of the server's time, ms UTC: the last token and what the monotonic clock has counted since; after a
    /// reboot the wall clock.
    pub fn now_ms(&self) -> Result<i64, PhoneError> {
        let host = &self.0.host;
        let at: Option<TokenAt> = self.0.store.read(|c| meta_json(c, "token_at").map_err(PhoneError::from))?;
        let counted = at.filter(|t| t.boot == host.boot()).map(|t| t.issued_ms + host.monotonic_ms() - t.monotonic_ms);
        Ok(counted.unwrap_or_else(|| host.now_ms()))
    }

    /// Creates a document.
    pub fn create(&self, draft: &Draft) -> Result<DocumentId, PhoneError> {
        self.admit()?;
        let id = self.0.store.write(|tx| -> Result<DocumentId, PhoneError> {
            let who = Self::enrolment(tx)?;
            let actor = Self::actor(tx)?;
            let at = self.claim(tx)?;
            let subject = Subject { user: who.user, grants: who.grants };
            let pen = Pen { subject: Some(&subject), device: Some(who.device), actor, at, entropy: &*self.0.host };
            let (document, change) = edit::create(draft, &pen)?;
            actors::note(tx, actor, Owner { author: who.user, device: who.device })?;
            documents::save(tx, &document, actor)?;
            outbox::push(tx, document.meta().id, who.user, &change, &at)?;
            Ok(document.meta().id)
        })?;
        self.0.notices.send(&ChangeNotice { documents: vec![id], from_sync: false });
        Ok(id)
    }

    /// Edits a document: all of it as one change, or nothing.
    pub fn edit(&self, id: DocumentId, edits: &[Edit]) -> Result<Edited, PhoneError> {
        self.edit_with(id, edits, |_| Ok(()))
    }

    fn edit_with(
        &self,
        id: DocumentId,
        edits: &[Edit],
        beside: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<Edited, PhoneError> {
        self.admit()?;
        let edited = self.0.store.write(|tx| -> Result<Edited, PhoneError> {
            let who = Self::enrolment(tx)?;
            let StoredDocument { mut document, actor, .. } =
                self.stored(tx, id)?.map_or_else(|| Err(Self::not_here(tx, id)), Ok)?;
            let at = self.claim(tx)?;
            let subject = Subject { user: who.user, grants: who.grants };
            let pen = Pen { subject: Some(&subject), device: Some(who.device), actor, at, entropy: &*self.0.host };
            let edited = edit::apply(&mut document, edits, &pen)?;
            if let Some(change) = &edited.change {
                actors::note(tx, actor, Owner { author: who.user, device: who.device })?;
                let bytes = documents::save(tx, &document, actor)?;
                outbox::push(tx, id, who.user, change, &at)?;
                self.keep_open(document, bytes);
            }
            beside(tx)?;
            Ok(edited)
        })?;
        if edited.change.is_some() {
            self.0.notices.send(&ChangeNotice { documents: vec![id], from_sync: false });
        }
        Ok(edited)
    }

    fn not_here(conn: &rusqlite::Connection, id: DocumentId) -> PhoneError {
        match list::away_since(conn, id) {
            Ok(Some(_)) => PhoneError::Away,
            Ok(None) => PhoneError::NotFound,
            Err(e) => e.into(),
        }
    }

    /// A document as it is stored; from memory, if somebody works on it. It is kept open from now on.
    fn stored(&self, conn: &Connection, id: DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        let Some(standing) = documents::standing(conn, id)? else { return Ok(None) };
        let at_hand = self.at_hand(id, &standing);
        if at_hand.is_some() {
            return Ok(at_hand);
        }
        let stored = documents::read(conn, id, &standing)?;
        self.keep_open(stored.document.clone(), standing.bytes.0 + standing.bytes.1);
        Ok(Some(stored))
    }

    /// The same for what comes and goes without anybody looking at it.
    fn passing(&self, conn: &Connection, id: DocumentId) -> Result<Option<StoredDocument>, StoreError> {
        let Some(standing) = documents::standing(conn, id)? else { return Ok(None) };
        self.at_hand(id, &standing).map_or_else(|| documents::read(conn, id, &standing), Ok).map(Some)
    }

    fn at_hand(&self, id: DocumentId, standing: &documents::Standing) -> Option<StoredDocument> {
        let document = self.0.opened.get(id, &standing.heads)?;
        Some(StoredDocument { document, actor: standing.actor, synced_ms: standing.synced_ms })
    }

    /// A document as it is stored.
    pub fn document(&self, id: DocumentId) -> Result<Document, PhoneError> {
        self.admit()?;
        self.0.store.read(|c| match self.stored(c, id)? {
            Some(stored) => Ok(stored.document),
            None => Err(Self::not_here(c, id)),
        })
    }

    /// The kind of a document.
    pub fn kind(&self, id: DocumentId) -> Result<DocumentKind, PhoneError> {
        Ok(self.document(id)?.meta().kind)
    }

    /// A case file.
    pub fn case(&self, id: DocumentId) -> Result<CaseState, PhoneError> {
        let document = self.document(id)?;
        if document.meta().kind == DocumentKind::Case {
            Ok(fold::folded_case(&document).as_ref().clone())
        } else {
            Err(PhoneError::NotFound)
        }
    }

    /// A patrol record.
    pub fn patrol(&self, id: DocumentId) -> Result<PatrolState, PhoneError> {
        let document = self.document(id)?;
        if document.meta().kind == DocumentKind::Patrol {
            Ok(fold::fold_patrol(&document))
        } else {
            Err(PhoneError::NotFound)
        }
    }

    /// The ids of all documents.
    pub fn documents(&self) -> Result<Vec<DocumentId>, PhoneError> {
        self.admit()?;
        self.0.store.read(|c| Ok(documents::ids(c)?))
    }

    /// Rows of a kind, last changed first.
    pub fn list(&self, kind: DocumentKind, filter: &ListFilter) -> Result<Vec<ListRow>, PhoneError> {
        self.admit()?;
        if filter.text.is_some() && self.0.store.read(list::is_stale)? {
            self.0.store.write(list::refresh)?;
        }
        self.0.store.read(|c| Ok(list::page(c, kind, filter)?))
    }

    /// Cases and patrols in which every word of the text occurs.
    pub fn search(&self, text: &str, limit: u32) -> Result<Vec<ListRow>, PhoneError> {
        let filter = ListFilter { text: Some(text.to_owned()), limit: Some(limit), ..ListFilter::default() };
        let mut rows = self.list(DocumentKind::Case, &filter)?;
        rows.extend(self.list(DocumentKind::Patrol, &filter)?);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    /// What is or was due in a case, by the shipped rules, as of this phone's idea of the server's time.
    pub fn obligations(&self, id: DocumentId) -> Result<Vec<Obligation>, PhoneError> {
        Ok(obligations(&self.case(id)?, RuleSet::shipped(), Calendar::shipped(), self.now_ms()?))
    }

    /// The kinds of event that this person may write into a document now.
    pub fn allowed_events(&self, id: DocumentId) -> Result<Vec<EventKind>, PhoneError> {
        let who = self.identity()?.ok_or(PhoneError::NotEnrolled)?;
        let document = self.document(id)?;
        let place = Place::of(&document);
        let subject = Subject { user: who.user, grants: who.grants };
        let kinds = VOCABULARY.iter().map(|s| s.kind).filter(|k| subject.role_for(*k, &place).is_some());
        let patrol_kind = |k: &EventKind| {
            matches!(
                k,
                EventKind::PatrolStarted
                    | EventKind::PatrolEnded
                    | EventKind::HazardRectified
                    | EventKind::PublicityRecord
                    | EventKind::Note
            )
        };
        Ok(match document.meta().kind {
            DocumentKind::Case => {
                let state = fold::folded_case(&document);
                kinds.filter(|k| fold::would_stand(&state, *k)).collect()
            }
            DocumentKind::Patrol => kinds.filter(patrol_kind).collect(),
        })
    }

    /// Whether this person may write an event of a kind into a document now.
    pub fn may(&self, id: DocumentId, kind: EventKind) -> Result<bool, PhoneError> {
        Ok(self.allowed_events(id)?.contains(&kind))
    }
}

#[cfg(test)]
mod tests;
