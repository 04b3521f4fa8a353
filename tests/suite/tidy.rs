//! The house kept in order by machine: module words, dependency rules, file lengths, links of the book, words that have no place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sync_core::error::RefusalCode;

/// Files of more than [`LINES_MAX`] lines, with the most they may have. It only ever gets shorter: split before you add.
const LONG: &[(&str, usize)] = &[("sync-core/src/fold/case.rs", 479)];
const LINES_MAX: usize = 450;

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files that git knows or would take up, by path from the root.
fn files() -> Vec<String> {
    let list =
        Command::new("git").current_dir(root()).args(["ls-files", "-co", "--exclude-standard"]).output().unwrap();
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    let all = String::from_utf8(list.stdout).unwrap();
    all.lines().filter(|f| root().join(f).is_file()).map(str::to_owned).collect()
}

fn sources() -> Vec<(String, String)> {
    let sources = files().into_iter().filter(|f| f.ends_with(".rs"));
    let read: Vec<_> = sources.map(|f| (f.clone(), std::fs::read_to_string(root().join(&f)).unwrap())).collect();
    assert!(read.len() > 100, "only {} sources were found", read.len());
    read
}

#[test]
fn every_source_begins_by_saying_what_it_is() {
    let silent: Vec<_> = sources().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(f, _)| f).collect();
    assert!(silent.is_empty(), "begin these with `//!`, one subject and its invariant: {silent:?}");
}

#[test]
fn no_source_grows_beyond_its_length() {
    let mut met = BTreeSet::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        let known = LONG.iter().find(|(f, _)| *f == file);
        let max = known.map_or(LINES_MAX, |(_, max)| *max);
        assert!(lines <= max, "{file} has {lines} lines; the limit is {max}: split it");
        if known.is_some() && lines > LINES_MAX {
            met.insert(file);
        }
    }
    let gone: Vec<_> = LONG.iter().filter(|(f, _)| !met.contains(*f)).collect();
    assert!(gone.is_empty(), "no longer too long: take them off the list: {gone:?}");
}

