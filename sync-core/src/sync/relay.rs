//! What a sync says about relay: parcels carried for others, what became of them, and the keys by which all of it is sealed and
//! believed. Absent from a sync that has nothing to say about it.

use serde::{Deserialize, Serialize};

use super::wire::{Bytes, Doubt, WireError};
use crate::limits;

/// What a phone says (`y` of the request).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RelayAsk {
    /// The mark of the keys that the phone knows, as the server gave it; empty before the first contact.
    #[serde(rename = "k", default)]
    pub mark: Bytes,
    /// Until when the phone's certificate holds, ms UTC; 0 when it has none.
    #[serde(rename = "u", default)]
    pub certified_until_ms: i64,
    /// Heads of documents that the phone wants proven, to show the proof to other phones.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    pub prove: Vec<Doubt>,
    /// Parcels of others, as they travel.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub parcels: Vec<Bytes>,
}

/// What the server answers (`k` of the response).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RelayNews {
    /// The keys, when the phone knows other ones.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<RelayKeys>,
    /// A new certificate of the phone, when the old one is due.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Bytes>,
    /// The proof: a signed receipt that names those of the heads which stand in the journal.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Bytes>,
    /// What became of the parcels, in their order.
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    pub parcels: Vec<ParcelAnswer>,
}

/// The server's public keys as far as relay needs them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayKeys {
    /// Tells these keys from others; the phone sends it back.
    #[serde(rename = "m")]
    pub mark: Bytes,
    /// What parcels are sealed to, 32 bytes.
    #[serde(rename = "s")]
    pub seal: Bytes,
    /// By which receipts and certificates are verified, 32 bytes each, the one in use first.
    #[serde(rename = "v")]
    pub verify: Vec<Bytes>,
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParcelOutcome {
    /// Opened, and everything in it judged; nobody need carry it any more.
    Taken,
    /// Opened, but something in it builds on what is not here yet: carry it on and hand it in again.
    Waiting,
    /// Not opened, for a reason that another attempt does not change: a stable code, and in words.
    Refused(String, String),
}

/// The answer to one parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParcelAnswer {
    /// SHA-256 of the parcel's bytes.
    #[serde(rename = "d")]
    pub digest: Bytes,
    /// What became of it.
    #[serde(rename = "o")]
    pub outcome: ParcelOutcome,
    /// The server's signed receipt for what is durable of it, to be carried back.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Bytes>,
}

impl RelayAsk {
    /// Whether it is worth a request of its own.
    pub fn asks(&self) -> bool {
        !self.parcels.is_empty() || !self.prove.is_empty()
    }

    /// Checks counts and lengths.
    pub fn check(&self) -> Result<(), WireError> {
        if self.parcels.len() > limits::REQUEST_PARCELS_MAX {
            let (n, max) = (self.parcels.len(), limits::REQUEST_PARCELS_MAX);
            return Err(WireError::Malformed(format!("{n} parcels; the limit is {max}")));
        }
        if self.prove.len() > limits::REQUEST_PROOFS_MAX || self.prove.iter().any(|d| d.heads.len() > 64) {
            let max = limits::REQUEST_PROOFS_MAX;
            return Err(WireError::Malformed(format!(
                "more than {max} documents to be proven, or one of more than 64 heads"
            )));
        }
        if self.mark.len() > 64 {
            return Err(WireError::Malformed("a mark of more than 64 bytes".into()));
        }
        Ok(())
    }
}
