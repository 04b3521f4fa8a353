//! A server is lost and restored from a backup: what phones hold of it comes back, whoever made it, and nothing else comes with it.

mod forged;
mod forked;
mod leaving;

use std::collections::BTreeMap;

use diesel::prelude::*;
use serde_json::{Value, json};
use server::db::tables::journal;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::{event, set, write};
use tests::{HOUR, TestPhone, World};

use crate::access::reassign::reassign;
use crate::erasure::erase;
use crate::hand::Hand;

/// Hash and author of every change of a document.
fn authors(world: &World, case: DocumentId) -> BTreeMap<Vec<u8>, String> {
    let app = world.app();
    let rows = journal::table.filter(journal::document.eq(case.to_string())).select((journal::hash, journal::author));
    rows.load::<(Vec<u8>, String)>(&mut *app.db.get().unwrap()).unwrap().into_iter().collect()
}

fn status(world: &World) -> Value {
    let (code, status) = world.get("/v1/restore", Some(&world.token("admin")));
    assert_eq!(code, 200, "{status}");
    status
}

fn of_phone(status: &Value, name: &str) -> Value {
    let phones = status["phones"].as_array().unwrap();
    phones.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("{name}: {status}")).clone()
}

/// A case on which three people and the server itself have written since the backup, as the station head's phone holds it.
fn busy_case(world: &World, he: &TestPhone, head: &TestPhone) -> DocumentId {
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    world.pass(30 * HOUR);
    assert!(world.scheduler().cases > 0);
    head.sync();
    head.event(case, EventKind::Note, json!({"text": "站长已阅。"}));
    head.sync();
    let (code, reply) =
        world.desk("receptionist", case, json!([{"edit": "set_field", "path": "category", "value": "0201"}]));
    assert!(code == 200, "{reply}");
    he.sync();
    he.edit(case, &[write("narrative", "水利组17-5栋,工人讨要工资,共十二人。")]);
    he.sync();
    head.sync();
    case
}

/// A backup by which his grid is another's; since then it is his again, and his phone knows.
fn anothers_by_the_backup(world: &World, he: &TestPhone) -> std::path::PathBuf {
    he.sync();
    reassign(world, "he", "baihua");
    let file = world.back_up("hall.backup");
    world.pass(HOUR);
    reassign(world, "baihua", "he");
    world.pass(HOUR);
    he.sync();
    file
}

#[test]
fn restore_brings_back_what_others_the_desks_and_the_lost_server_wrote_from_any_phone_that_holds_it() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let file = world.back_up("hall.backup");
    let case = busy_case(&world, &he, &head);
    let (before, written) = (world.case(case), authors(&world, case));
    assert!(written.values().collect::<std::collections::BTreeSet<_>>().len() >= 4, "{written:?}");
    world.lose_and_restore(&file);
    // The phone of him who reported it is lost too.
    head.sign_in_again(&world, "station-head");
    head.sync();
    assert_eq!(world.case(case), before);
    assert_eq!(authors(&world, case), written, "each stands under the name of him who wrote it");
    assert_eq!(head.case(case), before);
    world.check_rebuild();

    // Everybody goes on: the desk and the server under new actors, the phone that was away with what it wrote meanwhile.
    he.event(case, EventKind::Note, json!({"text": "回来以后。"}));
    let (code, reply) =
        world.desk("receptionist", case, json!([{"edit": "set_field", "path": "category", "value": "0202"}]));
    assert_eq!(code, 200, "{reply}");
    he.sign_in_again(&world, "he");
    he.sync();
    head.sync();
    he.sync();
    assert_eq!(he.case(case), world.case(case));
    assert_eq!(head.case(case), world.case(case));
    assert_eq!(he.core().status().unwrap().pending, 0);
    world.check_rebuild();
}

