//! The server's side of `schema/vectors`: a real server is given what stands there, over HTTP. And the files are those that the
//! generator writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::accounts::{devices, users};
use sync_core::ids::AreaCode;
use sync_core::role::Role;
use sync_core::sync::bundle::DeviceKey;
use sync_core::sync::orders::{LastAnswer, LastWord, SignedLastWord};
use sync_core::sync::wire::{
    self, Bytes, MEDIA_TYPE, PushOutcome, PushResult, SignedBundle, SyncRequest, SyncResponse, from_cbor, to_cbor,
};
use tests::World;
use tests::vectors::{self, bytes, read};

/// A server that knows the person and the phone of the vectors.
pub fn world() -> World {
    let world = World::new();
    let key = DeviceKey::from_seed(vectors::DEVICE_SEED).public();
    let app = world.app();
    app.db
        .transaction(|conn| -> Result<(), server::db::DbError> {
            let now_ms = vectors::now_ms();
            let account = ("vector", "向量", "maple-bridge-vector");
            users::add_as(conn, vectors::user(), account, now_ms).unwrap();
            let grid = AreaCode::new("GM-BIYAN-01").unwrap();
            users::assign(conn, vectors::user(), Role::GridWorker, &grid, now_ms, &vectors::Same(0xaa))?;
            let id = devices::register(conn, vectors::user(), "phone", &key, now_ms, &vectors::Same(0xd1))?;
            assert_eq!(id, Some(vectors::device()));
            Ok(())
        })
        .unwrap();
    world
}

/// What the server tells the person of the vectors when the phone registers: its key is known, so that it is the same phone again.
pub fn register(world: &World) -> Value {
    let login = json!({ "login": "vector", "password": "maple-bridge-vector" });
    let (status, reply) = world.post("/v1/auth/login", None, &login);
    assert_eq!(status, 200, "{reply}");
    let key = DeviceKey::from_seed(vectors::DEVICE_SEED).public();
    let body = json!({ "name": "phone", "public_key": STANDARD.encode(key) });
    let (status, reply) = world.post("/v1/devices", reply["access_token"].as_str(), &body);
    assert_eq!(status, 201, "{reply}");
    reply
}

fn token(world: &World) -> String {
    register(world)["session"]["access_token"].as_str().unwrap().to_owned()
}

fn post(world: &World, path: &str, token: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}{path}", world.url())).header("Content-Type", MEDIA_TYPE);
    let mut response = request.header("Authorization", format!("Bearer {token}")).send(body).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_vec().unwrap())
}

fn sync(world: &World, token: &str, cbor: &[u8]) -> SyncResponse {
    let (status, body) = post(world, "/v1/sync", token, &zstd::bulk::compress(cbor, 3).unwrap());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    wire::decode(&body).unwrap()
}

fn refused(case: &Value, (status, body): (u16, Vec<u8>)) {
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:fengqiao:problem:");
    assert_eq!((&case["status"], &case["problem"]), (&json!(status), &json!(code)), "{}: {problem}", case["name"]);
}

