//! The halls: their queues, and what was refused and waits for the supervisors of its area.

use serde_json::json;
use sync_core::document::Trust;
use tests::phones::set;
use tests::{MINUTE, World};

use crate::hand::Hand;

#[test]
fn a_queue_holds_what_lies_with_the_hall_and_is_closed_to_others() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("噪音纠纷。");
    he.sync();
    let queue = |login: &str, area: &str| world.get(&format!("/v1/halls/{area}/queue"), Some(&world.token(login)));
    let (status, own) = queue("receptionist", "GM-BIYAN");
    assert_eq!(
        (status, own["reported"].as_i64(), own["cases"][0]["id"].as_str()),
        (200, Some(1), Some(case.to_string().as_str()))
    );
    assert_eq!(own["due_soon"], 1);
    assert_eq!(queue("baihua", "GM-BIYAN").0, 404);
    assert_eq!(queue("community", "GM-BAIHUA").0, 404);
    assert_eq!(queue("community", "GM-BIYAN-01").0, 404, "a grid has no hall");
    assert_eq!(queue("community", "NOWHERE").0, 404);
    assert_eq!(queue("street", "440311001").1["cases"], json!([]));
    world.pass(121 * MINUTE);
    world.scheduler();
    assert_eq!(queue("receptionist", "GM-BIYAN").1["cases"], json!([]));
    let (_, street) = queue("street", "440311001");
    assert_eq!((street["level"].as_str(), street["cases"].as_array().unwrap().len()), (Some("street"), 1));
}

#[test]
fn refused_changes_are_shown_to_the_supervisors_of_the_area_only() {
    let world = World::new();
    let (he, stranger) = (Hand::register(&world, "he"), Hand::register(&world, "baihua"));
    let (mut case, first) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    let ((), change) = case.edit(stranger.actor, stranger.wall_ms, |w| w.set("people_involved", &99.into())).unwrap();
    let change = change.unwrap();
    stranger.hand_in(vec![stranger.entry(&case, [&change.bytes[..]])]);
    // Sending it again adds nothing.
    stranger.hand_in(vec![stranger.entry(&case, [&change.bytes[..]])]);
    let list = |login: &str| world.get("/v1/quarantine", Some(&world.token(login)));
    for login in ["community", "street", "district"] {
        let (status, rows) = list(login);
        let rows = rows["items"].as_array().unwrap();
        assert_eq!((status, rows.len()), (200, 1), "{login}: {rows:?}");
        assert_eq!(rows[0]["code"], "foreign_area");
        assert!(rows[0]["preview"].to_string().contains("people_involved = 99"), "{}", rows[0]);
        let id = rows[0]["id"].as_str().unwrap();
        assert_eq!(world.get(&format!("/v1/quarantine/{id}"), Some(&world.token(login))).0, 200);
        for other in ["he", "baihua", "receptionist", "station-head", "admin"] {
            assert_eq!(list(other).0, 403, "{other}");
            assert_eq!(world.get(&format!("/v1/quarantine/{id}"), Some(&world.token(other))).0, 403, "{other}");
        }
    }
    assert_eq!(world.get("/v1/quarantine/none", Some(&world.token("community"))).0, 404);
    let app = world.app();
    let held = server::journal::of_document(&mut app.db.get().unwrap(), case.meta().id).unwrap();
    let bytes: Vec<_> = held.iter().map(|e| e.bytes.as_slice()).collect();
    let there = sync_core::document::Document::from_changes(bytes, Trust::Server).unwrap();
    assert!(!there.has(&change.hash), "what is refused is not in the journal");
}

#[test]
fn what_the_rules_told_is_shown_to_desks_and_not_to_workers() {
    let world = World::new();
    let he = world.phone("he");
    let _case = he.report_with(vec![set("violence", true), set("people_involved", 30)]);
    he.sync();
    world.scheduler();
    let (status, told) = world.get("/v1/notifications", Some(&world.token("district")));
    assert_eq!((status, told[0]["kind"].as_str()), (200, Some("flash_report")), "{told}");
    assert_eq!(world.get("/v1/notifications", Some(&world.token("he"))).0, 403);
}
