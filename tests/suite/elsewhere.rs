//! Whoever works in another community is refused on every route that names something of this one: API and pages, from the table of
//! routes itself. A route that is added is tried here; one that names something new has to be taught what to name.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sync_core::attachments::content_hash;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::photos::photo;
use tests::tus::{Answer, Tus};
use tests::{HOUR, MINUTE, TestPhone, World, biyan};

use tests::phones::{set, write};

/// Who has nothing to look for in 碧眼: those who decide, work and administer in 白花.
const STRANGERS: [&str; 3] = ["baihua-head", "baihua", "baihua-admin"];
/// Who has, each in some respect.
const OWNERS: [&str; 5] = ["community", "he", "street", "admin", "colleague"];
const ADMIN: &str = "[[user]]\nlogin = \"baihua-admin\"\nname = \"白花管理员\"\npassword = \"maple-bridge-baihua-admin\"\n\
                     roles = [{ role = \"administrator\", area = \"GM-BAIHUA\" }]\n";

/// Something of everything that a route can name, all of 碧眼.
struct There {
    world: World,
    names: BTreeMap<&'static str, String>,
    case: DocumentId,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl There {
    fn new() -> Self {
        let world = World::new();
        world.import(ADMIN);
        let (he, colleague) = (world.phone("he"), world.phone("colleague"));
        let picture = photo(1, 64, 48);
        let case = he.report("水利组17-5栋,工人讨要工资。双方推搡。");
        he.library.attach_photo(case.to_string(), "现场.jpg".into(), picture.clone()).unwrap();
        let patrol = patrol(&he);
        he.sync();
        he.library.transfer_attachments(Default::default(), None, None).unwrap();
        colleague.sync();
        world.pass(MINUTE);
        for (phone, people, who) in [(&he, 20, "二十名工人"), (&colleague, 23, "二十三名工人")] {
            phone.edit(case, &[set("people_involved", people), set("report.reporter_phone", "13800138000")]);
            phone.edit(case, &[write("narrative", &format!("水利组17-5栋,{who}讨要工资。双方推搡。"))]);
        }
        he.sync();
        colleague.sync();
        let admin = world.token("admin");
        let people = world.get("/v1/users", Some(&admin)).1;
        let person = |login: &str| {
            text(&people["items"].as_array().unwrap().iter().find(|p| p["login"] == login).unwrap()["id"])
        };
        let devices = world.get("/v1/devices", Some(&admin)).1;
        let device = devices["items"].as_array().unwrap().iter().find(|d| d["user"] == person("he").as_str()).unwrap();
        // What 小何 writes after his grid went to the colleague waits for a person.
        let body = json!({"role": "grid_worker", "from": person("he"), "to": person("station-head")});
        let handed = world.post("/v1/areas/GM-BIYAN-01/reassign", Some(&admin), &body);
        assert_eq!(handed.0, 200, "{}", handed.1);
        world.pass(HOUR);
        he.event(case, EventKind::HomeVisit, json!({"note": "再次走访。"}));
        he.sync();
        let waiting = world.get("/v1/quarantine", Some(&world.token("community"))).1;
        let asked = json!({"kind": "case", "document": case, "reason": "当事人依法要求删除"});
        let erasure = world.post("/v1/erasures", Some(&world.token("community")), &asked);
        assert_eq!(erasure.0, 201, "{}", erasure.1);
        let begun = upload(&world, case);
        let names = [
            ("case", case.to_string()),
            ("patrol", patrol.to_string()),
            ("quarantine", text(&waiting["items"][0]["id"])),
            ("device", text(&device["id"])),
            ("person", person("he")),
            ("other person", person("colleague")),
            ("erasure", text(&erasure.1["id"])),
            ("upload", begun.rsplit('/').next().unwrap().to_owned()),
            ("hash", content_hash(&picture)),
            ("area", biyan().to_string()),
            ("conflict", world.case(case).conflicts[0].values[0].write.clone()),
        ];
        Self { names: names.into(), case, world }
    }

    fn name(&self, of: &str) -> &str {
        &self.names[of]
    }
}

fn patrol(he: &TestPhone) -> DocumentId {
    let draft = sync_core::edit::Draft {
        kind: sync_core::shape::DocumentKind::Patrol,
        community: biyan(),
        edits: vec![set("place.grid", "GM-BIYAN-01"), set("checklist.exits_clear", "problem")],
    };
    he.core().create(&draft).unwrap()
}

/// An upload that 站内同事 has begun: where it goes on.
fn upload(world: &World, case: DocumentId) -> String {
    let picture = photo(2, 64, 48);
    let colleague = world.phone("colleague");
    colleague.sync();
    colleague.library.attach_photo(case.to_string(), "再拍.jpg".into(), picture.clone()).unwrap();
    colleague.sync();
    let begun = Tus::new(world, "colleague").announce(case, &content_hash(&picture), picture.len());
    assert_eq!(begun.status, 201, "{begun:?}");
    begun.header("location").to_owned()
}

/// What a route names, by what its path begins with. What names nothing of somebody stands here too: nothing is left out by silence.
fn named<'a>(path: &str, there: &'a There) -> Option<Vec<(&'static str, &'a str)>> {
    let path = path.trim_start_matches("/v1");
    let of = |room: &str| path.starts_with(&format!("/{room}/{{"));
    let id = |what: &str| Some(vec![("{id}", there.name(what))]);
    match path {
        _ if of("cases") => Some(vec![("{id}", there.name("case")), ("{hash}", there.name("hash"))]),
        _ if of("patrols") => id("patrol"),
        _ if of("quarantine") => id("quarantine"),
        _ if of("devices") || of("phones") => id("device"),
        _ if of("replication") => Some(vec![("{device}", there.name("device"))]),
        _ if of("users") => id("person"),
        _ if of("erasures") => id("erasure"),
        _ if of("uploads") => id("upload"),
        _ if of("attachments") => Some(vec![("{hash}", there.name("hash"))]),
        _ if of("areas") || of("halls") => Some(vec![("{area}", there.name("area"))]),
        // By what is sent.
        "/attachments/missing" | "/uploads" | "/erasures" => Some(Vec::new()),
        "/assets/{name}" => None,
        _ if path.contains('{') => panic!("{path}: teach this test what it names"),
        _ => None,
    }
}

