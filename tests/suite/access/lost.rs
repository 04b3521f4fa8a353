//! Phones that were lost: revoked, wiped, and what others carry for them.

use fengqiao_mobile::{ConnectOptions, PhoneLibError, PhoneLibrary, wipe_confirm};
use serde_json::json;
use sync_core::edit::{Draft, Edit};
use sync_core::event::EventKind;
use sync_core::phone::LastStep;
use sync_core::shape::DocumentKind;
use sync_core::sync::token;
use sync_core::sync::wire::{BundleChange, Bytes, PushOutcome, SignedBundle};
use sync_core::time::{Anchor, Clock, Hlc, TimeClaim};
use tests::phones::TestHost;
use tests::{HOUR, TestPhone, World};

use super::reassign::orders;
use crate::hand::Hand;
use crate::quarantine::items;
use crate::relay::meet::{meet, sociable};

fn device_of(phone: &TestPhone) -> String {
    phone.core().identity().unwrap().unwrap().device.to_string()
}

fn tell(world: &World, device: &str, what: &str) {
    let (status, reply) =
        world.post(&format!("/v1/devices/{device}/{what}"), Some(&world.token("community")), &json!({}));
    assert_eq!(status, 200, "{reply}");
}

/// A bundle of one case, made so many ms after a token was received, as its phone can prove.
fn proven(hand: &Hand, token: &[u8], elapsed_ms: i64, story: &str) -> SignedBundle {
    let (document, change) = hand.case(story);
    let mut entry = hand.entry(&document, []);
    let anchor = Anchor { token_ms: token::issued_ms(token).unwrap(), elapsed_ms: Some(elapsed_ms) };
    let at = TimeClaim { hlc: Hlc { wall_ms: hand.wall_ms, count: 0 }, anchor: Some(anchor) };
    entry.changes.push(BundleChange { at, bytes: Bytes::from(change.bytes) });
    let mut bundle = hand.bundle(vec![entry]);
    bundle.tokens.push(Bytes::from(token.to_vec()));
    hand.key.seal(&bundle).unwrap()
}

#[test]
fn after_a_revoke_what_others_carry_is_judged_by_when_it_was_provably_made() {
    let world = World::new();
    let lost = Hand::register(&world, "he");
    let token = lost.send(&lost.request(vec![])).token.to_vec();
    world.pass(2 * HOUR);
    tell(&world, &lost.device.to_string(), "revoke");
    world.pass(2 * HOUR);
    let carrier = Hand::register(&world, "colleague");
    let bundles = vec![
        proven(&lost, &token, HOUR, "遗失之前写的。"),
        proven(&lost, &token, 3 * HOUR, "遗失之后写的。"),
        lost.key
            .seal(&lost.bundle(vec![{
                let (document, change) = lost.case("没有证据。");
                lost.entry(&document, [&change.bytes[..]])
            }]))
            .unwrap(),
    ];
    let answer = carrier.send(&carrier.request(bundles));
    assert_eq!(answer.refused, vec![]);
    let outcomes: Vec<_> = answer.results.into_iter().map(|r| r.outcome).collect();
    assert!(matches!(outcomes[0], PushOutcome::Accepted(_)), "{outcomes:?}");
    for later in &outcomes[1..] {
        assert!(matches!(later, PushOutcome::Quarantined(code, _) if code.as_str() == "revoked"), "{outcomes:?}");
    }
    assert_eq!(outcomes.len(), 3);
}

#[test]
fn a_revoked_phone_hands_in_what_it_had_not_sent_and_keeps_its_records() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    world.pass(HOUR);
    let case = he.report("撤销之前写的。");
    world.pass(HOUR);
    tell(&world, &device_of(&he), "revoke");
    world.pass(HOUR);
    assert_eq!(he.library.sync(None, None), Err(PhoneLibError::Revoked));
    assert_eq!(world.case(case).narrative, "撤销之前写的。");
    assert_eq!(he.core().status().unwrap().pending, 0);
    assert_eq!(he.case(case).narrative, "撤销之前写的。");
    he.core()
        .create(&Draft {
            kind: DocumentKind::Case,
            community: tests::biyan(),
            edits: vec![Edit::SetField { path: "place.grid".into(), value: "GM-BIYAN-01".into() }],
        })
        .unwrap();
    assert_eq!(he.library.sync(None, None), Err(PhoneLibError::Revoked));
    assert_eq!(he.core().refused().unwrap().len(), 1, "made after the revocation: in quarantine, its words here");
}

#[test]
fn a_wipe_takes_unsent_work_first_then_destroys_everything_and_is_confirmed() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    world.pass(HOUR);
    he.event(case, EventKind::OnScene, json!({"note": "未发送的到场记录"}));
    world.pass(HOUR);
    tell(&world, &device_of(&he), "wipe");
    assert_eq!(orders(&world, "he"), [("wipe".to_owned(), String::new(), false)]);
    let path = he.core().store_path().to_owned();
    assert_eq!(he.library.sync(None, None), Err(PhoneLibError::Wiped));
    assert!(world.case(case).timeline.iter().any(|e| e.kind == EventKind::OnScene), "accepted before the wipe");
    assert_eq!(orders(&world, "he"), [("wipe".to_owned(), String::new(), true)]);
    assert!(!path.exists(), "the store is gone");
    assert!(he.core().case(case).is_err() && he.core().search("聚集", 5).is_err());
    assert_eq!(he.library.sync(None, None), Err(PhoneLibError::Wiped));
    // The path is free again, and a store made there knows nothing.
    let anew = PhoneLibrary::open_with(&path, &[7; 32], std::sync::Arc::new(TestHost::new(world.clock.clone())));
    assert_eq!(anew.unwrap().identity().unwrap(), None);
}

