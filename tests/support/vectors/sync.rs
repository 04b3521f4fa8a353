//! Vectors of the sync itself.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sync_core::ids::{AreaCode, DeviceId};
use sync_core::limits;
use sync_core::shape::DocumentKind;
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::orders::{LastAnswer, LastWord, SignedLastWord};
use sync_core::sync::pledge::{self, Pledge, Resupplied, Resupply};
use sync_core::sync::token;
use sync_core::sync::wire::{
    Bytes, Cursor, Delivery, Doubt, Health, PROTOCOL_VERSION, PushOutcome, PushResult, SignedBundle, SyncRequest,
    SyncResponse, to_cbor,
};
use sync_core::time::{Anchor, Hlc, TimeClaim};

use super::render::render;
use super::{DEVICE_SEED, RELAY_SEED, Story, TIME_SEED, altered, device, hex, journal, now_ms, signer};

pub(super) fn bundle(story: &Story) -> Value {
    let key = DeviceKey::from_seed(DEVICE_SEED);
    let (payload, signature) = (&story.signed.payload, &story.signed.signature);
    let sealed = |bundle: &sync_core::sync::wire::Bundle| key.seal(bundle).unwrap();
    let case = |name: &str, signed: SignedBundle, refusal: &str| json!({ "name": name, "payload": hex(&signed.payload), "signature": hex(&signed.signature), "refusal": refusal });
    let with = |payload: Vec<u8>, signature: Vec<u8>| SignedBundle {
        payload: Bytes::from(payload),
        signature: Bytes::from(signature),
    };
    let resigned = |payload: Vec<u8>| {
        let signature = key.sign(b"fengqiao-bundle-v1", &payload).to_vec();
        with(payload, signature)
    };
    let other_domain = key.sign(b"fengqiao-last-word-v1", payload).to_vec();
    let mut foreign = story.bundle.clone();
    foreign.user = sync_core::ids::UserId::from_parts(now_ms(), [0xa2; 10]);
    let first = &story.changes[0].bytes;
    // The length of the chunk in one byte more than it needs: the same number, other bytes.
    let end = 9 + first[9..].iter().take_while(|b| **b >= 0x80).count();
    let padded = [&first[..end], &[first[end] | 0x80, 0], &first[end + 1..]].concat();
    let unreadable = |name: &str, chunk: Vec<u8>| {
        let mut bundle = story.bundle.clone();
        let hash = Sha256::digest(&chunk);
        bundle.entries[0].changes.truncate(1);
        bundle.entries[0].changes[0].bytes = Bytes::from(chunk);
        let signed = sealed(&bundle);
        json!({ "name": name, "payload": hex(&signed.payload), "signature": hex(&signed.signature),
            "hash": hex(&hash), "unreadable": "malformed" })
    };
    let mut unknown = story.bundle.clone();
    unknown.device = DeviceId::from_parts(now_ms(), [0xd9; 10]);
    json!({
        "key": signer(DEVICE_SEED, "fengqiao-bundle-v1"),
        "payload": hex(payload), "signature": hex(signature), "read": render(payload),
        "unreadable": [
            unreadable("a chunk whose checksum is wrong", altered(first, 5)),
            unreadable("a chunk whose length is not written the shortest way", padded),
            unreadable("a chunk cut off", first[..first.len() - 1].to_vec()),
            unreadable("no chunk", b"no change".to_vec()),
        ],
        "refused": [
            case("a byte of the signature altered", with(payload.to_vec(), altered(signature, 0)), "bad_signature"),
            case("a signature of 63 bytes", with(payload.to_vec(), signature[..63].to_vec()), "bad_signature"),
            case("signed under another domain", with(payload.to_vec(), other_domain), "bad_signature"),
            case("signed by another key", DeviceKey::from_seed([9; 32]).seal(&story.bundle).unwrap(), "bad_signature"),
            case("of a device that nobody registered", sealed(&unknown), "bad_signature"),
            case("of another author than the phone's", sealed(&foreign), "forged_author"),
            case("bytes behind the payload, signed", resigned([payload.as_slice(), &[0]].concat()), "malformed"),
            case("a payload cut off, signed", resigned(payload[..payload.len() - 1].to_vec()), "malformed"),
        ],
    })
}

