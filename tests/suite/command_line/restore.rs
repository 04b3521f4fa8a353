//! `backup`, `restore FILE`, `restore status`, `restore know`.

use serde_json::json;
use sync_core::event::EventKind;
use tests::TestDatabase;

use super::{json, run, turned_down, world_of_today};

#[test]
fn command_line_a_backup_is_restored_and_the_status_tells_what_came_back() {
    let mut world = world_of_today();
    let he = world.phone("he");
    let case = he.report("备份以前的案件。");
    he.sync();
    let out = run(&world, &["restore", "status"]);
    assert!(out.contains("never restored"), "{out}");
    let out = run(&world, &["backup", "hall.backup"]);
    assert!(out.contains("records in hall.backup") && out.contains("attachments"), "{out}");
    he.event(case, EventKind::Note, json!({"text": "备份以后所写。"}));
    he.sync();
    let before = world.case(case);

    world.stop();
    world.database = TestDatabase::new(world.dir.path());
    let out = run(&world, &["restore", "hall.backup"]);
    assert!(out.contains("records restored") && out.contains("restore status"), "{out}");
    world.start();
    let told = json(&world, &["restore", "status", "--json"]);
    assert_eq!((&told["resupplied_changes"], &told["phones"][0]["state"]), (&json!(0), &json!("not_seen")), "{told}");
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(world.case(case), before);
    let told = json(&world, &["restore", "status", "--json"]);
    assert!(told["resupplied_changes"].as_i64().unwrap() > 0, "{told}");
    let out = run(&world, &["restore", "status"]);
    assert!(out.contains("brought back: ") && out.contains("he phone") && out.contains("done "), "{out}");
    world.check_rebuild();

    let life = uuid::Uuid::from_u128(7).to_string();
    assert!(run(&world, &["restore", "know", &life]).starts_with("known from now on"));
    assert_eq!(run(&world, &["restore", "know", &life]), "it was known\n");
    turned_down(
        &world,
        &[
            (&["restore", "know", "seven"], "seven"),
            (&["restore", "hall.backup"], "not empty"),
            (&["restore", "none"], "none"),
        ],
    );
}

#[test]
fn command_line_a_backup_that_is_cut_altered_or_none_restores_nothing() {
    let mut world = world_of_today();
    let he = world.phone("he");
    he.report("备份以前的案件。");
    he.sync();
    run(&world, &["backup", "hall.backup"]);
    let whole = std::fs::read(world.dir.path().join("hall.backup")).unwrap();
    let cut = whole[..whole.len() / 2].to_vec();
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    world.stop();
    world.database = TestDatabase::new(world.dir.path());
    for (name, bytes) in [("cut", cut), ("altered", altered), ("hello", b"hello".to_vec()), ("empty", Vec::new())] {
        std::fs::write(world.dir.path().join(name), bytes).unwrap();
        turned_down(&world, &[(&["restore", name], "not a whole backup")]);
    }
    // The database is as empty as it was.
    assert!(run(&world, &["restore", "hall.backup"]).contains("records restored"));
}
