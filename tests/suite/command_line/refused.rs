//! `quarantine list`, `show`, `accept`, `dismiss`.

use serde_json::json;
use sync_core::event::EventKind;
use tests::{TestPhone, World};

use super::{json, lines, not_understood, run, turned_down, world_of_today};

/// Two notes of somebody whose grid had passed to another before he wrote them, refused.
fn refused(world: &World) -> (TestPhone, sync_core::ids::DocumentId, Vec<String>) {
    let he = world.phone("he");
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    run(world, &["user", "reassign", "grid_worker@GM-BIYAN-01", "--from", "he", "--to", "baihua"]);
    world.pass(3_600_000);
    // His phone has not heard of it, and its clock proves nothing.
    he.host.reboot();
    for text in ["第一句证言。", "第二句证言。"] {
        he.event(case, EventKind::Note, json!({ "text": text }));
    }
    let _ = he.library.sync(None, None);
    let rows = lines(world, &["quarantine", "list", "--as", "community", "--state", "waiting"]);
    assert_eq!(rows.len(), 2, "{rows:#?}");
    (he, case, rows.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn command_line_refused_changes_are_read_let_in_and_dismissed() {
    let world = world_of_today();
    let (_he, case, ids) = refused(&world);
    let found = lines(&world, &["quarantine", "list", "--as", "community", "--text", "第一句"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let first = found[0]["id"].as_str().unwrap();
    let shown = json(&world, &["quarantine", "show", first, "--as", "community"]);
    assert!(shown["preview"].as_str().unwrap().contains("第一句证言。"), "{shown}");
    // With the first comes what builds on it.
    let out = run(&world, &["quarantine", "accept", first, "--as", "community", "--reason", "属实"]);
    assert!(out.starts_with("accepted: ") && ids.iter().all(|id| out.contains(id.as_str())), "{out}");
    let state = world.case(case);
    let notes: Vec<_> = state.timeline.iter().filter_map(|e| e.text("text")).collect();
    assert_eq!(notes, ["第一句证言。", "第二句证言。"]);
    assert_eq!(
        lines(&world, &["quarantine", "list", "--as", "community", "--state", "waiting"]),
        Vec::<serde_json::Value>::new()
    );
    turned_down(&world, &[(&["quarantine", "dismiss", &ids[0], "--as", "community", "--reason", "不"], "decided")]);
    world.check_rebuild();
}

#[test]
fn command_line_a_decision_needs_a_reason_a_right_and_an_entry() {
    let world = world_of_today();
    let (_he, case, ids) = refused(&world);
    let before = world.case(case);
    turned_down(
        &world,
        &[
            (&["quarantine", "dismiss", &ids[0], "--as", "community"], "say why"),
            (&["quarantine", "accept", &ids[0], "--as", "nobody"], "nobody"),
            (&["quarantine", "accept", &ids[0], "--as", "baihua"], "no such entry"),
            (&["quarantine", "show", "nothing", "--as", "community"], "no such entry"),
            (&["quarantine", "list", "--as", "nobody"], "nobody"),
        ],
    );
    not_understood(
        &world,
        &[(&["quarantine", "list"], "--as"), (&["quarantine", "accept", "--as", "community"], "ID")],
    );
    let out = run(&world, &["quarantine", "dismiss", &ids[0], "--as", "community", "--reason", "与事实不符"]);
    assert!(out.starts_with("dismissed: ") && out.contains(ids[0].as_str()), "{out}");
    assert_eq!(world.case(case), before);
    let dismissed = lines(&world, &["quarantine", "list", "--as", "community", "--state", "dismissed"]);
    assert!(dismissed.iter().any(|r| r["reason"] == "与事实不符"), "{dismissed:#?}");
}
