//! Somebody who has registered a phone like any other, and then says at a meeting what no honest phone would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use server::clock::SystemEntropy;
use sync_core::authority::Subject;
use sync_core::document::{Document, RawChange};
use sync_core::edit::{Draft, Edit, Pen, apply, create};
use sync_core::ids::{ActorId, BundleId, DocumentId, Entropy, UserId};
use sync_core::phone::{MeetState, Meeting, PhoneError};
use sync_core::relay::certificate::Certificate;
use sync_core::relay::meet::{Channel, Gift, Greeting, MeetError, PeerBundle, Word};
use sync_core::shape::DocumentKind;
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::wire::{Bundle, BundleChange, BundleEntry, Bytes};
use sync_core::time::{Hlc, TimeClaim};
use tests::phones::{set, write};
use tests::{World, biyan};

/// A phone under a stranger's fingers, with a genuine certificate.
pub(super) struct Stranger {
    pub(super) key: DeviceKey,
    pub(super) certificate: Certificate,
    pub(super) bytes: Vec<u8>,
    pub(super) actor: ActorId,
    keys: Vec<[u8; 32]>,
    now_ms: i64,
}

impl Stranger {
    pub(super) fn registered(world: &World, login: &str) -> Self {
        let mut seed = [0; 32];
        SystemEntropy.fill(&mut seed);
        let key = DeviceKey::from_seed(seed);
        let body = json!({"name": "by hand", "public_key": STANDARD.encode(key.public())});
        let (status, reply) = world.post("/v1/devices", Some(&world.token(login)), &body);
        assert_eq!(status, 201, "{reply}");
        let bytes = STANDARD.decode(reply["relay"]["certificate"].as_str().unwrap()).unwrap();
        let app = world.app();
        let keys = app.relay_keys(&mut app.db.get().unwrap()).unwrap().public();
        let certificate = Certificate::verified(&bytes, &keys).expect("the server's own certificate");
        Self { key, certificate, bytes, actor: ActorId(SystemEntropy.sixteen()), keys, now_ms: world.clock_ms() }
    }

    /// Greets a phone and proves who it is with whatever key it has; the phone's person agrees. Gives the channel.
    pub(super) fn meet(&self, other: &mut Meeting) -> Result<Channel, PhoneError> {
        let (greeting, hello) = Greeting::new(self.certificate.clone(), &self.bytes, &SystemEntropy)?;
        other.receive(&hello)?;
        let mut said = other.outgoing().into_iter();
        let (proving, proof) =
            greeting.receive(&said.next().unwrap(), &self.keys, self.now_ms, &self.key, &SystemEntropy)?;
        assert!(matches!(other.receive(&proof)?, MeetState::Introduced(_)));
        let channel = proving.receive(&said.next().unwrap())?;
        other.agree()?;
        Ok(channel)
    }

    /// Meets a phone and gives it this. What the phone makes of it.
    pub(super) fn give(&self, other: &mut Meeting, gifts: Vec<Gift>) -> Result<MeetState, PhoneError> {
        let mut channel = self.meet(other)?;
        other.receive(&channel.say(&Word::Holds(vec![]))?)?;
        for gift in gifts {
            other.receive(&channel.say(&Word::Gives(gift))?)?;
        }
        other.receive(&channel.say(&Word::Done)?)
    }

    fn claim(&self) -> TimeClaim {
        TimeClaim { hlc: Hlc { wall_ms: self.now_ms, count: 0 }, anchor: None }
    }

    fn pen<'a>(&self, subject: &'a Subject) -> Pen<'a> {
        let device = Some(self.certificate.device);
        Pen { subject: Some(subject), device, actor: self.actor, at: self.claim(), entropy: &SystemEntropy }
    }

    pub(super) fn case(&self, story: &str) -> (Document, RawChange) {
        let place = [set("place.grid", "GM-BIYAN-01"), set("place.building", "GM-BIYAN-SL17-5")];
        let edits = place.into_iter().chain([write("narrative", story)]).collect();
        let subject = self.certificate.subject(self.now_ms);
        create(&Draft { kind: DocumentKind::Case, community: biyan(), edits }, &self.pen(&subject)).unwrap()
    }

    pub(super) fn edit(&self, document: &mut Document, edits: &[Edit]) -> RawChange {
        self.edit_as(self.certificate.user, document, edits)
    }

    /// The same, with events that say that somebody else wrote them.
    pub(super) fn edit_as(&self, user: UserId, document: &mut Document, edits: &[Edit]) -> RawChange {
        let subject = Subject { user, ..self.certificate.subject(self.now_ms) };
        apply(document, edits, &self.pen(&subject)).unwrap().change.unwrap()
    }

    /// A bundle of its own about one document.
    pub(super) fn bundle(&self, document: DocumentId, changes: &[&[u8]]) -> Bundle {
        let change = |bytes: &&[u8]| BundleChange { at: self.claim(), bytes: Bytes::from(bytes.to_vec()) };
        Bundle {
            id: BundleId::from_parts(self.now_ms, SystemEntropy.ten()),
            device: self.certificate.device,
            user: self.certificate.user,
            actors: vec![self.actor],
            tokens: vec![],
            entries: vec![BundleEntry {
                document,
                kind: DocumentKind::Case,
                community: biyan(),
                changes: changes.iter().map(change).collect(),
            }],
        }
    }

    pub(super) fn signed(&self, bundle: &Bundle) -> PeerBundle {
        PeerBundle { certificate: Bytes::from(self.bytes.clone()), bundle: self.key.seal(bundle).unwrap() }
    }
}

/// The error of a meeting.
pub(super) fn met(result: Result<impl std::fmt::Debug, PhoneError>) -> MeetError {
    match result {
        Err(PhoneError::Meet(e)) => e,
        other => panic!("{other:?}"),
    }
}
