//! A sync with nothing new, with few and with many documents on the phone: requests and bytes must not grow.

use serde_json::{Value, json};
use tests::World;

pub(super) fn run(most: usize) -> Value {
    let world = World::new();
    let he = world.phone("he");
    let mut rows = Vec::new();
    let mut made = 0;
    for size in [10, 1_000, 10_000].into_iter().filter(|n| *n <= most.max(10)) {
        while made < size {
            he.report(&format!("第{made}宗。"));
            made += 1;
        }
        he.sync();
        let idle = he.library.sync(None, None).unwrap();
        assert_eq!(he.core().documents().unwrap().len(), size);
        rows.push(json!({
            "documents": size, "requests": idle.requests, "bytes_up": idle.bytes_sent, "bytes_down": idle.bytes_received,
        }));
    }
    json!({ "benchmark": "idle-sync", "rows": rows })
}
