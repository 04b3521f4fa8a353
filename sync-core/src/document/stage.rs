//! Several changes of one document, let in together. Each is judged alone, as if those before it were in the document already; then all
//! are applied at once, because the engine goes through the whole document each time that something is applied to it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ExpandedChange, LoadOptions, ScalarValue, TextEncoding, legacy};

use super::firewall::{Admission, Decoded, Inspected, Trust, refuse};
use super::grammar::{self, ObjectAt, Touch, Walked};
use super::place::Place;
use super::{ChangeHash, Document, read};
use crate::error::{Refusal, RefusalCode};
use crate::ids::ActorId;
use crate::limits;

/// What changes that wait to be applied will have brought into the document, as far as the judging of the next one asks for it.
#[derive(Default)]
pub(super) struct Ahead {
    max_ops: HashMap<automerge::ChangeHash, u64>,
    seqs: BTreeMap<ActorId, u64>,
    places: HashMap<ObjectAt, Place>,
    written: HashSet<(Option<ObjectAt>, String)>,
}

impl Ahead {
    pub(super) fn place(&self, object: &ObjectAt) -> Option<&Place> {
        self.places.get(object)
    }

    pub(super) fn is_written(&self, object: Option<ObjectAt>, key: &str) -> bool {
        !self.written.is_empty() && self.written.contains(&(object, key.to_owned()))
    }

    fn note(&mut self, decoded: &Decoded, walked: Walked) {
        self.max_ops.insert(decoded.change.hash(), decoded.change.max_op());
        self.seqs.insert(decoded.raw.actor, decoded.raw.seq);
        self.places.extend(walked.made);
        self.written.extend(walked.written);
    }
}

impl Document {
    /// Judges a change by its form and by what it builds on: everything but the right to make it.
    pub(super) fn weigh(&self, ahead: &Ahead, decoded: &Decoded, trust: Trust) -> Result<(Inspected, Walked), Refusal> {
        let Decoded { raw, change, expanded, .. } = decoded;
        self.check_order(ahead, change, raw.actor)?;
        let walk = || grammar::touches(&self.inner, ahead, self.meta.kind, expanded, trust);
        let walked = catch_unwind(AssertUnwindSafe(walk));
        let mut walked = walked.map_err(|_| refuse(RefusalCode::Malformed, "the change cannot be read"))??;
        let touches = std::mem::take(&mut walked.touches);
        Ok((Inspected { raw: raw.clone(), touches, at_ms: change.timestamp() }, walked))
    }

    fn check_order(&self, ahead: &Ahead, change: &Change, actor: ActorId) -> Result<(), Refusal> {
        if change.deps().is_empty() {
            return Err(refuse(RefusalCode::WrittenOnce, "a document has one first change"));
        }
        let mut max_op = 0;
        for dep in change.deps() {
            let known = ahead.max_ops.get(dep).copied();
            let known = known.or_else(|| self.inner.get_change_meta_by_hash(dep).map(|meta| meta.max_op));
            let dep_max_op = known.ok_or_else(|| {
                refuse(RefusalCode::MissingDependency, format!("it depends on {dep}, which is not here"))
            })?;
            max_op = max_op.max(dep_max_op);
        }
        if change.start_op().get() != max_op + 1 || change.max_op() > limits::OP_COUNTER_MAX {
            return Err(refuse(
                RefusalCode::Malformed,
                "its operation numbers do not follow those of its dependencies",
            ));
        }
        let last = ahead.seqs.get(&actor).copied().unwrap_or_else(|| self.seq_of(actor));
        if change.seq() <= last {
            return Err(refuse(
                RefusalCode::Fork,
                format!("change {} of this actor is already another one: take a new actor", change.seq()),
            ));
        }
        if change.seq() != last + 1 {
            return Err(refuse(
                RefusalCode::SequenceGap,
                format!("change {} of this actor follows {last}", change.seq()),
            ));
        }
        Ok(())
    }

