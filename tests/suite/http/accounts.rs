//! Signing in, fresh tokens, signing out; people, phones and areas as each may see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::accounts::keys::{Keys, Purpose};
use tests::{MINUTE, World};

use crate::hand::Hand;

fn problem(reply: &Value) -> &str {
    reply["type"].as_str().unwrap().trim_start_matches("urn:fengqiao:problem:")
}

fn refresh(world: &World, token: &str, proof: Option<[u8; 64]>) -> (u16, Value) {
    let body = json!({"refresh_token": token, "proof": proof.map(|p| STANDARD.encode(p))});
    world.post("/v1/auth/refresh", None, &body)
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(|i| i[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_of_a_phone_is_refreshed_with_its_signature_and_ended_by_a_reused_token() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let proof = |token: &str| Some(hand.key.sign(b"fengqiao-refresh:", token.as_bytes()));
    assert_eq!(
        refresh(&world, &hand.refresh, None).0,
        401,
        "without the signature of its phone a token is worth nothing"
    );
    let (status, second) = refresh(&world, &hand.refresh, proof(&hand.refresh));
    assert_eq!(status, 200, "{second}");
    let second = second["refresh_token"].as_str().unwrap();
    let (status, third) = refresh(&world, second, proof(second));
    assert_eq!((status, third["device"].as_str()), (200, Some(hand.device.to_string().as_str())));
    let (status, reused) = refresh(&world, &hand.refresh, proof(&hand.refresh));
    assert_eq!((status, problem(&reused)), (401, "token_reused"));
    let third = third["refresh_token"].as_str().unwrap();
    assert_eq!(refresh(&world, third, proof(third)).0, 401, "the whole family has ended");
    assert_eq!(world.get("/v1/me", Some(&hand.token)).0, 401);
}

#[test]
fn a_token_of_a_key_that_was_retired_at_once_opens_nothing_soon_after_though_nobody_signs_in_meanwhile() {
    let world = World::new();
    let token = world.token("community");
    assert_eq!(world.get("/v1/me", Some(&token)).0, 200);
    // As `fengqiao keys rotate --at-once` does beside a server that runs.
    let app = world.app();
    let rotate = |conn: &mut _| Keys::rotate(conn, Purpose::Access, app.now_ms(), Some(0), &app.entropy);
    app.db.transaction(rotate).unwrap();
    world.pass(MINUTE / 2);
    let (status, reply) = world.get("/v1/me", Some(&token));
    assert_eq!(status, 401, "{reply}");
    assert_eq!(world.get("/v1/me", Some(&world.token("community"))).0, 200);
}

#[test]
fn an_access_token_ends_by_the_servers_clock_and_by_signing_out() {
    let world = World::new();
    let token = world.token("community");
    let (status, me) = world.get("/v1/me", Some(&token));
    assert_eq!(
        (status, me["login"].as_str(), me["roles"][0]["role"].as_str()),
        (200, Some("community"), Some("supervisor"))
    );
    world.pass(11 * MINUTE);
    let (status, expired) = world.get("/v1/me", Some(&token));
    assert_eq!((status, problem(&expired)), (401, "token_expired"));
    let token = world.token("community");
    assert_eq!(world.post("/v1/auth/logout", Some(&token), &json!({})).0, 204);
    let (status, ended) = world.get("/v1/me", Some(&token));
    assert_eq!((status, problem(&ended)), (401, "session_ended"));
}

#[test]
fn a_session_that_is_used_goes_on_and_has_an_end_all_the_same() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let proof = |token: &str| Some(hand.key.sign(b"fengqiao-refresh:", token.as_bytes()));
    let mut token = hand.refresh.clone();
    let mut days = 0;
    while days < 200 {
        world.pass(20 * 24 * 60 * MINUTE);
        days += 20;
        let (status, reply) = refresh(&world, &token, proof(&token));
        if status != 200 {
            assert_eq!(problem(&reply), "session_ended");
            break;
        }
        token = reply["refresh_token"].as_str().unwrap().to_owned();
    }
    assert_eq!(days, 180, "used every twenty days it lasts half a year, not thirty days");
    let idle = Hand::register(&world, "colleague");
    world.pass(31 * 24 * 60 * MINUTE);
    let proof = Some(idle.key.sign(b"fengqiao-refresh:", idle.refresh.as_bytes()));
    assert_eq!(refresh(&world, &idle.refresh, proof).0, 401, "unused it ends after thirty days");
}

#[test]
fn a_wrong_password_is_a_problem_with_a_stable_code() {
    let world = World::new();
    let (status, reply) = world.post("/v1/auth/login", None, &json!({"login": "he", "password": "guess"}));
    assert_eq!((status, problem(&reply)), (401, "login_failed"));
    assert_eq!(reply["status"], 401);
    assert!(reply["title"].is_string() && reply["detail"].is_string(), "{reply}");
    let (status, reply) = world.post("/v1/auth/login", None, &json!({"login": "he"}));
    assert_eq!((status, problem(&reply), reply["field"].as_str()), (400, "json_invalid", Some("password")));
}

#[test]
fn areas_people_and_phones_are_those_that_one_looks_after() {
    let world = World::new();
    let (he, baihua) = (Hand::register(&world, "he"), Hand::register(&world, "baihua"));
    let get = |login: &str, path: &str| {
        let (status, reply) = world.get(path, Some(&world.token(login)));
        assert_eq!(status, 200, "{login} {path}: {reply}");
        reply
    };
    let areas = texts(&get("he", "/v1/areas"), "code");
    assert!(areas.contains(&"GM-BIYAN-01".to_owned()) && !areas.contains(&"GM-BAIHUA-01".to_owned()), "{areas:?}");
    let people = texts(&get("community", "/v1/users"), "login");
    assert!(people.contains(&"he".to_owned()) && !people.contains(&"baihua".to_owned()), "{people:?}");
    assert!(texts(&get("street", "/v1/users"), "login").contains(&"baihua".to_owned()));
    assert_eq!(world.get("/v1/users", Some(&world.token("he"))).0, 403);
    let (first, second) = (he.device.to_string(), baihua.device.to_string());
    assert_eq!(texts(&get("he", "/v1/devices"), "id"), [first.as_str()]);
    assert_eq!(texts(&get("community", "/v1/devices"), "id"), [first.as_str()]);
    assert_eq!(texts(&get("street", "/v1/devices"), "id"), [first.as_str(), second.as_str()]);
    let revoke = format!("/v1/devices/{second}/revoke");
    assert_eq!(world.post(&revoke, Some(&world.token("community")), &json!({})).0, 404, "of another community");
    assert_eq!(world.post(&revoke, Some(&world.token("street")), &json!({})).0, 200);
    assert_eq!(world.get("/v1/me", Some(&baihua.token)).0, 401);
}

#[test]
fn pages_of_people_have_no_gaps_and_no_doubles() {
    let world = World::new();
    let token = world.token("admin");
    let (_, all) = world.get("/v1/users", Some(&token));
    let mut paged = Vec::new();
    let mut path = "/v1/users?limit=5".to_owned();
    loop {
        let (status, page) = world.get(&path, Some(&token));
        assert_eq!(status, 200, "{page}");
        paged.extend(texts(&page, "login"));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/users?limit=5&after={next}");
    }
    assert_eq!(paged, texts(&all, "login"));
    assert!(paged.len() >= 12);
}
