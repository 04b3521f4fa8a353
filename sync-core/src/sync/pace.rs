//! When a phone asks its server next. Ten thousand phones that lost their server at the same moment must not come back at the same
//! moment: each waits a time of its own, and a server that says when to come back is obeyed, also by an app that was started anew.
//! Time and chance come in as arguments.

use serde::{Deserialize, Serialize};

/// The longest first wait after a failure, ms; it doubles with every further one.
pub const BACKOFF_FIRST_MS: i64 = 4_000;
/// The longest wait after many failures, ms.
pub const BACKOFF_MS_MAX: i64 = 15 * 60_000;
/// A sync is due after this time even when nobody said so, ms.
pub const IDLE_MS: i64 = 15 * 60_000;
/// The longest wait that a server may ask for, ms.
pub const ASKED_MS_MAX: i64 = 3_600_000;
/// Those who hear the same event ask for it within this time, ms.
pub const HEARD_SPREAD_MS: i64 = 200;
/// Chance that is added to what a server asks for, ms: it counts in whole seconds.
pub const ASKED_SPREAD_MS: i64 = 1_000;
/// The same for who came when he was asked to and is sent away once more, ms; it doubles with every further time.
pub const ASKED_AGAIN_MS: i64 = 4_000;
/// The most that it grows to, ms: less than the two minutes for which a server keeps somebody's moment.
pub const ASKED_AGAIN_MS_MAX: i64 = 60_000;

/// A time to wait that begins at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Wait {
    from_ms: i64,
    ms: i64,
}

impl Wait {
    /// What is left of it.
    fn left(self, now_ms: i64) -> i64 {
        let passed = now_ms.saturating_sub(self.from_ms).max(0);
        self.ms.saturating_sub(passed).max(0)
    }
}

/// What a server asked for, and how often in a row it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Asked {
    #[serde(flatten)]
    wait: Wait,
    #[serde(default)]
    times: u32,
}

impl Asked {
    fn again(&mut self, ms: i64, now_ms: i64, chance: u64) {
        let doubled = ASKED_AGAIN_MS.saturating_mul(1_i64 << self.times.saturating_sub(1).min(20));
        let spread = if self.times == 0 { ASKED_SPREAD_MS } else { doubled.min(ASKED_AGAIN_MS_MAX) };
        self.times = self.times.saturating_add(1);
        self.wait = Wait { from_ms: now_ms, ms: ms.clamp(0, ASKED_MS_MAX).saturating_add(up_to(spread, chance)) };
    }
}

/// What a phone asks its server for. A server that asks for patience with one of them may still be asked for the others, unless it
/// is the sync: that one stands for the whole server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A sync and the fresh tokens for it.
    Sync,
    /// Attachments, either way.
    Transfer,
    /// Signing in and registering.
    SignIn,
    /// Opening the live stream.
    Stream,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered to the end.
    Done,
    /// The server could not be reached, or failed.
    Failed,
    /// The server asked to come back after this time, ms.
    Later(i64),
}

/// What a phone remembers about its asking. It is kept in the store, but for what was heard: an app that begins hears it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Failures in a row.
    #[serde(default)]
    failures: u32,
    /// Its own patience after failures.
    #[serde(default)]
    backoff: Wait,
    /// What the server asked for. Nobody asks before, not even a person who presses a button.
    #[serde(default)]
    asked: Asked,
    /// The same for one errand each.
    #[serde(default)]
    transfer: Asked,
    #[serde(default)]
    sign_in: Asked,
    #[serde(default)]
    stream: Asked,
    /// Something waits on the server, and is asked for after this.
    #[serde(skip)]
    heard: Option<Wait>,
}

/// A number from 0 to `max`, by chance.
fn up_to(max: i64, chance: u64) -> i64 {
    let span = u64::try_from(max).unwrap_or_default().saturating_add(1);
    i64::try_from(chance % span).unwrap_or_default()
}

/// A wait with full jitter: any time up to a bound that doubles with every failure.
pub fn backoff_ms(failures: u32, first_ms: i64, chance: u64) -> i64 {
    let doubled = first_ms.saturating_mul(1_i64 << failures.saturating_sub(1).min(20));
    up_to(doubled.clamp(0, BACKOFF_MS_MAX), chance)
}

