//! Vectors of relay: what travels without a network to the server.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sync_core::ids::{AreaCode, DeviceId, UserId};
use sync_core::relay::certificate::{Certificate, LIFE_MS};
use sync_core::relay::meet::Greeting;
use sync_core::relay::receipt::Receipt;
use sync_core::relay::{Container, Content, OpeningKey, frame};
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::wire::{Bytes, to_cbor};

use super::render::render;
use super::{Counted, DEVICE_SEED, RELAY_SEED, Story, altered, device, hex, journal, now_ms, signer, user};

/// Secret of the server's key that parcels are sealed to.
pub const SEAL_SEED: [u8; 32] = [4; 32];
/// Secret of the second phone's key.
pub const OTHER_SEED: [u8; 32] = [5; 32];

fn sealed(story: &Story) -> (Content, Container) {
    let content = Content { device: device(), bundles: vec![story.signed.clone()] };
    let key = OpeningKey::from_seed(&SEAL_SEED).public();
    let container = Container::seal(&content, &key, now_ms(), &Counted::default()).unwrap();
    (content, container)
}

/// With its checksum made to fit.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - 32);
    let sum = Sha256::digest(&bytes);
    bytes.extend(sum);
    bytes
}

pub(super) fn parcel(story: &Story) -> Value {
    let (content, container) = sealed(story);
    let key = OpeningKey::from_seed(&SEAL_SEED);
    let bytes = container.bytes();
    let other = OpeningKey::from_seed(&[9; 32]).public();
    let elsewhere = Container::seal(&content, &other, now_ms(), &Counted::default()).unwrap();
    let mut newer = bytes.to_vec();
    newer[4] = 2;
    let mut eternal = bytes.to_vec();
    eternal[38..46].copy_from_slice(&i64::MAX.to_be_bytes());
    let receipts = Container::receipts(&[Bytes::from(signed_receipt(story))], now_ms(), &Counted::default()).unwrap();
    let case = |name: &str, bytes: &[u8], code: &str| json!({ "name": name, "container": hex(bytes), "refusal": code });
    let cbor = to_cbor(&content).unwrap();
    json!({
        "key": {
            "derive_key_pair_ikm": hex(&[b"fengqiao-relay-v1".as_slice(), &SEAL_SEED].concat()),
            "seed": hex(&SEAL_SEED), "public": hex(&key.public().bytes()), "id": hex(&key.public().id()),
        },
        "container": hex(bytes), "digest": hex(&container.digest()),
        "id": container.id, "created_ms": container.created_ms, "expires_ms": container.expires_ms,
        "content": hex(&cbor), "read": render(&cbor),
        "receipts": { "container": hex(receipts.bytes()), "receipts": [hex(&signed_receipt(story))] },
        "refused": [
            case("another file", b"PK\x03\x04 and more", "not_a_parcel"),
            case("cut off", &bytes[..bytes.len() - 1], "parcel_truncated"),
            case("wrong checksum", &altered(bytes, bytes.len() - 1), "parcel_damaged"),
            case("a byte behind it", &[bytes, &[0]].concat(), "parcel_damaged"),
            case("version 2", &summed(newer), "parcel_version"),
            case("to be carried for ever", &summed(eternal), "not_a_parcel"),
            case("sealed to another server's key", elsewhere.bytes(), "parcel_unknown_key"),
            case("its header altered, its checksum made to fit", &summed(altered(bytes, 10)), "parcel_not_opened"),
            case("its body altered, its checksum made to fit", &summed(altered(bytes, 100)), "parcel_not_opened"),
        ],
    })
}

fn told(story: &Story) -> Receipt {
    Receipt {
        journal: journal(),
        parcel: Bytes::from(sealed(story).1.digest().to_vec()),
        at_ms: now_ms(),
        taken: story.changes.iter().map(|c| c.hash).collect(),
        others: 0,
    }
}

fn signed_receipt(story: &Story) -> Vec<u8> {
    told(story).sign(&DeviceKey::from_seed(RELAY_SEED)).unwrap()
}

