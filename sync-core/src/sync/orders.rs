//! What the server orders a phone to do with what it holds, how the phone confirms it, and the last word of a phone that was revoked.
//! An order stands until it is confirmed; obeying it twice changes nothing.

use serde::{Deserialize, Serialize};

use super::bundle::{DeviceKey, verify};
use super::pledge::{Resupplied, Resupply};
use super::wire::{BundleRefused, Bytes, Doubt, PushResult, SignedBundle, WireError, from_cbor, to_cbor};
use crate::ids::{AreaCode, BundleId, DeviceId, DocumentId, JournalId};
use crate::limits;

const DOMAIN: &[u8] = b"fengqiao-last-word-v1";

/// When a phone locks itself, what wrong PINs cost, and how long closed records stay on it. The server's word; a phone that never heard it keeps the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhonePolicy {
    /// How long nobody may touch it before it locks, ms.
    #[serde(rename = "i")]
    pub idle_ms: i64,
    /// After how many wrong PINs in a row everything is destroyed; never when absent.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub wipe_after_tries: Option<u32>,
    /// After how many days without a change a closed record leaves the phone; never when absent.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub closed_days: Option<u32>,
}

impl Default for PhonePolicy {
    fn default() -> Self {
        Self { idle_ms: 5 * 60 * 1000, wipe_after_tries: None, closed_days: Some(90) }
    }
}

/// What a phone has done of what it was ordered, and what it knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confirmed {
    /// Documents that were purged.
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<DocumentId>,
    /// Communities that were purged.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<AreaCode>,
    /// The policy it keeps; absent while it keeps the default.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PhonePolicy>,
}

/// What a phone is ordered beside purging single documents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orders {
    /// Communities of which everything is to be purged.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<AreaCode>,
    /// A policy other than the one that the phone says it keeps.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PhonePolicy>,
    /// Of the documents to be purged those that were erased by law: nothing of them stays, sent or not.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<DocumentId>,
    /// How often the server has found contents of attachments lost. Whoever knew another number asks about all that lie here.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub losses: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Confirmed {
    /// Checks the counts.
    pub fn check(&self) -> Result<(), WireError> {
        let n = self.documents.len() + self.communities.len();
        if n > limits::REQUEST_CONFIRMED_MAX {
            let max = limits::REQUEST_CONFIRMED_MAX;
            return Err(WireError::Malformed(format!("{n} confirmations; the limit is {max}")));
        }
        Ok(())
    }
}

/// What a revoked phone says, signed by its key: it has no session any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWord {
    /// Who speaks.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// What it had not sent; before that, what it carries for others.
    #[serde(rename = "b", default)]
    pub bundles: Vec<SignedBundle>,
    /// The order to wipe that it has carried out.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub wiped: Option<BundleId>,
    /// Records that it holds, with their heads: a restored server may lack them. Asked once the server was found to be another one.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
    /// What a restored server has lost, with the proof that it had it.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub resupply: Option<Resupply>,
    /// Nothing more can be brought: changes whose ground the server lacks are to be kept in quarantine.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
}

impl LastWord {
    /// One of a phone that has nothing to say.
    #[must_use]
    pub fn of(device: DeviceId) -> Self {
        Self { device, bundles: Vec::new(), wiped: None, doubts: Vec::new(), resupply: None, last: false }
    }
}

/// A last word as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedLastWord {
    /// The [`LastWord`] as CBOR.
    #[serde(rename = "p")]
    pub payload: Bytes,
    /// Ed25519 signature of the device over the domain `fengqiao-last-word-v1` and the payload.
    #[serde(rename = "s")]
    pub signature: Bytes,
}

/// What the server answers to a last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// The server's time, ms UTC.
    #[serde(rename = "w")]
    pub now_ms: i64,
    /// One for each change that could be read.
    #[serde(rename = "r", default)]
    pub results: Vec<PushResult>,
    /// Bundles that were not opened.
    #[serde(rename = "f", default)]
    pub refused: Vec<BundleRefused>,
    /// The order to destroy everything, as long as it is not confirmed.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub wipe: Option<BundleId>,
    /// The identity of the server's journal: another one than before means a restored server, which may lack what the phone holds.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalId>,
    /// Of the records asked about those of which the server lacks something that the phone has named. What the server has beyond
    /// that is not told.
    #[serde(rename = "m", default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<DocumentId>,
    /// What became of what was handed in for a restored server.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub resupplied: Vec<Resupplied>,
}

impl SignedLastWord {
    /// Signs one.
    pub fn seal(word: &LastWord, key: &DeviceKey) -> Result<Self, WireError> {
        let payload = to_cbor(word)?;
        let signature = key.sign(DOMAIN, &payload).to_vec();
        Ok(Self { payload: Bytes::from(payload), signature: Bytes::from(signature) })
    }

    /// Reads what the signature covers, without trusting it yet: it says whose key must verify it.
    pub fn read(&self) -> Result<LastWord, WireError> {
        let word: LastWord = from_cbor(&self.payload)?;
        if word.bundles.len() > limits::REQUEST_BUNDLES_MAX {
            let max = limits::REQUEST_BUNDLES_MAX;
            return Err(WireError::Malformed(format!("{} bundles; the limit is {max}", word.bundles.len())));
        }
        if word.doubts.len() > limits::REQUEST_DOUBTS_MAX {
            let max = limits::REQUEST_DOUBTS_MAX;
            return Err(WireError::Malformed(format!("{} records in doubt; the limit is {max}", word.doubts.len())));
        }
        word.resupply.as_ref().map_or(Ok(()), Resupply::check)?;
        Ok(word)
    }

    /// Whether the device signed it.
    pub fn is_signed_by(&self, public: &[u8; 32]) -> bool {
        verify(public, DOMAIN, &self.payload, &self.signature)
    }
}
