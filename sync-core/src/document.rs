//! The only door to Automerge. Everything else speaks of paths, values, events and raw changes; nothing else in the workspace
//! names an Automerge type. A document is changed in two ways only: by [`Document::edit`] (one typed edit of this replica) and by
//! [`Document::admit`] (one change from elsewhere, through the change firewall).

mod chunk;
mod entries;
mod firewall;
mod grammar;
mod opened;
mod place;
mod read;
mod remake;
mod stage;
#[cfg(test)]
mod tests;
mod write;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use automerge::{Automerge, LoadOptions, ObjType, ROOT, ReadDoc, TextEncoding};
use serde::{Deserialize, Serialize};

use crate::error::DocumentError;
use crate::ids::{ActorId, AreaCode, DocumentId, UserId};
use crate::limits;
use crate::shape::{DocumentKind, Shape};

pub use firewall::{Admission, Decoded, Inspected, Trust};
pub use grammar::Touch;
pub use opened::Opened;
pub use read::{ChangeInfo, Register, RegisterValue, TextEdit};
pub use stage::Stage;
pub use write::Writer;

/// The identity of a change: SHA-256 of its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeHash(pub [u8; 32]);

impl ChangeHash {
    /// Lower-case hexadecimal, 64 digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// What [`ChangeHash::to_hex`] wrote; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = text.as_bytes().as_chunks::<2>();
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let pair = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
        let hash: Vec<u8> = bytes.0.iter().map(pair).collect::<Option<_>>()?;
        <[u8; 32]>::try_from(hash).ok().filter(|_| bytes.1.is_empty()).map(Self)
    }
}

impl ChangeHash {
    /// Several of them as a store keeps them: one behind the other.
    pub fn join(hashes: &[Self]) -> Vec<u8> {
        hashes.iter().flat_map(|h| h.0).collect()
    }

    /// What [`ChangeHash::join`] made.
    pub fn split(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks::<32>().0.iter().map(|h| Self(*h)).collect()
    }
}

impl fmt::Display for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for ChangeHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.serialize_str(&self.to_hex()) } else { s.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for ChangeHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if d.is_human_readable() {
            let text = String::deserialize(d)?;
            let hash: automerge::ChangeHash =
                text.parse().map_err(|_| D::Error::custom("a change hash has 64 hexadecimal digits"))?;
            Ok(Self(hash.0))
        } else {
            let bytes = serde_bytes::ByteBuf::deserialize(d)?;
            <[u8; 32]>::try_from(bytes.as_slice()).map(Self).map_err(|_| D::Error::custom("a change hash has 32 bytes"))
        }
    }
}

/// One change of one document as it travels and as the journal keeps it: an uncompressed Automerge change chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawChange {
    /// Its identity.
    pub hash: ChangeHash,
    /// Under which identity it was written.
    pub actor: ActorId,
    /// Its number among the changes of that actor in this document, from 1.
    pub seq: u64,
    /// The chunk.
    pub bytes: Vec<u8>,
}

/// Who let a refused change into its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Who decided it.
    pub by: UserId,
    /// When, ms UTC of the server.
    pub at_ms: i64,
}

/// What a document says of itself; written once, when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its identity.
    pub id: DocumentId,
    /// Its kind.
    pub kind: DocumentKind,
    /// The community whose journal it belongs to.
    pub community: AreaCode,
    /// The version of its shape.
    pub version: i64,
    /// Who created it.
    pub created_by: UserId,
    /// When, as its creator says, ms UTC.
    pub created_ms: i64,
}

/// One patrol record or case file in memory.
#[derive(Clone)]
pub struct Document {
    inner: Automerge,
    meta: Meta,
    /// The last number of each actor: read when it is first asked for, kept while changes come in one after another.
    seqs: OnceLock<BTreeMap<ActorId, u64>>,
    unsaved: Option<Unsaved>,
    /// What an upper room has computed from what the document holds now, for all copies of it; let go as soon as it holds more.
    derived: Arc<OnceLock<Arc<dyn Any + Send + Sync>>>,
}

/// What a document has that the store does not know of, where it was read from one or made change by change.
#[derive(Clone, Default)]
pub struct Unsaved {
    /// The heads of what the store has; none, if it has nothing.
    pub since: Vec<ChangeHash>,
    /// The changes behind them, in the order in which they came, one after another.
    pub changes: Vec<u8>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("meta", &self.meta).field("heads", &self.heads()).finish()
    }
}

