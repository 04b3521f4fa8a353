//! Today: each role is told what needs it, and every count is that of the list that it names.

use serde_json::{Value, json};
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::{set, write};
use tests::{HOUR, MINUTE, World};

const PASSWORD: &str = "maple-bridge-today";

/// A mediator and an officer of a department, who are not among the demo's people.
fn people(world: &World) {
    let user = |login: &str, role: &str, area: &str| {
        format!(
            "[[user]]\nlogin = \"{login}\"\nname = \"{login}\"\npassword = \"{PASSWORD}\"\nroles = [{{ role = \"{role}\", area = \"{area}\" }}]\n"
        )
    };
    world.import(&(user("officer-1", "department_officer", "440311001") + &user("mediator-1", "mediator", "GM-BIYAN")));
}

fn token(world: &World, login: &str) -> String {
    if !login.ends_with("-1") {
        return world.token(login);
    }
    let (status, reply) = world.post("/v1/auth/login", None, &json!({"login": login, "password": PASSWORD}));
    assert_eq!(status, 200, "{reply}");
    reply["access_token"].as_str().unwrap().to_owned()
}

fn id_of(world: &World, login: &str) -> String {
    world.get("/v1/me", Some(&token(world, login))).1["id"].as_str().unwrap().to_owned()
}

fn today(world: &World, login: &str) -> Value {
    let (status, today) = world.get("/v1/today", Some(&token(world, login)));
    assert_eq!(status, 200, "{login}: {today}");
    today
}

fn keys(today: &Value, part: &str) -> Vec<String> {
    today[part].as_array().unwrap().iter().map(|s| s["key"].as_str().unwrap().to_owned()).collect()
}

fn section<'a>(today: &'a Value, key: &str) -> &'a Value {
    today["sections"].as_array().unwrap().iter().find(|s| s["key"] == key).unwrap_or(&Value::Null)
}

fn number(today: &Value, key: &str) -> i64 {
    let found = today["numbers"].as_array().unwrap().iter().find(|n| n["key"] == key);
    found.map_or(0, |n| n["count"].as_i64().unwrap())
}

fn desk(world: &World, login: &str, case: DocumentId, kind: &str, body: Value) {
    let edits = json!({"edits": [{"edit": "add_event", "kind": kind, "body": body}]});
    let (status, reply) = world.post(&format!("/v1/cases/{case}/edits"), Some(&token(world, login)), &edits);
    assert_eq!(status, 200, "{kind}: {reply}");
}

/// The length of the list that a part names.
fn listed(world: &World, login: &str, part: &Value) -> i64 {
    let list = part["list"].as_str().unwrap();
    let word = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let pairs = part["filter"].as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", word(v)));
    let query = pairs.collect::<Vec<_>>().join("&");
    let path = if list == "phones" {
        format!("/v1/replication?state={}", word(&part["filter"]))
    } else {
        format!("/v1/{list}?{query}&limit=200")
    };
    let (status, page) = world.get(&path, Some(&token(world, login)));
    assert_eq!(status, 200, "{path}: {page}");
    i64::try_from(page["items"].as_array().unwrap().len()).unwrap()
}

