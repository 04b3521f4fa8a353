//! The change firewall: the one gate between bytes from elsewhere and a document. Automerge asserts, unwraps and inflates on
//! untrusted input; nothing reaches it before its size, structure, actor, dependencies, sequence and every place it writes were
//! checked, and then it is applied to a copy under `catch_unwind`. A refused change leaves the document untouched.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, TextEncoding};

use super::{ChangeHash, Document, RawChange, Unsaved, actor_of, chunk, grammar, read};
use crate::error::{Refusal, RefusalCode};
use crate::limits;

use super::grammar::Touch;
use super::stage::{Ahead, apply, comes_back};

/// Who hands the change over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A phone, a file, a carrier: every place must be known to this version.
    Stranger,
    /// The server's feed, or this server's own journal: it may know more than this version; what is unknown is kept.
    Server,
}

/// A change that passed the structural part of the gate.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The change.
    pub raw: RawChange,
    /// What it does.
    pub touches: Vec<Touch>,
    /// When, as its author says, ms UTC.
    pub at_ms: i64,
}

/// What admitting a change came to.
#[derive(Debug, Clone)]
pub enum Admission {
    /// It is in the document now.
    Applied(Inspected),
    /// It was in the document already.
    Duplicate(ChangeHash),
}

pub(super) fn refuse(code: RefusalCode, detail: impl Into<String>) -> Refusal {
    Refusal::new(code, detail)
}

/// A change that was read and found sound in itself: what remains is whether it fits its document.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The change.
    pub raw: RawChange,
    /// What it depends on.
    pub deps: Vec<ChangeHash>,
    pub(super) change: Change,
    pub(super) expanded: automerge::ExpandedChange,
}

impl Decoded {
    /// When it was made, by the clock of who made it, ms UTC.
    pub fn at_ms(&self) -> i64 {
        self.change.timestamp()
    }
}

fn decode(bytes: &[u8]) -> Result<Decoded, Refusal> {
    chunk::inspect(bytes)?;
    let broken = || refuse(RefusalCode::Malformed, "not a readable change");
    let change = catch_unwind(AssertUnwindSafe(|| Change::from_bytes(bytes.to_vec())))
        .map_err(|_| broken())?
        .map_err(|_| broken())?;
    // The loader does not compare the checksum, which is the beginning of the hash: damaged bytes would pass for the change.
    if bytes.get(4..8) != change.hash().0.get(..4) {
        return Err(refuse(RefusalCode::Malformed, "the checksum does not fit the content"));
    }
    if change.len() > limits::CHANGE_OPS_MAX {
        return Err(refuse(
            RefusalCode::TooLarge,
            format!("{} operations; the limit is {}", change.len(), limits::CHANGE_OPS_MAX),
        ));
    }
    if change.author().is_some() || !change.extra_bytes().is_empty() {
        return Err(refuse(RefusalCode::Malformed, "a change carries no author and no extra bytes of its own"));
    }
    let expanded = catch_unwind(AssertUnwindSafe(|| change.decode())).map_err(|_| broken())?;
    // A document keeps operations, not bytes: a change that says the same in other bytes would come back from the store as another
    // one, and the document could never be read again.
    let again = expanded.clone();
    let rebuilt = catch_unwind(AssertUnwindSafe(|| Change::from(again))).map_err(|_| broken())?;
    if rebuilt.hash() != change.hash() {
        return Err(refuse(RefusalCode::Malformed, "the change is not written the one way that can be kept"));
    }
    let actor = actor_of(change.actor_id()).ok_or_else(|| refuse(RefusalCode::Malformed, "an actor has 16 bytes"))?;
    let raw = RawChange { hash: ChangeHash(change.hash().0), actor, seq: change.seq(), bytes: bytes.to_vec() };
    let deps = change.deps().iter().map(|d| ChangeHash(d.0)).collect();
    Ok(Decoded { raw, deps, change, expanded })
}

impl Decoded {
    /// Whether it names operations of others: a change that names wrong ones can be applied, but a saved document tells it otherwise,
    /// and can never be read again.
    pub(super) fn names_others(&self) -> bool {
        let is_founding = self.change.deps().is_empty();
        let in_list = |op: &automerge::legacy::Op| !matches!(op.key, automerge::legacy::Key::Map(_));
        self.expanded.operations.iter().any(|op| !op.pred.is_empty() || (in_list(op) && !is_founding))
    }

