//! What the demo's phones photograph: the gate of the building and its stairway, drawn, for there is no photo of that day. JPEG, as a
//! camera writes it.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use super::Fallible;

/// Points.
const SIZE: (u32, u32) = (960, 720);

/// A surface: left, top, right, bottom, and its colour. Later ones lie over earlier ones.
type Surface = (u32, u32, u32, u32, [u8; 3]);

const WALL: [u8; 3] = [196, 186, 168];
const DARK: [u8; 3] = [52, 50, 48];
const GLASS: [u8; 3] = [120, 140, 150];
const STEP: [u8; 3] = [150, 146, 138];
const CARDBOARD: [u8; 3] = [176, 132, 84];
const EDGE: [u8; 3] = [126, 92, 56];

/// The gate from outside.
const GATE: &[Surface] = &[
    (0, 0, 960, 150, [190, 206, 218]),
    (0, 120, 960, 590, WALL),
    (0, 590, 960, 720, [128, 126, 122]),
    (70, 190, 250, 360, DARK),
    (80, 200, 240, 350, GLASS),
    (156, 200, 164, 350, DARK),
    (710, 190, 890, 360, DARK),
    (720, 200, 880, 350, GLASS),
    (796, 200, 804, 350, DARK),
    (360, 240, 600, 600, [96, 44, 36]),
    (380, 262, 470, 596, DARK),
    (490, 262, 580, 596, [120, 62, 50]),
    (340, 212, 620, 240, [150, 30, 30]),
    (350, 590, 610, 612, STEP),
];

/// The stairway with what was put there.
const STAIRWAY: &[Surface] = &[
    (0, 0, 960, 720, [150, 146, 136]),
    (0, 0, 300, 720, [170, 164, 150]),
    (300, 90, 960, 180, [138, 134, 126]),
    (420, 180, 960, 260, STEP),
    (420, 250, 960, 260, DARK),
    (380, 260, 960, 340, [160, 156, 148]),
    (380, 330, 960, 340, DARK),
    (340, 340, 960, 430, STEP),
    (340, 420, 960, 430, DARK),
    (300, 430, 960, 530, [160, 156, 148]),
    (300, 520, 960, 530, DARK),
    (0, 560, 960, 720, [118, 114, 108]),
    (520, 300, 720, 460, CARDBOARD),
    (520, 372, 720, 380, EDGE),
    (430, 450, 690, 660, [188, 146, 98]),
    (430, 548, 690, 558, EDGE),
    (700, 470, 880, 660, CARDBOARD),
    (786, 470, 796, 660, EDGE),
    (180, 520, 400, 660, [92, 110, 96]),
    (180, 580, 400, 590, [60, 74, 64]),
];

/// The gate of 水利组17-5栋.
pub(super) fn gate() -> Fallible<Vec<u8>> {
    taken(GATE, 0)
}

/// Its stairway on some floor: no two photos are the same.
pub(super) fn stairway(floor: u32) -> Fallible<Vec<u8>> {
    taken(STAIRWAY, floor)
}

fn taken(surfaces: &[Surface], mut grain: u32) -> Fallible<Vec<u8>> {
    let photo = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let lies = |s: &&Surface| (s.0..s.2).contains(&x) && (s.1..s.3).contains(&y);
        let colour = surfaces.iter().rev().find(lies).map_or(DARK, |s| s.4);
        grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [.., noise] = grain.to_le_bytes();
        // Darker towards the ground, and never quite even.
        let shade = u8::try_from(y / 24).unwrap_or(u8::MAX);
        Rgb(colour.map(|c| c.saturating_sub(shade).saturating_add(noise / 16)))
    });
    let mut bytes = Cursor::new(Vec::new());
    photo.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}
