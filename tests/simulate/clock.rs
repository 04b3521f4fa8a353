//! Virtual time: it stands still until the simulator moves it. Each phone sees it through clocks that can be wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use sync_core::ids::Entropy;
use sync_core::time::{Clock, PhoneClock};

use super::dice::SeededEntropy;

/// The time of the world, ms UTC.
pub struct VirtualClock(AtomicI64);

impl VirtualClock {
    /// Starts at this moment.
    pub fn new(ms: i64) -> Self {
        Self(AtomicI64::new(ms))
    }

    /// Lets time pass.
    pub fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The host of one phone.
pub struct SimHost {
    clock: Arc<VirtualClock>,
    entropy: SeededEntropy,
    /// How far the wall clock is wrong, ms.
    pub wrong_ms: AtomicI64,
    boot: AtomicU64,
    booted_ms: AtomicI64,
}

impl SimHost {
    /// A host whose clocks are right.
    pub fn new(clock: Arc<VirtualClock>, entropy: SeededEntropy) -> Self {
        let booted_ms = AtomicI64::new(clock.now_ms());
        Self { clock, entropy, wrong_ms: AtomicI64::new(0), boot: AtomicU64::new(1), booted_ms }
    }

    /// Restarts the phone: its monotonic clock begins anew.
    pub fn reboot(&self) {
        self.boot.fetch_add(1, Ordering::Relaxed);
        self.booted_ms.store(self.clock.now_ms(), Ordering::Relaxed);
    }
}

impl Clock for SimHost {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms() + self.wrong_ms.load(Ordering::Relaxed)
    }
}

impl PhoneClock for SimHost {
    fn monotonic_ms(&self) -> i64 {
        self.clock.now_ms() - self.booted_ms.load(Ordering::Relaxed)
    }
    fn boot(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }
}

impl Entropy for SimHost {
    fn fill(&self, buffer: &mut [u8]) {
        self.entropy.fill(buffer);
    }
}
