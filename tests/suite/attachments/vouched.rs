//! What a phone may free of its attachments: only what the server, in the life that the phone last met, has said to hold.

use std::sync::atomic::{AtomicBool, Ordering};

use sync_core::ids::DocumentId;
use tests::photos::photo;
use tests::tus::Tus;
use tests::{TestPhone, World};

use super::{ALL, attach, send};

fn fetch(phone: &TestPhone, id: DocumentId, hash: &str) -> Vec<u8> {
    phone.library.fetch_attachment(id.to_string(), hash.to_owned(), ALL, None, None).unwrap().unwrap()
}

fn is_here(phone: &TestPhone, hash: &str) -> bool {
    phone.library.attachment_bytes(hash.to_owned()).unwrap().is_some()
}

/// The server comes back from a backup, and its folder of contents is lost.
fn restore_without_contents(world: &mut World, backup: &std::path::Path) {
    world.stop();
    std::fs::remove_dir_all(world.dir.path().join("objects")).unwrap();
    world.lose_and_restore(backup);
}

#[test]
fn no_attachment_is_freed_on_the_word_of_a_server_that_was_restored_since() {
    let mut world = World::new();
    let he = world.phone("he");
    let case = he.report("楼梯灯坏了。");
    he.sync();
    let backup = world.back_up("hall.backup");
    let bytes = photo(30, 320, 240);
    let hash = attach(&he, case, &bytes);
    send(&he);
    restore_without_contents(&mut world, &backup);
    he.sign_in_again(&world, "he");
    he.sync();
    // It was on the server, and nobody has said that it is there again: whatever asks for room, it stays.
    assert_eq!(he.core().storage().unwrap().freeable_attachments, 0);
    he.core().free_up(u64::MAX).unwrap();
    assert_eq!(he.library.free_attachments().unwrap(), 0);
    he.library.set_attachment_quota(1_000).unwrap();
    assert!(is_here(&he, &hash));
    assert_eq!(send(&he).uploaded, 1);
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == bytes);
    assert_eq!(he.library.free_attachments().unwrap(), bytes.len() as u64, "now this server has it");
    he.library.set_attachment_quota(1 << 30).unwrap();
    assert_eq!(fetch(&he, case, &hash), bytes);
}

#[test]
fn an_attachment_that_a_phone_only_fetched_stays_until_a_restored_server_has_it_and_is_supplied_by_it() {
    let mut world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("外墙脱落。");
    he.sync();
    let backup = world.back_up("hall.backup");
    let bytes = photo(31, 320, 240);
    let hash = attach(&he, case, &bytes);
    send(&he);
    assert!(he.library.free_attachments().unwrap() > 0, "its author has it no more");
    colleague.sync();
    assert_eq!(fetch(&colleague, case, &hash), bytes);
    restore_without_contents(&mut world, &backup);
    for (phone, login) in [(&he, "he"), (&colleague, "colleague")] {
        phone.sign_in_again(&world, login);
        phone.sync();
    }
    assert_eq!((send(&he).uploaded, colleague.library.free_attachments().unwrap()), (0, 0));
    assert!(is_here(&colleague, &hash));
    assert_eq!(send(&colleague).uploaded, 1, "whoever holds it supplies it");
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == bytes);
    assert_eq!(fetch(&he, case, &hash), bytes);
    assert_eq!(colleague.library.free_attachments().unwrap(), bytes.len() as u64);
    world.check_rebuild();
}

#[test]
fn what_an_older_program_fetched_is_asked_about_before_it_is_freed() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("井盖缺失。");
    let (named, loose) = (photo(32, 64, 64), photo(33, 64, 64));
    let hashes = [&named, &loose].map(|p| attach(&he, case, p));
    send(&he);
    colleague.sync();
    hashes.iter().for_each(|h| drop(fetch(&colleague, case, h)));
    // As it was before a row said for which record a content was fetched; one of them no record names any more.
    let stranger = sync_core::attachments::content_hash(b"nobody");
    let inside = colleague.inside();
    inside.execute("DELETE FROM uploads", []).unwrap();
    inside.execute("UPDATE files SET hash = ?1 WHERE hash = ?2", [&stranger, &hashes[1]]).unwrap();
    assert_eq!(colleague.library.free_attachments().unwrap(), 0);
    send(&colleague);
    let left: i64 = inside.query_row("SELECT count(*) FROM files", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 1, "what no record names is gone");
    assert_eq!(colleague.library.free_attachments().unwrap(), named.len() as u64);
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_photo_that_is_attached_anew_while_it_is_freed_is_never_a_row_without_its_file() {
    let world = World::new();
    let he = world.phone("he");
    let cases: Vec<DocumentId> = (0..25).map(|_| he.report("乱堆杂物。")).collect();
    let bytes = photo(34, 64, 64);
    let hash = attach(&he, cases[0], &bytes);
    send(&he);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    he.core().free_up(u64::MAX).unwrap();
                    he.library.free_attachments().unwrap();
                }
            });
        }
        // However this ends, those that free end too.
        let _ended = Ended(&done);
        for case in &cases[1..] {
            attach(&he, *case, &bytes);
            assert!(he.library.attachment_bytes(hash.clone()).unwrap().is_some_and(|b| b == bytes), "it is only here");
            // From here on it may be freed again.
            he.inside()
                .execute("UPDATE uploads SET server_ms = 1, journal = (SELECT journal FROM uploads LIMIT 1)", [])
                .unwrap();
        }
    });
}
