//! Growth: closed records leave the phones and come back when they are asked for or change; a phone says what takes room and frees what
//! the server has.

use fengqiao_mobile::{ListFilterInput, PhoneLibError, StoragePressure};
use serde_json::json;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::set;
use tests::{HOUR, MINUTE, TestPhone, World};

const DAY: i64 = 24 * HOUR;

/// A dispute of 水利组 that the hall took up and closed, as the worker's phone and the director's know it.
fn closed(world: &World, story: &str) -> (TestPhone, TestPhone, DocumentId) {
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let case = he.report(story);
    he.sync();
    world.pass(MINUTE);
    director.sync();
    for kind in [EventKind::Accepted, EventKind::Resolved, EventKind::Closed] {
        world.pass(MINUTE);
        director.event(case, kind, json!({}));
    }
    director.sync();
    he.sync();
    (he, director, case)
}

fn rows(phone: &TestPhone, text: &str) -> Vec<(String, bool)> {
    let filter = ListFilterInput { text: Some(text.into()), ..ListFilterInput::default() };
    phone.library.list_cases(filter).unwrap().into_iter().map(|r| (r.id, r.away_ms.is_some())).collect()
}

fn is_away(phone: &TestPhone, case: DocumentId) -> bool {
    matches!(phone.library.read_case(case.to_string()), Err(PhoneLibError::RecordAway))
}

#[test]
fn growth_a_closed_case_leaves_the_phone_after_its_time_and_comes_back_when_it_is_asked_for() {
    let world = World::new();
    let (he, _, case) = closed(&world, "工人聚集讨薪。");
    let open = he.report("邻里噪音。");
    world.pass(89 * DAY);
    he.sign_in_again(&world, "he");
    he.sync();
    assert!(!is_away(&he, case));
    world.pass(2 * DAY);
    he.sync();
    assert!(is_away(&he, case) && he.case(open).narrative == "邻里噪音。");
    // It stays in the list and is found by its title; its words are with the server.
    assert_eq!(rows(&he, "工人聚集讨薪"), [(case.to_string(), true)]);
    let refused = he.library.set_field(
        case.to_string(),
        "people_involved".into(),
        fengqiao_mobile::FieldValue::Number { value: 3 },
    );
    assert!(matches!(refused, Err(PhoneLibError::RecordAway)), "{refused:?}");

    he.library.fetch_record(case.to_string()).unwrap();
    he.sync();
    assert_eq!(he.case(case).narrative, "工人聚集讨薪。");
    assert_eq!(rows(&he, "工人聚集讨薪"), [(case.to_string(), false)]);
    world.pass(6 * DAY);
    he.sync();
    assert!(!is_away(&he, case), "it was asked for: it stays for a week");
    world.pass(2 * DAY);
    he.sync();
    assert!(is_away(&he, case));
}

#[test]
fn growth_a_case_that_is_reopened_while_it_is_away_comes_whole_with_the_next_sync() {
    let world = World::new();
    let (he, director, case) = closed(&world, "工人聚集讨薪。");
    world.pass(80 * DAY);
    director.sign_in_again(&world, "mediation-director");
    he.sign_in_again(&world, "he");
    he.library.free_up(u64::MAX).unwrap();
    assert!(is_away(&he, case), "room was short");
    director.event(case, EventKind::Reopened, json!({"reason": "申请人有新证据"}));
    director.sync();
    he.sync();
    let state = he.case(case);
    assert_eq!((state.narrative.as_str(), state.status.is_open()), ("工人聚集讨薪。", true));
    assert_eq!(he.core().document(case).unwrap().heads(), director.core().document(case).unwrap().heads());
}

#[test]
fn growth_nothing_leaves_of_which_something_is_unsent_or_refused() {
    let world = World::new();
    let (he, _, case) = closed(&world, "工人聚集讨薪。");
    he.edit(case, &[set("people_involved", 7)]);
    assert_eq!(he.library.free_up(u64::MAX).unwrap(), 0);
    assert!(!is_away(&he, case));
    he.sync();
    assert!(he.library.free_up(u64::MAX).unwrap() > 0);
    assert!(is_away(&he, case));
}

