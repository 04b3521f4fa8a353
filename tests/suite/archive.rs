//! The journal's old entries in files of their own: no cursor, page or check notices; what is damaged is told; what was erased is struck.

use std::path::PathBuf;

use diesel::prelude::*;
use server::archive::{self, ArchiveError, Status};
use server::db::tables::{documents, journal, snapshots};
use sync_core::ids::DocumentId;
use sync_core::sync::wire;
use tests::phones::set;
use tests::{HOUR, MINUTE, World};

use crate::erasure::erase;

const DAY: i64 = 24 * HOUR;

fn status(world: &World) -> Status {
    archive::status(&mut world.app().db.get().unwrap()).unwrap()
}

/// Moves everything older than a day into a file.
fn make(world: &World, name: &str) -> (PathBuf, archive::Made) {
    let app = world.app();
    let path = world.dir.path().join(name);
    let made = archive::make(&app.db, &path, app.now_ms() - DAY, app.now_ms(), &app.entropy).unwrap();
    (path, made)
}

/// A case with some history, and a phone that has fallen asleep in the middle of it.
fn old(world: &World) -> (DocumentId, tests::TestPhone, tests::TestPhone) {
    let (he, asleep) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("工人聚集讨薪。");
    he.sync();
    world.pass(MINUTE);
    asleep.sync();
    for n in 1..20 {
        he.edit(case, &[set("people_involved", n)]);
        world.pass(MINUTE);
        he.sync();
    }
    world.pass(3 * DAY);
    (case, he, asleep)
}

#[test]
fn archive_moves_what_is_old_and_neither_an_old_cursor_nor_a_new_phone_notices() {
    let world = World::new();
    let (case, he, asleep) = old(&world);
    let (path, made) = make(&world, "2019.fqa");
    assert!(made.entries >= 20 && made.skipped == 0 && made.bytes > 2_000, "{made:?}");
    let now = status(&world);
    assert_eq!((now.archived, now.entries), (i64::try_from(made.entries).unwrap(), now.archived));
    assert_eq!(archive::verify(&path).unwrap().sha256, now.archives[0].sha256);

    asleep.sign_in_again(&world, "colleague");
    asleep.sync();
    assert_eq!(asleep.case(case).number("people_involved"), Some(19));
    let community = world.phone("community");
    community.sync();
    he.sign_in_again(&world, "he");
    he.edit(case, &[set("people_involved", 23)]);
    he.sync();
    assert_eq!(world.case(case).number("people_involved"), Some(23));
    assert_eq!(community.core().document(case).unwrap().heads(), asleep.core().document(case).unwrap().heads());
    let (code, history) = world.get(&format!("/v1/cases/{case}/history"), Some(&world.token("community")));
    assert!(code == 200 && history.as_array().is_some_and(|c| c.len() > 20), "{history}");
    world.check_rebuild();
    // What is new can be archived later, into another file; what is archived is not archived twice.
    assert_eq!(make(&world, "again.fqa").1.entries, 0);
}

#[test]
fn archive_a_change_that_is_sent_again_is_a_duplicate() {
    let world = World::new();
    let he = world.phone("he");
    he.report("工人聚集讨薪。");
    // The answer is lost: the phone does not know that all is there.
    let session = he.library.sync_session().unwrap();
    let request = session.next_request().unwrap().unwrap();
    let token = he.library.authorization_header().unwrap().replace("Bearer ", "");
    assert_eq!(world.post_bytes("/v1/sync", &token, wire::MEDIA_TYPE, &request).0, 200);
    drop(session);
    world.pass(3 * DAY);
    make(&world, "2019.fqa");
    let before = status(&world);
    assert!(before.entries > 0 && before.archived == before.entries);
    he.sign_in_again(&world, "he");
    assert!(he.library.sync(None, None).unwrap().sent > 0);
    assert_eq!(status(&world), before, "nothing stands there twice");
}