#[test]
fn restore_lets_in_what_its_author_wrote_and_not_what_another_had_sent_as_his_own() {
    let mut world = World::new();
    let (he, colleague) = (world.phone("he"), Hand::register(&world, "colleague"));
    let case = he.report("工人讨要工资。");
    he.sync();
    he.edit(case, &[set("people_involved", 23)]);
    // What he has not sent yet has reached a colleague, who sends it first.
    let document = he.core().document(case).unwrap();
    let unsent = document.changes().into_iter().find(|c| document.heads() == [c.hash]).unwrap();
    colleague.hand_in(vec![colleague.entry(&document, [&unsent.bytes[..]])]);
    let file = world.back_up("hall.backup");
    he.sync();
    world.lose_and_restore(&file);
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(world.case(case).number("people_involved"), Some(23));
    let (_, kept) = world.get("/v1/quarantine?state=waiting", Some(&world.token("community")));
    assert_eq!(kept["items"][0]["author"], colleague.user.to_string(), "{kept}");
    world.check_rebuild();
}

#[test]
fn restore_is_told_phone_by_phone_and_what_a_second_phone_brings_is_known() {
    let mut world = World::new();
    let (he, head, baihua) = (world.phone("he"), world.phone("station-head"), world.phone("baihua"));
    baihua.sync();
    assert_eq!(status(&world)["restored"], Value::Null, "never restored");
    let file = world.back_up("hall.backup");
    let case = busy_case(&world, &he, &head);
    let changes = authors(&world, case).len();
    world.lose_and_restore(&file);
    let told = status(&world);
    assert_eq!((told["changes"].as_i64(), told["resupplied_changes"].as_i64()), (Some(0), Some(0)));
    assert!(told["restored"]["backup_ms"].as_i64().unwrap() <= told["restored"]["restored_ms"].as_i64().unwrap());
    for name in ["he phone", "station-head phone", "baihua phone"] {
        assert_eq!(of_phone(&told, name)["state"], "not_seen");
    }
    head.sign_in_again(&world, "station-head");
    head.sync();
    he.sign_in_again(&world, "he");
    he.sync();
    let told = status(&world);
    assert_eq!(told["resupplied_documents"], 1);
    assert_eq!(told["resupplied_changes"], json!(changes));
    assert_eq!(told["changes"], json!(changes));
    let (first, second) = (of_phone(&told, "station-head phone"), of_phone(&told, "he phone"));
    assert_eq!((&first["state"], &first["changes"], &first["lacking"]), (&json!("done"), &json!(changes), &json!({})));
    assert_eq!(
        (&second["state"], &second["changes"], &second["open_documents"]),
        (&json!("done"), &json!(0), &json!(0))
    );
    assert_eq!(of_phone(&told, "baihua phone")["state"], "not_seen");
    // Only they read it who answer for the district.
    for login in ["he", "station-head", "community", "street"] {
        assert_eq!(world.get("/v1/restore", Some(&world.token(login))).0, 403, "{login}");
    }
    assert_eq!(world.get("/v1/restore", Some(&world.token("district"))).0, 200);
    assert_eq!(world.get("/v1/restore", None).0, 401);
    world.check_rebuild();
}