#[test]
fn growth_a_new_phone_is_not_given_what_would_leave_it_at_once_and_fetches_it_all_the_same() {
    let world = World::new();
    let (_, _, case) = closed(&world, "工人聚集讨薪。");
    world.pass(100 * DAY);
    let colleague = world.phone("colleague");
    colleague.sync();
    assert!(rows(&colleague, "工人").is_empty());
    colleague.library.fetch_record(case.to_string()).unwrap();
    colleague.sync();
    assert_eq!(colleague.case(case).narrative, "工人聚集讨薪。");
    world.pass(DAY);
    colleague.sync();
    assert!(!is_away(&colleague, case));
}

#[test]
fn growth_what_is_away_goes_from_the_list_too_when_its_owner_may_no_longer_see_it() {
    let world = World::new();
    let (he, _, case) = closed(&world, "工人聚集讨薪。");
    he.library.free_up(u64::MAX).unwrap();
    assert_eq!(rows(&he, "工人").len(), 1);
    crate::quarantine::end_charge(&world, "he");
    world.pass(HOUR);
    he.sync();
    he.sync();
    assert!(rows(&he, "工人").is_empty(), "{case}");
}

#[test]
fn growth_the_time_after_which_closed_cases_leave_is_the_servers() {
    let mut world = World::new();
    let (he, _, case) = closed(&world, "工人聚集讨薪。");
    world.stop();
    world.start_with(|config| config.phone_closed_days = 0);
    world.pass(300 * DAY);
    he.sign_in_again(&world, "he");
    he.sync();
    he.sync();
    assert!(!is_away(&he, case), "never, as it is set");
    world.stop();
    world.start_with(|config| config.phone_closed_days = 10);
    he.sign_in_again(&world, "he");
    he.sync();
    world.pass(MINUTE);
    he.sync();
    assert!(is_away(&he, case));
}

#[test]
fn growth_storage_tells_what_takes_room_and_frees_the_harmless_first() {
    let world = World::new();
    let (he, _, case) = closed(&world, "工人聚集讨薪。");
    let open = he.report("邻里噪音。");
    let photo = tests::photos::photo(1, 400, 300);
    he.library.attach_photo(open.to_string(), "现场.jpg".into(), photo).unwrap();
    let before = he.library.storage().unwrap();
    assert!(before.attachments > 1_000 && before.records > 10_000, "{before:?}");
    assert_eq!((before.freeable_attachments, before.left, before.pressure), (0, None, StoragePressure::Easy));
    he.sync();
    he.library.transfer_attachments(Default::default(), None, None).unwrap();
    let sent = he.library.storage().unwrap();
    assert_eq!(sent.freeable_attachments, sent.attachments);
    assert!(sent.freeable_records > 0);
    he.library.set_storage_room(Some(before.records + before.empty + before.attachments + (100 << 20)), None).unwrap();
    assert_eq!(he.library.storage().unwrap().pressure, StoragePressure::Tight);
    he.library.set_storage_room(None, Some(1 << 20)).unwrap();
    assert_eq!(he.library.storage().unwrap().pressure, StoragePressure::Full);
    // The photo is enough, so that the record stays.
    assert!(he.library.free_up(1_000).unwrap() >= 1_000);
    assert!(!is_away(&he, case));
    assert_eq!(he.library.storage().unwrap().attachments, 0);
    he.library.free_up(1).unwrap();
    assert!(is_away(&he, case) && !is_away(&he, open));
    // The people who run the system see how much room there is.
    he.sync();
    let (_, page) = world.get("/v1/replication", Some(&world.token("community")));
    let row = page["items"].as_array().unwrap().iter().find(|i| i["user_name"] == "小何").unwrap();
    // A megabyte was free, and the photo that left.
    assert!(row["storage_free_bytes"].as_u64().unwrap() > 1 << 20, "{row}");
}

