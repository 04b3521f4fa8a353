//! What is refused before anything begins: settings that cannot be meant, a database out of reach, a file or a database that would be
//! written over.

use std::path::Path;
use std::process::{Command, Output};

use tests::{TestDatabase, World, program};

use super::{run, turned_down, world_of_today};

/// Runs the program in a folder of its own; gives how it ended and its words.
fn at(folder: &Path, set: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.current_dir(folder).envs(set.iter().copied()).args(arguments);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn command_line_settings_that_cannot_be_meant_are_named_with_what_they_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let most = i64::MAX.to_string();
    for (name, value, may_be) in [
        ("workers", "0", "1 to 1024"),
        ("request_seconds", "0", "1 to 86400"),
        ("access_minutes", "0", "1 to 10080"),
        ("access_minutes", "-1", "1 to 10080"),
        ("access_minutes", &most, "1 to 10080"),
        ("phone_closed_days", &most, "0 to 36500"),
        ("phone_closed_days", "36501", "0 to 36500"),
        ("history_days", &most, "0 to 36500"),
        ("log_format", "xml", "`text` or `json`"),
        ("log_filter", "foo===", "info,actix_server=warn"),
    ] {
        // Every command reads the settings alike; this one ends by itself, also where nothing is checked.
        let (code, out, err) = at(folder.path(), &[(&format!("FENGQIAO_{}", name.to_uppercase()), value)], &["config"]);
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 1), "{name}={value}: {out}{err}");
        assert!(err.contains(&format!("`{name}`")) && err.contains(may_be), "{name}={value}: {err}");
    }
    // In the file too, and before the server opens anything.
    std::fs::write(folder.path().join("fengqiao.toml"), format!("workers = 0\naccess_minutes = {most}\n")).unwrap();
    let (code, out, err) = at(folder.path(), &[], &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("`workers`") && err.contains("`access_minutes`"), "all of them are named: {err}");
    assert!(!folder.path().join("fengqiao.db").exists());
}

#[test]
fn command_line_who_cannot_reach_the_database_is_told_where_and_why_and_not_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let database = "postgres://hall:s3cret@127.0.0.1:1/fengqiao";
    let (code, out, err) = at(folder.path(), &[], &["--database", database, "user", "list"]);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{out}{err}");
    assert!(err.contains("the database cannot be reached: 127.0.0.1:1: "), "{err}");
    assert!(err.contains("refused") && !err.contains("multiconnection") && !err.contains("s3cret"), "{err}");
}

#[test]
fn command_line_a_backup_is_written_over_only_when_told_to() {
    let world = world_of_today();
    let file = world.dir.path().join("hall.backup");
    std::fs::write(&file, "of last year").unwrap();
    turned_down(&world, &[(&["backup", "hall.backup"], "--force")]);
    assert_eq!(std::fs::read(&file).unwrap(), b"of last year");
    let out = run(&world, &["backup", "--force", "hall.backup"]);
    assert!(out.contains("records in hall.backup"), "{out}");
    assert!(std::fs::metadata(&file).unwrap().len() > 1_000);
}

#[test]
fn command_line_the_demo_lets_its_people_into_no_database_that_holds_others() {
    let world = World::new();
    let before = run(&world, &["user", "list"]);
    let kept = ["demo", "--exit", "--json", "--keep-database"];
    turned_down(&world, &[(&kept, "--database")]);
    assert_eq!(run(&world, &["user", "list"]), before);

    // One account is enough, and so is one document whose writer has none.
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::new(folder.path());
    let on = |arguments: &[&str]| at(folder.path(), &[], &[&["--database", database.url.as_str()], arguments].concat());
    assert_eq!(on(&["migrate"]).0, Some(0));
    let made = at(
        folder.path(),
        &[("FENGQIAO_PASSWORD", "maple bridge")],
        &["--database", &database.url, "user", "add", "chen", "--name", "陈"],
    );
    assert_eq!(made.0, Some(0), "{made:?}");
    let (code, out, err) = on(&kept);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("--keep-database"), "{err}");
    assert_eq!(on(&["user", "list"]).1.lines().count(), 1);

    let folder = tempfile::tempdir().unwrap();
    let new = TestDatabase::new(folder.path());
    let (code, _, err) = at(folder.path(), &[], &[&["--database", new.url.as_str()], &kept[..]].concat());
    assert_eq!(code, Some(0), "a new one is used: {err}");
    let (code, ..) = at(folder.path(), &[], &[&["--database", new.url.as_str()], &kept[..]].concat());
    assert_eq!(code, Some(2), "and is not new a second time");
}

#[test]
fn command_line_logs_have_colours_only_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = at(folder.path(), &[], &["--database", "new.db", "user", "list"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("migrated") && !err.contains('\u{1b}'), "{err:?}");
}
