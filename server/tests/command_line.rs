//! The program itself: exit codes, what it prints, and that it ends well when it is told to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn fengqiao(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fengqiao"));
    command.current_dir(folder).env_clear().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    command
}

fn run(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = fengqiao(folder, arguments).spawn().unwrap();
    // A command that fails early has closed its end already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn accounts_are_made_listed_and_closed_and_no_password_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |arguments: &[&str], input: &str| run(folder.path(), arguments, input);
    std::fs::write(folder.path().join("areas.csv"), "code,kind,name,parent\nLH,district,龙华,\n").unwrap();
    assert_eq!(at(&["import", "areas.csv"], "").0, Some(0));
    let add = ["user", "add", "chen", "--name", "陈", "--role", "supervisor@LH"];
    let (code, out, err) = at(&add, "maple bridge\n");
    assert_eq!((code, out.contains("chen")), (Some(0), true), "{err}");
    assert!(!format!("{out}{err}").contains("maple"));
    assert_eq!(at(&add, "maple bridge\n").0, Some(2));
    assert_eq!(at(&["user", "add", "x2", "--name", "x", "--role", "boss@LH"], "maple bridge\n").0, Some(2));
    assert_eq!(at(&["user", "add", "x2", "--name", "x", "--role", "mediator@XX"], "maple bridge\n").0, Some(2));
    assert_eq!(at(&["user", "add", "x2", "--name", "x"], "short\n").0, Some(2));
    assert_eq!(at(&["user", "disable", "chen"], "").0, Some(0));
    assert_eq!(at(&["user", "disable", "nobody"], "").0, Some(2));
    assert_eq!(at(&["user", "list"], "").1, "chen\t陈\tclosed\tsupervisor@LH\n");
}

#[test]
fn the_replication_of_phones_is_a_table_or_objects() {
    let folder = tempfile::tempdir().unwrap();
    let at = |arguments: &[&str]| run(folder.path(), arguments, "");
    std::fs::write(folder.path().join("areas.csv"), "code,kind,name,parent\nLH,district,龙华,\n").unwrap();
    assert_eq!(at(&["import", "areas.csv"]).0, Some(0));
    let (code, out, _) = at(&["replication", "--area", "LH"]);
    assert_eq!((code, out.contains("unsent")), (Some(0), true), "{out}");
    let (code, out, _) = at(&["replication", "--json"]);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((code, last["states"]["silent"].as_u64()), (Some(0), Some(0)));
    assert_eq!(at(&["replication", "--area", "NOWHERE"]).0, Some(2));
    assert_eq!(at(&["replication", "--state", "lost"]).0, Some(2));
}

#[test]
fn the_journal_is_archived_checked_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |arguments: &[&str]| run(folder.path(), arguments, "");
    assert_eq!(at(&["demo", "--exit", "--keep-database"]).0, Some(0));
    let (code, out, err) = at(&["journal", "archive", "--before", "2020-01-01", "--to", "2019.fqa"]);
    let made: serde_json::Value = serde_json::from_str(&out).unwrap_or_default();
    assert_eq!((code, made["skipped"].as_u64()), (Some(0), Some(0)), "{out}{err}");
    assert!(made["entries"].as_u64().is_some_and(|n| n > 20), "{out}");
    assert_eq!(
        at(&["journal", "archive", "--before", "2020-01-01", "--to", "2019.fqa"]).0,
        Some(2),
        "it is there already"
    );
    assert_eq!(at(&["journal", "archive", "--before", "2019-02-30", "--to", "x"]).0, Some(2));
    assert_eq!(at(&["journal", "verify", "2019.fqa"]).0, Some(0));
    assert!(at(&["journal", "status"]).1.contains("2019.fqa"));
    assert_eq!(at(&["rebuild", "--check"]).0, Some(0));
    let (code, out, _) = at(&["journal", "return", "2019.fqa"]);
    assert_eq!((code, out.contains(&format!("{} entries", made["entries"]))), (Some(0), true), "{out}");
    std::fs::write(folder.path().join("2019.fqa"), "hello").unwrap();
    assert_eq!(at(&["journal", "verify", "2019.fqa"]).0, Some(2));
    assert_eq!(at(&["rebuild", "--check"]).0, Some(0));
}

#[test]
fn what_is_at_fault_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let at = |arguments: &[&str]| run(folder.path(), arguments, "");
    assert_eq!(at(&["fly"]).0, Some(2));
    assert_eq!(at(&["import", "none.toml"]).0, Some(2));
    assert_eq!(at(&["--config", "none.toml", "config"]).0, Some(2));
    assert_eq!(at(&["--database", "no/such/folder/x.db", "migrate"]).0, Some(1));
    let (code, out, _) = at(&["--database", "postgres://hall:s3cret@db/f", "config"]);
    assert_eq!((code, out.contains("s3cret"), out.contains("hall:***@db")), (Some(0), false, true));
    let (code, out, _) = at(&["openapi"]);
    assert_eq!((code, out.contains("/v1/auth/login")), (Some(0), true));
}

#[test]
#[cfg(unix)]
fn a_server_ends_well_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        fengqiao(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listening = lines.find(|line| line.as_ref().unwrap().contains("\"listening\"")).unwrap().unwrap();
    let line: serde_json::Value = serde_json::from_str(&listening).unwrap();
    let health = ureq::get(format!("{}/readyz", line["url"].as_str().unwrap())).call().unwrap();
    assert_eq!(health.status().as_u16(), 200);
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert!(lines.any(|line| line.unwrap().contains("finishing the requests in flight")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
