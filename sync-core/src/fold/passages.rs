//! Finds passages that two people wrote without having seen each other: edits of one text that neither author knew of, and whose
//! whole sentences overlap in the text as it reads now.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::document::{ChangeHash, ChangeInfo, Document};
use crate::event::{EventKind, TimelineEntry};
use crate::ids::{ActorId, UserId};
use crate::text::{PassageFlag, PassageVersion};

/// Characters that end a sentence.
const SENTENCE_ENDS: [char; 9] = ['。', '！', '？', '；', '!', '?', ';', '\n', '…'];
/// Edits of one text looked at, newest first: beyond this a text is long settled, and pairs grow with the square.
const EDITS_MAX: usize = 2_000;

struct Edit {
    hash: ChangeHash,
    actor: ActorId,
    at_ms: i64,
    /// How many changes of each actor its author had seen, its own included.
    clock: HashMap<ActorId, u64>,
    seq: u64,
    start: usize,
    end: usize,
}

impl Edit {
    fn saw(&self, other: &Edit) -> bool {
        self.clock.get(&other.actor).is_some_and(|n| *n >= other.seq)
    }
}

/// The open flags of all texts, those confirmed left out.
pub(super) fn open(
    document: &Document,
    actors: &BTreeMap<ActorId, UserId>,
    timeline: &[TimelineEntry],
) -> Vec<PassageFlag> {
    let history = document.history();
    let texts: BTreeSet<&str> = history.iter().filter_map(|c| c.text.as_deref()).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let clocks = clocks(&history);
    let confirmed: BTreeSet<&str> = timeline
        .iter()
        .filter(|e| e.kind == EventKind::PassageConfirmed && e.stands())
        .filter_map(|e| e.text("flag"))
        .collect();
    let mut flags = Vec::new();
    for text in texts {
        flags.extend(of_text(document, text, &history, &clocks, actors));
    }
    flags.retain(|f| !confirmed.contains(f.flag.as_str()));
    flags
}

fn clocks(history: &[ChangeInfo]) -> HashMap<ChangeHash, HashMap<ActorId, u64>> {
    let mut clocks: HashMap<ChangeHash, HashMap<ActorId, u64>> = HashMap::new();
    for change in history {
        let mut clock: HashMap<ActorId, u64> = HashMap::new();
        for dep in &change.deps {
            for (actor, seq) in clocks.get(dep).into_iter().flatten() {
                let known = clock.entry(*actor).or_default();
                *known = (*known).max(*seq);
            }
        }
        clock.insert(change.actor, change.seq);
        clocks.insert(change.hash, clock);
    }
    clocks
}

fn of_text(
    document: &Document,
    text: &str,
    history: &[ChangeInfo],
    clocks: &HashMap<ChangeHash, HashMap<ActorId, u64>>,
    actors: &BTreeMap<ActorId, UserId>,
) -> Vec<PassageFlag> {
    let changes: Vec<_> = history.iter().filter(|c| c.text.as_deref() == Some(text)).rev().take(EDITS_MAX).collect();
    let concurrent = |a: &ChangeInfo, b: &ChangeInfo| {
        let saw = |x: &ChangeInfo, y: &ChangeInfo| {
            clocks.get(&x.hash).and_then(|c| c.get(&y.actor)).is_some_and(|n| *n >= y.seq)
        };
        a.actor != b.actor && !saw(a, b) && !saw(b, a)
    };
    // Most texts were never written by two at once: find that out before any change is decoded.
    let involved: Vec<_> = changes.iter().filter(|a| changes.iter().any(|b| concurrent(a, b))).collect();
    if involved.is_empty() {
        return Vec::new();
    }
    let merged: Vec<char> = document.text(text).unwrap_or_default().chars().collect();
    let mut edits = Vec::new();
    for change in involved {
        let Some(span) = document.text_edit(text, change.hash) else { continue };
        let (start, end) = sentences(&merged, span.start, span.end);
        edits.push(Edit {
            hash: change.hash,
            actor: change.actor,
            at_ms: change.at_ms,
            clock: clocks.get(&change.hash).cloned().unwrap_or_default(),
            seq: change.seq,
            start,
            end,
        });
    }
    edits.sort_by_key(|e| e.hash);
    groups(&edits).into_iter().filter_map(|group| flag(document, text, &merged, &group, actors)).collect()
}