#[test]
fn restore_of_a_person_and_an_area_younger_than_the_backup_waits_until_they_are_there_again() {
    let mut world = World::new();
    let head = world.phone("station-head");
    head.sync();
    let file = world.back_up("hall.backup");
    let younger = "[[area]]\ncode = \"GM-BIYAN-09\"\nkind = \"grid\"\nname = \"碧眼第九网格\"\nparent = \"GM-BIYAN\"\n\n\
         [[user]]\nlogin = \"young\"\nname = \"新网格员\"\npassword = \"maple-bridge-young\"\n\
         roles = [{ role = \"grid_worker\", area = \"GM-BIYAN-01\" }]\n";
    world.import(younger);
    let young = TestPhone::with_password(&world, "young", "maple-bridge-young");
    let case = young.report("新人的案件。");
    young.sync();
    head.sync();
    head.event(case, EventKind::Note, json!({"text": "站长已阅。"}));
    head.sync();
    young.sync();
    let before = world.case(case);
    world.lose_and_restore(&file);
    let sign_in =
        || young.library.log_in(world.url(), "young".into(), "maple-bridge-young".into(), "young phone".into(), None);
    assert!(sign_in().is_err(), "nobody knows him");
    assert_eq!(young.case(case), before, "and nothing of his is lost");
    // What others hold of his comes back without him, under his name.
    head.sign_in_again(&world, "station-head");
    head.sync();
    assert_eq!(world.case(case), before);
    let told = status(&world);
    let identity = young.core().identity().unwrap().unwrap();
    assert_eq!(told["people_lost"], json!([{"id": identity.user, "name": "新网格员"}]));
    let unsent = young.report("断网时写的。");
    let now_ms = world.clock_ms();
    let again = |conn: &mut server::db::AnyConnection| {
        let who = ("young", "新网格员", "maple-bridge-young");
        server::accounts::users::add_as(conn, identity.user, who, now_ms)
    };
    world.app().db.transaction(again).unwrap();
    world.import(younger);
    sign_in().unwrap();
    young.sync();
    // His phone has another number now; he is who he was.
    assert_ne!(young.core().identity().unwrap().unwrap().device, identity.device);
    assert_eq!(world.case(case), before);
    assert_eq!(world.case(unsent).narrative, "断网时写的。");
    assert_eq!(status(&world)["people_lost"], json!([]));
    young.edit(case, &[set("place.detail", "三楼")]);
    young.sync();
    assert_eq!(young.core().status().unwrap().pending, 0);
    assert_eq!(young.core().status().unwrap().refused, 0);
    world.check_rebuild();
}

#[test]
fn restore_takes_what_its_bringer_may_no_longer_see_and_then_has_it_forgotten() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let file = anothers_by_the_backup(&world, &he);
    let case = he.report("备份以后的案件。");
    he.sync();
    head.sync();
    head.event(case, EventKind::Note, json!({"text": "站长已阅。"}));
    head.sync();
    he.sync();
    let before = world.case(case);
    world.lose_and_restore(&file);
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(world.case(case), before);
    assert!(!he.core().documents().unwrap().contains(&case), "by the restored rights it is not his to see");
    head.sign_in_again(&world, "station-head");
    head.sync();
    assert_eq!(head.case(case), before);
    world.check_rebuild();
}

#[test]
fn restore_does_not_bring_back_what_the_server_knows_to_be_erased() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let case = he.report("依法删除的案件。");
    he.sync();
    head.sync();
    erase(&world, "case", case, "");
    let file = world.back_up("hall.backup");
    world.lose_and_restore(&file);
    // The station head's phone was away all the time, and still holds it.
    assert!(head.core().documents().unwrap().contains(&case));
    head.sign_in_again(&world, "station-head");
    let _ = head.library.sync(None, None);
    let app = world.app();
    assert!(server::journal::load(&mut app.db.get().unwrap(), case).unwrap().is_none());
    assert!(!head.core().documents().unwrap().contains(&case), "it is told to forget it");
    let proof = server::erasure::verify(&app.db, case, &["依法删除的案件".to_owned()], &[]).unwrap();
    assert_eq!(proof.found, [], "that a phone offered it again says nothing of what it held");
    world.check_rebuild();
}

#[test]
fn restore_after_a_restore_believes_the_life_between_only_when_it_is_told_that_it_was_its_own() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let file = world.back_up("hall.backup");
    let first = busy_case(&world, &he, &head);
    world.lose_and_restore(&file);
    head.sign_in_again(&world, "station-head");
    head.sync();
    he.sign_in_again(&world, "he");
    he.sync();
    let second = he.report("第二次生命里的案件。");
    he.sync();
    head.sync();
    let (between, states) = (world.app().journal, [world.case(first), world.case(second)]);
    // Lost again, before anybody made a backup.
    world.lose_and_restore(&file);
    head.sign_in_again(&world, "station-head");
    assert!(head.library.sync(None, None).is_err());
    let left_out = head.core().status().unwrap().incomplete.unwrap();
    assert!(left_out.records > 0);
    assert!(left_out.left_out.iter().all(|l| l.code == "foreign_journal" && l.detail.contains(&between.to_string())));
    assert_eq!(of_phone(&status(&world), "station-head phone")["lacking"]["foreign_journal"], json!(left_out.records));
    let know = |conn: &mut server::db::AnyConnection| server::restore::know(conn, between);
    assert!(world.app().db.transaction(know).unwrap());
    head.sync();
    assert_eq!([world.case(first), world.case(second)], states);
    assert_eq!(of_phone(&status(&world), "station-head phone")["lacking"], json!({}));
    world.check_rebuild();
}

