//! Two phones meet without a network: each gets what the other holds and it may see, and nothing that nobody can prove.

use std::collections::VecDeque;

use sync_core::document::Document;
use sync_core::event::EventKind;
use sync_core::phone::{DocumentStatus, MeetReport, MeetState, Meeting};
use sync_core::relay::meet::{Gift, Greeting, MeetError, Word};
use sync_core::sync::wire::{Bytes, Delivery};
use tests::phones::{event, set, write};
use tests::{HOUR, TestPhone, World};

use super::stranger::{Stranger, met};
use super::{entries, exported, import, pending};
use crate::erasure::erase;
use crate::quarantine::items;
use server::clock::SystemEntropy;

/// A phone that takes part in meetings; it has not synced yet.
pub(crate) fn sociable(world: &World, login: &str) -> TestPhone {
    let phone = world.phone(login);
    phone.core().meet_allow(true).unwrap();
    phone
}

fn begin(phone: &TestPhone) -> Meeting {
    phone.core().meet_begin().unwrap()
}

/// Lets two phones meet; whoever is asked agrees. What it brought, and how many had to be asked.
pub(crate) fn meet(one: &TestPhone, two: &TestPhone) -> (MeetReport, MeetReport, u32) {
    let (mut a, mut b) = (begin(one), begin(two));
    let mut asked = 0;
    let (mut to_a, mut to_b): (VecDeque<Vec<u8>>, VecDeque<Vec<u8>>) = (VecDeque::new(), VecDeque::new());
    let (mut over_a, mut over_b) = (None, None);
    while over_a.is_none() || over_b.is_none() {
        to_b.extend(a.outgoing());
        to_a.extend(b.outgoing());
        assert!(!to_a.is_empty() || !to_b.is_empty(), "the meeting goes on");
        for (meeting, inbox, over) in [(&mut a, &mut to_a, &mut over_a), (&mut b, &mut to_b, &mut over_b)] {
            let Some(message) = inbox.pop_front() else { continue };
            let mut state = meeting.receive(&message).unwrap();
            if let MeetState::Introduced(peer) = &state {
                assert!(!peer.known);
                // Asked once: until somebody agrees the other's words wait.
                asked += 1;
                state = meeting.agree().unwrap();
            }
            if let MeetState::Over(report) = state {
                *over = Some(report);
            }
        }
    }
    (over_a.unwrap(), over_b.unwrap(), asked)
}

#[test]
fn relay_a_case_that_no_server_has_seen_goes_from_phone_to_phone_and_on_to_the_server() {
    let world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    he.sync();
    let case = he.report("水利组17-5栋有工人聚集。");
    he.event(case, EventKind::OnScene, serde_json::json!({}));
    let (gave, got, asked) = meet(&he, &colleague);
    assert_eq!((gave.given_bundles, got.received, got.left_out, asked), (1, 2, 0, 2));
    assert_eq!(colleague.case(case).narrative, he.case(case).narrative);
    assert_eq!(colleague.core().document_status(case).unwrap(), DocumentStatus::OnlyHere);

    // The colleague goes on with it and meets the network first.
    colleague.edit(case, &[set("people_involved", 23)]);
    world.pass(HOUR);
    let report = colleague.library.sync(None, None).unwrap();
    assert_eq!((report.sent, report.refused, report.unsent), (1, 0, 0));
    let (he_is, colleague_is) = (he.core().identity().unwrap().unwrap(), colleague.core().identity().unwrap().unwrap());
    let authors: Vec<_> = entries(&world, case).into_iter().map(|e| e.author).collect();
    assert_eq!(authors, [he_is.user.to_string(), he_is.user.to_string(), colleague_is.user.to_string()]);
    assert!(matches!(colleague.core().document_status(case).unwrap(), DocumentStatus::OnServerSince(_)));
    assert_eq!(colleague.case(case), world.case(case));

    let report = he.library.sync(None, None).unwrap();
    assert_eq!((report.sent, pending(&he)), (2, 0));
    assert_eq!(entries(&world, case).len(), 3);
    assert_eq!(he.case(case), world.case(case));
    world.check_rebuild();
}