pub(super) fn receipt(story: &Story) -> Value {
    let receipt = signed_receipt(story);
    let forged = told(story).sign(&DeviceKey::from_seed([9; 32])).unwrap();
    json!({
        "key": signer(RELAY_SEED, "fengqiao-parcel-receipt-v1"),
        "receipt": hex(&receipt), "read": render(&to_cbor(&told(story)).unwrap()),
        "refused": [
            { "name": "by a key that is not the server's", "receipt": hex(&forged) },
            { "name": "its last byte altered", "receipt": hex(&altered(&receipt, receipt.len() - 1)) },
        ],
    })
}

fn own(device: DeviceId, user: UserId, seed: [u8; 32], name: &str) -> Certificate {
    let grant = sync_core::authority::Grant {
        role: sync_core::role::Role::GridWorker,
        area: AreaCode::new("GM-BIYAN-01").unwrap(),
        kind: sync_core::role::AreaKind::Grid,
        communities: vec![AreaCode::new("GM-BIYAN").unwrap()],
        from_ms: now_ms(),
        until_ms: None,
    };
    Certificate {
        device,
        key: Bytes::from(DeviceKey::from_seed(seed).public().to_vec()),
        user,
        name: name.into(),
        grants: vec![grant],
        journal: journal(),
        issued_ms: now_ms(),
        expires_ms: now_ms() + LIFE_MS,
    }
}

fn first() -> Certificate {
    own(device(), user(), DEVICE_SEED, "小何")
}

pub(super) fn certificate() -> Value {
    let server = DeviceKey::from_seed(RELAY_SEED);
    let signed = first().sign(&server).unwrap();
    let forged = first().sign(&DeviceKey::from_seed([9; 32])).unwrap();
    let keyless = Certificate { key: Bytes::from(vec![1; 31]), ..first() }.sign(&server).unwrap();
    json!({
        "key": signer(RELAY_SEED, "fengqiao-device-v1"),
        "certificate": hex(&signed), "read": render(&to_cbor(&first()).unwrap()),
        "refused": [
            { "name": "by a key that is not the server's", "certificate": hex(&forged) },
            { "name": "its last byte altered", "certificate": hex(&altered(&signed, signed.len() - 1)) },
            { "name": "a phone's key of 31 bytes", "certificate": hex(&keyless) },
        ],
    })
}

/// Two phones greet and prove each other. The transcript is computed as the page says; that both proofs verify over it shows that the
/// code does the same.
pub(super) fn meeting() -> Value {
    let server = DeviceKey::from_seed(RELAY_SEED);
    let second =
        own(DeviceId::from_parts(now_ms(), [0xd2; 10]), UserId::from_parts(now_ms(), [0xa2; 10]), OTHER_SEED, "同事");
    let entropy = Counted::default();
    let greet = |own: &Certificate| Greeting::new(own.clone(), &own.sign(&server).unwrap(), &entropy).unwrap();
    let ((one, hello), (two, other_hello)) = (greet(&first()), greet(&second));
    let prove = |greeting: Greeting, hello: &[u8], seed| {
        let key = DeviceKey::from_seed(seed);
        greeting.receive(hello, &[server.public()], now_ms(), &key, &entropy).unwrap().1
    };
    let (proof, other_proof) = (prove(one, &other_hello, DEVICE_SEED), prove(two, &hello, OTHER_SEED));
    let transcript = Sha256::digest([Sha256::digest(&hello), Sha256::digest(&other_hello)].concat());
    json!({
        "server": hex(&server.public()), "domain": "fengqiao-meet-v1", "at_ms": now_ms(),
        "lesser": { "device": device(), "seed": hex(&DEVICE_SEED), "hello": hex(&hello), "proof": hex(&proof) },
        "greater": { "device": second.device, "seed": hex(&OTHER_SEED), "hello": hex(&other_hello), "proof": hex(&other_proof) },
        "transcript": hex(&transcript),
    })
}

pub(super) fn frames(story: &Story) -> Value {
    let (_, container) = sealed(story);
    let frames = frame::frames(&container, 400).unwrap();
    let one = &frames[0];
    let misread = one.replacen("FQR1:", "FQR1:0", 1);
    json!({
        "container": hex(container.bytes()), "frames": frames,
        "refused": [
            { "name": "another code", "frame": "https://example.org/" },
            { "name": "a letter too many", "frame": misread },
            { "name": "no colon at the end", "frame": one.trim_end_matches(':') },
            { "name": "a frame without a piece", "frame": "FQR1::" },
        ],
    })
}
