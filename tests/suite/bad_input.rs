//! Bad input over real HTTP: each kind gets its own clear answer, a good document in the same request is still accepted, and the
//! server stays up.

mod contents;
mod imports;
mod requests;

use sync_core::document::{Document, RawChange};
use sync_core::error::RefusalCode;
use sync_core::event::EventKind;
use sync_core::ids::{ActorId, AreaCode, DocumentId, Entropy, UserId};
use sync_core::sync::server::desk_actor;
use sync_core::sync::wire::{BundleEntry, PushOutcome};
use sync_core::time::Hlc;
use tests::phones::{event, set};
use tests::{World, biyan};

use crate::hand::Hand;

const DAY_MS: i64 = 86_400_000;

/// Hands in a bad entry between two good ones: gives what became of the bad one, after seeing that the good ones were accepted
/// and that the server is well.
fn among_good_ones(world: &World, hand: &Hand, bad: BundleEntry) -> Vec<PushOutcome> {
    let n = bad.changes.len();
    let (first, first_change) = hand.case("好的一宗。");
    let (last, last_change) = hand.case("好的另一宗。");
    let good = |document: &Document, change: &RawChange| hand.entry(document, [change.bytes.as_slice()]);
    let mut outcomes = hand.hand_in(vec![good(&first, &first_change), bad, good(&last, &last_change)]);
    assert!(matches!(outcomes.first(), Some(PushOutcome::Accepted(_))), "{outcomes:?}");
    assert!(matches!(outcomes.last(), Some(PushOutcome::Accepted(_))), "{outcomes:?}");
    for document in [first, last] {
        assert_eq!(world.case(document.meta().id).narrative, document.text("narrative").unwrap());
    }
    well(world);
    outcomes.drain(1..=n).collect()
}

fn well(world: &World) {
    assert_eq!(world.get("/healthz", None).0, 200);
    world.check_rebuild();
}

fn code(outcome: &PushOutcome) -> Option<RefusalCode> {
    match outcome {
        PushOutcome::Quarantined(code, _) | PushOutcome::Unreadable(code, _) => Some(*code),
        _ => None,
    }
}

fn someday() -> DocumentId {
    DocumentId(uuid::Uuid::from_u128(7))
}

/// A chunk whose one column is what is given; everything before it is as it should be.
fn chunk_with_column(spec: u8, data: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 16];
    body.extend([9; 16]);
    // sequence, first operation, time, message, other actors, columns
    body.extend([1, 1, 0, 0, 0, 1, spec, u8::try_from(data.len()).unwrap()]);
    body.extend(data);
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, u8::try_from(body.len()).unwrap()];
    chunk.extend(body);
    chunk
}

