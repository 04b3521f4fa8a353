//! Photos for tests: real pictures that a camera could have taken, each different from every other.

use image::{ImageFormat, RgbImage};

/// A JPEG without any notes; another one for each seed. Some 3 bytes for 4 points.
pub fn photo(seed: u32, width: u32, height: u32) -> Vec<u8> {
    encoded(seed, width, height, ImageFormat::Jpeg)
}

/// A picture in a format.
pub fn encoded(seed: u32, width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let picture = RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [r, g, b, _] = state.to_le_bytes();
        image::Rgb([r, g, b])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A camera's notes: turned by a quarter, taken on 17 May 2019 at 09:00:30 Beijing time, at 22.775 N 113.9 E.
pub fn notes() -> Vec<u8> {
    fn entry(out: &mut Vec<u8>, tag: u16, kind: u16, count: u32, value: [u8; 4]) {
        out.extend(tag.to_be_bytes());
        out.extend(kind.to_be_bytes());
        out.extend(count.to_be_bytes());
        out.extend(value);
    }
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x03".to_vec();
    entry(&mut tiff, 0x0112, 3, 1, [0, 6, 0, 0]);
    entry(&mut tiff, 0x8769, 4, 1, 50u32.to_be_bytes());
    entry(&mut tiff, 0x8825, 4, 1, 88u32.to_be_bytes());
    tiff.extend([0; 4]);
    tiff.extend(1u16.to_be_bytes());
    entry(&mut tiff, 0x9003, 2, 20, 68u32.to_be_bytes());
    tiff.extend([0; 4]);
    tiff.extend(b"2019:05:17 09:00:30\0");
    tiff.extend(4u16.to_be_bytes());
    entry(&mut tiff, 1, 2, 2, *b"N\0\0\0");
    entry(&mut tiff, 2, 5, 3, 142u32.to_be_bytes());
    entry(&mut tiff, 3, 2, 2, *b"E\0\0\0");
    entry(&mut tiff, 4, 5, 3, 166u32.to_be_bytes());
    tiff.extend([0; 4]);
    for (n, d) in [(22u32, 1u32), (46, 1), (3000, 100), (113, 1), (54, 1), (0, 1)] {
        tiff.extend(n.to_be_bytes());
        tiff.extend(d.to_be_bytes());
    }
    tiff
}

/// The photo as the camera gives it: with time, place and how it is to be turned.
pub fn from_camera(photo: &[u8]) -> Vec<u8> {
    let exif = [b"Exif\0\0", &notes()[..]].concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&photo[..2], &[0xff, 0xe1], &length, &exif, &photo[2..]].concat()
}

/// A PNG that says of itself to have this many points and holds next to nothing.
pub fn bomb(width: u32, height: u32) -> Vec<u8> {
    let small = encoded(1, 1, 1, ImageFormat::Png);
    let mut bytes = small.clone();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = !bytes[12..29].iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 })
    });
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}
