//! Accounts over real HTTP: signing in, refreshing, phones, and who may see whom. Each test has a server and a database of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod hall;

use hall::{Answer, Hall, START_MS};
use serde_json::json;
use sync_core::sync::bundle::DeviceKey;

fn proof(key: &DeviceKey, token: &str) -> String {
    hall::base64(&key.sign(b"fengqiao-refresh:", token.as_bytes()))
}

#[test]
fn signing_in_tells_who_one_is_and_where() {
    let hall = Hall::open();
    let me = hall.sign_in("lin");
    let role = &me.json["user"]["roles"][0];
    assert_eq!((role["role"].as_str(), role["area"].as_str()), (Some("grid_worker"), Some("BY-G1")));
    assert_eq!((role["area_kind"].as_str(), role["community"].as_str()), (Some("grid"), Some("BY")));
    let asked = hall.get("/v1/me", &me.access());
    assert_eq!(asked.json["login"], "lin");
}

#[test]
fn a_wrong_password_and_an_unknown_login_are_answered_alike() {
    let hall = Hall::open();
    let login = |login: &str| hall.post("/v1/auth/login", "", &json!({"login": login, "password": "wrong password"}));
    let (known, unknown) = (login("lin"), login("nobody"));
    assert_eq!(known.problem(), (401, "login_failed"));
    assert_eq!(known.json, unknown.json);
}

#[test]
fn an_access_token_expires_by_the_servers_own_clock() {
    let hall = Hall::open();
    let me = hall.sign_in("lin");
    hall.clock.advance(11 * 60_000);
    assert_eq!(hall.get("/v1/me", &me.access()).problem(), (401, "token_expired"));
    let fresh = hall.refresh(&me.refresh(), None);
    assert_eq!(hall.get("/v1/me", &fresh.access()).status, 200);
}

#[test]
fn a_lost_answer_is_made_good_and_a_copied_token_closes_the_session() {
    let hall = Hall::open();
    let first = hall.sign_in("lin").refresh();
    let lost = hall.refresh(&first, None);
    // The answer never arrived, so the same token is sent again.
    let second = hall.refresh(&first, None);
    assert_eq!(second.status, 200);
    let third = hall.refresh(&second.refresh(), None);
    assert_eq!(third.status, 200);
    // Somebody shows the token that was replaced and whose successor was used.
    assert_eq!(hall.refresh(&first, None).problem(), (401, "token_reused"));
    for token in [lost.refresh(), second.refresh(), third.refresh()] {
        assert_eq!(hall.refresh(&token, None).status, 401);
    }
    assert_eq!(hall.get("/v1/me", &third.access()).problem(), (401, "session_ended"));
}

#[test]
fn the_same_token_sent_twice_at_once_is_answered_twice() {
    let hall = Hall::open();
    // The second token, so that there is one before it to be spent.
    let first = hall.sign_in("lin").refresh();
    let token = hall.refresh(&first, None).refresh();
    let statuses: Vec<u16> = std::thread::scope(|threads| {
        let asked: Vec<_> = (0..4).map(|_| threads.spawn(|| hall.refresh(&token, None).status)).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 4]);
}

#[test]
fn a_session_ends_when_it_is_not_refreshed_for_its_days() {
    let hall = Hall::open();
    let me = hall.sign_in("lin");
    hall.clock.advance(31 * 86_400_000);
    assert_eq!(hall.refresh(&me.refresh(), None).problem(), (401, "session_ended"));
}

#[test]
fn signing_out_ends_the_access_token_too() {
    let hall = Hall::open();
    let me = hall.sign_in("lin");
    assert_eq!(hall.post("/v1/auth/logout", &me.access(), &json!({})).status, 204);
    assert_eq!(hall.get("/v1/me", &me.access()).problem(), (401, "session_ended"));
    assert_eq!(hall.refresh(&me.refresh(), None).problem(), (401, "session_ended"));
}