/// A case that holds more changes than fit behind a snapshot, all of them on the server; and how it stands there.
fn long(world: &World) -> (TestPhone, DocumentId) {
    let he = world.phone("he");
    let case = he.report("工人聚集讨薪。");
    for n in 1..=240 {
        he.event(case, EventKind::Note, json!({"text": format!("第{n}次联系双方，约定后续安排，双方同意再谈。")}));
        if n % 24 == 0 {
            he.sync();
        }
    }
    (he, case)
}

fn stands(world: &World, case: DocumentId) -> (i64, i64, i64, i64) {
    use diesel::prelude::*;
    use server::db::tables::documents as d;
    let columns = (d::position, d::snapshot_position, d::snapshot_bytes, d::tail_bytes);
    d::table.find(case.to_string()).select(columns).first(&mut *world.app().db.get().unwrap()).unwrap()
}

#[test]
fn growth_a_long_case_is_a_snapshot_and_the_journal_behind_it() {
    let world = World::new();
    let (he, case) = long(&world);
    let (position, snapshot_position, snapshot_bytes, tail_bytes) = stands(&world, case);
    assert!(
        0 < snapshot_position && snapshot_bytes > 0,
        "{position} {snapshot_position} {snapshot_bytes} {tail_bytes}"
    );
    assert!(tail_bytes <= snapshot_bytes.max(16 * 1024), "{tail_bytes} behind {snapshot_bytes}");
    assert_eq!(world.case(case).timeline.len(), 241);
    world.check_rebuild();
    assert_eq!(world.case(case).narrative, he.case(case).narrative);
}

#[test]
fn growth_a_snapshot_that_is_damaged_is_made_again_from_the_journal() {
    use diesel::prelude::*;
    use server::db::tables::{documents, snapshots};
    let world = World::new();
    let (he, case) = long(&world);
    {
        let app = world.app();
        let mut conn = app.db.get().unwrap();
        let row = snapshots::table.find(case.to_string());
        diesel::update(row).set(snapshots::bytes.eq(vec![1, 2, 3])).execute(&mut *conn).unwrap();
        // What is open in memory would do without it.
        let row = documents::table.find(case.to_string());
        diesel::update(row).set(documents::heads.eq(vec![0; 32])).execute(&mut *conn).unwrap();
    }
    assert_eq!(world.case(case).timeline.len(), 241);
    he.event(case, EventKind::Note, json!({"text": "再谈。"}));
    he.sync();
    assert_eq!(world.case(case).timeline.len(), 242);
    server::rebuild::rebuild(&world.app().db, &world.app().law, true).unwrap();
    world.check_rebuild();
    assert_eq!(stands(&world, case).3, 0, "a rebuild takes a new snapshot");
}

#[test]
fn growth_and_a_restored_server_leave_nothing_of_an_area_that_its_owner_lost_meanwhile() {
    let mut world = World::new();
    let (he, _, case) = closed(&world, "工人聚集讨薪。");
    let open = he.report("邻里噪音。");
    he.sync();
    world.pass(91 * DAY);
    he.sign_in_again(&world, "he");
    he.sync();
    assert!(is_away(&he, case));
    let file = world.back_up("hall.backup");
    // One more case that only this phone and the lost server know; then all that the phone holds is in doubt, and not his any more.
    let third = he.report("楼道堆物。");
    he.sync();
    world.lose_and_restore(&file);
    crate::access::reassign::reassign(&world, "he", "baihua");
    he.sign_in_again(&world, "he");
    he.sync();
    he.sync();
    assert_eq!(he.core().documents().unwrap(), vec![]);
    assert_eq!(rows(&he, "工人聚集讨薪"), []);
    let orders = crate::access::reassign::orders(&world, "he");
    assert!(!orders.is_empty() && orders.iter().all(|(.., confirmed)| *confirmed), "{orders:?}");
    // Before it forgot, it handed in what the restored server lacked.
    assert_eq!(world.case(third).narrative, "楼道堆物。");
    assert_eq!(world.case(open).narrative, "邻里噪音。");
    world.check_rebuild();
}
