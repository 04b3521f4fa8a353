//! Changes in a row as they travel: without what the receiver can compute. A change mostly depends on the one before it, whose hash
//! (32 bytes that no compression shortens) the receiver knows, and its checksum is the beginning of its own hash. What does not
//! fit the form travels as it is; unpacking gives the very bytes that were packed.
//!
//! Each change is one byte string. Its first byte says how the rest is to be read: `0` a whole chunk; `1` the content of a change
//! chunk, its head (magic bytes, checksum, type, length) left out; `2` the same without its dependencies, which are exactly the change
//! before it in the list.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use sha2::{Digest, Sha256};

use super::wire::{BundleChange, Bytes};

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE: u8 = 1;
const WHOLE: u8 = 0;
const CONTENT: u8 = 1;
const FOLLOWING: u8 = 2;

type Hash = [u8; 32];

fn length(mut n: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(3);
    loop {
        let low = u8::try_from(n & 0x7f).unwrap_or(0);
        n >>= 7;
        if n == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// The chunk of a content, and its hash.
fn chunk(content: &[u8]) -> (Vec<u8>, Hash) {
    let length = length(content.len());
    let hash: Hash = Sha256::new().chain_update([CHANGE]).chain_update(&length).chain_update(content).finalize().into();
    let mut out = Vec::with_capacity(content.len() + 16);
    out.extend_from_slice(&MAGIC);
    out.extend(hash.iter().take(4));
    out.push(CHANGE);
    out.extend_from_slice(&length);
    out.extend_from_slice(content);
    (out, hash)
}

/// The content of a chunk, if packing it loses nothing.
fn content(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    let mut size = 0usize;
    let mut head = 9;
    for shift in [0, 7, 14, 21] {
        let byte = *bytes.get(head)?;
        head += 1;
        size |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let content = bytes.get(head..).filter(|c| c.len() == size)?;
    let (again, hash) = chunk(content);
    (again == bytes).then_some((content, hash))
}

/// Packs one change; `before` is the hash of the one before it in the list.
fn pack(bytes: &[u8], before: Option<&Hash>) -> (Vec<u8>, Option<Hash>) {
    let Some((content, hash)) = content(bytes) else { return ([&[WHOLE], bytes].concat(), None) };
    let rest = content.strip_prefix(&[1]).and_then(|c| c.strip_prefix(before?.as_slice()));
    let packed = match rest {
        Some(rest) => [&[FOLLOWING], rest].concat(),
        None => [&[CONTENT], content].concat(),
    };
    (packed, Some(hash))
}

fn unpack(packed: &[u8], before: Option<&Hash>) -> Result<(Vec<u8>, Option<Hash>), &'static str> {
    let (form, rest) = packed.split_first().ok_or("a change has no bytes")?;
    match *form {
        WHOLE => Ok((rest.to_vec(), content(rest).map(|(_, hash)| hash))),
        CONTENT => {
            let (bytes, hash) = chunk(rest);
            Ok((bytes, Some(hash)))
        }
        FOLLOWING => {
            let before = before.ok_or("a change follows one that is not there")?;
            let (bytes, hash) = chunk(&[&[1], before.as_slice(), rest].concat());
            Ok((bytes, Some(hash)))
        }
        _ => Err("a change in a form that this program does not know"),
    }
}

/// For `#[serde(with)]`: the changes of a delivery.
pub(super) mod delivered {
    use super::*;

    pub(in crate::sync) fn serialize<S: Serializer>(changes: &[Bytes], s: S) -> Result<S::Ok, S::Error> {
        let mut before = None;
        s.collect_seq(changes.iter().map(|change| {
            let (packed, hash) = pack(change, before.as_ref());
            before = hash;
            Bytes::from(packed)
        }))
    }

    pub(in crate::sync) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Bytes>, D::Error> {
        let mut before = None;
        let mut out = Vec::new();
        for packed in Vec::<Bytes>::deserialize(d)? {
            let (bytes, hash) = unpack(&packed, before.as_ref()).map_err(D::Error::custom)?;
            before = hash;
            out.push(Bytes::from(bytes));
        }
        Ok(out)
    }
}

/// For `#[serde(with)]`: the changes of a bundle.
pub(super) mod bundled {
    use super::*;

    pub(in crate::sync) fn serialize<S: Serializer>(changes: &[BundleChange], s: S) -> Result<S::Ok, S::Error> {
        let mut before = None;
        s.collect_seq(changes.iter().map(|change| {
            let (packed, hash) = pack(&change.bytes, before.as_ref());
            before = hash;
            BundleChange { at: change.at, bytes: Bytes::from(packed) }
        }))
    }

    pub(in crate::sync) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<BundleChange>, D::Error> {
        let mut before = None;
        let mut changes = Vec::<BundleChange>::deserialize(d)?;
        for change in &mut changes {
            let (bytes, hash) = unpack(&change.bytes, before.as_ref()).map_err(D::Error::custom)?;
            before = hash;
            change.bytes = Bytes::from(bytes);
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(changes: &[Vec<u8>]) -> Vec<usize> {
        let (mut before, mut there) = (None, None);
        let mut sizes = Vec::new();
        for bytes in changes {
            let (packed, hash) = pack(bytes, before.as_ref());
            before = hash;
            let (again, hash) = unpack(&packed, there.as_ref()).unwrap();
            there = hash;
            assert_eq!(&again, bytes);
            sizes.push(packed.len());
        }
        sizes
    }

    #[test]
    fn a_change_that_follows_the_one_before_it_travels_without_hash_and_head() {
        let (first, hash) = chunk(b"\x00 the first");
        let (second, _) = chunk(&[b"\x01".as_slice(), &hash, b" the second"].concat());
        let sizes = round(&[first.clone(), second.clone(), second.clone()]);
        assert_eq!(sizes[0], first.len() - 9);
        assert_eq!(sizes[1], second.len() - 42);
        // The third does not follow the second, which is the same.
        assert_eq!(sizes[2], second.len() - 9);
    }

    #[test]
    fn bytes_that_are_no_chunk_come_out_as_they_went_in() {
        let mut damaged = chunk(b"\x00 content").0;
        damaged[5] ^= 1;
        round(&[Vec::new(), b"no change".to_vec(), damaged, vec![0x85; 300], chunk(&[7; 70_000]).0]);
    }

    #[test]
    fn a_form_that_nobody_knows_is_refused() {
        assert!(unpack(&[9, 1, 2], None).is_err());
        assert!(unpack(&[], None).is_err());
        assert!(unpack(&[FOLLOWING, 1], None).is_err());
    }
}
