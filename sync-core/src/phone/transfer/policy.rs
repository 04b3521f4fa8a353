//! What the host allows a run of transfers: which network may carry what, how much of it, and how fast. It decides; whoever carries
//! the bytes does the waiting.

use crate::limits::{ATTACHMENT_PIECE_BYTES, ATTACHMENT_PIECE_BYTES_MIN, THUMBNAIL_POINTS};

/// What the host allows now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferPolicy {
    /// The network costs by volume.
    pub is_metered: bool,
    /// Contents may go over such a network.
    pub metered_ok: bool,
    /// Small pictures may come over such a network, also where contents may not.
    pub thumbnails_metered_ok: bool,
    /// The most bytes of contents in one run, either way.
    pub bytes_max: u64,
    /// The most bytes of contents in a second, on the average; `None`: as fast as they go; 0: none.
    pub bytes_per_second: Option<u64>,
    /// Fetch small pictures before anybody asks, in the order of need.
    pub thumbnails_ahead: bool,
    /// The longer side of those.
    pub thumbnail_points: u32,
}

impl Default for TransferPolicy {
    fn default() -> Self {
        Self {
            is_metered: false,
            metered_ok: false,
            thumbnails_metered_ok: false,
            bytes_max: u64::MAX,
            bytes_per_second: None,
            thumbnails_ahead: false,
            thumbnail_points: THUMBNAIL_POINTS,
        }
    }
}

impl TransferPolicy {
    /// Whether contents may travel now.
    pub fn contents(&self) -> bool {
        (!self.is_metered || self.metered_ok) && self.bytes_per_second != Some(0)
    }

    /// Whether small pictures are fetched before anybody asks.
    pub fn thumbnails(&self) -> bool {
        let network = !self.is_metered || self.metered_ok || self.thumbnails_metered_ok;
        self.thumbnails_ahead && network && self.bytes_per_second != Some(0)
    }

    /// How much goes in one request: no more than a second is worth, so that text need not wait long; but not crumbs.
    pub(super) fn piece_bytes(&self) -> u64 {
        let second = self.bytes_per_second.unwrap_or(u64::MAX);
        second.clamp(ATTACHMENT_PIECE_BYTES_MIN, ATTACHMENT_PIECE_BYTES)
    }

    /// How long to wait after so many bytes that took so long, ms.
    pub(super) fn pause_ms(&self, bytes: u64, took_ms: i64) -> u64 {
        let Some(rate) = self.bytes_per_second.filter(|rate| *rate > 0) else { return 0 };
        let due_ms = bytes.saturating_mul(1_000).div_ceil(rate);
        due_ms.saturating_sub(u64::try_from(took_ms).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_per_second_makes_small_pieces_and_counts_the_time_that_they_took() {
        let slow = TransferPolicy { bytes_per_second: Some(100_000), ..TransferPolicy::default() };
        assert_eq!(slow.piece_bytes(), 100_000);
        assert_eq!(
            (slow.pause_ms(100_000, 0), slow.pause_ms(100_000, 400), slow.pause_ms(100_000, 5_000)),
            (1_000, 600, 0)
        );
        // A clock that was turned back makes nobody wait longer.
        assert_eq!(slow.pause_ms(100_000, -9_000), 1_000);
        let crawling = TransferPolicy { bytes_per_second: Some(1), ..TransferPolicy::default() };
        assert_eq!((crawling.piece_bytes(), crawling.pause_ms(10, 0)), (ATTACHMENT_PIECE_BYTES_MIN, 10_000));
        let free = TransferPolicy::default();
        assert_eq!((free.piece_bytes(), free.pause_ms(u64::MAX, 0)), (ATTACHMENT_PIECE_BYTES, 0));
    }

    #[test]
    fn a_metered_network_carries_what_the_host_says_and_a_limit_of_nothing_is_nothing() {
        let all = TransferPolicy { thumbnails_ahead: true, ..TransferPolicy::default() };
        let metered = TransferPolicy { is_metered: true, ..all };
        let small = TransferPolicy { thumbnails_metered_ok: true, ..metered };
        let costly = TransferPolicy { metered_ok: true, ..metered };
        let stopped = TransferPolicy { bytes_per_second: Some(0), ..all };
        for (policy, carried) in [
            (all, (true, true)),
            (TransferPolicy::default(), (true, false)),
            (metered, (false, false)),
            (small, (false, true)),
            (costly, (true, true)),
            (stopped, (false, false)),
        ] {
            assert_eq!((policy.contents(), policy.thumbnails()), carried, "{policy:?}");
        }
    }
}
