//! The phone with a hall: nothing made here is lost or waits for ever, whatever the hall forgets, refuses or cannot read.

use super::hall::Hall;
use super::*;
use crate::error::RefusalCode;
use crate::limits;

pub(super) fn met(dir: &tempfile::TempDir) -> (Phone, Hall) {
    let (phone, _) = phone(dir);
    let mut hall = Hall::new();
    hall.register(&phone);
    (phone, hall)
}

pub(super) fn people(n: i64) -> [Edit; 1] {
    [Edit::SetField { path: "people_involved".into(), value: n.into() }]
}

/// The store as it lies on the disk at this moment, as a backup of the phone would take it.
pub(super) fn copy(dir: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
    let to = dir.path().join(name);
    std::fs::copy(dir.path().join("store"), &to).unwrap();
    std::fs::copy(dir.path().join("store-wal"), dir.path().join(format!("{name}-wal"))).unwrap();
    to
}

#[test]
fn what_was_made_offline_is_on_the_server_after_one_sync_and_a_second_one_sends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    phone.edit(id, &people(23)).unwrap();
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents[&id].heads(), phone.document(id).unwrap().heads());
    assert!(matches!(phone.document_status(id).unwrap(), DocumentStatus::OnServerSince(_)));
    let status = phone.status().unwrap();
    assert!(status.last_complete_ms.is_some() && status.journal.is_some());
    hall.requests = 0;
    hall.sync(&phone).unwrap();
    assert_eq!(hall.requests, 1);
}

#[test]
fn an_answer_that_got_lost_is_given_again_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    let request = phone.sync_begin("test").next_request().unwrap().unwrap();
    hall.answer(&request);
    assert_eq!(phone.status().unwrap().pending, 1, "nothing was acknowledged here");
    hall.sync(&phone).unwrap();
    assert_eq!((phone.status().unwrap().pending, hall.documents[&id].changes().len()), (0, 1));
}

#[test]
fn a_refused_edit_is_taken_back_with_what_builds_on_it_and_its_words_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let bad = phone.edit(id, &people(23)).unwrap().change.unwrap();
    phone.edit(id, &[Edit::SetText { name: "narrative".into(), wording: "工人讨要欠薪。".into() }]).unwrap();
    hall.refuse.insert(bad.hash, (RefusalCode::NotAllowed, "not yours".into()));
    hall.sync(&phone).unwrap();
    assert_eq!(phone.case(id).unwrap().narrative, "工人聚集。");
    assert_eq!(phone.case(id).unwrap().number("people_involved"), None);
    let mut refused = phone.refused().unwrap();
    refused.sort_by(|a, b| b.code.cmp(&a.code));
    assert_eq!(refused.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(), ["not_allowed", "depends_on_refused"]);
    assert!(refused[0].words.contains("people_involved = 23") && refused[1].words.contains("工人讨要欠薪"));
    assert_eq!(phone.document_status(id).unwrap(), DocumentStatus::Refused);
    // Work goes on under another actor.
    phone.edit(id, &people(5)).unwrap();
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents[&id].field("people_involved"), Some(5.into()));
}

#[test]
fn a_change_that_the_server_cannot_read_is_kept_with_its_words_and_the_sync_comes_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let bad = phone.edit(id, &people(23)).unwrap().change.unwrap();
    hall.unreadable.insert(bad.hash);
    hall.sync(&phone).unwrap();
    assert_eq!(phone.status().unwrap().pending, 0);
    assert_eq!(phone.refused().unwrap().iter().map(|r| r.words.as_str()).collect::<Vec<_>>(), ["people_involved = 23"]);
    assert_eq!(phone.case(id).unwrap().number("people_involved"), None);
}

#[test]
fn a_restored_server_that_no_longer_knows_the_phone_is_supplied_again() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    hall.forget_everything();
    // The phone has to register anew, and gets another number.
    let mut who = phone.identity().unwrap().unwrap();
    who.device = DeviceId(uuid::Uuid::from_u128(77));
    phone.enrol(&who).unwrap();
    hall.register(&phone);
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents.get(&id).map(Document::heads), Some(phone.document(id).unwrap().heads()));
}

#[test]
fn a_restored_server_is_supplied_with_what_was_written_before_a_refusal_too() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    for n in [23, 24] {
        let bad = phone.edit(id, &people(n)).unwrap().change.unwrap();
        hall.refuse.insert(bad.hash, (RefusalCode::NotAllowed, "not yours".into()));
        hall.sync(&phone).unwrap();
        phone.edit(id, &people(n - 20)).unwrap();
        hall.sync(&phone).unwrap();
    }
    hall.forget_everything();
    hall.register(&phone);
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents.get(&id).map(Document::heads), Some(phone.document(id).unwrap().heads()));
}

