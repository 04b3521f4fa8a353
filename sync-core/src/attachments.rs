//! The contents of attachments: what kinds of file they may be, and what a file may not tell beside its picture or sound. Contents
//! are named by the SHA-256 of their bytes, the same on phone, server and in documents; nothing here is believed because of a name.

pub mod media;
mod metadata;
#[cfg(feature = "store")]
pub mod vault;

use sha2::{Digest, Sha256};

pub use media::{Evidence, Location, MediaError, MediaType, Prepared, prepare, sniff};

/// The name of a content: lower-case hexadecimal of its SHA-256.
pub fn content_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether this is the name of a content.
pub fn is_content_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