/// Widens a span to whole sentences.
fn sentences(text: &[char], start: usize, end: usize) -> (usize, usize) {
    let start = start.min(text.len());
    let end = end.clamp(start, text.len());
    let ends = |c: &char| SENTENCE_ENDS.contains(c);
    let before = text.get(..start).unwrap_or_default();
    let from = before.iter().rposition(ends).map_or(0, |i| i + 1);
    // A span that ends with the end of a sentence does not reach into the next one.
    let inside = text.get(from..end).unwrap_or_default();
    if end > start && inside.last().is_some_and(ends) {
        return (from, end);
    }
    let rest = text.get(end..).unwrap_or_default();
    let to = rest.iter().position(ends).map_or(text.len(), |i| end + i + 1);
    (from, to)
}

/// Edits that overlap without having seen each other, gathered.
fn groups(edits: &[Edit]) -> Vec<Vec<&Edit>> {
    let mut group_of: Vec<usize> = (0..edits.len()).collect();
    let mut clashing = vec![false; edits.len()];
    for (i, a) in edits.iter().enumerate() {
        for (j, b) in edits.iter().enumerate().skip(i + 1) {
            let overlap = a.start < b.end && b.start < a.end;
            if !overlap || a.actor == b.actor || a.saw(b) || b.saw(a) {
                continue;
            }
            let (from, to) = (group_of.get(j).copied().unwrap_or(j), group_of.get(i).copied().unwrap_or(i));
            for g in &mut group_of {
                if *g == from {
                    *g = to;
                }
            }
            for k in [i, j] {
                if let Some(c) = clashing.get_mut(k) {
                    *c = true;
                }
            }
        }
    }
    let mut out: BTreeMap<usize, Vec<&Edit>> = BTreeMap::new();
    for ((edit, group), clashes) in edits.iter().zip(group_of).zip(clashing) {
        if clashes {
            out.entry(group).or_default().push(edit);
        }
    }
    out.into_values().collect()
}

fn flag(
    document: &Document,
    text: &str,
    merged: &[char],
    group: &[&Edit],
    actors: &BTreeMap<ActorId, UserId>,
) -> Option<PassageFlag> {
    let start = group.iter().map(|e| e.start).min()?;
    let end = group.iter().map(|e| e.end).max()?;
    // What each side had written: of several edits of one author only the last, which holds the others.
    let last = group.iter().filter(|a| !group.iter().any(|b| b.actor == a.actor && b.seq > a.seq));
    let mut versions: Vec<_> = last
        .map(|edit| PassageVersion {
            by: actors.get(&edit.actor).copied(),
            at_ms: edit.at_ms,
            passage: passage_at(document, text, edit, merged, start, end),
        })
        .collect();
    versions.sort_by(|a, b| (a.at_ms, &a.passage).cmp(&(b.at_ms, &b.passage)));
    let mut name = flag_name(group);
    name.truncate(32);
    Some(PassageFlag {
        flag: name,
        text: text.to_owned(),
        start,
        merged: merged.get(start..end).unwrap_or_default().iter().collect(),
        versions,
    })
}

/// The passage as its author left it: the text at that change, less what lies outside the passage on both sides.
fn passage_at(document: &Document, text: &str, edit: &Edit, merged: &[char], start: usize, end: usize) -> String {
    let then: Vec<char> = document.text_at(text, &[edit.hash]).unwrap_or_default().chars().collect();
    let before = merged.get(..start).unwrap_or_default();
    let behind = merged.get(end..).unwrap_or_default();
    let common = before.iter().zip(&then).take_while(|(a, b)| a == b).count();
    let rest = then.get(common..).unwrap_or_default();
    let tail = behind.iter().rev().zip(rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (from, _) = sentences(&then, common, common);
    then.get(from..then.len().saturating_sub(tail)).unwrap_or_default().iter().collect()
}

/// A name for a group of edits that is the same on all replicas.
fn flag_name(group: &[&Edit]) -> String {
    use sha2::{Digest, Sha256};
    let mut hashes: Vec<_> = group.iter().map(|e| e.hash).collect();
    hashes.sort_unstable();
    let mut digest = Sha256::new();
    for hash in hashes {
        digest.update(hash.0);
    }
    digest.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
