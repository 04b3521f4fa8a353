//! The phone's side of `schema/vectors`: what stands there is read, and written again it is the same, byte for byte. What is to be
//! refused is refused for the reason that stands beside it.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use ciborium::Value as Cbor;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sync_core::document::Document;
use sync_core::ids::{DeviceId, JournalId};
use sync_core::relay::certificate::Certificate;
use sync_core::relay::parcel::{Container, receipts_of};
use sync_core::relay::receipt::Receipt;
use sync_core::relay::{FrameSet, OpeningKey};
use sync_core::sync::bundle::{self, DeviceKey, verify};
use sync_core::sync::orders::SignedLastWord;
use sync_core::sync::pledge::Pledge;
use sync_core::sync::token;
use sync_core::sync::wire::{
    self, Bundle, Bytes, Delivery, SignedBundle, SyncRequest, SyncResponse, WireError, from_cbor, to_cbor,
};
use sync_core::time::TimeClaim;

fn read(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("schema/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn list(value: &Value) -> &[Value] {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

/// The key of a file, checked against its public half.
fn key(file: &Value) -> (DeviceKey, [u8; 32]) {
    let key = DeviceKey::from_seed(array(&file["key"]["seed"]));
    assert_eq!(key.public(), array(&file["key"]["public"]));
    let public = key.public();
    (key, public)
}

#[test]
fn a_bundle_is_signed_and_opened_as_the_vector_says() {
    let file = read("bundle.json");
    let (key, public) = key(&file);
    let signed = |v: &Value| SignedBundle {
        payload: Bytes::from(bytes(&v["payload"])),
        signature: Bytes::from(bytes(&v["signature"])),
    };
    let good = signed(&file);
    let opened: Bundle = bundle::read(&good).unwrap();
    assert_eq!(bundle::check(&good, &public), Ok(()));
    assert_eq!(key.seal(&opened).unwrap(), good);
    for case in list(&file["refused"]) {
        let signed = signed(case);
        let refusal = match bundle::read(&signed) {
            Err(refusal) => refusal.code.as_str(),
            Ok(read) if bundle::check(&signed, &public).is_err() || read.device != opened.device => "bad_signature",
            Ok(read) if read.user != opened.user => "forged_author",
            Ok(_) => "none",
        };
        assert_eq!(case["refusal"], refusal, "{}", case["name"]);
    }
}

#[test]
fn what_the_vectors_call_unreadable_is_no_change() {
    let file = read("bundle.json");
    for case in list(&file["unreadable"]) {
        let bundle: Bundle = from_cbor(&bytes(&case["payload"])).unwrap();
        let chunk = &bundle.entries[0].changes[0].bytes;
        assert_eq!(Sha256::digest(chunk).to_vec(), bytes(&case["hash"]), "{}", case["name"]);
        assert_eq!(case["unreadable"], Document::decode(chunk).unwrap_err().code.as_str(), "{}", case["name"]);
    }
}

/// A delivery whose `c` is this list.
fn delivery(packed: &Value) -> Vec<u8> {
    let bundle: Bundle = from_cbor(&bytes(&read("bundle.json")["payload"])).unwrap();
    let entry = &bundle.entries[0];
    let text = |t: &str| Cbor::Text(t.into());
    let forms = packed.as_array().unwrap().iter().map(|p| Cbor::Bytes(bytes(p))).collect();
    let map = vec![
        (text("d"), Cbor::Bytes(entry.document.0.as_bytes().to_vec())),
        (text("k"), text("case")),
        (text("a"), text(entry.community.as_str())),
        (text("c"), Cbor::Array(forms)),
    ];
    to_cbor(&Cbor::Map(map)).unwrap()
}

#[test]
fn packed_changes_unpack_to_their_chunks_and_pack_again_to_the_same() {
    let file = read("packed.json");
    for (part, packs_again) in [("vectors", true), ("read_only", false)] {
        for case in list(&file[part]) {
            let cbor = delivery(&case["packed"]);
            let unpacked: Delivery = from_cbor(&cbor).unwrap();
            let chunks: Vec<Vec<u8>> = unpacked.changes.iter().map(|c| c.to_vec()).collect();
            assert_eq!(chunks, list(&case["chunks"]).iter().map(bytes).collect::<Vec<_>>(), "{}", case["name"]);
            assert_eq!(to_cbor(&unpacked).unwrap() == cbor, packs_again, "{}", case["name"]);
            for (chunk, hash) in chunks.iter().zip(list(&case["hashes"])) {
                match hash.is_null() {
                    true => assert!(Document::decode(chunk).is_err(), "{}", case["name"]),
                    false => assert_eq!(Document::links(chunk).unwrap().0.0, array(hash), "{}", case["name"]),
                }
            }
        }
    }
    for case in list(&file["refused"]) {
        assert_eq!(case["refusal"], "malformed");
        assert!(from_cbor::<Delivery>(&delivery(&case["packed"])).is_err(), "{}", case["name"]);
    }
}

#[test]
fn requests_responses_and_claims_are_read_and_written_as_the_vectors_say() {
    let file = read("sync.json");
    let asked = bytes(&file["request"]["cbor"]);
    let request: SyncRequest = from_cbor(&asked).unwrap();
    assert_eq!(request.check(), Ok(()));
    assert_eq!(to_cbor(&request).unwrap(), asked);
    let answered = bytes(&file["response"]["cbor"]);
    let response: SyncResponse = from_cbor(&answered).unwrap();
    assert_eq!(to_cbor(&response).unwrap(), answered);
    assert_eq!(wire::decode::<SyncResponse>(&wire::encode(&response).unwrap()).unwrap(), response);
    for case in list(&file["accepted"]) {
        assert!(wire::decode::<SyncRequest>(&bytes(&case["body"])).unwrap().check().is_ok(), "{}", case["name"]);
    }
    for case in list(&file["refused"]) {
        let told = wire::decode::<SyncRequest>(&bytes(&case["body"])).and_then(|r| r.check().map(|()| r));
        let problem = match &told {
            Err(WireError::NotCompressed | WireError::Malformed(_)) => "sync_malformed",
            Err(WireError::Version { .. }) => "protocol_version",
            Err(WireError::TooLarge { .. }) => "too_large",
            // By its form it is good; only the session says otherwise.
            Ok(told) if told.device != request.device => "forbidden",
            Ok(_) => "none",
        };
        assert_eq!(case["problem"], problem, "{}: {told:?}", case["name"]);
    }
    for case in list(&read("claim.json")["vectors"]) {
        let cbor = bytes(&case["cbor"]);
        assert_eq!(to_cbor(&from_cbor::<TimeClaim>(&cbor).unwrap()).unwrap(), cbor, "{}", case["name"]);
    }
}

#[test]
fn what_the_server_signs_is_believed_and_nothing_else() {
    let file = read("token.json");
    let (time, public) = key(&file);
    let device: DeviceId = file["device"].as_str().unwrap().parse().unwrap();
    let issued = file["issued_ms"].as_i64().unwrap();
    assert_eq!(token::issue(&time, device, issued).unwrap(), bytes(&file["token"]));
    assert_eq!(token::genuine(&bytes(&file["token"]), device, &[public]), Some(issued));
    for case in list(&file["refused"]) {
        assert_eq!(token::genuine(&bytes(&case["token"]), device, &[public]), None, "{}", case["name"]);
    }

    let file = read("receipt.json");
    let (relay, public) = key(&file);
    let receipt = bytes(&file["receipt"]);
    assert_eq!(Receipt::verified(&receipt, &[public]).unwrap().sign(&relay).unwrap(), receipt);
    for case in list(&file["refused"]) {
        assert_eq!(Receipt::verified(&bytes(&case["receipt"]), &[public]), None, "{}", case["name"]);
    }

    let file = read("certificate.json");
    let certificate = bytes(&file["certificate"]);
    assert_eq!(Certificate::verified(&certificate, &[public]).unwrap().sign(&relay).unwrap(), certificate);
    for case in list(&file["refused"]) {
        assert_eq!(Certificate::verified(&bytes(&case["certificate"]), &[public]), None, "{}", case["name"]);
    }

    let file = read("pledge.json");
    let journal: JournalId = file["journal"].as_str().unwrap().parse().unwrap();
    let pledge = |case: &Value| Pledge {
        journal,
        at_ms: file["at_ms"].as_i64().unwrap(),
        signature: Bytes::from(bytes(&case["signature"])),
        list: Bytes::from(bytes(&case["list"])),
    };
    assert!(pledge(&file).is_genuine(&[public]));
    for case in list(&file["refused"]) {
        assert!(!pledge(case).is_genuine(&[public]), "{}", case["name"]);
    }
}

#[test]
fn a_last_word_is_signed_as_the_vector_says() {
    let file = read("last-word.json");
    let (key, public) = key(&file);
    let signed: SignedLastWord = from_cbor(&bytes(&file["cbor"])).unwrap();
    assert!(signed.is_signed_by(&public));
    assert_eq!(SignedLastWord::seal(&signed.read().unwrap(), &key).unwrap(), signed);
    for case in list(&file["refused"]) {
        let forged: SignedLastWord = from_cbor(&bytes(&case["cbor"])).unwrap();
        assert!(!forged.is_signed_by(&public), "{}", case["name"]);
    }
}

#[test]
fn parcels_open_and_frames_come_together_as_the_vectors_say() {
    let file = read("parcel.json");
    let key = || OpeningKey::from_seed(&array(&file["key"]["seed"]));
    assert_eq!(key().public().bytes(), array(&file["key"]["public"]));
    assert_eq!(key().public().id(), array(&file["key"]["id"]));
    let container = Container::parse_one(&bytes(&file["container"])).unwrap();
    assert_eq!(container.digest(), array(&file["digest"]));
    assert_eq!(file["id"], container.id.to_string());
    assert_eq!(file["created_ms"], container.created_ms);
    assert_eq!(file["expires_ms"], container.expires_ms);
    assert_eq!(to_cbor(&container.open(&[key()]).unwrap()).unwrap(), bytes(&file["content"]));
    let receipts = Container::parse_one(&bytes(&file["receipts"]["container"])).unwrap();
    let told: Vec<_> = receipts_of(&receipts).unwrap().iter().map(|r| r.to_vec()).collect();
    assert_eq!(told, list(&file["receipts"]["receipts"]).iter().map(bytes).collect::<Vec<_>>());
    for case in list(&file["refused"]) {
        let error = Container::parse_one(&bytes(&case["container"])).and_then(|c| c.open(&[key()])).unwrap_err();
        assert_eq!(case["refusal"], error.code(), "{}", case["name"]);
    }

    let file = read("frames.json");
    let mut set = FrameSet::default();
    for case in list(&file["refused"]) {
        assert!(set.add(case["frame"].as_str().unwrap()).is_err(), "{}", case["name"]);
    }
    // Backwards and twice: order and number mean nothing.
    let frames = list(&file["frames"]);
    let mut whole = None;
    for frame in frames.iter().skip(1).rev().chain(frames.iter().skip(1)).chain(frames.first()) {
        assert_eq!(whole, None);
        whole = set.add(frame.as_str().unwrap()).unwrap().whole;
    }
    assert_eq!(whole.unwrap(), bytes(&file["container"]));
}

#[test]
fn two_phones_that_meet_sign_the_transcript_of_the_vector() {
    let file = read("meeting.json");
    let hello = |side: &str| Sha256::digest(bytes(&file[side]["hello"]));
    let transcript: [u8; 32] = Sha256::digest([hello("lesser"), hello("greater")].concat()).into();
    assert_eq!(transcript.to_vec(), bytes(&file["transcript"]));
    for side in ["lesser", "greater"] {
        let device: DeviceId = file[side]["device"].as_str().unwrap().parse().unwrap();
        let proof: Cbor = from_cbor(&bytes(&file[side]["proof"])).unwrap();
        let entries = proof.into_map().unwrap();
        let field = |name: &str| {
            let found = entries.iter().find(|(k, _)| k.as_text() == Some(name)).unwrap();
            found.1.as_bytes().unwrap().clone()
        };
        let message = [transcript.as_slice(), device.0.as_bytes(), &field("k")].concat();
        let public = DeviceKey::from_seed(array(&file[side]["seed"])).public();
        assert!(verify(&public, b"fengqiao-meet-v1", &message, &field("s")), "{side}");
    }
}

#[test]
fn a_phone_is_as_patient_as_the_vector_says_whatever_chance_brings() {
    use sync_core::sync::pace::{Outcome, Pace};
    let file = read("pace.json");
    let steps = file["steps"].as_array().unwrap();
    let apart_ms = file["apart_ms"].as_i64().unwrap();
    let mut met = vec![(i64::MAX, i64::MIN); steps.len()];
    for chance in 0..2_000_u64 {
        let (mut pace, mut now_ms) = (Pace::default(), 0);
        for (n, step) in steps.iter().enumerate() {
            now_ms += apart_ms;
            let outcome = match (step["status"].as_u64(), step["retry_after_s"].as_i64()) {
                (Some(200), _) => Outcome::Done,
                (Some(503), Some(seconds)) => Outcome::Later(seconds * 1_000),
                (None, None) => Outcome::Failed,
                other => panic!("{other:?}"),
            };
            let rolled = chance.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::try_from(n).unwrap();
            pace.attempted(outcome, now_ms, rolled >> 7);
            let wait_ms = pace.wait_ms(now_ms, true, None);
            met[n] = (met[n].0.min(wait_ms), met[n].1.max(wait_ms));
        }
    }
    for (step, (least, most)) in steps.iter().zip(met) {
        let bound = |n: usize| step["wait_ms"][n].as_i64().unwrap();
        let (from, to) = (bound(0), bound(1));
        assert!(from <= least && most <= to, "{step}: {least} to {most}");
        // Chance takes all of it, not a part.
        let near = (to - from) / 50;
        assert!(least <= from + near && most >= to - near, "{step}: only {least} to {most}");
    }
}
