//! What must hold whatever people do: replicas that have the same changes show the same bytes, and nothing that comes from
//! outside makes a fold, the change firewall or the wire panic.

mod convergence;
mod hostile;
mod rebuild;
mod relayed;
mod together;

use proptest::prelude::ProptestConfig;

/// How often a property is tried: `FENGQIAO_TEST_CASES` multiplies it for a long run.
fn tries(cases: u32) -> ProptestConfig {
    let times: u32 = std::env::var("FENGQIAO_TEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    ProptestConfig {
        cases: cases * times,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
