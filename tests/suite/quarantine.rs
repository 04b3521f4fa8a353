//! What was refused is not lost: a supervisor lets it in or dismisses it, and its author learns which, why and by whom.

mod strangers;

use diesel::prelude::*;
use serde_json::{Value, json};
use server::db::tables::{actors, assignments, quarantine};
use sync_core::document::ChangeHash;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::{event, set, write};
use tests::{HOUR, TestPhone, World};

/// The grid worker's charge ends while his phone is offline; what he writes afterwards is refused.
pub(crate) fn end_charge(world: &World, login: &str) {
    let app = world.app();
    let mut conn = app.db.get().unwrap();
    let user = server::accounts::users::by_login(&mut conn, login).unwrap().unwrap();
    diesel::update(assignments::table.filter(assignments::user_id.eq(&user.id)))
        .set(assignments::until_ms.eq(Some(app.now_ms())))
        .execute(&mut *conn)
        .unwrap();
}

/// A worker with an agreed case, whose charge ended while his phone was offline.
pub(crate) fn discharged(world: &World) -> (TestPhone, DocumentId) {
    let he = world.phone("he");
    he.sync();
    let case = he.report("工人聚集。");
    he.sync();
    world.pass(HOUR);
    end_charge(world, "he");
    world.pass(HOUR);
    (he, case)
}

/// A case that was agreed, and a worker who wrote these edits after his charge had ended.
fn refused(world: &World, edits: &[Vec<sync_core::edit::Edit>]) -> (TestPhone, DocumentId) {
    let (he, case) = discharged(world);
    for edit in edits {
        he.edit(case, edit);
    }
    he.sync();
    (he, case)
}

