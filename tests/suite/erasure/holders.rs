//! Which phones an erasure asks, and what counts as their answer.

use serde_json::json;
use server::audit::{self, Origin};
use server::erasure::{Holder, Proof};
use server::retention::{self, Rules, What};
use sync_core::ids::DocumentId;
use sync_core::sync::wire::{self, SyncRequest};
use tests::{HOUR, TestPhone, World};

use super::{erase, proof};

const DAY: i64 = 24 * HOUR;

fn device_of(phone: &TestPhone) -> String {
    phone.core().identity().unwrap().unwrap().device.to_string()
}

fn holder(proof: &Proof, phone: &TestPhone) -> Holder {
    let device = device_of(phone);
    proof.phones.iter().find(|p| p.device == device).unwrap_or_else(|| panic!("{proof:?}")).clone()
}

fn why(world: &World, case: DocumentId, phone: &TestPhone) -> Option<String> {
    holder(&proof(world, case, &[]), phone).why
}

#[test]
fn erasure_is_confirmed_by_the_phones_word_and_not_because_it_has_read_on() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("要删除的。");
    he.sync();
    erase(&world, "case", case, "");
    let mut session = he.core().sync_begin("");
    let first = session.next_request().unwrap().unwrap();
    session.apply_response(&he.exchange(&world, &first)).unwrap();
    assert!(holder(&proof(&world, case, &[]), &he).told_ms.is_some());
    // A phone whose cursor has passed the order, and that does not say that it has obeyed.
    let second = session.next_request().unwrap().unwrap();
    let mut silent: SyncRequest = wire::decode(&second).unwrap();
    assert_eq!(silent.confirmed.take().unwrap().documents, [case]);
    let answer = he.exchange(&world, &wire::encode(&silent).unwrap());
    let answer: wire::SyncResponse = wire::decode(&answer).unwrap();
    assert_eq!(holder(&proof(&world, case, &[]), &he).confirmed_ms, None);
    assert_eq!(answer.purge, [case], "it is told again until it does");
    session.apply_response(&he.exchange(&world, &second)).unwrap();
    assert!(proof(&world, case, &[]).is_complete());
    let answer: wire::SyncResponse = wire::decode(&he.exchange(&world, &wire::encode(&silent).unwrap())).unwrap();
    assert_eq!(answer.purge, vec![], "and then no more");
}

#[test]
fn erasure_asks_phones_that_may_have_met_one_and_those_whose_delivery_the_audit_log_forgot() {
    let world = World::new();
    let (he, given, met, far) =
        (world.phone("he"), world.phone("station-head"), world.phone("colleague"), world.phone("baihua"));
    met.sync();
    far.sync();
    let case = he.report("多年以前。");
    he.sync();
    given.sync();
    let app = world.app();
    // The last row of the log stays when it is pruned: it is not to be one of those that are looked for.
    world.token("street");
    audit::seal(&app.db).unwrap();
    world.pass(400 * DAY);
    let mut rules = Rules::parse(schema::RETENTION).unwrap();
    rules.rules.retain(|r| r.what == What::Audit);
    rules.rules.iter_mut().for_each(|r| r.keep_days = 200);
    app.db
        .transaction(|conn| retention::apply(conn, &app.context(), &Origin::operator(), &rules))
        .map_err(|e: server::erasure::ErasureError| e.to_string())
        .unwrap();
    let (_, log) = world.get("/v1/audit?action=sync.deliver", Some(&world.token("district")));
    assert_eq!(log["items"], json!([]), "the log has forgotten who was given it");
    erase(&world, "case", case, "");
    assert_eq!(why(&world, case, &he).as_deref(), Some("wrote"));
    assert_eq!(why(&world, case, &given).as_deref(), Some("given"));
    assert_eq!(why(&world, case, &met).as_deref(), Some("met"));
    let left = proof(&world, case, &[]);
    assert!(left.phones.iter().all(|p| p.device != device_of(&far)), "nobody there could have given it to him");
    for (phone, login) in [(&he, "he"), (&given, "station-head"), (&met, "colleague")] {
        assert!(!proof(&world, case, &[]).is_complete());
        phone.sign_in_again(&world, login);
        phone.sync();
    }
    assert!(proof(&world, case, &[]).is_complete());
}

#[test]
fn erasure_counts_a_phone_as_clean_that_was_wiped_or_has_purged_the_record_before_or_since() {
    let world = World::new();
    let (he, moved, lost) = (world.phone("he"), world.phone("colleague"), world.phone("station-head"));
    let (early, late) = (he.report("先。"), he.report("后。"));
    he.sync();
    moved.sync();
    lost.sync();
    world.pass(HOUR);
    crate::access::move_away(&world, "colleague");
    moved.sync();
    assert!(moved.core().document(early).is_err());
    erase(&world, "case", early, "");
    assert!(holder(&proof(&world, early, &[]), &moved).confirmed_ms.is_some(), "purged before");
    assert_eq!(holder(&proof(&world, early, &[]), &lost).confirmed_ms, None);
    let device = device_of(&lost);
    let path = format!("/v1/devices/{device}/wipe");
    assert_eq!(world.post(&path, Some(&world.token("community")), &json!({})).0, 200);
    lost.library.sync(None, None).unwrap_err();
    let is_clean = |case: DocumentId| {
        let told = proof(&world, case, &[]);
        told.phones.iter().find(|p| p.device == device).unwrap().confirmed_ms.is_some()
    };
    assert!(is_clean(early), "wiped since");
    erase(&world, "case", late, "");
    assert!(is_clean(late), "wiped before");
    he.sync();
    assert!(proof(&world, early, &[]).is_complete() && proof(&world, late, &[]).is_complete());
}