    /// Lets in changes one behind the other, up to the first that is refused; gives what they did, and that refusal.
    pub fn admit_all<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a [u8]>,
        trust: Trust,
    ) -> (Vec<Inspected>, Result<(), Refusal>) {
        let mut read = Vec::new();
        let mut unreadable = Ok(());
        for bytes in changes {
            match Document::decode(bytes) {
                Ok(decoded) => read.push(decoded),
                Err(e) => {
                    unreadable = Err(e);
                    break;
                }
            }
        }
        if read.len() > 1 {
            let mut stage = Stage::new(Some(self.clone()), true);
            let (applied, outcome) = in_turn(&read, |decoded| stage.admit(decoded, trust, |_, _| Ok(())));
            if let Ok(Some(document)) = stage.finish() {
                *self = document;
                return (applied, outcome.and(unreadable));
            }
        }
        let (applied, outcome) = in_turn(&read, |decoded| self.admit_decoded(decoded, trust, |_, _| Ok(())));
        (applied, outcome.and(unreadable))
    }
}

fn in_turn(
    read: &[Decoded],
    mut admit: impl FnMut(&Decoded) -> Result<Admission, Refusal>,
) -> (Vec<Inspected>, Result<(), Refusal>) {
    let mut applied = Vec::new();
    for decoded in read {
        match admit(decoded) {
            Ok(Admission::Applied(inspected)) => applied.push(inspected),
            Ok(Admission::Duplicate(_)) => {}
            Err(e) => return (applied, Err(e)),
        }
    }
    (applied, Ok(()))
}

/// A document with changes that are judged and wait to be applied.
pub struct Stage {
    document: Option<Document>,
    /// The document as it came, once something was applied to it before the end.
    before: Option<Option<Document>>,
    together: bool,
    pending: Vec<Change>,
    authors: Vec<(ActorId, u64)>,
    ahead: Ahead,
    /// Texts that pending changes edit, and how many characters they insert at most.
    texts: BTreeSet<String>,
    inserted: usize,
    /// A stranger's change that waits names operations of others.
    is_doubtful: bool,
    /// A pending change says where the document lies: rights are judged by that.
    is_moved: bool,
    is_failed: bool,
}

impl Stage {
    /// Begins with what is held of a document. `together`: apply at the end; otherwise each change as it comes, which tells of each for
    /// itself why it cannot be applied.
    pub fn new(document: Option<Document>, together: bool) -> Self {
        Self {
            document,
            before: None,
            together,
            pending: Vec::new(),
            authors: Vec::new(),
            ahead: Ahead::default(),
            texts: BTreeSet::new(),
            inserted: 0,
            is_doubtful: false,
            is_moved: false,
            is_failed: false,
        }
    }

    /// Whether there is a document.
    pub fn is_founded(&self) -> bool {
        self.document.is_some()
    }

    /// The document, without what waits; its identity, kind and community are final.
    pub fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// Whether it holds this change, be it that it waits.
    pub fn has(&self, hash: &ChangeHash) -> bool {
        self.ahead.max_ops.contains_key(&automerge::ChangeHash(hash.0))
            || self.document.as_ref().is_some_and(|d| d.has(hash))
    }

    /// Founds the document from its first change, if `gate` agrees.
    pub fn found(
        &mut self,
        decoded: &Decoded,
        trust: Trust,
        gate: impl FnOnce(&Document, &Inspected) -> Result<(), Refusal>,
    ) -> Result<Inspected, Refusal> {
        let (founded, inspected) = Document::found_decoded(decoded, trust)?;
        gate(&founded, &inspected)?;
        self.before.get_or_insert_with(|| self.document.take());
        self.document = Some(founded);
        Ok(inspected)
    }

    /// Lets one change in, if it is sound and `gate` agrees. `gate` sees what the change does, and the document as it lay before it;
    /// of what the document says it sees at least where it lies.
    pub fn admit(
        &mut self,
        decoded: &Decoded,
        trust: Trust,
        gate: impl FnOnce(&Document, &Inspected) -> Result<(), Refusal>,
    ) -> Result<Admission, Refusal> {
        if self.is_moved {
            self.before.get_or_insert_with(|| self.document.clone());
            self.apply_pending()?;
        }
        let first = || refuse(RefusalCode::MissingDependency, "the document's first change is not here");
        if !self.together {
            return self.document.as_mut().ok_or_else(first)?.admit_decoded(decoded, trust, gate);
        }
        if self.has(&decoded.raw.hash) {
            return Ok(Admission::Duplicate(decoded.raw.hash));
        }
        let document = self.document.as_ref().ok_or_else(first)?;
        let (inspected, walked) = document.weigh(&self.ahead, decoded, trust)?;
        gate(document, &inspected)?;
        for touch in &inspected.touches {
            match touch {
                Touch::Text { name } => drop(self.texts.insert(name.clone())),
                Touch::Field { path, .. } => self.is_moved |= path.starts_with("place."),
                _ => {}
            }
        }
        self.is_doubtful |= trust != Trust::Server && decoded.names_others();
        self.inserted += inserted_chars(&decoded.expanded);
        self.ahead.note(decoded, walked);
        self.pending.push(decoded.change.clone());
        self.authors.push((decoded.raw.actor, decoded.raw.seq));
        Ok(Admission::Applied(inspected))
    }

