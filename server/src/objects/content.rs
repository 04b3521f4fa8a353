//! What may become a content: bytes that have the name they were announced under, are of a kind that is allowed by what they hold,
//! tell nothing beside their picture or sound, and do not blow up when they are shown.

use image::{ImageReader, Limits};
use sync_core::attachments::{MediaError, MediaType, content_hash, prepare};

/// The longest side of a picture, in points.
const SIDE_POINTS_MAX: u32 = 16_384;
/// The most points of a picture: 100 million, more than any phone's camera gives.
const POINTS_MAX: u64 = 100_000_000;
/// What decoding a picture may take, bytes.
const DECODE_BYTES_MAX: u64 = 512 << 20;

/// Why bytes cannot become a content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// They are not what was announced.
    #[error("the bytes that arrived have the hash {found}")]
    Hash {
        /// Of what arrived.
        found: String,
    },
    /// Not a file that can be attached.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// It tells more than its picture.
    #[error("the file still carries notes of the camera{}", if *.location { ", a place among them" } else { "" })]
    Notes {
        /// Whether they tell where it was taken.
        location: bool,
    },
    /// A picture that nobody can show.
    #[error("the picture cannot be shown: {0}")]
    Picture(String),
}

/// The kind of a content, if these bytes may become the one with this name.
pub fn check(hash: &str, bytes: &[u8]) -> Result<MediaType, ContentError> {
    let found = content_hash(bytes);
    if found != hash {
        return Err(ContentError::Hash { found });
    }
    let prepared = prepare(bytes)?;
    if prepared.bytes != bytes {
        return Err(ContentError::Notes { location: prepared.evidence.location.is_some() });
    }
    if prepared.media_type.is_image() {
        let reader = reader(bytes, prepared.media_type);
        let (width, height) = reader.into_dimensions().map_err(|e| ContentError::Picture(e.to_string()))?;
        sides(width, height)?;
    }
    Ok(prepared.media_type)
}

fn sides(width: u32, height: u32) -> Result<(), ContentError> {
    let points = u64::from(width) * u64::from(height);
    if width == 0 || height == 0 || width > SIDE_POINTS_MAX || height > SIDE_POINTS_MAX || points > POINTS_MAX {
        return Err(ContentError::Picture(format!("{width} x {height} points")));
    }
    Ok(())
}

/// A reader of a picture under our limits: the kind is the one that was found, never guessed again.
pub(super) fn reader(bytes: &[u8], media_type: MediaType) -> ImageReader<std::io::Cursor<&[u8]>> {
    let format = match media_type {
        MediaType::Png => image::ImageFormat::Png,
        MediaType::Webp => image::ImageFormat::WebP,
        _ => image::ImageFormat::Jpeg,
    };
    let mut reader = ImageReader::with_format(std::io::Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_POINTS_MAX);
    limits.max_image_height = Some(SIDE_POINTS_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    reader
}
