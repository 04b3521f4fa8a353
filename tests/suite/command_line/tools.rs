//! The programs of this crate that others read: the simulator's and the benchmark's last line, field by field.

use std::process::Command;

use serde_json::Value;

/// Runs one of them; gives the last line, which is one JSON object, and how it ended.
fn last_line(program: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let ran = Command::new(program).args(arguments).output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let last = out.lines().last().unwrap_or_default();
    let told =
        serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {out}{}", String::from_utf8_lossy(&ran.stderr)));
    (ran.status.code(), told)
}

fn number(told: &Value, at: &str) -> f64 {
    told.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("{at} is no number: {told}"))
}

#[test]
fn the_simulator_prints_what_it_promises() {
    let (code, told) = last_line(env!("CARGO_BIN_EXE_simulate"), &["--seeds", "1", "--days", "1", "--json"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!((number(&told, "/seeds"), number(&told, "/device_days") >= 8.0), (1.0, true), "{told}");
    for nothing in ["/lost", "/diverged", "/unauthorised", "/undrained", "/unrepeatable"] {
        assert_eq!(number(&told, nothing), 0.0, "{nothing}: {told}");
    }
    assert!(
        number(&told, "/faults") > 5.0 && number(&told, "/edits") > 15.0 && number(&told, "/syncs") > 20.0,
        "{told}"
    );
    let kinds: f64 = told["by_kind"].as_object().unwrap().values().filter_map(Value::as_f64).sum();
    assert_eq!(kinds, number(&told, "/faults"), "every fault is of some kind");
    assert!(told["trace"].as_str().is_some_and(|t| t.len() == 64) && told["wrong"].as_array().unwrap().is_empty());
    // What cannot be meant is said in one line, before anything is lived through.
    for wrong in [&["--seeds", "many"][..], &["--without", "rain"], &["--days", "0"], &["--fly"]] {
        let ran = Command::new(env!("CARGO_BIN_EXE_simulate")).args(wrong).output().unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0), "{wrong:?}: {err}");
        let named = err.lines().next().unwrap();
        assert!(named.contains(wrong.last().unwrap()) || named.contains(wrong[0]), "{wrong:?}: {named}");
    }
}

#[test]
fn the_morning_benchmark_prints_what_it_promises() {
    let arguments = ["morning-sync", "--store", "sqlite", "--devices", "2", "--cases", "2", "--json"];
    // The benchmark starts the program that lies beside it.
    tests::program();
    let (code, told) = last_line(env!("CARGO_BIN_EXE_bench"), &arguments);
    assert_eq!(code, Some(0), "{told}");
    let promised = [
        ("p1", &["docs_per_s", "server_cpu_ms_per_doc", "bytes_up_per_doc", "peak_rss_mb", "disk_bytes"][..]),
        ("p2", &["ms", "requests", "bytes"]),
        ("p3", &["ms", "requests", "bytes"]),
        ("p4", &["ack_p50_ms", "ack_p99_ms", "seen_p50_ms", "seen_p99_ms"]),
        ("p5", &["ms", "rows"]),
    ];
    for (phase, fields) in promised {
        for field in fields {
            assert!(number(&told, &format!("/{phase}/{field}")) >= 0.0, "{phase}.{field}: {told}");
        }
    }
    assert_eq!(number(&told, "/p6/lost"), 0.0, "{told}");
    assert!(number(&told, "/p1/docs_per_s") > 0.0 && number(&told, "/p1/disk_bytes") > 0.0, "{told}");
    assert!((100.0..20_000.0).contains(&number(&told, "/p1/bytes_up_per_doc")), "{told}");
    assert_eq!(number(&told, "/p3/requests"), 1.0, "nothing new is one request: {told}");
    assert!(number(&told, "/p3/bytes") < 1_024.0 && number(&told, "/p2/bytes") > number(&told, "/p3/bytes"), "{told}");
    assert!(number(&told, "/p4/ack_p50_ms") <= number(&told, "/p4/ack_p99_ms"), "{told}");
    assert!(told["floor"].as_object().is_some_and(|f| !f.is_empty()), "{told}");
}