#[test]
fn archive_gives_back_what_a_damaged_document_lost() {
    let world = World::new();
    let (case, ..) = old(&world);
    let (path, made) = make(&world, "2019.fqa");
    let app = world.app();
    {
        let mut conn = app.db.get().unwrap();
        diesel::update(snapshots::table.find(case.to_string()))
            .set(snapshots::bytes.eq(vec![1, 2, 3]))
            .execute(&mut *conn)
            .unwrap();
        // What is open in memory would do without the snapshot.
        diesel::update(documents::table.find(case.to_string()))
            .set(documents::heads.eq(vec![0; 32]))
            .execute(&mut *conn)
            .unwrap();
    }
    let lost = server::journal::load(&mut app.db.get().unwrap(), case).unwrap_err().to_string();
    assert!(lost.contains("fengqiao journal return"), "{lost}");
    let back = archive::give_back(&app.db, &path, app.now_ms(), &app.entropy).unwrap();
    assert_eq!((back, status(&world).archived), (made.entries, 0));
    assert_eq!(world.case(case).number("people_involved"), Some(19));
}

#[test]
fn archive_of_an_erased_document_is_struck_from_the_file() {
    let world = World::new();
    let (case, he, _) = old(&world);
    he.sign_in_again(&world, "he");
    let kept = he.report("邻里噪音。");
    he.sync();
    world.pass(3 * DAY);
    let (path, made) = make(&world, "2019.fqa");
    erase(&world, "case", case, "");
    assert_eq!(status(&world).archives[0].to_strike, [case.to_string()]);
    let app = world.app();
    let struck = archive::strike(&app.db, &path, app.now_ms(), &app.entropy).unwrap();
    assert!(struck >= 20);
    assert_eq!(archive::verify(&path).unwrap().entries, made.entries - struck);
    assert!(status(&world).archives[0].to_strike.is_empty());
    let text = zstd::decode_all(std::fs::File::open(&path).unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains(&case.to_string()) && text.contains(&kept.to_string()));
    // And nothing of it comes back.
    archive::give_back(&app.db, &path, app.now_ms(), &app.entropy).unwrap();
    assert!(server::journal::load(&mut app.db.get().unwrap(), case).unwrap().is_none());
}

#[test]
fn archive_is_in_no_backup_because_the_backup_is_whole() {
    let world = World::new();
    let (case, ..) = old(&world);
    make(&world, "2019.fqa");
    let app = world.app();
    let file = world.dir.path().join("backup");
    server::backup::backup(&app.db, &file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let fresh = tests::TestDatabase::new(dir.path());
    let db = server::db::Database::open(&fresh.url).unwrap();
    db.migrate().unwrap();
    server::backup::restore(&db, &app.law, &file, app.now_ms(), &app.entropy).unwrap();
    let mut conn = db.get().unwrap();
    let lacking: i64 =
        journal::table.filter(journal::bytes.eq(Vec::<u8>::new())).count().get_result(&mut *conn).unwrap();
    assert_eq!(lacking, 0);
    assert!(server::journal::load(&mut conn, case).unwrap().is_some());
}

#[test]
fn archive_files_that_are_cut_or_altered_are_refused_and_change_nothing() {
    let world = World::new();
    old(&world);
    let (path, _) = make(&world, "2019.fqa");
    let app = world.app();
    let good = std::fs::read(&path).unwrap();
    let plain = zstd::decode_all(good.as_slice()).unwrap();
    let mut altered = plain.clone();
    let at = altered.iter().position(|b| *b == b'"').unwrap() + 400;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    let packed = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let bad = [
        good[..good.len() / 2].to_vec(),
        b"hello".to_vec(),
        Vec::new(),
        packed(&altered),
        packed(&plain[..plain.len() / 2]),
        packed(&[plain.as_slice(), b"more\n"].concat()),
        packed(br#"{"format":"another","version":1,"id":"x","made_ms":1,"before_ms":1}"#),
    ];
    let before = status(&world);
    for (n, bytes) in bad.iter().enumerate() {
        let file = world.dir.path().join(format!("bad-{n}"));
        std::fs::write(&file, bytes).unwrap();
        for refused in [
            archive::verify(&file).map(|_| 0),
            archive::give_back(&app.db, &file, app.now_ms(), &app.entropy),
            archive::strike(&app.db, &file, app.now_ms(), &app.entropy),
        ] {
            assert!(matches!(refused, Err(ArchiveError::Broken(_) | ArchiveError::File { .. })), "{n}: {refused:?}");
        }
    }
    assert_eq!(status(&world), before);
    let future = archive::make(&app.db, &path, app.now_ms() + DAY, app.now_ms(), &app.entropy);
    assert!(matches!(future, Err(ArchiveError::Future)));
}
