//! Contents that a server has lost: after a restore, or with a disk. It is found before anybody asks, told, and supplied by whoever holds
//! them; and while phones are expected that may name or bring something, nothing is collected.

use serde_json::Value;
use server::config::Config;
use server::objects::gc::collect;
use server::objects::verify::verify;
use tests::photos::photo;
use tests::tus::Tus;
use tests::{HOUR, World};

use super::{ALL, attach, send, stored};

const DAY: i64 = 24 * HOUR;
fn status(world: &World) -> Value {
    let (status, told) = world.get("/v1/restore", Some(&world.token("district")));
    assert_eq!(status, 200, "{told}");
    told
}

/// What is told when the server has looked through its store.
fn settled(world: &World) -> Value {
    for _ in 0..500 {
        let told = status(world);
        if told["attachments_looked"] == true {
            return told;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the store is never looked through");
}

fn lose_disk(world: &World) {
    std::fs::remove_dir_all(world.dir.path().join("objects")).unwrap();
}

#[test]
fn a_restored_server_looks_for_its_attachments_before_anybody_asks_and_tells_what_is_missing() {
    let mut world = World::new();
    let he = world.phone("he");
    let case = he.report("备份之前。");
    let (whole, lost) = (photo(70, 64, 64), photo(71, 64, 64));
    attach(&he, case, &whole);
    let hash = attach(&he, case, &lost);
    send(&he);
    assert_eq!(settled(&world)["attachments_missing"], 0);
    let backup = world.back_up("hall.backup");
    world.stop();
    for (path, bytes) in stored(&world, "objects") {
        if bytes == lost {
            std::fs::remove_file(path).unwrap();
        }
    }
    world.lose_and_restore(&backup);
    let told = settled(&world);
    assert_eq!((&told["attachments"], &told["attachments_missing"]), (&2.into(), &1.into()), "nobody has asked yet");
    let (code, text, _) = world.run(&["restore", "status"]);
    assert!(code == Some(0) && text.contains("attachments: 2 named, 1 missing"), "{text}");
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(send(&he).uploaded, 1);
    assert_eq!(settled(&world)["attachments_missing"], 0);
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == lost);
}

#[test]
fn an_attachment_that_is_found_lost_when_it_is_read_is_supplied_by_whichever_phone_holds_it() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("磁盘坏了。");
    let (read, unread) = (photo(72, 64, 64), photo(73, 64, 64));
    let hashes = [attach(&he, case, &read), attach(&he, case, &unread)];
    send(&he);
    colleague.sync();
    for hash in &hashes {
        colleague.library.fetch_attachment(case.to_string(), hash.clone(), ALL, None, None).unwrap().unwrap();
    }
    assert!(he.library.free_attachments().unwrap() > 0, "its author has nothing of it any more");
    colleague.sync();
    send(&colleague);
    lose_disk(&world);
    let desk = Tus::new(&world, "community");
    assert_eq!(desk.download(case, &hashes[0], &[]).told(), (404, "attachment_missing".into()));
    assert_eq!(status(&world)["attachments_lost"], 1, "what was read is known to be lost");
    // One who reads it is enough: phones are asked about all that lie on them, and free nothing before they are answered.
    colleague.sync();
    assert_eq!(colleague.library.free_attachments().unwrap(), 0);
    assert_eq!(send(&colleague).uploaded, 2);
    assert!(desk.download(case, &hashes[0], &[]).body == read && desk.download(case, &hashes[1], &[]).body == unread);
    assert_eq!(status(&world)["attachments_lost"], 0);
    colleague.sync();
    assert_eq!(send(&colleague), fengqiao_mobile::TransferReport::default(), "and are asked once");
    assert!(colleague.library.free_attachments().unwrap() > 0);
}

#[test]
fn a_phone_is_never_told_that_an_attachment_is_here_which_is_not_in_the_store() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("先问再删。");
    let bytes = photo(74, 64, 64);
    attach(&he, case, &bytes);
    send(&he);
    lose_disk(&world);
    let tus = Tus::new(&world, "he");
    let hash = sync_core::attachments::content_hash(&bytes);
    assert_eq!(tus.announce(case, &hash, bytes.len()).offset(), 0);
    assert_eq!(tus.upload(case, &bytes).status, 204);
    lose_disk(&world);
    let body = serde_json::json!({ "attachments": [{ "document": case, "hash": hash }] });
    let (_, answer) = world.post("/v1/attachments/missing", Some(&world.token("he")), &body);
    assert_eq!(answer["found"][0], "missing");
}

#[test]
fn a_repair_of_lost_attachments_asks_the_phones_that_hold_them() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("校验之后。");
    let bytes = photo(75, 64, 64);
    let hash = attach(&he, case, &bytes);
    send(&he);
    he.sync();
    assert_eq!(send(&he).uploaded, 0);
    let (path, mut altered) = stored(&world, "objects").remove(0);
    altered[100] ^= 1;
    std::fs::write(path, altered).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(verify(&world.app(), true, true)).unwrap();
    assert_eq!(report.lost, std::slice::from_ref(&hash));
    he.sync();
    assert_eq!(send(&he).uploaded, 1);
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == bytes);
}

#[test]
fn no_attachment_is_collected_while_phones_are_expected_after_a_restore_and_not_for_ever() {
    let mut world = World::with(Config { attachment_hold_days: 100, ..Config::default() });
    let he = world.phone("he");
    he.sync();
    let backup = world.back_up("hall.backup");
    // After the backup: nothing that is left of the server knows who names this.
    let case = he.report("备份之后。");
    let bytes = photo(76, 64, 64);
    let hash = attach(&he, case, &bytes);
    send(&he);
    he.library.free_attachments().unwrap();
    world.lose_and_restore(&backup);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gc = |world: &World| runtime.block_on(collect(&world.app(), false)).unwrap();
    // The store's clock is the machine's: by the test's these files are years old only when it has moved far on.
    world.settings.attachment_hold_days = 36_500;
    world.stop();
    world.start();
    assert_eq!(gc(&world).awaited, 1);
    world.pass(10 * 366 * DAY);
    let done = gc(&world);
    assert_eq!((done.awaited, done.contents, done.strays), (1, 0, 0));
    assert_eq!(stored(&world, "objects").len(), 1);
    he.sign_in_again(&world, "he");
    he.sync();
    he.sync();
    assert_eq!(gc(&world).awaited, 0, "it has said what it knows");
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == bytes, "and what it names was still there");
    // Somebody whose phone never comes again is not waited for for ever.
    let late = world.phone("colleague");
    late.sync();
    let backup = world.back_up("later.backup");
    world.settings.attachment_hold_days = 100;
    world.lose_and_restore(&backup);
    assert_eq!(gc(&world).awaited, 2);
    world.pass(101 * DAY);
    assert_eq!(gc(&world).awaited, 0);
}

#[test]
fn how_many_attachments_of_somebody_have_not_arrived_stands_beside_the_replication_of_his_phone() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("照片还没到。");
    attach(&he, case, &photo(77, 64, 64));
    attach(&he, case, &photo(78, 64, 64));
    he.sync();
    let missing = || {
        let (status, told) = world.get("/v1/replication", Some(&world.token("he")));
        assert_eq!(status, 200, "{told}");
        told["items"][0]["attachments_missing"].as_i64().unwrap()
    };
    assert_eq!(missing(), 2);
    send(&he);
    assert_eq!(missing(), 0);
}
