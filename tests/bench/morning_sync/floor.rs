//! What cannot be saved, measured beside the product: the same bytes in bare durable transactions, and the engine alone.

use std::time::Instant;

use automerge::{Automerge, Change, LoadOptions, TextEncoding};
use fengqiao_mobile::PhoneLibrary;
use serde_json::{Value, json};
use sync_core::document::RawChange;
use sync_core::ids::DocumentId;

use super::{Size, ms, percentile, rounded};

const SAMPLES: usize = 400;

/// The floors of P1 (one durable transaction a phone; the engine's load of a file, two increments, save), P4 (one durable commit)
/// and P5 (every edit of one file, applied by the engine).
pub(super) fn measure(dir: &tempfile::TempDir, size: &Size, phone: &PhoneLibrary, file: DocumentId) -> Value {
    let document = phone.core().document(file).expect("it is here");
    let changes: Vec<RawChange> = document.changes().into_iter().take(3).collect();
    let blob: Vec<u8> = changes.iter().flat_map(|c| c.bytes.iter().copied()).collect();
    let mut plain = rusqlite::Connection::open(dir.path().join("plain.db")).expect("a plain file");
    plain
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE changes (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);")
        .expect("a table");
    let begun = Instant::now();
    for _ in 0..size.devices {
        let tx = plain.transaction().expect("a transaction");
        for _ in 0..size.cases {
            tx.prepare_cached("INSERT INTO changes (bytes) VALUES (?1)").expect("SQL").execute([&blob]).expect("a row");
        }
        tx.commit().expect("a commit");
    }
    let transactions = (size.devices * size.cases) as f64 / ms(begun) * 1e3;
    let mut commits = Vec::new();
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        plain.execute("INSERT INTO changes (bytes) VALUES (?1)", [&blob]).expect("a commit");
        commits.push(ms(begun));
    }
    let saved = engine(&[], &changes[..1]);
    let begun = Instant::now();
    for _ in 0..SAMPLES {
        engine(&saved, &changes[1..]);
    }
    let engine_docs = SAMPLES as f64 / ms(begun) * 1e3;
    let all: Vec<Change> = document.changes().into_iter().filter_map(|c| Change::from_bytes(c.bytes).ok()).collect();
    let begun = Instant::now();
    let mut one = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    one.apply_changes(all.iter().cloned()).expect("our own document");
    let applied = ms(begun) / all.len().max(1) as f64;
    json!({
        "p1_transactions_docs_per_s": rounded(transactions), "p1_engine_docs_per_s": rounded(engine_docs),
        "p4_commit_p50_ms": rounded(percentile(&mut commits, 50)), "p4_commit_p99_ms": rounded(percentile(&mut commits, 99)),
        "p5_engine_ms": rounded(applied * 1_000.0),
    })
}

fn engine(saved: &[u8], changes: &[RawChange]) -> Vec<u8> {
    let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
    let mut document = if saved.is_empty() {
        Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint)
    } else {
        Automerge::load_with_options(saved, options).expect("our own document")
    };
    for change in changes {
        document.apply_changes([Change::from_bytes(change.bytes.clone()).expect("our own change")]).expect("it fits");
    }
    document.save()
}
