//! What strangers can do with quarantine: nothing in another community, and nothing to another's words.

use std::path::Path;

use diesel::prelude::*;
use serde_json::json;
use server::db::tables::quarantine;
use sync_core::document::Document;
use sync_core::error::RefusalCode;
use sync_core::ids::AreaCode;
use sync_core::sync::wire::PushOutcome;
use tests::World;
use tests::phones::set;

use super::{decide, items};
use crate::hand::Hand;

/// A supervisor of the neighbouring community.
const HEAD: &str = r#"
user = [{ login = "baihua-head", name = "白花主管", password = "maple-bridge-baihua-head",
          roles = [{ role = "supervisor", area = "GM-BAIHUA" }] }]
"#;

fn neighbour() -> AreaCode {
    AreaCode::new("GM-BAIHUA").unwrap()
}

fn refused(outcomes: &[PushOutcome]) -> Option<RefusalCode> {
    match outcomes {
        [PushOutcome::Quarantined(code, _)] => Some(*code),
        other => panic!("{other:?}"),
    }
}

/// A change that its author has no right to, whatever the phone would say.
fn stroke(hand: &Hand, document: &mut Document, headcount: i64) -> Vec<u8> {
    let edit = document.edit(hand.actor, hand.wall_ms, |w| w.set("people_involved", &headcount.into()));
    edit.unwrap().1.unwrap().bytes
}

#[test]
fn through_quarantine_a_supervisor_reads_and_decides_nothing_of_another_communitys_file() {
    let world = World::new();
    world.import(HEAD);
    let he = Hand::register(&world, "he");
    let stranger = Hand::register(&world, "baihua");
    let (case, first) = he.case("工人聚集，有人持械。");
    let id = case.meta().id;
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    // One waits where it belongs; one that builds on it, and one that rewrites the story, are sent for the neighbouring community.
    let mut theirs = case.clone();
    let waits = stroke(&stranger, &mut theirs, 99);
    let here = stranger.hand_in(vec![stranger.entry(&case, [&waits[..]])]);
    assert_eq!(refused(&here), Some(RefusalCode::ForeignArea));
    let builds = stroke(&stranger, &mut theirs, 100);
    let mut rewritten = case.clone();
    let wording = |w: &mut sync_core::document::Writer<'_>| w.set_text("narrative", "工人聚集，有人持械，已散。");
    let story = rewritten.edit(stranger.actor, stranger.wall_ms, wording).unwrap().1.unwrap().bytes;
    for bytes in [&builds, &story] {
        let outcomes = stranger.hand_in(vec![stranger.entry_of(id, neighbour(), [&bytes[..]])]);
        assert_eq!(refused(&outcomes), Some(RefusalCode::Malformed));
    }
    let there = items(&world, "baihua-head", "?state=waiting");
    assert_eq!(there.len(), 2, "{there:?}");
    assert!(there.iter().all(|e| !e["preview"].as_str().unwrap().contains("持械")), "{there:?}");
    let ids: Vec<String> = there.iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect();
    for id in &ids {
        assert_eq!(decide(&world, "baihua-head", id, "accept", &json!({})).0, 409);
    }
    // As an older server would have kept it: under a reason for which a supervisor can answer.
    let app = world.app();
    diesel::update(quarantine::table.filter(quarantine::community.eq("GM-BAIHUA")))
        .set(quarantine::code.eq("depends_on_refused"))
        .execute(&mut *app.db.get().unwrap())
        .unwrap();
    for id in &ids {
        let (status, problem) = decide(&world, "baihua-head", id, "accept", &json!({}));
        assert_eq!((status, problem["type"].as_str()), (409, Some("urn:fengqiao:problem:does_not_fit")), "{problem}");
        let (status, decided) = decide(&world, "baihua-head", id, "dismiss", &json!({"reason": "不在本社区"}));
        assert_eq!((status, &decided["entries"]), (200, &json!([id])), "{decided}");
    }
    assert_eq!(world.case(id).number("people_involved"), None);
    assert_eq!(items(&world, "community", "?state=waiting").len(), 1, "what waits here is decided here");
    world.check_rebuild();
}

