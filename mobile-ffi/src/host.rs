//! Where time and randomness come from on a real phone. The only place of the product's phone half that reads a clock.

use std::sync::Arc;

use sync_core::ids::Entropy;
use sync_core::time::{Clock, PhoneClock};

use crate::error::Result;

/// One reading of a phone's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct HostTime {
    /// The wall clock, milliseconds since 1970 UTC.
    pub wall_ms: i64,
    /// Milliseconds since some moment of this boot, sleep included (`SystemClock.elapsedRealtime`, `mach_continuous_time`).
    pub monotonic_ms: i64,
    /// Names this boot of the phone; another number after every restart.
    pub boot: u64,
}

/// The clocks of a host that knows better than the library, such as a test. It only reads clocks: it must not call the library.
#[uniffi::export(with_foreign)]
pub trait HostClock: Send + Sync {
    /// Reads all of them at one moment. When it fails the system's clocks are taken.
    fn read(&self) -> Result<HostTime>;
}

/// The clocks and the randomness of the operating system, or a host's clocks in their place.
pub(crate) struct SystemHost {
    boot: u64,
    clock: Option<Arc<dyn HostClock>>,
}

impl SystemHost {
    pub(crate) fn new(clock: Option<Arc<dyn HostClock>>) -> Self {
        Self { boot: boot(), clock }
    }

    fn read(&self) -> HostTime {
        let told = self.clock.as_ref().and_then(|c| c.read().ok());
        told.unwrap_or_else(|| HostTime { wall_ms: wall_ms(), monotonic_ms: monotonic_ms(), boot: self.boot })
    }
}

impl Clock for SystemHost {
    fn now_ms(&self) -> i64 {
        self.read().wall_ms
    }
}

impl PhoneClock for SystemHost {
    fn monotonic_ms(&self) -> i64 {
        self.read().monotonic_ms
    }

    fn boot(&self) -> u64 {
        self.read().boot
    }
}

impl Entropy for SystemHost {
    fn fill(&self, buffer: &mut [u8]) {
        fill(buffer);
    }
}

fn fill(buffer: &mut [u8]) {
    // Keys are made of this. Without randomness nothing may go on: the call fails at the border as an internal error.
    assert!(getrandom::fill(buffer).is_ok(), "the operating system gives no randomness");
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// Sleep counts: a clock that stands still while the phone sleeps would prove things to be earlier than they were.
#[cfg(unix)]
fn monotonic_ms() -> i64 {
    use rustix::time::{ClockId, clock_gettime};
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    now.tv_sec.saturating_mul(1_000).saturating_add(now.tv_nsec / 1_000_000)
}

#[cfg(not(unix))]
fn monotonic_ms() -> i64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    i64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// Linux names each boot. Elsewhere each start of the app counts as one: what it proves is less, never more.
fn boot() -> u64 {
    let named = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let id = named.and_then(|text| uuid::Uuid::parse_str(text.trim()).ok());
    id.map_or_else(
        || {
            let mut random = [0; 8];
            fill(&mut random);
            u64::from_le_bytes(random)
        },
        |id| id.as_u64_pair().0 ^ id.as_u64_pair().1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Result<HostTime>);

    impl HostClock for Fixed {
        fn read(&self) -> Result<HostTime> {
            self.0.clone()
        }
    }

    #[test]
    fn the_hosts_clock_is_taken_and_the_systems_when_it_fails() {
        let time = HostTime { wall_ms: 5, monotonic_ms: 6, boot: 7 };
        let host = SystemHost::new(Some(Arc::new(Fixed(Ok(time)))));
        assert_eq!((host.now_ms(), host.monotonic_ms(), host.boot()), (5, 6, 7));
        let broken = SystemHost::new(Some(Arc::new(Fixed(Err(crate::PhoneLibError::Cancelled)))));
        assert!(broken.now_ms() > 1_700_000_000_000);
    }

    #[test]
    fn the_systems_clock_goes_on_within_one_boot() {
        let host = SystemHost::new(None);
        let (a, boot) = (host.monotonic_ms(), host.boot());
        assert!(host.monotonic_ms() >= a && host.boot() == boot && host.sixteen() != host.sixteen());
    }
}
