//! The audit log: every read of personal data and every administrative act stands in it, and whoever touches it afterwards is found.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};
use server::audit::{self, Act, Checkpoint, Origin};
use server::clock::SystemEntropy;
use sync_core::time::Clock as _;
use tests::{HOUR, World};

fn rows(world: &World, query: &str) -> Vec<Value> {
    let (status, page) = world.get(&format!("/v1/audit?{query}"), Some(&world.token("district")));
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

#[test]
fn audit_holds_every_read_of_a_case_with_who_and_from_where() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("噪音纠纷。");
    he.sync();
    let token = world.token("receptionist");
    for path in ["", "/history"] {
        assert_eq!(world.get(&format!("/v1/cases/{case}{path}"), Some(&token)).0, 200);
    }
    assert_eq!(world.get("/v1/cases?q=%E5%99%AA%E9%9F%B3", Some(&token)).0, 200);
    assert_eq!(world.get(&format!("/v1/cases/{case}"), Some(&world.token("baihua"))).0, 404);
    let read = rows(&world, &format!("object={case}"));
    assert_eq!(read.iter().map(|r| r["action"].as_str().unwrap()).collect::<Vec<_>>(), ["case.history", "case.read"]);
    let me = world.get("/v1/me", Some(&token)).1["id"].clone();
    for row in &read {
        assert_eq!((&row["actor"], row["origin"].as_str()), (&me, Some("127.0.0.1")), "{row}");
        assert_eq!(row["community"], "GM-BIYAN");
    }
    let search = &rows(&world, "action=case.search")[0];
    assert!(!search.to_string().contains("噪音"), "a searched name is not kept in clear: {search}");
}