#[test]
fn restore_from_an_older_backup_gets_what_was_about_to_be_handed_in_to_the_life_before_it() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let older = world.back_up("older.backup");
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    let newer = world.back_up("newer.backup");
    head.sync();
    head.event(case, EventKind::Note, json!({"text": "站长已阅。"}));
    head.sync();
    let before = world.case(case);
    // The first restored server has said what it lacks, and is lost before it gets it; the second one lacks more.
    world.lose_and_restore(&newer);
    head.sign_in_again(&world, "station-head");
    let mut session = head.core().sync_begin("test");
    while about_to_hand_in(&head) == 0 {
        let request = session.next_request().unwrap().expect("it has something to hand in");
        session.apply_response(&head.exchange(&world, &request)).unwrap();
    }
    drop(session);
    world.lose_and_restore(&older);
    head.sign_in_again(&world, "station-head");
    head.sync();
    assert_eq!(world.case(case), before);
    world.check_rebuild();
}

#[test]
fn restore_of_a_server_and_of_a_phone_that_wrote_meanwhile_does_not_give_one_place_to_two_changes() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    let file = world.back_up("hall.backup");
    he.back_up();
    he.event(case, EventKind::Note, json!({"text": "已联系施工方。"}));
    he.sync();
    head.sync();
    // Both forget the note, so that neither can tell the other of it; the station head's phone still has it.
    let he = he.restored();
    world.lose_and_restore(&file);
    he.sign_in_again(&world, "he");
    he.sync();
    he.event(case, EventKind::Note, json!({"text": "工人已回宿舍。"}));
    he.sync();
    head.sign_in_again(&world, "station-head");
    head.sync();
    he.sync();
    let state = world.case(case);
    let notes: Vec<_> = state.timeline.iter().filter_map(|e| e.text("text")).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(he.case(case) == state && head.case(case) == state);
    world.check_rebuild();
}

/// Documents that a phone knows a restored server to lack.
fn about_to_hand_in(phone: &TestPhone) -> i64 {
    phone.inside().query_row("SELECT count(*) FROM resupply", [], |r| r.get(0)).unwrap()
}

#[test]
fn restore_pledges_cost_little_on_the_wire_and_in_the_store() {
    let world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    for n in 0..40 {
        let case = he.report(&format!("第{n}宗,工人讨要工资。"));
        he.edit(case, &[event(EventKind::Note, json!({"text": "已联系。"}))]);
    }
    he.sync();
    head.sync();
    let held = pledges_of(&head);
    assert_eq!(held.0, 40, "one pledged change for each document");
    assert!(held.1 <= 3, "{} pledges for 40 documents", held.1);
    // What a phone changes over and over leaves one pledge, not one for each sync.
    let case = he.report("反复修改。");
    for n in 0..12 {
        he.edit(case, &[set("place.detail", format!("{n}楼"))]);
        he.sync();
    }
    assert_eq!(pledges_of(&he).0, 41);
    assert!(pledges_of(&he).1 <= 4, "{:?}", pledges_of(&he));
}

/// Pledged changes and pledges of a phone.
fn pledges_of(phone: &TestPhone) -> (i64, i64) {
    let conn = phone.inside();
    let count = |sql: &str| -> i64 { conn.query_row(sql, [], |r| r.get(0)).unwrap() };
    (count("SELECT count(*) FROM pledged"), count("SELECT count(*) FROM pledges"))
}
