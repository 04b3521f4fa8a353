//! The waiting room: when ten thousand phones come back at once, they are let in at the rate that the server sets. Whoever is sent
//! away is given a moment of his own to come back, and is let in before those who come unasked. Sans-I/O: time comes in.
//!
//! The rate is kept by a token bucket that never runs over. Newcomers may only use its upper half; the lower half absorbs that those
//! who were given a moment come a little late, several at once. Moments are handed out a little slower than the rate, so that the
//! bucket fills again.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

/// For how long one admission is good after its last use: a sync is several requests.
const PASS_US: i64 = 10_000_000;
/// How late somebody may come for his moment.
const LATE_US: i64 = 120_000_000;
/// The longest wait that is asked for, as long as phones obey.
const WAIT_US_MAX: i64 = 3_600_000_000;

/// What somebody at the door is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Come in.
    Admitted,
    /// Come back after this many whole seconds.
    Wait {
        /// At least 1.
        seconds: u32,
    },
}

/// The room of one door.
#[derive(Debug)]
pub struct Room {
    /// Between two admissions; 0: everybody is let in.
    interval_us: i64,
    burst_us: i64,
    queue_max: usize,
    /// Until when the bucket's tokens are used up.
    used_until_us: i64,
    /// The last moment that was given away.
    tail_us: i64,
    waiting: HashMap<Uuid, i64>,
    /// The same in the order of their moments.
    order: VecDeque<(i64, Uuid)>,
    passes: HashMap<Uuid, i64>,
    swept_us: i64,
}

impl Room {
    /// A room that admits so many a second, so many at once, and remembers so many who wait. A rate of 0 admits everybody.
    pub fn new(rate_per_second: u32, burst: u32, queue_max: usize) -> Self {
        let interval_us = if rate_per_second == 0 { 0 } else { 1_000_000 / i64::from(rate_per_second).min(1_000_000) };
        Self {
            interval_us,
            // Two at least: one for newcomers, one for those who were given a moment.
            burst_us: interval_us * i64::from(burst.max(2)),
            queue_max,
            used_until_us: i64::MIN,
            tail_us: i64::MIN,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            passes: HashMap::new(),
            swept_us: i64::MIN,
        }
    }

    /// Somebody asks to be let in.
    pub fn ask(&mut self, who: Uuid, now_us: i64) -> Answer {
        if self.interval_us == 0 {
            return Answer::Admitted;
        }
        self.sweep(now_us);
        if let Some(until) = self.passes.get_mut(&who).filter(|until| **until > now_us) {
            *until = now_us.saturating_add(PASS_US);
            return Answer::Admitted;
        }
        let may_take = match self.waiting.get(&who) {
            // Before his time: the same moment still stands.
            Some(moment) if *moment > now_us => return self.wait(*moment, now_us),
            Some(_) => self.burst_us,
            // Nobody overtakes those who wait.
            None if self.tail_us > now_us => 0,
            None => self.burst_us / 2,
        };
        if self.take(may_take, now_us) {
            self.waiting.remove(&who);
            self.passes.insert(who, now_us.saturating_add(PASS_US));
            return Answer::Admitted;
        }
        let room_us = self.interval_us.saturating_mul(21) / 20;
        self.tail_us = self.tail_us.max(now_us).saturating_add(room_us.max(1));
        if self.waiting.len() < self.queue_max && self.tail_us.saturating_sub(now_us) <= WAIT_US_MAX {
            self.waiting.insert(who, self.tail_us);
            self.order.push_back((self.tail_us, who));
            return self.wait(self.tail_us, now_us);
        }
        // More than can be remembered: some time behind those who are, by chance. The asker's identity is as good as chance.
        self.tail_us = self.tail_us.saturating_sub(room_us.max(1));
        let behind_us = self.tail_us.saturating_sub(now_us).max(1_000_000);
        let (_, chance) = who.as_u64_pair();
        let spread = i64::try_from(chance % u64::try_from(behind_us).unwrap_or(1)).unwrap_or_default();
        self.wait(self.tail_us.saturating_add(spread), now_us)
    }

    /// How many were given a moment that has not come.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn wait(&self, moment: i64, now_us: i64) -> Answer {
        let us = moment.saturating_sub(now_us).clamp(1, WAIT_US_MAX);
        let seconds = u32::try_from(us.saturating_add(999_999) / 1_000_000).unwrap_or(u32::MAX);
        Answer::Wait { seconds }
    }

    /// Takes a token if no more than so much of the bucket is used then.
    fn take(&mut self, may_use_us: i64, now_us: i64) -> bool {
        let used_until = self.used_until_us.max(now_us).saturating_add(self.interval_us);
        let fits = used_until.saturating_sub(now_us) <= may_use_us;
        if fits {
            self.used_until_us = used_until;
        }
        fits
    }

    /// Forgets those who did not come, and passes that are over.
    fn sweep(&mut self, now_us: i64) {
        while let Some((moment, who)) = self.order.front().copied() {
            let come = self.waiting.get(&who) != Some(&moment);
            if !come && moment.saturating_add(LATE_US) > now_us {
                break;
            }
            self.order.pop_front();
            if !come {
                self.waiting.remove(&who);
            }
        }
        if now_us.saturating_sub(self.swept_us) >= PASS_US {
            self.swept_us = now_us;
            self.passes.retain(|_, until| *until > now_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn who(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn admission_sends_the_many_away_each_with_a_moment_of_his_own_and_keeps_it_for_him() {
        let mut room = Room::new(2, 4, 100);
        assert_eq!([room.ask(who(1), 0), room.ask(who(2), 0)], [Answer::Admitted; 2]);
        let told: Vec<_> = (3..9).map(|n| room.ask(who(n), 0)).collect();
        let seconds = |s: u32| Answer::Wait { seconds: s };
        assert_eq!(told, [1, 2, 2, 3, 3, 4].map(seconds));
        assert_eq!(room.ask(who(8), S), seconds(3), "who comes too early is told the same moment");
        assert_eq!(room.ask(who(3), S), Answer::Admitted);
        assert!(matches!(room.ask(who(99), S), Answer::Wait { .. }), "nobody overtakes those who wait");
        assert_eq!(room.ask(who(3), 9 * S), Answer::Admitted, "who was admitted finishes his sync");
    }

    #[test]
    fn admission_forgets_those_who_do_not_come_and_remembers_no_more_than_its_bound() {
        let mut room = Room::new(10, 2, 50);
        for n in 0..1_000 {
            let answer = room.ask(who(n), 0);
            assert!(!matches!(answer, Answer::Wait { seconds } if seconds > 3_600), "{answer:?}");
        }
        assert_eq!((room.waiting(), room.order.len()), (50, 50));
        assert_eq!(room.ask(who(5_000), 200 * S), Answer::Admitted);
        assert_eq!((room.waiting(), room.order.len(), room.passes.len()), (0, 0, 1));
    }

    #[test]
    fn admission_without_a_rate_lets_everybody_in() {
        let mut room = Room::new(0, 0, 0);
        assert!((0..1_000).all(|n| room.ask(who(n), 0) == Answer::Admitted));
        assert_eq!(room.passes.len(), 0);
    }
}