#[test]
fn audit_holds_what_each_sync_delivers_in_one_row() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let cases = [he.report("一。"), he.report("二。")];
    he.sync();
    colleague.sync();
    let device = colleague.core().identity().unwrap().unwrap().device;
    let got = rows(&world, &format!("action=sync.deliver&device={device}"));
    assert_eq!(got.len(), 1, "{got:?}");
    let detail: Value = serde_json::from_str(got[0]["detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail["count"], 2);
    for case in cases {
        assert!(detail["documents"].as_str().unwrap().contains(&case.0.simple().to_string()));
        assert_eq!(rows(&world, &format!("delivered={case}&device={device}")).len(), 1);
    }
    colleague.sync();
    assert_eq!(
        rows(&world, &format!("action=sync.deliver&device={device}")).len(),
        1,
        "nothing delivered, nothing written"
    );
}

#[test]
fn audit_is_read_by_the_district_only_and_reading_it_is_written_down() {
    let world = World::new();
    for login in ["he", "captain", "receptionist", "mediation-director", "community", "street"] {
        assert_eq!(world.get("/v1/audit", Some(&world.token(login))).0, 403, "{login}");
    }
    assert_eq!(world.get("/v1/audit", Some(&world.token("admin"))).0, 200);
    let read = |world: &World| rows(world, "action=audit.read").len();
    let before = read(&world);
    assert_eq!(read(&world), before + 1);
    for query in ["limit=0", "limit=501", "cursor=x", "colour=red", "from_ms=x", "delivered=x"] {
        assert_eq!(world.get(&format!("/v1/audit?{query}"), Some(&world.token("admin"))).0, 400, "{query}");
    }
    let mut seen = BTreeSet::new();
    let mut path = "/v1/audit?limit=1&to_ms=9999999999999".to_owned();
    loop {
        let (_, page) = world.get(&path, Some(&world.token("admin")));
        seen.extend(page["items"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/audit?limit=1&to_ms=9999999999999&cursor={next}");
    }
    assert!(seen.len() >= 3, "the reads that stood when the walk began: {seen:?}");
}

/// Ten sealed rows.
fn ten(world: &World) {
    let app = world.app();
    for n in 0..10 {
        app.db
            .transaction(|conn| {
                let act = Act::new(&Origin::operator(), "test.act", n).detail(json!({ "n": n }));
                act.record(conn, world.clock.now_ms() + n, &SystemEntropy)
            })
            .unwrap();
    }
    let report = audit::verify(&app.db, &[]).unwrap();
    assert_eq!((report.rows, report.head, report.bad), (10, 10, None));
}

fn tamper(world: &World, sql: &str) -> audit::Report {
    let app = world.app();
    app.db.get().unwrap().batch_execute(sql).unwrap();
    audit::verify(&app.db, &[]).unwrap()
}

#[test]
fn audit_verify_names_the_first_row_that_was_edited_deleted_reordered_or_cut_off() {
    for (sql, seq) in [
        ("UPDATE audit SET actor = 'somebody else' WHERE seq = 4", 4),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 9", 9),
        ("UPDATE audit SET detail = '{}' WHERE seq = 1", 1),
        ("UPDATE audit SET reason = 'another' WHERE seq >= 6", 6),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit", 1),
        (
            "UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 7; UPDATE audit SET seq = 7 WHERE seq = 99",
            3,
        ),
        (
            "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 100 WHERE seq > 3; UPDATE audit SET seq = seq + 99 WHERE seq < 0",
            3,
        ),
        ("DELETE FROM audit WHERE seq > 7", 8),
        ("UPDATE audit SET seq = NULL WHERE seq = 6", 6),
    ] {
        let world = World::new();
        ten(&world);
        let report = tamper(&world, sql);
        assert_eq!(report.bad.map(|b| b.seq), Some(seq), "{sql}");
    }
}

#[test]
fn audit_checkpoint_held_elsewhere_finds_a_cut_tail_and_a_chain_made_anew() {
    let world = World::new();
    ten(&world);
    let app = world.app();
    let held = audit::checkpoint(&app.db, world.clock.now_ms(), &SystemEntropy).unwrap();
    let held = serde_json::to_string(&held).unwrap();
    let read = |text: &str| Checkpoint::read(&mut app.db.get().unwrap(), text, world.clock.now_ms(), &SystemEntropy);
    let checkpoints = [read(&held).unwrap()];
    assert_eq!(audit::verify(&app.db, &checkpoints).unwrap().bad, None);
    // The tail is cut off and the head is made to fit: the chain alone cannot tell.
    let cut = "DELETE FROM audit WHERE seq > 7; \
               UPDATE audit_chain SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7) WHERE name = 'head'";
    assert_eq!(tamper(&world, cut).bad, None);
    assert_eq!(audit::verify(&app.db, &checkpoints).unwrap().bad.map(|b| b.seq), Some(8));
    // The same rows are sealed again, one of them altered: a whole chain, but another one.
    let anew = "UPDATE audit SET object = 'x' WHERE seq = 2; UPDATE audit SET seq = NULL, hash = NULL; \
                UPDATE audit_chain SET seq = 0, hash = (SELECT hash FROM audit_chain WHERE name = 'base') WHERE name = 'head'";
    assert_eq!(tamper(&world, anew).bad, None);
    for n in 0..5 {
        let act = Act::new(&Origin::operator(), "test.act", n);
        app.db.transaction(|conn| act.record(conn, world.clock.now_ms(), &SystemEntropy)).unwrap();
    }
    assert_eq!(audit::verify(&app.db, &[]).unwrap().bad, None);
    assert_eq!(audit::verify(&app.db, &checkpoints).unwrap().bad.map(|b| b.seq), Some(10));
    // A checkpoint is worth its signature.
    let other = held.replace("\"seq\":10", "\"seq\":9");
    assert_ne!(other, held);
    for forged in [other.as_str(), "{}", "", "[]", &held.replace("\"signature\":\"", "\"signature\":\"zz")] {
        assert!(read(forged).is_err(), "{forged}");
    }
}

#[test]
fn audit_rows_of_several_servers_are_sealed_once_each_and_without_gaps() {
    let world = World::new();
    let app = world.app();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (db, clock) = (app.db.clone(), world.clock.clone());
            scope.spawn(move || {
                for n in 0..10 {
                    let act = Act::new(&Origin::operator(), "test.act", n);
                    db.transaction(|conn| act.record(conn, clock.now_ms(), &SystemEntropy)).unwrap();
                    audit::seal(&db).unwrap();
                }
            });
        }
    });
    let report = audit::verify(&app.db, &[]).unwrap();
    assert_eq!((report.rows, report.head, report.unsealed, report.bad), (40, 40, 0, None));
}