impl Pace {
    /// Notes what became of an attempt.
    pub fn attempted(&mut self, outcome: Outcome, now_ms: i64, chance: u64) {
        match outcome {
            Outcome::Done => {
                let Self { transfer, sign_in, stream, .. } = *self;
                *self = Self { transfer, sign_in, stream, ..Self::default() };
            }
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.backoff = Wait { from_ms: now_ms, ms: backoff_ms(self.failures, BACKOFF_FIRST_MS, chance) };
            }
            Outcome::Later(ms) => self.put_off(Errand::Sync, ms, now_ms, chance),
        }
    }

    fn of(&mut self, errand: Errand) -> &mut Asked {
        match errand {
            Errand::Sync => &mut self.asked,
            Errand::Transfer => &mut self.transfer,
            Errand::SignIn => &mut self.sign_in,
            Errand::Stream => &mut self.stream,
        }
    }

    /// Notes that the server asked to come back for something after this time, ms. Whoever is sent away again and again comes later
    /// and later, each at a time of his own: the server that says so may not know how many it says it to.
    pub fn put_off(&mut self, errand: Errand, ms: i64, now_ms: i64, chance: u64) {
        if errand == Errand::Sync {
            // A server that answers has not failed.
            self.failures = 0;
        }
        self.of(errand).again(ms, now_ms, chance);
    }

    /// Notes that the server did what it was asked for.
    pub fn let_in(&mut self, errand: Errand) {
        if errand != Errand::Sync {
            *self.of(errand) = Asked::default();
        }
    }

    /// Notes that the server can be reached.
    pub fn reached(&mut self) {
        (self.failures, self.backoff) = (0, Wait::default());
    }

    /// Notes that something waits on the server.
    pub fn heard(&mut self, now_ms: i64, chance: u64) {
        self.heard.get_or_insert(Wait { from_ms: now_ms, ms: up_to(HEARD_SPREAD_MS, chance) });
    }

    /// How long the server still asks to be left alone, ms.
    pub fn forbidden_ms(&self, now_ms: i64) -> i64 {
        self.asked.wait.left(now_ms)
    }

    /// The same for one errand.
    pub fn forbidden_for_ms(&self, errand: Errand, now_ms: i64) -> i64 {
        let mut own = *self;
        own.of(errand).wait.left(now_ms).max(self.forbidden_ms(now_ms))
    }

    /// Looks at the clock. One that was turned back makes a wait begin anew; it never lasts longer than it was meant to.
    pub fn look(&mut self, now_ms: i64) {
        let Self { backoff, asked, transfer, sign_in, stream, heard, .. } = self;
        let own = [backoff, &mut asked.wait, &mut transfer.wait, &mut sign_in.wait, &mut stream.wait];
        for wait in own.into_iter().chain(heard.as_mut()) {
            wait.from_ms = wait.from_ms.min(now_ms);
        }
    }

    /// What is to be kept.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { heard: None, ..self }
    }

    /// How long until the next attempt is due, ms. `unsent`: there is something to send; `done_ms`: when the last one was complete.
    pub fn wait_ms(&self, now_ms: i64, unsent: bool, done_ms: Option<i64>) -> i64 {
        let wish = match (unsent, self.heard, done_ms) {
            (true, ..) | (_, None, None) => 0,
            (_, Some(heard), _) => heard.left(now_ms),
            (_, _, Some(done_ms)) if done_ms > now_ms => 0,
            (_, _, Some(done_ms)) => Wait { from_ms: done_ms, ms: IDLE_MS }.left(now_ms),
        };
        wish.max(self.backoff.left(now_ms)).max(self.forbidden_ms(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_event_or_something_unsent_makes_a_sync_due_and_else_it_is_due_now_and_then() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait_ms(5, false, None), 0, "never synced");
        pace.attempted(Outcome::Done, 1_000, 7);
        assert_eq!((pace.wait_ms(1_000, false, Some(1_000)), pace.wait_ms(1_000, true, Some(1_000))), (IDLE_MS, 0));
        pace.heard(2_000, u64::MAX);
        let spread = pace.wait_ms(2_000, false, Some(1_000));
        assert!((0..=HEARD_SPREAD_MS).contains(&spread), "{spread}");
        pace.heard(2_100, 0);
        assert_eq!(
            pace.wait_ms(2_100, false, Some(1_000)),
            spread.saturating_sub(100),
            "a second event puts nothing off"
        );
    }

    #[test]
    fn failures_wait_longer_and_longer_each_phone_its_own_time() {
        let waits = |failures: u32| (0..1_000u64).map(move |c| backoff_ms(failures, BACKOFF_FIRST_MS, c * 7_919));
        for (failures, bound) in [(1, 4_000), (2, 8_000), (5, 64_000), (9, BACKOFF_MS_MAX), (400, BACKOFF_MS_MAX)] {
            let all: Vec<_> = waits(failures).collect();
            assert!(all.iter().all(|w| (0..=bound).contains(w)), "{failures}");
            let early = all.iter().filter(|w| **w < bound / 2).count();
            assert!((300..700).contains(&early), "{failures} failures: {early} of 1,000 in the first half");
        }
        let mut pace = Pace::default();
        pace.attempted(Outcome::Failed, 0, 3_999);
        assert_eq!((pace.wait_ms(0, true, Some(0)), pace.forbidden_ms(0)), (3_999, 0), "a person may try at once");
        pace.attempted(Outcome::Done, 0, 0);
        assert_eq!(pace.wait_ms(0, true, Some(0)), 0, "and one success forgets them");
    }

    #[test]
    fn what_the_server_asks_for_is_obeyed_also_after_a_restart_and_under_any_clock() {
        let mut pace = Pace::default();
        pace.attempted(Outcome::Later(60_000), 1_000_000, 250);
        let stored = serde_json::to_vec(&pace).unwrap();
        let pace: Pace = serde_json::from_slice(&stored).unwrap();
        assert_eq!((pace.forbidden_ms(1_000_000), pace.wait_ms(1_030_000, true, None)), (60_250, 30_250));
        assert_eq!(pace.forbidden_ms(1_060_250), 0);
        let mut turned = pace;
        turned.look(5);
        assert_eq!(turned.forbidden_ms(5), 60_250, "a clock that was turned back by years");
        assert_eq!(turned.forbidden_ms(60_255), 0);
        let mut greedy = Pace::default();
        greedy.attempted(Outcome::Later(i64::MAX), 0, 0);
        assert_eq!(greedy.forbidden_ms(0), ASKED_MS_MAX);
    }

    #[test]
    fn who_is_sent_away_again_and_again_comes_later_and_later_at_a_time_of_his_own_up_to_a_bound() {
        let mut pace = Pace::default();
        let mut now_ms = 0;
        for bound in [1_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            let waits = (0..500_u64).map(|n| {
                let mut one = pace;
                one.put_off(Errand::Sync, 2_000, now_ms, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                one.forbidden_ms(now_ms)
            });
            let waits: Vec<_> = waits.collect();
            assert!(waits.iter().all(|w| (2_000..=2_000 + bound).contains(w)), "never before what was asked: {bound}");
            let late = waits.iter().filter(|w| **w > 2_000 + bound / 2).count();
            assert!((150..350).contains(&late), "{late} of 500 in the second half of {bound}");
            pace.attempted(Outcome::Later(2_000), now_ms, 0);
            now_ms += 2_000;
        }
        pace.attempted(Outcome::Done, now_ms, 0);
        pace.attempted(Outcome::Later(2_000), now_ms, u64::MAX);
        assert!(pace.forbidden_ms(now_ms) <= 3_000, "one success forgets them");
    }

    #[test]
    fn what_is_asked_about_one_errand_holds_up_that_one_and_what_is_asked_about_syncing_holds_up_all() {
        let mut pace = Pace::default();
        pace.put_off(Errand::Transfer, 60_000, 0, 0);
        let of = |pace: &Pace, now_ms| {
            [Errand::Sync, Errand::Transfer, Errand::SignIn, Errand::Stream].map(|e| pace.forbidden_for_ms(e, now_ms))
        };
        assert_eq!(of(&pace, 10_000), [0, 50_000, 0, 0]);
        pace.attempted(Outcome::Done, 10_000, 0);
        assert_eq!(of(&pace, 10_000), [0, 50_000, 0, 0], "a sync says nothing about attachments");
        pace.attempted(Outcome::Later(5_000), 10_000, 0);
        let pace: Pace = serde_json::from_slice(&serde_json::to_vec(&pace).unwrap()).unwrap();
        assert_eq!(of(&pace, 10_000), [5_000, 50_000, 5_000, 5_000], "also after a restart");
        let mut done = pace;
        done.let_in(Errand::Transfer);
        assert_eq!(of(&done, 20_000), [0; 4]);
        // What an older version of the library has kept.
        let kept: Pace = serde_json::from_str(r#"{"failures":1,"asked":{"from_ms":5,"ms":100}}"#).unwrap();
        assert_eq!(of(&kept, 5), [100; 4]);
    }
}
