//! The request and the response of `POST /v1/sync`: CBOR (RFC 8949) inside one zstd frame. Every length is bounded before memory
//! is reserved for it. Field names are short because they travel from stairwells.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::orders::{Confirmed, Orders};
use super::packed;
use super::pledge::{PledgeNote, Resupplied, Resupply};
use super::relay::{RelayAsk, RelayNews};
use crate::authority::Grant;
use crate::document::ChangeHash;
use crate::error::RefusalCode;
use crate::ids::{ActorId, AreaCode, BundleId, DeviceId, DocumentId, JournalId, UserId};
use crate::limits;
use crate::shape::DocumentKind;
use crate::time::TimeClaim;

/// The version of the protocol that this program speaks.
pub const PROTOCOL_VERSION: u16 = 1;
/// Media type of both bodies.
pub const MEDIA_TYPE: &str = "application/vnd.fengqiao.sync";

/// Bytes that are not a message of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Larger than a limit, before or after decompression.
    #[error("the message exceeds {max} bytes; send it in parts")]
    TooLarge {
        /// The limit.
        max: usize,
    },
    /// Not a zstd frame.
    #[error("the message is not a readable zstd frame")]
    NotCompressed,
    /// Not the CBOR that was expected.
    #[error("the message cannot be read: {0}")]
    Malformed(String),
    /// A version that this program does not speak.
    #[error("protocol version {found} is not spoken here; this program speaks {spoken}")]
    Version {
        /// As the message says.
        found: u16,
        /// What would be understood.
        spoken: u16,
    },
}

/// Bytes with their CBOR type.
pub type Bytes = serde_bytes::ByteBuf;

/// One change in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleChange {
    /// When its author says it was made, with its evidence.
    #[serde(rename = "t")]
    pub at: TimeClaim,
    /// The chunk.
    #[serde(rename = "c")]
    pub bytes: Bytes,
}

/// The changes of one document in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleEntry {
    /// Which document.
    #[serde(rename = "d")]
    pub document: DocumentId,
    /// Its kind.
    #[serde(rename = "k")]
    pub kind: DocumentKind,
    /// The community whose journal it belongs to.
    #[serde(rename = "a")]
    pub community: AreaCode,
    /// In the order they were made.
    #[serde(rename = "c", with = "packed::bundled")]
    pub changes: Vec<BundleChange>,
}

/// What a device signs: changes by one person on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Its identity.
    #[serde(rename = "i")]
    pub id: BundleId,
    /// On which device.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// By whom.
    #[serde(rename = "u")]
    pub user: UserId,
    /// The actors under which its changes were written: claimed for this device by this signature.
    #[serde(rename = "a")]
    pub actors: Vec<ActorId>,
    /// The time tokens that the claims name, as the server issued them.
    #[serde(rename = "t")]
    pub tokens: Vec<Bytes>,
    /// The changes.
    #[serde(rename = "e")]
    pub entries: Vec<BundleEntry>,
}

/// A bundle as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBundle {
    /// The [`Bundle`] as CBOR: what is signed.
    #[serde(rename = "p")]
    pub payload: Bytes,
    /// Ed25519 signature of the device over the domain `fengqiao-bundle-v1` and the payload.
    #[serde(rename = "s")]
    pub signature: Bytes,
}

/// How far a phone has read the journal of one community.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The community.
    #[serde(rename = "a")]
    pub community: AreaCode,
    /// Everything up to this position was received.
    #[serde(rename = "p")]
    pub position: i64,
    /// While whole documents are being received: the last one. Changes follow when this is done.
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<DocumentId>,
    /// The scope under which it was read; another scope starts over with whole documents.
    #[serde(rename = "s", default)]
    pub scope: u64,
}

/// The heads of a document that a phone offers because it does not know what the server holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Which document.
    #[serde(rename = "d")]
    pub document: DocumentId,
    /// What this phone holds.
    #[serde(rename = "h")]
    pub heads: Vec<ChangeHash>,
}

/// What a phone tells of itself for the people who run the system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// Version of the app or library.
    #[serde(rename = "v")]
    pub version: String,
    /// Its wall clock, ms UTC.
    #[serde(rename = "w")]
    pub wall_ms: i64,
    /// Changes still to be sent after this request.
    #[serde(rename = "b")]
    pub backlog: u64,
    /// Bytes that its records, index and attachments take.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<u64>,
    /// Bytes that are free for them, if its host knows.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
}

