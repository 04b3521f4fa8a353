//! Every path and method of the served API for every role: nobody without a token gets in, nothing fails inside, and a case of
//! another community is not there. An endpoint that is added to the API is tried here without another line.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::World;

use crate::hand::Hand;

const LOGINS: [&str; 12] = [
    "he",
    "colleague",
    "baihua",
    "captain",
    "station-head",
    "receptionist",
    "mediation-director",
    "legal-adviser",
    "community",
    "street",
    "district",
    "admin",
];

/// What anybody may ask.
const PUBLIC: [&str; 6] = ["/healthz", "/readyz", "/metrics", "/v1/auth/login", "/v1/auth/refresh", "/v1/last-word"];

/// Every method and path of the API.
fn operations(world: &World) -> Vec<(String, String)> {
    let (_, api) = world.get("/v1/openapi.json", None);
    let mut all = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        all.extend(methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    assert!(all.len() > 20, "{all:?}");
    all
}

/// The path with what its parameters can be filled with.
fn filled(path: &str, id: &str) -> String {
    path.replace("{id}", id).replace("{area}", "GM-BIYAN").replace("{hash}", id)
}

fn ask(world: &World, method: &str, path: &str, token: Option<&str>, body: &Value) -> (u16, Value) {
    match method {
        "get" => world.get(path, token),
        "post" => world.post(path, token, body),
        "options" | "head" | "patch" | "delete" => {
            let tus = tests::tus::Tus { url: world.url(), token: token.unwrap_or_default().to_owned() };
            let headers = [("Tus-Resumable", "1.0.0"), ("Content-Type", "application/json")];
            let answer = tus.call(&method.to_uppercase(), path, &headers, body.to_string().as_bytes());
            (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
        }
        other => panic!("{other} {path}: teach this test the method"),
    }
}

#[test]
fn without_a_token_only_the_public_paths_answer() {
    let world = World::new();
    let nobody = uuid::Uuid::nil().to_string();
    let mut open = BTreeSet::new();
    for (method, path) in operations(&world) {
        for token in [None, Some("nonsense")] {
            let (status, reply) = ask(&world, &method, &filled(&path, &nobody), token, &json!({}));
            if PUBLIC.contains(&path.as_str()) {
                assert!(status < 500, "{method} {path}: {reply}");
                open.insert(path.clone());
            } else {
                assert_eq!(status, 401, "{method} {path} {token:?}: {reply}");
            }
        }
    }
    assert_eq!(open, PUBLIC.map(str::to_owned).into(), "a public path that is not in the API");
}

#[test]
fn no_role_makes_any_path_fail_inside() {
    let world = World::new();
    let he = Hand::register(&world, "he");
    let (case, change) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&change.bytes[..]])]);
    let case = case.meta().id.to_string();
    let bodies =
        [json!({}), json!([]), json!({"edits": [{"edit": "add_event", "kind": "note", "body": {"text": "一"}}]})];
    for login in LOGINS {
        let session = world.token(login);
        for (method, path) in operations(&world) {
            for id in [case.as_str(), &uuid::Uuid::nil().to_string(), "nonsense", "%00", "%F0%9F%8D%81"] {
                if id != case && !path.contains('{') {
                    continue;
                }
                for body in &bodies {
                    // Signing out ends the session: each asks with one of his own.
                    let own = (path == "/v1/auth/logout").then(|| world.token(login));
                    let token = own.unwrap_or_else(|| session.clone());
                    let (status, reply) = ask(&world, &method, &filled(&path, id), Some(&token), body);
                    assert!(status < 500, "{login} {method} {path} {id} {body}: {reply}");
                    let public = PUBLIC.contains(&path.as_str());
                    assert!(public || status != 401, "{login} {method} {path} {id}: {reply}");
                    if method == "get" {
                        break;
                    }
                }
            }
        }
    }
    world.check_rebuild();
}

#[test]
fn a_case_of_another_community_is_not_there_on_any_route() {
    let world = World::new();
    world.import(
        "[[user]]\nlogin = \"baihua-head\"\nname = \"白花主管\"\npassword = \"maple-bridge-baihua-head\"\nroles = [{ role = \"supervisor\", area = \"GM-BAIHUA\" }]\n",
    );
    let he = Hand::register(&world, "he");
    let (case, change) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&change.bytes[..]])]);
    let case = case.meta().id.to_string();
    let login = json!({"login": "baihua-head", "password": "maple-bridge-baihua-head"});
    let head = world.post("/v1/auth/login", None, &login).1["access_token"].as_str().unwrap().to_owned();
    let note = json!({"edits": [{"edit": "add_event", "kind": "note", "body": {"text": "一"}}]});
    let mut tried = 0;
    for (method, path) in operations(&world) {
        if !path.starts_with("/v1/cases/{") {
            continue;
        }
        for token in [&head, &world.token("baihua"), &world.token("admin")] {
            let (status, reply) = ask(&world, &method, &filled(&path, &case), Some(token), &note);
            assert_eq!(status, 404, "{method} {path}: {reply}");
            tried += 1;
        }
    }
    assert!(tried >= 9, "{tried}");
    for token in [&head, &world.token("baihua")] {
        assert_eq!(world.get("/v1/cases", Some(token)).1["items"], json!([]));
        assert_eq!(world.get("/v1/halls/GM-BIYAN/queue", Some(token)).0, 404);
    }
}