/// The packed form is what an entry's `c` holds.
pub(super) fn packed(story: &Story) -> Value {
    let chunk = |n: usize| story.changes[n].bytes.clone();
    let damaged = altered(&chunk(0), 5);
    let form = |name: &str, chunks: Vec<Vec<u8>>| {
        let forms = of_delivery(story, &chunks);
        let hashes: Vec<_> = forms.iter().zip(&chunks).map(|(form, chunk)| hash_of(form, chunk)).collect();
        json!({ "name": name, "packed": forms.iter().map(|p| hex(p)).collect::<Vec<_>>(),
            "chunks": chunks.iter().map(|c| hex(c)).collect::<Vec<_>>(), "hashes": hashes })
    };
    let refused = |name: &str, packed: &[&[u8]]| json!({ "name": name, "packed": packed.iter().map(|p| hex(p)).collect::<Vec<_>>(), "refusal": "malformed" });
    let whole = [&[0], chunk(0).as_slice()].concat();
    json!({
        "vectors": [
            form("1, then 2 and 2: each upon the one before", vec![chunk(0), chunk(1), chunk(2)]),
            form("1 and 1: the second does not build on the one before it", vec![chunk(0), chunk(2)]),
            form("0: a chunk whose checksum is wrong travels as it is", vec![damaged]),
        ],
        "read_only": [{ "name": "0 may always be used", "packed": [hex(&whole)],
            "chunks": [hex(&chunk(0))], "hashes": [hex(&story.changes[0].hash.0)] }],
        "refused": [
            refused("no bytes", &[&[]]),
            refused("a form that nobody knows", &[&[9, 1, 2]]),
            refused("2 with nothing before it", &[&[2, 1, 2]]),
        ],
    })
}

fn hash_of(form: &[u8], chunk: &[u8]) -> Value {
    if form.first() == Some(&0) {
        return Value::Null;
    }
    json!(hex(&Sha256::digest(&chunk[8..])))
}

fn delivery(story: &Story, chunks: &[Vec<u8>]) -> Delivery {
    Delivery {
        document: story.document,
        kind: DocumentKind::Case,
        community: AreaCode::new("GM-BIYAN").unwrap(),
        changes: chunks.iter().map(|c| Bytes::from(c.clone())).collect(),
    }
}

fn of_delivery(story: &Story, chunks: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let cbor = to_cbor(&delivery(story, chunks)).unwrap();
    let value: ciborium::Value = ciborium::from_reader(cbor.as_slice()).unwrap();
    let entries = value.into_map().unwrap();
    let list = entries.into_iter().find(|(key, _)| key.as_text() == Some("c")).unwrap().1;
    list.into_array().unwrap().into_iter().map(|form| form.into_bytes().unwrap()).collect()
}

/// The request that hands in the story.
fn request(story: &Story) -> SyncRequest {
    SyncRequest {
        version: PROTOCOL_VERSION,
        device: device(),
        journal: None,
        cursors: vec![],
        bundles: vec![story.signed.clone()],
        doubts: vec![],
        undecided: vec![],
        health: Health {
            version: "vectors".into(),
            wall_ms: now_ms(),
            backlog: 0,
            storage_bytes: Some(65_536),
            free_bytes: None,
        },
        relay: None,
        confirmed: None,
        resupply: None,
    }
}

fn response(story: &Story) -> SyncResponse {
    let time = DeviceKey::from_seed(TIME_SEED);
    let result = |(change, position): (&sync_core::document::RawChange, i64)| PushResult {
        document: story.document,
        hash: change.hash,
        outcome: PushOutcome::Accepted(position),
    };
    let mut response = SyncResponse {
        version: PROTOCOL_VERSION,
        journal: journal(),
        now_ms: now_ms(),
        token: Bytes::from(token::issue(&time, device(), now_ms()).unwrap()),
        results: story.changes.iter().take(2).zip(1..).map(result).collect(),
        refused: vec![],
        deliveries: vec![delivery(story, &[story.changes[2].bytes.clone()])],
        wanted: vec![],
        purge: vec![],
        orders: None,
        unanswered: 0,
        decisions: vec![],
        cursors: vec![Cursor { community: AreaCode::new("GM-BIYAN").unwrap(), position: 3, backfill: None, scope: 7 }],
        grants: None,
        more: false,
        relay: None,
        pledge: None,
        resupplied: vec![],
    };
    let list = pledge::list(&pledge::pledged(&response, &[], std::iter::empty()));
    let signature = pledge::sign(&DeviceKey::from_seed(RELAY_SEED), journal(), now_ms(), &list);
    response.pledge = Some(pledge::PledgeNote { signature, standing: Bytes::new() });
    response
}