pub(crate) fn items(world: &World, login: &str, query: &str) -> Vec<Value> {
    let (status, page) = world.get(&format!("/v1/quarantine{query}"), Some(&world.token(login)));
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

fn decide(world: &World, login: &str, id: &str, verb: &str, body: &Value) -> (u16, Value) {
    world.post(&format!("/v1/quarantine/{id}/{verb}"), Some(&world.token(login)), body)
}

#[test]
fn a_supervisor_lets_a_change_out_of_quarantine_and_it_stands_under_its_authors_name() {
    let world = World::new();
    let note = event(EventKind::Note, json!({"text": "对方已离开。"}));
    let (he, case) = refused(&world, &[vec![note]]);
    let waiting = &he.core().refused().unwrap()[0];
    assert!(waiting.words.contains("对方已离开。") && waiting.decision.is_none(), "{waiting:?}");
    let entry = &items(&world, "community", "?state=waiting")[0];
    let id = entry["id"].as_str().unwrap();
    assert_eq!(entry["code"], "not_allowed", "{entry}");
    assert!(entry["preview"].as_str().unwrap().contains("对方已离开。"), "{entry}");

    let (status, decided) = decide(&world, "community", id, "accept", &json!({"reason": "情况属实"}));
    assert_eq!((status, decided["state"].as_str()), (200, Some("accepted")), "{decided}");
    let state = world.case(case);
    let note = state.timeline.iter().find(|e| e.kind == EventKind::Note).expect("it is in the file");
    let author = he.core().identity().unwrap().unwrap().user;
    assert_eq!(note.by.user, author);
    let acceptance = state.accepted.values().next().expect("who let it in is in the file");
    assert_eq!(state.people[&acceptance.by], "社区主管");
    // An answer that was lost: asking again changes nothing.
    assert_eq!(decide(&world, "community", id, "accept", &json!({})).0, 200);
    assert_eq!(decide(&world, "community", id, "dismiss", &json!({"reason": "不属实"})).0, 409);
    world.check_rebuild();

    he.sync();
    let told = he.core().refused().unwrap()[0].decision.clone().expect("the author learns it");
    assert_eq!((told.accepted, told.by.as_str(), told.reason.as_str()), (true, "社区主管", "情况属实"));
}

#[test]
fn quarantine_is_read_and_decided_from_the_command_line_in_the_name_of_who_may() {
    let world = World::new();
    let note = |text: &str| vec![event(EventKind::Note, json!({ "text": text }))];
    let (he, case) = refused(&world, &[note("工人已回宿舍。")]);
    let (code, listed, _) = world.run(&["quarantine", "list", "--as", "community"]);
    assert_eq!((code, listed.lines().count()), (Some(0), 1), "{listed}");
    let entry: Value = serde_json::from_str(&listed).unwrap();
    let id = entry["id"].as_str().unwrap();
    assert!(entry["preview"].as_str().unwrap().contains("工人已回宿舍"), "{entry}");
    let (code, shown, _) = world.run(&["quarantine", "show", id, "--as", "community"]);
    assert_eq!((code, serde_json::from_str::<Value>(&shown).unwrap()["id"].as_str()), (Some(0), Some(id)));
    // Who looks after another community sees nothing, and decides nothing; a dismissal says why.
    assert_eq!(world.run(&["quarantine", "list", "--as", "baihua"]).1, "");
    for (arguments, told) in [
        (vec!["quarantine", "accept", id, "--as", "baihua"], "no such"),
        (vec!["quarantine", "accept", id, "--as", "nobody"], "no account `nobody`"),
        (vec!["quarantine", "dismiss", id, "--as", "community"], "say why"),
    ] {
        let (code, _, complaint) = world.run(&arguments);
        assert!(code == Some(2) && complaint.contains(told), "{arguments:?}: {complaint}");
    }
    let (code, said, complaint) = world.run(&["quarantine", "accept", id, "--as", "community", "--reason", "属实"]);
    assert!(code == Some(0) && said.contains(id), "{said} {complaint}");
    let by: Vec<_> =
        world.case(case).timeline.iter().filter(|e| e.kind == EventKind::Note).map(|e| e.by.user).collect();
    assert_eq!(by, [he.core().identity().unwrap().unwrap().user]);
    let (_, log) = world.get("/v1/audit", Some(&world.token("admin")));
    let acts: Vec<&str> = log["items"].as_array().unwrap().iter().filter_map(|a| a["action"].as_str()).collect();
    for act in ["quarantine.list", "quarantine.read", "quarantine.decide", "session.open"] {
        assert!(acts.contains(&act), "{act}: {acts:?}");
    }
    world.check_rebuild();
}

#[test]
fn what_hangs_together_in_quarantine_is_decided_together() {
    let world = World::new();
    let chain = [
        vec![set("people_involved", 30)],
        vec![write("narrative", "工人聚集，有人推搡。")],
        vec![event(EventKind::FactAdded, json!({"fact": "有人受伤", "bears_on": "violence"}))],
    ];
    let (he, case) = refused(&world, &chain);
    let entries = items(&world, "street", &format!("?document={case}"));
    assert_eq!(entries.len(), 3);
    // The last one asked for; the two below it come along, in order.
    let last = entries.iter().find(|e| e["preview"].as_str().unwrap().contains("fact_added")).unwrap();
    let (status, decided) = decide(&world, "street", last["id"].as_str().unwrap(), "accept", &json!({}));
    assert_eq!((status, decided["entries"].as_array().map(Vec::len)), (200, Some(3)), "{decided}");
    let state = world.case(case);
    assert_eq!((state.number("people_involved"), state.narrative.as_str()), (Some(30), "工人聚集，有人推搡。"));
    assert_eq!(state.accepted.len(), 3);
    assert!(items(&world, "street", "?state=waiting").is_empty());
    he.sync();
    assert!(he.core().refused().unwrap().iter().all(|r| r.decision.as_ref().is_some_and(|d| d.accepted)));
    world.check_rebuild();
}

#[test]
fn a_dismissal_from_quarantine_needs_a_reason_that_the_author_reads() {
    let world = World::new();
    let (he, case) = refused(&world, &[vec![set("people_involved", 300)]]);
    let entry = &items(&world, "community", "")[0];
    let id = entry["id"].as_str().unwrap();
    for body in [json!({}), json!({"reason": "  "}), json!({"reason": "理".repeat(1_001)})] {
        let (status, problem) = decide(&world, "community", id, "dismiss", &body);
        assert_eq!((status, problem["field"].as_str()), (400, Some("reason")), "{problem}");
    }
    assert_eq!(decide(&world, "community", id, "dismiss", &json!({"reason": "人数有误"})).0, 200);
    assert_eq!(world.case(case).number("people_involved"), None);
    he.sync();
    let refused = he.core().refused().unwrap();
    let told = refused[0].decision.clone().unwrap();
    assert_eq!((told.accepted, told.reason.as_str()), (false, "人数有误"));
    assert!(refused[0].words.contains("300"), "the words are still here");
    assert!(he.core().discard_refused(&refused[0].hash).unwrap());
    assert!(he.core().refused().unwrap().is_empty());
}

#[test]
fn what_waits_in_quarantine_cannot_be_discarded_on_the_phone() {
    let world = World::new();
    let (he, _) = refused(&world, &[vec![set("people_involved", 300)]]);
    let hash = he.core().refused().unwrap()[0].hash;
    assert!(!he.core().discard_refused(&hash).unwrap());
    assert_eq!(he.core().refused().unwrap().len(), 1);
}

#[test]
fn of_two_supervisors_at_once_one_decides_about_quarantine() {
    let world = World::new();
    let (_he, case) = refused(&world, &[vec![set("people_involved", 30)]]);
    let id = items(&world, "community", "")[0]["id"].as_str().unwrap().to_owned();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let accept = scope.spawn(|| decide(&world, "community", &id, "accept", &json!({})).0);
        let dismiss = scope.spawn(|| decide(&world, "street", &id, "dismiss", &json!({"reason": "重复"})).0);
        vec![accept.join().unwrap(), dismiss.join().unwrap()]
    });
    let state = items(&world, "district", "")[0]["state"].as_str().unwrap().to_owned();
    let (there, expected) = match state.as_str() {
        "accepted" => (Some(30), [200, 409]),
        _ => (None, [409, 200]),
    };
    assert_eq!(world.case(case).number("people_involved"), there);
    assert_eq!(answers, expected);
    world.check_rebuild();
}

