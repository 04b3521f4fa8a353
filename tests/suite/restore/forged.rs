//! What a phone hands in to a restored server is believed as far as the server itself once vouched for it, and no further.

use sync_core::document::{ChangeHash, Document, Trust};
use sync_core::edit::{Edit, Pen, apply};
use sync_core::error::RefusalCode;
use sync_core::ids::{DocumentId, JournalId, UserId};
use sync_core::sync::pledge::{self, Pledge, Resupply};
use sync_core::sync::server::desk_actor;
use sync_core::sync::wire::{Bytes, Delivery, SyncResponse};
use tests::World;
use tests::phones::{set, write};

use crate::hand::Hand;

/// The pledge of an answer to a request without doubts.
fn pledge_of(response: &SyncResponse) -> Pledge {
    let pledged = pledge::pledged(response, &[], std::iter::empty());
    Pledge {
        journal: response.journal,
        at_ms: response.now_ms,
        signature: response.pledge.as_ref().unwrap().signature.clone(),
        list: Bytes::from(pledge::list(&pledged)),
    }
}

fn delivery(document: &Document, changes: impl IntoIterator<Item = Vec<u8>>) -> Delivery {
    let meta = document.meta();
    let changes = changes.into_iter().map(Bytes::from).collect();
    Delivery { document: meta.id, kind: meta.kind, community: meta.community.clone(), changes }
}

fn all(document: &Document) -> Vec<Vec<u8>> {
    document.changes().into_iter().map(|c| c.bytes).collect()
}

/// Hands in; what became of each document: changes taken, and the code of the refusal.
fn hand_in(hand: &Hand, pledges: Vec<Pledge>, documents: Vec<Delivery>) -> Vec<(u64, Option<RefusalCode>)> {
    let mut request = hand.request(vec![]);
    request.resupply = Some(Resupply { pledges, documents, ..Resupply::default() });
    let response = hand.send(&request);
    response.resupplied.into_iter().map(|r| (r.taken, r.refused.map(|(code, _)| code))).collect()
}

/// A restored server; a phone that holds a document with the server's pledge for it; and the document as the lost server had it.
fn restored() -> (World, Hand, Pledge, Document) {
    let mut world = World::new();
    let mut hand = Hand::register(&world, "he");
    let file = world.back_up("hall.backup");
    let (document, change) = hand.case("备份以后的案件。");
    let entry = hand.entry(&document, [change.bytes.as_slice()]);
    assert_eq!(hand.hand_in(vec![entry]).len(), 1);
    // The whole of it comes back with the server's own change, and with its pledge.
    let response = hand.send(&hand.request(vec![]));
    let delivered = response.deliveries.iter().find(|d| d.document == document.meta().id).unwrap();
    let whole = Document::from_changes(delivered.changes.iter().map(|c| c.as_slice()), Trust::Server).unwrap();
    assert!(whole.changes().len() > document.changes().len());
    let pledge = pledge_of(&response);
    world.lose_and_restore(&file);
    hand.move_to(&world);
    (world, hand, pledge, whole)
}

fn held(world: &World, id: DocumentId) -> usize {
    let app = world.app();
    let document = server::journal::load(&mut app.db.get().unwrap(), id).unwrap();
    document.map_or(0, |d| d.changes().len())
}

#[test]
fn restore_takes_what_a_pledge_covers_once_and_from_whichever_phone() {
    let (world, hand, pledge, document) = restored();
    let n = document.changes().len();
    let other = Hand::register(&world, "station-head");
    let handed = || vec![delivery(&document, all(&document))];
    assert_eq!(hand_in(&other, vec![pledge.clone()], handed()), [(n as u64, None)]);
    assert_eq!(hand_in(&hand, vec![pledge], handed()), [(0, None)], "known by now");
    assert_eq!(held(&world, document.meta().id), n);
    world.check_rebuild();
}

