//! The server's half of a push, without its database: judges the changes of one document one by one, and writes down what the
//! server vouches for. Everything it needs to know comes in; a poison change stops only what depends on it.

mod bench;

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::wire::{Bundle, BundleChange, BundleEntry, PushOutcome, PushResult};
use crate::authority::{Place, Subject};
use crate::document::{
    Acceptance, Admission, ChangeHash, Decoded, Document, Inspected, RawChange, Stage, Touch, Trust,
};
use crate::error::{DocumentError, EditError, Refusal, RefusalCode};
use crate::ids::{ActorId, AreaCode, EventId, UserId};
use crate::shape::DocumentKind;
use crate::time::{TimeBasis, Witness};

pub use bench::{Accepted, Bench, FormerPlace, Quarantined, Standing, Verdict};

/// A bundle whose changes were read one by one: the costly part of judging it that needs no database.
pub struct Opened {
    /// The bundle.
    pub bundle: Bundle,
    decoded: Vec<Vec<Reading>>,
}

/// A change as it was read, or why it cannot be.
pub type Reading = Result<Decoded, Refusal>;

impl From<Bundle> for Opened {
    fn from(bundle: Bundle) -> Self {
        let read = |e: &BundleEntry| e.changes.iter().map(|c| Document::decode(&c.bytes)).collect();
        Self { decoded: bundle.entries.iter().map(read).collect(), bundle }
    }
}

impl Opened {
    /// Its entries with their changes as they were read.
    pub fn entries(&self) -> impl Iterator<Item = (&BundleEntry, &[Reading])> {
        self.bundle.entries.iter().zip(self.decoded.iter().map(Vec::as_slice))
    }
}

/// Judges one entry of a verified bundle. `document` is what the server holds, `None` if it has never heard of it; it is changed
/// by what is accepted.
pub fn judge(document: &mut Option<Document>, entry: &BundleEntry, readings: &[Reading], bench: &Bench<'_>) -> Verdict {
    let mut held = document.take();
    if entry.changes.len() > 1 {
        let (verdict, stage) = judge_in(Stage::new(held, true), entry, readings, bench);
        match stage.finish() {
            Ok(with) => {
                *document = with;
                return verdict;
            }
            // Something of it cannot be applied: only one by one can it be told what.
            Err(before) => held = *before,
        }
    }
    let (verdict, stage) = judge_in(Stage::new(held, false), entry, readings, bench);
    *document = stage.finish().unwrap_or_else(|before| *before);
    verdict
}

fn judge_in(mut stage: Stage, entry: &BundleEntry, readings: &[Reading], bench: &Bench<'_>) -> (Verdict, Stage) {
    let mut verdict = Verdict::default();
    let mut refused: BTreeSet<ChangeHash> = BTreeSet::new();
    for (change, reading) in entry.changes.iter().zip(readings) {
        let hash = reading.as_ref().map_or_else(|_| digest(&change.bytes), |read| read.raw.hash);
        let outcome = match bench.quarantined.get(&hash).filter(|s| s.is_own) {
            Some(Standing { code, detail, .. }) => {
                refused.insert(hash);
                PushOutcome::Quarantined(*code, detail.clone())
            }
            None => one(&mut stage, entry, change, reading, bench, &refused, &mut verdict),
        };
        if let PushOutcome::Quarantined(code, detail) | PushOutcome::Unreadable(code, detail) = &outcome
            && refused.insert(hash)
        {
            verdict.quarantined.push(Quarantined {
                hash,
                at: change.at,
                bytes: change.bytes.to_vec(),
                refusal: Refusal::new(*code, detail.clone()),
            });
        }
        verdict.results.push(PushResult { document: entry.document, hash, outcome });
    }
    (verdict, stage)
}

fn digest(bytes: &[u8]) -> ChangeHash {
    ChangeHash(Sha256::digest(bytes).into())
}

