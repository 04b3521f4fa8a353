//! What never stands in a log, not even at the lowest level: passwords, tokens, keys, proofs, and what citizens told. The server and
//! the phones run in a process of their own that logs everything; this one reads what it wrote.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use diesel::prelude::*;
use serde_json::json;
use server::config::Config;
use server::db::tables::{signing_keys, users};
use tests::phones::{set, write};
use tests::{MINUTE, TestStream, World};

use crate::hand::Hand;

const ID_NUMBER: &str = "11010519491231002X";
const PHONE_NUMBER: &str = "13912345678";
const STORY: &str = "二十三名工人讨要欠薪";
/// Before each secret that the inner process tells.
const MARK: &str = "secret: ";

#[test]
fn secrets_stand_in_no_log_at_any_level() {
    let inner = ["--exact", "secrets::everything_happens", "--ignored", "--nocapture", "--test-threads=1"];
    let ran = Command::new(std::env::current_exe().unwrap()).args(inner).output().unwrap();
    let (told, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{told}\n{log}");
    let secrets: Vec<_> = told.lines().filter_map(|l| l.split_once(MARK)).map(|(_, s)| s).collect();
    assert!(secrets.len() > 20, "{told}");
    // The log is there, and at its lowest level.
    for sign in ["TRACE", "DEBUG", "answered", "/v1/auth/login", "/v1/sync", "/v1/events", "a sign-in failed"] {
        assert!(log.contains(sign), "the log does not hold `{sign}`");
    }
    for secret in secrets {
        assert!(secret.len() >= 8, "too short to be looked for: {secret}");
        if let Some(line) = log.lines().find(|l| l.contains(secret)) {
            panic!("`{secret}` stands in the log: {line}");
        }
    }
}

/// Searches by hand: the test's own client would log the address.
fn search(world: &World, word: &str, token: &str) {
    let address = world.url().trim_start_matches("http://").to_owned();
    let mut line = TcpStream::connect(&address).unwrap();
    write!(
        line,
        "GET /v1/cases?q={word} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    // A full number is refused as a word of a search, and must not be told either.
    assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn everything_happens() {
    server::logging::begin(&Config { log_filter: "trace".into(), ..Config::default() });
    let world = World::new();
    let secret = |text: &str| println!("{MARK}{text}");
    for login in ["he", "captain", "community"] {
        secret(&World::password(login));
    }
    let wrong = "a-password-with-a-typo";
    secret(wrong);
    secret("he-typed-his-password-here");
    world.post("/v1/auth/login", None, &json!({"login": "he-typed-his-password-here", "password": wrong}));
    world.post("/v1/auth/login", None, &json!({"login": "he", "password": wrong, "more": 1}));
    let token = world.token("community");
    secret(&token);
    let hand = Hand::register(&world, "he");
    let proof = STANDARD.encode(hand.key.sign(b"fengqiao-refresh:", hand.refresh.as_bytes()));
    for text in [&hand.token, &hand.refresh, &proof] {
        secret(text);
    }
    let (status, fresh) = world.post("/v1/auth/refresh", None, &json!({"refresh_token": hand.refresh, "proof": proof}));
    assert_eq!(status, 200);
    secret(fresh["refresh_token"].as_str().unwrap());
    secret(fresh["access_token"].as_str().unwrap());
    world.post("/v1/auth/refresh", None, &json!({"refresh_token": "a-token-that-nobody-has", "proof": "not base64!"}));
    secret("a-token-that-nobody-has");

    let phone = world.phone("captain");
    let tokens = phone.core().session_get().unwrap().unwrap();
    secret(&tokens.access);
    secret(tokens.refresh.rsplit(' ').next().unwrap());
    let he = world.phone("he");
    let case = he.report_with(vec![write("narrative", STORY)]);
    let fields = [("name", json!("王某某某")), ("id_number", json!(ID_NUMBER)), ("phone", json!(PHONE_NUMBER))];
    let fields = fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    he.edit(case, &[sync_core::edit::Edit::AddItem { collection: "parties".into(), fields, text: None }]);
    he.sync();
    for text in [STORY, ID_NUMBER, PHONE_NUMBER, "王某某某"] {
        secret(text);
    }
    let mut stream = TestStream::open(&world.url(), "/v1/events", &token, None).unwrap();
    stream.until("hello");
    he.edit(case, &[set("people_involved", 23)]);
    he.sync();
    stream.until("head");
    assert_eq!(world.get(&format!("/v1/cases/{case}"), Some(&token)).0, 200);
    search(&world, PHONE_NUMBER, &token);
    // What is refused, what is broken, what is too old.
    let (document, change) = hand.case(STORY);
    hand.hand_in(vec![hand.entry(&document, [&change.bytes[..20]])]);
    world.post("/v1/cases", Some(&token), &json!({"community": ID_NUMBER, "edits": STORY}));
    let note = json!([{"edit": "set_field", "path": ID_NUMBER, "value": PHONE_NUMBER}]);
    world.desk("community", case, note);
    world.get("/v1/cases?cursor=%00", Some(&format!("{token}x")));
    world.pass(11 * MINUTE);
    world.get("/v1/me", Some(&token));
    he.sync();
    world.scheduler();
    let app = world.app();
    let mut conn = app.db.get().unwrap();
    let seeds: Vec<Vec<u8>> = signing_keys::table.select(signing_keys::seed).load(&mut *conn).unwrap();
    for seed in seeds.into_iter().chain([hand.key.seed().to_vec(), vec![7; 32]]) {
        secret(&STANDARD.encode(&seed));
        secret(&URL_SAFE_NO_PAD.encode(&seed));
        secret(&seed.iter().map(|b| format!("{b:02x}")).collect::<String>());
        secret(&format!("{seed:?}"));
    }
    for hash in users::table.select(users::password_hash).load::<String>(&mut *conn).unwrap() {
        secret(&hash);
    }
}
