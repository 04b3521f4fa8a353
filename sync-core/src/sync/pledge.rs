//! The server's pledge: its signed word, with every answer that acknowledges or delivers something, that certain changes stand in its
//! journal, and with each of them all that it builds on. A phone keeps it and shows it to a server that was restored from a backup
//! and has lost them. What is pledged follows from the answer itself, so that 64 bytes of signature are all that travels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bundle::{DeviceKey, verify};
use super::wire::{Bytes, Delivery, PushOutcome, SyncResponse, WireError};
use crate::document::{ChangeHash, Document};
use crate::error::RefusalCode;
use crate::ids::{DocumentId, JournalId};
use crate::limits;

const DOMAIN: &[u8] = b"fengqiao-pledge-v1";

/// What an answer pledges: of each document the changes on which no other of them builds.
pub type Pledged = BTreeMap<DocumentId, BTreeSet<ChangeHash>>;

/// The pledge of an answer (`s` of the response).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PledgeNote {
    /// The signature.
    #[serde(rename = "g")]
    pub signature: Bytes,
    /// Doubts of the request of which every head stands here: one bit for each, the first in the lowest bit of the first byte.
    #[serde(rename = "h", default, skip_serializing_if = "nothing")]
    pub standing: Bytes,
}

/// A pledge as a phone shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pledge {
    /// Of which journal.
    #[serde(rename = "j")]
    pub journal: JournalId,
    /// When it was given, ms UTC.
    #[serde(rename = "w")]
    pub at_ms: i64,
    /// The signature.
    #[serde(rename = "g")]
    pub signature: Bytes,
    /// The changes that it is about: 32 bytes each, sorted.
    #[serde(rename = "l")]
    pub list: Bytes,
}

/// What a phone hands in to a restored server, and how far it has come (`p` of the request).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resupply {
    /// The pledges that cover the changes.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub pledges: Vec<Pledge>,
    /// Receipts that came with changes from phone to phone; they cover as pledges do.
    #[serde(rename = "v", default, skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<Bytes>,
    /// The changes, whoever made them, document by document.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Delivery>,
    /// Documents that are still to be compared or handed in after this request.
    #[serde(rename = "n", default)]
    pub left: u64,
    /// Documents of which this phone holds what the server lacks and has no pledge for.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<DocumentId>,
}

/// What became of one document that was handed in (`p` of the response).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resupplied {
    /// Which.
    #[serde(rename = "d")]
    pub document: DocumentId,
    /// Changes that stand in the journal since now.
    #[serde(rename = "t")]
    pub taken: u64,
    /// Why the next one, and with it the rest, was not taken.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<(RefusalCode, String)>,
    /// Changes whose place another change of their actor holds: they stand in quarantine, and with them all of what was handed in that
    /// builds on them. The phone goes on without them.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<ChangeHash>,
}

/// The doubts of a request of which every head stands in the journal, as bits.
pub fn bits(standing: impl Iterator<Item = bool>) -> Bytes {
    let mut bytes: Vec<u8> = Vec::new();
    for (i, one) in standing.enumerate() {
        if i % 8 == 0 {
            bytes.push(0);
        }
        if let Some(last) = bytes.last_mut().filter(|_| one) {
            *last |= 1 << (i % 8);
        }
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Bytes::from(bytes)
}

fn nothing(bytes: &Bytes) -> bool {
    bytes.is_empty()
}

fn bit(bytes: &[u8], i: usize) -> bool {
    bytes.get(i / 8).is_some_and(|byte| byte & (1 << (i % 8)) != 0)
}

/// What an answer pledges. Of each document: the last of the request's changes that was accepted or known, the changes delivered, and
/// the heads in doubt that stand; less those on which a delivered one builds. Nothing of documents that are to be forgotten.
pub fn pledged<'a>(
    response: &SyncResponse,
    standing: &[u8],
    doubts: impl Iterator<Item = (DocumentId, &'a [ChangeHash])>,
) -> Pledged {
    let mut pledged = Pledged::new();
    let mut last: BTreeMap<DocumentId, ChangeHash> = BTreeMap::new();
    for result in &response.results {
        if matches!(result.outcome, PushOutcome::Accepted(_) | PushOutcome::Duplicate) {
            last.insert(result.document, result.hash);
        }
    }
    for (document, hash) in last {
        pledged.entry(document).or_default().insert(hash);
    }
    for (i, (document, heads)) in doubts.enumerate() {
        if bit(standing, i) {
            pledged.entry(document).or_default().extend(heads.iter().copied());
        }
    }
    for delivery in &response.deliveries {
        let of_document = pledged.entry(delivery.document).or_default();
        // Each comes after those that it builds on.
        for change in &delivery.changes {
            let Some((hash, deps)) = Document::links(change) else { continue };
            for dep in &deps {
                of_document.remove(dep);
            }
            of_document.insert(hash);
        }
    }
    for id in &response.purge {
        pledged.remove(id);
    }
    pledged.retain(|_, hashes| !hashes.is_empty());
    pledged
}

/// The list that a pledge is about.
pub fn list(pledged: &Pledged) -> Vec<u8> {
    let all: BTreeSet<ChangeHash> = pledged.values().flatten().copied().collect();
    all.into_iter().flat_map(|hash| hash.0).collect()
}

fn message(journal: JournalId, at_ms: i64, list: &[u8]) -> Vec<u8> {
    let digest: [u8; 32] = Sha256::digest(list).into();
    [journal.0.as_bytes().as_slice(), &at_ms.to_be_bytes(), &digest].concat()
}

/// The signature of a pledge.
pub fn sign(key: &DeviceKey, journal: JournalId, at_ms: i64, list: &[u8]) -> Bytes {
    Bytes::from(key.sign(DOMAIN, &message(journal, at_ms, list)).to_vec())
}

impl Pledge {
    /// Whether one of these keys has signed it.
    pub fn is_genuine(&self, keys: &[[u8; 32]]) -> bool {
        let message = message(self.journal, self.at_ms, &self.list);
        keys.iter().any(|key| verify(key, DOMAIN, &message, &self.signature))
    }

    /// The changes that it is about.
    pub fn hashes(&self) -> impl Iterator<Item = ChangeHash> {
        self.list.as_chunks::<32>().0.iter().map(|h| ChangeHash(*h))
    }
}

impl Resupply {
    /// Checks counts and lengths.
    pub fn check(&self) -> Result<(), WireError> {
        let counts = [
            (self.pledges.len() + self.receipts.len(), limits::REQUEST_PLEDGES_MAX, "pledges"),
            (self.documents.len(), limits::REQUEST_DOUBTS_MAX, "documents handed in"),
            (self.unproven.len(), limits::REQUEST_DOUBTS_MAX, "documents without a pledge"),
        ];
        if let Some((n, max, what)) = counts.iter().find(|(n, max, _)| n > max) {
            return Err(WireError::Malformed(format!("{n} {what}; the limit is {max}")));
        }
        match self.pledges.iter().any(|p| p.list.is_empty() || p.list.len() % 32 != 0) {
            true => Err(WireError::Malformed("the list of a pledge is no list of changes".into())),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
