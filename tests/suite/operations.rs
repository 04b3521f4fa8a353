//! What operators do: several servers at once, backup, restore, rebuild, damaged caches.

use std::sync::Arc;

use diesel::prelude::*;
use server::app::App;
use server::config::Config;
use server::db::tables::{cases, documents};
use sync_core::event::EventKind;
use tests::phones::set;
use tests::{HOUR, TestDatabase, World};

fn escalations(world: &World, case: sync_core::ids::DocumentId) -> usize {
    world.case(case).timeline.iter().filter(|e| e.kind == EventKind::Escalation).count()
}

#[test]
fn however_many_servers_run_each_obligation_is_acted_on_once() {
    let world = World::new();
    let he = world.phone("he");
    let cases: Vec<_> = (0..12).map(|n| he.report(&format!("第{n}宗纠纷。"))).collect();
    he.sync();
    world.pass(3 * HOUR);
    let config = Config { database: world.database.url.clone(), ..Config::default() };
    let servers: Vec<_> =
        (0..3).map(|_| Arc::new(App::open(config.clone(), world.clock.clone(), false).unwrap())).collect();
    let rounds: Vec<_> = servers
        .into_iter()
        .map(|app| std::thread::spawn(move || server::escalation::run(&app).unwrap()))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|t| t.join().unwrap())
        .collect();
    assert_eq!(rounds.iter().map(|r| r.escalations).sum::<usize>(), cases.len());
    for case in cases {
        assert_eq!(escalations(&world, case), 1);
    }
    world.check_rebuild();
}

#[test]
fn phones_that_sync_at_the_same_time_get_positions_without_gaps() {
    let world = World::new();
    let phones: Vec<_> =
        ["he", "colleague", "station-head", "mediation-director"].iter().map(|l| world.phone(l)).collect();
    let case = phones[0].report("共同的案子。");
    phones[0].sync();
    for phone in &phones {
        phone.sync();
    }
    std::thread::scope(|scope| {
        for (n, phone) in phones.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..5 {
                    phone.edit(case, &[set("place.detail", format!("第{n}部第{round}次"))]);
                    phone.sync();
                }
            });
        }
    });
    for phone in &phones {
        phone.sync();
    }
    let state = world.case(case);
    for phone in &phones {
        assert_eq!(phone.case(case), state);
    }
    world.check_rebuild();
}

#[test]
fn a_backup_restores_into_an_empty_database_and_phones_go_on() {
    let mut world = World::new();
    let he = world.phone("he");
    let case = he.report("备份之前。");
    he.sync();
    let file = world.dir.path().join("hall.backup");
    server::backup::backup(&world.app().db, &file).unwrap();
    // Written, but never sent to the server that is about to be lost.
    let unsent = he.report("备份之后,还没有同步。");
    let before = world.app().journal;
    world.stop();
    world.database = TestDatabase::new(world.dir.path());
    let config = Config { database: world.database.url.clone(), ..Config::default() };
    let db = server::db::Database::open(&config.database).unwrap();
    db.migrate().unwrap();
    let law = server::projection::Law::shipped();
    let clock: &dyn sync_core::time::Clock = &*world.clock;
    server::backup::restore(&db, &law, &file, clock.now_ms(), &server::clock::SystemEntropy).unwrap();
    assert!(matches!(
        server::backup::restore(&db, &law, &file, clock.now_ms(), &server::clock::SystemEntropy),
        Err(server::backup::BackupError::NotEmpty)
    ));
    drop(db);
    world.start();
    assert_ne!(world.app().journal, before, "a restored journal has a new identity");
    he.library.log_in(world.url(), "he".into(), World::password("he"), "he phone".into(), None).unwrap();
    he.sync();
    assert_eq!(world.case(unsent).narrative, "备份之后,还没有同步。");
    assert_eq!(world.case(case), he.case(case));
    world.check_rebuild();
}

#[test]
fn what_a_restored_server_has_forgotten_is_supplied_by_the_phone_that_wrote_it() {
    let mut world = World::new();
    let he = world.phone("he");
    let file = world.dir.path().join("hall.backup");
    server::backup::backup(&world.app().db, &file).unwrap();
    let case = he.report("备份之后同步过的。");
    he.sync();
    world.stop();
    world.database = TestDatabase::new(world.dir.path());
    let db = server::db::Database::open(&world.database.url).unwrap();
    db.migrate().unwrap();
    let clock: &dyn sync_core::time::Clock = &*world.clock;
    let law = server::projection::Law::shipped();
    server::backup::restore(&db, &law, &file, clock.now_ms(), &server::clock::SystemEntropy).unwrap();
    drop(db);
    world.start();
    he.library.log_in(world.url(), "he".into(), World::password("he"), "he phone".into(), None).unwrap();
    he.sync();
    assert_eq!(world.case(case).narrative, "备份之后同步过的。");
    world.check_rebuild();
}

#[test]
fn a_cut_or_altered_backup_is_refused_whole() {
    let world = World::new();
    let he = world.phone("he");
    he.report("一宗。");
    he.sync();
    let file = world.dir.path().join("hall.backup");
    server::backup::backup(&world.app().db, &file).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let other = TestDatabase::new(world.dir.path());
    let db = server::db::Database::open(&other.url).unwrap();
    db.migrate().unwrap();
    let law = server::projection::Law::shipped();
    for n in [0, 5, 30, bytes.len() / 2, bytes.len() - 3] {
        let cut = world.dir.path().join("cut.backup");
        std::fs::write(&cut, &bytes[..n]).unwrap();
        let refused = server::backup::restore(&db, &law, &cut, 0, &server::clock::SystemEntropy);
        assert!(matches!(refused, Err(server::backup::BackupError::Broken(_))), "{n} bytes: {refused:?}");
    }
    // One bit is enough, wherever it stands.
    for at in [bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4, bytes.len() - 2] {
        let altered = world.dir.path().join("altered.backup");
        let mut other = bytes.clone();
        other[at] ^= 1;
        std::fs::write(&altered, other).unwrap();
        let refused = server::backup::restore(&db, &law, &altered, 0, &server::clock::SystemEntropy);
        assert!(matches!(refused, Err(server::backup::BackupError::Broken(_))), "byte {at}: {refused:?}");
    }
    server::backup::restore(&db, &law, &file, 0, &server::clock::SystemEntropy).unwrap();
}

#[test]
fn rebuild_finds_and_mends_tables_that_differ_from_the_journal() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("一宗。");
    he.sync();
    let app = world.app();
    let mut conn = app.db.get().unwrap();
    diesel::update(cases::table.find(case.to_string())).set(cases::status.eq("closed")).execute(&mut *conn).unwrap();
    diesel::update(documents::table.find(case.to_string()))
        .set(documents::heads.eq(vec![1u8; 32]))
        .execute(&mut *conn)
        .unwrap();
    drop(conn);
    let found = server::rebuild::rebuild(&app.db, &app.law, false).unwrap();
    assert_eq!(found.differing, [format!("documents {case}"), format!("projection {case}")]);
    // A damaged cache does not stop anybody: the next change heals it from the journal.
    he.edit(case, &[set("people_involved", 2)]);
    he.sync();
    assert_eq!(world.case(case).number("people_involved"), Some(2));
    server::rebuild::rebuild(&app.db, &app.law, true).unwrap();
    world.check_rebuild();
}
