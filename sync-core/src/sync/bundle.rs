//! Signing and opening bundles. The one place that names a signature algorithm, so that another one (SM2) can take its seat.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::wire::{Bundle, Bytes, SignedBundle, WireError, from_cbor, to_cbor};
use crate::error::{Refusal, RefusalCode};
use crate::limits;

const DOMAIN: &[u8] = b"fengqiao-bundle-v1";

/// The key of a device.
pub struct DeviceKey(SigningKey);

impl DeviceKey {
    /// From 32 secret random bytes.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The 32 secret bytes, for the encrypted store.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// What the server registers.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs a message of a domain of its own.
    pub fn sign(&self, domain: &[u8], message: &[u8]) -> [u8; 64] {
        self.0.sign(&[domain, message].concat()).to_bytes()
    }

    /// Signs a bundle.
    pub fn seal(&self, bundle: &Bundle) -> Result<SignedBundle, WireError> {
        let payload = to_cbor(bundle)?;
        let signature = self.sign(DOMAIN, &payload);
        Ok(SignedBundle { payload: Bytes::from(payload), signature: Bytes::from(signature.to_vec()) })
    }
}

/// Whether this is the key's signature of a message of a domain.
pub fn verify(public: &[u8; 32], domain: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else { return false };
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    key.verify_strict(&[domain, message].concat(), &signature).is_ok()
}

/// Reads the bundle that a signature covers, without trusting it yet: its device says which key must verify it.
pub fn read(signed: &SignedBundle) -> Result<Bundle, Refusal> {
    if signed.payload.len() > limits::BUNDLE_BYTES_MAX {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("a bundle of {} bytes; the limit is {}", signed.payload.len(), limits::BUNDLE_BYTES_MAX),
        ));
    }
    let bundle: Bundle = from_cbor(&signed.payload).map_err(|e| Refusal::new(RefusalCode::Malformed, e.to_string()))?;
    let changes: usize = bundle.entries.iter().map(|e| e.changes.len()).sum();
    if changes > limits::BUNDLE_CHANGES_MAX {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("{changes} changes in one bundle; the limit is {}", limits::BUNDLE_CHANGES_MAX),
        ));
    }
    Ok(bundle)
}

/// Whether the device signed it.
pub fn check(signed: &SignedBundle, public: &[u8; 32]) -> Result<(), Refusal> {
    if verify(public, DOMAIN, &signed.payload, &signed.signature) {
        Ok(())
    } else {
        Err(Refusal::new(RefusalCode::BadSignature, "the signature is not that of the registered device"))
    }
}
