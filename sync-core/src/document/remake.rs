//! The same edits under another actor: a phone that was restored from a backup has written again where its actor had been already.
//! What it wrote then is written once more, word for word, as if by somebody who stood beside the first.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{ElementId, Key, ObjectId, OpId};
use automerge::{Change, ExpandedChange};

use super::{ChangeHash, Document, RawChange, raw};
use crate::error::{DocumentError, Refusal, RefusalCode};
use crate::ids::ActorId;

/// Whose operations have another owner now: the actor and the range of its operation numbers.
struct Moved {
    actor: automerge::ActorId,
    first: u64,
    behind: u64,
}

struct Remaking {
    to: automerge::ActorId,
    moved: Vec<Moved>,
    hashes: BTreeMap<automerge::ChangeHash, automerge::ChangeHash>,
}

impl Remaking {
    fn id(&self, id: &mut OpId) {
        let inside = |m: &Moved| m.actor == *id.actor() && (m.first..m.behind).contains(&id.counter());
        if self.moved.iter().any(inside) {
            *id = OpId::new(id.counter(), &self.to);
        }
    }

    fn change(&mut self, mut change: ExpandedChange, seq: u64) -> ExpandedChange {
        let first = change.start_op.get();
        let behind = first.saturating_add(u64::try_from(change.operations.len()).unwrap_or(u64::MAX));
        self.moved.push(Moved { actor: change.actor_id.clone(), first, behind });
        for op in &mut change.operations {
            if let ObjectId::Id(id) = &mut op.obj {
                self.id(id);
            }
            if let Key::Seq(ElementId::Id(id)) = &mut op.key {
                self.id(id);
            }
            let mut pred: Vec<OpId> = op.pred.iter().cloned().collect();
            pred.iter_mut().for_each(|id| self.id(id));
            op.pred = pred.into();
        }
        for dep in &mut change.deps {
            *dep = self.hashes.get(dep).copied().unwrap_or(*dep);
        }
        change.deps.sort_unstable();
        change.actor_id = self.to.clone();
        change.seq = seq;
        change.hash = None;
        change
    }
}

impl Document {
    /// These changes, in the order in which they were made, written again under an actor that has written nothing yet.
    pub fn remake(changes: &[Vec<u8>], actor: ActorId) -> Result<Vec<(ChangeHash, RawChange)>, DocumentError> {
        let mut remaking =
            Remaking { to: automerge::ActorId::from(actor.0), moved: Vec::new(), hashes: BTreeMap::new() };
        let mut out = Vec::with_capacity(changes.len());
        for (bytes, seq) in changes.iter().zip(1..) {
            let decoded = Self::decode(bytes)?;
            let before = decoded.raw.hash;
            let expanded = remaking.change(decoded.expanded().clone(), seq);
            let broken = || Refusal::new(RefusalCode::Malformed, "the change cannot be written again");
            let change = catch_unwind(AssertUnwindSafe(|| Change::from(expanded))).map_err(|_| broken())?;
            remaking.hashes.insert(automerge::ChangeHash(before.0), change.hash());
            out.push((before, raw(&change).ok_or_else(broken)?));
        }
        Ok(out)
    }
}