#[test]
fn nobody_brings_a_colleagues_unsent_change_into_quarantine_by_sending_it_first() {
    let world = World::new();
    let (he, colleague) = (Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    let (mut case, first) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    // He has written more and not sent it; a colleague was given it at a meeting, and sends it as his own.
    let more = he.edit(&mut case, &[set("people_involved", 23)]);
    let last = he.edit(&mut case, &[set("people_involved", 24)]);
    for bytes in [&more.bytes, &last.bytes] {
        let outcomes = colleague.hand_in(vec![colleague.entry(&case, [&bytes[..]])]);
        assert_eq!(refused(&outcomes), Some(RefusalCode::ForeignActor));
    }
    let again = colleague.hand_in(vec![colleague.entry(&case, [&more.bytes[..]])]);
    assert_eq!(refused(&again), Some(RefusalCode::ForeignActor));
    assert_eq!(items(&world, "community", "").len(), 2, "the same from the same is kept once");
    // A colleague who has seen it honestly builds on it: the server waits for what he builds on.
    let on_it = colleague.edit(&mut case, &[set("wage_arrears", true)]);
    let entry = || colleague.entry(&case, [&on_it.bytes[..]]);
    assert_eq!(colleague.hand_in(vec![entry()]), [PushOutcome::Need(vec![last.hash])]);

    let outcomes = he.hand_in(vec![he.entry(&case, [&more.bytes[..], &last.bytes])]);
    assert!(outcomes.iter().all(|o| matches!(o, PushOutcome::Accepted(_))), "{outcomes:?}");
    assert!(matches!(colleague.hand_in(vec![entry()])[..], [PushOutcome::Accepted(_)]));
    assert_eq!(world.case(case.meta().id).number("people_involved"), Some(24));
    let passing_by = Hand::register(&world, "captain");
    let known = passing_by.hand_in(vec![passing_by.entry(&case, [&more.bytes[..]])]);
    assert_eq!(known, [PushOutcome::Duplicate], "what is in the journal is not refused, whoever sends it again");
    let forged = items(&world, "community", "?state=waiting");
    assert_eq!(forged.len(), 2);
    for entry in forged {
        let id = entry["id"].as_str().unwrap();
        assert_eq!(decide(&world, "community", id, "accept", &json!({})).0, 409);
        assert_eq!(decide(&world, "community", id, "dismiss", &json!({"reason": "不是他写的"})).0, 200);
    }
    world.check_rebuild();
}

#[test]
fn what_stands_in_quarantine_under_anothers_name_does_not_keep_its_author_from_being_judged() {
    let world = World::new();
    let (he, stranger) = (Hand::register(&world, "he"), Hand::register(&world, "baihua"));
    let colleague = Hand::register(&world, "colleague");
    let (case, first) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    let mut theirs = case.clone();
    let bytes = stroke(&stranger, &mut theirs, 99);
    colleague.hand_in(vec![colleague.entry(&case, [&bytes[..]])]);
    stranger.hand_in(vec![stranger.entry(&case, [&bytes[..]])]);
    let kept = items(&world, "community", "?state=waiting");
    let codes: Vec<_> = kept.iter().map(|e| e["code"].as_str().unwrap()).collect();
    assert_eq!(codes.len(), 2, "{codes:?}");
    let own = kept.iter().find(|e| e["author"] == stranger.user.to_string()).unwrap();
    assert_eq!(decide(&world, "community", own["id"].as_str().unwrap(), "accept", &json!({})).0, 200);
    assert_eq!(world.case(case.meta().id).number("people_involved"), Some(99));
    assert_eq!(items(&world, "community", "?state=waiting").len(), 1, "the other's stays a matter of its own");
    world.check_rebuild();
}

#[test]
fn the_senders_of_the_same_refused_bytes_survive_a_migration_that_is_undone_and_done_again() {
    use diesel::connection::SimpleConnection as _;
    let world = World::new();
    let he = Hand::register(&world, "he");
    let senders = [Hand::register(&world, "baihua"), Hand::register(&world, "captain")];
    let (case, first) = he.case("同样的话。");
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    let mut theirs = case.clone();
    let same = stroke(&senders[0], &mut theirs, 99);
    for sender in &senders {
        refused(&sender.hand_in(vec![sender.entry(&case, [&same[..]])]));
    }
    let app = world.app();
    let mut conn = app.db.get().unwrap();
    let rows = |conn: &mut server::db::AnyConnection| -> Vec<(String, String, Vec<u8>)> {
        quarantine::table
            .order(quarantine::id)
            .select((quarantine::id, quarantine::author, quarantine::bytes))
            .load(conn)
            .unwrap()
    };
    let before = rows(&mut conn);
    assert_eq!(before.len(), 2);
    let engine = if app.db.is_postgres() { "postgres" } else { "sqlite" };
    let migration =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../schema/migrations/server-{engine}/0017_senders"));
    let [down, up] = ["down.sql", "up.sql"].map(|file| std::fs::read_to_string(migration.join(file)).unwrap());
    conn.batch_execute(&down).unwrap();
    assert_eq!(rows(&mut conn), before[..1], "one row for the same bytes, as it was");
    conn.batch_execute(&up).unwrap();
    assert_eq!(rows(&mut conn), before, "and nothing that somebody sent is lost");
}