/// What is sent with a request that names something, so that it would do what it is for.
fn body(path: &str, there: &There) -> Value {
    let reason = "核对所需，写明理由";
    match path {
        "/v1/cases/{id}/edits" | "/v1/patrols/{id}/edits" => {
            json!({"edits": [{"edit": "add_event", "kind": "note", "body": {"text": "一"}}]})
        }
        "/v1/cases/{id}/reveal" | "/v1/patrols/{id}/reveal" => {
            json!({"fields": ["report.reporter_phone"], "reason": reason})
        }
        "/v1/erasures" => json!({"kind": "case", "document": there.case, "reason": reason}),
        "/v1/erasures/{id}/proof" => json!({"words": ["推搡"]}),
        "/v1/erasures/{id}/decide" => json!({"approve": true}),
        "/v1/attachments/missing" => json!({"attachments": [{"document": there.case, "hash": there.name("hash")}]}),
        "/v1/areas/{area}/reassign" => {
            json!({"role": "supervisor", "from": there.name("person"), "to": there.name("other person")})
        }
        "/v1/users/{id}/assignments" | "/v1/users/{id}/assignments/end" => {
            json!({"role": "legal_adviser", "area": there.name("area")})
        }
        _ if path.starts_with("/v1/quarantine/") => json!({"reason": reason}),
        _ => json!({}),
    }
}

/// Every method and path of the API.
fn api(world: &World) -> Vec<(String, String)> {
    let (_, api) = world.get("/v1/openapi.json", None);
    let mut all = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        all.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    all
}

/// Every method and path of the pages, as their room says them.
fn pages() -> Vec<(String, String)> {
    let room = include_str!("../../server/src/http/console.rs");
    let route = |rest: &str| {
        let (path, rest) = rest.split_once("\", web::").unwrap_or_else(|| panic!("{rest}: teach this test to read it"));
        (rest.split('(').next().unwrap().to_uppercase(), path.to_owned())
    };
    let all: Vec<_> = room.split(".route(\"").skip(1).map(route).collect();
    assert!(all.len() > 20 && !room.contains("resource("), "{all:?}");
    all
}

