//! The phone alone: edits survive, search finds, stamps are anchored.

mod growth;
mod hall;
mod status;
mod sync;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::*;
use crate::error::EditError;
use crate::ids::AreaCode;
use crate::role::{AreaKind, Role};
use crate::time::Clock;

#[derive(Default)]
struct Host {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
    boot: AtomicU64,
    random: AtomicU64,
}

impl Clock for Host {
    fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::Relaxed)
    }
}
impl PhoneClock for Host {
    fn monotonic_ms(&self) -> i64 {
        self.monotonic_ms.load(Ordering::Relaxed)
    }
    fn boot(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }
}
impl Entropy for Host {
    fn fill(&self, buffer: &mut [u8]) {
        use sha2::{Digest, Sha256};
        let n = self.random.fetch_add(1, Ordering::Relaxed);
        let hash = Sha256::digest(n.to_be_bytes());
        for (b, h) in buffer.iter_mut().zip(hash.iter().cycle()) {
            *b = *h;
        }
    }
}

fn grid() -> AreaCode {
    AreaCode::new("BY-1").unwrap()
}

fn community() -> AreaCode {
    AreaCode::new("BY").unwrap()
}

fn grant() -> Grant {
    Grant {
        role: Role::GridWorker,
        area: grid(),
        kind: AreaKind::Grid,
        communities: vec![community()],
        from_ms: 0,
        until_ms: None,
    }
}

fn phone(dir: &tempfile::TempDir) -> (Phone, Arc<Host>) {
    let host = Arc::new(Host::default());
    host.wall_ms.store(1_558_054_800_000, Ordering::Relaxed);
    let phone = Phone::open(&dir.path().join("store"), &[1; 32], host.clone()).unwrap();
    phone
        .enrol(&Enrolment {
            device: DeviceId(uuid::Uuid::from_u128(1)),
            user: UserId(uuid::Uuid::from_u128(2)),
            name: "小何".into(),
            login: "he".into(),
            grants: vec![grant()],
        })
        .unwrap();
    (phone, host)
}

fn report(phone: &Phone, story: &str) -> DocumentId {
    let edits = vec![
        Edit::SetField { path: "place.grid".into(), value: grid().as_str().into() },
        Edit::SetText { name: "narrative".into(), wording: story.into() },
    ];
    phone.create(&Draft { kind: DocumentKind::Case, community: community(), edits }).unwrap()
}

#[test]
fn what_was_edited_is_there_after_the_app_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let id = {
        let (phone, _) = phone(&dir);
        let id = report(&phone, "工人聚集。");
        phone.edit(id, &[Edit::SetField { path: "people_involved".into(), value: 23.into() }]).unwrap();
        id
    };
    let (phone, _) = phone(&dir);
    assert_eq!(phone.case(id).unwrap().number("people_involved"), Some(23));
    assert_eq!(phone.status().unwrap().pending, 2);
    assert_eq!(phone.document_status(id).unwrap(), DocumentStatus::OnlyHere);
}

#[test]
fn words_of_two_characters_and_longer_ones_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let wages = report(&phone, "巡查时发现工人讨要欠薪。");
    let noise = report(&phone, "邻里因噪音争吵。");
    let found = |q: &str| phone.search(q, 10).unwrap().into_iter().map(|r| r.document).collect::<Vec<_>>();
    assert_eq!(found("巡查"), [wages]);
    assert_eq!(found("欠薪"), [wages]);
    assert_eq!(found("邻里"), [noise]);
    assert_eq!(found("工人讨要"), [wages]);
    assert_eq!(found("争"), [noise]);
    assert_eq!(found("没有这样的话"), []);
}

#[test]
fn a_worker_cannot_report_for_another_grid() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let edits = vec![Edit::SetField { path: "place.grid".into(), value: "BY-2".into() }];
    let refused = phone.create(&Draft { kind: DocumentKind::Case, community: community(), edits });
    assert!(matches!(refused, Err(PhoneError::Edit(EditError::NotAllowed { .. }))), "{refused:?}");
    assert_eq!(phone.status().unwrap().pending, 0);
}

#[test]
fn a_wrong_value_names_its_field() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    let refused = phone.edit(id, &[Edit::SetField { path: "people_involved".into(), value: "many".into() }]);
    assert!(
        matches!(refused, Err(PhoneError::Edit(EditError::InvalidValue { ref field, .. })) if field == "people_involved")
    );
}

#[test]
fn a_stamp_is_anchored_until_the_phone_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, host) = phone(&dir);
    phone
        .0
        .store
        .write(|tx| set_meta_json(tx, "token_at", &TokenAt { issued_ms: 5_000, monotonic_ms: 100, boot: 0 }))
        .unwrap();
    host.monotonic_ms.store(700, Ordering::Relaxed);
    let claim = |phone: &Phone| phone.0.store.write(|tx| phone.claim(tx)).unwrap().anchor.unwrap();
    assert_eq!(claim(&phone), Anchor { token_ms: 5_000, elapsed_ms: Some(600) });
    host.boot.store(9, Ordering::Relaxed);
    assert_eq!(claim(&phone), Anchor { token_ms: 5_000, elapsed_ms: None });
}

#[test]
fn people_who_share_a_phone_write_under_their_own_actors_and_send_their_own_bundles() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    let mut other = phone.identity().unwrap().unwrap();
    other.user = UserId(uuid::Uuid::from_u128(3));
    phone.enrol(&other).unwrap();
    phone.edit(id, &[Edit::SetField { path: "people_involved".into(), value: 23.into() }]).unwrap();
    let mut session = phone.sync_begin("test");
    let bytes = session.next_request().unwrap().unwrap();
    let request: crate::sync::wire::SyncRequest = crate::sync::wire::decode(&bytes).unwrap();
    let bundles: Vec<_> = request.bundles.iter().map(|b| crate::sync::bundle::read(b).unwrap()).collect();
    assert_eq!(bundles.len(), 2);
    assert!(bundles.iter().all(|b| b.actors.len() == 1) && bundles[0].actors != bundles[1].actors);
}

#[test]
fn listeners_hear_of_edits_and_may_read_while_they_listen() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let heard = Arc::new(AtomicU64::new(0));
    let (count, reader) = (heard.clone(), phone.clone());
    let subscription = phone.subscribe(Box::new(move |notice| {
        for id in &notice.documents {
            reader.case(*id).unwrap();
        }
        count.fetch_add(1, Ordering::Relaxed);
    }));
    report(&phone, "一。");
    phone.unsubscribe(subscription);
    report(&phone, "二。");
    assert_eq!(heard.load(Ordering::Relaxed), 1);
}

#[test]
fn the_phone_says_what_its_owner_may_do_now_and_what_is_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, _) = phone(&dir);
    let id = report(&phone, "工人聚集。");
    assert!(phone.may(id, EventKind::Note).unwrap());
    assert!(!phone.may(id, EventKind::Closed).unwrap());
}