    /// The document with everything in it; or, if what waits cannot be applied together, the document as it came.
    pub fn finish(mut self) -> Result<Option<Document>, Box<Option<Document>>> {
        if !self.is_failed && self.apply_pending().is_ok() {
            return Ok(self.document);
        }
        Err(Box::new(self.before.unwrap_or(self.document)))
    }

    fn apply_pending(&mut self) -> Result<(), Refusal> {
        self.is_moved = false;
        let pending = std::mem::take(&mut self.pending);
        let bytes: Vec<Vec<u8>> = pending.iter().map(|c| c.raw_bytes().to_vec()).collect();
        let Some(document) = self.document.as_mut().filter(|_| !pending.is_empty()) else { return Ok(()) };
        let applied = fits(&document.inner, &self.texts, self.inserted).and_then(|()| apply(&document.inner, pending));
        let applied = applied.and_then(|inner| match std::mem::take(&mut self.is_doubtful) {
            true => comes_back(&inner).map(|()| inner),
            false => Ok(inner),
        });
        let inner = applied.inspect_err(|_| self.is_failed = true)?;
        document.inner = inner;
        for ((actor, seq), bytes) in self.authors.drain(..).zip(bytes) {
            document.counted(actor, seq, &bytes);
        }
        self.ahead = Ahead::default();
        self.texts.clear();
        self.inserted = 0;
        Ok(())
    }
}

/// Applies changes to a copy.
pub(super) fn apply(doc: &Automerge, changes: Vec<Change>) -> Result<Automerge, Refusal> {
    let hashes: Vec<_> = changes.iter().map(Change::hash).collect();
    let mut copy = doc.clone();
    let applied = catch_unwind(AssertUnwindSafe(move || copy.apply_changes(changes).map(|()| copy)));
    match applied {
        Ok(Ok(copy)) if hashes.iter().all(|h| copy.get_change_meta_by_hash(h).is_some()) => Ok(copy),
        Ok(Ok(_)) => Err(refuse(RefusalCode::MissingDependency, "it depends on changes that are not here")),
        Ok(Err(e)) => Err(refuse(RefusalCode::Malformed, e.to_string())),
        Err(_) => Err(refuse(RefusalCode::Malformed, "the change cannot be applied")),
    }
}

/// Whether a document that is saved comes back from its store as it is.
pub(super) fn comes_back(doc: &Automerge) -> Result<(), Refusal> {
    let options = || LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
    let again = catch_unwind(AssertUnwindSafe(|| Automerge::load_with_options(&doc.save(), options())));
    match again {
        Ok(Ok(again)) if again.get_heads() == doc.get_heads() => Ok(()),
        _ => Err(refuse(RefusalCode::Malformed, "it names operations that are not where it says")),
    }
}

/// Whether no text can grow beyond its limit, not even between two of the changes: elsewhere they may come one by one.
fn fits(doc: &Automerge, texts: &BTreeSet<String>, inserted: usize) -> Result<(), Refusal> {
    match texts.iter().find(|name| read::text_chars(doc, name) + inserted > limits::TEXT_CHARS_MAX) {
        Some(name) => Err(refuse(RefusalCode::TooLarge, format!("the text `{name}` may grow too long"))),
        None => Ok(()),
    }
}

fn inserted_chars(change: &ExpandedChange) -> usize {
    let chars = |op: &legacy::Op| match &op.action {
        legacy::OpType::Put(ScalarValue::Str(s)) if op.insert => s.chars().count(),
        _ => 0,
    };
    change.operations.iter().map(chars).sum()
}
