//! The vector of patience: what a phone with something to send is answered, one thing after the other, and between which two moments
//! it asks next. The numbers are those of the protocol's page, not of our code.

use serde_json::{Value, json};

/// What a client is answered and how long it waits then, from and to, ms.
pub(super) fn pace() -> Value {
    let later = |s: i64, ms: [i64; 2]| json!({"status": 503, "retry_after_s": s, "wait_ms": ms});
    let failed = |ms: i64| json!({"status": null, "retry_after_s": null, "wait_ms": [0, ms]});
    let done = json!({"status": 200, "retry_after_s": null, "wait_ms": [0, 0]});
    let steps = vec![
        done.clone(),
        // Put off once, and again and again.
        later(60, [60_000, 61_000]),
        later(5, [5_000, 9_000]),
        later(5, [5_000, 13_000]),
        later(5, [5_000, 21_000]),
        later(5, [5_000, 37_000]),
        later(5, [5_000, 65_000]),
        later(5, [5_000, 65_000]),
        done.clone(),
        later(5, [5_000, 6_000]),
        done.clone(),
        // Nobody answers.
        failed(4_000),
        failed(8_000),
        failed(16_000),
        failed(32_000),
        failed(64_000),
        failed(128_000),
        failed(256_000),
        failed(512_000),
        failed(900_000),
        failed(900_000),
        done.clone(),
        failed(4_000),
        // Longer than a server may ask for.
        later(100_000, [3_600_000, 3_601_000]),
        done,
    ];
    json!({ "apart_ms": 10_000_000, "steps": steps })
}