#[test]
fn audit_of_an_act_that_fails_is_not_written_and_an_act_without_audit_does_not_happen() {
    let world = World::new();
    let app = world.app();
    let failed = app.db.transaction(|conn| -> Result<(), server::db::DbError> {
        Act::new(&Origin::operator(), "test.act", 1).record(conn, 1, &SystemEntropy)?;
        Err(server::db::DbError::Row("the act failed".into()))
    });
    assert!(failed.is_err());
    assert_eq!(audit::verify(&app.db, &[]).unwrap().rows, 0);
    let he = world.phone("he");
    let case = he.report("噪音。");
    he.sync();
    let (clerk, admin) = (world.token("receptionist"), world.token("admin"));
    let users = world.get("/v1/users?limit=500", Some(&admin)).1["items"].as_array().unwrap().len();
    app.db.get().unwrap().batch_execute("ALTER TABLE audit RENAME TO audit_gone").unwrap();
    assert_eq!(world.get(&format!("/v1/cases/{case}"), Some(&clerk)).0, 500);
    let body = json!({"login": "new", "name": "新", "password": "maple-bridge-new",
        "roles": [{"role": "mediator", "area": "GM-BIYAN"}]});
    assert_eq!(world.post("/v1/users", Some(&admin), &body).0, 500);
    assert_eq!(
        world.get("/v1/users?limit=500", Some(&admin)).0,
        500,
        "nor is a list shown that cannot be written down"
    );
    app.db.get().unwrap().batch_execute("ALTER TABLE audit_gone RENAME TO audit").unwrap();
    assert_eq!(world.get("/v1/users?limit=500", Some(&admin)).1["items"].as_array().unwrap().len(), users);
    assert_eq!(world.post("/v1/users", Some(&admin), &body).0, 201);
}

#[test]
fn audit_rows_whose_time_is_over_are_deleted_and_the_chain_still_verifies() {
    let world = World::new();
    ten(&world);
    world.pass(HOUR);
    ten_more(&world);
    let app = world.app();
    let now_ms = world.clock.now_ms();
    let before_ms = now_ms - HOUR / 2;
    let gone = app.db.transaction(|conn| audit::prune(conn, &Origin::operator(), before_ms, now_ms, &SystemEntropy));
    assert_eq!(gone.unwrap(), 10);
    let report = audit::verify(&app.db, &[]).unwrap();
    assert_eq!((report.base, report.head, report.bad), (10, 21, None));
    // Whoever deletes more, and says that the rule did, is found.
    let more = "DELETE FROM audit WHERE seq <= 12; \
                UPDATE audit_chain SET seq = 12, hash = (SELECT hash FROM audit_chain WHERE name = 'head') WHERE name = 'base'";
    assert!(tamper(&world, more).bad.is_some());
}

fn ten_more(world: &World) {
    let app = world.app();
    for n in 0..10 {
        let act = Act::new(&Origin::operator(), "test.act", n);
        app.db.transaction(|conn| act.record(conn, world.clock.now_ms(), &SystemEntropy)).unwrap();
    }
    audit::seal(&app.db).unwrap();
}

#[test]
fn audit_goes_with_a_backup_and_the_chain_goes_on_after_the_restore() {
    let world = World::new();
    ten(&world);
    let file = world.dir.path().join("hall.backup");
    server::backup::backup(&world.app().db, &file).unwrap();
    let other = tests::TestDatabase::new(world.dir.path());
    let db = server::db::Database::open(&other.url).unwrap();
    db.migrate().unwrap();
    let law = server::projection::Law::shipped();
    server::backup::restore(&db, &law, &file, world.clock.now_ms(), &SystemEntropy).unwrap();
    let report = audit::verify(&db, &[]).unwrap();
    assert_eq!((report.head, report.bad), (11, None), "ten rows of the backup, and the restore");
}
