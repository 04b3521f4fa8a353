//! Collecting, verifying, restoring: what is referred to is never deleted, what is lost is told, what is found is taken up again.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::prelude::*;
use server::db::DbError;
use server::db::tables::{attachment_refs, objects};
use server::objects::gc::{Collected, collect};
use server::objects::verify::{Report, verify};
use sync_core::attachments::content_hash;
use sync_core::ids::DocumentId;
use sync_core::time::Clock as _;
use tests::photos::photo;
use tests::tus::Tus;
use tests::{HOUR, TestDatabase, World};

use super::{case_with, entry, stored};

const DAY: i64 = 24 * HOUR;

fn gc(world: &World, dry_run: bool) -> Collected {
    tokio::runtime::Runtime::new().unwrap().block_on(collect(&world.app(), dry_run)).unwrap()
}

fn check(world: &World, deep: bool, repair: bool) -> Report {
    tokio::runtime::Runtime::new().unwrap().block_on(verify(&world.app(), deep, repair)).unwrap()
}

/// As if the record had been erased: nothing refers to its attachments any more.
fn forget(world: &World, case: DocumentId) {
    let rows = attachment_refs::table.filter(attachment_refs::document.eq(case.to_string()));
    world.app().db.transaction(|conn| Ok::<_, DbError>(diesel::delete(rows).execute(conn)?)).unwrap();
}

#[test]
fn only_an_attachment_that_nobody_refers_to_for_the_whole_grace_period_is_deleted() {
    let world = World::new();
    let (kept, unwanted) = (photo(1, 64, 64), photo(2, 64, 64));
    let (_, case) = case_with(&world, &[&kept]);
    let (_, erased) = case_with(&world, &[&unwanted]);
    let tus = Tus::new(&world, "he");
    tus.upload(case, &kept);
    tus.upload(erased, &unwanted);
    let path = format!("/v1/attachments/{}/thumbnail?document={erased}", content_hash(&unwanted));
    assert_eq!(tus.call("GET", &path, &[], &[]).status, 200);
    assert_eq!(gc(&world, false), Collected::default(), "everything is referred to");
    forget(&world, erased);
    assert_eq!(gc(&world, true), Collected { candidates: 1, ..Collected::default() });
    assert_eq!(gc(&world, false), Collected { candidates: 1, ..Collected::default() });
    world.pass(29 * DAY);
    assert_eq!(gc(&world, false).contents, 0, "the grace period is not over");
    world.pass(2 * DAY);
    let would = gc(&world, true);
    assert_eq!((would.contents, would.bytes), (1, unwanted.len() as u64));
    assert_eq!(stored(&world, "objects").len(), 2, "a dry run deletes nothing");
    assert_eq!(gc(&world, false).contents, 1);
    let left = stored(&world, "objects");
    assert!(left.len() == 1 && left[0].1 == kept);
    assert!(stored(&world, "thumbnails").is_empty());
    assert!(Tus::new(&world, "he").download(case, &content_hash(&kept), &[]).body == kept);
}

#[test]
fn an_attachment_that_is_referred_to_again_or_asked_for_within_the_grace_period_stays() {
    let world = World::new();
    let (again, asked) = (photo(3, 64, 64), photo(4, 64, 64));
    let (he, case) = case_with(&world, &[&again, &asked]);
    let tus = Tus::new(&world, "he");
    tus.upload(case, &again);
    tus.upload(case, &asked);
    forget(&world, case);
    assert_eq!(gc(&world, false).candidates, 2);
    world.pass(31 * DAY);
    he.sign_in_again(&world, "he");
    // A new record refers to one; somebody hands in the other once more, is told that it is here, and frees his own copy of it.
    let fresh = he.report_with(vec![entry(&again)]);
    he.sync();
    let second = he.report_with(vec![entry(&asked)]);
    he.sync();
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.upload(second, &asked).status, 204);
    assert_eq!(tus.announce(second, &content_hash(&asked), asked.len()).offset(), asked.len() as u64);
    forget(&world, second);
    assert_eq!(gc(&world, false).contents, 0);
    assert_eq!(Tus::new(&world, "he").upload(fresh, &again).status, 204);
    assert!(Tus::new(&world, "he").download(fresh, &content_hash(&again), &[]).body == again);
    assert_eq!(stored(&world, "objects").len(), 2);
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_reference_that_is_added_while_attachments_are_collected_never_points_to_nothing() {
    let world = World::new();
    let he = world.phone("he");
    let photos: Vec<Vec<u8>> = (20..32).map(|n| photo(n, 32, 32)).collect();
    let old = he.report_with(photos.iter().map(|p| entry(p)).collect());
    he.sync();
    let tus = Tus::new(&world, "he");
    for photo in &photos {
        assert_eq!(tus.upload(old, photo).status, 204);
    }
    forget(&world, old);
    assert_eq!(gc(&world, false).candidates, photos.len());
    world.pass(31 * DAY);
    he.sign_in_again(&world, "he");
    let done = AtomicBool::new(false);
    let (world, he, photos, done) = (&world, &he, &photos, &done);
    // Everybody at once: new records that refer to the very contents that are being collected, phones that ask whether they are
    // here and send them if not, and collectors that begin again and again.
    let cases: Vec<DocumentId> = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    gc(world, false);
                }
            });
        }
        let writer = scope.spawn(move || {
            // However this ends, the collectors end too.
            let _ended = Ended(done);
            let tus = Tus::new(world, "he");
            let mut cases = Vec::new();
            for photo in photos {
                let case = he.report_with(vec![entry(photo)]);
                he.sync();
                let sent = tus.upload(case, photo);
                assert!(matches!(sent.status, 201 | 204), "{sent:?}");
                cases.push(case);
            }
            cases
        });
        writer.join().unwrap()
    });
    gc(world, false);
    let tus = Tus::new(world, "he");
    for (case, photo) in cases.iter().zip(photos) {
        assert!(tus.download(*case, &content_hash(photo), &[]).body == *photo);
    }
    assert!(check(world, true, false).is_clean());
}