#[test]
fn restore_refuses_forged_foreign_and_cut_pledges_by_name() {
    let (world, hand, pledge, document) = restored();
    let handed = || vec![delivery(&document, all(&document))];
    let refused = |pledges: Vec<Pledge>, code| assert_eq!(hand_in(&hand, pledges, handed()), [(0, Some(code))]);
    refused(vec![], RefusalCode::Unproven);
    let mut altered = pledge.clone();
    altered.signature[7] ^= 1;
    refused(vec![altered], RefusalCode::ForgedPledge);
    refused(vec![Pledge { signature: Bytes::new(), ..pledge.clone() }], RefusalCode::ForgedPledge);
    refused(vec![Pledge { at_ms: pledge.at_ms + 1, ..pledge.clone() }], RefusalCode::ForgedPledge);
    // By a key of the phone's own.
    let list = pledge.list.clone();
    let own = pledge::sign(&hand.key, pledge.journal, pledge.at_ms, &list);
    refused(vec![Pledge { signature: own, ..pledge.clone() }], RefusalCode::ForgedPledge);
    // By this server's key, as a copy of it that was set up for a trial would sign.
    let app = world.app();
    let keys = app.relay_keys(&mut app.db.get().unwrap()).unwrap();
    let trial = JournalId(uuid::Uuid::from_u128(7));
    let signature = pledge::sign(keys.current().unwrap(), trial, pledge.at_ms, &list);
    let foreign = Pledge { journal: trial, signature, ..pledge.clone() };
    refused(vec![foreign.clone()], RefusalCode::ForeignJournal);
    // About something else.
    let signature = pledge::sign(keys.current().unwrap(), pledge.journal, 5, &[9; 32]);
    let other = Pledge { signature, at_ms: 5, list: Bytes::from(vec![9; 32]), ..pledge.clone() };
    refused(vec![other], RefusalCode::Unproven);
    assert_eq!(held(&world, document.meta().id), 0);
    // A bad one beside a good one does no harm.
    let n = document.changes().len() as u64;
    assert_eq!(hand_in(&hand, vec![foreign, pledge], handed()), [(n, None)]);
    world.check_rebuild();
}

#[test]
fn restore_refuses_what_was_written_behind_the_pledge_whoever_is_said_to_have_written_it() {
    let (world, hand, pledge, document) = restored();
    let journal = pledge.journal;
    for actor in [hand.actor, desk_actor(journal, UserId::SYSTEM), desk_actor(world.app().journal, hand.user)] {
        let mut more = document.clone();
        let pen = Pen { subject: None, device: None, actor, at: hand.claim(), entropy: &server::clock::SystemEntropy };
        let change = apply(&mut more, &[set("category", "0201")], &pen).unwrap().change.unwrap();
        let answer = hand_in(&hand, vec![pledge.clone()], vec![delivery(&more, all(&more))]);
        assert_eq!(answer[0].1, Some(RefusalCode::Unproven));
        let app = world.app();
        let taken = server::journal::load(&mut app.db.get().unwrap(), document.meta().id).unwrap().unwrap();
        assert!(!taken.has(&change.hash) && taken.heads() == document.heads());
    }
    world.check_rebuild();
}