#[test]
fn what_a_person_before_has_not_sent_travels_under_the_phone_as_it_was_his() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let his = report(&phone, "工人聚集。");
    let mut other = phone.identity().unwrap().unwrap();
    (other.user, other.device) = (UserId(uuid::Uuid::from_u128(3)), DeviceId(uuid::Uuid::from_u128(4)));
    phone.enrol(&other).unwrap();
    hall.register(&phone);
    let hers = report(&phone, "邻里噪音。");
    hall.sync(&phone).unwrap();
    assert!(hall.documents.contains_key(&his) && hall.documents.contains_key(&hers));
}

#[test]
fn changes_that_the_server_can_never_take_hold_up_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let stuck = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    hall.edit(stuck, 200, "people_involved", 7);
    hall.sync(&phone).unwrap();
    hall.forget_everything();
    hall.register(&phone);
    // They build on what somebody else wrote and only the lost server had, and fill more than one request.
    let bulky = "某".repeat(limits::FIELD_CHARS_MAX);
    for n in 0..8 {
        let fields = |n: usize| {
            [("organisation".to_owned(), format!("{n}{bulky}").chars().take(2_000).collect::<String>().into())].into()
        };
        let party = |i: usize| Edit::AddItem { collection: "parties".into(), fields: fields(n * 20 + i), text: None };
        phone.edit(stuck, &(0..20).map(party).collect::<Vec<_>>()).unwrap();
    }
    let unsent = phone.0.store.read(|c| outbox::of_document(c, stuck)).unwrap();
    assert!(unsent.iter().map(|r| r.bytes.len()).sum::<usize>() > limits::REQUEST_TARGET_BYTES);
    let id = report(&phone, "邻里噪音。");
    let ended = hall.sync(&phone);
    let Err(PhoneError::Incomplete(told)) = ended else { panic!("it is said to be complete: {ended:?}") };
    assert_eq!(
        (told.records, told.changes, told.left_out[0].code.as_str()),
        (1, 9, "need"),
        "the eight, and what was supplied again"
    );
    assert!(hall.documents.contains_key(&id));
    assert_eq!(phone.document_status(stuck).unwrap(), DocumentStatus::OnlyHere);
}

#[test]
fn unsent_work_on_a_record_that_must_be_forgotten_still_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let mut session = phone.sync_begin("test");
    let request = session.next_request().unwrap().unwrap();
    phone.edit(id, &people(23)).unwrap();
    hall.purge.push(id);
    session.apply_response(&hall.answer(&request)).unwrap();
    assert!(matches!(phone.document(id), Err(PhoneError::NotFound)));
    assert_eq!(phone.search("工人聚集", 10).unwrap(), []);
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents[&id].field("people_involved"), Some(23.into()));
    assert_eq!(phone.status().unwrap().pending, 0);
}

#[test]
fn unsent_work_on_a_forgotten_record_that_is_refused_keeps_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let edited = [Edit::SetText { name: "narrative".into(), wording: "工人聚集讨要欠薪。".into() }];
    let bad = phone.edit(id, &edited).unwrap().change.unwrap();
    phone.0.store.write(|tx| documents::forget(tx, id)).unwrap();
    hall.refuse.insert(bad.hash, (RefusalCode::ForeignArea, "no longer yours".into()));
    hall.sync(&phone).unwrap();
    assert_eq!(phone.status().unwrap().pending, 0);
    let refused = phone.refused().unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].code, "foreign_area");
    assert!(refused[0].words.contains("讨要欠薪"), "{}", refused[0].words);
}

#[test]
fn a_record_that_can_no_longer_be_read_is_fetched_again_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    phone.edit(id, &people(23)).unwrap();
    phone
        .0
        .store
        .write(|tx| -> Result<_, StoreError> {
            Ok(tx.execute("UPDATE tails SET bytes = x'0102' WHERE document = ?1", [id.to_string()])?)
        })
        .unwrap();
    // As after a restart: what is open in memory needs no store.
    phone.0.opened.clear();
    assert!(matches!(phone.case(id), Err(PhoneError::Store(StoreError::Damaged(_)))));
    hall.edit(id, 200, "amount_claimed", 900);
    let other = report(&phone, "邻里噪音。");
    hall.sync(&phone).unwrap();
    assert!(hall.documents.contains_key(&other));
    let state = phone.case(id).unwrap();
    assert_eq!((state.number("people_involved"), state.number("amount_claimed")), (Some(23), Some(900)));
    assert_eq!(phone.document(id).unwrap().heads(), hall.documents[&id].heads());
    phone.edit(id, &people(24)).unwrap();
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents[&id].field("people_involved"), Some(24.into()));
}

