//! Requests that are wrong as a whole: each is answered by a problem with its own code, and changes nothing.

use serde_json::json;
use sync_core::ids::DeviceId;
use sync_core::limits;
use sync_core::sync::wire::{self, Health, MEDIA_TYPE};
use tests::World;

use super::well;
use crate::hand::Hand;

#[test]
fn a_body_that_is_no_sync_request_is_told_what_is_wrong() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let good = wire::encode(&hand.request(vec![])).unwrap();
    let frame = |plain: &[u8]| zstd::bulk::compress(plain, 3).unwrap();
    let plain = wire::to_cbor(&hand.request(vec![])).unwrap();
    let nested = [vec![0x81; 100_000], vec![0]].concat();
    for (what, body, expected) in [
        ("nothing", vec![], (400, "sync_malformed")),
        ("plain text", b"hello".to_vec(), (400, "sync_malformed")),
        ("CBOR without zstd", plain.clone(), (400, "sync_malformed")),
        ("a cut frame", good[..good.len() - 3].to_vec(), (400, "sync_malformed")),
        ("a cut message in a whole frame", frame(&plain[..plain.len() / 2]), (400, "sync_malformed")),
        ("another message", frame(&wire::to_cbor(&"hello").unwrap()), (400, "sync_malformed")),
        ("bytes behind the message", frame(&[plain.clone(), vec![0]].concat()), (400, "sync_malformed")),
        ("a list of four thousand million", frame(&[0x9a, 0xff, 0xff, 0xff, 0xff]), (400, "sync_malformed")),
        ("a text of eighteen trillion bytes", frame(&[&[0x7b][..], &[0xff; 8]].concat()), (400, "sync_malformed")),
        ("a hundred thousand lists in one another", frame(&nested), (400, "sync_malformed")),
        ("a bomb", frame(&vec![0; limits::WIRE_INFLATED_BYTES_MAX + 1]), (413, "too_large")),
        ("more than travels", vec![0; limits::WIRE_BYTES_MAX + 1], (413, "too_large")),
    ] {
        let (status, code) = hand.refused(MEDIA_TYPE, &body);
        assert_eq!((status, code.as_str()), expected, "{what}");
        let told = String::from_utf8(hand.post(MEDIA_TYPE, &body).2).unwrap();
        let innards = ["Semantic", "Syntax(", "Io(", "Error {", "None", "Some("];
        assert!(innards.iter().all(|word| !told.contains(word)), "{what} is told in words: {told}");
        well(&world);
    }
    // A map of one entry, and nothing more.
    let (status, told) = world.post_bytes("/v1/last-word", &hand.token, MEDIA_TYPE, &frame(&[0xa1]));
    assert_eq!(status, 400, "{told}");
    assert_eq!(told["detail"], "the message cannot be read: it ends in the middle");
    assert_eq!(hand.send(&hand.request(vec![])).results, vec![]);
}

#[test]
fn a_request_that_counts_too_much_or_speaks_another_version_is_refused() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let mut newer = hand.request(vec![]);
    newer.version = 99;
    let many = hand.request(vec![hand.key.seal(&hand.bundle(vec![])).unwrap(); limits::REQUEST_BUNDLES_MAX + 1]);
    let mut talkative = hand.request(vec![]);
    talkative.health = Health { version: "x".repeat(101), ..Health::default() };
    for (request, expected) in
        [(newer, (400, "protocol_version")), (many, (400, "sync_malformed")), (talkative, (400, "sync_malformed"))]
    {
        let (status, code) = hand.refused(MEDIA_TYPE, &wire::encode(&request).unwrap());
        assert_eq!((status, code.as_str()), expected);
    }
    let mut strange = hand.request(vec![]);
    strange.health = Health { version: "1\u{0}2".into(), wall_ms: i64::MIN, backlog: u64::MAX, ..Health::default() };
    assert_eq!(hand.send(&strange).results, vec![], "what a phone tells of its health never stops its sync");
    well(&world);
}