#[test]
fn each_role_is_shown_what_needs_it_and_nothing_that_does_not() {
    let world = World::new();
    people(&world);
    let he = world.phone("he");
    let wages = he.report_with(vec![write("narrative", "工人反映欠薪。"), set("category", "0701")]);
    he.sync();
    assert_eq!(section(&today(&world, "community"), "receive")["count"], 1);
    assert_eq!(section(&today(&world, "he"), "reported")["count"], 1);
    desk(&world, "receptionist", wages, "accepted", json!({}));
    desk(&world, "receptionist", wages, "assigned", json!({"to": id_of(&world, "mediator-1")}));
    assert_eq!(section(&today(&world, "mediator-1"), "mine")["items"][0]["id"], wages.to_string());
    assert!(
        section(&today(&world, "community"), "receive").is_null()
            && section(&today(&world, "community"), "mine").is_null()
    );
    // Two departments are summoned; each is awaited until it has come.
    assert!(section(&today(&world, "officer-1"), "summoned").is_null());
    desk(&world, "receptionist", wages, "whistle", json!({"departments": ["城管", "人社 部门"], "urgency": "urgent"}));
    let whistle = world.case(wages).timeline.iter().find(|e| e.kind == EventKind::Whistle).unwrap().id;
    let summoned = today(&world, "officer-1");
    assert_eq!(section(&summoned, "summoned")["items"][0]["awaited"], "\n城管\n\n人社 部门\n");
    assert_eq!(keys(&summoned, "sections"), ["summoned"], "{summoned}");
    desk(&world, "officer-1", wages, "report_in", json!({"whistle": whistle, "department": "城管"}));
    assert_eq!(section(&today(&world, "officer-1"), "summoned")["items"][0]["awaited"], "\n人社 部门\n");
    assert_eq!(number(&today(&world, "community"), "summoned"), 1);
    desk(&world, "officer-1", wages, "report_in", json!({"whistle": whistle, "department": "人社 部门"}));
    assert!(section(&today(&world, "officer-1"), "summoned").is_null());
    // A captain sees what he reported himself, an administrator no case at all, and nobody anything of another area.
    assert_eq!(keys(&today(&world, "captain"), "sections"), Vec::<String>::new());
    assert_eq!(keys(&today(&world, "admin"), "numbers"), Vec::<String>::new());
    assert_eq!(number(&today(&world, "baihua"), "open"), 0);
    assert_eq!((number(&today(&world, "he"), "open"), number(&today(&world, "he"), "received")), (1, 1));
    world.check_rebuild();
}

#[test]
fn what_arrived_late_says_by_how_much_and_newly_arrived_goes_by_arrival() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let case = he.report("邻里噪音。");
    world.pass(30 * HOUR);
    he.sync();
    let today = today(&world, "community");
    let late = &section(&today, "late")["items"][0];
    assert_eq!(late["id"], case.to_string());
    let late_ms = late["late_ms"].as_i64().unwrap();
    assert!((28 * HOUR..28 * HOUR + MINUTE).contains(&late_ms), "to be received within two hours: {late}");
    // It was written longer ago than a day, and arrived just now.
    assert_eq!(section(&today, "new")["items"][0]["id"], case.to_string());
    assert_eq!(number(&today, "received"), 1);
}

#[test]
fn every_count_is_the_length_of_the_list_that_it_names() {
    let world = World::new();
    people(&world);
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let cases: Vec<DocumentId> = (0..9).map(|n| he.report(&format!("第{n}宗纠纷。"))).collect();
    he.sync();
    colleague.sync();
    he.edit(cases[0], &[set("people_involved", 20), set("violence", true)]);
    colleague.edit(cases[0], &[set("people_involved", 23)]);
    he.sync();
    colleague.sync();
    desk(&world, "receptionist", cases[1], "accepted", json!({}));
    desk(&world, "receptionist", cases[1], "whistle", json!({"departments": ["城管"], "urgency": "ordinary"}));
    for kind in ["accepted", "mediation_session", "resolved"] {
        desk(&world, "mediation-director", cases[2], kind, json!({}));
    }
    let hazard = tests::phones::patrol_with_hazards(&he, 2);
    he.sync();
    desk(&world, "receptionist", cases[3], "escalation", json!({"to": "street", "reason": "涉及两个社区"}));
    world.pass(121 * MINUTE);
    world.scheduler();
    let community = today(&world, "community");
    assert_eq!(number(&community, "resolved"), 1);
    assert!(number(&community, "raised") >= 7, "{community}");
    assert_eq!(number(&community, "hazards"), 2, "{hazard}");
    assert!(keys(&community, "sections").contains(&"conflicts".to_owned()), "{community}");
    assert!(section(&today(&world, "street"), "raised")["count"].as_i64() >= Some(7));
    for login in ["community", "street", "district", "receptionist", "he", "captain", "officer-1", "mediator-1"] {
        let today = today(&world, login);
        let parts = ["sections", "waiting", "numbers"].into_iter().flat_map(|part| today[part].as_array().unwrap());
        for part in parts {
            assert_eq!(part["count"].as_i64().unwrap(), listed(&world, login, part), "{login}: {part}");
            assert_eq!(part["more"], false, "{part}");
        }
    }
    world.check_rebuild();
}