#[test]
fn a_phone_restored_from_a_backup_loses_no_words_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let backup = copy(&dir, "backup");
    phone.edit(id, &people(23)).unwrap();
    hall.sync(&phone).unwrap();
    drop(phone);
    let phone = Phone::open(&backup, &[1; 32], Arc::new(Host::default())).unwrap();
    phone.edit(id, &people(40)).unwrap();
    phone.edit(id, &[Edit::SetText { name: "narrative".into(), wording: "工人聚集,共四十人。".into() }]).unwrap();
    let second = report(&phone, "另一宗。");
    hall.sync(&phone).unwrap();
    // What was typed twice under one number stands beside the first, under another actor: both can be seen, nothing was refused.
    assert_eq!(phone.refused().unwrap(), vec![]);
    assert_eq!(phone.status().unwrap().pending, 0);
    assert_eq!(phone.case(id).unwrap().conflicts.len(), 1);
    assert_eq!(phone.case(id).unwrap().narrative, "工人聚集,共四十人。");
    for id in [id, second] {
        assert_eq!(hall.documents[&id].heads(), phone.document(id).unwrap().heads());
    }
    phone.edit(id, &people(41)).unwrap();
    hall.sync(&phone).unwrap();
    assert_eq!(hall.documents[&id].field("people_involved"), Some(41.into()));
}

#[test]
fn a_store_that_is_older_than_the_count_beside_it_goes_on_under_new_actors() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let backup = copy(&dir, "backup");
    drop(phone);
    let store = dir.path().join("store");
    let mut times = 0;
    let mut open = |path: &std::path::Path| {
        times += 1_000;
        let host = Host::default();
        host.random.store(times, Ordering::Relaxed);
        Phone::open(path, &[1; 32], Arc::new(host)).unwrap()
    };
    let actor = |phone: &Phone| phone.0.store.read(|c| documents::load(c, id)).unwrap().unwrap().actor;
    let phone = open(&store);
    phone.edit(id, &people(23)).unwrap();
    hall.sync(&phone).unwrap();
    let before = actor(&phone);
    drop(phone);
    // Opened again, it is itself.
    let phone = open(&store);
    phone.edit(id, &people(24)).unwrap();
    assert_eq!(actor(&phone), before);
    hall.sync(&phone).unwrap();
    drop(phone);
    for end in ["", "-wal"] {
        let _ = std::fs::remove_file(format!("{}{end}", store.display()));
        let _ = std::fs::rename(format!("{}{end}", backup.display()), format!("{}{end}", store.display()));
    }
    let phone = open(&store);
    phone.edit(id, &people(40)).unwrap();
    assert_ne!(actor(&phone), before);
    let row = hall.sync(&phone);
    assert!(row.is_ok(), "{row:?}");
    assert_eq!((phone.refused().unwrap(), phone.status().unwrap().pending), (vec![], 0));
    assert_eq!(hall.documents[&id].heads(), phone.document(id).unwrap().heads());
    // The host's own mark tells the same where the folder was restored as a whole.
    assert!(!phone.installed(b"one").unwrap() && !phone.installed(b"one").unwrap());
    let now = actor(&phone);
    assert!(phone.installed(b"two").unwrap());
    phone.edit(id, &people(41)).unwrap();
    assert_ne!(actor(&phone), now);
}

mod restarts {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn whatever_was_edited_and_however_often_the_phone_died_the_outbox_holds_each_edit_once_and_in_order(
            steps in prop::collection::vec((0..6u8, 0..500i64), 1..12)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (mut phone, mut hall) = met(&dir);
            let id = report(&phone, "工人聚集。");
            let mut unsent = vec![phone.document(id).unwrap().heads()[0]];
            for (n, (step, value)) in steps.into_iter().enumerate() {
                match step {
                    // The phone dies: only what lies on the disk is left, and no log is closed.
                    0 | 1 => {
                        let at = copy(&dir, &format!("died{n}"));
                        drop(phone);
                        for end in ["", "-wal"] {
                            std::fs::rename(format!("{}{end}", at.display()), dir.path().join(format!("store{end}"))).unwrap();
                        }
                        let _ = std::fs::remove_file(dir.path().join("store-shm"));
                        phone = Phone::open(&dir.path().join("store"), &[1; 32], Arc::new(Host::default())).unwrap();
                    }
                    2 => {
                        hall.sync(&phone).unwrap();
                        unsent.clear();
                    }
                    // A request is made, but its answer never comes.
                    3 => drop(phone.sync_begin("test").next_request().unwrap()),
                    _ => unsent.extend(phone.edit(id, &people(value)).unwrap().change.map(|c| c.hash)),
                }
                let held = phone.0.store.read(|c| outbox::after(c, 0, 1_000)).unwrap();
                prop_assert_eq!(held.into_iter().map(|r| r.hash).collect::<Vec<_>>(), unsent.clone());
            }
            hall.sync(&phone).unwrap();
            prop_assert_eq!(hall.documents[&id].heads(), phone.document(id).unwrap().heads());
        }
    }
}
