//! The containers of pictures, walked part by part: what the picture needs stays byte for byte, everything else goes. Of the camera's
//! notes only how the picture is to be turned is written back. Every length is checked against what is there; nothing is decoded.

use super::media::{Location, MediaError};
use crate::calendar::beijing_ms;

pub(super) const PNG_SIGNATURE: &[u8] = &[0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a];

/// What the camera noted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tags {
    pub(super) taken_ms: Option<i64>,
    pub(super) location: Option<Location>,
    /// 2 to 8 when the picture is to be turned or mirrored.
    turned: Option<u8>,
}

type Cleaned = Result<(Vec<u8>, Tags), MediaError>;

/// A cursor over bytes that never reads beyond them.
struct Parts<'a> {
    left: &'a [u8],
}

impl<'a> Parts<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], MediaError> {
        let (part, left) = self.left.split_at_checked(n).ok_or(MediaError::Damaged("it ends in the middle"))?;
        self.left = left;
        Ok(part)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], MediaError> {
        <[u8; N]>::try_from(self.take(N)?).map_err(|_| MediaError::Damaged("it ends in the middle"))
    }
}

fn size(n: u32) -> Result<usize, MediaError> {
    usize::try_from(n).map_err(|_| MediaError::Damaged("a part is too large"))
}

/// JPEG: segments up to the picture, the picture itself, nothing behind its end.
pub(super) fn jpeg(bytes: &[u8]) -> Cleaned {
    let mut parts = Parts { left: bytes };
    let mut kept = Vec::new();
    let mut tags = Tags::default();
    parts.take(2)?;
    loop {
        let [mark, mut kind] = parts.number()?;
        if mark != 0xff {
            return Err(MediaError::Damaged("a segment does not begin with a marker"));
        }
        // A marker may be preceded by any number of fill bytes.
        while kind == 0xff {
            [kind] = parts.number()?;
        }
        match kind {
            0xd9 => {
                kept.extend([0xff, 0xd9]);
                break;
            }
            0x01 | 0xd0..=0xd8 | 0x00 => return Err(MediaError::Damaged("a marker where none may stand")),
            _ => {}
        }
        let length = parts.number::<2>()?;
        let body = parts.take(
            usize::from(u16::from_be_bytes(length))
                .checked_sub(2)
                .ok_or(MediaError::Damaged("a segment is too short"))?,
        )?;
        if kind == 0xe1 && body.starts_with(b"Exif\0\0") && tags.turned.is_none() {
            tags.read(body.get(6..).unwrap_or_default());
        }
        let needed = match kind {
            0xe0 => body.starts_with(b"JFIF\0"),
            0xe2 => body.starts_with(b"ICC_PROFILE\0"),
            0xee => body.starts_with(b"Adobe"),
            0xe1..=0xef | 0xfe => false,
            _ => true,
        };
        if needed {
            kept.extend([0xff, kind]);
            kept.extend(length);
            kept.extend(body);
        }
        if kind == 0xda {
            let scan = scan_length(parts.left);
            kept.extend(parts.take(scan)?);
        }
    }
    let mut out = vec![0xff, 0xd8];
    if let Some(exif) = tags.turned.map(turned_exif) {
        let length = u16::try_from(exif.len() + 8).unwrap_or(u16::MAX);
        out.extend([0xff, 0xe1]);
        out.extend(length.to_be_bytes());
        out.extend(b"Exif\0\0");
        out.extend(exif);
    }
    out.extend(kept);
    Ok((out, tags))
}

/// How far the coded picture goes: to the next marker that is neither a stuffed byte nor a restart.
fn scan_length(bytes: &[u8]) -> usize {
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    let end = pairs.enumerate().find(|(_, (a, b))| **a == 0xff && !matches!(**b, 0x00 | 0xff | 0xd0..=0xd7));
    end.map_or(bytes.len(), |(at, _)| at)
}

