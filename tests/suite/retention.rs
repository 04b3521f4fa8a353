//! Retention: what is due is listed, applied and written down; a case file is only put forward.

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