fn one(
    stage: &mut Stage,
    entry: &BundleEntry,
    change: &BundleChange,
    reading: &Reading,
    bench: &Bench<'_>,
    refused: &BTreeSet<ChangeHash>,
    verdict: &mut Verdict,
) -> PushOutcome {
    let read = match reading {
        Ok(read) => read,
        Err(e) => return PushOutcome::Unreadable(e.code, e.detail.clone()),
    };
    let (raw, deps) = (&read.raw, &read.deps);
    let quarantine = |r: Refusal| PushOutcome::Quarantined(r.code, r.detail);
    if stage.has(&raw.hash) {
        return PushOutcome::Duplicate;
    }
    // Of what is new, whose it is and of which document comes first: whoever decides about a refusal is found by its community.
    if let Err(refusal) = own_and_of_this(stage, entry, read, bench) {
        return quarantine(refusal);
    }
    let held_back = |d: &&ChangeHash| {
        refused.contains(d) || bench.quarantined.get(d).is_some_and(Standing::holds_back) && !stage.has(d)
    };
    if let Some(dep) = deps.iter().find(held_back) {
        return quarantine(Refusal::new(
            RefusalCode::DependsOnRefused,
            format!("it builds on {dep}, which was refused"),
        ));
    }
    let missing: Vec<ChangeHash> = deps.iter().filter(|dep| !stage.has(dep)).copied().collect();
    if let Some(first) = missing.first() {
        if !bench.is_last {
            return PushOutcome::Need(missing);
        }
        let detail = format!("it builds on {first}, which never came here; this was the last word of its phone");
        return quarantine(Refusal::new(RefusalCode::MissingDependency, detail));
    }
    match admit(stage, entry, change, read, bench) {
        Ok(None) => PushOutcome::Duplicate,
        Ok(Some(accepted)) => {
            verdict.accepted.push(accepted);
            PushOutcome::Accepted(0)
        }
        Err(refusal) => quarantine(refusal),
    }
}

fn own_and_of_this(stage: &Stage, entry: &BundleEntry, read: &Decoded, bench: &Bench<'_>) -> Result<(), Refusal> {
    if !bench.actors.contains(&read.raw.actor) {
        return Err(Refusal::new(RefusalCode::ForeignActor, "its actor belongs to another device or person"));
    }
    stage.document().map_or(Ok(()), |document| same_document(document, entry))
}

fn admit(
    stage: &mut Stage,
    entry: &BundleEntry,
    change: &BundleChange,
    read: &Decoded,
    bench: &Bench<'_>,
) -> Result<Option<Accepted>, Refusal> {
    let witness = Witness::judge(&change.at, bench.tokens, bench.now_ms);
    if let Some(revoked) = bench.revoked_ms
        && (witness.basis != TimeBasis::Anchored || witness.latest_ms >= revoked)
    {
        return Err(Refusal::new(
            RefusalCode::Revoked,
            "the device was revoked, and nothing proves that this is older",
        ));
    }
    let subject = subject_at(bench, &witness);
    let inspected = match stage.document() {
        Some(_) => {
            let gate = |before: &Document, inspected: &Inspected| {
                let place = Place::of(before);
                let now = allowed(&subject, &place, &inspected.touches);
                now.or_else(|refusal| {
                    let then = places_then(bench, &witness, &place);
                    let fits = |then: &Place| allowed(&subject, then, &inspected.touches).is_ok();
                    if then.iter().any(fits) {
                        Ok(())
                    } else {
                        Err(doubtful(bench, &witness, &place, refusal, inspected))
                    }
                })
            };
            match stage.admit(read, Trust::Stranger, gate)? {
                Admission::Applied(inspected) => inspected,
                Admission::Duplicate(_) => return Ok(None),
            }
        }
        None => stage.found(read, Trust::Stranger, |founded, inspected| {
            same_document(founded, entry)?;
            let place = Place::of(founded);
            allowed(&subject, &place, &inspected.touches)
                .map_err(|refusal| doubtful(bench, &witness, &place, refusal, inspected))
        })?,
    };
    Ok(Some(Accepted { inspected, at: change.at, witness }))
}

/// The roles that counted when the change was made: for anchored changes those held then, else those held now.
fn subject_at(bench: &Bench<'_>, witness: &Witness) -> Subject {
    let (from, to) = match witness.basis {
        TimeBasis::Anchored => (witness.earliest_ms, witness.latest_ms),
        _ => (bench.now_ms, bench.now_ms),
    };
    let grants = bench.subject.grants.iter().filter(|g| g.held_between(from, to)).cloned().collect();
    Subject { user: bench.subject.user, grants }
}