/// What a person decided about a refused change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which change.
    #[serde(rename = "h")]
    pub hash: ChangeHash,
    /// True: it is in the document now. False: it was dismissed.
    #[serde(rename = "a")]
    pub accepted: bool,
    /// What people call who decided.
    #[serde(rename = "u")]
    pub by: String,
    /// Why.
    #[serde(rename = "t")]
    pub reason: String,
    /// When, ms UTC.
    #[serde(rename = "w")]
    pub decided_ms: i64,
}

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Protocol version.
    #[serde(rename = "v")]
    pub version: u16,
    /// Which device asks.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// The journal that the cursors belong to; `None` on first contact.
    #[serde(rename = "j", default)]
    pub journal: Option<JournalId>,
    /// One for each community that the phone holds.
    #[serde(rename = "c", default)]
    pub cursors: Vec<Cursor>,
    /// What the phone has made, and what it carries for others.
    #[serde(rename = "b", default)]
    pub bundles: Vec<SignedBundle>,
    /// Documents whose heads are offered.
    #[serde(rename = "q", default)]
    pub doubts: Vec<Doubt>,
    /// Refused changes of this phone about which it knows of no decision yet.
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<ChangeHash>,
    /// The phone's health.
    #[serde(rename = "h", default)]
    pub health: Health,
    /// What concerns relay.
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayAsk>,
    /// What it has purged since it was told to, and the policy it keeps.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmed>,
    /// What it hands in to a restored server, whoever made it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub resupply: Option<Resupply>,
}

/// What became of one pushed change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushOutcome {
    /// In the journal, durably, at this position of its community.
    Accepted(i64),
    /// It was there already.
    Duplicate,
    /// It depends on changes that are not there; send those first.
    Need(Vec<ChangeHash>),
    /// Kept in quarantine with this reason; a person decides.
    Quarantined(RefusalCode, String),
    /// Its bytes are no change at all; kept in quarantine as they are.
    Unreadable(RefusalCode, String),
}

/// The answer to one pushed change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResult {
    /// Which document.
    #[serde(rename = "d")]
    pub document: DocumentId,
    /// Which change.
    #[serde(rename = "h")]
    pub hash: ChangeHash,
    /// What became of it.
    #[serde(rename = "o")]
    pub outcome: PushOutcome,
}

/// A bundle that was not opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRefused {
    /// Its place in the request.
    #[serde(rename = "i")]
    pub index: u32,
    /// Why.
    #[serde(rename = "c")]
    pub code: RefusalCode,
    /// What exactly.
    #[serde(rename = "t")]
    pub detail: String,
}

/// Changes of one document, in journal order, or all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which document.
    #[serde(rename = "d")]
    pub document: DocumentId,
    /// Its kind.
    #[serde(rename = "k")]
    pub kind: DocumentKind,
    /// Its community.
    #[serde(rename = "a")]
    pub community: AreaCode,
    /// The changes, each applicable after those before it.
    #[serde(rename = "c", with = "packed::delivered")]
    pub changes: Vec<Bytes>,
}

/// The response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncResponse {
    /// Protocol version.
    #[serde(rename = "v")]
    pub version: u16,
    /// The journal of this server.
    #[serde(rename = "j")]
    pub journal: JournalId,
    /// The server's time, ms UTC.
    #[serde(rename = "w")]
    pub now_ms: i64,
    /// A new time token.
    #[serde(rename = "t")]
    pub token: Bytes,
    /// One for each pushed change that could be read.
    #[serde(rename = "r", default)]
    pub results: Vec<PushResult>,
    /// Bundles that were not opened.
    #[serde(rename = "f", default)]
    pub refused: Vec<BundleRefused>,
    /// What the phone lacks, in journal order.
    #[serde(rename = "n", default)]
    pub deliveries: Vec<Delivery>,
    /// Documents of which the server lacks what the phone holds; it sends them again.
    #[serde(rename = "q", default)]
    pub wanted: Vec<Doubt>,
    /// Documents that the phone must forget.
    #[serde(rename = "x", default)]
    pub purge: Vec<DocumentId>,
    /// What else it must do.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<Orders>,
    /// How many doubts at the end of the request's list were left for the next one, because the answer was full.
    #[serde(rename = "u", default, skip_serializing_if = "is_zero")]
    pub unanswered: u32,
    /// What was decided about refused changes that the request names.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// Where the phone stands now.
    #[serde(rename = "c", default)]
    pub cursors: Vec<Cursor>,
    /// The roles that the person holds now, if they differ from the scope of the request.
    #[serde(rename = "g", default)]
    pub grants: Option<Vec<Grant>>,
    /// True when there is more to fetch at once.
    #[serde(rename = "m", default)]
    pub more: bool,
    /// What concerns relay.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayNews>,
    /// The server's pledge for what this answer acknowledges and delivers; absent when it does neither.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub pledge: Option<PledgeNote>,
    /// What became of what was handed in to a restored server.
    #[serde(rename = "p", default, skip_serializing_if = "Vec::is_empty")]
    pub resupplied: Vec<Resupplied>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Encodes a message: CBOR in one zstd frame.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let plain = to_cbor(message)?;
    zstd::bulk::compress(&plain, 3).map_err(|e| WireError::Malformed(e.to_string()))
}

