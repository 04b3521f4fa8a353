//! A full disk, on the server and on a phone: it is said as such, nothing is acknowledged that is not kept, nothing that somebody wrote
//! is lost, and when there is room again all goes on.

use diesel::connection::SimpleConnection as _;
use fengqiao_mobile::{DraftInput, FieldValue, PhoneLibError};
use serde_json::json;
use sync_core::ids::DocumentId;
use tests::phones::{set, write};
use tests::{MINUTE, World};

use crate::hand::Hand;

/// Every connection of the pool, so that what is set for each holds for all.
fn on_every_connection(world: &World, sql: &str) {
    let app = world.app();
    let mut all: Vec<_> = (0..4).map(|_| app.db.get().unwrap()).collect();
    all.iter_mut().for_each(|conn| conn.batch_execute(sql).unwrap());
}

/// SQLite may grow no further; PostgreSQL says what it says when its disk is full (53100), at the first row of the journal.
fn fill(world: &World) {
    if world.app().db.is_postgres() {
        let sql = "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   RAISE EXCEPTION 'could not extend file \"base/16384/16501\": No space left on device' \
                   USING ERRCODE = 'disk_full', HINT = 'Check free disk space.'; END $$; \
                   CREATE TRIGGER no_room BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION no_room();";
        world.app().db.get().unwrap().batch_execute(sql).unwrap();
    } else {
        on_every_connection(world, "PRAGMA max_page_count = 1");
    }
}

fn make_room(world: &World) {
    if world.app().db.is_postgres() {
        let sql = "DROP TRIGGER no_room ON journal; DROP FUNCTION no_room()";
        world.app().db.get().unwrap().batch_execute(sql).unwrap();
    } else {
        on_every_connection(world, "PRAGMA max_page_count = 1000000");
    }
}

fn holds(world: &World, id: DocumentId) -> bool {
    let app = world.app();
    server::journal::load(&mut app.db.get().unwrap(), id).unwrap().is_some()
}

/// A story that no compression makes small.
fn long(n: usize) -> String {
    let mut state = u64::try_from(n).unwrap().wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_u32(0x4e00 + u32::try_from(state >> 33).unwrap() % 0x4000).unwrap()
    };
    (0..8_000).map(|_| letter()).collect()
}