#[test]
fn restore_poison_and_cut_changes_hold_up_nothing_else() {
    let (world, hand, pledge, document) = restored();
    let meta = document.meta().clone();
    let n = document.changes().len();
    let (stranger, _) = hand.case("没有凭据的案件。");
    let mut cut = all(&document);
    cut[0].truncate(40);
    let garbage = vec![vec![0; 100], vec![], b"\x85\x6f\x4a\x83".to_vec()];
    let mut as_another = delivery(&document, all(&document));
    as_another.document = DocumentId(uuid::Uuid::from_u128(9));
    let mut elsewhere = delivery(&document, all(&document));
    elsewhere.community = sync_core::ids::AreaCode::new("NOWHERE").unwrap();
    let last_only = delivery(&document, [all(&document).pop().unwrap()]);
    let documents = vec![
        delivery(&document, cut),
        delivery(&document, garbage),
        as_another,
        elsewhere,
        last_only,
        delivery(&stranger, all(&stranger)),
        delivery(&document, []),
        delivery(&document, all(&document)),
    ];
    let answers = hand_in(&hand, vec![pledge], documents);
    let codes: Vec<_> = answers.iter().map(|(_, code)| *code).collect();
    assert_eq!(
        codes,
        [
            Some(RefusalCode::Malformed),
            Some(RefusalCode::Malformed),
            Some(RefusalCode::Malformed),
            Some(RefusalCode::ForeignArea),
            Some(RefusalCode::MissingDependency),
            Some(RefusalCode::Unproven),
            None,
            None,
        ]
    );
    assert_eq!(answers.iter().map(|(taken, _)| taken).sum::<u64>(), n as u64);
    assert_eq!(held(&world, meta.id), n);
    assert_eq!(held(&world, stranger.meta().id), 0);
    world.check_rebuild();
}

#[test]
fn restore_gives_the_actor_of_a_lost_phone_to_nobody_but_its_author() {
    let (world, mut hand, pledge, document) = restored();
    let other = Hand::register(&world, "colleague");
    let n = document.changes().len() as u64;
    assert_eq!(hand_in(&other, vec![pledge], vec![delivery(&document, all(&document))]), [(n, None)]);
    // Another who claims the actor for himself gets nowhere with it.
    let mut theirs = document.clone();
    let edits: [Edit; 1] = [write("narrative", "别人的话。")];
    let pen = |hand: &Hand, actor| Pen {
        subject: None,
        device: Some(hand.device),
        actor,
        at: hand.claim(),
        entropy: &server::clock::SystemEntropy,
    };
    let change = apply(&mut theirs, &edits, &pen(&other, hand.actor)).unwrap().change.unwrap();
    let mut bundle = other.bundle(vec![other.entry(&theirs, [change.bytes.as_slice()])]);
    bundle.actors = vec![hand.actor];
    let sealed = other.key.seal(&bundle).unwrap();
    let outcome = other.send(&other.request(vec![sealed])).results.remove(0).outcome;
    let refused = sync_core::sync::wire::PushOutcome::Quarantined(RefusalCode::ForeignActor, String::new());
    assert_eq!(std::mem::discriminant(&outcome), std::mem::discriminant(&refused), "{outcome:?}");
    // Its author goes on under it.
    let mut own = document.clone();
    let change = hand.edit(&mut own, &[write("narrative", "自己的话。")]);
    hand.wall_ms += 1;
    let entry = hand.entry(&own, [change.bytes.as_slice()]);
    assert!(matches!(hand.hand_in(vec![entry])[0], sync_core::sync::wire::PushOutcome::Accepted(_)));
    assert_eq!(world.case(document.meta().id).narrative, "自己的话。");
    world.check_rebuild();
}

#[test]
fn restore_pledges_are_not_given_for_what_is_kept_aside_or_was_erased() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let (document, _) = hand.case("一宗。");
    let mut foreign = hand.entry(&document, [all(&document)[0].as_slice()]);
    foreign.changes[0].bytes = Bytes::from(vec![1; 50]);
    let signed = hand.key.seal(&hand.bundle(vec![foreign])).unwrap();
    let response = hand.send(&hand.request(vec![signed]));
    assert!(response.pledge.is_none(), "nothing was accepted");
    // Heads that the server does not have are not confirmed, however they are asked about.
    let mut request = hand.request(vec![]);
    let doubt = |heads| sync_core::sync::wire::Doubt { document: document.meta().id, heads };
    request.doubts = vec![doubt(vec![ChangeHash([7; 32])]), doubt(vec![])];
    let response = hand.send(&request);
    assert!(response.pledge.is_none_or(|p| p.standing.is_empty()));
}
