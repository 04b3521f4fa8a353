//! All chance of a run comes from here: one number grows into every throw, every id and every key, so that the same seed tells the
//! same story.

use std::sync::{Mutex, PoisonError};

use sync_core::ids::Entropy;

/// A stream of throws (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed; `stream` keeps the streams of one seed apart.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        dice.throw();
        dice
    }

    /// The next number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0, below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.throw() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    /// From `from` to `to`, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.throw() % u64::try_from(to - from + 1).unwrap()).unwrap()
    }

    /// True in so many of a thousand throws.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.throw() % 1_000 < u64::from(per_mille)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Six dice, as a scribbled edit wants them.
    pub fn six(&mut self) -> [u8; 6] {
        let bytes = self.throw().to_be_bytes();
        [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]]
    }
}

/// Randomness of a phone or a server that a seed repeats.
pub struct SeededEntropy(Mutex<Dice>);

impl SeededEntropy {
    /// The stream of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Mutex::new(Dice::new(seed, stream)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        let mut dice = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in buffer.chunks_mut(8) {
            let bytes = dice.throw().to_be_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
    }
}