#[test]
fn a_phones_session_is_refreshed_only_with_the_phones_signature() {
    let hall = Hall::open();
    let key = DeviceKey::from_seed([7; 32]);
    let registered = hall.register("lin", &key);
    let token = registered.json["session"]["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(hall.refresh(&token, None).problem(), (401, "proof_invalid"));
    let other = proof(&DeviceKey::from_seed([8; 32]), &token);
    assert_eq!(hall.refresh(&token, Some(&other)).problem(), (401, "proof_invalid"));
    assert_eq!(hall.refresh(&token, Some("###")).problem(), (400, "field_invalid"));
    let fresh = hall.refresh(&token, Some(&proof(&key, &token)));
    assert_eq!(fresh.json["device"], registered.json["id"]);
}

#[test]
fn a_phone_is_registered_once_and_never_to_somebody_else() {
    let hall = Hall::open();
    let key = DeviceKey::from_seed([7; 32]);
    let first = hall.register("lin", &key);
    assert_eq!((first.status, &first.json["id"]), (201, &hall.register("lin", &key).json["id"]));
    assert_eq!(hall.register("chen", &key).problem(), (409, "device_key_taken"));
    let me = hall.sign_in("lin");
    for (field, body) in [
        ("public_key", json!({"name": "p", "public_key": "AAAA"})),
        ("public_key", json!({"name": "p", "public_key": hall::base64(&[0; 32])})),
        ("name", json!({"name": " ", "public_key": hall::base64(&key.public())})),
    ] {
        let refused = hall.post("/v1/devices", &me.access(), &body);
        assert_eq!((refused.status, refused.json["field"].as_str()), (400, Some(field)), "{body}");
    }
}

#[test]
fn a_revoked_phone_is_shut_out_at_once() {
    let hall = Hall::open();
    let registered = hall.register("lin", &DeviceKey::from_seed([7; 32]));
    let phone = registered.json["session"]["access_token"].as_str().unwrap().to_owned();
    assert_eq!(hall.get("/v1/me", &phone).status, 200);
    let path = format!("/v1/devices/{}/revoke", registered.json["id"].as_str().unwrap());
    // Another community's supervisor does not even learn that it exists.
    assert_eq!(hall.post(&path, &hall.sign_in("xu").access(), &json!({})).problem(), (404, "not_found"));
    assert_eq!(hall.post(&path, &hall.sign_in("chen").access(), &json!({})).status, 200);
    assert_eq!(hall.get("/v1/me", &phone).status, 401);
}

#[test]
fn people_and_phones_are_seen_within_ones_own_area_only() {
    let hall = Hall::open();
    hall.register("lin", &DeviceKey::from_seed([7; 32]));
    let logins = |who: &str| -> Vec<String> {
        let answer = hall.get("/v1/users", &hall.sign_in(who).access());
        answer.json["items"].as_array().unwrap().iter().map(|u| u["login"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(logins("chen"), ["chen", "lin"]);
    assert_eq!(logins("xu"), ["xu"]);
    assert_eq!(hall.get("/v1/users", &hall.sign_in("lin").access()).problem(), (403, "forbidden"));
    let phones =
        |who: &str| hall.get("/v1/devices", &hall.sign_in(who).access()).json["items"].as_array().unwrap().len();
    assert_eq!((phones("chen"), phones("lin"), phones("xu")), (1, 1, 0));
    let areas = hall.get("/v1/areas", &hall.sign_in("lin").access());
    let codes: Vec<_> = areas.json["items"].as_array().unwrap().iter().map(|a| a["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["LH", "FH", "BY", "BY-G1"]);
}

#[test]
fn an_administrator_makes_accounts_in_his_own_area() {
    let hall = Hall::open();
    let root = hall.sign_in("root");
    let wanted = |login: &str, role: &str, area: &str| json!({"login": login, "name": "王", "password": "long enough", "roles": [{"role": role, "area": area}]});
    let made = hall.post("/v1/users", &root.access(), &wanted("wang", "mediator", "BY"));
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(hall.sign_in_with("wang", "long enough").status, 200);
    let again = hall.post("/v1/users", &root.access(), &wanted("wang", "mediator", "BY"));
    assert_eq!((again.problem(), again.json["field"].as_str()), ((409, "login_taken"), Some("login")));
    assert_eq!(hall.post("/v1/users", &root.access(), &wanted("x2", "mediator", "XX")).problem(), (403, "forbidden"));
    assert_eq!(hall.post("/v1/users", &root.access(), &wanted("x2", "system", "BY")).problem(), (400, "field_invalid"));
    let chen = hall.sign_in("chen");
    assert_eq!(hall.post("/v1/users", &chen.access(), &wanted("x3", "mediator", "BY")).problem(), (403, "forbidden"));
}

#[test]
fn tokens_of_another_algorithm_are_refused() {
    let hall = Hall::open();
    let token = hall.sign_in("lin").access();
    let body = token.split('.').nth(1).unwrap();
    for header in [r#"{"alg":"none","typ":"at+jwt"}"#, r#"{"alg":"HS256","typ":"at+jwt"}"#, "{}", "not json"] {
        let forged = format!("{}.{body}.AAAA", hall::base64url(header.as_bytes()));
        assert_eq!(hall.get("/v1/me", &forged).problem(), (401, "token_invalid"), "{header}");
    }
    assert_eq!(hall.get("/v1/me", "").problem(), (401, "token_missing"));
}

#[test]
fn a_rotated_key_signs_anew_and_the_old_tokens_stay_good() {
    let hall = Hall::open();
    let old = hall.sign_in("lin").access();
    hall.rotate_keys();
    assert_eq!(hall.get("/v1/me", &old).status, 200);
    assert_eq!(hall.get("/v1/me", &hall.sign_in("lin").access()).status, 200);
}

#[test]
fn every_error_is_a_problem_with_a_code() {
    let hall = Hall::open();
    let check = |answer: Answer, status: u16, code: &str| {
        assert_eq!(answer.problem(), (status, code), "{}", answer.json);
        assert_eq!(answer.media_type, "application/problem+json");
        assert!(!answer.request_id.is_empty());
    };
    check(hall.get("/nowhere", ""), 404, "not_found");
    check(hall.get("/v1/nowhere", ""), 404, "not_found");
    check(hall.get("/v1/auth/login", ""), 405, "method_not_allowed");
    check(hall.post_raw("/v1/auth/login", "application/json", "{\"login\":"), 400, "json_invalid");
    check(hall.post_raw("/v1/auth/login", "text/plain", "x"), 415, "unsupported_media_type");
    check(hall.post_raw("/v1/auth/login", "application/json", &"x".repeat(300 * 1024)), 413, "too_large");
    let unknown = hall.post("/v1/auth/login", "", &json!({"login": "a", "password": "b", "colour": 1}));
    assert_eq!(unknown.json["field"], "colour");
    let missing = hall.post("/v1/auth/login", "", &json!({"login": "a"}));
    assert_eq!(missing.json["field"], "password");
}

#[test]
fn the_server_says_how_it_is() {
    let hall = Hall::open();
    assert_eq!(hall.get("/healthz", "").json["status"], "ok");
    assert_eq!(hall.get("/readyz", "").json["status"], "ready");
    hall.sign_in("lin");
    let metrics = hall.get("/metrics", "").text;
    assert!(metrics.contains("route=\"/v1/auth/login\",status=\"200\""), "{metrics}");
    let api = hall.get("/v1/openapi.json", "").json;
    assert!(api["paths"]["/v1/auth/login"]["post"].is_object());
    assert!(hall.clock_shows() >= START_MS);
}