#[test]
fn relay_phones_that_have_met_need_not_be_asked_again_until_one_is_forgotten() {
    let world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    assert_eq!(meet(&he, &colleague).2, 2);
    let case = he.report("后来的一宗。");
    let (_, got, asked) = meet(&he, &colleague);
    assert_eq!((got.received, asked), (1, 0));
    assert_eq!(colleague.case(case).narrative, "后来的一宗。");
    let device = colleague.core().identity().unwrap().unwrap().device;
    assert!(he.core().meet_forget(device).unwrap());
    assert_eq!(meet(&he, &colleague).2, 1);
    let (_, again, _) = meet(&he, &colleague);
    assert_eq!((again.received, again.left_out), (0, 0), "nothing is given twice");
}

#[test]
fn relay_what_the_server_has_proven_reaches_a_phone_that_has_never_synced() {
    let world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    let cases: Vec<_> = (0..5).map(|n| he.report(&format!("第{n}宗。"))).collect();
    he.sync();
    world.desk("community", cases[0], serde_json::json!([{"edit": "add_event", "kind": "accepted"}]));
    he.sync();
    // One more edit on top, which no server has seen.
    he.edit(cases[1], &[set("people_involved", 9)]);
    let (gave, got, _) = meet(&he, &colleague);
    assert!(gave.given >= 10 && got.received == gave.given + 1, "{gave:?} {got:?}");
    for case in &cases {
        assert_eq!(colleague.case(*case), he.case(*case));
    }
    assert_eq!(colleague.case(cases[0]), world.case(cases[0]), "with what the server vouches for");
    assert!(matches!(colleague.core().document_status(cases[0]).unwrap(), DocumentStatus::OnServerSince(_)));
    assert_eq!(colleague.core().document_status(cases[1]).unwrap(), DocumentStatus::OnlyHere);
    for phone in [&colleague, &he, &colleague] {
        phone.sync();
    }
    for case in cases {
        assert_eq!(colleague.case(case), world.case(case));
        assert_eq!(he.case(case), world.case(case));
    }
    world.check_rebuild();
}

#[test]
fn relay_from_phone_to_phone_over_two_hops_and_in_a_parcel_from_there() {
    let world = World::new();
    let (he, colleague, head) =
        (sociable(&world, "he"), sociable(&world, "colleague"), sociable(&world, "station-head"));
    let carrier = world.phone("baihua");
    let case = he.report("工人聚集。");
    meet(&he, &colleague);
    colleague.edit(case, &[set("people_involved", 23)]);
    let (_, got, _) = meet(&colleague, &head);
    assert_eq!(got.received, 2, "his own words under his own signature, and the colleague's");
    assert_eq!(head.case(case).narrative, "工人聚集。");
    import(&carrier, &exported(&head));
    carrier.sync();
    assert_eq!(entries(&world, case).len(), 2);
    for phone in [&head, &colleague, &he, &head] {
        phone.sync();
        assert_eq!(pending(phone), 0);
    }
    for phone in [&he, &colleague, &head] {
        phone.sync();
        assert_eq!(phone.case(case), world.case(case));
    }
    world.check_rebuild();
}

#[test]
fn relay_a_phone_of_another_area_sees_nothing() {
    let world = World::new();
    let (he, baihua, captain) = (sociable(&world, "he"), sociable(&world, "baihua"), sociable(&world, "captain"));
    let synced = he.report("已同步的一宗。");
    he.sync();
    he.report("未同步的一宗。");
    for other in [&baihua, &captain] {
        let (gave, got, _) = meet(&he, other);
        assert_eq!((gave.given, gave.given_bundles, got.received, got.left_out), (0, 0, 0, 0));
        assert!(other.core().documents().unwrap().is_empty());
    }
    assert_eq!(entries(&world, synced).len(), 1);
}

