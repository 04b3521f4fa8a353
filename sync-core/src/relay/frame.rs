//! A container as QR codes: frames of text that a camera may see in any order, twice, or mixed with those of another container.
//! What is put together is exactly what was taken apart, or it is an error.

use std::collections::{BTreeMap, VecDeque};

use sha2::{Digest, Sha256};

use super::RelayError;
use super::parcel::Container;
use crate::limits;

/// How every frame begins. All of a frame is in the alphabet of QR codes' alphanumeric mode.
pub const PREFIX: &str = "FQR1:";
/// How every frame ends: what is typed or scanned loses blanks at its end.
const SUFFIX: char = ':';
const HEAD_BYTES: usize = 12;
const CHECK_BYTES: usize = 4;
/// RFC 9285.
const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

/// Why a frame was not taken. What was gathered before is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another kind of code.
    #[error("this code is no frame of a relay file")]
    NotAFrame,
    /// It was misread or altered.
    #[error("the frame was misread; scan it again")]
    Damaged,
    /// It claims to belong to a container whose other frames say otherwise.
    #[error("the frame contradicts others of the same relay file; begin again")]
    Contradicts,
    /// All frames are here, but together they are not what was taken apart; they were thrown away.
    #[error("the frames do not make up the relay file; begin again")]
    Whole,
    /// Frames of too many containers at the same time.
    #[error("frames of more than {max} relay files; finish or drop some first")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// How far a container has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameState {
    /// Tells containers apart: 16 hexadecimal digits.
    pub set: String,
    /// How many frames there are.
    pub count: u16,
    /// Which are missing, counted from 1.
    pub missing: Vec<u16>,
    /// The frame had been seen before.
    pub again: bool,
    /// The container's bytes, once nothing is missing. It is given once: displays go round, and its frames come by again.
    pub whole: Option<Vec<u8>>,
}

/// Takes a container apart. `payload_bytes` is how much each frame carries; it is brought between the limits.
pub fn frames(container: &Container, payload_bytes: usize) -> Result<Vec<String>, RelayError> {
    let size = payload_bytes.clamp(limits::FRAME_PAYLOAD_BYTES_MIN, limits::FRAME_PAYLOAD_BYTES_MAX);
    let bytes = container.bytes();
    let too_large = |_| RelayError::TooLarge { max: limits::FRAMES_MAX, what: "frames" };
    let count = u16::try_from(bytes.len().div_ceil(size)).map_err(too_large)?;
    let name = name_of(bytes);
    let frame = |(index, payload): (u16, &[u8])| {
        let mut frame = [name.as_slice(), &index.to_be_bytes(), &count.to_be_bytes(), payload].concat();
        frame.extend(check(&frame));
        format!("{PREFIX}{}{SUFFIX}", to_text(&frame))
    };
    Ok((0..count).zip(bytes.chunks(size)).map(frame).collect())
}

/// Gathers frames of one or several containers.
#[derive(Debug, Default)]
pub struct FrameSet {
    open: BTreeMap<[u8; 8], Gathered>,
    /// The last ones that were given.
    given: VecDeque<[u8; 8]>,
}

#[derive(Debug)]
struct Gathered {
    count: u16,
    parts: BTreeMap<u16, Vec<u8>>,
}

impl FrameSet {
    /// Takes a frame as it was scanned.
    pub fn add(&mut self, text: &str) -> Result<FrameState, FrameError> {
        let Frame { name, index, count, payload } = read(text)?;
        let text_of = |name: [u8; 8]| name.iter().map(|b| format!("{b:02x}")).collect();
        if self.given.contains(&name) {
            return Ok(FrameState { set: text_of(name), count, missing: Vec::new(), again: true, whole: None });
        }
        if !self.open.contains_key(&name) && self.open.len() >= limits::FRAME_SETS_MAX {
            return Err(FrameError::TooMany { max: limits::FRAME_SETS_MAX });
        }
        let set = self.open.entry(name).or_insert_with(|| Gathered { count, parts: BTreeMap::new() });
        if set.count != count {
            return Err(FrameError::Contradicts);
        }
        let again = match set.parts.get(&index) {
            Some(known) if *known != payload => return Err(FrameError::Contradicts),
            Some(_) => true,
            None => {
                let size: usize = set.parts.values().map(Vec::len).sum();
                if size + payload.len() > limits::PARCEL_BYTES_MAX {
                    return Err(FrameError::Contradicts);
                }
                set.parts.insert(index, payload);
                false
            }
        };
        let missing: Vec<u16> = (0..count).filter(|i| !set.parts.contains_key(i)).map(|i| i + 1).collect();
        let mut whole = None;
        if missing.is_empty() {
            let bytes = self.open.remove(&name).map(|s| s.parts.into_values().collect::<Vec<_>>().concat());
            let bytes = bytes.unwrap_or_default();
            if name_of(&bytes) != name {
                return Err(FrameError::Whole);
            }
            whole = Some(bytes);
            self.given.truncate(limits::FRAME_SETS_GIVEN_MAX - 1);
            self.given.push_front(name);
        }
        Ok(FrameState { set: text_of(name), count, missing, again, whole })
    }