impl Document {
    /// Reads a document from this replica's own store: its saved form, or changes, or the one and behind it the others. Never for bytes
    /// from a wire or file: those come as single changes.
    pub fn load(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > limits::DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes: bytes.len(), max: limits::DOCUMENT_BYTES_MAX });
        }
        let options = || LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
        let inner = catch_unwind(AssertUnwindSafe(|| Automerge::load_with_options(bytes, options())))
            .map_err(|_| DocumentError::Unreadable("the loader failed".into()))?
            .map_err(|e| DocumentError::Unreadable(e.to_string()))?;
        let mut document = Self::of(inner)?;
        document.mark_saved();
        Ok(document)
    }

    /// Builds a document from its changes, each through the change firewall. For whole documents from a wire and for rebuilding
    /// from the journal.
    pub fn from_changes<'a>(changes: impl IntoIterator<Item = &'a [u8]>, trust: Trust) -> Result<Self, DocumentError> {
        let mut changes = changes.into_iter();
        let first = changes.next().ok_or_else(|| DocumentError::Incomplete("first change".into()))?;
        let mut document = Self::found(first, trust)?.0;
        document.admit_all(changes, trust).1?;
        Ok(document)
    }

    /// The document as bytes for this replica's own store.
    pub fn save(&self) -> Vec<u8> {
        self.inner.save()
    }

    /// What the store lacks of it. `None` where that is not known: then it is saved whole.
    pub fn unsaved(&self) -> Option<&Unsaved> {
        self.unsaved.as_ref()
    }

    /// Notes that the store has all of it.
    pub fn mark_saved(&mut self) {
        self.unsaved = Some(Unsaved { since: self.heads(), changes: Vec::new() });
    }

    /// What can be computed from all that the document holds: computed once, and kept with it until it holds more.
    pub(crate) fn derive<T: Any + Send + Sync>(&self, compute: impl FnOnce(&Self) -> T) -> Arc<T> {
        if let Some(known) = self.derived.get()
            && let Ok(known) = known.clone().downcast::<T>()
        {
            return known;
        }
        let made = Arc::new(compute(self));
        // Whoever was faster, or asked for something else, has the place; what was computed is right all the same.
        let _ = self.derived.set(made.clone());
        made
    }

    /// What the document says of itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The table of what it is made of.
    pub fn shape(&self) -> &'static Shape {
        self.meta.kind.shape()
    }

    /// Its newest changes, sorted. Two replicas with the same heads hold the same document.
    pub fn heads(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.inner.get_heads().into_iter().map(|h| ChangeHash(h.0)).collect();
        heads.sort_unstable();
        heads
    }

    /// Whether it holds this change.
    pub fn has(&self, hash: &ChangeHash) -> bool {
        self.inner.get_change_meta_by_hash(&automerge::ChangeHash(hash.0)).is_some()
    }

    fn of(inner: Automerge) -> Result<Self, DocumentError> {
        let meta = read::meta(&inner)?;
        Ok(Self { inner, meta, seqs: OnceLock::new(), unsaved: None, derived: Arc::default() })
    }

    /// How many changes of this actor it holds.
    pub fn seq_of(&self, actor: ActorId) -> u64 {
        self.seqs.get_or_init(|| read::seqs(&self.inner)).get(&actor).copied().unwrap_or(0)
    }

    /// Notes that a change is in the document now.
    fn counted(&mut self, actor: ActorId, seq: u64, bytes: &[u8]) {
        self.derived = Arc::default();
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.changes.extend_from_slice(bytes);
        }
        if let Some(seqs) = self.seqs.get_mut() {
            seqs.insert(actor, seq);
        }
    }

    /// Every change in an order in which they can be applied.
    pub fn changes(&self) -> Vec<RawChange> {
        self.inner.get_changes(&[]).iter().filter_map(raw).collect()
    }

    /// The changes that a replica with these heads lacks. Heads unknown here are ignored.
    pub fn changes_since(&self, heads: &[ChangeHash]) -> Vec<RawChange> {
        let known: Vec<_> = heads.iter().filter(|h| self.has(h)).map(|h| automerge::ChangeHash(h.0)).collect();
        self.inner.get_changes(&known).iter().filter_map(raw).collect()
    }

    /// The document as it stood at these heads: what an author had seen when writing.
    pub fn at(&self, heads: &[ChangeHash]) -> Result<Self, DocumentError> {
        let heads: Vec<_> = heads.iter().map(|h| automerge::ChangeHash(h.0)).collect();
        let inner = catch_unwind(AssertUnwindSafe(|| self.inner.fork_at(&heads)))
            .map_err(|_| DocumentError::Engine("fork failed".into()))?
            .map_err(|e| DocumentError::Engine(e.to_string()))?;
        Self::of(inner)
    }
}

fn raw(change: &automerge::Change) -> Option<RawChange> {
    Some(RawChange {
        hash: ChangeHash(change.hash().0),
        actor: actor_of(change.actor_id())?,
        seq: change.seq(),
        bytes: change.raw_bytes().to_vec(),
    })
}

fn actor_of(actor: &automerge::ActorId) -> Option<ActorId> {
    <[u8; 16]>::try_from(actor.to_bytes()).ok().map(ActorId)
}

fn child(doc: &impl ReadDoc, parent: &automerge::ObjId, key: &str) -> Option<(ObjType, automerge::ObjId)> {
    match doc.get(parent, key).ok()?? {
        (automerge::Value::Object(kind), id) => Some((kind, id)),
        _ => None,
    }
}

fn root_child(doc: &impl ReadDoc, key: &str) -> Option<automerge::ObjId> {
    child(doc, &ROOT, key).map(|(_, id)| id)
}