/// Where the document lay when an anchored change was made, besides where it lies now: who worked on it in its former place could not
/// know that it had left.
fn places_then(bench: &Bench<'_>, witness: &Witness, now: &Place) -> Vec<Place> {
    let made_before = |f: &&FormerPlace| witness.basis == TimeBasis::Anchored && witness.earliest_ms < f.until_ms;
    let place = |f: &FormerPlace| Place { grid: f.grid.clone(), building: f.building.clone(), ..now.clone() };
    bench.former.iter().filter(made_before).map(place).collect()
}

/// Tells whoever decides about a refused change that its author may have made it while it was his to make, where only proof is lacking.
fn doubtful(bench: &Bench<'_>, witness: &Witness, place: &Place, refusal: Refusal, inspected: &Inspected) -> Refusal {
    let held = |g: &&crate::authority::Grant| g.held_between(witness.earliest_ms, witness.latest_ms);
    let then =
        Subject { user: bench.subject.user, grants: bench.subject.grants.iter().filter(held).cloned().collect() };
    if witness.basis != TimeBasis::Claimed || allowed(&then, place, &inspected.touches).is_err() {
        return refusal;
    }
    let detail = format!("{}; it may have been made while the role was held, but nothing proves when", refusal.detail);
    Refusal { detail, ..refusal }
}

fn same_document(document: &Document, entry: &BundleEntry) -> Result<(), Refusal> {
    let meta = document.meta();
    if meta.id == entry.document && meta.kind == entry.kind && meta.community == entry.community {
        Ok(())
    } else {
        Err(Refusal::new(RefusalCode::Malformed, "the change founds another document than its envelope says"))
    }
}

fn allowed(subject: &Subject, place: &Place, touches: &[Touch]) -> Result<(), Refusal> {
    touches.iter().try_for_each(|touch| subject.may(place, touch))
}

/// Writes into the document what the server vouches for: when each event arrived and can have been written, whose the actors are,
/// what the people are called, and who let in what had been refused. One change under the server's own actor, or none if nothing is new.
pub fn vouch(
    document: &mut Document,
    server: ActorId,
    now_ms: i64,
    witnesses: &[(EventId, Witness)],
    actors: &[(ActorId, UserId)],
    people: &[(UserId, String)],
    accepted: &[(ChangeHash, Acceptance)],
) -> Result<Option<RawChange>, EditError> {
    let known_actors = document.actors();
    let known_people = document.people();
    let known_witnesses = document.witnesses();
    let witnesses: Vec<_> = witnesses.iter().filter(|(id, _)| !known_witnesses.contains_key(id)).collect();
    let actors: Vec<_> = actors.iter().filter(|(a, u)| known_actors.get(a) != Some(u)).collect();
    let people: Vec<_> = people.iter().filter(|(u, name)| known_people.get(u) != Some(name)).collect();
    let ((), change) = document.edit(server, now_ms, |writer| {
        for (id, witness) in &witnesses {
            writer.add_witness(*id, witness)?;
        }
        for (actor, user) in &actors {
            writer.add_actor(*actor, *user)?;
        }
        for (user, name) in &people {
            writer.add_person(*user, name)?;
        }
        for (change, acceptance) in accepted {
            writer.add_acceptance(*change, acceptance)?;
        }
        Ok(())
    })?;
    Ok(change)
}

/// The events of a change with what the server knows of their time. An event's own claim counts, not that of its envelope.
pub fn witnesses(accepted: &Accepted, tokens: &[i64]) -> Vec<(EventId, Witness)> {
    let events = accepted.inspected.touches.iter().filter_map(|t| match t {
        Touch::Event { id, event } => Some((*id, event)),
        _ => None,
    });
    events.map(|(id, event)| (id, Witness::judge(&event.at, tokens, accepted.witness.received_ms))).collect()
}

/// The actor under which one journal writes for one person at its desks, or for itself. Never shared: changes of a document are
/// written under the lock of its community, and a restored server has another journal.
pub fn desk_actor(journal: crate::ids::JournalId, user: UserId) -> ActorId {
    let mut digest = Sha256::new();
    digest.update(b"fengqiao-desk-v1");
    digest.update(journal.0.as_bytes());
    digest.update(user.0.as_bytes());
    let hash: [u8; 32] = digest.finalize().into();
    let mut actor = [0; 16];
    for (to, from) in actor.iter_mut().zip(DESK_TAG.into_iter().chain(hash)) {
        *to = from;
    }
    ActorId(actor)
}