#[test]
fn bytes_that_are_no_change_are_kept_aside_as_unreadable() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let (_, whole) = hand.case("工人聚集。");
    let packed = automerge::Change::from_bytes(whole.bytes.clone()).unwrap().bytes().into_owned();
    assert_ne!(packed, whole.bytes, "the engine packs a change of this size with DEFLATE");
    // A run of 2^40 rows in ten bytes; a group column whose one row says it has 2^40 rows.
    let run = chunk_with_column(0x42, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1]);
    let group = chunk_with_column(0x70, &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    let nulls = chunk_with_column(0x42, &[0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    let flags = chunk_with_column(0x34, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    let huge = [whole.bytes.clone(), vec![0; 300 * 1024]].concat();
    let mut garbled = whole.bytes.clone();
    garbled[60] ^= 0x55;
    for (what, bytes, expected) in [
        ("nothing", vec![], RefusalCode::Malformed),
        ("text", b"hello".to_vec(), RefusalCode::Malformed),
        ("a cut change", whole.bytes[..whole.bytes.len() - 1].to_vec(), RefusalCode::Malformed),
        ("a change with a tail", [whole.bytes.clone(), vec![0]].concat(), RefusalCode::Malformed),
        ("a garbled change", garbled, RefusalCode::Malformed),
        ("a compressed change", packed, RefusalCode::Malformed),
        ("a compressed column", chunk_with_column(0x4a, &[1, 1]), RefusalCode::Malformed),
        ("a bomb of one run", run, RefusalCode::TooLarge),
        ("a bomb of one group", group, RefusalCode::TooLarge),
        ("a bomb of nulls", nulls, RefusalCode::TooLarge),
        ("a bomb of flags", flags, RefusalCode::TooLarge),
        ("an oversized change", huge, RefusalCode::TooLarge),
    ] {
        let entry = hand.entry_of(someday(), biyan(), [bytes.as_slice()]);
        let outcomes = among_good_ones(&world, &hand, entry);
        assert!(
            matches!(&outcomes[..], [PushOutcome::Unreadable(code, _)] if *code == expected),
            "{what}: {outcomes:?}"
        );
    }
}

#[test]
fn a_change_whose_predecessor_is_missing_is_asked_for_and_holds_up_nobody() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let (mut case, first) = hand.case("工人聚集。");
    let second = hand.edit(&mut case, &[set("people_involved", 23)]);
    let third = hand.edit(&mut case, &[set("people_involved", 24)]);
    let outcomes = among_good_ones(&world, &hand, hand.entry(&case, [&third.bytes[..], &second.bytes]));
    assert_eq!(outcomes, [PushOutcome::Need(vec![second.hash]), PushOutcome::Need(vec![first.hash])]);
    let outcomes = hand.hand_in(vec![hand.entry(&case, [&first.bytes[..], &second.bytes, &third.bytes])]);
    assert!(outcomes.iter().all(|o| matches!(o, PushOutcome::Accepted(_))), "{outcomes:?}");
    assert_eq!(world.case(case.meta().id).number("people_involved"), Some(24));
}

#[test]
fn what_builds_on_a_refused_change_falls_with_it_and_nothing_else_does() {
    let world = World::new();
    let (hand, adviser) = (Hand::register(&world, "he"), Hand::register(&world, "legal-adviser"));
    let (mut case, first) = hand.case("工人聚集。");
    hand.hand_in(vec![hand.entry(&case, [&first.bytes[..]])]);
    // A legal adviser may not edit registers; a phone that asks nobody does it all the same.
    let mut theirs = case.clone();
    let (poison, _) = forged(&mut theirs, adviser.actor, |w| w.set("people_involved", &99.into()));
    let (after, _) = forged(&mut theirs, adviser.actor, |w| w.set("people_involved", &98.into()));
    let honest = hand.edit(&mut case, &[set("severity", "urgent")]);
    let outcomes = adviser.hand_in(vec![adviser.entry(&case, [&poison.bytes[..], &after.bytes])]);
    assert_eq!(
        outcomes.iter().map(code).collect::<Vec<_>>(),
        [Some(RefusalCode::NotAllowed), Some(RefusalCode::DependsOnRefused)]
    );
    assert!(matches!(hand.hand_in(vec![hand.entry(&case, [&honest.bytes[..]])])[..], [PushOutcome::Accepted(_)]));
    let state = world.case(case.meta().id);
    assert_eq!((state.number("people_involved"), state.text("severity")), (None, Some("urgent")));
    well(&world);
}

/// A change written past every check of the phone.
fn forged(
    document: &mut Document,
    actor: ActorId,
    steps: impl FnOnce(&mut sync_core::document::Writer<'_>) -> Result<(), sync_core::error::EditError>,
) -> (RawChange, ()) {
    let ((), change) = document.edit(actor, 1_558_054_800_000, steps).unwrap();
    (change.unwrap(), ())
}

fn event_of(hand: &Hand, by: UserId, kind: &str) -> sync_core::event::Event {
    let (mut scratch, _) = hand.case("草稿。");
    let change = hand.edit(&mut scratch, &[event(EventKind::Note, serde_json::json!({"text": "一"}))]);
    assert!(scratch.has(&change.hash));
    let mut event = scratch.events().into_values().find(|e| e.kind == EventKind::Note).unwrap();
    event.by.user = by;
    event.kind = EventKind::parse(kind).unwrap();
    event.after.clear();
    event
}

fn new_event() -> sync_core::ids::EventId {
    sync_core::ids::EventId::from_parts(0, server::clock::SystemEntropy.ten())
}

#[test]
fn an_event_in_somebody_elses_name_is_refused_as_forged() {
    let world = World::new();
    let (he, supervisor) = (Hand::register(&world, "he"), Hand::register(&world, "community"));
    let (mut case, first) = he.case("工人聚集。");
    let forgery = event_of(&he, supervisor.user, "note");
    let (change, ()) = forged(&mut case, he.actor, |w| w.add_event(new_event(), &forgery));
    let outcomes = among_good_ones(&world, &he, he.entry(&case, [&first.bytes[..], &change.bytes]));
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [None, Some(RefusalCode::ForgedAuthor)]);
    assert!(world.case(case.meta().id).timeline.iter().all(|e| e.by.user == he.user));
}

#[test]
fn a_bundle_in_somebody_elses_name_is_refused_as_forged() {
    let world = World::new();
    let (he, supervisor) = (Hand::register(&world, "he"), Hand::register(&world, "community"));
    let (case, change) = supervisor.case("社区主管从未写过。");
    // He signs with his own phone, but says that the supervisor wrote it.
    let mut bundle = he.bundle(vec![he.entry(&case, [&change.bytes[..]])]);
    bundle.user = supervisor.user;
    bundle.actors = vec![supervisor.actor];
    let own = he.case("好的一宗。");
    let good = he.key.seal(&he.bundle(vec![he.entry(&own.0, [&own.1.bytes[..]])])).unwrap();
    let response = he.send(&he.request(vec![he.key.seal(&bundle).unwrap(), good]));
    assert_eq!(
        response.refused.iter().map(|r| (r.index, r.code)).collect::<Vec<_>>(),
        [(0, RefusalCode::ForgedAuthor)]
    );
    assert!(matches!(response.results[..], [ref r] if matches!(r.outcome, PushOutcome::Accepted(_))));
    assert_eq!(world.get(&format!("/v1/cases/{}", case.meta().id), Some(&supervisor.token)).0, 404);
    well(&world);
}

#[test]
fn a_bundle_signed_by_another_key_or_an_unknown_phone_is_not_opened() {
    let world = World::new();
    let (he, colleague) = (Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    let (case, change) = he.case("工人聚集。");
    let entry = || vec![he.entry(&case, [&change.bytes[..]])];
    let by_another_key = colleague.key.seal(&he.bundle(entry())).unwrap();
    let mut unknown = he.bundle(entry());
    unknown.device = sync_core::ids::DeviceId(uuid::Uuid::from_u128(1));
    let of_an_unknown_phone = he.key.seal(&unknown).unwrap();
    let mut altered = he.key.seal(&he.bundle(entry())).unwrap();
    altered.payload[40] ^= 1;
    let mut unreadable = he.key.seal(&he.bundle(entry())).unwrap();
    unreadable.payload.truncate(20);
    let good = he.key.seal(&he.bundle(entry())).unwrap();
    let response = he.send(&he.request(vec![by_another_key, of_an_unknown_phone, altered, unreadable, good]));
    let refused: Vec<_> = response.refused.iter().map(|r| r.index).collect();
    assert_eq!(refused, [0, 1, 2, 3]);
    assert!(response.refused[..2].iter().all(|r| r.code == RefusalCode::BadSignature), "{:?}", response.refused);
    assert_eq!(response.refused[3].code, RefusalCode::Malformed);
    assert!(matches!(response.results[..], [ref r] if matches!(r.outcome, PushOutcome::Accepted(_))));
    well(&world);
}

#[test]
fn another_phones_actor_and_the_servers_own_are_refused() {
    let world = World::new();
    let (he, colleague) = (Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    let (mut case, first) = colleague.case("工人聚集。");
    colleague.hand_in(vec![colleague.entry(&case, [&first.bytes[..]])]);
    let world_case = world.app();
    let mut here = server::journal::load(&mut world_case.db.get().unwrap(), case.meta().id).unwrap().unwrap();
    // Under the actor of the colleague's phone.
    let (stolen, ()) = forged(&mut case, colleague.actor, |w| w.set("people_involved", &99.into()));
    // Under the actors of the server and of a desk: both can be computed by anybody who knows the journal's identity.
    let journal = world.app().journal;
    let server_actor = desk_actor(journal, UserId::SYSTEM);
    let (as_server, ()) = forged(&mut here.clone(), server_actor, |w| w.set("people_involved", &98.into()));
    let desk = desk_actor(journal, colleague.user);
    let (as_desk, ()) = forged(&mut here, desk, |w| w.set("people_involved", &97.into()));
    for (actor, change) in [(colleague.actor, stolen), (server_actor, as_server), (desk, as_desk)] {
        let mut bundle = he.bundle(vec![he.entry(&case, [&change.bytes[..]])]);
        bundle.actors = vec![actor];
        let response = he.send(&he.request(vec![he.key.seal(&bundle).unwrap()]));
        let outcomes: Vec<_> = response.results.iter().map(|r| code(&r.outcome)).collect();
        assert_eq!(outcomes, [Some(RefusalCode::ForeignActor)], "{actor:?}");
    }
    assert_eq!(world.case(case.meta().id).number("people_involved"), None);
    well(&world);
}

#[test]
fn a_foreign_area_and_an_unknown_community_are_refused() {
    let world = World::new();
    let (he, stranger) = (Hand::register(&world, "he"), Hand::register(&world, "baihua"));
    let (mut case, first) = he.case("工人聚集。");
    he.hand_in(vec![he.entry(&case, [&first.bytes[..]])]);
    let (change, ()) = forged(&mut case, stranger.actor, |w| w.set("people_involved", &99.into()));
    let outcomes = stranger.hand_in(vec![stranger.entry(&case, [&change.bytes[..]])]);
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [Some(RefusalCode::ForeignArea)]);
    for (community, expected) in [("GM-BAIHUA", RefusalCode::ForeignArea), ("NOWHERE", RefusalCode::ForeignArea)] {
        let (document, change) = founded(&he, community, "外地");
        let outcomes = among_good_ones(&world, &he, he.entry(&document, [&change.bytes[..]]));
        let told = code(&outcomes[0]);
        assert!(told == Some(expected) || told == Some(RefusalCode::NotAllowed), "{community}: {outcomes:?}");
    }
    // The envelope says another community than the document.
    let (document, change) = he.case("信封与信不符。");
    let entry = he.entry_of(document.meta().id, AreaCode::new("GM-BAIHUA").unwrap(), [&change.bytes[..]]);
    assert_eq!(code(&among_good_ones(&world, &he, entry)[0]), Some(RefusalCode::Malformed));
}

/// A case founded past every check of the phone.
fn founded(hand: &Hand, community: &str, title: &str) -> (Document, RawChange) {
    let meta = sync_core::document::Meta {
        id: DocumentId::from_parts(0, server::clock::SystemEntropy.ten()),
        kind: sync_core::shape::DocumentKind::Case,
        community: AreaCode::new(community).unwrap(),
        version: 1,
        created_by: hand.user,
        created_ms: hand.wall_ms,
    };
    Document::create(meta, hand.actor, |w| {
        w.set("title", &title.into())?;
        w.set("place.grid", &"GM-BIYAN-01".into())?;
        w.set("place.building", &"GM-BIYAN-SL17-5".into())
    })
    .unwrap()
}

#[test]
fn a_clock_400_days_ahead_is_taken_as_a_claim_and_drags_nobody_along() {
    let world = World::new();
    let mut wild = Hand::register(&world, "he");
    wild.wall_ms += 400 * DAY_MS;
    let (case, change) = wild.case("来自明年的报告。");
    let outcomes = among_good_ones(&world, &wild, wild.entry(&case, [&change.bytes[..]]));
    assert!(matches!(outcomes[..], [PushOutcome::Accepted(_)]), "{outcomes:?}");
    let id = case.meta().id;
    let witness = world.case(id).timeline[0].witness.unwrap();
    assert_eq!(witness.basis, sync_core::time::TimeBasis::Claimed);
    assert!(witness.latest_ms < wild.wall_ms - 399 * DAY_MS, "{witness:?}");
    let director = world.phone("mediation-director");
    director.sync();
    director.event(id, EventKind::Accepted, serde_json::json!({}));
    director.sync();
    let state = world.case(id);
    let accepted = state.timeline.iter().find(|e| e.kind == EventKind::Accepted).unwrap();
    assert!(accepted.at.hlc < Hlc { wall_ms: wild.wall_ms - 399 * DAY_MS, count: 0 }, "{accepted:?}");
    assert_eq!(state.timeline.last().unwrap().kind, EventKind::Accepted, "what was seen stands before who saw it");
    well(&world);
}

#[test]
fn an_event_kind_that_the_server_does_not_know_is_kept_aside() {
    let world = World::new();
    let hand = Hand::register(&world, "he");
    let (mut case, first) = hand.case("工人聚集。");
    let unknown = event_of(&hand, hand.user, "teleported");
    let (change, ()) = forged(&mut case, hand.actor, |w| w.add_event(new_event(), &unknown));
    let outcomes = among_good_ones(&world, &hand, hand.entry(&case, [&first.bytes[..], &change.bytes]));
    assert_eq!(outcomes.iter().map(code).collect::<Vec<_>>(), [None, Some(RefusalCode::NotAllowed)]);
    assert!(world.case(case.meta().id).timeline.iter().all(|e| e.kind == EventKind::Reported));
}
