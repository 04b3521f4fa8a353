//! Broken import files, by the library and by the program itself: line and column are named, and nothing of the file is taken.

use std::process::Command;

use server::areas::{self, ImportError};
use server::clock::SystemEntropy;
use tests::World;

const BROKEN: &[(&str, &str, (usize, usize), &str)] = &[
    ("a.csv", "code,kind,name,parent\nLH,district,龙华,\nXL,comunity,下里,LH\n", (3, 4), "comunity"),
    ("b.csv", "code,kind,name,parent\nLH,district,龙华,\nX L,street,下里,LH\n", (3, 1), "X L"),
    ("c.csv", "code,kind,name,parent\nFH,street,福城,XX\n", (2, 14), "`XX`"),
    ("d.csv", "code,name\nLH,龙华\n", (1, 1), "header"),
    ("e.toml", "[[area]]\ncode = \"LH\"\nkind = \"county\"\nname = \"龙华\"\n", (3, 8), "county"),
    ("f.toml", "[[area]]\ncode = \"LH\"\nkind = district\n", (3, 8), ""),
    ("g.toml", "[[area]]\ncode = \"LH\"\nkind = \"district\"\nname = \"龙华\"\ncolour = 1\n", (5, 1), "colour"),
    (
        "h.toml",
        "[[user]]\nlogin = \"lin\"\nname = \"林\"\npassword = \"maple bridge\"\nroles = [{ role = \"boss\", area = \"GM-BIYAN\" }]\n",
        (5, 19),
        "boss",
    ),
];

#[test]
fn a_broken_file_is_told_line_and_column_and_leaves_the_areas_alone() {
    let world = World::new();
    let app = world.app();
    let before = areas::all(&mut app.db.get().unwrap()).unwrap();
    for (name, text, place, told) in BROKEN {
        let imported = areas::parse(name, text.as_bytes())
            .and_then(|plan| app.db.transaction(|conn| areas::import(conn, &plan, 0, &SystemEntropy)));
        match imported {
            Err(error @ ImportError::File { line, column, .. }) => {
                assert_eq!((line, column), *place, "{name}: {error}");
                assert!(error.to_string().contains(told), "{name}: {error}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(areas::all(&mut app.db.get().unwrap()).unwrap(), before, "{name}");
    }
}

#[test]
fn the_program_names_file_line_and_column_and_ends_with_2() {
    let program = tests::program();
    let dir = tempfile::tempdir().unwrap();
    for (name, text, (line, column), told) in BROKEN {
        std::fs::write(dir.path().join(name), text).unwrap();
        let ran = Command::new(&program).current_dir(dir.path()).args(["import", name]).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(&format!("line {line}, column {column}")) && said.contains(told), "{name}: {said}");
    }
}
