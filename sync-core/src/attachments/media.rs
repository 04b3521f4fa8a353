//! The kinds of file that can be attached, told by their first bytes, and their preparation: everything that a picture carries beside
//! itself (place, time, owner, device, preview) is taken out without touching the picture, and what is evidence is handed back.
//! Preparing twice gives the same bytes: a server accepts only files that preparing would leave as they are.

use serde::{Deserialize, Serialize};

use super::metadata::{self, Tags};

/// The kinds of file that can be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// A photo.
    Jpeg,
    /// A picture or screenshot.
    Png,
    /// A picture.
    Webp,
    /// A paper.
    Pdf,
    /// A sound recording (AAC in MP4).
    M4a,
}

impl MediaType {
    /// As HTTP names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Pdf => "application/pdf",
            Self::M4a => "audio/mp4",
        }
    }

    /// Reads what HTTP names it.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Jpeg, Self::Png, Self::Webp, Self::Pdf, Self::M4a].into_iter().find(|t| t.as_str() == name)
    }

    /// Whether it shows a picture, so that there can be a thumbnail.
    pub fn is_image(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Webp)
    }

    /// The usual ending of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Pdf => "pdf",
            Self::M4a => "m4a",
        }
    }
}

/// Where something was, in degrees times a million, as `place.latitude` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// North of the equator.
    pub latitude: i64,
    /// East of Greenwich.
    pub longitude: i64,
}

impl Location {
    /// Whether there is such a place on earth.
    pub fn exists(&self) -> bool {
        self.latitude.abs() <= 90_000_000 && self.longitude.abs() <= 180_000_000
    }
}

/// What a file told of its making: kept as evidence in the record, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// When the camera says that it was taken, ms UTC. A camera that names no time zone is taken to stand in China.
    pub taken_ms: Option<i64>,
    /// Where the camera says that it was.
    pub location: Option<Location>,
}

/// A file that is fit to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What it is.
    pub media_type: MediaType,
    /// Its bytes, without what is no picture.
    pub bytes: Vec<u8>,
    /// What it told.
    pub evidence: Evidence,
}

/// Why a file cannot be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// None of the kinds that can be attached.
    #[error("the file is none of JPEG, PNG, WebP, PDF or M4A by its contents")]
    Unknown,
    /// It begins like its kind and then does not hold.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
    /// A recording that carries the place where it was made, which cannot be taken out without writing it anew.
    #[error("the recording tells where it was made; record without location")]
    Located,
}

/// What a file is, by its first bytes.
pub fn sniff(bytes: &[u8]) -> Option<MediaType> {
    let at = |from: usize, what: &[u8]| bytes.get(from..from + what.len()) == Some(what);
    if at(0, &[0xff, 0xd8, 0xff]) {
        Some(MediaType::Jpeg)
    } else if at(0, metadata::PNG_SIGNATURE) {
        Some(MediaType::Png)
    } else if at(0, b"RIFF") && at(8, b"WEBP") {
        Some(MediaType::Webp)
    } else if at(0, b"%PDF-") {
        Some(MediaType::Pdf)
    } else if at(4, b"ftyp") && [b"M4A ", b"mp42", b"mp41", b"isom", b"M4B "].iter().any(|brand| at(8, *brand)) {
        Some(MediaType::M4a)
    } else {
        None
    }
}

/// Makes a file fit to be attached. Neither picture nor sound is touched; how a photo is to be turned stays with it.
pub fn prepare(bytes: &[u8]) -> Result<Prepared, MediaError> {
    if bytes.is_empty() {
        return Err(MediaError::Empty);
    }
    let media_type = sniff(bytes).ok_or(MediaError::Unknown)?;
    let (bytes, tags) = match media_type {
        MediaType::Jpeg => metadata::jpeg(bytes)?,
        MediaType::Png => metadata::png(bytes)?,
        MediaType::Webp => metadata::webp(bytes)?,
        MediaType::M4a => {
            metadata::check_mp4(bytes)?;
            (bytes.to_vec(), Tags::default())
        }
        MediaType::Pdf => (bytes.to_vec(), Tags::default()),
    };
    Ok(Prepared { media_type, bytes, evidence: Evidence { taken_ms: tags.taken_ms, location: tags.location } })
}

#[cfg(test)]
mod tests;