/// Decodes a message under its limits.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > limits::WIRE_BYTES_MAX {
        return Err(WireError::TooLarge { max: limits::WIRE_BYTES_MAX });
    }
    from_cbor(&inflate(bytes)?)
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, WireError> {
    use std::io::Read;
    let max = limits::WIRE_INFLATED_BYTES_MAX;
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| WireError::NotCompressed)?.single_frame();
    // A window larger than the whole message may be is memory reserved for nothing.
    decoder.window_log_max(24).map_err(|_| WireError::NotCompressed)?;
    let mut plain = Vec::new();
    let bound = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.by_ref().take(bound).read_to_end(&mut plain).map_err(|_| WireError::NotCompressed)?;
    if plain.len() > max {
        return Err(WireError::TooLarge { max });
    }
    // One frame is one message: what stands behind it nobody would read.
    if decoder.finish().is_empty() { Ok(plain) } else { Err(WireError::Malformed("bytes after the frame".into())) }
}

/// Plain CBOR, as it is signed and stored.
pub fn to_cbor<T: Serialize>(value: &T) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|e| WireError::Malformed(e.to_string()))?;
    Ok(out)
}

/// Reads plain CBOR; nothing may stand behind the value, and nesting is bounded.
pub fn from_cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    let mut rest = bytes;
    let value =
        ciborium::de::from_reader_with_recursion_limit(&mut rest, 32).map_err(|e| WireError::Malformed(in_words(e)))?;
    if rest.is_empty() { Ok(value) } else { Err(WireError::Malformed("bytes after the message".into())) }
}

/// What is wrong with CBOR, for whoever wrote it: the library tells of it in the words of its own program.
fn in_words<E>(error: ciborium::de::Error<E>) -> String {
    use ciborium::de::Error;
    match error {
        Error::Io(_) => "it ends in the middle".into(),
        Error::Syntax(at) => format!("no CBOR at byte {at}"),
        Error::Semantic(Some(at), what) => format!("{what}, at byte {at}"),
        Error::Semantic(None, what) => what,
        Error::RecursionLimitExceeded => "it is nested too deeply".into(),
    }
}

impl SyncRequest {
    /// Checks the counts of a request.
    pub fn check(&self) -> Result<(), WireError> {
        if self.version != PROTOCOL_VERSION {
            return Err(WireError::Version { found: self.version, spoken: PROTOCOL_VERSION });
        }
        let counts = [
            (self.bundles.len(), limits::REQUEST_BUNDLES_MAX, "bundles"),
            (self.cursors.len(), limits::REQUEST_COMMUNITIES_MAX, "cursors"),
            (self.doubts.len(), limits::REQUEST_DOUBTS_MAX, "doubts"),
            (self.undecided.len(), limits::REQUEST_UNDECIDED_MAX, "undecided changes"),
            (self.health.version.len(), 100, "characters of version"),
        ];
        match counts.iter().find(|(n, max, _)| n > max) {
            Some((n, max, what)) => Err(WireError::Malformed(format!("{n} {what}; the limit is {max}"))),
            None => {
                self.confirmed.as_ref().map_or(Ok(()), Confirmed::check)?;
                self.resupply.as_ref().map_or(Ok(()), Resupply::check)?;
                self.relay.as_ref().map_or(Ok(()), RelayAsk::check)
            }
        }
    }
}

#[cfg(test)]
mod tests;
