//! Device certificates: the server's signed word about whose a phone is and what that person is charged with. With it two phones
//! that have no network can believe each other; it is short-lived, because nobody can tell them that a phone was revoked.

use serde::{Deserialize, Serialize};

use crate::authority::{Grant, Subject};
use crate::ids::{DeviceId, JournalId, UserId};
use crate::sync::bundle::{DeviceKey, verify};
use crate::sync::wire::{Bytes, WireError, from_cbor, to_cbor};

const DOMAIN: &[u8] = b"fengqiao-device-v1";
/// A certificate as bytes: room for the grants of somebody who is charged with a whole district.
pub const BYTES_MAX: usize = 32 * 1024;
/// How long a certificate holds: a revoked phone is believed by its peers no longer than this.
pub const LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// A certificate that holds no longer than this is renewed at the next sync.
pub const RENEWED_BELOW_MS: i64 = 6 * 24 * 60 * 60 * 1000;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The phone.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// Its Ed25519 key, 32 bytes.
    #[serde(rename = "k")]
    pub key: Bytes,
    /// To whom it is registered.
    #[serde(rename = "u")]
    pub user: UserId,
    /// What people call him.
    #[serde(rename = "n")]
    pub name: String,
    /// What he is charged with.
    #[serde(rename = "g")]
    pub grants: Vec<Grant>,
    /// The journal of the server.
    #[serde(rename = "j")]
    pub journal: JournalId,
    /// When it was issued, ms UTC.
    #[serde(rename = "i")]
    pub issued_ms: i64,
    /// Until when it holds, ms UTC.
    #[serde(rename = "x")]
    pub expires_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(rename = "p")]
    payload: Bytes,
    #[serde(rename = "s")]
    signature: Bytes,
}

impl Certificate {
    /// Signs it with the server's key for relay.
    pub fn sign(&self, key: &DeviceKey) -> Result<Vec<u8>, WireError> {
        let payload = to_cbor(self)?;
        let signature = key.sign(DOMAIN, &payload).to_vec();
        to_cbor(&Signed { payload: Bytes::from(payload), signature: Bytes::from(signature) })
    }

    /// Reads a certificate that one of these keys has signed, whether or not it still holds.
    pub fn verified(bytes: &[u8], keys: &[[u8; 32]]) -> Option<Self> {
        if bytes.len() > BYTES_MAX {
            return None;
        }
        let signed: Signed = from_cbor(bytes).ok()?;
        let genuine = keys.iter().any(|key| verify(key, DOMAIN, &signed.payload, &signed.signature));
        let certificate: Self = if genuine { from_cbor(&signed.payload).ok()? } else { return None };
        certificate.public_key().map(|_| certificate)
    }

    /// The key of the phone.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        <[u8; 32]>::try_from(self.key.as_slice()).ok()
    }

    /// Whether it holds at this moment; a phone's idea of the time may be a little behind the server's.
    pub fn holds(&self, now_ms: i64) -> bool {
        now_ms < self.expires_ms
    }

    /// Its holder with what he is charged with now.
    pub fn subject(&self, now_ms: i64) -> Subject {
        let grants = self.grants.iter().filter(|g| g.held_between(now_ms, now_ms)).cloned().collect();
        Subject { user: self.user, grants }
    }
}