/// The codes in backticks of a part of the error catalogue: of that column, counted from the left edge.
fn catalogued(part: &str, column: usize) -> BTreeSet<String> {
    let catalogue = std::fs::read_to_string(root().join("docs/src/errors.md")).unwrap();
    let part = catalogue.split(&format!("## {part}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = part.lines().filter(|l| l.starts_with("| ")).filter_map(|l| l.split('|').nth(column));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The codes with which a source makes problems, those that it names on the spot.
fn codes_made(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap();
    let mut made = BTreeSet::new();
    for maker in ["new", "invalid", "unauthorised", "conflict", "unavailable"] {
        for whose in ["Problem", "Self"] {
            for call in text.split(&format!("{whose}::{maker}(")).skip(1) {
                // Before the code of any problem stands its status.
                let code = if maker == "new" { call.split_once(',').map_or("", |(_, rest)| rest) } else { call };
                let code = code.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                made.extend(code.filter(|(_, rest)| rest.starts_with([',', ')'])).map(|(code, _)| code.to_owned()));
            }
        }
    }
    made
}

#[test]
fn every_code_that_is_told_stands_in_the_error_catalogue_and_no_other() {
    let told = catalogued("Problems of the HTTP API", 2);
    let sources = sources();
    let of_server = sources.iter().filter(|(f, text)| f.starts_with("server/src/") && text.contains("Problem"));
    let made: BTreeSet<String> = of_server.flat_map(|(_, text)| codes_made(text)).collect();
    assert!(made.len() > 50, "only {} codes were found", made.len());
    let missing: Vec<_> = made.difference(&told).collect();
    assert!(missing.is_empty(), "write these into docs/src/errors.md: {missing:?}");
    let ours = |(f, _): &&(String, String)| f.starts_with("server/src/") || f.starts_with("sync-core/src/");
    let gone = told.iter().filter(|code| {
        let literal = format!("\"{code}\"");
        !sources.iter().filter(ours).any(|(_, text)| text.contains(&literal))
    });
    assert_eq!(gone.collect::<Vec<_>>(), Vec::<&String>::new(), "nothing tells these any more");
    let refusals = catalogued("Refusals (`RefusalCode`)", 1);
    let all: BTreeSet<String> = RefusalCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(refusals, all);
}

/// The names of the packages that a package needs to run, by normal dependencies and all features.
fn needs(metadata: &Value, package: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let name = |id: &Value| packages.iter().find(|p| p["id"] == *id).unwrap()["name"].as_str().unwrap().to_owned();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut open: Vec<&Value> = nodes.iter().filter(|n| name(&n["id"]) == package).collect();
    let mut seen = BTreeSet::new();
    while let Some(node) = open.pop() {
        if !seen.insert(node["id"].as_str().unwrap().to_owned()) {
            continue;
        }
        for dependency in node["deps"].as_array().unwrap() {
            let normal = dependency["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null());
            if normal {
                open.extend(nodes.iter().filter(|n| n["id"] == dependency["pkg"]));
            }
        }
    }
    seen.iter().map(|id| name(&Value::String(id.clone()))).collect()
}

#[test]
fn the_core_knows_no_server_no_runtime_and_no_network() {
    let ran = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let metadata: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let core = needs(&metadata, "sync-core");
    assert!(core.contains("automerge") && core.contains("rusqlite"), "{core:?}");
    for banned in ["diesel", "actix-web", "actix-rt", "tokio", "ureq", "reqwest", "hyper", "server", "mobile-ffi"] {
        assert!(!core.contains(banned), "sync-core needs {banned}");
    }
    assert_eq!(needs(&metadata, "schema"), ["schema".to_owned()].into(), "schema is text only");
    let phone = needs(&metadata, "mobile-ffi");
    for banned in ["diesel", "actix-web", "tokio", "server"] {
        assert!(!phone.contains(banned), "mobile-ffi needs {banned}");
    }
}

#[test]
fn every_chapter_of_the_book_is_there_and_in_its_summary() {
    let book = root().join("docs/src");
    let Ok(summary) = std::fs::read_to_string(book.join("SUMMARY.md")) else { return };
    let mut linked = BTreeSet::from(["SUMMARY.md".to_owned()]);
    for link in summary.split("](").skip(1) {
        let target = link.split(')').next().unwrap();
        assert!(book.join(target).is_file(), "SUMMARY.md links to {target}, which is not there");
        linked.insert(target.trim_start_matches("./").to_owned());
    }
    for file in files() {
        if let Some(chapter) = file.strip_prefix("docs/src/").filter(|f| f.ends_with(".md")) {
            assert!(linked.contains(chapter), "{chapter} is not in SUMMARY.md");
        }
    }
}

#[test]
fn links_between_our_pages_lead_somewhere() {
    for file in files().into_iter().filter(|f| f.ends_with(".md")) {
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        let here = root().join(&file);
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#', ' ']).next().unwrap();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            assert!(here.parent().unwrap().join(target).exists(), "{file} links to {target}, which is not there");
        }
        for (name, target) in defined(&text) {
            assert!(
                here.parent().unwrap().join(target).exists(),
                "{file}: [{name}] leads to {target}, which is not there"
            );
        }
    }
}

/// Links that a page defines apart from their text: `[name]: target`.
fn defined(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter_map(|l| l.strip_prefix('[')?.split_once("]: "));
    lines.map(|(name, target)| (name, target.split('#').next().unwrap())).filter(|(_, target)| !target.contains("://"))
}

#[test]
fn the_protocols_page_and_its_place_in_the_book_define_the_same_links() {
    let [page, book] =
        ["docs/protocol.md", "docs/src/protocol.md"].map(|f| std::fs::read_to_string(root().join(f)).unwrap());
    assert!(book.starts_with("{{#include ../protocol.md:page}}\n"));
    let names = |text: &str| defined(text).map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(&page), names(&book));
    let used: BTreeSet<_> = page.split("][").skip(1).map(|t| t.split(']').next().unwrap().to_owned()).collect();
    assert_eq!(used, names(&page));
}

/// Every test of the workspace as `cargo test` names it, without its package: modules and function.
fn tests() -> Vec<String> {
    let mut all = Vec::new();
    for (file, text) in sources() {
        let within = file.split_once("/src/").or_else(|| file.split_once("tests/suite/"));
        let within = within.or_else(|| file.split_once("/tests/")).or_else(|| file.split_once("tests/"));
        let Some((_, path)) = within else { continue };
        let module = path.trim_end_matches(".rs").replace('/', "::");
        for rest in text.split("#[test]").skip(1) {
            if let Some(name) = rest.split("fn ").nth(1).and_then(|r| r.split(['(', '<']).next()) {
                all.push(format!("{module}::{}", name.trim()));
            }
        }
    }
    assert!(all.len() > 400, "only {} tests were found", all.len());
    all
}

#[test]
fn tests_that_the_book_quotes_are_there() {
    let all = tests();
    let known = |name: &str| all.iter().any(|t| t.contains(&name.replace('/', "::")));
    let pages = files().into_iter().filter(|f| f.ends_with(".md"));
    let mut quoted = 0;
    for file in pages {
        let text = std::fs::read_to_string(root().join(&file)).unwrap();
        for told in text.split("cargo test").skip(1) {
            let command = told.split(['`', '\n']).next().unwrap();
            let Some(name) = command.split(" -- ").nth(1).and_then(|rest| rest.split(' ').next()) else { continue };
            if name.chars().any(char::is_lowercase) && !name.starts_with('-') {
                quoted += 1;
                assert!(known(name), "{file} quotes the test `{name}`, which is not there");
            }
        }
        // The proofs of the threat model stand in the last column of its tables.
        let claims =
            text.lines().filter(|l| file.ends_with("threat-model.md") && l.starts_with("| ") && !l.ends_with("| |"));
        for proofs in claims.filter_map(|l| l.trim_end_matches(" |").rsplit("| ").next()) {
            for name in proofs.split('`').skip(1).step_by(2).filter(|n| !matches!(*n, "server" | "sync-core")) {
                quoted += 1;
                assert!(known(name), "{file} quotes the test `{name}`, which is not there");
            }
        }
    }
    assert!(quoted > 40, "only {quoted} names were found");
}

/// Each in two halves, so that this file does not hold what it looks for.
const FORBIDDEN: &[(&str, &str)] = &[
    ("/wo", "rk/main"),
    ("/wo", "rk/shared"),
    ("/ro", "ot/"),
    ("chat", "gpt"),
    ("cla", "ude"),
    ("anth", "ropic"),
    ("open", "ai"),
    ("language ", "model"),
    ("co-authored", "-by"),
    ("fix", "me"),
];

#[test]
fn no_file_holds_a_word_that_has_no_place_here() {
    for file in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        if file == "Cargo.lock" {
            continue;
        }
        let lower = text.to_lowercase();
        for (a, b) in FORBIDDEN {
            let word = format!("{a}{b}");
            assert!(!lower.contains(&word), "{file} holds `{word}`");
        }
    }
}
