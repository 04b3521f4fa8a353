//! `keys rotate`, `retention`, `replication`, `journal archive` and `status`, `relay import`.

use serde_json::{Value, json};
use tests::World;

use super::{finds, json, lines, not_understood, run, turned_down, world_of_today};
use crate::relay::{exported, pending};

#[test]
fn command_line_a_new_key_leaves_good_what_the_old_one_signed_unless_somebody_has_it() {
    let world = world_of_today();
    let token = world.token("he");
    let whoami = |token: &str| world.get("/v1/cases", Some(token)).0;
    assert_eq!(whoami(&token), 200);
    for purpose in ["access", "time", "relay"] {
        let out = run(&world, &["keys", "rotate", "--purpose", purpose]);
        assert!(out.starts_with("key ") && out.ends_with(" is used from now on\n"), "{out}");
    }
    // A phone of before goes on: its tokens of time and its sealing key are known.
    let he = world.phone("he");
    he.report("换钥匙以后的案件。");
    run(&world, &["keys", "rotate", "--purpose", "time"]);
    he.sync();
    assert_eq!(pending(&he), 0);
    turned_down(&world, &[(&["keys", "rotate", "--purpose", "relay", "--at-once"], "never retired")]);
    not_understood(&world, &[(&["keys", "rotate", "--purpose", "door"], "door")]);
    run(&world, &["keys", "rotate", "--at-once"]);
    let mut world = world;
    world.stop();
    world.start();
    assert_eq!(world.get("/v1/cases", Some(&token)).0, 401, "what a stolen key has signed is not believed");
    assert_eq!(world.get("/v1/cases", Some(&world.token("he"))).0, 200);
}

#[test]
fn command_line_retention_says_what_is_due_and_does_it_only_when_told() {
    let world = world_of_today();
    let due = |rows: &Value, what: &str| {
        let rows = rows.as_array().unwrap();
        rows.iter().find(|r| r["what"] == what).unwrap_or_else(|| panic!("{what}: {rows:#?}"))["rows"].clone()
    };
    let report = json(&world, &["retention", "report"]);
    assert_eq!(due(&report, "sessions"), json!(0));
    let before = run(&world, &["retention", "apply", "--dry-run"]);
    assert_eq!(serde_json::from_str::<Value>(&before).unwrap()[0]["what"], report[0]["what"]);
    json(&world, &["retention", "apply"]);
    let file = |name: &str, text: &str| std::fs::write(world.dir.path().join(name), text).unwrap();
    file("hello.toml", "hello");
    file(
        "short.toml",
        "version = \"1\"\neffective_from = \"2026-01-01\"\n[[rule]]\nwhat = \"audit\"\nkeep_days = 1\nsource = \"s\"\nconfidence = \"D\"\n",
    );
    turned_down(
        &world,
        &[
            (&["retention", "report", "--rules", "none.toml"], "none.toml"),
            (&["retention", "report", "--rules", "hello.toml"], "hello.toml"),
            (&["retention", "apply", "--rules", "short.toml"], "short.toml"),
        ],
    );
    not_understood(&world, &[(&["retention", "report", "--dry-run"], "--dry-run")]);
}

#[test]
fn command_line_replication_shows_each_phone_and_what_it_has_not_sent() {
    let world = world_of_today();
    let (he, captain) = (world.phone("he"), world.phone("captain"));
    he.report("一宗案件。");
    he.sync();
    let rows = lines(&world, &["replication", "--json"]);
    let (last, phones) = rows.split_last().unwrap();
    assert_eq!(
        (phones.len(), last["states"]["never"].as_u64(), last["states"]["ok"].as_u64()),
        (2, Some(1), Some(1)),
        "{rows:#?}"
    );
    captain.sync();
    let narrowed = lines(&world, &["replication", "--json", "--area", "GM-BIYAN-01", "--state", "ok"]);
    assert!(narrowed.iter().any(|r| r["name"] == "he phone"), "{narrowed:#?}");
    assert!(run(&world, &["replication"]).contains("he phone"));
    turned_down(&world, &[(&["replication", "--area", "GM-NOWHERE"], "GM-NOWHERE")]);
    not_understood(&world, &[(&["replication", "--state", "lost"], "no such state")]);
}