    /// How many containers have frames here and are not whole.
    pub fn unfinished(&self) -> usize {
        self.open.len()
    }
}

/// Puts together the frames of a text, one in a line; every container must be whole.
pub fn whole_of_lines(bytes: &[u8]) -> Result<Vec<Vec<u8>>, RelayError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RelayError::Damaged)?;
    let mut set = FrameSet::default();
    let mut whole = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        whole.extend(set.add(line).map_err(|_| RelayError::Damaged)?.whole);
    }
    if set.unfinished() == 0 { Ok(whole) } else { Err(RelayError::Truncated) }
}

struct Frame {
    name: [u8; 8],
    index: u16,
    count: u16,
    payload: Vec<u8>,
}

fn read(text: &str) -> Result<Frame, FrameError> {
    let inner = text.trim().strip_prefix(PREFIX).ok_or(FrameError::NotAFrame)?;
    let inner = inner.strip_suffix(SUFFIX).ok_or(FrameError::Damaged)?;
    let longest = HEAD_BYTES + limits::FRAME_PAYLOAD_BYTES_MAX + CHECK_BYTES;
    if inner.len() > longest.div_ceil(2) * 3 {
        return Err(FrameError::Damaged);
    }
    let bytes = of_text(inner).ok_or(FrameError::Damaged)?;
    let (covered, told) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(FrameError::Damaged)?;
    if check(covered) != *told {
        return Err(FrameError::Damaged);
    }
    let (name, rest) = covered.split_first_chunk::<8>().ok_or(FrameError::Damaged)?;
    let (index, rest) = rest.split_first_chunk::<2>().ok_or(FrameError::Damaged)?;
    let (count, payload) = rest.split_first_chunk::<2>().ok_or(FrameError::Damaged)?;
    let (index, count) = (u16::from_be_bytes(*index), u16::from_be_bytes(*count));
    if index >= count || usize::from(count) > limits::FRAMES_MAX || payload.is_empty() {
        return Err(FrameError::Damaged);
    }
    Ok(Frame { name: *name, index, count, payload: payload.to_vec() })
}

fn name_of(bytes: &[u8]) -> [u8; 8] {
    first(&Sha256::digest(bytes))
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    first(&Sha256::digest(bytes))
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk::<N>().copied().unwrap_or([0; N])
}

/// Base45 (RFC 9285): two bytes are three letters, a last one two.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(2) * 3);
    for pair in bytes.chunks(2) {
        let number = pair.iter().fold(0usize, |n, b| n * 256 + usize::from(*b));
        let letters = [number % 45, number / 45 % 45, number / 2025];
        let count = if pair.len() == 2 { 3 } else { 2 };
        text.extend(letters.iter().take(count).filter_map(|l| ALPHABET.get(*l)).map(|b| char::from(*b)));
    }
    text
}

fn of_text(text: &str) -> Option<Vec<u8>> {
    let value = |letter: &u8| ALPHABET.iter().position(|a| a == letter);
    let mut bytes = Vec::with_capacity(text.len() / 3 * 2 + 1);
    for letters in text.as_bytes().chunks(3) {
        let mut number = 0;
        for letter in letters.iter().rev() {
            number = number * 45 + value(letter)?;
        }
        match letters.len() {
            3 => bytes.extend(u16::try_from(number).ok()?.to_be_bytes()),
            2 => bytes.push(u8::try_from(number).ok()?),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_frames_use_the_base45_of_the_standard() {
        for (bytes, text) in
            [("AB", "BB8"), ("Hello!!", "%69 VD92EX0"), ("base-45", "UJCLQE7W581"), ("ietf!", "QED8WEX0")]
        {
            assert_eq!(to_text(bytes.as_bytes()), text);
            assert_eq!(of_text(text).unwrap(), bytes.as_bytes());
        }
        for wrong in ["GGW", ":::", "A", "ab", "é"] {
            assert_eq!(of_text(wrong), None, "{wrong}");
        }
    }
}
