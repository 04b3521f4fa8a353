//! What the host allows a run of transfers, as a plain record. Which rule follows from it is decided in the core.

use sync_core::limits::THUMBNAIL_POINTS;
use sync_core::phone;

use crate::error::{PhoneLibError, Result};

/// The sizes that the server makes.
const POINTS: [u32; 3] = [160, 320, 640];

/// What the host allows now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct TransferPolicy {
    /// The network costs by volume.
    #[uniffi(default = false)]
    pub is_metered: bool,
    /// Contents may go over such a network.
    #[uniffi(default = false)]
    pub metered_ok: bool,
    /// The most bytes of contents in one run, either way.
    #[uniffi(default = 1_000_000_000)]
    pub bytes_max: u64,
    /// Fetch thumbnails only, whatever is asked for.
    #[uniffi(default = false)]
    pub thumbnails_only: bool,
    /// The most bytes of contents in a second, on the average; nothing: as fast as they go; 0: none.
    #[uniffi(default = None)]
    pub bytes_per_second: Option<u64>,
    /// Fetch small pictures before anybody asks, in the order of need, as many as their quota holds.
    #[uniffi(default = false)]
    pub thumbnails_ahead: bool,
    /// Small pictures may come over a network that costs by volume, also where contents may not.
    #[uniffi(default = false)]
    pub thumbnails_metered_ok: bool,
    /// The longer side of the small pictures that are fetched before anybody asks: 160, 320 or 640.
    #[uniffi(default = 320)]
    pub thumbnail_points: u32,
}

impl Default for TransferPolicy {
    fn default() -> Self {
        Self {
            is_metered: false,
            metered_ok: false,
            bytes_max: 1_000_000_000,
            thumbnails_only: false,
            bytes_per_second: None,
            thumbnails_ahead: false,
            thumbnails_metered_ok: false,
            thumbnail_points: THUMBNAIL_POINTS,
        }
    }
}

impl TransferPolicy {
    pub(crate) fn into_core(self) -> Result<phone::TransferPolicy> {
        let Self { is_metered, metered_ok, bytes_max, bytes_per_second, thumbnail_points, .. } = self;
        let Self { thumbnails_ahead, thumbnails_metered_ok, .. } = self;
        Ok(phone::TransferPolicy {
            is_metered,
            metered_ok,
            thumbnails_metered_ok,
            bytes_max,
            bytes_per_second,
            thumbnails_ahead,
            thumbnail_points: points("thumbnail_points", thumbnail_points)?,
        })
    }
}

/// A size that the server makes.
pub(crate) fn points(field: &str, size: u32) -> Result<u32> {
    if POINTS.contains(&size) {
        return Ok(size);
    }
    Err(PhoneLibError::invalid(field, format!("there are no small pictures of {size} points"), "give 160, 320 or 640"))
}