#[test]
fn storage_full_on_the_server_is_told_and_acknowledges_nothing_and_the_phone_goes_on_when_there_is_room() {
    let world = World::new();
    let he = world.phone("he");
    let known = he.report("先到的一宗。");
    he.sync();
    let director = world.token("mediation-director");
    fill(&world);
    let cases: Vec<_> = (0..8).map(|n| he.report(&long(n))).collect();
    let unsent = he.library.status().unwrap().unsent;
    for _ in 0..2 {
        match he.library.sync(None, None) {
            Err(PhoneLibError::Server { status: 507, code, detail }) => {
                assert_eq!(code, "storage_full");
                assert!(detail.contains("nothing of this request was kept"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(he.library.status().unwrap().unsent, unsent, "the phone keeps all of it");
        assert!(cases.iter().all(|id| !holds(&world, *id)), "and the server none");
        assert_eq!(he.case(cases[3]).narrative, long(3));
    }
    // At a desk it is the same, with what to do.
    let edits = json!({"edits": [{"edit": "set_text", "name": "narrative", "wording": long(9)}]});
    let (status, problem) = world.post(&format!("/v1/cases/{known}/edits"), Some(&director), &edits);
    assert_eq!((status, problem["type"].as_str()), (507, Some("urn:fengqiao:problem:storage_full")), "{problem}");
    assert!(problem["remedy"].as_str().is_some_and(|r| r.contains("operator")), "{problem}");
    assert_eq!(world.case(known).narrative, "先到的一宗。");
    make_room(&world);
    world.pass(i64::try_from(he.library.next_sync_ms().unwrap()).unwrap());
    he.sync();
    assert_eq!(he.library.status().unwrap().unsent, 0);
    for (n, id) in cases.into_iter().enumerate() {
        assert_eq!(world.case(id).narrative, long(n));
    }
    let (status, _) = world.post(&format!("/v1/cases/{known}/edits"), Some(&world.token("mediation-director")), &edits);
    assert_eq!(status, 200);
    world.check_rebuild();
}

#[test]
fn storage_full_on_the_server_loses_no_refused_change_and_no_last_word() {
    let world = World::new();
    let (he, hand) = (world.phone("he"), Hand::register(&world, "he"));
    he.sync();
    let unsent = he.report(&long(1));
    let device = he.core().identity().unwrap().unwrap().device;
    fill(&world);
    let (case, change) = hand.case(&long(2));
    let signed = hand.key.seal(&hand.bundle(vec![hand.entry(&case, [&change.bytes[..]])])).unwrap();
    let request = sync_core::sync::wire::encode(&hand.request(vec![signed.clone()])).unwrap();
    let media_type = sync_core::sync::wire::MEDIA_TYPE;
    assert_eq!(hand.refused(media_type, &request), (507, "storage_full".to_owned()));
    assert!(!holds(&world, case.meta().id));
    make_room(&world);
    assert_eq!(hand.send(&hand.request(vec![signed])).results.len(), 1);
    assert!(holds(&world, case.meta().id));
    // A phone that was revoked says its last word into a full database, and once more when there is room.
    assert_eq!(world.post(&format!("/v1/devices/{device}/wipe"), Some(&world.token("admin")), &json!({})).0, 200);
    fill(&world);
    assert!(he.library.sync(None, None).is_err());
    assert_eq!(he.case(unsent).narrative, long(1), "it destroys nothing that was not heard");
    make_room(&world);
    world.pass(15 * MINUTE);
    assert!(matches!(he.library.sync(None, None), Err(PhoneLibError::Wiped)));
    let kept = world.get("/v1/quarantine?state=waiting", Some(&world.token("community"))).1;
    assert!(holds(&world, unsent) || !kept["items"].as_array().unwrap().is_empty(), "{kept}");
}

#[test]
fn storage_full_on_a_phone_is_told_by_its_library_and_leaves_every_word_that_stood() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("手机快满了。");
    he.sync();
    he.core().limit_pages(1).unwrap();
    let draft = |n: usize| DraftInput {
        community: "GM-BIYAN".into(),
        fields: [("place.grid".to_owned(), FieldValue::Text { value: "GM-BIYAN-01".into() })].into(),
        wording: Some(long(n)),
        edits: Vec::new(),
    };
    for n in 0..3 {
        assert_eq!(he.library.create_case(draft(n)), Err(PhoneLibError::DiskFull));
        let edited = he.library.edit_text(case.to_string(), "narrative".into(), long(n));
        assert_eq!(edited, Err(PhoneLibError::DiskFull));
    }
    assert_eq!(he.case(case).narrative, "手机快满了。");
    assert_eq!(he.library.status().unwrap().unsent, 0, "nothing half written waits to be sent");
    // What others wrote does not fit either; nothing of it is taken for received.
    let others: Vec<_> = (10..18)
        .map(|n| colleague.report_with(vec![write("narrative", &long(n)), set("people_involved", 3)]))
        .collect();
    colleague.sync();
    assert_eq!(he.library.sync(None, None), Err(PhoneLibError::DiskFull));
    he.core().limit_pages(1_000_000).unwrap();
    world.pass(15 * MINUTE);
    he.sync();
    for (n, id) in (10..).zip(others) {
        assert_eq!(he.case(id).narrative, long(n));
    }
    let made = he.library.create_case(draft(0)).unwrap();
    he.library.edit_text(case.to_string(), "narrative".into(), long(1)).unwrap();
    he.sync();
    assert_eq!(world.case(case).narrative, long(1));
    assert_eq!(world.case(made.parse().unwrap()).narrative, long(0));
}
