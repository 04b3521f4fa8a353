//! Files made by hand: with a place in them, with what hides behind the picture, cut anywhere, and of other kinds.

use super::*;
use crate::calendar::beijing_ms;

/// A camera's notes: turned to 6, taken on 17 May 2019 at 09:00:30, near 22.775 N 113.9 E.
fn notes() -> Vec<u8> {
    fn entry(out: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: [u8; 4]) {
        out.extend(tag.to_be_bytes());
        out.extend(kind.to_be_bytes());
        out.extend(count.to_be_bytes());
        out.extend(value);
    }
    let mut tiff = b"MM\0\x2a\0\0\0\x08".to_vec();
    tiff.extend(3u16.to_be_bytes());
    entry(&mut tiff, 0x0112, 3, 1, [0, 6, 0, 0]);
    entry(&mut tiff, 0x8769, 4, 1, 50u32.to_be_bytes());
    entry(&mut tiff, 0x8825, 4, 1, 88u32.to_be_bytes());
    tiff.extend(0u32.to_be_bytes());
    assert_eq!(tiff.len(), 50);
    tiff.extend(1u16.to_be_bytes());
    entry(&mut tiff, 0x9003, 2, 20, 68u32.to_be_bytes());
    tiff.extend(0u32.to_be_bytes());
    tiff.extend(b"2019:05:17 09:00:30\0");
    assert_eq!(tiff.len(), 88);
    tiff.extend(4u16.to_be_bytes());
    entry(&mut tiff, 1, 2, 2, *b"N\0\0\0");
    entry(&mut tiff, 2, 5, 3, 142u32.to_be_bytes());
    entry(&mut tiff, 3, 2, 2, *b"E\0\0\0");
    entry(&mut tiff, 4, 5, 3, 166u32.to_be_bytes());
    tiff.extend(0u32.to_be_bytes());
    assert_eq!(tiff.len(), 142);
    for (n, d) in [(22u32, 1u32), (46, 1), (3000, 100), (113, 1), (54, 1), (0, 1)] {
        tiff.extend(n.to_be_bytes());
        tiff.extend(d.to_be_bytes());
    }
    tiff
}

fn segment(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, kind][..], &u16::try_from(body.len() + 2).unwrap().to_be_bytes(), body].concat()
}

fn jpeg(extra: &[Vec<u8>]) -> Vec<u8> {
    let scan = [0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56];
    [
        &[0xff, 0xd8][..],
        &segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        &extra.concat(),
        &segment(0xdb, &[1; 65]),
        &segment(0xda, &[1, 2, 3]),
        &scan,
        &[0xff, 0xd9],
    ]
    .concat()
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], name, body, &[0; 4]].concat()
}

