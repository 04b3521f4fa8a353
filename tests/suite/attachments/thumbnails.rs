//! Small pictures on the phone: there before anybody asks, in the order of need, within their quota, and gone with their record.

use fengqiao_mobile::{PhoneLibError, TransferPolicy, TransferReport};
use sync_core::edit::Draft;
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;
use tests::photos::photo;
use tests::{MINUTE, TestPhone, World, biyan};

fn ahead() -> TransferPolicy {
    TransferPolicy { thumbnails_ahead: true, thumbnail_points: 160, ..TransferPolicy::default() }
}

fn attach(phone: &TestPhone, id: DocumentId, seed: u32) -> String {
    phone.library.attach_photo(id.to_string(), "现场.jpg".into(), photo(seed, 200, 200)).unwrap().hash
}

fn run(phone: &TestPhone, policy: TransferPolicy) -> TransferReport {
    phone.library.transfer_attachments(policy, None, None).unwrap()
}

fn small(phone: &TestPhone, hash: &str) -> Option<Vec<u8>> {
    phone.library.thumbnail_bytes(hash.to_owned(), 160).unwrap()
}

/// What lies beside the phone's store.
fn files(phone: &TestPhone) -> Vec<(String, Vec<u8>)> {
    let folder = format!("{}.attachments", phone.path.display());
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path());
    entries.map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(p).unwrap())).collect()
}

fn patrol(phone: &TestPhone) -> DocumentId {
    let edits = vec![tests::phones::set("place.grid", "GM-BIYAN-01")];
    phone.core().create(&Draft { kind: DocumentKind::Patrol, community: biyan(), edits }).unwrap()
}

/// One worker's patrol and two cases with a picture each, on the server; and a colleague who has synced.
fn pictures(world: &World) -> (TestPhone, TestPhone, [(DocumentId, String); 3]) {
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let all = [patrol(&he), he.report("漏水。"), he.report("墙体开裂。")];
    let mut seed = 40;
    let all = all.map(|id| {
        seed += 1;
        (id, attach(&he, id, seed))
    });
    run(&he, TransferPolicy::default());
    colleague.sync();
    (he, colleague, all)
}

#[test]
fn thumbnails_are_on_the_phone_before_anybody_asks_and_need_no_network_then() {
    let mut world = World::new();
    let (he, colleague, all) = pictures(&world);
    assert_eq!(run(&colleague, TransferPolicy::default()).thumbnails, 0, "only where the host wants it");
    let report = run(&colleague, ahead());
    assert_eq!((report.thumbnails, report.downloaded), (3, 0));
    assert!(report.bytes_received > 0);
    assert_eq!(run(&colleague, ahead()), TransferReport::default(), "nothing is fetched twice");
    assert_eq!(run(&he, ahead()).thumbnails, 0, "who has the picture needs no small one");
    let room = colleague.library.storage().unwrap();
    assert_eq!((room.thumbnails, room.attachments), (report.bytes_received, 0));
    world.stop();
    for (id, hash) in &all {
        let here = small(&colleague, hash).unwrap();
        assert!(here.starts_with(&[0xff, 0xd8, 0xff]));
        let asked = colleague.library.fetch_thumbnail(id.to_string(), hash.clone(), 160, None).unwrap();
        assert_eq!(asked, here);
        let other = colleague.library.fetch_thumbnail(id.to_string(), hash.clone(), 320, None);
        assert!(matches!(other, Err(PhoneLibError::Offline { .. })), "{other:?}");
    }
    let lying = files(&colleague);
    assert_eq!(lying.len(), 3);
    assert!(lying.iter().all(|(_, bytes)| !bytes.windows(3).any(|w| w == [0xff, 0xd8, 0xff])), "nothing lies in clear");
    let wrong = colleague.library.thumbnail_bytes(all[0].1.clone(), 100);
    assert!(matches!(&wrong, Err(PhoneLibError::InvalidInput { field, .. }) if field == "size"), "{wrong:?}");
}

#[test]
fn a_thumbnail_that_was_asked_for_stays_and_nobody_sees_it_on_a_locked_phone() {
    let world = World::new();
    let (_, colleague, all) = pictures(&world);
    let (id, hash) = &all[1];
    let asked = colleague.library.fetch_thumbnail(id.to_string(), hash.clone(), 160, None).unwrap();
    assert_eq!(small(&colleague, hash), Some(asked));
    colleague.library.set_pin("271828".into(), None).unwrap();
    colleague.library.lock();
    assert_eq!(colleague.library.thumbnail_bytes(hash.clone(), 160), Err(PhoneLibError::Locked));
    let asked = colleague.library.fetch_thumbnail(id.to_string(), hash.clone(), 160, None);
    assert_eq!(asked, Err(PhoneLibError::Locked));
}