fn ask(there: &There, token: &str, method: &str, path: &str) -> Option<Answer> {
    let mut at = path.to_owned();
    for (place, name) in named(path, there)? {
        at = at.replace(place, name);
    }
    let tus = Tus { url: there.world.url(), token: token.to_owned() };
    // What only lists or describes names nothing.
    if method != "POST" && matches!(path, "/v1/uploads" | "/v1/erasures") {
        return None;
    }
    if path == "/v1/uploads" {
        return Some(tus.announce(there.case, there.name("hash"), 1));
    }
    if path.starts_with("/v1/attachments/{") {
        at = format!("{at}?document={}", there.case);
    }
    let media = if method == "PATCH" { "application/offset+octet-stream" } else { "application/json" };
    let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Offset", "0"), ("Content-Type", media)];
    Some(tus.call(method, &at, &headers, body(path, there).to_string().as_bytes()))
}

/// A browser without a window: somebody's session at the pages.
struct Desk {
    agent: ureq::Agent,
    url: String,
    cookie: String,
    csrf: String,
}

impl Desk {
    fn sign_in(world: &World, login: &str, password: &str) -> Self {
        let settings = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let mut desk =
            Self { agent: settings.build().into(), url: world.url(), cookie: String::new(), csrf: String::new() };
        let fields = [("login", login), ("password", password)];
        let opened = desk.agent.post(format!("{}/sign-in", desk.url)).send_form(fields).unwrap();
        assert_eq!(opened.status(), 303, "{login} does not get in");
        let cookie = opened.headers().get("set-cookie").expect("a session").to_str().unwrap();
        desk.cookie = cookie.split(';').next().unwrap().to_owned();
        let (_, page) = desk.send("GET", "/today", &[]);
        let csrf = page.split_once("name=\"csrf\" value=\"").expect("a form").1.split('"').next().unwrap();
        desk.csrf = csrf.to_owned();
        desk
    }

    fn send(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let url = format!("{}{path}", self.url);
        let mut answer = match method {
            "GET" => self.agent.get(url).header("Cookie", &self.cookie).call().unwrap(),
            "POST" => {
                let own = [("csrf", self.csrf.as_str())];
                let form = own.into_iter().chain(fields.iter().copied());
                self.agent.post(url).header("Cookie", &self.cookie).send_form(form).unwrap()
            }
            other => panic!("{other} {path}: teach this test the method"),
        };
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default())
    }
}

/// The forms that can be sent to a route; one empty one for what only shows.
fn forms<'a>(path: &str, there: &'a There) -> Vec<Vec<(&'static str, &'a str)>> {
    let settle =
        vec![("act", "value"), ("path", "people_involved"), ("write", there.name("conflict")), ("seen", "999999999")];
    match path.rsplit('/').next().unwrap() {
        "events" => vec![vec![("kind", "note"), ("body.text", "一")], vec![("kind", "on_scene")]],
        "fields" => vec![vec![("path", "title"), ("value", "改个题目"), ("seen", "999999999")]],
        "settle" => vec![settle],
        "reveal" => vec![vec![("who", "reporter"), ("reason", "回访需要电话联系")]],
        "{decision}" => vec![vec![("reason", "已由新网格员登记")]],
        "{order}" => vec![vec![("sure", "true")]],
        _ => vec![Vec::new()],
    }
}

/// Every word that stands for the last part of a path.
fn verbs(path: &str) -> Vec<String> {
    let with = |place: &str, words: &[&str]| words.iter().map(|w| path.replace(place, w)).collect();
    match path.rsplit('/').next().unwrap() {
        "{decision}" => with("{decision}", &["accept", "dismiss"]),
        "{order}" => with("{order}", &["revoke", "wipe"]),
        _ => vec![path.to_owned()],
    }
}

