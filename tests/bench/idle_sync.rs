//! A sync with nothing to say: requests and bytes, with ever more documents on the phone. It must not grow.

use std::time::Instant;

use serde_json::{Value, json};
use tests::World;

/// Measures, prints the table, gives the summary.
pub(crate) fn run(documents: &[usize]) -> Value {
    let world = World::new();
    let phone = world.phone("he");
    phone.sync();
    println!("{:>10}  {:>8}  {:>6}  {:>10}  {:>10}", "documents", "requests", "sent", "received", "ms");
    let mut rows = Vec::new();
    let mut held = 0;
    for wanted in documents {
        while held < *wanted {
            phone.report(&format!("第{held}宗：邻里噪音纠纷。"));
            held += 1;
            // Not all at the end: an outbox of thousands is another matter than an idle phone.
            if held % 500 == 0 {
                phone.sync();
            }
        }
        phone.sync();
        assert_eq!(phone.core().status().expect("a status").pending, 0, "everything was acknowledged");
        phone.sync();
        let begun = Instant::now();
        let report = phone.library.sync(None, None).expect("a sync");
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let (requests, sent, received) = (report.requests, report.bytes_sent, report.bytes_received);
        println!("{held:>10}  {requests:>8}  {sent:>6}  {received:>10}  {ms:>10.1}");
        rows.push(
            json!({"documents": held, "requests": requests, "bytes_sent": sent, "bytes_received": received, "ms": ms}),
        );
    }
    let total = |row: &Value| row["bytes_sent"].as_i64().unwrap_or(0) + row["bytes_received"].as_i64().unwrap_or(0);
    let growth = rows.last().map_or(0, total) - rows.first().map_or(0, total);
    println!("growth from the first to the last: {growth} bytes");
    json!({"bench": "idle-sync", "rows": rows, "growth_bytes": growth, "debug_build": cfg!(debug_assertions)})
}
