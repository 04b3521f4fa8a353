//! Import files: what is wrong is told with line, column and remedy, and then nothing of the file is taken.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use server::areas::{self, ImportError, Imported};
use server::clock::SystemEntropy;
use server::db::Database;

const GOOD: &str = "code,kind,name,parent\nBY,community,碧眼,FH\nFH,street,福城,LH\nLH,district,龙华,\n";

fn import(db: &Database, name: &str, bytes: &[u8]) -> Result<Imported, ImportError> {
    let plan = areas::parse(name, bytes)?;
    db.transaction(|conn| areas::import(conn, &plan, 0, &SystemEntropy))
}

fn database() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open(&folder.path().join("hall.db").display().to_string()).unwrap();
    db.migrate().unwrap();
    (folder, db)
}

fn codes(db: &Database) -> Vec<(String, String)> {
    areas::all(&mut db.get().unwrap()).unwrap().into_iter().map(|a| (a.code, a.name)).collect()
}

#[test]
fn areas_may_stand_in_any_order_and_a_second_import_takes_over_names() {
    let (_folder, db) = database();
    let first = import(&db, "areas.csv", GOOD.as_bytes()).unwrap();
    assert_eq!((first.areas_added, first.areas_known), (3, 0));
    let renamed = format!("\u{feff}{}", GOOD.replace("碧眼", "碧眼社区"));
    let second = import(&db, "AREAS.CSV", renamed.as_bytes()).unwrap();
    assert_eq!((second.areas_added, second.areas_known), (0, 3));
    assert!(codes(&db).contains(&("BY".into(), "碧眼社区".into())));
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_nothing_is_taken() {
    let (_folder, db) = database();
    let csv = |line: &str| format!("{GOOD}{line}\n").into_bytes();
    let toml = |text: &str| text.as_bytes().to_vec();
    let mut not_utf8 = GOOD.as_bytes().to_vec();
    not_utf8.extend_from_slice(b"XL,community,\xb1\xcc,FH\n");
    for (name, bytes, place, told) in [
        ("a.csv", csv("XL,comunity,x,FH"), (5, 4), "comunity"),
        ("a.csv", csv("X L,community,x,FH"), (5, 1), "X L"),
        ("a.csv", csv("XL,community,x,FX"), (5, 16), "`FX`"),
        ("a.csv", csv("G1,grid,x,FH"), (5, 11), "district, street, community"),
        ("a.csv", csv("FH,street,x,LH"), (5, 1), "line 3"),
        ("a.csv", csv("XL,community"), (5, 1), "2 columns"),
        ("a.csv", csv("A,street,x,B\nB,district,x,A"), (5, 12), "circle"),
        // Who waits for an area that waits itself is not the one to blame.
        ("a.csv", csv("G1,grid,x,XL\nXL,community,x,FX"), (6, 16), "`FX`"),
        ("a.csv", not_utf8, (5, 14), "UTF-8"),
        ("a.csv", b"kind,code\n".to_vec(), (1, 1), "header"),
        ("a.toml", toml("[[area]]\ncode = \"LH\"\nkind = 7\n"), (3, 8), "string"),
        ("a.toml", toml("[[area]]\ncode = \"LH\"\nkind = \"county\"\nname = \"x\""), (3, 8), "county"),
        ("a.toml", toml("[[area]\n"), (1, 8), ""),
        (
            "a.toml",
            toml(
                "[[user]]\nlogin = \"lin\"\nname = \"x\"\npassword = \"long enough\"\nroles = [{ role = \"boss\", area = \"LH\" }]",
            ),
            (5, 19),
            "boss",
        ),
        (
            "a.toml",
            toml(
                "[[user]]\nlogin = \"lin\"\nname = \"x\"\npassword = \"long enough\"\nroles = [{ role = \"mediator\", area = \"XX\" }]",
            ),
            (5, 38),
            "`XX`",
        ),
        ("a.toml", toml("[[user]]\nlogin = \"lin\"\nname = \"x\"\npassword = \"short\"\n"), (1, 1), "password"),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match import(&db, name, &bytes) {
            Err(error @ ImportError::File { line, column, .. }) => {
                assert_eq!((line, column), place, "{text}\n{error}");
                assert!(error.to_string().contains(told), "{text}\n{error}");
            }
            other => panic!("{text}\n{other:?}"),
        }
        assert_eq!(codes(&db), [], "{text}");
    }
}