#[test]
fn a_wipe_whose_confirmation_is_lost_is_confirmed_later_and_the_store_stays_shut() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    tell(&world, &device_of(&he), "wipe");
    // As the library does it, but the network breaks before the confirmation.
    let LastStep::Wipe(order) = last_words(&world, &he) else { panic!("it is to be wiped") };
    let path = he.core().store_path().to_owned();
    he.core().destroy(Some(order)).unwrap();
    assert!(he.core().case(case).is_err());
    let host = std::sync::Arc::new(TestHost::new(world.clock.clone()));
    let opened = PhoneLibrary::open_with(&path, &[7; 32], host).err();
    assert_eq!(opened, Some(PhoneLibError::Wiped));
    assert_eq!(orders(&world, "he"), [("wipe".to_owned(), String::new(), false)]);
    assert_eq!(wipe_confirm(path.display().to_string(), ConnectOptions::default()), Ok(true));
    assert_eq!(orders(&world, "he"), [("wipe".to_owned(), String::new(), true)]);
}

#[test]
fn a_wiped_phone_hands_in_first_what_it_carries_for_others_and_wrote_on_it() {
    let world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    he.sync();
    colleague.sync();
    let case = he.report("还没有一台服务器知道的事。");
    meet(&he, &colleague);
    colleague.event(case, EventKind::FactAdded, json!({"fact": "同事补充的情况"}));
    tell(&world, &device_of(&colleague), "wipe");
    assert_eq!(colleague.library.sync(None, None), Err(PhoneLibError::Wiped));
    let state = world.case(case);
    assert_eq!(state.narrative, "还没有一台服务器知道的事。");
    assert!(state.timeline.iter().any(|e| e.kind == EventKind::FactAdded), "what he wrote on it comes after it");
}

#[test]
fn the_last_word_of_a_wiped_phone_is_kept_aside_where_what_it_builds_on_never_came() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let case = he.report("开头丢了。");
    he.event(case, EventKind::OnScene, json!({"note": "开头之后的话"}));
    he.inside().execute("DELETE FROM outbox WHERE ordinal = (SELECT min(ordinal) FROM outbox)", []).unwrap();
    tell(&world, &device_of(&he), "wipe");
    assert_eq!(he.library.sync(None, None), Err(PhoneLibError::Wiped));
    let items = items(&world, "community", "");
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(
        (items[0]["code"].as_str(), items[0]["document"].as_str()),
        (Some("missing_dependency"), Some(&*case.to_string()))
    );
    assert!(items[0]["preview"].to_string().contains("开头之后的话"), "{items:?}");
}

/// What the library does with a phone that is let in no more, up to what comes of it.
pub(crate) fn last_words(world: &World, phone: &TestPhone) -> LastStep {
    let mut words = phone.core().last_words();
    loop {
        let (status, _, body) = post(world, &words.next_request().unwrap());
        assert_eq!(status, 200);
        match words.apply_response(&body).unwrap() {
            LastStep::Again => {}
            step => return step,
        }
    }
}

fn post(world: &World, body: &[u8]) -> (u16, String, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/v1/last-word", world.url()));
    let mut response = request.header("Content-Type", "application/vnd.fengqiao.sync").send(body).unwrap();
    let told = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    (response.status().as_u16(), told.unwrap_or_default(), response.body_mut().read_to_vec().unwrap())
}

#[test]
fn a_last_word_that_no_revoked_phone_has_signed_is_refused_and_wipes_nothing() {
    use sync_core::sync::orders::{LastWord, SignedLastWord};
    use sync_core::sync::wire;
    let world = World::new();
    let (he, other) = (Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    let word = LastWord::of(he.device);
    let own = wire::encode(&SignedLastWord::seal(&word, &he.key).unwrap()).unwrap();
    let forged = wire::encode(&SignedLastWord::seal(&word, &other.key).unwrap()).unwrap();
    assert_eq!(post(&world, &own).0, 409, "a phone that is not revoked syncs");
    assert_eq!(post(&world, &forged).0, 403);
    for n in [0, 1, own.len() / 2, own.len() - 1] {
        assert_eq!(post(&world, &own[..n]).0, 400, "{n} bytes");
    }
    tell(&world, &he.device.to_string(), "wipe");
    assert_eq!(post(&world, &forged).0, 403);
    // A confirmation of another order confirms nothing.
    let stranger = sync_core::ids::BundleId::from_parts(world.clock.now_ms(), [1; 10]);
    let word = LastWord { wiped: Some(stranger), ..LastWord::of(he.device) };
    assert_eq!(post(&world, &wire::encode(&SignedLastWord::seal(&word, &he.key).unwrap()).unwrap()).0, 200);
    assert_eq!(orders(&world, "he"), [("wipe".to_owned(), String::new(), false)]);
    let device = he.device.to_string();
    for login in ["baihua", "colleague", "station-head"] {
        let token = world.token(login);
        assert_eq!(world.post(&format!("/v1/devices/{device}/wipe"), Some(&token), &json!({})).0, 404, "{login}");
        assert_eq!(world.get(&format!("/v1/devices/{device}/orders"), Some(&token)).0, 404, "{login}");
    }
}
