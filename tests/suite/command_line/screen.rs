//! Names that act on a screen: none is taken in, and what a database holds already steers no terminal.

use diesel::prelude::*;
use serde_json::json;
use server::db::tables::{devices, restores, users};
use tests::World;

use super::{lines, run, turned_down, world_of_today};
use crate::hand::Hand;

const ACTING: &[&str] = &["a\u{1b}[2Jb", "a\u{202e}b", "a\nb", "a\u{9b}31mb", "a\u{2066}b", "a\u{2028}b"];

/// Whether nothing but ends of lines and tabs would act on the screen that it is printed to.
fn is_still(told: &str) -> bool {
    told.chars().all(|c| c == '\n' || c == '\t' || !server::plain::acts(c))
}

#[test]
fn command_line_names_that_act_on_a_screen_are_refused_where_they_come_in() {
    let world = world_of_today();
    let (he, admin) = (world.token("he"), world.token("admin"));
    let before = run(&world, &["user", "list"]);
    for name in ACTING {
        let (status, told) = world.post("/v1/devices", Some(&he), &json!({ "name": name, "public_key": public_key() }));
        let field = |told: &serde_json::Value| (told["type"].to_string(), told["field"].to_string());
        let invalid = ("\"urn:fengqiao:problem:field_invalid\"".to_owned(), "\"name\"".to_owned());
        assert_eq!((status, field(&told)), (400, invalid.clone()), "{name:?}: {told}");
        assert!(told["remedy"].is_string(), "{told}");
        let role = json!([{ "role": "grid_worker", "area": "GM-BIYAN-01" }]);
        let user = json!({ "login": "lin", "name": name, "password": "maple bridge", "roles": role });
        let (status, told) = world.post("/v1/users", Some(&admin), &user);
        assert_eq!((status, field(&told)), (400, invalid), "{name:?}: {told}");
        let quoted = serde_json::to_string(name).unwrap().replace('\u{9b}', "\\u009b");
        let person = format!("[[user]]\nlogin = \"lin\"\nname = {quoted}\npassword = \"maple bridge\"\n");
        std::fs::write(world.dir.path().join("people.toml"), person).unwrap();
        turned_down(&world, &[(&["import", "people.toml"], "name")]);
        let area = format!("[[area]]\ncode = \"XX\"\nkind = \"district\"\nname = {quoted}\n");
        std::fs::write(world.dir.path().join("areas.toml"), area).unwrap();
        turned_down(&world, &[(&["import", "areas.toml"], "name of `XX`")]);
    }
    assert_eq!(run(&world, &["user", "list"]), before);
}

fn public_key() -> String {
    use base64::Engine as _;
    let key = sync_core::sync::bundle::DeviceKey::from_seed([7; 32]);
    base64::engine::general_purpose::STANDARD.encode(key.public())
}

#[test]
fn command_line_the_version_that_a_phone_tells_is_cleaned_and_its_sync_goes_on() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let mut request = hand.request(vec![]);
    request.health.version = "1.0\u{1b}[2J\u{202e}\n2".into();
    hand.send(&request);
    let rows = lines(&world, &["replication", "--json"]);
    let phone = rows.iter().find(|r| r["device"] == hand.device.to_string()).unwrap_or_else(|| panic!("{rows:#?}"));
    assert_eq!(phone["version"], "1.0\u{fffd}[2J\u{fffd}\u{fffd}2");
}

#[test]
fn command_line_names_that_a_database_holds_already_steer_no_terminal() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let acting = "何\u{1b}[2J\u{202e}\r\n\t手机";
    let app = world.app();
    let mut conn = app.db.get().unwrap();
    diesel::update(devices::table)
        .set((devices::name.eq(acting), devices::version.eq(acting)))
        .execute(&mut *conn)
        .unwrap();
    diesel::update(users::table).set(users::name.eq(acting)).execute(&mut *conn).unwrap();
    let life = (
        restores::journal.eq(app.journal.to_string()),
        restores::former.eq(app.journal.to_string()),
        restores::backup_ms.eq(0),
        restores::restored_ms.eq(0),
        restores::documents.eq(0),
        restores::changes.eq(0),
    );
    diesel::insert_into(restores::table).values(life).execute(&mut *conn).unwrap();
    drop(conn);
    let shown = "何\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\u{fffd}手机";
    for table in [&["replication"][..], &["restore", "status"], &["user", "list"]] {
        let told = run(&world, table);
        assert!(is_still(&told) && told.contains(shown), "{table:?}: {told:?}");
    }
    // For programs the name stays what it is: written out, not replaced.
    let told = run(&world, &["replication", "--json"]);
    assert!(is_still(&told), "{told:?}");
    let row: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!((row["name"].as_str(), row["device"].as_str()), (Some(acting), Some(hand.device.to_string().as_str())));
}
