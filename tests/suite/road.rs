//! The whole road: phones edit offline, the server merges, what stays unresolved reaches the hall.

use sync_core::case::{PendingReason, Status};
use sync_core::event::EventKind;
use sync_core::phone::DocumentStatus;
use sync_core::role::Level;
use tests::phones::{event, set, write};
use tests::{HOUR, MINUTE, World};

#[test]
fn a_case_reported_offline_reaches_the_other_phone_and_the_server() {
    let world = World::new();
    let he = world.phone("he");
    let director = world.phone("mediation-director");
    let case = he.report("水利组17-5栋有工人聚集。");
    assert_eq!(he.core().document_status(case).unwrap(), DocumentStatus::OnlyHere);
    he.sync();
    director.sync();
    assert_eq!(director.case(case).narrative, "水利组17-5栋有工人聚集。");
    he.sync();
    assert_eq!(he.case(case), director.case(case));
    assert_eq!(world.case(case), director.case(case));
    assert!(matches!(he.core().document_status(case).unwrap(), DocumentStatus::OnServerSince(_)));
    assert_eq!(he.core().status().unwrap().pending, 0);
    world.check_rebuild();
}

#[test]
fn two_phones_edit_the_same_case_offline_and_nothing_is_lost() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("工人聚集。双方争吵。");
    he.sync();
    colleague.sync();
    he.edit(case, &[set("people_involved", 20), set("category", "0701")]);
    he.edit(case, &[write("narrative", "工人聚集。双方激烈争吵。")]);
    colleague.edit(case, &[set("people_involved", 23), set("severity", "urgent")]);
    colleague.edit(case, &[write("narrative", "工人聚集。双方争吵并推搡。")]);
    for phone in [&he, &colleague, &he] {
        phone.sync();
    }
    let state = world.case(case);
    assert_eq!((he.case(case), colleague.case(case)), (state.clone(), state.clone()));
    assert_eq!((state.text("category"), state.text("severity")), (Some("0701"), Some("urgent")));
    let conflict = &state.conflicts[0];
    assert_eq!(conflict.path, "people_involved");
    let names: Vec<_> = conflict.values.iter().map(|v| state.people[&v.by.unwrap()].as_str()).collect();
    assert!(names.contains(&"小何") && names.contains(&"站内同事"), "{names:?}");
    assert_eq!(state.passages[0].versions.len(), 2);
    let flag = state.passages[0].flag.clone();
    let (status, reply) = world.desk(
        "community",
        case,
        serde_json::json!([
            {"edit": "set_field", "path": "people_involved", "value": 23},
            {"edit": "add_event", "kind": "passage_confirmed", "body": {"text": "narrative", "flag": flag}},
        ]),
    );
    assert_eq!(status, 200, "{reply}");
    let app = world.app();
    let mut here = he.core().document(case).unwrap();
    for entry in server::journal::of_document(&mut app.db.get().unwrap(), case).unwrap() {
        here.admit(&entry.bytes, sync_core::document::Trust::Server, |_, _| Ok(())).unwrap();
    }
    he.sync();
    let settled = he.case(case);
    assert_eq!((settled.conflicts.clone(), settled.passages.clone()), (vec![], vec![]));
    assert!(!settled.needs_review() && settled.number("people_involved") == Some(23));
    world.check_rebuild();
}

#[test]
fn an_unreceived_case_climbs_to_the_street_and_phones_see_it() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音纠纷。");
    he.sync();
    world.pass(119 * MINUTE);
    assert_eq!(world.scheduler().escalations, 0);
    world.pass(2 * MINUTE);
    assert_eq!(world.scheduler().escalations, 1);
    assert_eq!(world.scheduler(), server::escalation::Round::default(), "each obligation is acted on once");
    he.sync();
    assert_eq!(he.case(case).level, Level::Street);
    let street = world.token("street");
    let (status, queue) = world.get("/v1/halls/440311001/queue", Some(&street));
    assert_eq!((status, queue["cases"][0]["id"].as_str()), (200, Some(case.to_string().as_str())));
    assert_eq!(queue["overdue"], 1, "nobody has received it yet, though the rules have acted");
    let taken = serde_json::json!([{"edit": "add_event", "kind": "accepted", "body": {}}]);
    assert_eq!(world.desk("street", case, taken).0, 200);
    let (_, queue) = world.get("/v1/halls/440311001/queue", Some(&street));
    assert_eq!(queue["overdue"], 0);
    world.check_rebuild();
}

