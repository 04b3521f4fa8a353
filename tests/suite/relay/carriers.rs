//! Phones that carry: over one hop and several, by one way and by three, there and back.

use sync_core::event::EventKind;
use sync_core::phone::DocumentStatus;
use sync_core::relay::frame::frames;
use sync_core::relay::{Container, FrameSet};
use sync_core::store::carried::CarriedState;
use sync_core::time::TimeBasis;
use tests::phones::{event, set};
use tests::{HOUR, MINUTE, World};

use super::{entries, exported, import, onward, pending, receipts};

#[test]
fn relay_a_case_reported_without_a_network_reaches_the_server_in_a_colleagues_pocket() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report("水利组17-5栋有工人聚集。");
    he.edit(case, &[set("people_involved", 23), event(EventKind::OnScene, serde_json::json!({}))]);
    world.pass(20 * MINUTE);

    let file = exported(&he);
    assert_eq!(import(&colleague, &file).parcels_new, 1);
    assert_eq!(pending(&he), 2, "exporting is not sending");
    assert!(colleague.core().documents().unwrap().is_empty(), "a carrier reads nothing");
    let report = colleague.library.sync(None, None).unwrap();
    assert_eq!(report.relayed, 1);

    // Its author is its author, its time his own, by his own tokens.
    assert_eq!(world.case(case).narrative, "水利组17-5栋有工人聚集。");
    let he_is = he.core().identity().unwrap().unwrap();
    for entry in entries(&world, case) {
        assert_eq!((entry.author.as_str(), entry.device), (&*he_is.user.to_string(), Some(he_is.device.to_string())));
        assert_eq!(entry.basis, "anchored");
    }
    assert!(world.case(case).timeline.iter().all(|e| e.witness.is_some_and(|w| w.basis == TimeBasis::Anchored)));
    // The carrier is of the same grid and receives the case like anybody.
    assert_eq!(colleague.case(case), world.case(case));
    assert!(matches!(colleague.core().relay_carried().unwrap()[0].state, CarriedState::Delivered));
    assert!(colleague.core().relay_onward().unwrap().is_empty(), "dropped on receipt");

    // The author learns of it by a receipt, without meeting the server.
    let told = import(&he, &receipts(&colleague));
    assert_eq!((told.receipts_new, told.receipts_refused, told.acknowledged), (1, 0, 2));
    assert_eq!(pending(&he), 0);
    assert!(matches!(he.core().document_status(case).unwrap(), DocumentStatus::OnServerSince(_)));
    assert_eq!(import(&he, &receipts(&colleague)).acknowledged, 0, "a second time it says nothing new");
    he.sync();
    assert_eq!(he.case(case), world.case(case));
    world.check_rebuild();
}

#[test]
fn relay_an_author_who_meets_the_server_himself_learns_that_it_was_there() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report("邻里纠纷。");
    import(&colleague, &exported(&he));
    colleague.sync();
    let before = entries(&world, case);
    let report = he.library.sync(None, None).unwrap();
    assert_eq!((report.sent, pending(&he)), (1, 0));
    assert_eq!(entries(&world, case).len(), before.len());
    assert_eq!(he.case(case), world.case(case));
}

#[test]
fn relay_the_same_parcel_by_three_ways_is_one_set_of_journal_entries() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let cases: Vec<_> = (0..5).map(|n| he.report(&format!("第{n}宗。"))).collect();
    let file = exported(&he);
    // Exported twice: another parcel with the same changes.
    let again = exported(&he);
    assert_ne!(file, again);
    for (login, file) in [("colleague", &file), ("baihua", &file), ("station-head", &again)] {
        let carrier = world.phone(login);
        assert_eq!(import(&carrier, file).parcels_new, 1);
        let twice = import(&carrier, file);
        assert_eq!((twice.parcels_new, twice.parcels_known), (0, 1));
        carrier.sync();
    }
    for case in cases {
        assert_eq!(entries(&world, case).len(), 1);
    }
    he.sync();
    assert_eq!(pending(&he), 0);
    world.check_rebuild();
}

#[test]
fn relay_over_two_hops_there_and_two_hops_back() {
    let world = World::new();
    let (he, first, second) = (world.phone("he"), world.phone("colleague"), world.phone("baihua"));
    he.sync();
    let case = he.report("工人聚集。");
    import(&first, &exported(&he));
    // The second works in another community: a carrier needs no right to what it carries.
    assert_eq!(import(&second, &onward(&first)).parcels_new, 1);
    second.sync();
    assert_eq!(entries(&world, case).len(), 1);
    assert!(second.core().documents().unwrap().is_empty(), "carrying gives no right to see");

    let back = import(&first, &receipts(&second));
    assert_eq!((back.receipts_new, back.acknowledged), (1, 0));
    assert!(onward(&first).is_empty(), "what has arrived need not be carried");
    assert_eq!(import(&he, &receipts(&first)).acknowledged, 1);
    assert_eq!(pending(&he), 0);
    world.check_rebuild();
}