/// PNG: the parts that the picture is drawn with.
pub(super) fn png(bytes: &[u8]) -> Cleaned {
    let mut parts = Parts { left: bytes };
    parts.take(PNG_SIGNATURE.len())?;
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut tags = Tags::default();
    loop {
        let whole = parts.left;
        let length = size(u32::from_be_bytes(parts.number()?))?;
        let name = parts.number::<4>()?;
        let body = parts.take(length)?;
        parts.take(4)?;
        let chunk = whole.get(..length + 12).unwrap_or_default();
        match &name {
            b"eXIf" => tags.read(body),
            b"IHDR" | b"PLTE" | b"IDAT" | b"IEND" | b"tRNS" | b"gAMA" | b"cHRM" | b"sRGB" | b"iCCP" | b"sBIT"
            | b"bKGD" | b"pHYs" | b"cICP" | b"acTL" | b"fcTL" | b"fdAT" => kept.push(chunk),
            // Upper case says that the picture cannot be drawn without it.
            [first, ..] if first.is_ascii_uppercase() => return Err(MediaError::Damaged("a part that nobody knows")),
            _ => {}
        }
        if &name == b"IEND" {
            break;
        }
    }
    let mut out = PNG_SIGNATURE.to_vec();
    let (head, rest) = kept.split_first().ok_or(MediaError::Damaged("it holds no picture"))?;
    out.extend(*head);
    if let Some(exif) = tags.turned.map(turned_exif) {
        let named = [b"eXIf".as_slice(), &exif].concat();
        out.extend(u32::try_from(exif.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(&named);
        out.extend(crc32(&named).to_be_bytes());
    }
    rest.iter().for_each(|chunk| out.extend(*chunk));
    Ok((out, tags))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// WebP: the parts that the picture is drawn with, and the flags of the header as they then are.
pub(super) fn webp(bytes: &[u8]) -> Cleaned {
    const EXIF_FLAG: u8 = 0x08;
    const XMP_FLAG: u8 = 0x04;
    let mut parts = Parts { left: bytes };
    parts.take(4)?;
    let told = size(u32::from_le_bytes(parts.number()?))?;
    parts = Parts { left: parts.take(told)? };
    parts.take(4)?;
    let mut kept: Vec<(&[u8], Vec<u8>)> = Vec::new();
    let mut tags = Tags::default();
    while !parts.left.is_empty() {
        let name = parts.take(4)?;
        let length = size(u32::from_le_bytes(parts.number()?))?;
        let body = parts.take(length)?;
        if length % 2 == 1 {
            parts.take(1)?;
        }
        match name {
            b"EXIF" => tags.read(body.strip_prefix(b"Exif\0\0").unwrap_or(body)),
            b"VP8 " | b"VP8L" | b"VP8X" | b"ALPH" | b"ANIM" | b"ANMF" | b"ICCP" => kept.push((name, body.to_vec())),
            _ => {}
        }
    }
    let extended = kept.iter_mut().find(|(name, _)| *name == b"VP8X").and_then(|(_, body)| body.first_mut());
    match extended {
        Some(flags) => {
            *flags &= !(EXIF_FLAG | XMP_FLAG);
            if tags.turned.is_some() {
                *flags |= EXIF_FLAG;
            }
        }
        // Without that header there is no place for notes.
        None => tags.turned = None,
    }
    if let Some(exif) = tags.turned.map(turned_exif) {
        kept.push((b"EXIF", exif));
    }
    let mut body = b"WEBP".to_vec();
    for (name, part) in kept {
        body.extend(name);
        body.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend(&part);
        body.extend([0].iter().take(part.len() % 2));
    }
    let mut out = b"RIFF".to_vec();
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(body);
    Ok((out, tags))
}

/// A recording may not tell where it was made. Only the parts that describe it are looked at, not the sound.
pub(super) fn check_mp4(bytes: &[u8]) -> Result<(), MediaError> {
    const PLACES: [&[u8]; 4] = [b"\xa9xyz", b"loci", b"com.apple.quicktime.location", b"com.android.location"];
    let mut parts = Parts { left: bytes };
    while !parts.left.is_empty() {
        let short = u32::from_be_bytes(parts.number()?);
        let name = parts.number::<4>()?;
        let body = match short {
            0 => parts.take(parts.left.len())?,
            1 => {
                let long = usize::try_from(u64::from_be_bytes(parts.number()?)).unwrap_or(usize::MAX);
                parts.take(long.checked_sub(16).ok_or(MediaError::Damaged("a box is too short"))?)?
            }
            n => parts.take(size(n)?.checked_sub(8).ok_or(MediaError::Damaged("a box is too short"))?)?,
        };
        let told = |place: &&[u8]| body.windows(place.len()).any(|w| w == *place);
        if &name != b"mdat" && PLACES.iter().any(told) {
            return Err(MediaError::Located);
        }
    }
    Ok(())
}

/// The camera's notes with nothing in them but how the picture is to be turned.
fn turned_exif(turned: u8) -> Vec<u8> {
    // TIFF, big-endian; one directory with one entry: tag 0x0112, SHORT, one value.
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([turned, 0, 0, 0, 0, 0, 0]);
    exif
}

impl Tags {
    /// Reads the camera's notes. What cannot be read is not there: it is taken out in any case.
    fn read(&mut self, tiff: &[u8]) {
        let mut reader = exif::Reader::new();
        let Ok(notes) =
            reader.continue_on_error(true).read_raw(tiff.to_vec()).or_else(|e| e.distill_partial_result(|_| {}))
        else {
            return;
        };
        let first = |tag| notes.get_field(tag, exif::In::PRIMARY);
        let text = |tag| match &first(tag)?.value {
            exif::Value::Ascii(lines) => lines.first().map(Vec::as_slice),
            _ => None,
        };
        let turned = first(exif::Tag::Orientation).and_then(|f| f.value.get_uint(0));
        self.turned = turned.and_then(|n| u8::try_from(n).ok()).filter(|n| (2..=8).contains(n));
        self.taken_ms = text(exif::Tag::DateTimeOriginal)
            .and_then(|at| exif::DateTime::from_ascii(at).ok())
            .and_then(|at| taken_ms(at, text(exif::Tag::OffsetTimeOriginal)));
        let degrees = |value, side, negative: u8| {
            let exif::Value::Rational(parts) = &first(value)?.value else { return None };
            let [d, m, s] = <[exif::Rational; 3]>::try_from(parts.get(..3)?).ok()?;
            let minutes = micro(d)?.saturating_mul(60).saturating_add(micro(m)?);
            let seconds = minutes.saturating_mul(60).saturating_add(micro(s)?);
            let whole = seconds.saturating_add(1_800) / 3_600;
            Some(if text(side)?.first() == Some(&negative) { -whole } else { whole })
        };
        let latitude = degrees(exif::Tag::GPSLatitude, exif::Tag::GPSLatitudeRef, b'S');
        let longitude = degrees(exif::Tag::GPSLongitude, exif::Tag::GPSLongitudeRef, b'W');
        let place = latitude.zip(longitude).map(|(latitude, longitude)| Location { latitude, longitude });
        self.location = place.filter(Location::exists);
    }
}

fn micro(part: exif::Rational) -> Option<i64> {
    (i64::from(part.num) * 1_000_000).checked_div(i64::from(part.denom))
}

fn taken_ms(at: exif::DateTime, offset: Option<&[u8]>) -> Option<i64> {
    let fits = (1980..2200).contains(&at.year)
        && (1..=12).contains(&at.month)
        && (1..=31).contains(&at.day)
        && at.hour < 24
        && at.minute < 60
        && at.second < 61;
    let beijing = fits.then(|| {
        let day = beijing_ms(at.year.into(), at.month.into(), at.day.into(), at.hour.into(), at.minute.into());
        day + i64::from(at.second) * 1_000
    })?;
    let mut zone = exif::DateTime { offset: None, ..at };
    let minutes = offset.and_then(|o| zone.parse_offset(o).ok()).and(zone.offset).map_or(8 * 60, i64::from);
    Some(beijing + (8 * 60 - minutes) * 60_000)
}
