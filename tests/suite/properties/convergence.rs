//! Any interleaving of edits on several replicas, delivered in any order, twice and in batches, comes to the same bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use sync_core::authority::{Grant, Subject};
use sync_core::document::{Admission, Document, RawChange, Trust};
use sync_core::edit::{Draft, Pen, apply, create};
use sync_core::error::RefusalCode;
use sync_core::fold::{fold_case, fold_patrol};
use sync_core::ids::{ActorId, Entropy, UserId};
use sync_core::role::{AreaKind, Role};
use sync_core::shape::DocumentKind;
use sync_core::sync::server::vouch;
use sync_core::time::{Hlc, TimeBasis, TimeClaim, Witness};
use tests::biyan;
use tests::phones::write;

use tests::scribble::{Dice, edits};

/// Random bytes that a failing case draws again.
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        let n = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (to, from) in buffer.iter_mut().zip(n.to_be_bytes().iter().cycle()) {
            *to = *from;
        }
    }
}

pub(super) struct Replica {
    pub(super) document: Document,
    subject: Subject,
    actor: ActorId,
    /// How far its clock is wrong, ms.
    wrong_ms: i64,
}

/// Somebody who may write everything: what is refused for want of a role is another test's matter.
fn somebody(n: u8) -> Subject {
    let grant = |role| Grant {
        role,
        area: biyan(),
        kind: AreaKind::Community,
        communities: vec![biyan()],
        from_ms: 0,
        until_ms: None,
    };
    Subject {
        user: UserId(uuid::Uuid::from_u128(u128::from(n) + 1)),
        grants: [Role::Supervisor, Role::StationHead].map(grant).into(),
    }
}

pub(super) fn fold(document: &Document) -> Vec<u8> {
    match document.meta().kind {
        DocumentKind::Case => serde_json::to_vec(&fold_case(document)).unwrap(),
        DocumentKind::Patrol => serde_json::to_vec(&fold_patrol(document)).unwrap(),
    }
}

/// Gives a replica changes in the order of the dice, some twice, holding back what comes too early; whatever is left when nothing
/// fits any more waits for another delivery.
fn deliver(to: &mut Document, changes: &[RawChange], dice: &[u8]) {
    let mut waiting: Vec<&RawChange> = changes.iter().collect();
    for (i, die) in dice.iter().enumerate() {
        if !waiting.is_empty() {
            let (from, to) = (i % waiting.len(), usize::from(*die) % waiting.len());
            waiting.swap(from, to);
        }
    }
    if let Some(again) = waiting.first().copied() {
        waiting.push(again);
    }
    loop {
        let before = waiting.len();
        waiting.retain(|change| match to.admit(&change.bytes, Trust::Server, |_, _| Ok(())) {
            Ok(Admission::Applied(_) | Admission::Duplicate(_)) => false,
            Err(refusal) => {
                let early = [RefusalCode::MissingDependency, RefusalCode::SequenceGap].contains(&refusal.code);
                assert!(early, "an honest change was refused: {refusal}");
                true
            }
        });
        if waiting.len() == before {
            break;
        }
    }
}

/// What the server does with what it holds: it vouches for the events that it has not seen before, for actors and people.
fn witness(replicas: &mut [Replica], now_ms: i64, die: u8) {
    let actors: Vec<_> = replicas.iter().map(|r| (r.actor, r.subject.user)).collect();
    let people: Vec<_> = replicas.iter().map(|r| (r.subject.user, "小何".to_owned())).collect();
    let server = &mut replicas[0].document;
    let basis = [TimeBasis::Server, TimeBasis::Anchored, TimeBasis::Claimed][usize::from(die) % 3];
    let seen = |id| {
        let earliest_ms = now_ms - i64::from(die) * 1_000;
        (id, Witness { received_ms: now_ms, earliest_ms, latest_ms: now_ms - i64::from(die), basis })
    };
    let events: Vec<_> = server.events().into_keys().map(seen).collect();
    vouch(server, ActorId([0xee; 16]), now_ms, &events, &actors, &people, &[]).unwrap();
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Edit(u8, Dice),
    Witness(u8),
    Deliver { from: u8, to: u8, batch: u8, order: Vec<u8> },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), any::<Dice>()).prop_map(|(who, dice)| Step::Edit(who, dice)),
        1 => any::<u8>().prop_map(Step::Witness),
        3 => (any::<u8>(), any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(from, to, batch, order)| Step::Deliver { from, to, batch, order }),
    ]
}