#[test]
fn anchored_evidence_that_arrives_late_withdraws_the_escalation() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let case = he.report("劳资纠纷。");
    he.sync();
    director.sync();
    director.event(case, EventKind::Accepted, serde_json::json!({}));
    director.sync();
    he.sync();
    // Offline in a basement, he mediates an hour later; the clock of his phone is wrong by a day, but its evidence is not.
    world.pass(HOUR);
    he.host.turn_clock(24 * HOUR);
    he.event(case, EventKind::MediationSession, serde_json::json!({"summary": "双方各退一步"}));
    world.pass(4 * HOUR);
    assert_eq!(world.scheduler().escalations, 1);
    assert_eq!(world.case(case).level, Level::Street);
    he.sync();
    let state = world.case(case);
    assert_eq!(
        (state.level, state.level_highest, state.status),
        (Level::Community, Level::Community, Status::Mediating)
    );
    let escalation = state.timeline.iter().find(|e| e.kind == EventKind::Escalation).unwrap();
    assert!(escalation.withdrawn.as_ref().is_some_and(|w| w.automatic));
    let (_, told) = world.get("/v1/notifications", Some(&world.token("street")));
    let withdrawn = told.as_array().unwrap().iter().find(|n| n["kind"] == "escalation").unwrap();
    assert!(withdrawn["withdrawn_received_ms"].is_i64(), "{withdrawn}");
    world.check_rebuild();
}

#[test]
fn evidence_that_is_only_claimed_is_put_before_a_person() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let case = he.report("劳资纠纷。");
    he.sync();
    director.sync();
    director.event(case, EventKind::Accepted, serde_json::json!({}));
    director.sync();
    he.sync();
    world.pass(HOUR);
    // A restart breaks the chain from the server's token to now.
    he.host.reboot();
    he.event(case, EventKind::MediationSession, serde_json::json!({}));
    world.pass(4 * HOUR);
    world.scheduler();
    he.sync();
    let state = world.case(case);
    assert_eq!(state.level, Level::Street);
    assert_eq!(state.evidence_pending[0].why, PendingReason::OnlyClaimed);
    let escalation = state.evidence_pending[0].escalation.to_string();
    let body = serde_json::json!([{"edit": "add_event", "kind": "escalation_withdrawn",
        "body": {"escalation": escalation, "reason": "笔录上有双方签名和时间"}}]);
    assert_eq!(world.desk("he", case, body.clone()).0, 403);
    assert_eq!(world.desk("street", case, body).0, 200);
    assert_eq!(world.case(case).level, Level::Community);
    world.check_rebuild();
}

#[test]
fn a_level_that_has_acted_is_not_overtaken_by_late_evidence() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let case = he.report("劳资纠纷。");
    he.sync();
    director.sync();
    director.event(case, EventKind::Accepted, serde_json::json!({}));
    director.sync();
    he.sync();
    world.pass(HOUR);
    he.event(case, EventKind::MediationSession, serde_json::json!({}));
    world.pass(4 * HOUR);
    world.scheduler();
    let taken = serde_json::json!([{"edit": "add_event", "kind": "supervision", "body": {"demand": "今日报结果"}}]);
    assert_eq!(world.desk("street", case, taken).0, 200);
    he.sync();
    let state = world.case(case);
    assert_eq!((state.level, state.evidence_pending[0].why), (Level::Street, PendingReason::LevelActed));
}

#[test]
fn a_case_that_arrives_overdue_is_raised_at_once_and_marked() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let case = he.report("邻里噪音纠纷。");
    world.pass(3 * HOUR);
    he.sync();
    assert_eq!(world.scheduler().escalations, 1);
    let state = world.case(case);
    let escalation = state.timeline.iter().find(|e| e.kind == EventKind::Escalation).unwrap();
    assert!(escalation.flag("arrived_late"));
    let (_, page) = world.get("/v1/cases?arrived_late=true", Some(&world.token("street")));
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_major_incident_is_told_to_every_level_at_once() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report_with(vec![
        write("narrative", "两名人员正在肢体冲突。"),
        set("violence", true),
        set("people_involved", 23),
    ]);
    he.sync();
    assert_eq!(world.scheduler().flash_reports, 1);
    let state = world.case(case);
    let flash = state.timeline.iter().find(|e| e.kind == EventKind::FlashReport).unwrap();
    assert_eq!(flash.body["notify"], serde_json::json!(["community", "street", "district"]));
    assert_eq!(state.level, Level::Community, "telling is not raising");
}

#[test]
fn a_case_closed_by_somebody_who_had_not_seen_new_facts_stays_in_review() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let case = he.report("劳资纠纷。");
    he.sync();
    director.sync();
    he.event(case, EventKind::FactAdded, serde_json::json!({"fact": "又来了三十人", "bears_on": "more_people"}));
    for (kind, body) in [
        (EventKind::Accepted, serde_json::json!({})),
        (EventKind::Resolved, serde_json::json!({"method": "peoples_mediation"})),
        (EventKind::Closed, serde_json::json!({})),
    ] {
        director.edit(case, &[event(kind, body)]);
    }
    director.sync();
    he.sync();
    let state = world.case(case);
    assert_eq!(state.status, Status::Closed);
    assert!(!state.closed_without_knowing.is_empty());
    let closures: Vec<_> = state.closed_without_knowing.iter().map(|c| c.closure.to_string()).collect();
    for closure in closures {
        let confirm = serde_json::json!([{"edit": "add_event", "kind": "closure_confirmed", "body": {"closure": closure, "reason": "已核实"}}]);
        assert_eq!(world.desk("community", case, confirm).0, 200);
    }
    assert!(world.case(case).closed_without_knowing.is_empty());
}