    /// What it writes, for a person to read where its document is not at hand.
    pub(super) fn expanded(&self) -> &automerge::ExpandedChange {
        &self.expanded
    }
}

impl Document {
    /// Reads a change, without a document: the part of the gate that can be passed before any lock is taken.
    pub fn decode(bytes: &[u8]) -> Result<Decoded, Refusal> {
        decode(bytes)
    }

    /// The hash of a change and what it depends on, by its outside alone; `None` when it is no change.
    pub fn links(bytes: &[u8]) -> Option<(ChangeHash, Vec<ChangeHash>)> {
        let (hash, deps) = chunk::links(bytes)?;
        Some((ChangeHash(hash), deps.iter().map(|d| ChangeHash(*d)).collect()))
    }

    /// Founds a document from its first change.
    pub fn found(bytes: &[u8], trust: Trust) -> Result<(Self, Inspected), Refusal> {
        Self::found_decoded(&decode(bytes)?, trust)
    }

    /// Founds a document from its first change, which was read before.
    pub fn found_decoded(decoded: &Decoded, trust: Trust) -> Result<(Self, Inspected), Refusal> {
        let Decoded { raw, change, expanded, .. } = decoded;
        if !change.deps().is_empty() || change.seq() != 1 || change.start_op().get() != 1 {
            return Err(refuse(RefusalCode::MissingDependency, "the document's first change is not here"));
        }
        let empty = Automerge::new_with_encoding(TextEncoding::UnicodeCodePoint);
        let (kind, _) = grammar::founding_kind(expanded)?;
        let walk = || grammar::touches(&empty, &Ahead::default(), kind, expanded, trust);
        let walked = catch_unwind(AssertUnwindSafe(walk));
        let walked = walked.map_err(|_| refuse(RefusalCode::Malformed, "the change cannot be read"))??;
        let inspected = Inspected { raw: raw.clone(), touches: walked.touches, at_ms: change.timestamp() };
        let inner = apply(&empty, vec![change.clone()])?;
        if trust != Trust::Server && decoded.names_others() {
            comes_back(&inner)?;
        }
        let mut document = Self::of(inner).map_err(|e| refuse(RefusalCode::Malformed, e.to_string()))?;
        document.seqs = BTreeMap::from([(raw.actor, raw.seq)]).into();
        document.unsaved = Some(Unsaved { since: Vec::new(), changes: raw.bytes.clone() });
        Ok((document, inspected))
    }

    /// Lets one change in, if it is sound and `gate` agrees. `gate` sees the document as it was before and what the change does;
    /// authority is judged there. On refusal the document is unchanged.
    pub fn admit(
        &mut self,
        bytes: &[u8],
        trust: Trust,
        gate: impl FnOnce(&Document, &Inspected) -> Result<(), Refusal>,
    ) -> Result<Admission, Refusal> {
        self.admit_decoded(&decode(bytes)?, trust, gate)
    }

    /// The same for a change that was read before.
    pub fn admit_decoded(
        &mut self,
        decoded: &Decoded,
        trust: Trust,
        gate: impl FnOnce(&Document, &Inspected) -> Result<(), Refusal>,
    ) -> Result<Admission, Refusal> {
        let Decoded { raw, change, .. } = decoded;
        if self.has(&raw.hash) {
            return Ok(Admission::Duplicate(raw.hash));
        }
        let (inspected, _) = self.weigh(&Ahead::default(), decoded, trust)?;
        gate(self, &inspected)?;
        let inner = apply(&self.inner, vec![change.clone()])?;
        if trust != Trust::Server && decoded.names_others() {
            comes_back(&inner)?;
        }
        for touch in &inspected.touches {
            if let Touch::Text { name } = touch
                && read::text_chars(&inner, name) > limits::TEXT_CHARS_MAX
            {
                return Err(refuse(
                    RefusalCode::TooLarge,
                    format!("the text `{name}` would exceed {} characters", limits::TEXT_CHARS_MAX),
                ));
            }
        }
        self.inner = inner;
        self.counted(raw.actor, raw.seq, &raw.bytes);
        Ok(Admission::Applied(inspected))
    }
}