pub(super) fn run(kind: DocumentKind, n: usize, wrong: &[i32], steps: &[Step], last: &[u8]) -> Vec<Replica> {
    let entropy = Counting(AtomicU64::new(1));
    let start_ms = 1_558_054_800_000;
    let pen =
        |r: &Replica, now_ms: i64| TimeClaim { hlc: Hlc { wall_ms: now_ms + r.wrong_ms, count: 0 }, anchor: None };
    let founder = somebody(0);
    let at = TimeClaim { hlc: Hlc { wall_ms: start_ms, count: 0 }, anchor: None };
    let text = kind.shape().texts[0];
    let draft =
        Draft { kind, community: biyan(), edits: vec![write(text, "工人聚集。双方争吵。围观者众。")] };
    let founding = Pen { subject: Some(&founder), device: None, actor: ActorId([1; 16]), at, entropy: &entropy };
    let (document, _) = create(&draft, &founding).unwrap();
    let mut replicas: Vec<Replica> = (0..n)
        .map(|i| {
            let i = u8::try_from(i).unwrap();
            let wrong_ms = i64::from(wrong[usize::from(i)]);
            Replica { document: document.clone(), subject: somebody(i), actor: ActorId([i + 2; 16]), wrong_ms }
        })
        .collect();
    for (i, step) in steps.iter().enumerate() {
        let now_ms = start_ms + i64::try_from(i).unwrap() * 60_000;
        match step {
            Step::Edit(who, dice) => {
                let replica = &mut replicas[usize::from(*who) % n];
                let at = pen(replica, now_ms);
                let pen =
                    Pen { subject: Some(&replica.subject), device: None, actor: replica.actor, at, entropy: &entropy };
                let wanted = edits(&replica.document, *dice);
                let before = replica.document.heads();
                // An edit that makes no sense now is refused, and then nothing of it is there.
                if apply(&mut replica.document, &wanted, &pen).is_err() {
                    assert_eq!(replica.document.heads(), before, "{wanted:?}");
                }
            }
            Step::Witness(die) => witness(&mut replicas, now_ms, *die),
            Step::Deliver { from, to, batch, order } => {
                let mut changes = replicas[usize::from(*from) % n].document.changes();
                changes.truncate(changes.len().saturating_sub(usize::from(*batch) % 8));
                deliver(&mut replicas[usize::from(*to) % n].document, &changes, order);
            }
        }
    }
    let all: Vec<RawChange> = replicas.iter().flat_map(|r| r.document.changes()).collect();
    for (i, replica) in replicas.iter_mut().enumerate() {
        let order: Vec<u8> = last.iter().map(|d| d.wrapping_mul(u8::try_from(i).unwrap() * 2 + 1)).collect();
        deliver(&mut replica.document, &all, &order);
    }
    replicas
}

fn all_alike(replicas: &[Replica]) {
    let first = &replicas[0].document;
    let (heads, state) = (first.heads(), fold(first));
    for replica in &replicas[1..] {
        assert_eq!(replica.document.heads(), heads);
        let other = fold(&replica.document);
        assert!(other == state, "{}\n{}", String::from_utf8_lossy(&other), String::from_utf8_lossy(&state));
    }
    let loaded = Document::load(&first.save()).unwrap();
    assert!(fold(&loaded) == state, "a document that was saved and loaded folds differently");
    let changes = first.changes();
    let rebuilt = Document::from_changes(changes.iter().map(|c| c.bytes.as_slice()), Trust::Server).unwrap();
    assert!(
        rebuilt.heads() == heads && fold(&rebuilt) == state,
        "a document rebuilt from its changes folds differently"
    );
}

proptest! {
    #![proptest_config(super::tries(48))]

    #[test]
    fn replicas_of_a_case_with_the_same_changes_fold_to_the_same_bytes(
        n in 2usize..=4,
        wrong in prop::array::uniform4(-90_000_000i32..90_000_000),
        steps in prop::collection::vec(step(), 4..36),
        last in prop::collection::vec(any::<u8>(), 40),
    ) {
        all_alike(&run(DocumentKind::Case, n, &wrong, &steps, &last));
    }

    #[test]
    fn replicas_of_a_patrol_with_the_same_changes_fold_to_the_same_bytes(
        n in 2usize..=4,
        wrong in prop::array::uniform4(-90_000_000i32..90_000_000),
        steps in prop::collection::vec(step(), 4..24),
        last in prop::collection::vec(any::<u8>(), 40),
    ) {
        all_alike(&run(DocumentKind::Patrol, n, &wrong, &steps, &last));
    }
}
