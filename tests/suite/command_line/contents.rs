//! `attachments status`, `verify`, `gc`.

use fengqiao_mobile::TransferPolicy;
use serde_json::json;
use tests::World;
use tests::photos::photo;

use super::{finds, json, not_understood, world_of_today};

/// The file of the only content in the store.
fn only_content(world: &World) -> std::path::PathBuf {
    fn walk(at: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(at).into_iter().flatten().map(Result::unwrap) {
            if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path()) }
        }
    }
    let mut found = Vec::new();
    walk(&world.dir.path().join("objects").join("objects"), &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn command_line_contents_are_counted_checked_and_collected() {
    let world = world_of_today();
    let folder = world.dir.path().join("objects");
    std::fs::write(world.dir.path().join("fengqiao.toml"), format!("objects = {folder:?}\n")).unwrap();
    let he = world.phone("he");
    let case = he.report("有照片的案件。");
    he.library.attach_photo(case.to_string(), "现场.jpg".into(), photo(1, 24, 24)).unwrap();
    he.sync();
    let told = json(&world, &["attachments", "status"]);
    assert_eq!(
        (&told["referred_to"], &told["missing"], &told["contents"]),
        (&json!(1), &json!(1), &json!(0)),
        "{told}"
    );
    he.library.transfer_attachments(TransferPolicy::default(), None, None).unwrap();
    let told = json(&world, &["attachments", "status"]);
    assert_eq!(
        (&told["referred_to"], &told["missing"], &told["contents"]),
        (&json!(1), &json!(0), &json!(1)),
        "{told}"
    );
    assert!(told["bytes"].as_u64().unwrap() > 100 && told["store"] == folder.display().to_string(), "{told}");
    let told = json(&world, &["attachments", "verify", "--deep"]);
    assert_eq!((&told["whole"], &told["lost"]), (&json!(1), &json!([])), "{told}");
    let told = json(&world, &["attachments", "gc", "--dry-run"]);
    assert_eq!((&told["contents"], &told["candidates"]), (&json!(0), &json!(0)), "a record names it: {told}");
    assert_eq!(json(&world, &["attachments", "gc"])["contents"], json!(0));

    // Altered: only who reads it can tell. Gone: everybody.
    let file = only_content(&world);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[50] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(json(&world, &["attachments", "verify"])["lost"], json!([]));
    finds(&world, &["attachments", "verify", "--deep"], "lost");
    std::fs::remove_file(&file).unwrap();
    let told = finds(&world, &["attachments", "verify"], "--repair");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["lost"].as_array().unwrap().len(), 1, "{told}");
    let told = json(&world, &["attachments", "verify", "--repair"]);
    assert_eq!(told["lost"].as_array().unwrap().len(), 1, "{told}");
    let told = json(&world, &["attachments", "status"]);
    assert_eq!((&told["missing"], &told["contents"]), (&json!(1), &json!(0)), "asked for again: {told}");
    not_understood(&world, &[(&["attachments", "fly"], "fly"), (&["attachments", "gc", "--deep"], "--deep")]);
}
