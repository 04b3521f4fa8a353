//! What cannot be saved, measured beside the product: the same bytes in bare durable transactions, over a bare connection, and the
//! engine alone.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use automerge::{Automerge, Change, LoadOptions, TextEncoding};
use fengqiao_mobile::PhoneLibrary;
use serde_json::{Value, json};
use sync_core::document::RawChange;
use sync_core::ids::DocumentId;

use super::{Size, ms, percentile, rounded};

const SAMPLES: usize = 400;

/// The floors of P1 (one durable transaction a phone; the engine's load of a file, two increments, save), P2 (every file's bytes over a
/// loopback connection into one durable transaction; the engine's load of every file), P3 (a loopback connection, one round trip), P4
/// (one durable commit), P5 (every edit of one file, applied by the engine) and P6 (what of those commits is there after a power cut).
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
    let lost = committed(dir.path()).map(|there| size.devices * size.cases + SAMPLES - there as usize);
    let (pulled, round_trip) = pull(&mut plain, &blob, size.devices * size.cases);
    let saved = engine(&[], &changes[..1]);
    let begun = Instant::now();
    for _ in 0..SAMPLES {
        engine(&saved, &changes[1..]);
    }
    let engine_docs = SAMPLES as f64 / ms(begun) * 1e3;
    let whole = engine(&saved, &changes[1..]);
    let begun = Instant::now();
    for _ in 0..SAMPLES {
        engine_load(&whole);
    }
    let loaded = ms(begun) / SAMPLES as f64 * (size.devices * size.cases) as f64;
    let all: Vec<Change> = document.changes().into_iter().filter_map(|c| Change::from_bytes(c.bytes).ok()).collect();
    let begun = Instant::now();
    let mut one = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    one.apply_changes(all.iter().cloned()).expect("our own document");
    let applied = ms(begun) / all.len().max(1) as f64;
    json!({
        "p1_transactions_docs_per_s": rounded(transactions), "p1_engine_docs_per_s": rounded(engine_docs),
        "p2_ms": rounded(pulled), "p2_engine_ms": rounded(loaded),
        "p3_ms": rounded(round_trip), "p4_commit_p50_ms": rounded(percentile(&mut commits, 50)), "p4_commit_p99_ms": rounded(percentile(&mut commits, 99)),
        "p5_engine_ms": rounded(applied * 1_000.0), "p6_lost": lost.expect("the copy is read"),
    })
}

/// How many rows are in a copy of the file as a power cut would leave it: nobody has closed it.
fn committed(dir: &Path) -> rusqlite::Result<u32> {
    for suffix in ["", "-wal"] {
        let file = |name: &str| dir.join(format!("{name}.db{suffix}"));
        std::fs::copy(file("plain"), file("cut")).expect("a copy");
    }
    rusqlite::Connection::open(dir.join("cut.db"))?.query_row("SELECT count(*) FROM changes", [], |row| row.get(0))
}

/// So many files over a loopback connection into one durable transaction; and one round trip over a new connection: ms each.
fn pull(plain: &mut rusqlite::Connection, blob: &[u8], files: usize) -> (f64, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = || {
        let mut asking = TcpStream::connect(address).expect("a connection");
        asking.write_all(&[1]).expect("a question");
        asking
    };
    let everything = blob.repeat(files);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for answer in [everything.as_slice(), &[1]] {
                let (mut connection, _) = listener.accept().expect("somebody asks");
                connection.read_exact(&mut [0]).expect("a question");
                connection.write_all(answer).expect("an answer");
            }
        });
        let begun = Instant::now();
        let mut asking = asked();
        let tx = plain.transaction().expect("a transaction");
        let mut read = vec![0; blob.len()];
        for _ in 0..files {
            asking.read_exact(&mut read).expect("a file");
            tx.prepare_cached("INSERT INTO changes (bytes) VALUES (?1)").expect("SQL").execute([&read]).expect("a row");
        }
        tx.commit().expect("a commit");
        let pulled = ms(begun);
        let begun = Instant::now();
        asked().read_exact(&mut [0]).expect("an answer");
        (pulled, ms(begun))
    })
}

fn engine_load(saved: &[u8]) -> Automerge {
    if saved.is_empty() {
        return Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
    }
    let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
    Automerge::load_with_options(saved, options).expect("our own document")
}

fn engine(saved: &[u8], changes: &[RawChange]) -> Vec<u8> {
    let mut document = engine_load(saved);
    for change in changes {
        document.apply_changes([Change::from_bytes(change.bytes.clone()).expect("our own change")]).expect("it fits");
    }
    document.save()
}