/// How every desk's actor begins, so that those of a journal before a restore are known too.
const DESK_TAG: [u8; 4] = *b"desk";

/// Whether a server writes under an actor itself: anybody can compute those, and no phone may claim one.
pub fn is_desk_actor(actor: ActorId) -> bool {
    actor.0.starts_with(&DESK_TAG)
}

/// A number that changes when what somebody may see of a community changes: a phone that shows another one starts over with whole
/// documents.
pub fn scope(subject: &Subject, community: &AreaCode) -> u64 {
    let mut digest = Sha256::new();
    digest.update(subject.user.0.as_bytes());
    let mut lines: Vec<String> = subject
        .grants
        .iter()
        .filter(|g| g.communities.contains(community))
        .map(|g| format!("{}\u{0}{}", g.role.as_str(), g.area))
        .collect();
    lines.sort();
    lines.dedup();
    for line in lines {
        digest.update(line.as_bytes());
        digest.update([1]);
    }
    let hash: [u8; 32] = digest.finalize().into();
    // 53 bits, so that every language's number type can hold it.
    hash.iter().take(6).fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// What a kept-aside change would do, for a person to read. `scratch` is a copy of its document; where the change fits, it is in the
/// copy afterwards, so that what builds on it can be read too.
pub fn preview(kind: DocumentKind, bytes: &[u8], scratch: &mut Option<Document>) -> Vec<String> {
    let mut touches = Vec::new();
    match scratch {
        Some(document) => {
            let _ = document.admit(bytes, Trust::Stranger, |_, inspected| {
                touches.clone_from(&inspected.touches);
                Ok(())
            });
        }
        None => {
            if let Ok((founded, inspected)) = Document::found(bytes, Trust::Stranger) {
                touches = inspected.touches;
                *scratch = Some(founded);
            }
        }
    }
    if touches.is_empty() {
        let words = Document::written(bytes).filter(|w| !w.is_empty());
        let raw = || format!("{} bytes for a {} that cannot be shown in words", bytes.len(), kind.as_str());
        return words.unwrap_or_else(raw).lines().map(str::to_owned).collect();
    }
    let text = |name: &str| scratch.as_ref().and_then(|d| d.text(name)).unwrap_or_default();
    let line = |touch: &Touch| match touch {
        Touch::Text { name } => format!("text {name} = {}", text(name)),
        Touch::Event { event, .. } => {
            let body: Vec<String> = event.body.iter().map(|(k, v)| format!("{k} = {v}")).collect();
            format!("{}: {}", describe(touch), body.join(", ")).trim_end_matches(": ").to_owned()
        }
        Touch::Attachment { hash, name, .. } => match scratch.as_ref().and_then(|d| d.attachments().remove(hash)) {
            Some(file) => {
                let text = |t: &str| serde_json::Value::from(t);
                let told = format!("name = {}, media_type = {}", text(name), text(&file.media_type));
                format!("{}: {told}, bytes = {}", describe(touch), file.bytes)
            }
            None => describe(touch),
        },
        other => describe(other),
    };
    touches.iter().map(line).collect()
}

/// One touch in a line.
pub fn describe(touch: &Touch) -> String {
    match touch {
        Touch::Create { .. } => "create".to_owned(),
        Touch::Field { path, value } => format!("{path} = {value}"),
        Touch::Item { collection, id } => format!("{collection} + {id}"),
        Touch::Text { name } => format!("text {name}"),
        Touch::Event { event, .. } => format!("event {}", event.kind),
        Touch::Attachment { hash, .. } => format!("attachment {hash}"),
        Touch::Server => "witness".to_owned(),
        Touch::Unknown => "unknown".to_owned(),
    }
}

impl From<DocumentError> for Refusal {
    fn from(e: DocumentError) -> Self {
        match e {
            DocumentError::Refused(refusal) => refusal,
            other => Refusal::new(RefusalCode::Malformed, other.to_string()),
        }
    }
}
