//! What the server knows when it judges the changes of a document, and what it comes to. It holds no rule of its own.

use std::collections::{BTreeMap, BTreeSet};

use crate::authority::Subject;
use crate::document::{ChangeHash, Inspected};
use crate::error::{Refusal, RefusalCode};
use crate::ids::{ActorId, AreaCode};
use crate::sync::wire::PushResult;
use crate::time::{TimeClaim, Witness};

/// What the server knows when it judges.
pub struct Bench<'a> {
    /// Who signed, with every role ever held: which of them counts depends on when the change was made.
    pub subject: &'a Subject,
    /// The actors that belong to the signing device and person.
    pub actors: &'a BTreeSet<ActorId>,
    /// When the device was revoked, ms UTC.
    pub revoked_ms: Option<i64>,
    /// Issue times of the genuine tokens of the device.
    pub tokens: &'a [i64],
    /// Where the document used to lie.
    pub former: &'a [FormerPlace],
    /// Changes of this document that stand in quarantine.
    pub quarantined: &'a BTreeMap<ChangeHash, Standing>,
    /// The server's clock, ms UTC.
    pub now_ms: i64,
    /// The last word of a phone: nobody will bring what a change builds on and is not here, so that the change is kept aside.
    pub is_last: bool,
}

/// A change that stands in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Why it was refused.
    pub code: RefusalCode,
    /// Why, in words.
    pub detail: String,
    /// It was sent by the person and device that are judged now. What somebody sent in another's place is no word about what that one
    /// sends himself.
    pub is_own: bool,
}

impl Standing {
    /// Whether what builds on it is refused with it: not on the word of somebody who sent what was not his.
    pub(super) fn holds_back(&self) -> bool {
        self.code != RefusalCode::ForeignActor
    }
}

/// Where a document lay before it was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerPlace {
    /// Its grid then.
    pub grid: Option<AreaCode>,
    /// Its building then.
    pub building: Option<AreaCode>,
    /// When the server learned that it was moved, ms UTC.
    pub until_ms: i64,
}

/// A change that is in the document now and must go into the journal.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The change with what it does.
    pub inspected: Inspected,
    /// When its author says it was made.
    pub at: TimeClaim,
    /// When it can have been made.
    pub witness: Witness,
}

/// A change that goes into quarantine.
#[derive(Debug, Clone)]
pub struct Quarantined {
    /// Its identity; of bytes that are no change, their SHA-256.
    pub hash: ChangeHash,
    /// When its author says it was made.
    pub at: TimeClaim,
    /// Its bytes as they came.
    pub bytes: Vec<u8>,
    /// Why.
    pub refusal: Refusal,
}

/// What became of the changes of one document.
#[derive(Debug, Default)]
pub struct Verdict {
    /// In the document, in this order.
    pub accepted: Vec<Accepted>,
    /// Kept aside.
    pub quarantined: Vec<Quarantined>,
    /// The answers, except positions, which the journal hands out: accepted changes stand here with position 0.
    pub results: Vec<PushResult>,
}
