//! The one order of events that all replicas agree on: first what an author had seen, then what he wrote; between events that
//! know nothing of each other, trusted time decides, and where that is equal, the id.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use crate::event::{Event, TimelineEntry};
use crate::ids::EventId;
use crate::time::Witness;

/// Answers who had seen what.
#[derive(Debug, Default)]
pub struct Causality {
    after: HashMap<EventId, Vec<EventId>>,
}

impl Causality {
    /// From events that each name what their author had seen.
    pub fn new<'a>(events: impl IntoIterator<Item = (EventId, &'a [EventId])>) -> Self {
        Self { after: events.into_iter().map(|(id, after)| (id, after.to_vec())).collect() }
    }

    /// From a folded timeline.
    pub fn of(timeline: &[TimelineEntry]) -> Self {
        Self::new(timeline.iter().map(|e| (e.id, e.after.as_slice())))
    }

    /// Whether the author of `later` had seen `earlier` when writing.
    pub fn saw(&self, later: EventId, earlier: EventId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![later];
        while let Some(id) = open.pop() {
            for before in self.after.get(&id).into_iter().flatten() {
                if *before == earlier {
                    return true;
                }
                if seen.insert(*before) {
                    open.push(*before);
                }
            }
        }
        false
    }

    /// The newest events: those that no other one has seen. What the next author writes into `after`.
    pub fn frontier(&self) -> Vec<EventId> {
        let seen: BTreeSet<_> = self.after.values().flatten().collect();
        let mut newest: Vec<_> = self.after.keys().filter(|id| !seen.contains(id)).copied().collect();
        newest.sort_unstable();
        newest
    }
}

type Key = (i64, i64, u32, EventId);

fn key(id: EventId, event: &Event, witness: Option<&Witness>) -> Key {
    let trusted = witness.map_or(event.at.hlc.wall_ms, |w| match w.basis {
        // Between merely claimed events the claim orders, held within what is possible.
        crate::time::TimeBasis::Claimed => event.at.hlc.wall_ms.clamp(w.earliest_ms, w.latest_ms.max(w.earliest_ms)),
        _ => w.latest_ms,
    });
    (trusted, event.at.hlc.wall_ms, event.at.hlc.count, id)
}

/// Puts events in order. Predecessors that are not there, and circles that a forger might make, do not stop it.
pub(super) fn timeline(
    mut events: BTreeMap<EventId, Event>,
    witnesses: &BTreeMap<EventId, Witness>,
) -> Vec<TimelineEntry> {
    let mut waiting: HashMap<EventId, usize> = HashMap::new();
    let mut followers: HashMap<EventId, Vec<EventId>> = HashMap::new();
    for (id, event) in &events {
        let known: BTreeSet<_> = event.after.iter().filter(|a| *a != id && events.contains_key(a)).collect();
        waiting.insert(*id, known.len());
        for before in known {
            followers.entry(*before).or_default().push(*id);
        }
    }
    let keys: BTreeMap<EventId, Key> = events.iter().map(|(id, e)| (*id, key(*id, e, witnesses.get(id)))).collect();
    let mut ready: BinaryHeap<Reverse<Key>> =
        keys.iter().filter(|(id, _)| waiting.get(id) == Some(&0)).map(|(_, k)| Reverse(*k)).collect();
    let mut out = Vec::with_capacity(events.len());
    loop {
        let id = match ready.pop() {
            Some(Reverse((.., id))) => id,
            // Only a circle is left: break it at its earliest member.
            None => match events.keys().filter_map(|id| keys.get(id)).min() {
                Some((.., id)) => *id,
                None => break,
            },
        };
        let Some(event) = events.remove(&id) else { continue };
        for next in followers.remove(&id).into_iter().flatten() {
            if let Some(n) = waiting.get_mut(&next) {
                *n = n.saturating_sub(1);
                if *n == 0
                    && let Some(k) = keys.get(&next)
                {
                    ready.push(Reverse(*k));
                }
            }
        }
        out.push(TimelineEntry {
            id,
            kind: event.kind,
            by: event.by,
            at: event.at,
            after: event.after,
            body: event.body,
            witness: witnesses.get(&id).copied(),
            moot: None,
            withdrawn: None,
        });
    }
    out
}