#[test]
fn quarantine_lets_go_of_a_change_after_its_document_has_moved_on() {
    let world = World::new();
    let (_he, case) = refused(&world, &[vec![set("people_involved", 30)]]);
    let (status, _) =
        world.desk("receptionist", case, json!([{"edit": "set_field", "path": "people_involved", "value": 23}]));
    assert_eq!(status, 200);
    let id = items(&world, "community", "")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(decide(&world, "community", &id, "accept", &json!({})).0, 200);
    let state = world.case(case);
    assert_eq!(state.conflicts.len(), 1, "neither had seen the other: both values stand");
    world.check_rebuild();
}

#[test]
fn nobody_makes_a_forged_change_in_quarantine_good_nor_decides_elsewhere() {
    let world = World::new();
    let (_he, case) = refused(&world, &[vec![set("people_involved", 30)]]);
    let id = items(&world, "community", "")[0]["id"].as_str().unwrap().to_owned();
    for login in ["he", "receptionist", "station-head", "admin"] {
        assert_eq!(decide(&world, login, &id, "accept", &json!({})).0, 403, "{login}");
    }
    let app = world.app();
    // As if the actor belonged to another phone.
    let mut conn = app.db.get().unwrap();
    diesel::update(actors::table).set(actors::device.eq("another")).execute(&mut *conn).unwrap();
    let (status, problem) = decide(&world, "community", &id, "accept", &json!({}));
    assert_eq!((status, problem["type"].as_str()), (409, Some("urn:fengqiao:problem:not_acceptable")), "{problem}");
    diesel::update(quarantine::table).set(quarantine::code.eq("malformed")).execute(&mut *conn).unwrap();
    assert_eq!(decide(&world, "community", &id, "accept", &json!({})).0, 409);
    assert_eq!(world.case(case).number("people_involved"), None);
    assert_eq!(decide(&world, "community", &id, "dismiss", &json!({"reason": "来源不明"})).0, 200);
}

#[test]
fn what_was_dismissed_from_quarantine_stays_out_when_it_is_sent_again() {
    let world = World::new();
    let he = crate::hand::Hand::register(&world, "he");
    let stranger = crate::hand::Hand::register(&world, "baihua");
    let (mut case, first) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    let ((), change) = case.edit(stranger.actor, stranger.wall_ms, |w| w.set("people_involved", &99.into())).unwrap();
    let change = change.unwrap();
    stranger.hand_in(vec![stranger.entry(&case, [&change.bytes[..]])]);
    let id = items(&world, "community", "")[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(decide(&world, "community", &id, "dismiss", &json!({"reason": "不在其网格"})).0, 200);
    stranger.hand_in(vec![stranger.entry(&case, [&change.bytes[..]])]);
    assert_eq!(items(&world, "community", "").len(), 1);
    assert_eq!(items(&world, "community", "?state=dismissed").len(), 1);
    assert_eq!(world.case(case.meta().id).number("people_involved"), None);
}

#[test]
fn quarantine_is_searched_by_what_it_says_and_read_page_by_page() {
    let world = World::new();
    let edits: Vec<_> = (0..5).map(|n| vec![event(EventKind::Note, json!({"text": format!("第{n}次联系")}))]).collect();
    let (he, case) = refused(&world, &edits);
    let author = he.core().identity().unwrap().unwrap();
    assert_eq!(items(&world, "community", "?text=people_involved").len(), 0);
    assert_eq!(items(&world, "community", "?text=%E7%AC%AC&state=waiting").len(), 5);
    assert_eq!(items(&world, "community", &format!("?author={}&device={}", author.user, author.device)).len(), 5);
    assert_eq!(items(&world, "community", "?code=malformed").len(), 0);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let (_, page) =
            world.get(&format!("/v1/quarantine?limit=2&document={case}{cursor}"), Some(&world.token("community")));
        seen.extend(page["items"].as_array().unwrap().iter().map(|e| e["id"].to_string()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    for bad in ["?limit=0", "?cursor=x", "?colour=red"] {
        assert_eq!(world.get(&format!("/v1/quarantine{bad}"), Some(&world.token("community"))).0, 400, "{bad}");
    }
    let hash = he.core().refused().unwrap()[0].hash;
    assert_ne!(hash, ChangeHash([0; 32]));
}
