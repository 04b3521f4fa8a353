//! Time as evidence. A phone's wall clock is a claim; what the server can vouch for is a trusted interval.
//! All times are milliseconds since 1970-01-01T00:00:00Z. Nothing here reads a clock.

use serde::{Deserialize, Serialize};

/// How far a monotonic clock may run away from the truth: 200 parts per million, the bound for cheap quartz.
pub const DRIFT_PPM_MAX: i64 = 200;
/// What a stamp may lie in the server's future before it counts as a clock that runs ahead.
pub const FUTURE_TOLERANCE_MS: i64 = 2 * 60 * 1000;

/// Where the current time comes from. The server has a real and a demo clock, the phone its host's.
pub trait Clock: Send + Sync {
    /// Wall clock, milliseconds UTC.
    fn now_ms(&self) -> i64;
}

/// The clocks of a phone: the wall, which people can turn, and the monotonic one, which only a reboot resets.
pub trait PhoneClock: Clock {
    /// Milliseconds since some moment of this boot; never goes back while `boot` stays the same.
    fn monotonic_ms(&self) -> i64;
    /// Identifies this boot of the phone.
    fn boot(&self) -> u64;
}

/// A hybrid logical clock: wall milliseconds, and a counter that keeps order within one millisecond or a clock set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hlc {
    /// The highest wall clock seen, ms UTC.
    pub wall_ms: i64,
    /// Ticks within `wall_ms`.
    pub count: u32,
}

impl Hlc {
    /// The next reading after `self` on a phone whose wall clock shows `wall_ms`: later than every reading before it.
    pub fn tick(self, wall_ms: i64) -> Self {
        if wall_ms > self.wall_ms {
            Self { wall_ms, count: 0 }
        } else {
            Self { wall_ms: self.wall_ms, count: self.count.saturating_add(1) }
        }
    }

    /// Takes note of a reading from elsewhere, unless it lies further ahead of this phone's own wall clock than the tolerance:
    /// one bad clock must not drag every other one into the future.
    pub fn observe(self, other: Self, wall_ms: i64) -> Self {
        if other > self && other.wall_ms <= wall_ms.saturating_add(FUTURE_TOLERANCE_MS) { other } else { self }
    }
}

/// Ties a stamp to the server's time: the token the phone got at its last contact, and how long ago by a clock nobody can turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Anchor {
    /// When the server issued the token, ms UTC; names the token among those of its device.
    pub token_ms: i64,
    /// Monotonic milliseconds since the phone received it, without a reboot in between; `None` after a reboot: the token then
    /// only bounds the time from below.
    pub elapsed_ms: Option<i64>,
}

/// When its author says something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeClaim {
    /// The phone's own clock.
    pub hlc: Hlc,
    /// Evidence, if the phone ever met the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
}

/// On what a trusted interval rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeBasis {
    /// Written by the server itself or at a desk connected to it.
    Server,
    /// A valid token and an unbroken monotonic clock.
    Anchored,
    /// Only the phone's word, bounded by its last contact and the arrival.
    Claimed,
    /// Not yet seen by any server: this replica's own claim.
    Local,
}

/// What the server writes down about an event when it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Witness {
    /// When it arrived, ms UTC of the server.
    pub received_ms: i64,
    /// It cannot have been written before this, ms UTC.
    pub earliest_ms: i64,
    /// It cannot have been written after this, ms UTC.
    pub latest_ms: i64,
    /// Why.
    pub basis: TimeBasis,
}

impl Witness {
    /// For what the server or a connected desk writes now.
    pub fn server(now_ms: i64) -> Self {
        Self { received_ms: now_ms, earliest_ms: now_ms, latest_ms: now_ms, basis: TimeBasis::Server }
    }

    /// Judges a phone's claim. `tokens` are the issue times of the tokens that the server found genuine for this device.
    pub fn judge(claim: &TimeClaim, tokens: &[i64], received_ms: i64) -> Self {
        let known = claim.anchor.filter(|a| tokens.contains(&a.token_ms) && a.token_ms <= received_ms);
        if let Some(Anchor { token_ms, elapsed_ms: Some(elapsed) }) = known
            && elapsed >= 0
        {
            let drift = elapsed.saturating_mul(DRIFT_PPM_MAX) / 1_000_000;
            let at = token_ms.saturating_add(elapsed);
            if at <= received_ms.saturating_add(drift).saturating_add(FUTURE_TOLERANCE_MS) {
                return Self {
                    received_ms,
                    earliest_ms: at.saturating_sub(drift).clamp(token_ms, received_ms),
                    latest_ms: at.saturating_add(drift).min(received_ms),
                    basis: TimeBasis::Anchored,
                };
            }
        }
        Self {
            received_ms,
            earliest_ms: known.map_or(0, |a| a.token_ms),
            latest_ms: received_ms,
            basis: TimeBasis::Claimed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(token_ms: i64, elapsed_ms: Option<i64>) -> TimeClaim {
        TimeClaim { hlc: Hlc { wall_ms: 99, count: 0 }, anchor: Some(Anchor { token_ms, elapsed_ms }) }
    }

    #[test]
    fn a_reading_is_later_than_the_one_before_even_when_the_wall_clock_goes_back() {
        let a = Hlc::default().tick(1_000);
        let b = a.tick(400);
        assert!(b > a && b.wall_ms == 1_000);
    }

    #[test]
    fn a_clock_far_ahead_does_not_drag_others_along() {
        let mine = Hlc { wall_ms: 1_000, count: 0 };
        let wild = Hlc { wall_ms: 1_000 + 400 * 86_400_000, count: 0 };
        assert_eq!(mine.observe(wild, 1_000), mine);
    }

    #[test]
    fn an_anchored_stamp_is_trusted_to_the_drift_of_its_clock() {
        let hour = 3_600_000;
        let w = Witness::judge(&claim(1_000_000, Some(hour)), &[1_000_000], 1_000_000 + 5 * hour);
        assert_eq!(w.basis, TimeBasis::Anchored);
        assert_eq!((w.earliest_ms, w.latest_ms), (1_000_000 + hour - 720, 1_000_000 + hour + 720));
    }

    #[test]
    fn an_unknown_token_a_reboot_or_a_stamp_from_the_future_is_only_a_claim() {
        for (c, tokens) in [
            (claim(1_000, Some(5)), vec![]),
            (claim(1_000, None), vec![1_000]),
            (claim(1_000, Some(900_000_000)), vec![1_000]),
            (claim(1_000, Some(-1)), vec![1_000]),
        ] {
            let w = Witness::judge(&c, &tokens, 60_000);
            assert_eq!((w.basis, w.latest_ms), (TimeBasis::Claimed, 60_000), "{c:?}");
        }
        assert_eq!(Witness::judge(&claim(1_000, None), &[1_000], 60_000).earliest_ms, 1_000);
    }
}
