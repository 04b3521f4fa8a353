//! Retention: what is due is listed, applied and written down; a case file is only put forward.

use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use serde_json::json;
use server::audit::{self, Origin};
use server::retention::{self, Rules, What};
use sync_core::event::EventKind;
use tests::{HOUR, World};

const DAY: i64 = 24 * HOUR;

#[test]
fn retention_lists_what_is_due_and_puts_closed_cases_forward_for_erasure() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let (closed, open) = (he.report("已办结。"), he.report("还没完。"));
    he.sync();
    director.sync();
    director.event(closed, EventKind::Accepted, json!({}));
    director.event(closed, EventKind::Resolved, json!({"method": "peoples_mediation"}));
    director.event(closed, EventKind::Closed, json!({}));
    director.sync();
    let app = world.app();
    audit::seal(&app.db).unwrap();
    let rules = Rules::parse(schema::RETENTION).unwrap();
    let due = |what: What| {
        let all = retention::report(&mut app.db.get().unwrap(), &rules, app.now_ms()).unwrap();
        all.into_iter().find(|d| d.rule.what == what).unwrap()
    };
    for what in [What::Audit, What::Sessions, What::Quarantine, What::ClosedCases] {
        assert_eq!(due(what).rows, 0, "{what:?}");
    }
    world.pass(3_651 * DAY);
    assert_eq!(due(What::ClosedCases).cases, [closed.to_string()], "and not {open}");
    assert!(due(What::Audit).rows > 0 && due(What::Sessions).rows > 0);
    let apply = || {
        app.db
            .transaction(|conn| retention::apply(conn, &app.context(), &Origin::operator(), &rules))
            .map_err(|e: server::erasure::ErasureError| e.to_string())
            .unwrap()
    };
    apply();
    assert_eq!((due(What::ClosedCases).rows, due(What::Sessions).rows), (0, 0));
    assert_eq!(world.case(closed).narrative, "已办结。", "nothing is erased until somebody decides");
    let (_, asked) = world.get("/v1/erasures", Some(&world.token("street")));
    assert_eq!(asked["items"][0]["document"], closed.to_string());
    let report = audit::verify(&app.db, &[]).unwrap();
    assert!(report.bad.is_none() && report.base > 0, "{report:?}");
    assert_eq!(apply().iter().find(|d| d.rule.what == What::ClosedCases).unwrap().rows, 0, "and is asked once");
    world.check_rebuild();
}

#[test]
fn retention_lets_go_of_refused_parcels_of_alerts_that_are_over_and_of_orders_that_were_carried_out() {
    let world = World::new();
    let app = world.app();
    let rows = |table: &str| -> i64 {
        let sql = format!("SELECT COUNT(*) AS n FROM {table}");
        diesel::sql_query(sql).get_result::<Count>(&mut *app.db.get().unwrap()).unwrap().n
    };
    let now_ms = world.clock_ms();
    let sql = format!(
        "INSERT INTO replication_alerts (id, device, kind, raised_ms, closed_ms) VALUES \
         ('a', 'd', 'silent', {now_ms}, {now_ms}), ('b', 'd', 'clock', {now_ms}, NULL); \
         INSERT INTO device_orders (device, kind, target, id, ordered_ms, ordered_by, confirmed_ms) VALUES \
         ('d', 'community', 'GM-BIYAN', 'e', {now_ms}, NULL, {now_ms}), ('d', 'wipe', '', 'f', {now_ms}, NULL, NULL);"
    );
    app.db.get().unwrap().batch_execute(&sql).unwrap();
    let clerk = world.token("receptionist");
    let parcel = {
        let he = world.phone("he");
        he.sync();
        he.report("一。");
        let mut bytes = he.core().relay_export().unwrap()[0].bytes().to_vec();
        bytes[60] ^= 1;
        let end = bytes.len() - 32;
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes[..end]);
        bytes[end..].copy_from_slice(&digest);
        bytes
    };
    let (status, reply) = world.post_bytes("/v1/relay", &clerk, sync_core::relay::parcel::MEDIA_TYPE, &parcel);
    assert_eq!((status, reply["items"][0]["outcome"].as_str()), (200, Some("refused")), "{reply}");
    let tables = ["refused_parcels", "replication_alerts", "device_orders"];
    assert_eq!(tables.map(rows), [1, 2, 2]);
    let apply = || {
        let rules = &app.retention;
        app.db
            .transaction(|conn| retention::apply(conn, &app.context(), &Origin::operator(), rules))
            .map_err(|e: server::erasure::ErasureError| e.to_string())
            .unwrap();
    };
    world.pass(364 * DAY);
    apply();
    assert_eq!(tables.map(rows), [1, 2, 2], "not before its time");
    world.pass(2 * DAY);
    apply();
    assert_eq!(tables.map(rows), [0, 1, 2], "an alert that stands is never due");
    world.pass(731 * DAY);
    apply();
    assert_eq!(tables.map(rows), [0, 1, 1], "nor an order that waits for its phone");
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