#[test]
fn relay_by_qr_codes_in_any_order_there_and_back() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report(&"水利组17-5栋,工人讨要工资。".repeat(120));
    let parcels = he.core().relay_export().unwrap();
    let mut codes = frames(&parcels[0], 300).unwrap();
    assert!(codes.len() > 3 && codes.iter().all(|c| c.len() < 800), "{}", codes.len());
    codes.reverse();
    let mut scanned = FrameSet::default();
    let mut whole = None;
    for code in &codes {
        whole = scanned.add(code).unwrap().whole.or(whole);
    }
    import(&colleague, &whole.unwrap());
    colleague.sync();
    assert_eq!(world.case(case).narrative, he.case(case).narrative);
    let back: Vec<String> = frames(&colleague.core().relay_receipts().unwrap().unwrap(), 800).unwrap();
    assert_eq!(import(&he, back.join("\n").as_bytes()).acknowledged, 1);
}

#[test]
fn relay_parcels_in_the_wrong_order_wait_until_what_they_build_on_has_come() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let case = he.report("起初。");
    // So much that one parcel does not hold the changes of this one document.
    for n in 0..14 {
        he.event(case, EventKind::Note, serde_json::json!({ "text": noise(n) }));
    }
    let parcels = he.core().relay_export().unwrap();
    assert!(parcels.len() > 1, "{}", parcels.len());
    for parcel in parcels.iter().skip(1) {
        import(&colleague, parcel.bytes());
    }
    colleague.sync();
    assert!(entries(&world, case).is_empty());
    assert!(colleague.core().relay_carried().unwrap().iter().all(|p| p.state == CarriedState::Carried));
    import(&colleague, parcels[0].bytes());
    // What waited is tried again at each sync; nobody need sort anything.
    for _ in 0..parcels.len() {
        colleague.sync();
    }
    assert!(colleague.core().relay_carried().unwrap().iter().all(|p| p.state == CarriedState::Delivered));
    assert_eq!(world.case(case).timeline.iter().filter(|e| e.kind == EventKind::Note).count(), 14);
    assert_eq!(import(&he, &receipts(&colleague)).acknowledged, 15);
    assert_eq!(pending(&he), 0);
    world.check_rebuild();
}

/// A long text that no compression makes short.
fn noise(n: u32) -> String {
    let mut state = u64::from(n) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(state >> 48).unwrap() % 20_000
    };
    (0..9_000).filter_map(|_| char::from_u32(0x4e00 + next())).collect()
}

#[test]
fn relay_many_parcels_travel_in_several_requests_of_one_sync() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let mut cases = Vec::new();
    for n in 0..40 {
        cases.push(he.report(&format!("第{n}宗。")));
        import(&colleague, &exported(&he));
    }
    let report = colleague.library.sync(None, None).unwrap();
    assert_eq!(report.relayed, 40);
    assert!(report.requests >= 3, "{}", report.requests);
    for case in cases {
        assert_eq!(entries(&world, case).len(), 1);
    }
    assert_eq!(import(&he, &receipts(&colleague)).acknowledged, 40);
}

#[test]
fn relay_keys_that_were_rotated_reach_phones_and_old_parcels_still_open() {
    let mut world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let early = he.report("换钥之前。");
    let old = exported(&he);
    let app = world.app();
    let purpose = server::accounts::keys::Purpose::Relay;
    world.pass(HOUR);
    app.db
        .transaction(|conn| server::accounts::keys::Keys::rotate(conn, purpose, app.now_ms(), None, &app.entropy))
        .unwrap();
    import(&colleague, &old);
    drop(app);
    // Another process has made the key; this one looks for it when it begins.
    world.stop();
    world.start();
    he.sign_in_again(&world, "he");
    colleague.sign_in_again(&world, "colleague");
    colleague.sync();
    assert_eq!(entries(&world, early).len(), 1);
    let key = |file: &[u8]| Container::parse_one(file).unwrap().key;
    let fresh = colleague.report("换钥之后。");
    let new = exported(&colleague);
    assert_ne!(key(&new), key(&old), "the carrier has learned the new key by its sync");
    // One that has not met the server since still seals to the old key, and the server still opens.
    import(&he, &new);
    he.sync();
    assert_eq!(entries(&world, fresh).len(), 1);
}
