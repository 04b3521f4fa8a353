//! The server's clocks: the real one, and one for the demo in which hours pass in seconds.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use sync_core::time::Clock;

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the one clock that asks the system")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.ok().and_then(|d| i64::try_from(d.as_millis()).ok()).unwrap_or(0)
    }
}

/// A clock that starts at a chosen moment, runs with real time, and can be moved forward.
pub struct DemoClock {
    start_ms: i64,
    begun: Instant,
    added_ms: AtomicI64,
}

impl DemoClock {
    /// Starts at this moment, ms UTC.
    pub fn starting_at(start_ms: i64) -> Self {
        Self { start_ms, begun: Instant::now(), added_ms: AtomicI64::new(0) }
    }

    /// Lets time pass.
    pub fn advance(&self, ms: i64) {
        self.added_ms.fetch_add(ms.max(0), Ordering::SeqCst);
    }

    /// Moves forward to this moment; never back.
    pub fn advance_to(&self, ms: i64) {
        let now = self.now_ms();
        self.advance(ms - now);
    }
}

impl Clock for DemoClock {
    fn now_ms(&self) -> i64 {
        let run = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.start_ms.saturating_add(run).saturating_add(self.added_ms.load(Ordering::SeqCst))
    }
}

/// The operating system's randomness.
pub struct SystemEntropy;

impl sync_core::ids::Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        rand::RngCore::fill_bytes(&mut rand::rngs::OsRng, buffer);
    }
}