fn riff(parts: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, part) in parts {
        body.extend(*name);
        body.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        body.extend(*part);
        body.extend(vec![0; part.len() % 2]);
    }
    [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

fn photos() -> Vec<(MediaType, Vec<u8>, Vec<u8>)> {
    let exif = [b"Exif\0\0", &notes()[..]].concat();
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x exif:GPSLatitude='22,46.5N'/>";
    let png = |extra: Vec<u8>, behind: &[u8]| {
        let parts = [chunk(b"IHDR", &[0; 13]), extra, chunk(b"IDAT", &[7; 9]), chunk(b"IEND", &[])];
        [crate::attachments::metadata::PNG_SIGNATURE, &parts.concat(), behind].concat()
    };
    let text = chunk(b"tEXt", b"Comment\0by the drain");
    vec![
        (
            MediaType::Jpeg,
            [
                jpeg(&[
                    segment(0xe1, &exif),
                    segment(0xe1, xmp),
                    segment(0xfe, b"by the drain"),
                    segment(0xed, b"8BIM"),
                ]),
                b"hidden".to_vec(),
            ]
            .concat(),
            jpeg(&[]),
        ),
        (MediaType::Png, png([chunk(b"eXIf", &notes()), text].concat(), b"hidden"), png(vec![], b"")),
        (
            MediaType::Webp,
            [
                riff(&[
                    (b"VP8X", &[0x0c, 0, 0, 0, 1, 0, 0, 1, 0, 0]),
                    (b"VP8 ", &[9; 5]),
                    (b"EXIF", &notes()),
                    (b"XMP ", xmp),
                ]),
                b"hidden".to_vec(),
            ]
            .concat(),
            riff(&[(b"VP8X", &[0; 10]), (b"VP8 ", &[9; 5])]),
        ),
    ]
}

#[test]
fn a_photo_gives_its_place_and_time_as_evidence_and_tells_them_no_more() {
    for (media_type, photo, _) in photos() {
        let prepared = prepare(&photo).unwrap();
        assert_eq!(prepared.media_type, media_type);
        let expected = Evidence {
            taken_ms: Some(beijing_ms(2019, 5, 17, 9, 0) + 30_000),
            location: Some(Location { latitude: 22_775_000, longitude: 113_900_000 }),
        };
        assert_eq!(prepared.evidence, expected, "{media_type:?}");
        for told in [b"2019".as_slice(), b"GPS", b"drain", b"hidden", b"8BIM"] {
            assert!(!prepared.bytes.windows(told.len()).any(|w| w == told), "{media_type:?} still tells {told:?}");
        }
        let again = prepare(&prepared.bytes).unwrap();
        assert_eq!(again.bytes, prepared.bytes, "{media_type:?}: preparing twice is preparing once");
        assert_eq!(again.evidence, Evidence::default());
    }
}

#[test]
fn the_picture_stays_byte_for_byte_and_so_does_how_it_is_turned() {
    for (media_type, photo, bare) in photos() {
        let prepared = prepare(&photo).unwrap().bytes;
        assert_eq!(prepare(&bare).unwrap().bytes, bare, "{media_type:?}: nothing to take out");
        let notes: &[u8] = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06";
        assert!(prepared.windows(notes.len()).any(|w| w == notes), "{media_type:?} has forgotten how it is turned");
        let body: &[u8] = match media_type {
            MediaType::Jpeg => &[0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56, 0xff, 0xd9],
            MediaType::Png => b"IDAT\x07\x07\x07\x07\x07\x07\x07\x07\x07",
            _ => b"VP8 \x05\0\0\0\x09\x09\x09\x09\x09\0",
        };
        assert!(prepared.windows(body.len()).any(|w| w == body), "{media_type:?}");
    }
}

#[test]
fn a_file_cut_anywhere_or_with_any_byte_altered_never_breaks_the_program_and_stays_prepared_once_it_is() {
    for (_, photo, _) in photos() {
        let whole = prepare(&photo).unwrap().bytes.len();
        for n in 0..whole.min(photo.len()) {
            if let Ok(prepared) = prepare(&photo[..n]) {
                assert_eq!(prepare(&prepared.bytes).unwrap().bytes, prepared.bytes);
            }
        }
        for n in 0..photo.len() {
            let mut altered = photo.clone();
            altered[n] ^= 0x41;
            if let Ok(prepared) = prepare(&altered) {
                let again = prepare(&prepared.bytes).unwrap();
                assert_eq!((again.bytes, again.evidence.location), (prepared.bytes, None), "byte {n}");
            }
        }
    }
}

#[test]
fn what_a_file_is_is_told_by_its_contents() {
    let m4a = |inner: &[u8]| {
        let mut file = b"\0\0\0\x10ftypM4A \0\0\0\0".to_vec();
        for (name, body) in [(b"moov", inner), (b"mdat", b"\xa9xyz is sound here".as_slice())] {
            file.extend(u32::try_from(body.len() + 8).unwrap().to_be_bytes());
            file.extend(name);
            file.extend(body);
        }
        file
    };
    assert_eq!(prepare(&m4a(b"udta")).unwrap().media_type, MediaType::M4a);
    assert_eq!(prepare(&m4a(b"udta\xa9xyz+22.7+113.9/")), Err(MediaError::Located));
    assert_eq!(prepare(b"%PDF-1.7 ...").unwrap().media_type, MediaType::Pdf);
    assert_eq!(prepare(b""), Err(MediaError::Empty));
    for other in [&b"<html><script>"[..], b"MZ\x90\0", b"GIF89a", b"PK\x03\x04", b"<svg xmlns=", b"RIFF\0\0\0\0WAVE"] {
        assert_eq!(prepare(other), Err(MediaError::Unknown), "{other:?}");
    }
    for kind in [MediaType::Jpeg, MediaType::Png, MediaType::Webp, MediaType::Pdf, MediaType::M4a] {
        assert_eq!(MediaType::parse(kind.as_str()), Some(kind));
    }
}