fn frame(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

/// A frame of one raw block, whose header asks for a window of 2^27 bytes.
fn wide(plain: &[u8]) -> Vec<u8> {
    let head = u32::try_from(plain.len()).unwrap() << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, (27 - 10) << 3], &head.to_le_bytes()[..3], plain].concat()
}

/// A map without one of its keys.
fn without(plain: &[u8], key: &str) -> Vec<u8> {
    let value: ciborium::Value = ciborium::from_reader(plain).unwrap();
    let mut entries = value.into_map().unwrap();
    entries.retain(|(k, _)| k.as_text() != Some(key));
    to_cbor(&ciborium::Value::Map(entries)).unwrap()
}

pub(super) fn sync(story: &Story) -> Value {
    let (asked, answered) = (to_cbor(&request(story)).unwrap(), to_cbor(&response(story)).unwrap());
    let idle = SyncRequest { bundles: vec![], ..request(story) };
    let plain = to_cbor(&idle).unwrap();
    let sealed = frame(&plain);
    let newer = to_cbor(&SyncRequest { version: 2, ..idle.clone() }).unwrap();
    let nothing = SignedBundle { payload: Bytes::new(), signature: Bytes::new() };
    let many = SyncRequest { bundles: vec![nothing; limits::REQUEST_BUNDLES_MAX + 1], ..idle.clone() };
    let talkative = Health { version: "x".repeat(101), ..Health::default() };
    let talkative = SyncRequest { health: talkative, ..idle.clone() };
    let stranger = SyncRequest { device: DeviceId::from_parts(now_ms(), [0xd9; 10]), ..idle.clone() };
    let case = |name: &str, body: Vec<u8>, status: u16, problem: &str| json!({ "name": name, "body": hex(&body), "status": status, "problem": problem });
    let bad = |name: &str, body: Vec<u8>| case(name, body, 400, "sync_malformed");
    json!({
        "request": { "cbor": hex(&asked), "read": render(&asked) },
        "response": { "cbor": hex(&answered), "read": render(&answered) },
        "accepted": [{ "name": "nothing to say, in a frame", "body": hex(&sealed) }],
        "refused": [
            bad("no frame", plain.clone()),
            bad("a frame cut off", sealed[..sealed.len() - 1].to_vec()),
            bad("a byte behind the frame", [sealed.as_slice(), &[0]].concat()),
            bad("a second frame behind the frame", [sealed.as_slice(), &sealed].concat()),
            bad("a window of 2^27 bytes", wide(&plain)),
            bad("a byte behind the message", frame(&[plain.as_slice(), &[0]].concat())),
            bad("33 lists of indefinite length in one another", frame(&[vec![0x9f; 33], vec![0xff; 33]].concat())),
            bad("no key `d`", frame(&without(&plain, "d"))),
            bad("65 bundles", frame(&to_cbor(&many).unwrap())),
            bad("a version text of 101 bytes", frame(&to_cbor(&talkative).unwrap())),
            case("version 2", frame(&newer), 400, "protocol_version"),
            case("another device than the session's", frame(&to_cbor(&stranger).unwrap()), 403, "forbidden"),
        ],
    })
}

pub(super) fn tokens() -> Value {
    let key = DeviceKey::from_seed(TIME_SEED);
    let token = token::issue(&key, device(), now_ms()).unwrap();
    let other = token::issue(&key, DeviceId::from_parts(now_ms(), [0xd9; 10]), now_ms()).unwrap();
    let forged = token::issue(&DeviceKey::from_seed([9; 32]), device(), now_ms()).unwrap();
    json!({
        "key": signer(TIME_SEED, "fengqiao-time-v1"),
        "device": device(), "issued_ms": now_ms(), "token": hex(&token), "read": render(&token),
        "refused": [
            { "name": "of another device", "token": hex(&other) },
            { "name": "by a key that is not the server's", "token": hex(&forged) },
            { "name": "its last byte altered", "token": hex(&altered(&token, token.len() - 1)) },
            { "name": "a byte behind it", "token": hex(&[token.as_slice(), &[0]].concat()) },
        ],
    })
}

