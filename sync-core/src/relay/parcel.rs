//! The container in which things are relayed: a clear header, a body, a checksum. A sealed body holds signed bundles and only the
//! server opens it; a plain body holds the server's receipts, which are signed and tell nothing but hashes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RelayError;
use super::seal::{KeyId, OpeningKey, SealingKey};
use crate::ids::{BundleId, DeviceId, Entropy};
use crate::limits;
use crate::sync::wire::{self, Bytes, SignedBundle};

/// How every container begins.
pub const MAGIC: [u8; 4] = *b"FQRP";
/// The version of the format that this program writes.
pub const VERSION: u8 = 1;
/// Media type of a file of containers.
pub const MEDIA_TYPE: &str = "application/vnd.fengqiao.relay";
const HEADER_BYTES: usize = 50;
const CHECKSUM_BYTES: usize = 32;

/// What a container holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Signed bundles, sealed to a server.
    Sealed,
    /// Signed receipts on their way back.
    Receipts,
}

impl BodyKind {
    fn byte(self) -> u8 {
        match self {
            BodyKind::Sealed => 1,
            BodyKind::Receipts => 2,
        }
    }
}

/// A container as it travels. Its bytes have been checked for form and checksum, and for nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Container {
    /// What it holds.
    pub kind: BodyKind,
    /// Its identity, by its sender's word.
    pub id: BundleId,
    /// The key that it is sealed to; zero when it is not sealed.
    pub key: KeyId,
    /// When it was made, ms UTC, by its sender's best knowledge.
    pub created_ms: i64,
    /// After this nobody needs to carry it any more, ms UTC.
    pub expires_ms: i64,
    bytes: Vec<u8>,
}

/// A sealed container.
pub type Parcel = Container;

/// What a parcel holds, once it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The device that exported it. Says nothing about who wrote the bundles: each is signed.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// What a sync would have sent.
    #[serde(rename = "b")]
    pub bundles: Vec<SignedBundle>,
}

/// Identity of the bytes of a container.
pub type ParcelDigest = [u8; 32];

fn digest(bytes: &[u8]) -> ParcelDigest {
    Sha256::digest(bytes).into()
}

impl Container {
    /// Seals bundles to a server.
    pub fn seal(content: &Content, key: &SealingKey, now_ms: i64, entropy: &dyn Entropy) -> Result<Self, RelayError> {
        let text = wire::encode(content).map_err(|e| RelayError::Content(e.to_string()))?;
        let size = text.len() + super::seal::OVERHEAD_BYTES;
        let header = Header::new(BodyKind::Sealed, key.id(), now_ms, size, entropy);
        let head = header.bytes()?;
        let body = key.seal(&text, &head, entropy).ok_or(RelayError::UnknownKey)?;
        Self::of_parts(&header, &head, &body)
    }

    /// Puts receipts, as the server signed them, into a container.
    pub fn receipts(receipts: &[Bytes], now_ms: i64, entropy: &dyn Entropy) -> Result<Self, RelayError> {
        let body = &wire::encode(&receipts).map_err(|e| RelayError::Content(e.to_string()))?;
        let header = Header::new(BodyKind::Receipts, KeyId::default(), now_ms, body.len(), entropy);
        let head = header.bytes()?;
        Self::of_parts(&header, &head, body)
    }

    fn of_parts(header: &Header, head: &[u8], body: &[u8]) -> Result<Self, RelayError> {
        let mut bytes = [head, body].concat();
        bytes.extend(digest(&bytes));
        let (parsed, rest) = Self::parse(&bytes)?;
        // What this program writes it must be able to read.
        if rest.is_empty() && parsed.id == header.id { Ok(parsed) } else { Err(RelayError::NotAParcel) }
    }