#[test]
fn command_line_the_journal_is_archived_and_its_status_says_where_it_lies() {
    // In 2019, so that all of it is old.
    let world = World::new();
    let he = world.phone("he");
    he.report("一宗案件。");
    he.sync();
    let status = json(&world, &["journal", "status", "--json"]);
    assert_eq!(status["archived"], json!(0));
    let entries = status["entries"].as_i64().unwrap();
    let made = json(&world, &["journal", "archive", "--before", "2020-01-01", "--to", "old.fqa"]);
    assert_eq!(made["entries"].as_i64(), Some(entries), "{made}");
    let status = json(&world, &["journal", "status", "--json"]);
    assert_eq!((status["archived"].as_i64(), status["entries"].as_i64()), (Some(entries), Some(entries)), "{status}");
    assert!(run(&world, &["journal", "status"]).contains("old.fqa"));
    json(&world, &["journal", "verify", "old.fqa"]);
    let mut bytes = std::fs::read(world.dir.path().join("old.fqa")).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    std::fs::write(world.dir.path().join("altered.fqa"), bytes).unwrap();
    turned_down(
        &world,
        &[
            (&["journal", "archive", "--before", "2020-01-01", "--to", "old.fqa"], "old.fqa"),
            (&["journal", "verify", "altered.fqa"], "no sound archive"),
            (&["journal", "verify", "none.fqa"], "none.fqa"),
            (&["journal", "return", "none.fqa"], "none.fqa"),
        ],
    );
    not_understood(&world, &[(&["journal", "archive", "--before", "2026-02-30", "--to", "x"], "2026-02-30")]);
    world.check_rebuild();
}

#[test]
fn command_line_relay_files_are_handed_in_beside_the_running_server() {
    let world = world_of_today();
    let he = world.phone("he");
    he.sync();
    let case = he.report("没有网络时所写。");
    std::fs::write(world.dir.path().join("card.fqr"), exported(&he)).unwrap();
    let told = lines(&world, &["relay", "import", "card.fqr", "--receipts", "back.fqr"]);
    assert_eq!((told.len(), &told[0]["outcome"]), (1, &json!("taken")), "{told:#?}");
    assert_eq!(world.case(case).narrative, "没有网络时所写。");
    let receipts = std::fs::read(world.dir.path().join("back.fqr")).unwrap();
    assert_eq!(he.core().relay_import(&receipts).unwrap().acknowledged, 1);
    assert_eq!(pending(&he), 0);
    std::fs::write(world.dir.path().join("hello.fqr"), "hello").unwrap();
    turned_down(
        &world,
        &[
            (&["relay", "import", "none.fqr"], "none.fqr"),
            (&["relay", "import", "hello.fqr"], "hello.fqr"),
            (&["relay", "import", "card.fqr", "--receipts", "back.fqr"], "back.fqr"),
        ],
    );
    not_understood(&world, &[(&["relay", "import"], "FILES")]);
    assert_eq!(lines(&world, &["relay", "refused"]), Vec::<Value>::new());
    // A file of another server cannot be opened here: it is kept for a look at it, and the command ends with 1.
    let other = world_of_today();
    let stranger = other.phone("he");
    stranger.report("别的服务器的案件。");
    std::fs::write(world.dir.path().join("strange.fqr"), exported(&stranger)).unwrap();
    let told = finds(&world, &["relay", "import", "strange.fqr"], "1 of 1 parcels");
    assert!(told.contains("parcel_unknown_key"), "{told}");
    assert_eq!(lines(&world, &["relay", "refused"]).len(), 1);
    world.check_rebuild();
}
