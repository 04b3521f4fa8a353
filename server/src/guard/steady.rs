//! Time for counting: the process's clock, but never backwards. A clock that is set back by an hour must not lock everybody out for
//! an hour.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sync_core::time::Clock;

/// A clock that goes on where it was when the one beneath is turned back.
pub struct Steady {
    clock: Arc<dyn Clock>,
    /// What the clock showed last, and what is added to it.
    state: Mutex<(i64, i64)>,
}

impl Steady {
    /// On top of a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let now_ms = clock.now_ms();
        Self { clock, state: Mutex::new((now_ms, 0)) }
    }

    /// Milliseconds since some moment.
    pub fn now_ms(&self) -> i64 {
        let shown = self.clock.now_ms();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, added) = *state;
        *state = (shown, added.saturating_add(last.saturating_sub(shown).max(0)));
        shown.saturating_add(state.1)
    }

    /// Microseconds since some moment.
    pub fn now_us(&self) -> i64 {
        self.now_ms().saturating_mul(1_000)
    }
}

/// The same as the rate limiter wants it.
#[derive(Clone)]
pub(super) struct LimitClock(pub(super) Arc<Steady>);

impl governor::clock::Clock for LimitClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.now_ms()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Turned(AtomicI64);

    impl Clock for Turned {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_rate_limit_does_not_stand_still_when_the_clock_is_turned_back() {
        let clock = Arc::new(Turned(AtomicI64::new(10_000)));
        let steady = Steady::new(clock.clone());
        let shown: Vec<i64> = [11_000, 1_000, 1_500, 90_000]
            .map(|ms| {
                clock.0.store(ms, Ordering::SeqCst);
                steady.now_ms()
            })
            .into();
        assert_eq!(shown, [11_000, 11_000, 11_500, 100_000]);
    }
}
