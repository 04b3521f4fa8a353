//! Rate limits by key. A key is counted in one of so many cells that a secret hash picks: memory is bounded by construction, and
//! nobody can aim at the cell of somebody else. Two keys rarely share a cell; then they share its allowance.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Reference as _;
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;

use super::steady::{LimitClock, Steady};

/// Cells of one limit: some 6 MB when all of them are in use.
const CELLS: u64 = 1 << 18;

/// How often something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    burst: NonZeroU32,
    /// For one.
    every: Duration,
}

impl Quota {
    fn new(n: u32, per: Duration, burst: u32) -> Option<Self> {
        let every = per.checked_div(n).filter(|e| !e.is_zero())?;
        Some(Self { burst: NonZeroU32::new(burst)?, every })
    }

    /// So many in a minute, and so many minutes' worth at once; 0 is no limit.
    pub fn per_minute(n: u32, at_once: u32) -> Option<Self> {
        Self::new(n, Duration::from_secs(60), n.saturating_mul(at_once))
    }

    /// So many in an hour; 0 is no limit.
    pub fn per_hour(n: u32) -> Option<Self> {
        Self::new(n, Duration::from_secs(3_600), n)
    }

    /// So many in a second, and so many seconds' worth at once; 0 is no limit.
    pub fn per_second(n: u32, at_once: u32) -> Option<Self> {
        Self::new(n, Duration::from_secs(1), n.saturating_mul(at_once))
    }
}

/// How somebody stands with a limit after one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit's name.
    pub name: &'static str,
    /// How many at once.
    pub burst: u32,
    /// In how many seconds all of them come back.
    pub window_s: u64,
    /// How many are left.
    pub left: u32,
    /// Seconds to wait, when none was left.
    pub wait_s: Option<u32>,
    /// Whether many people may stand behind one key: it is an address.
    pub shared: bool,
}

impl Standing {
    /// The fields that the HTTP working group drafts for it.
    pub fn headers(&self) -> [(&'static str, String); 2] {
        let Self { name, burst, window_s, left, wait_s, .. } = self;
        let reset = wait_s.map(|t| format!(";t={t}")).unwrap_or_default();
        [
            ("ratelimit-policy", format!("\"{name}\";q={burst};w={window_s}")),
            ("ratelimit", format!("\"{name}\";r={left}{reset}")),
        ]
    }
}

type Limiter = RateLimiter<u64, HashMapStateStore<u64>, LimitClock, StateInformationMiddleware>;

/// One limit.
pub struct Limit {
    name: &'static str,
    shared: bool,
    hash: RandomState,
    limiter: Option<(Quota, Limiter, LimitClock)>,
}

impl Limit {
    pub(super) fn new(name: &'static str, quota: Option<Quota>, steady: Arc<Steady>) -> Self {
        let limiter = quota.and_then(|quota| {
            let clock = LimitClock(steady);
            let governed = governor::Quota::with_period(quota.every)?.allow_burst(quota.burst);
            let limiter = RateLimiter::hashmap_with_clock(governed, clock.clone());
            Some((quota, limiter.with_middleware::<StateInformationMiddleware>(), clock))
        });
        Self { name, shared: false, hash: RandomState::new(), limiter }
    }

    /// The same, counted by addresses, behind which there may be many people.
    #[must_use]
    pub(super) fn of_addresses(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Counts one request of a key; `None` when there is no limit.
    pub fn count(&self, key: &impl Hash) -> Option<Standing> {
        let (quota, limiter, clock) = self.limiter.as_ref()?;
        let window = quota.every.saturating_mul(quota.burst.get());
        let standing = Standing {
            name: self.name,
            burst: quota.burst.get(),
            window_s: u64::try_from(window.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1),
            left: 0,
            wait_s: None,
            shared: self.shared,
        };
        Some(match limiter.check_key(&(self.hash.hash_one(key) % CELLS)) {
            Ok(state) => Standing { left: state.remaining_burst_capacity(), ..standing },
            Err(refused) => {
                let now = governor::clock::Clock::now(clock);
                let wait: Duration = refused.earliest_possible().duration_since(now).into();
                let wait_s = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
                Standing { wait_s: Some(wait_s), ..standing }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DemoClock;

    #[test]
    fn a_rate_limit_holds_for_each_key_and_says_when_to_come_back() {
        let clock = Arc::new(DemoClock::starting_at(1_000_000));
        let limit = Limit::new("login", Quota::per_minute(6, 2), Arc::new(Steady::new(clock.clone())));
        for left in (0..12).rev() {
            let standing = limit.count(&"10.0.0.1").unwrap();
            assert_eq!((standing.left, standing.wait_s, standing.burst, standing.window_s), (left, None, 12, 120));
        }
        let refused = limit.count(&"10.0.0.1").unwrap();
        assert_eq!((refused.left, refused.wait_s), (0, Some(10)));
        assert_eq!(limit.count(&"10.0.0.2").unwrap().wait_s, None);
        clock.advance(10_000);
        assert_eq!(limit.count(&"10.0.0.1").unwrap().wait_s, None);
        assert!(limit.count(&"10.0.0.1").unwrap().wait_s.is_some());
    }

    #[test]
    fn a_rate_limit_of_nought_is_none_and_memory_is_bounded_by_the_cells() {
        let steady = || Arc::new(Steady::new(Arc::new(DemoClock::starting_at(0))));
        assert_eq!(Limit::new("x", Quota::per_minute(0, 1), steady()).count(&1), None);
        let limit = Limit::new("x", Quota::per_second(5, 1), steady());
        for key in 0..3 * CELLS {
            limit.count(&key);
        }
        let cells = limit.limiter.as_ref().map(|(_, l, _)| l.len()).unwrap();
        assert!(u64::try_from(cells).unwrap() <= CELLS, "{cells}");
    }
}
