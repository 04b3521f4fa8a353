//! The server's signed word about changes that stand in its journal: those of a parcel, or heads that a phone asked about to show
//! the proof to other phones. It is carried back like a parcel and lets the
//! author's phone drop them from its outbox. It never tells of refusals: a refusal can still be decided otherwise, an entry in the
//! journal cannot.

use serde::{Deserialize, Serialize};

use super::parcel::ParcelDigest;
use crate::document::ChangeHash;
use crate::ids::JournalId;
use crate::sync::bundle::{DeviceKey, verify};
use crate::sync::wire::{Bytes, WireError, from_cbor, to_cbor};

const DOMAIN: &[u8] = b"fengqiao-parcel-receipt-v1";
/// A receipt as bytes: room for every change of the largest parcel.
pub const BYTES_MAX: usize = 512 * 1024;

/// What a receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// In which journal the changes stand.
    #[serde(rename = "j")]
    pub journal: JournalId,
    /// SHA-256 of the parcel; empty when the receipt is about no parcel.
    #[serde(rename = "p")]
    pub parcel: Bytes,
    /// When the server said so, ms UTC.
    #[serde(rename = "w")]
    pub at_ms: i64,
    /// Changes that stand in the journal, and with each of them all that it builds on.
    #[serde(rename = "h")]
    pub taken: Vec<ChangeHash>,
    /// How many changes of the parcel do not, for whatever reason.
    #[serde(rename = "n")]
    pub others: u64,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(rename = "p")]
    payload: Bytes,
    #[serde(rename = "s")]
    signature: Bytes,
}

impl Receipt {
    /// Signs it with the server's key for relay.
    pub fn sign(&self, key: &DeviceKey) -> Result<Vec<u8>, WireError> {
        let payload = to_cbor(self)?;
        let signature = key.sign(DOMAIN, &payload).to_vec();
        to_cbor(&Signed { payload: Bytes::from(payload), signature: Bytes::from(signature) })
    }

    /// Reads a receipt that one of these keys has signed.
    pub fn verified(bytes: &[u8], keys: &[[u8; 32]]) -> Option<Self> {
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let signed: Signed = from_cbor(bytes).ok()?;
        let genuine = keys.iter().any(|key| verify(key, DOMAIN, &signed.payload, &signed.signature));
        if genuine { from_cbor(&signed.payload).ok() } else { None }
    }

    /// The digest of the parcel that it is about.
    pub fn digest(&self) -> Option<ParcelDigest> {
        ParcelDigest::try_from(self.parcel.as_slice()).ok()
    }
}