pub(super) fn claims() -> Value {
    let hlc = Hlc { wall_ms: now_ms(), count: 3 };
    let anchored = |elapsed_ms| Some(Anchor { token_ms: now_ms() - 1_000, elapsed_ms });
    let forms = [
        ("before the first contact", None),
        ("with an unbroken monotonic clock", anchored(Some(1_000))),
        ("after a reboot", anchored(None)),
    ];
    json!({ "vectors": forms.map(|(name, anchor)| form(name, &TimeClaim { hlc, anchor })) })
}

/// A named value as it travels and as it reads.
fn form(name: &str, value: &impl Serialize) -> Value {
    let cbor = to_cbor(value).unwrap();
    json!({ "name": name, "cbor": hex(&cbor), "read": render(&cbor) })
}

pub(super) fn last_word(story: &Story) -> Value {
    let word = LastWord { bundles: vec![story.signed.clone()], ..LastWord::of(device()) };
    let signed = SignedLastWord::seal(&word, &DeviceKey::from_seed(DEVICE_SEED)).unwrap();
    let bad = SignedLastWord { signature: Bytes::from(altered(&signed.signature, 0)), ..signed.clone() };
    json!({
        "key": signer(DEVICE_SEED, "fengqiao-last-word-v1"),
        "cbor": hex(&to_cbor(&signed).unwrap()), "read": render(&signed.payload),
        "refused": [
            { "name": "a byte of the signature altered", "cbor": hex(&to_cbor(&bad).unwrap()), "status": 403, "problem": "bad_signature" },
        ],
        "payloads": last_payloads(story),
        "answers": last_answers(story),
    })
}

/// What a last word may say beside what was not sent.
fn last_payloads(story: &Story) -> Value {
    let entry = &story.bundle.entries[0];
    let (document, kind, community) = (story.document, entry.kind, entry.community.clone());
    let changes = story.changes.iter().map(|c| Bytes::from(c.bytes.clone())).collect();
    let resupply = Resupply {
        pledges: vec![pledged(story)],
        documents: vec![Delivery { document, kind, community, changes }],
        ..Resupply::default()
    };
    let doubts = vec![Doubt { document, heads: story.changes.last().map(|c| c.hash).into_iter().collect() }];
    let forms = [
        ("records in doubt", LastWord { doubts, ..LastWord::of(device()) }),
        ("what a restored server lacks", LastWord { resupply: Some(resupply), ..LastWord::of(device()) }),
        ("for the last time", LastWord { bundles: vec![story.signed.clone()], last: true, ..LastWord::of(device()) }),
    ];
    json!(forms.map(|(name, word)| form(name, &word)))
}

/// What is answered to the first two of them.
fn last_answers(story: &Story) -> Value {
    let id = story.document;
    let quiet = LastAnswer {
        now_ms: now_ms(),
        results: vec![],
        refused: vec![],
        wipe: None,
        journal: Some(journal()),
        lacking: vec![],
        resupplied: vec![],
    };
    let taken = Resupplied { document: id, taken: 2, refused: None, aside: vec![] };
    let forms = [
        ("one of them is lacking", LastAnswer { lacking: vec![id], ..quiet.clone() }),
        ("it was taken", LastAnswer { resupplied: vec![taken], ..quiet }),
    ];
    json!(forms.map(|(name, answer)| form(name, &answer)))
}

/// The server's word for all changes of the story.
fn pledged(story: &Story) -> Pledge {
    let hashes: std::collections::BTreeSet<_> = story.changes.iter().map(|c| c.hash.0).collect();
    let list: Vec<u8> = hashes.into_iter().flatten().collect();
    let signature = pledge::sign(&DeviceKey::from_seed(RELAY_SEED), journal(), now_ms(), &list);
    Pledge { journal: journal(), at_ms: now_ms(), signature, list: Bytes::from(list) }
}

pub(super) fn pledge(story: &Story) -> Value {
    let Pledge { list, signature, .. } = pledged(story);
    json!({
        "key": signer(RELAY_SEED, "fengqiao-pledge-v1"),
        "journal": journal(), "at_ms": now_ms(), "list": hex(&list), "signature": hex(&signature),
        "refused": [{ "name": "another list", "list": hex(&list[32..]), "signature": hex(&signature) }],
    })
}