#[test]
fn a_restored_server_finds_the_attachments_again_that_its_store_still_holds_and_asks_for_the_others() {
    let mut world = World::new();
    let (before, after, lost) = (photo(5, 64, 64), photo(6, 64, 64), photo(7, 64, 64));
    let (he, case) = case_with(&world, &[&before]);
    let tus = Tus::new(&world, "he");
    tus.upload(case, &before);
    let file = world.dir.path().join("hall.backup");
    server::backup::backup(&world.app().db, &file).unwrap();
    // After the backup: entered, and two of the contents uploaded.
    he.edit(case, &[entry(&after), entry(&lost)]);
    he.sync();
    tus.upload(case, &after);
    tus.upload(case, &lost);
    world.stop();
    for (path, bytes) in stored(&world, "objects") {
        if bytes == lost {
            std::fs::remove_file(path).unwrap();
        }
    }
    world.database = TestDatabase::new(world.dir.path());
    let db = server::db::Database::open(&world.database.url).unwrap();
    db.migrate().unwrap();
    let law = server::projection::Law::shipped();
    server::backup::restore(&db, &law, &file, world.clock.now_ms(), &server::clock::SystemEntropy).unwrap();
    drop(db);
    world.start();
    // Nothing that the store holds is touched before phones have said what they know, however often it is collected.
    assert_eq!(gc(&world, false), Collected { awaited: 1, ..Collected::default() });
    he.sign_in_again(&world, "he");
    he.sync();
    let tus = Tus::new(&world, "he");
    assert!(tus.download(case, &content_hash(&before), &[]).body == before);
    assert_eq!(
        tus.announce(case, &content_hash(&after), after.len()).offset(),
        after.len() as u64,
        "it need not be sent"
    );
    let report = check(&world, true, false);
    assert_eq!((report.whole, &report.missing[..]), (2, &[content_hash(&lost)][..]), "{report:?}");
    assert_eq!(tus.upload(case, &lost).status, 204, "the phone supplies it");
    assert!(check(&world, true, false).missing.is_empty());
    world.check_rebuild();
}

#[test]
fn an_altered_or_deleted_attachment_is_found_and_after_a_repair_supplied_again() {
    let world = World::new();
    let (altered, deleted, whole) = (photo(8, 64, 64), photo(9, 64, 64), photo(10, 64, 64));
    let (_, case) = case_with(&world, &[&altered, &deleted, &whole]);
    let tus = Tus::new(&world, "he");
    for photo in [&altered, &deleted, &whole] {
        tus.upload(case, photo);
    }
    for (path, bytes) in stored(&world, "objects") {
        if bytes == altered {
            let mut broken = bytes;
            broken[100] ^= 1;
            std::fs::write(path, broken).unwrap();
        } else if bytes == deleted {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(check(&world, false, false).lost, [content_hash(&deleted)]);
    let mut lost = [content_hash(&altered), content_hash(&deleted)];
    lost.sort();
    assert_eq!(check(&world, true, false).lost, lost);
    check(&world, true, true);
    for photo in [&altered, &deleted] {
        let sent = tus.upload(case, photo);
        assert_eq!(sent.status, 204, "{sent:?}");
    }
    assert!(check(&world, true, false).is_clean());
    assert!(tus.download(case, &content_hash(&altered), &[]).body == altered);
}

#[test]
fn what_an_interrupted_request_left_in_the_store_is_collected_and_nothing_else() {
    let world = World::new();
    let (photo, loose) = (photo(11, 64, 64), photo(12, 64, 64));
    let (_, case) = case_with(&world, &[&photo, &loose]);
    let tus = Tus::new(&world, "he");
    tus.upload(case, &photo);
    let folder = world.dir.path().join("objects");
    let hash = content_hash(&photo);
    let second = folder.join(format!("objects/{}/{hash}/second", &hash[..2]));
    std::fs::write(&second, &photo).unwrap();
    let strange = folder.join(format!("objects/00/{}/x", "00".repeat(32)));
    std::fs::create_dir_all(strange.parent().unwrap()).unwrap();
    std::fs::write(&strange, b"strange").unwrap();
    // Stored whole, and the process died before it was entered; a record refers to it.
    let hash = content_hash(&loose);
    let unentered = folder.join(format!("objects/{}/{hash}/x", &hash[..2]));
    std::fs::create_dir_all(unentered.parent().unwrap()).unwrap();
    std::fs::write(&unentered, &loose).unwrap();
    let mark = folder.join(format!("proofs/{hash}/{case}"));
    std::fs::create_dir_all(mark.parent().unwrap()).unwrap();
    std::fs::write(&mark, b"").unwrap();
    // The store's clock is the machine's: by the test's clock these files are from the future until it has moved far on.
    world.pass(10 * 366 * DAY);
    assert_eq!(gc(&world, true).strays, 2);
    assert_eq!(gc(&world, false).strays, 2);
    assert!(!second.exists() && !strange.exists() && unentered.exists());
    let tus = Tus::new(&world, "he");
    assert!(tus.download(case, &hash, &[]).body == loose, "what a record refers to is found when it is asked for");
    let rows: i64 = objects::table.count().get_result(&mut *world.app().db.get().unwrap()).unwrap();
    assert_eq!(rows, 2);
}