#[test]
fn vectors_are_what_the_generator_writes() {
    let files = vectors::files();
    for (name, text) in &files {
        let there = std::fs::read_to_string(vectors::folder().join(name)).unwrap_or_default();
        assert!(there == *text, "{name} is out of date: cargo run -p tests --bin vectors");
    }
    let there = std::fs::read_dir(vectors::folder()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let unknown: Vec<_> = there.filter(|f| f != "README.md" && !files.contains_key(f.as_str())).collect();
    assert!(unknown.is_empty(), "nobody writes {unknown:?}");
}

#[test]
fn vectors_of_a_sync_are_taken_by_a_real_server_once_and_known_the_second_time() {
    let world = world();
    let token = token(&world);
    let cbor = bytes(&read("sync.json")["request"]["cbor"]);
    let outcomes = |response: SyncResponse| {
        assert_eq!(response.refused, vec![]);
        response.results.into_iter().map(|r| r.outcome).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(sync(&world, &token, &cbor)), [1, 2, 3].map(PushOutcome::Accepted));
    assert_eq!(outcomes(sync(&world, &token, &cbor)), [const { PushOutcome::Duplicate }; 3]);
    let request: SyncRequest = from_cbor(&cbor).unwrap();
    let bundle = sync_core::sync::bundle::read(&request.bundles[0]).unwrap();
    assert_eq!(world.case(bundle.entries[0].document).narrative, "欠薪：十七人，三个月");
}

#[test]
fn vectors_that_are_no_sync_are_refused_by_a_real_server_as_they_say() {
    let world = world();
    let token = token(&world);
    let file = read("sync.json");
    for case in file["refused"].as_array().unwrap() {
        refused(case, post(&world, "/v1/sync", &token, &bytes(&case["body"])));
    }
    for case in file["accepted"].as_array().unwrap() {
        assert_eq!(post(&world, "/v1/sync", &token, &bytes(&case["body"])).0, 200, "{}", case["name"]);
    }
    let request: SyncRequest = from_cbor(&bytes(&file["request"]["cbor"])).unwrap();
    let hand_in = |case: &Value| {
        let field = |name: &str| Bytes::from(bytes(&case[name]));
        let signed = SignedBundle { payload: field("payload"), signature: field("signature") };
        let request = SyncRequest { bundles: vec![signed], ..request.clone() };
        sync(&world, &token, &wire::to_cbor(&request).unwrap())
    };
    let bundles = read("bundle.json");
    for case in bundles["refused"].as_array().unwrap() {
        let response = hand_in(case);
        let codes: Vec<_> = response.refused.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, [case["refusal"].as_str().unwrap()], "{}", case["name"]);
        assert_eq!(response.results, vec![], "{}", case["name"]);
    }
    for case in bundles["unreadable"].as_array().unwrap() {
        let response = hand_in(case);
        let [PushResult { hash, outcome: PushOutcome::Unreadable(code, _), .. }] = &response.results[..] else {
            panic!("{}: {:?}", case["name"], response.results)
        };
        assert_eq!(hash.0.to_vec(), bytes(&case["hash"]), "{}", case["name"]);
        assert_eq!(case["unreadable"], code.as_str(), "{}", case["name"]);
    }
}

#[test]
fn vectors_of_a_last_word_are_heard_when_the_phone_is_revoked() {
    let world = world();
    let file = read("last-word.json");
    let say = |cbor: &Value| post(&world, "/v1/last-word", "", &zstd::bulk::compress(&bytes(cbor), 3).unwrap());
    for case in file["refused"].as_array().unwrap() {
        refused(case, say(&case["cbor"]));
    }
    assert_eq!(say(&file["cbor"]).0, 409);
    world.app().db.transaction(|conn| devices::revoke(conn, vectors::device(), world.clock_ms() + 1)).unwrap();
    let (status, body) = say(&file["cbor"]);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let answer: LastAnswer = wire::decode(&body).unwrap();
    assert_eq!(answer.refused, vec![]);
    assert_eq!(answer.results.len(), 3);
    // What else it may say is heard too, and every answer is read as it is written.
    for case in file["payloads"].as_array().unwrap() {
        let word: LastWord = from_cbor(&bytes(&case["cbor"])).unwrap();
        let signed = SignedLastWord::seal(&word, &DeviceKey::from_seed(vectors::DEVICE_SEED)).unwrap();
        let (status, body) = say(&Value::String(vectors::hex(&to_cbor(&signed).unwrap())));
        assert_eq!(status, 200, "{}: {}", case["name"], String::from_utf8_lossy(&body));
    }
    for case in file["answers"].as_array().unwrap() {
        let answer: LastAnswer = from_cbor(&bytes(&case["cbor"])).unwrap();
        assert_eq!(to_cbor(&answer).unwrap(), bytes(&case["cbor"]), "{}", case["name"]);
    }
}