#[test]
fn an_idle_sync_is_one_request_that_does_not_grow_with_the_documents() {
    let world = World::new();
    let he = world.phone("he");
    let idle = |phone: &tests::TestPhone| {
        phone.sync();
        let report = phone.library.sync(None, None).unwrap();
        assert_eq!(report.requests, 1);
        report.bytes_sent + report.bytes_received
    };
    he.report("一。");
    let before = idle(&he);
    for n in 0..40 {
        he.report(&format!("第{n}宗。"));
    }
    let after = idle(&he);
    assert!(after < 1_024 && after.abs_diff(before) < 64, "{before} then {after} bytes");
}

#[test]
fn what_a_desk_writes_passes_the_firewall_of_every_phone() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    let (status, reply) = world.desk(
        "community",
        case,
        serde_json::json!([{"edit": "set_field", "path": "people_involved", "value": 23}, {"edit": "add_event", "kind": "accepted"}]),
    );
    assert_eq!(status, 200, "{reply}");
    let app = world.app();
    let entries = server::journal::of_document(&mut app.db.get().unwrap(), case).unwrap();
    let mut here = he.core().document(case).unwrap();
    for entry in entries {
        here.admit(&entry.bytes, sync_core::document::Trust::Server, |_, _| Ok(())).unwrap();
    }
    he.sync();
    assert_eq!(he.case(case), world.case(case));
}

#[test]
fn the_follow_up_of_a_key_case_is_reminded_after_it_was_closed() {
    let world = World::new();
    let director = world.phone("mediation-director");
    let case = director.report_with(vec![write("narrative", "肢体冲突。"), set("violence", true)]);
    for kind in [EventKind::Accepted, EventKind::Resolved, EventKind::Closed] {
        director.event(case, kind, serde_json::json!({}));
    }
    director.sync();
    world.scheduler();
    world.pass(8 * 24 * HOUR);
    assert_eq!(world.scheduler().reminders, 1);
    assert_eq!(world.scheduler(), server::escalation::Round::default());
    let state = world.case(case);
    let reminder = state.timeline.iter().find(|e| e.kind == EventKind::Reminder).unwrap();
    assert_eq!((reminder.text("rule"), reminder.moot), (Some("followup.key"), None));
    assert_eq!(state.status, Status::Closed);
}

#[test]
fn the_longest_text_travels_and_is_replaced_whole() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report(&"甲".repeat(20_000));
    he.edit(case, &[write("narrative", &"乙".repeat(20_000))]);
    he.sync();
    colleague.sync();
    assert_eq!(colleague.case(case).narrative, "乙".repeat(20_000));
    let too_long = he.core().edit(case, &[write("narrative", &"丙".repeat(20_001))]);
    assert!(too_long.is_err());
    let (status, reply) = world.desk(
        "community",
        case,
        serde_json::json!([{"edit": "set_text", "name": "narrative", "wording": "短".repeat(19_999)}]),
    );
    assert_eq!(status, 200, "{reply}");
    he.sync();
    assert_eq!(he.case(case), world.case(case));
    world.check_rebuild();
}

#[test]
fn a_captain_is_told_of_nobody_elses_cases() {
    let world = World::new();
    let (he, captain) = (world.phone("he"), world.phone("captain"));
    he.report("工人聚集。");
    let edits = vec![set("place.building", "GM-BIYAN-SL17-5"), write("narrative", "门口有人吵架。")];
    let draft = sync_core::edit::Draft { kind: sync_core::shape::DocumentKind::Case, community: tests::biyan(), edits };
    let own = captain.core().create(&draft).unwrap();
    he.sync();
    captain.sync();
    world.pass(3 * HOUR);
    world.scheduler();
    let token = world.token("captain");
    let (_, page) = world.get("/v1/cases", Some(&token));
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    let (_, file) = world.get(&format!("/v1/cases/{own}"), Some(&token));
    assert_eq!(file["possible_duplicates"], serde_json::json!([]));
    assert_eq!(world.get("/v1/notifications", Some(&token)).0, 403);
    let (_, file) = world.get(&format!("/v1/cases/{own}"), Some(&world.token("community")));
    assert_eq!(file["possible_duplicates"].as_array().unwrap().len(), 1, "a supervisor is told of both");
}
