//! One case file that goes on growing: what one more edit costs when it already holds a hundred, a thousand, five thousand changes. On
//! the phone (edit, open, bytes written), to the server's acknowledgement, and what the server spends and writes for it.

use std::sync::Arc;
use std::time::Instant;

use fengqiao_mobile::PhoneLibrary;
use serde_json::{Value, json};
use server::clock::DemoClock;
use sync_core::event::EventKind;
use tests::TestDatabase;
use tests::phones::{TestHost, event};

use crate::morning_sync::process::{self, Process};
use crate::morning_sync::workload::{self, COMMUNITIES};
use crate::morning_sync::{PASSWORD, people, percentile, rounded, wall_ms};

/// Edits that are measured at each size.
const WINDOW: usize = 40;
/// Edits that go up in one sync while the file grows.
const BATCH: usize = 200;

/// Measures at so many changes each.
pub(crate) fn run(sizes: &[usize], postgres: bool) -> Value {
    let program = process::program();
    let dir = tempfile::tempdir().expect("a folder");
    let database = TestDatabase::on(postgres, dir.path());
    let import = dir.path().join("people.toml");
    std::fs::write(&import, people(6)).expect("a file");
    process::run(&program, &database.url, &["migrate"]);
    process::run(&program, &database.url, &["import", &import.display().to_string()]);
    let server = Process::start(&program, &database.url, dir.path());
    process::step_aside();
    let host = Arc::new(TestHost::new(Arc::new(DemoClock::starting_at(wall_ms()))));
    let phone = PhoneLibrary::open_with(&dir.path().join("phone"), &[7; 32], host).expect("a store");
    phone.log_in(server.url.clone(), "worker-0".into(), PASSWORD.into(), "worker-0".into(), None).expect("signed in");
    phone.sync(None, None).expect("a first sync");
    let grid = format!("{}-01", COMMUNITIES[0]);
    let file = phone.core().create(&workload::case(COMMUNITIES[0], &grid, 0)).expect("a case file");
    phone.sync(None, None).expect("a sync");

    let mut written = 1;
    let mut edit = || {
        written += 1;
        let note = event(EventKind::Note, json!({"text": format!("第{written}次联系双方，约定后续安排。")}));
        phone.core().edit(file, &[note]).expect("an edit");
        written
    };
    let mut rows = Vec::new();
    for size in sizes {
        let mut so_far = 0;
        while so_far + WINDOW < *size {
            so_far = edit();
            if so_far % BATCH == 0 {
                phone.sync(None, None).expect("a sync");
            }
        }
        phone.sync(None, None).expect("a sync");
        let (mut edits, mut opens, mut pushes, mut phone_bytes, mut server_bytes) =
            (vec![], vec![], vec![], vec![], vec![]);
        let cpu = server.cpu_ms();
        for _ in 0..WINDOW {
            let (own, other) = (process::bytes_written(std::process::id()), process::bytes_written(server.id()));
            let begun = Instant::now();
            edit();
            edits.push(begun.elapsed().as_secs_f64() * 1e3);
            phone_bytes.push((process::bytes_written(std::process::id()) - own) as f64);
            let begun = Instant::now();
            assert_eq!(phone.sync(None, None).expect("a sync").sent, 1, "the edit was acknowledged");
            pushes.push(begun.elapsed().as_secs_f64() * 1e3);
            server_bytes.push((process::bytes_written(server.id()) - other) as f64);
            let begun = Instant::now();
            phone.core().case(file).expect("the file");
            opens.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let row = json!({
            "changes": size,
            "edit_p50_ms": rounded(percentile(&mut edits, 50)), "edit_p99_ms": rounded(percentile(&mut edits, 99)),
            "open_p50_ms": rounded(percentile(&mut opens, 50)),
            "push_p50_ms": rounded(percentile(&mut pushes, 50)), "push_p99_ms": rounded(percentile(&mut pushes, 99)),
            "server_cpu_ms_per_push": rounded((server.cpu_ms() - cpu) / WINDOW as f64),
            "phone_bytes_per_edit": (phone_bytes.iter().sum::<f64>() / WINDOW as f64).round(),
            "server_bytes_per_push": (server_bytes.iter().sum::<f64>() / WINDOW as f64).round(),
        });
        println!("{row}");
        rows.push(row);
    }
    let summary = json!({
        "bench": "growth", "store": if postgres { "postgres" } else { "sqlite" }, "sizes": rows,
        "debug_build": cfg!(debug_assertions),
    });
    println!("{summary}");
    summary
}
