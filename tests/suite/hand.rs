//! A phone made by hand: it registers like any other, and then signs and sends what no honest phone would. Speaks real HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use server::clock::SystemEntropy;
use sync_core::authority::Subject;
use sync_core::document::{Document, RawChange};
use sync_core::edit::{Draft, Edit, Pen, apply, create};
use sync_core::ids::{ActorId, AreaCode, BundleId, DeviceId, DocumentId, Entropy, UserId};
use sync_core::shape::DocumentKind;
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::wire::{
    self, Bundle, BundleChange, BundleEntry, Bytes, Health, MEDIA_TYPE, PROTOCOL_VERSION, PushOutcome, SignedBundle,
    SyncRequest, SyncResponse,
};
use sync_core::time::{Clock, Hlc, TimeClaim};
use tests::World;
use tests::phones::{set, write};

/// One phone under a stranger's fingers.
pub struct Hand {
    pub key: DeviceKey,
    pub device: DeviceId,
    pub user: UserId,
    pub actor: ActorId,
    pub token: String,
    pub refresh: String,
    subject: Subject,
    url: String,
    /// What its wall clock shows.
    pub wall_ms: i64,
}

impl Hand {
    /// Signs in, registers, and learns what its owner may do.
    pub fn register(world: &World, login: &str) -> Self {
        let key = DeviceKey::from_seed(seed());
        let token = world.token(login);
        let body = json!({"name": "by hand", "public_key": STANDARD.encode(key.public())});
        let (status, reply) = world.post("/v1/devices", Some(&token), &body);
        assert_eq!(status, 201, "{reply}");
        let session = &reply["session"];
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let mut hand = Self {
            key,
            device: text(&reply["id"]).parse().unwrap(),
            user: text(&session["user"]["id"]).parse().unwrap(),
            actor: ActorId(SystemEntropy.sixteen()),
            token: text(&session["access_token"]),
            refresh: text(&session["refresh_token"]),
            subject: Subject { user: UserId::SYSTEM, grants: Vec::new() },
            url: world.url(),
            wall_ms: world.clock.now_ms(),
        };
        hand.subject = Subject { user: hand.user, grants: hand.send(&hand.request(vec![])).grants.unwrap() };
        hand
    }

    /// Where it sends its syncs.
    pub fn sync_url(&self) -> String {
        format!("{}/v1/sync", self.url)
    }

    /// Turns to the server where it runs now.
    pub fn move_to(&mut self, world: &World) {
        self.url = world.url();
    }

    pub fn claim(&self) -> TimeClaim {
        TimeClaim { hlc: Hlc { wall_ms: self.wall_ms, count: 0 }, anchor: None }
    }

    fn pen(&self) -> Pen<'_> {
        let (subject, device) = (Some(&self.subject), Some(self.device));
        Pen { subject, device, actor: self.actor, at: self.claim(), entropy: &SystemEntropy }
    }

    /// A case in a building of the first grid of 碧眼, with its first change.
    pub fn case(&self, story: &str) -> (Document, RawChange) {
        let place = [set("place.grid", "GM-BIYAN-01"), set("place.building", "GM-BIYAN-SL17-5")];
        let edits = place.into_iter().chain([write("narrative", story)]).collect();
        let community = AreaCode::new("GM-BIYAN").unwrap();
        create(&Draft { kind: DocumentKind::Case, community, edits }, &self.pen()).unwrap()
    }

    /// An edit, made here only.
    pub fn edit(&self, document: &mut Document, edits: &[Edit]) -> RawChange {
        apply(document, edits, &self.pen()).unwrap().change.unwrap()
    }

    /// Changes of a document as they stand in a bundle.
    pub fn entry<'a>(&self, document: &Document, changes: impl IntoIterator<Item = &'a [u8]>) -> BundleEntry {
        let meta = document.meta();
        self.entry_of(meta.id, meta.community.clone(), changes)
    }

    /// Bytes that say they are changes of a document.
    pub fn entry_of<'a>(
        &self,
        document: DocumentId,
        community: AreaCode,
        changes: impl IntoIterator<Item = &'a [u8]>,
    ) -> BundleEntry {
        let change = |bytes: &[u8]| BundleChange { at: self.claim(), bytes: Bytes::from(bytes.to_vec()) };
        BundleEntry {
            document,
            kind: DocumentKind::Case,
            community,
            changes: changes.into_iter().map(change).collect(),
        }
    }

    /// An unsigned bundle of its own.
    pub fn bundle(&self, entries: Vec<BundleEntry>) -> Bundle {
        let id = BundleId::from_parts(self.wall_ms, SystemEntropy.ten());
        Bundle { id, device: self.device, user: self.user, actors: vec![self.actor], tokens: vec![], entries }
    }

    pub fn request(&self, bundles: Vec<SignedBundle>) -> SyncRequest {
        SyncRequest {
            version: PROTOCOL_VERSION,
            device: self.device,
            journal: None,
            cursors: vec![],
            bundles,
            doubts: vec![],
            undecided: Vec::new(),
            health: Health::default(),
            relay: None,
            confirmed: None,
            resupply: None,
        }
    }

    /// Sends bytes as a sync request; status, media type and body.
    pub fn post(&self, media_type: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent
            .post(format!("{}/v1/sync", self.url))
            .header("Authorization", format!("Bearer {}", self.token))
            .header("Content-Type", media_type);
        let mut response = request.send(body).unwrap();
        let told = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        (response.status().as_u16(), told.unwrap_or_default(), response.body_mut().read_to_vec().unwrap())
    }

    /// Sends bytes that must be refused; status and the stable code of the problem.
    pub fn refused(&self, media_type: &str, body: &[u8]) -> (u16, String) {
        let (status, told, body) = self.post(media_type, body);
        assert_eq!(told, "application/problem+json", "{status}");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], status, "{problem}");
        (status, problem["type"].as_str().unwrap().trim_start_matches("urn:fengqiao:problem:").to_owned())
    }

    pub fn send(&self, request: &SyncRequest) -> SyncResponse {
        let (status, _, body) = self.post(MEDIA_TYPE, &wire::encode(request).unwrap());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        wire::decode(&body).unwrap()
    }

    /// Hands in entries in one signed bundle; what became of each change.
    pub fn hand_in(&self, entries: Vec<BundleEntry>) -> Vec<PushOutcome> {
        let signed = self.key.seal(&self.bundle(entries)).unwrap();
        let response = self.send(&self.request(vec![signed]));
        assert_eq!(response.refused, vec![]);
        response.results.into_iter().map(|r| r.outcome).collect()
    }
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemEntropy.fill(&mut seed);
    seed
}