#[test]
fn thumbnails_keep_to_their_quota_and_what_is_needed_least_gives_way() {
    let world = World::new();
    let (he, colleague, all) = pictures(&world);
    let [patrol, first, second] = all.map(|(_, hash)| hash);
    // Room for two and a half.
    assert_eq!(run(&colleague, ahead()).thumbnails, 3);
    let all = colleague.library.storage().unwrap().thumbnails;
    colleague.library.set_thumbnail_quota(all * 5 / 6).unwrap();
    let here = |hash: &String| small(&colleague, hash).is_some();
    assert_eq!((here(&patrol), here(&first), here(&second)), (false, true, true), "cases are needed more than patrols");
    assert_eq!(run(&colleague, ahead()).thumbnails, 0, "what does not fit is not fetched again and again");
    // A case in danger is due before all others.
    let facts = vec![tests::phones::set("violence", true), tests::phones::write("narrative", "有人持刀。")];
    let urgent = he.report_with(facts);
    let urgent = attach(&he, urgent, 50);
    run(&he, TransferPolicy::default());
    colleague.sync();
    run(&colleague, ahead());
    assert!(here(&urgent) && colleague.library.storage().unwrap().thumbnails <= all * 5 / 6);
    colleague.library.set_thumbnail_quota(0).unwrap();
    assert_eq!((run(&colleague, ahead()).thumbnails, colleague.library.storage().unwrap().thumbnails), (0, 0));
}

#[test]
fn a_metered_network_brings_thumbnails_only_where_the_host_says_so() {
    let world = World::new();
    let (_, colleague, all) = pictures(&world);
    let metered = TransferPolicy { is_metered: true, ..ahead() };
    assert_eq!(run(&colleague, metered), TransferReport::default());
    let case = colleague.report("占道经营。");
    attach(&colleague, case, 51);
    let report = run(&colleague, TransferPolicy { thumbnails_metered_ok: true, ..metered });
    assert_eq!((report.thumbnails, report.bytes_sent, report.waiting), (3, 0, 1), "small pictures come, photos wait");
    assert!(small(&colleague, &all[0].1).is_some());
}

#[test]
fn a_thumbnail_of_a_photo_that_has_not_arrived_is_asked_for_again_later() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("漏水。");
    let hash = attach(&he, case, 52);
    he.sync();
    colleague.sync();
    assert_eq!(run(&colleague, ahead()).thumbnails, 0);
    run(&he, TransferPolicy::default());
    assert_eq!(run(&colleague, ahead()), TransferReport::default(), "not again at once");
    world.pass(11 * MINUTE);
    assert_eq!(run(&colleague, ahead()).thumbnails, 1);
    assert!(small(&colleague, &hash).is_some());
}

#[test]
fn thumbnails_of_records_from_before_pictures_were_noted_come_too() {
    let world = World::new();
    let (_, colleague, _) = pictures(&world);
    colleague.inside().execute_batch("DELETE FROM pictures; DELETE FROM meta WHERE name = 'pictures_noted'").unwrap();
    assert_eq!(run(&colleague, ahead()).thumbnails, 3);
}

#[test]
fn a_thumbnail_that_is_damaged_on_the_disk_is_fetched_again() {
    let world = World::new();
    let (_, colleague, all) = pictures(&world);
    run(&colleague, ahead());
    let folder = format!("{}.attachments", colleague.path.display());
    for (name, _) in files(&colleague) {
        std::fs::write(std::path::Path::new(&folder).join(name), b"damaged").unwrap();
    }
    assert_eq!(small(&colleague, &all[0].1), None);
    assert_eq!(run(&colleague, ahead()).thumbnails, 1);
    assert!(small(&colleague, &all[0].1).is_some());
}

#[test]
fn thumbnails_go_with_the_record_that_is_purged() {
    let world = World::new();
    let (he, colleague, _) = pictures(&world);
    he.library.free_attachments().unwrap();
    assert_eq!(run(&he, ahead()).thumbnails, 3);
    assert_eq!(files(&he).len(), 3);
    crate::access::reassign::reassign(&world, "he", "baihua");
    he.sync();
    he.sync();
    assert_eq!(he.core().documents().unwrap(), vec![]);
    assert_eq!(files(&he), vec![]);
    assert_eq!(he.library.storage().unwrap().thumbnails, 0);
    let orders = crate::access::reassign::orders(&world, "he");
    assert!(!orders.is_empty() && orders.iter().all(|(.., confirmed)| *confirmed), "{orders:?}");
    assert!(!files(&colleague).iter().any(|(name, _)| name.ends_with("160")));
}