#[test]
fn another_media_type_another_phone_and_a_desk_are_refused() {
    let world = World::new();
    let (he, colleague) = (Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    let good = wire::encode(&he.request(vec![])).unwrap();
    assert_eq!(he.refused("application/json", &good), (415, "unsupported_media_type".into()));
    let theirs = wire::encode(&colleague.request(vec![])).unwrap();
    assert_eq!(he.refused(MEDIA_TYPE, &theirs), (403, "forbidden".into()));
    let mut nobody = he.request(vec![]);
    nobody.device = DeviceId(uuid::Uuid::nil());
    assert_eq!(he.refused(MEDIA_TYPE, &wire::encode(&nobody).unwrap()).0, 403);
    let (status, problem) = world.post_bytes("/v1/sync", &world.token("he"), MEDIA_TYPE, &good);
    assert_eq!((status, problem["type"].as_str()), (403, Some("urn:fengqiao:problem:device_required")));
    well(&world);
}

#[test]
fn a_desk_that_sends_nonsense_is_told_the_field() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    for (edits, status, field) in [
        (json!([]), 400, Some("edits")),
        (json!([{"edit": "fly"}]), 400, None),
        (json!([{"edit": "set_field", "path": "colour", "value": 1}]), 400, Some("colour")),
        (json!([{"edit": "set_field", "path": "people_involved", "value": -1}]), 400, Some("people_involved")),
        (json!([{"edit": "set_field", "path": "people_involved", "value": 1e300}]), 400, Some("people_involved")),
        (json!([{"edit": "set_field", "path": "title", "value": "零\u{0}"}]), 400, Some("title")),
        (json!([{"edit": "set_text", "name": "narrative", "wording": "零\u{0}"}]), 400, Some("narrative")),
        (json!([{"edit": "set_text", "name": "narrative", "wording": "长".repeat(60_000)}]), 400, Some("narrative")),
        (json!([{"edit": "add_event", "kind": "teleported"}]), 400, Some("kind")),
        (json!([{"edit": "add_event", "kind": "note"}]), 400, Some("body.text")),
        (json!([{"edit": "add_event", "kind": "note", "body": {"text": "零\u{0}"}}]), 400, Some("body.text")),
        (json!([{"edit": "add_event", "kind": "closed"}]), 409, Some("closed")),
        (json!([{"edit": "attach", "hash": "abc", "name": "x", "media_type": "x", "bytes": -1}]), 400, None),
        (json!([{"edit": "attach", "hash": "abc", "name": "x", "media_type": "x", "bytes": 1}]), 400, Some("hash")),
    ] {
        let (told, problem) = world.desk("community", case, edits.clone());
        assert_eq!((told, problem["field"].as_str()), (status, field), "{edits}\n{problem}");
    }
    let token = world.token("community");
    let (status, problem) = world.post("/v1/cases", Some(&token), &json!({"community": "NOWHERE"}));
    assert!(matches!((status, problem["field"].as_str()), (400, Some("community"))), "{problem}");
    for path in ["/v1/cases?open=maybe", "/v1/attachments/abc?document=x"] {
        let (status, problem) = world.get(path, Some(&token));
        assert_eq!((status, problem["field"].as_str()), (400, None), "no field is made up: {path}: {problem}");
    }
    let (status, problem) = world.get("/v1/attachments/abc", Some(&token));
    assert_eq!((status, problem["field"].as_str()), (400, Some("document")), "{problem}");
    let (status, _) = world.post("/v1/auth/login", None, &json!({"login": "he\u{0}", "password": "x\u{0}"}));
    assert_eq!(status, 401);
    for path in [
        "/v1/cases?q=%00",
        "/v1/cases?community=%00",
        "/v1/cases?cursor=%00",
        "/v1/halls/%00/queue",
        "/v1/quarantine/%00",
    ] {
        let (status, problem) = world.get(path, Some(&token));
        assert!(status < 500, "{path}: {problem}");
    }
    well(&world);
}

#[test]
fn a_case_is_made_with_no_more_edits_than_it_could_be_given_afterwards() {
    let world = World::new();
    let token = world.token("community");
    let made = |n: usize| {
        let edits = vec![json!({"edit": "set_field", "path": "title", "value": "一"}); n];
        world.post("/v1/cases", Some(&token), &json!({"community": "GM-BIYAN", "edits": edits}))
    };
    assert_eq!([made(1).0, made(200).0], [201, 201]);
    let (status, problem) = made(201);
    assert_eq!((status, problem["field"].as_str()), (400, Some("edits")), "{problem}");
}
