//! Time tokens: the server's signed word about what time it was when it last spoke to a phone. What the phone writes later is
//! anchored to the token by a clock that nobody can turn.

use serde::{Deserialize, Serialize};

use super::bundle::{DeviceKey, verify};
use super::wire::{Bytes, WireError, from_cbor, to_cbor};
use crate::ids::DeviceId;

const DOMAIN: &[u8] = b"fengqiao-time-v1";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    #[serde(rename = "d")]
    device: DeviceId,
    #[serde(rename = "t")]
    issued_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(rename = "p")]
    payload: Bytes,
    #[serde(rename = "s")]
    signature: Bytes,
}

/// Issues a token for a device. `key` is the server's key for tokens.
pub fn issue(key: &DeviceKey, device: DeviceId, now_ms: i64) -> Result<Vec<u8>, WireError> {
    let payload = to_cbor(&Content { device, issued_ms: now_ms })?;
    let signature = key.sign(DOMAIN, &payload).to_vec();
    to_cbor(&Signed { payload: Bytes::from(payload), signature: Bytes::from(signature) })
}

/// When a token was issued, by its own word: what a phone notes down. Only the server can tell whether it is genuine.
pub fn issued_ms(token: &[u8]) -> Option<i64> {
    let signed: Signed = from_cbor(token).ok()?;
    from_cbor::<Content>(&signed.payload).ok().map(|c| c.issued_ms)
}

/// When the token was issued, if one of these keys issued it for this device.
pub fn genuine(token: &[u8], device: DeviceId, keys: &[[u8; 32]]) -> Option<i64> {
    if token.len() > 512 {
        return None;
    }
    let signed: Signed = from_cbor(token).ok()?;
    if !keys.iter().any(|key| verify(key, DOMAIN, &signed.payload, &signed.signature)) {
        return None;
    }
    let content: Content = from_cbor(&signed.payload).ok()?;
    (content.device == device).then_some(content.issued_ms)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_token_counts_only_for_its_device_and_only_from_this_server() {
        let server = DeviceKey::from_seed([1; 32]);
        let stranger = DeviceKey::from_seed([2; 32]);
        let mine = DeviceId(uuid::Uuid::from_u128(1));
        let other = DeviceId(uuid::Uuid::from_u128(2));
        let token = issue(&server, mine, 42).unwrap();
        assert_eq!(genuine(&token, mine, &[server.public()]), Some(42));
        assert_eq!(genuine(&token, other, &[server.public()]), None);
        assert_eq!(genuine(&token, mine, &[stranger.public()]), None);
        assert_eq!(issued_ms(&token), Some(42));
    }
}
