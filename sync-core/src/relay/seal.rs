//! Sealing to the server: HPKE (RFC 9180), base mode, X25519-HKDF-SHA256, HKDF-SHA256, ChaCha20-Poly1305. The one place that names
//! these algorithms, so that others (SM2, SM4) can take their seat. A seal binds the format's version and the server's key.

use std::convert::Infallible;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use sha2::{Digest, Sha256};

use crate::ids::Entropy;

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapped = <X25519HkdfSha256 as Kem>::EncappedKey;

const INFO: &[u8] = b"fengqiao-relay-v1";
/// Bytes by which a sealed text is longer than the text: the sender's ephemeral key and the tag.
pub const OVERHEAD_BYTES: usize = 32 + 16;

/// Names a relay key: the first eight bytes of the SHA-256 of its public half.
pub type KeyId = [u8; 8];

/// The public half of a server's relay key: a phone seals with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealingKey([u8; 32]);

/// The private half, which only the server has.
pub struct OpeningKey {
    private: Private,
    public: SealingKey,
}

/// The host's randomness in the form that the sealing library asks for.
pub(super) struct Source<'a>(pub(super) &'a dyn Entropy);

impl TryRng for Source<'_> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut four = [0; 4];
        self.0.fill(&mut four);
        Ok(u32::from_le_bytes(four))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut eight = [0; 8];
        self.0.fill(&mut eight);
        Ok(u64::from_le_bytes(eight))
    }
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(to);
        Ok(())
    }
}
impl TryCryptoRng for Source<'_> {}

/// What both sides must agree on before a byte is opened: the purpose, its version, and the server, which is its key.
fn info(key: &SealingKey) -> Vec<u8> {
    [INFO, &key.0].concat()
}

impl SealingKey {
    /// From 32 bytes, as the server gives them.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = KeyId::default();
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        id
    }

    /// Seals a text; `bound` is not hidden, but nothing opens when it was altered. `None` if the key is no usable point.
    pub fn seal(&self, text: &[u8], bound: &[u8], entropy: &dyn Entropy) -> Option<Vec<u8>> {
        let public = Public::from_bytes(&self.0).ok()?;
        let (encapped, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &public,
            &info(self),
            text,
            bound,
            &mut Source(entropy),
        )
        .ok()?;
        Some([encapped.to_bytes().as_slice(), &sealed].concat())
    }
}

impl OpeningKey {
    /// From 32 secret random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (private, public) = X25519HkdfSha256::derive_keypair(&[INFO, seed].concat());
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(public.to_bytes()).for_each(|(to, from)| *to = from);
        Self { private, public: SealingKey(bytes) }
    }

    /// The half that phones are given.
    pub fn public(&self) -> SealingKey {
        self.public
    }

    /// Opens what was sealed to this key under the same `bound`; `None` if it was sealed to another or altered.
    pub fn open(&self, sealed: &[u8], bound: &[u8]) -> Option<Vec<u8>> {
        let (encapped, sealed) = sealed.split_at_checked(32)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private,
            &Encapped::from_bytes(encapped).ok()?,
            &info(&self.public),
            sealed,
            bound,
        )
        .ok()
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex: String = self.id().iter().map(|b| format!("{b:02x}")).collect();
        write!(f, "SealingKey({hex})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let hash = Sha256::digest(n.to_be_bytes());
            buffer.iter_mut().zip(hash.iter().cycle()).for_each(|(b, h)| *b = *h);
        }
    }

    #[test]
    fn relay_seals_open_under_their_key_and_their_header_only() {
        let entropy = Counting(0.into());
        let (ours, other) = (OpeningKey::from_seed(&[1; 32]), OpeningKey::from_seed(&[2; 32]));
        let sealed = ours.public().seal("欠薪".as_bytes(), b"header", &entropy).unwrap();
        assert_eq!(sealed.len(), "欠薪".len() + OVERHEAD_BYTES);
        assert_eq!(ours.open(&sealed, b"header").unwrap(), "欠薪".as_bytes());
        assert_eq!(ours.open(&sealed, b"Header"), None);
        assert_eq!(other.open(&sealed, b"header"), None);
        for n in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[n] ^= 1;
            // The top bit of a point is ignored by definition (RFC 7748); the key derivation still sees it.
            assert_eq!(ours.open(&altered, b"header"), None, "byte {n}");
            assert_eq!(ours.open(&sealed[..n], b"header"), None);
        }
        let again = ours.public().seal("欠薪".as_bytes(), b"header", &entropy).unwrap();
        assert_ne!(again, sealed, "the same text never looks the same");
        assert_ne!(ours.public().id(), other.public().id());
    }

    #[test]
    fn relay_refuses_to_seal_to_a_point_that_gives_no_secret() {
        assert_eq!(SealingKey::new([0; 32]).seal(b"x", b"", &Counting(0.into())), None);
    }
}
