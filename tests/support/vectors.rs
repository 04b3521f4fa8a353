//! The test vectors of the protocol: what stands in `schema/vectors`. Everything follows from the constants here, byte for byte.

mod pace;
mod relay;
mod render;
mod sync;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sync_core::authority::{Grant, Subject};
use sync_core::calendar::beijing_ms;
use sync_core::document::RawChange;
use sync_core::edit::{Draft, Pen, apply, create};
use sync_core::ids::{ActorId, AreaCode, BundleId, DeviceId, DocumentId, Entropy, JournalId, UserId};
use sync_core::role::{AreaKind, Role};
use sync_core::shape::DocumentKind;
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::wire::{Bundle, BundleChange, BundleEntry, Bytes, SignedBundle};
use sync_core::time::{Hlc, TimeClaim};

use crate::phones::{set, write};

/// Secret of the phone's key.
pub const DEVICE_SEED: [u8; 32] = [1; 32];
/// Secret of the server's key for time tokens.
pub const TIME_SEED: [u8; 32] = [2; 32];
/// Secret of the server's key for receipts, certificates and pledges.
pub const RELAY_SEED: [u8; 32] = [3; 32];

/// Nine o'clock on 17 May 2019 in Beijing: where every test begins.
pub fn now_ms() -> i64 {
    beijing_ms(2019, 5, 17, 9, 0)
}
/// The phone.
pub fn device() -> DeviceId {
    DeviceId::from_parts(now_ms(), [0xd1; 10])
}
/// Its owner.
pub fn user() -> UserId {
    UserId::from_parts(now_ms(), [0xa1; 10])
}
/// The server's journal.
pub fn journal() -> JournalId {
    JournalId::from_parts(now_ms(), [0x71; 10])
}

/// Bytes that follow from a number: not random at all, which is what a vector needs.
#[derive(Default)]
pub struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(32) {
            let n = self.0.fetch_add(1, Ordering::Relaxed);
            part.iter_mut().zip(Sha256::digest(n.to_be_bytes())).for_each(|(to, from)| *to = from);
        }
    }
}

/// Gives the same byte for ever: the ids that the tests register.
pub struct Same(pub u8);

impl Entropy for Same {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

/// One case in three changes, each upon the one before, and the bundle that carries them.
pub struct Story {
    /// The case.
    pub document: DocumentId,
    /// Its changes.
    pub changes: Vec<RawChange>,
    /// The bundle.
    pub bundle: Bundle,
    /// The same, signed.
    pub signed: SignedBundle,
}

impl Story {
    fn new() -> Self {
        let entropy = Counted::default();
        let key = DeviceKey::from_seed(DEVICE_SEED);
        let community = AreaCode::new("GM-BIYAN").unwrap();
        let grant = Grant {
            role: Role::GridWorker,
            area: AreaCode::new("GM-BIYAN-01").unwrap(),
            kind: AreaKind::Grid,
            communities: vec![community.clone()],
            from_ms: now_ms(),
            until_ms: None,
        };
        let subject = Subject { user: user(), grants: vec![grant] };
        let actor = ActorId([0xac; 16]);
        let claim = |count| TimeClaim { hlc: Hlc { wall_ms: now_ms(), count }, anchor: None };
        let pen =
            |count| Pen { subject: Some(&subject), device: Some(device()), actor, at: claim(count), entropy: &entropy };
        let edits = vec![
            set("place.grid", "GM-BIYAN-01"),
            set("place.building", "GM-BIYAN-SL17-5"),
            write("narrative", "欠薪：十七人，三个月"),
        ];
        let draft = Draft { kind: DocumentKind::Case, community: community.clone(), edits };
        let (mut document, first) = create(&draft, &pen(0)).unwrap();
        let second = apply(&mut document, &[set("place.detail", "三楼")], &pen(1)).unwrap().change.unwrap();
        let third = apply(&mut document, &[set("place.detail", "三楼东侧")], &pen(2)).unwrap().change.unwrap();
        let changes = vec![first, second, third];
        let in_bundle = |(change, count): (&RawChange, u32)| BundleChange {
            at: claim(count),
            bytes: Bytes::from(change.bytes.clone()),
        };
        let entry = BundleEntry {
            document: document.meta().id,
            kind: DocumentKind::Case,
            community,
            changes: changes.iter().zip(0..).map(in_bundle).collect(),
        };
        let bundle = Bundle {
            id: BundleId::from_parts(now_ms(), [0xb1; 10]),
            device: device(),
            user: user(),
            actors: vec![actor],
            tokens: vec![],
            entries: vec![entry],
        };
        let signed = key.seal(&bundle).unwrap();
        Self { document: document.meta().id, changes, bundle, signed }
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes of a hexadecimal string of a vector.
pub fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    assert!(text.len().is_multiple_of(2), "half a byte: {text}");
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn altered(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut altered = bytes.to_vec();
    altered[at] ^= 1;
    altered
}

fn signer(seed: [u8; 32], domain: &str) -> Value {
    json!({ "seed": hex(&seed), "public": hex(&DeviceKey::from_seed(seed).public()), "domain": domain })
}

/// Where the vectors stand.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("schema/vectors")
}

/// One file as it is committed.
pub fn read(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// Every file, by name.
pub fn files() -> BTreeMap<&'static str, String> {
    let story = Story::new();
    let all = [
        ("bundle.json", sync::bundle(&story)),
        ("packed.json", sync::packed(&story)),
        ("sync.json", sync::sync(&story)),
        ("token.json", sync::tokens()),
        ("claim.json", sync::claims()),
        ("last-word.json", sync::last_word(&story)),
        ("pledge.json", sync::pledge(&story)),
        ("parcel.json", relay::parcel(&story)),
        ("receipt.json", relay::receipt(&story)),
        ("certificate.json", relay::certificate()),
        ("meeting.json", relay::meeting()),
        ("frames.json", relay::frames(&story)),
        ("pace.json", pace::pace()),
    ];
    all.into_iter().map(|(name, value)| (name, serde_json::to_string_pretty(&value).unwrap() + "\n")).collect()
}
