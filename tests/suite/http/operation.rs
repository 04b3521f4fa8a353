//! What those who run the server see of it: readiness, figures, the description of the API, an end that cuts nobody off.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tests::World;

#[test]
fn a_server_says_that_it_is_alive_and_ready_and_shows_its_figures() {
    let world = World::new();
    assert_eq!(world.get("/healthz", None).1["status"], "ok");
    assert_eq!(world.get("/readyz", None).1["status"], "ready");
    let he = world.phone("he");
    he.report("一。");
    he.sync();
    let (status, figures) = world.get("/metrics", None);
    let figures = figures.as_str().unwrap().to_owned();
    assert_eq!(status, 200);
    for line in [
        "fengqiao_changes_accepted_total 1",
        "route=\"/v1/sync\",status=\"200\"",
        "fengqiao_changes_quarantined_total 0",
    ] {
        assert!(figures.contains(line), "{line}\n{figures}");
    }
}

#[test]
fn the_api_that_is_served_is_the_one_that_is_described() {
    let world = World::new();
    let (status, served) = world.get("/v1/openapi.json", None);
    assert_eq!((status, served["openapi"].as_str().map(|v| v.starts_with('3'))), (200, Some(true)));
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema/openapi.json");
    if let Ok(text) = std::fs::read_to_string(file) {
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(served, written, "write it anew: `cargo run -- openapi > schema/openapi.json`");
    }
    for (path, methods) in served["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["responses"].as_object().is_some_and(|r| !r.is_empty()), "{method} {path}");
        }
    }
}

#[test]
fn every_answer_carries_its_request_id() {
    let world = World::new();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for path in ["/healthz", "/v1/cases", "/nowhere"] {
        let response = agent.get(format!("{}{path}", world.url())).call().unwrap();
        assert!(response.headers().get("x-request-id").is_some_and(|v| !v.is_empty()), "{path}");
    }
}

#[test]
fn a_server_that_is_told_to_stop_finishes_the_request_in_flight() {
    let mut world = World::new();
    let token = world.token("community");
    let address = world.url().trim_start_matches("http://").to_owned();
    let body = r#"{"community": "GM-BIYAN", "edits": [{"edit": "set_text", "name": "narrative", "wording": "停机前的一宗。"}]}"#;
    let mut line = TcpStream::connect(&address).unwrap();
    let (begin, end) = body.split_at(20);
    write!(
        line,
        "POST /v1/cases HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    )
    .unwrap();
    let mut reader = BufReader::new(line.try_clone().unwrap());
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    // The server has begun to read this request, and waits for its body.
    assert_eq!(status.trim(), "HTTP/1.1 100 Continue");
    reader.read_line(&mut String::new()).unwrap();
    line.write_all(begin.as_bytes()).unwrap();
    let answer = std::thread::scope(|threads| {
        let stopping = threads.spawn(|| world.stop());
        line.write_all(end.as_bytes()).unwrap();
        let mut answer = String::new();
        reader.read_to_string(&mut answer).unwrap();
        stopping.join().unwrap();
        answer
    });
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(TcpStream::connect(&address).is_err(), "nobody listens there any more");
    world.start();
    let (_, page) = world.get("/v1/cases", Some(&world.token("community")));
    assert_eq!(page["items"][0]["title"], "停机前的一宗");
}
