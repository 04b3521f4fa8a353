//! Edits one by one, as somebody types them who has a network: from the edit to its durable acknowledgement, and to the list of a second
//! phone, which hears of it by the live stream as an app does. And how many bytes each edit takes on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fengqiao_mobile::PhoneLibrary;
use serde_json::{Value, json};
use server::clock::DemoClock;
use sync_core::event::EventKind;
use tests::TestDatabase;
use tests::phones::{TestHost, event};

use crate::morning_sync::process::{self, Process};
use crate::morning_sync::workload::{self, COMMUNITIES};
use crate::morning_sync::{PASSWORD, people, percentile, rounded, wall_ms};

const FILES: usize = 20;
/// Nobody waits longer for a second phone; what has not come by then is told as a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures so many edits.
pub(crate) fn run(edits: usize, postgres: bool) -> Value {
    let program = process::program();
    let dir = tempfile::tempdir().expect("a folder");
    let database = TestDatabase::on(postgres, dir.path());
    let import = dir.path().join("people.toml");
    std::fs::write(&import, people(6)).expect("a file");
    process::run(&program, &database.url, &["migrate"]);
    process::run(&program, &database.url, &["import", &import.display().to_string()]);
    let server = Process::start(&program, &database.url, dir.path());
    let clock = Arc::new(DemoClock::starting_at(wall_ms()));
    let phone = |login: &str| {
        let host = Arc::new(TestHost::new(clock.clone()));
        let phone = PhoneLibrary::open_with(&dir.path().join(login), &[7; 32], host).expect("a store");
        phone.log_in(server.url.clone(), login.into(), PASSWORD.into(), login.into(), None).expect("signed in");
        phone.sync(None, None).expect("a first sync");
        phone
    };
    let (writer, reader) = (phone("worker-0"), phone("street"));
    let grid = format!("{}-01", COMMUNITIES[0]);
    let files: Vec<_> = (0..FILES)
        .map(|n| writer.core().create(&workload::case(COMMUNITIES[0], &grid, n)).expect("a case file"))
        .collect();
    writer.sync(None, None).expect("a sync");
    reader.sync(None, None).expect("a sync");

    let (shown, on_screen) = mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let listening = std::thread::spawn({
        let (reader, over) = (reader.clone(), over.clone());
        move || {
            while !over.load(Ordering::SeqCst) {
                if reader.clone().events_wait(500, None).is_ok_and(|heard| heard.sync_due)
                    && reader.sync(None, None).is_ok_and(|report| report.received > 0)
                {
                    let _ = shown.send(Instant::now());
                }
            }
        }
    });
    std::thread::sleep(Duration::from_secs(2));
    while on_screen.try_recv().is_ok() {}
    let (mut acknowledged, mut seen, mut up, mut down) = (Vec::new(), Vec::new(), 0, 0);
    for n in 0..edits {
        let edit = event(EventKind::Note, json!({"text": format!("第{}次联系双方，约定后续安排。", n + 1)}));
        let begun = Instant::now();
        writer.core().edit(files[n % FILES], &[edit]).expect("an edit");
        let report = writer.sync(None, None).expect("a sync");
        acknowledged.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(report.sent, 1, "the edit was acknowledged");
        up += report.bytes_sent;
        down += report.bytes_received;
        let at = on_screen.recv_timeout(PATIENCE).expect("the second phone shows it");
        seen.push(at.duration_since(begun).as_secs_f64() * 1e3);
    }
    over.store(true, Ordering::SeqCst);
    reader.events_stop();
    let _ = listening.join();
    let summary = json!({
        "bench": "trickle", "store": if postgres { "postgres" } else { "sqlite" }, "edits": edits,
        "ack_p50_ms": rounded(percentile(&mut acknowledged, 50)), "ack_p99_ms": rounded(percentile(&mut acknowledged, 99)),
        "seen_p50_ms": rounded(percentile(&mut seen, 50)), "seen_p99_ms": rounded(percentile(&mut seen, 99)),
        "bytes_up_per_edit": up / edits as u64, "bytes_down_per_edit": down / edits as u64,
        "debug_build": cfg!(debug_assertions),
    });
    println!("{summary}");
    summary
}
