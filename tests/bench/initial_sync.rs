//! A new phone gets everything: requests, bytes, seconds, and the most memory that either side ever held. The server is a process of its
//! own; so is the phone, because a process's memory is counted from its beginning.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use fengqiao_mobile::PhoneLibrary;
use serde_json::{Value, json};
use server::clock::DemoClock;
use tests::TestDatabase;
use tests::phones::TestHost;

use crate::morning_sync::process::{self, Process};
use crate::morning_sync::workload::{self, COMMUNITIES};
use crate::morning_sync::{PASSWORD, people, rounded, wall_ms};

const WRITERS: usize = 6;

/// Measures for each number of records.
pub(crate) fn run(counts: &[usize], postgres: bool) -> Value {
    let program = process::program();
    let rows: Vec<Value> = counts.iter().map(|n| one(&program, *n, postgres)).collect();
    for row in &rows {
        println!("{row}");
    }
    json!({"bench": "initial-sync", "store": if postgres { "postgres" } else { "sqlite" }, "runs": rows,
        "debug_build": cfg!(debug_assertions)})
}

fn one(program: &std::path::Path, records: usize, postgres: bool) -> Value {
    let dir = tempfile::tempdir().expect("a folder");
    let database = TestDatabase::on(postgres, dir.path());
    let import = dir.path().join("people.toml");
    std::fs::write(&import, people(WRITERS)).expect("a file");
    process::run(program, &database.url, &["migrate"]);
    process::run(program, &database.url, &["import", &import.display().to_string()]);
    let server = Process::start(program, &database.url, dir.path());
    let clock = Arc::new(DemoClock::starting_at(wall_ms()));
    for writer in 0..WRITERS {
        let login = format!("worker-{writer}");
        let path = dir.path().join(&login);
        let phone = PhoneLibrary::open_with(&path, &[7; 32], Arc::new(TestHost::new(clock.clone()))).expect("a store");
        phone.log_in(server.url.clone(), login.clone(), PASSWORD.into(), login, None).expect("signed in");
        phone.sync(None, None).expect("a first sync");
        let community = COMMUNITIES[writer % COMMUNITIES.len()];
        for n in (writer..records).step_by(WRITERS) {
            let id = phone.core().create(&workload::case(community, &format!("{community}-01"), n)).expect("a file");
            for step in 0..2 {
                phone.core().edit(id, &workload::further(n, step)).expect("an edit");
            }
        }
        phone.sync(None, None).expect("a sync");
    }
    // The server that answers is one that has just begun, so that its memory is of this sync.
    server.kill();
    let server = Process::start(program, &database.url, dir.path());
    let before = server.peak_rss_mb();
    let own = std::env::current_exe().expect("this program has a path");
    let store = dir.path().join("new-phone");
    let phone = Command::new(own)
        .args(["pull-once", &server.url, &store.display().to_string()])
        .stdout(Stdio::piped())
        .output()
        .expect("the phone runs");
    let told: Value = serde_json::from_slice(&phone.stdout).expect("the phone tells");
    json!({
        "records": records, "pull": told, "server_rss_before_mb": rounded(before),
        "server_peak_rss_mb": rounded(server.peak_rss_mb()), "server_cpu_ms": rounded(server.cpu_ms()),
    })
}

/// What the phone's own process does: signs in, pulls everything, tells what it took.
pub(crate) fn pull_once(url: &str, store: &str) -> Value {
    let clock = Arc::new(DemoClock::starting_at(wall_ms()));
    let path = std::path::Path::new(store);
    let phone = PhoneLibrary::open_with(path, &[7; 32], Arc::new(TestHost::new(clock))).expect("a store");
    phone.log_in(url.into(), "street".into(), PASSWORD.into(), "new".into(), None).expect("signed in");
    let own = std::process::id();
    let before = process::peak_rss_mb(own);
    let begun = Instant::now();
    let report = phone.sync(None, None).expect("a sync");
    let seconds = begun.elapsed().as_secs_f64();
    let held = phone.core().documents().expect("a list").len();
    json!({
        "held": held, "requests": report.requests, "bytes": report.bytes_sent + report.bytes_received,
        "seconds": rounded(seconds), "phone_rss_before_mb": rounded(before),
        "phone_peak_rss_mb": rounded(process::peak_rss_mb(own)),
    })
}