#[test]
fn relay_what_the_server_refuses_later_is_taken_out_again_on_every_phone() {
    let world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    let case = he.report("大家都看得见的。");
    he.sync();
    colleague.sync();
    let device = he.core().identity().unwrap().unwrap().device;
    world.pass(HOUR);
    world.post(&format!("/v1/devices/{device}/revoke"), Some(&world.token("admin")), &serde_json::json!({}));
    world.pass(HOUR);
    he.event(case, EventKind::Note, serde_json::json!({"text": "停用之后所写"}));
    meet(&he, &colleague);
    assert!(colleague.case(case).timeline.iter().any(|e| e.kind == EventKind::Note));
    colleague.event(case, EventKind::FactAdded, serde_json::json!({"fact": "建立在其上的话"}));
    colleague.sync();
    let state = colleague.case(case);
    assert!(state.timeline.iter().all(|e| !matches!(e.kind, EventKind::Note | EventKind::FactAdded)));
    let refused = colleague.core().refused().unwrap();
    assert_eq!(refused.len(), 1, "his own words only: {refused:?}");
    assert!(refused[0].words.contains("建立在其上的话") && refused[0].code == "depends_on_refused");
    // The server has his words too, beside those on which they build.
    let waiting = items(&world, "community", "");
    let codes: Vec<_> = waiting.iter().map(|i| i["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"revoked") && codes.contains(&"depends_on_refused"), "{waiting:?}");
    // He writes it again on what is agreed, and it goes through.
    colleague.event(case, EventKind::FactAdded, serde_json::json!({"fact": "重新写过"}));
    colleague.sync();
    assert_eq!(colleague.case(case), world.case(case));
    world.check_rebuild();
}

#[test]
fn relay_what_comes_back_at_a_meeting_after_it_was_erased_or_moved_away_goes_with_the_next_sync() {
    let world = World::new();
    let (colleague, head) = (sociable(&world, "colleague"), sociable(&world, "station-head"));
    let he = world.phone("he");
    let (erased, moved) = (he.report("依法删除的案件。"), he.report("后来归另一网格的案件。"));
    he.sync();
    // Twice: the second brings the proofs to show to others.
    head.sync();
    head.sync();
    colleague.sync();
    assert_eq!(colleague.core().documents().unwrap().len(), 2);
    erase(&world, "case", erased, "");
    world.import("[[area]]\ncode = \"GM-BIYAN-03\"\nkind = \"grid\"\nname = \"碧眼第三网格\"\nparent = \"GM-BIYAN\"\n");
    let edits = serde_json::json!([{"edit": "set_field", "path": "place.grid", "value": "GM-BIYAN-03"}]);
    let (code, reply) = world.desk("community", moved, edits);
    assert_eq!(code, 200, "{reply}");
    colleague.sync();
    assert_eq!(colleague.core().documents().unwrap(), []);
    // Her phone has heard of neither yet.
    meet(&head, &colleague);
    assert_eq!(colleague.core().documents().unwrap().len(), 2);
    colleague.sync();
    assert_eq!(colleague.core().documents().unwrap(), []);
    head.sync();
    assert_eq!(head.core().documents().unwrap(), [moved]);
    world.check_rebuild();
}

#[test]
fn relay_forged_stolen_and_expired_certificates_end_the_meeting() {
    let mut world = World::new();
    let he = sociable(&world, "he");
    he.report("只有自己人看得见。");
    let mut stranger = Stranger::registered(&world, "colleague");
    // A genuine certificate in the hands of somebody who has not its key.
    let key = std::mem::replace(&mut stranger.key, sync_core::sync::bundle::DeviceKey::from_seed([4; 32]));
    assert_eq!(met(stranger.meet(&mut begin(&he)).map(|_| ())), MeetError::NotProven);
    stranger.key = key;
    assert!(stranger.meet(&mut begin(&he)).is_ok());
    // More rights than the server gave, under a signature of one's own.
    let genuine = stranger.bytes.clone();
    stranger.bytes = stranger.certificate.sign(&stranger.key).unwrap();
    assert_eq!(met(stranger.meet(&mut begin(&he)).map(|_| ())), MeetError::Forged);
    stranger.bytes = genuine;
    // A phone does not meet itself.
    let mut mirror = begin(&he);
    let own = mirror.outgoing().remove(0);
    assert_eq!(met(mirror.receive(&own)), MeetError::Itself);
    assert_eq!(met(mirror.receive(&own)), MeetError::Ended);
    // After a week without a sync nobody believes it any more.
    world.pass(8 * 24 * HOUR);
    assert_eq!(met(he.core().meet_begin().map(|_| ())), MeetError::NotCertified);
    he.sync();
    assert_eq!(met(stranger.meet(&mut begin(&he)).map(|_| ())), MeetError::Expired);
    // Nor after a restore of the server, until both have met it.
    let fresh = Stranger::registered(&world, "colleague");
    let app = world.app();
    app.db.transaction(|conn| server::journal::renew(conn, app.now_ms(), &app.entropy)).unwrap();
    drop(app);
    world.stop();
    world.start();
    he.sign_in_again(&world, "he");
    he.sync();
    he.sync();
    assert_eq!(met(fresh.meet(&mut begin(&he)).map(|_| ())), MeetError::OtherJournal);
}

#[test]
fn relay_a_phone_meets_nobody_unless_it_is_allowed() {
    let world = World::new();
    let he = world.phone("he");
    assert_eq!(met(he.core().meet_begin().map(|_| ())), MeetError::NotAllowed);
    he.core().meet_allow(true).unwrap();
    assert!(he.core().meet_begin().is_ok());
}

/// What a phone holds, byte by byte.
fn everything(phone: &TestPhone) -> Vec<Vec<u8>> {
    phone.core().documents().unwrap().iter().map(|id| phone.core().document(*id).unwrap().save()).collect()
}

#[test]
fn relay_nobody_can_put_words_into_anothers_mouth_at_a_meeting() {
    let world = World::new();
    let he = sociable(&world, "he");
    let case = he.report("原来的话。");
    he.sync();
    let stranger = Stranger::registered(&world, "colleague");
    let he_is = he.core().identity().unwrap().unwrap();
    let before = everything(&he);
    let (good, good_change) = stranger.case("诚实的一宗。");
    let honest = stranger.signed(&stranger.bundle(good.meta().id, &[&good_change.bytes]));
    let mut document: Document = he.core().document(case).unwrap();
    let change = stranger.edit(&mut document, &[write("narrative", "塞进来的话。")]);
    let refused = |gift: Gift| {
        // Something honest in the same meeting does not save it.
        let first = Gift { bundles: vec![honest.clone()], ..Gift::default() };
        let error = met(stranger.give(&mut begin(&he), vec![first, gift]));
        assert_eq!(everything(&he), before, "{error}");
        error
    };
    // A change that is said to stand in the journal, with no proof.
    let meta = document.meta();
    let delivery = Delivery {
        document: case,
        kind: meta.kind,
        community: meta.community.clone(),
        changes: vec![Bytes::from(change.bytes.clone())],
    };
    let naked = Gift { deliveries: vec![delivery.clone()], ..Gift::default() };
    assert!(matches!(refused(naked), MeetError::Unproven(_)));
    // With a proof that he made himself.
    let receipt = sync_core::relay::receipt::Receipt {
        journal: world.app().journal,
        parcel: Bytes::new(),
        at_ms: world.clock_ms(),
        taken: vec![change.hash],
        others: 0,
    };
    let forged = Bytes::from(receipt.sign(&stranger.key).unwrap());
    let proven = Gift { receipts: vec![forged], deliveries: vec![delivery], ..Gift::default() };
    assert!(matches!(refused(proven), MeetError::Unproven(_)));
    // In a bundle whose signature is not its author's, or that names somebody else.
    let bundles = |bundle| Gift { bundles: vec![bundle], ..Gift::default() };
    let mut unsigned = stranger.signed(&stranger.bundle(case, &[&change.bytes]));
    unsigned.bundle.signature[0] ^= 1;
    assert!(matches!(refused(bundles(unsigned)), MeetError::Unproven(_)));
    let mut another = stranger.bundle(case, &[&change.bytes]);
    another.user = he_is.user;
    assert!(matches!(refused(bundles(stranger.signed(&another))), MeetError::Unproven(_)));
    let mut another = stranger.bundle(case, &[&change.bytes]);
    another.device = he_is.device;
    assert!(matches!(refused(bundles(stranger.signed(&another))), MeetError::Unproven(_)));
    let mut two = stranger.bundle(case, &[&change.bytes]);
    two.entries.push(two.entries[0].clone());
    assert!(matches!(refused(bundles(stranger.signed(&two))), MeetError::Malformed(_)));

    // Under his own name he may say what he may say; what he may not is left out, and the meeting is a good one.
    let (mut forged, founding) = stranger.case("假的一宗。");
    let words = [event(EventKind::Note, serde_json::json!({"text": "不是我说的"}))];
    let event_of_he = stranger.edit_as(he_is.user, &mut forged, &words).bytes;
    let fake = stranger.signed(&stranger.bundle(forged.meta().id, &[&founding.bytes, &event_of_he]));
    let mut wrong_actor = stranger.bundle(case, &[&change.bytes]);
    wrong_actor.actors = vec![];
    let gift = Gift { bundles: vec![fake, stranger.signed(&wrong_actor), honest], ..Gift::default() };
    let Ok(MeetState::Over(report)) = stranger.give(&mut begin(&he), vec![gift]) else { panic!() };
    assert_eq!((report.received, report.left_out), (1, 2));
    assert_eq!(he.case(good.meta().id).narrative, "诚实的一宗。");
    assert_eq!(he.case(case).narrative, "原来的话。");
    he.sync();
    assert_eq!(entries(&world, good.meta().id).len(), 1);
}

#[test]
fn relay_messages_of_a_meeting_that_are_altered_repeated_cut_or_out_of_turn_end_it() {
    let world = World::new();
    let he = sociable(&world, "he");
    he.report("一。");
    let stranger = Stranger::registered(&world, "colleague");
    for n in 0..6 {
        let mut other = begin(&he);
        let mut channel = stranger.meet(&mut other).unwrap();
        let word = channel.say(&Word::Holds(vec![])).unwrap();
        let result = match n {
            0 => {
                let mut altered = word;
                altered[3] ^= 1;
                other.receive(&altered)
            }
            1 => {
                other.receive(&word).unwrap();
                other.receive(&word)
            }
            2 => other.receive(&word[..word.len() - 1]),
            3 => {
                // One left out.
                let next = channel.say(&Word::Done).unwrap();
                other.receive(&next)
            }
            4 => other.receive(&vec![0; 5 * 1024 * 1024]),
            _ => {
                other.receive(&word).unwrap();
                let again = channel.say(&Word::Holds(vec![])).unwrap();
                other.receive(&again)
            }
        };
        let expected = match n {
            4 => MeetError::TooLarge { max: sync_core::limits::WIRE_BYTES_MAX },
            5 => MeetError::Malformed("out of turn".into()),
            _ => MeetError::Altered,
        };
        assert_eq!(met(result), expected, "{n}");
        assert_eq!(met(other.receive(b"more")), MeetError::Ended);
    }
    let mut other = begin(&he);
    assert!(matches!(met(other.receive(b"hello")), MeetError::Malformed(_)));
    // A greeting of a later version.
    let (_, hello) = Greeting::new(stranger.certificate.clone(), &stranger.bytes, &SystemEntropy).unwrap();
    // CBOR: a map whose first entry is the text `v` and the number.
    assert_eq!(hello[1..4], [0x61, b'v', 1]);
    let later = [&hello[..3], &[9], &hello[4..]].concat();
    assert_eq!(met(begin(&he).receive(&later)), MeetError::Version(9));
}
