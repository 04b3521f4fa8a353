//! `audit list`, `verify`, `checkpoint`.

use diesel::prelude::*;
use server::db::tables::audit;

use super::{finds, json, lines, not_understood, run, turned_down, world_of_today};

#[test]
fn command_line_an_altered_row_and_a_shortened_log_are_found() {
    let world = world_of_today();
    let he = world.phone("he");
    he.report("一宗案件。");
    he.sync();
    run(&world, &["user", "assign", "baihua", "grid_worker@GM-BIYAN-01"]);
    let rows = lines(&world, &["audit", "list", "--json"]);
    let assigned = rows.iter().find(|r| r["action"] == "user.assign").unwrap_or_else(|| panic!("{rows:#?}"));
    assert!(assigned["origin"].as_str().unwrap().starts_with("cli:"), "{assigned}");
    let told = json(&world, &["audit", "verify"]);
    assert!(told["bad"].is_null() && told["rows"].as_i64().unwrap() > 2, "{told}");
    let checkpoint = run(&world, &["audit", "checkpoint"]);
    std::fs::write(world.dir.path().join("paper"), &checkpoint).unwrap();
    assert!(json(&world, &["audit", "verify", "--checkpoint", "paper"])["bad"].is_null());

    // Somebody with the database in his hands changes one word, and changes it back.
    let app = world.app();
    let seq = assigned["seq"].as_i64().unwrap();
    let say = |reason: &str| {
        let row = audit::table.filter(audit::seq.eq(seq));
        diesel::update(row).set(audit::reason.eq(reason)).execute(&mut *app.db.get().unwrap()).unwrap();
    };
    say("改过的");
    let told = finds(&world, &["audit", "verify"], &format!("row {seq}"));
    assert!(told.contains(&format!("\"seq\": {seq}")), "{told}");
    say("");
    assert!(json(&world, &["audit", "verify"])["bad"].is_null());

    // A log that was cut off is whole in itself; only what lies elsewhere tells.
    let last = serde_json::from_str::<serde_json::Value>(&checkpoint).unwrap()["seq"].as_i64().unwrap();
    diesel::delete(audit::table.filter(audit::seq.ge(last))).execute(&mut *app.db.get().unwrap()).unwrap();
    let told = world.run(&["audit", "verify", "--checkpoint", "paper"]);
    assert!(told.0 == Some(1) && told.2.contains("the audit log is broken"), "{told:?}");
}

#[test]
fn command_line_what_is_no_checkpoint_and_no_filter_is_turned_down() {
    let world = world_of_today();
    let other = world_of_today();
    std::fs::write(world.dir.path().join("hello"), "hello").unwrap();
    std::fs::write(world.dir.path().join("anothers"), run(&other, &["audit", "checkpoint"])).unwrap();
    turned_down(
        &world,
        &[
            (&["audit", "verify", "--checkpoint", "none"], "none"),
            (&["audit", "verify", "--checkpoint", "hello"], "hello"),
            (&["audit", "verify", "--checkpoint", "anothers"], "another server"),
            (&["audit", "list", "--limit", "0"], "--limit"),
        ],
    );
    not_understood(&world, &[(&["audit", "list", "--limit", "many"], "many"), (&["audit", "forget"], "forget")]);
}