#[test]
fn nothing_of_another_community_can_be_reached_by_any_route_of_the_api() {
    let there = There::new();
    let before = there.world.case(there.case);
    let mut routes = api(&there.world);
    // What is erased cannot be asked for any more.
    routes.sort_by_key(|(_, path)| path.starts_with("/v1/erasures/{"));
    let tokens = STRANGERS.map(|login| token(&there.world, login));
    let mut tried = 0;
    for (method, path) in &routes {
        for (login, token) in STRANGERS.iter().zip(&tokens) {
            let Some(answer) = ask(&there, token, method, path) else { continue };
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            if path == "/v1/attachments/missing" {
                // It answers anybody, and knows nothing of what a stranger may not see.
                assert_eq!(told, "{\"found\":[\"unknown\"]}", "{login}");
            } else {
                assert!(matches!(answer.status, 403 | 404), "{login} {method} {path}: {} {told}", answer.status);
            }
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    assert_eq!(there.world.case(there.case), before);
    // The same requests are let in by somebody who works there: they were refused for who asked, not for what they said.
    let owners = OWNERS.map(|login| token(&there.world, login));
    for (method, path) in &routes {
        let mut answers = owners.iter().filter_map(|token| ask(&there, token, method, path)).peekable();
        let all: Vec<u16> = match answers.peek() {
            None => continue,
            Some(_) => answers.map(|a| a.status).collect(),
        };
        assert!(all.iter().any(|s| !matches!(s, 403 | 404)), "{method} {path}: {all:?}");
    }
}

#[test]
fn nothing_of_another_community_can_be_reached_by_any_route_of_the_pages() {
    let there = There::new();
    let before = there.world.case(there.case);
    let desks = STRANGERS.map(|login| Desk::sign_in(&there.world, login, &password(login)));
    let mut requests = Vec::new();
    for (method, path) in pages() {
        let Some(names) = named(&path, &there) else { continue };
        for verb in verbs(&path) {
            let at = names.iter().fold(verb, |at, (place, name)| at.replace(place, name));
            assert!(!at.contains('{'), "{at}: teach this test what it names");
            requests.extend(forms(&path, &there).into_iter().map(|form| (method.clone(), at.clone(), form)));
        }
    }
    requests.extend(
        ["?at=1", "?when=2019-05-17T09:00"]
            .map(|q| ("GET".to_owned(), format!("/cases/{}{q}", there.case), Vec::new())),
    );
    assert!(requests.len() > 15, "{requests:?}");
    for (method, path, form) in &requests {
        for (login, desk) in STRANGERS.iter().zip(&desks) {
            let (status, page) = desk.send(method, path, form);
            assert!(matches!(status, 403 | 404), "{login} {method} {path} {form:?}: {status}");
            for word in ["讨要工资", "13800138000", "再次走访", "小何"] {
                assert!(!page.contains(word), "{login} {method} {path} {form:?} reads {word}");
            }
        }
    }
    assert_eq!(there.world.case(there.case), before);
    let lists = ["/today", "/cases", "/cases?community=GM-BIYAN", "/cases.csv", "/patrols", "/quarantine", "/phones"];
    for (desk, path) in desks.iter().flat_map(|desk| lists.map(|path| (desk, path))) {
        let (_, page) = desk.send("GET", path, &[]);
        assert!(!page.contains("讨要工资") && !page.contains(there.name("case")), "{path}");
    }
    let owners = OWNERS.map(|login| Desk::sign_in(&there.world, login, &password(login)));
    for (method, path, form) in &requests {
        let all: Vec<u16> = owners.iter().map(|desk| desk.send(method, path, form).0).collect();
        assert!(all.iter().any(|s| !matches!(s, 403 | 404)), "{method} {path} {form:?}: {all:?}");
    }
}

fn password(login: &str) -> String {
    if login == "baihua-admin" { "maple-bridge-baihua-admin".into() } else { World::password(login) }
}

fn token(world: &World, login: &str) -> String {
    let body = json!({ "login": login, "password": password(login) });
    let (status, reply) = world.post("/v1/auth/login", None, &body);
    assert_eq!(status, 200, "{reply}");
    text(&reply["access_token"])
}
