//! What a run tells: a line for everything that happened, a hash over all of them, counts, and what went wrong in words.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The counts of one seed or of many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Virtual days lived, summed over phones.
    pub device_days: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Changes typed or acknowledged that are nowhere any more.
    pub lost: u64,
    /// Replicas that fold unequal, projections unequal to a rebuild, replays that changed something, obligations acted on twice.
    pub diverged: u64,
    /// Reads and writes without a right.
    pub unauthorised: u64,
    /// Changes that a phone which may still send did not get rid of within the bounded rounds after healing.
    pub undrained: u64,
    /// Changes typed on phones.
    pub edits: u64,
    /// Sync requests that the server took.
    pub syncs: u64,
    /// Changes that a disaster took with every copy of them: an unsent edit of a phone rolled back, or the like.
    pub died_with_disks: u64,
    /// Seeds whose second run told another story.
    pub unrepeatable: u64,
    /// What people did beside writing and syncing.
    pub deeds: BTreeMap<String, u64>,
    /// Faults by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// SHA-256 over the story of every seed in order.
    pub trace: String,
    /// What went wrong, in words, each with its seed.
    pub wrong: Vec<String>,
}

impl Report {
    /// Whether everything held.
    pub fn is_clean(&self) -> bool {
        self.lost + self.diverged + self.unauthorised + self.undrained + self.unrepeatable == 0 && self.wrong.is_empty()
    }

    /// Adds the report of a seed.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.device_days += other.device_days;
        self.faults += other.faults;
        self.lost += other.lost;
        self.diverged += other.diverged;
        self.unauthorised += other.unauthorised;
        self.undrained += other.undrained;
        self.edits += other.edits;
        self.syncs += other.syncs;
        self.died_with_disks += other.died_with_disks;
        self.unrepeatable += other.unrepeatable;
        for (kind, n) in &other.by_kind {
            *self.by_kind.entry(kind.clone()).or_default() += n;
        }
        for (deed, n) in &other.deeds {
            *self.deeds.entry(deed.clone()).or_default() += n;
        }
        self.trace = hex(&Sha256::digest(format!("{}{}", self.trace, other.trace)));
        self.wrong.extend(other.wrong.iter().cloned());
    }
}

/// The story of one seed.
#[derive(Default)]
pub struct Trace {
    /// A line for everything that happened.
    pub lines: Vec<String>,
    hasher: Sha256,
}

impl Trace {
    /// Tells what happened.
    pub fn tell(&mut self, line: String) {
        self.hasher.update(line.as_bytes());
        self.hasher.update([0]);
        self.lines.push(line);
    }

    /// The hash over everything told so far.
    pub fn hash(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