    /// Reads the container at the beginning of some bytes; gives what stands behind it.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), RelayError> {
        let header = Header::parse(bytes)?;
        let size = HEADER_BYTES + header.size + CHECKSUM_BYTES;
        let (own, rest) = bytes.split_at_checked(size).ok_or(RelayError::Truncated)?;
        let (covered, checksum) = own.split_at_checked(HEADER_BYTES + header.size).ok_or(RelayError::Truncated)?;
        if digest(covered) != *checksum {
            return Err(RelayError::Damaged);
        }
        let container = Self {
            kind: header.kind,
            id: header.id,
            key: header.key,
            created_ms: header.created_ms,
            expires_ms: header.expires_ms,
            bytes: own.to_vec(),
        };
        Ok((container, rest))
    }

    /// Reads exactly one container.
    pub fn parse_one(bytes: &[u8]) -> Result<Self, RelayError> {
        match Self::parse(bytes)? {
            (container, []) => Ok(container),
            _ => Err(RelayError::Damaged),
        }
    }

    /// Reads a file: containers one behind another, or QR frames as text, one in a line.
    pub fn parse_file(bytes: &[u8]) -> Result<Vec<Self>, RelayError> {
        let mut all = Vec::new();
        if bytes.starts_with(super::frame::PREFIX.as_bytes()) {
            for whole in super::frame::whole_of_lines(bytes)? {
                all.push(Self::parse_one(&whole)?);
            }
            return Ok(all);
        }
        let mut rest = bytes;
        while !rest.is_empty() || all.is_empty() {
            if all.len() >= limits::RELAY_FILE_ITEMS_MAX {
                return Err(RelayError::TooLarge { max: limits::RELAY_FILE_ITEMS_MAX, what: "items" });
            }
            let (container, behind) = Self::parse(rest)?;
            all.push(container);
            rest = behind;
        }
        Ok(all)
    }

    /// The container as it travels.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The identity of these very bytes: what is told apart and acknowledged, because an id can be copied.
    pub fn digest(&self) -> ParcelDigest {
        digest(&self.bytes)
    }

    /// The body, sealed or plain.
    pub fn body(&self) -> &[u8] {
        let end = self.bytes.len().saturating_sub(CHECKSUM_BYTES);
        self.bytes.get(HEADER_BYTES..end).unwrap_or_default()
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }

    /// Opens a parcel with whichever of a server's keys it is sealed to.
    pub fn open(&self, keys: &[OpeningKey]) -> Result<Content, RelayError> {
        if self.kind != BodyKind::Sealed {
            return Err(RelayError::NotAParcel);
        }
        let key = keys.iter().find(|k| k.public().id() == self.key).ok_or(RelayError::UnknownKey)?;
        let head = self.bytes.get(..HEADER_BYTES).unwrap_or_default();
        let text = key.open(self.body(), head).ok_or(RelayError::NotOpened)?;
        let content: Content = wire::decode(&text).map_err(|e| RelayError::Content(e.to_string()))?;
        if content.bundles.len() > limits::PARCEL_BUNDLES_MAX {
            return Err(RelayError::TooLarge { max: limits::PARCEL_BUNDLES_MAX, what: "bundles" });
        }
        Ok(content)
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Container({:?} {}, {} bytes)", self.kind, self.id, self.bytes.len())
    }
}

struct Header {
    kind: BodyKind,
    id: BundleId,
    key: KeyId,
    created_ms: i64,
    expires_ms: i64,
    size: usize,
}

impl Header {
    fn new(kind: BodyKind, key: KeyId, now_ms: i64, size: usize, entropy: &dyn Entropy) -> Self {
        let id = BundleId::from_parts(now_ms, entropy.ten());
        let expires_ms = now_ms.saturating_add(limits::PARCEL_LIFE_MS);
        Self { kind, id, key, created_ms: now_ms, expires_ms, size }
    }

    fn bytes(&self) -> Result<Vec<u8>, RelayError> {
        let too_large = RelayError::TooLarge { max: limits::PARCEL_BYTES_MAX, what: "bytes" };
        let mut out = MAGIC.to_vec();
        out.extend([VERSION, self.kind.byte()]);
        out.extend(self.id.0.as_bytes());
        out.extend(self.key);
        out.extend(self.created_ms.to_be_bytes());
        out.extend(self.expires_ms.to_be_bytes());
        out.extend(u32::try_from(self.size).map_err(|_| too_large)?.to_be_bytes());
        Ok(out)
    }

    fn parse(bytes: &[u8]) -> Result<Self, RelayError> {
        let mut rest = bytes;
        if !rest.starts_with(&MAGIC) {
            return Err(if MAGIC.starts_with(bytes) { RelayError::Truncated } else { RelayError::NotAParcel });
        }
        let _: [u8; 4] = take(&mut rest)?;
        let [version, kind] = take(&mut rest)?;
        if version != VERSION {
            return Err(RelayError::Version(version));
        }
        let kind = match kind {
            1 => BodyKind::Sealed,
            2 => BodyKind::Receipts,
            _ => return Err(RelayError::NotAParcel),
        };
        let id = BundleId(uuid::Uuid::from_bytes(take(&mut rest)?));
        let key = take(&mut rest)?;
        let created_ms = i64::from_be_bytes(take(&mut rest)?);
        let expires_ms = i64::from_be_bytes(take(&mut rest)?);
        let size = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).unwrap_or(usize::MAX);
        if size > limits::PARCEL_BYTES_MAX - HEADER_BYTES - CHECKSUM_BYTES {
            return Err(RelayError::TooLarge { max: limits::PARCEL_BYTES_MAX, what: "bytes" });
        }
        // A sender whose clock is wrong must not make others carry for years.
        if expires_ms.saturating_sub(created_ms) > limits::PARCEL_LIFE_MS {
            return Err(RelayError::NotAParcel);
        }
        Ok(Self { kind, id, key, created_ms, expires_ms, size })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], RelayError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(RelayError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

/// The receipts in a container, as the server signed them.
pub fn receipts_of(container: &Container) -> Result<Vec<Bytes>, RelayError> {
    if container.kind != BodyKind::Receipts {
        return Err(RelayError::NotAParcel);
    }
    wire::decode(container.body()).map_err(|e| RelayError::Content(e.to_string()))
}
