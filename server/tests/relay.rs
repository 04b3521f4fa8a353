//! `fengqiao relay`: files that phones exported, handed in by those who run the server.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

use fengqiao_mobile::{DraftInput, FieldMap, PhoneLibrary};
use serde_json::Value;
use server::clock::SystemClock;
use server::config::Config;
use server::run::serve;

const PEOPLE: &str = r#"
area = [
  { code = "LH", kind = "district", name = "龙华" },
  { code = "FH", kind = "street", name = "福城", parent = "LH" },
  { code = "BY", kind = "community", name = "碧眼", parent = "FH" },
  { code = "BY-G1", kind = "grid", name = "一网格", parent = "BY" },
]
user = [
  { login = "lin", name = "林", password = "maple bridge", roles = [{ role = "grid_worker", area = "BY-G1" }] },
]
"#;

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fengqiao"));
    let ran = command.current_dir(folder).env_clear().args(["--database", "hall.db"]).args(arguments).output().unwrap();
    (ran.status.code(), String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn relay_files_are_handed_in_from_the_command_line_and_give_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("people.toml"), PEOPLE).unwrap();
    assert_eq!(run(folder.path(), &["import", "people.toml"]).0, Some(0));
    let config = Config {
        listen: "127.0.0.1:0".into(),
        database: at("hall.db").to_string_lossy().into_owned(),
        ..Config::default()
    };
    let server = serve(config, std::sync::Arc::new(SystemClock)).unwrap();
    let phone = PhoneLibrary::open(at("phone").to_string_lossy().into_owned(), vec![7; 32], None).unwrap();
    phone.log_in(server.url(), "lin".into(), "maple bridge".into(), "phone".into(), None).unwrap();
    server.stop().unwrap();

    // From here on the phone has no network; it has not even synced once.
    for _ in 0..2 {
        let draft = DraftInput { community: "BY".into(), fields: FieldMap::new(), wording: None, edits: Vec::new() };
        phone.create_case(draft).unwrap();
    }
    std::fs::write(at("card.fqr"), phone.relay_export().unwrap().concat()).unwrap();
    let (code, out, err) = run(folder.path(), &["relay", "import", "card.fqr", "--receipts", "back.fqr"]);
    assert_eq!(code, Some(0), "{err}");
    let told: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((told["outcome"].as_str(), told["bundles"][0]["accepted"].as_u64()), (Some("taken"), Some(2)), "{out}");
    assert_eq!(phone.status().unwrap().unsent, 2);
    assert_eq!(phone.relay_import(std::fs::read(at("back.fqr")).unwrap()).unwrap().acknowledged, 2);
    assert_eq!(phone.status().unwrap().unsent, 0);

    // Once more changes nothing, and never overwrites the receipts.
    let (code, out, _) = run(folder.path(), &["relay", "import", "card.fqr"]);
    assert!(code == Some(0) && out.contains("\"duplicates\":2"), "{out}");
    assert_eq!(run(folder.path(), &["relay", "import", "card.fqr", "--receipts", "back.fqr"]).0, Some(2));
    // Scanned codes, each twice and in one file.
    let draft = DraftInput { community: "BY".into(), fields: FieldMap::new(), wording: None, edits: Vec::new() };
    phone.create_case(draft).unwrap();
    let codes = phone.relay_frames(phone.relay_export().unwrap().remove(0), 100).unwrap();
    std::fs::write(at("codes.txt"), [codes.clone(), codes].concat().join("\n")).unwrap();
    let (code, out, err) = run(folder.path(), &["relay", "import", "codes.txt"]);
    assert!(code == Some(0) && out.contains("\"accepted\":1"), "{out}{err}");
    // A file at fault hands in nothing, and says which it is.
    std::fs::write(at("bad.fqr"), b"hello").unwrap();
    let (code, out, err) = run(folder.path(), &["relay", "import", "card.fqr", "bad.fqr"]);
    assert!(code == Some(2) && out.is_empty() && err.contains("bad.fqr"), "{out}{err}");
    // One that cannot be opened is kept for a look at it.
    let mut card = std::fs::read(at("card.fqr")).unwrap();
    card[25] ^= 1;
    let end = card.len() - 32;
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&card[..end]);
    card[end..].copy_from_slice(&digest);
    std::fs::write(at("strange.fqr"), card).unwrap();
    let (code, out, _) = run(folder.path(), &["relay", "import", "strange.fqr"]);
    assert!(code == Some(1) && out.contains("parcel_unknown_key"), "{out}");
    let (code, out, _) = run(folder.path(), &["relay", "refused"]);
    assert!(code == Some(0) && out.contains("\"via\":\"file\""), "{out}");
}