/// The rows of the audit log that tell of ended sessions that were deleted.
fn applied(world: &World) -> usize {
    let rows = world.get("/v1/audit?action=retention.apply", Some(&world.token("admin"))).1;
    let rows = rows["items"].as_array().unwrap().clone();
    rows.iter().filter(|r| r["detail"].as_str().unwrap().contains("\"sessions\"")).count()
}

#[test]
fn retention_is_applied_by_itself_once_a_day_however_many_servers_run() {
    let mut world = World::new();
    world.token("he");
    world.pass(400 * DAY);
    world.stop();
    world.start_with(|config| config.retention_watch_seconds = 1);
    let other = server::config::Config {
        listen: "127.0.0.1:0".into(),
        database: world.database.url.clone(),
        retention_watch_seconds: 1,
        ..server::config::Config::default()
    };
    let other = server::run::serve(other, world.clock.clone()).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while applied(&world) == 0 {
        assert!(std::time::Instant::now() < until, "nobody applied the rules");
        std::thread::yield_now();
    }
    let apps = [world.app(), other.app.clone()];
    assert!(apps.iter().all(|app| retention::round(app).unwrap().is_none()), "this day is done");
    assert_eq!(applied(&world), 1);
    let row = &world.get("/v1/audit?action=retention.apply", Some(&world.token("admin"))).1["items"][0];
    assert_eq!(row["origin"], "server");
    other.stop().unwrap();
}

#[test]
fn retention_of_one_day_is_applied_by_one_of_two_servers_that_try_at_the_same_moment() {
    let world = World::new();
    let other = server::config::Config {
        listen: "127.0.0.1:0".into(),
        database: world.database.url.clone(),
        retention_watch_seconds: 0,
        ..server::config::Config::default()
    };
    let other = server::run::serve(other, world.clock.clone()).unwrap();
    let apps = [world.app(), other.app.clone()];
    for day in 0..5 {
        world.pass(DAY);
        let done: Vec<bool> = std::thread::scope(|scope| {
            let rounds = apps.each_ref().map(|app| scope.spawn(|| retention::round(app).unwrap().is_some()));
            rounds.map(|r| r.join().unwrap()).into()
        });
        assert_eq!(done.iter().filter(|d| **d).count(), 1, "day {day}");
    }
    other.stop().unwrap();
}

#[test]
fn retention_rules_that_cannot_be_meant_are_refused() {
    let rule = |what: &str, days: i64| {
        format!("[[rule]]\nwhat = \"{what}\"\nkeep_days = {days}\nsource = \"s\"\nconfidence = \"default\"\n")
    };
    let file = |rules: &str| format!("version = \"1\"\neffective_from = \"2026-01-01\"\n{rules}");
    assert!(Rules::parse(&file(&rule("quarantine", 30))).is_ok());
    for wrong in [
        file(&rule("quarantine", 0)),
        file(&rule("audit", 30)),
        file(&rule("sessions", 179)),
        file(&rule("closed_cases", 40_000)),
        file(&rule("everything", 30)),
        file(&(rule("quarantine", 30) + &rule("quarantine", 60))),
        rule("quarantine", 30),
        "nonsense".to_owned(),
    ] {
        assert!(Rules::parse(&wrong).is_err(), "{wrong}");
    }
}
