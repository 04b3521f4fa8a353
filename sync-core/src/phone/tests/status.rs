//! What the phone says of where things are: never more than the server has said, and never that all is done when it is not.

use super::hall::Hall;
use super::sync::{copy, met, people};
use super::*;
use crate::error::RefusalCode;
use crate::store::standing::StandingCounts;
use crate::sync::wire::{self, Bytes, SyncResponse};

fn counts(phone: &Phone) -> (u64, u64, u64, u64) {
    let StandingCounts { only_here, on_its_way, on_server, refused } = phone.status().unwrap().records;
    (only_here, on_its_way, on_server, refused)
}

#[test]
fn status_goes_from_only_here_over_on_its_way_to_on_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    assert_eq!((phone.document_status(id).unwrap(), counts(&phone)), (DocumentStatus::OnlyHere, (1, 0, 0, 0)));
    let mut session = phone.sync_begin("test");
    let request = session.next_request().unwrap().unwrap();
    assert!(matches!(phone.document_status(id).unwrap(), DocumentStatus::OnItsWay(_)));
    assert_eq!(counts(&phone), (0, 1, 0, 0));
    // What is written now is not in the request.
    phone.edit(id, &people(23)).unwrap();
    assert_eq!((phone.document_status(id).unwrap(), counts(&phone)), (DocumentStatus::OnlyHere, (1, 0, 0, 0)));
    session.apply_response(&hall.answer(&request)).unwrap();
    assert_eq!(phone.document_status(id).unwrap(), DocumentStatus::OnlyHere);
    assert_eq!(phone.status().unwrap().last_complete_ms, None);
    drop(session);
    hall.sync(&phone).unwrap();
    assert!(matches!(phone.document_status(id).unwrap(), DocumentStatus::OnServerSince(_)));
    assert_eq!(counts(&phone), (0, 0, 1, 0));
    assert!(phone.status().unwrap().last_complete_ms.is_some());
}

#[test]
fn status_stays_on_its_way_over_a_crash_until_a_request_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    drop(phone.sync_begin("test").next_request().unwrap().unwrap());
    let died = copy(&dir, "died");
    drop(phone);
    let phone = Phone::open(&died, &[1; 32], Arc::new(Host::default())).unwrap();
    assert!(matches!(phone.document_status(id).unwrap(), DocumentStatus::OnItsWay(_)));
    // The next one does not even leave the phone: what it carried is no nearer to the server.
    let mut session = phone.sync_begin("test");
    session.next_request().unwrap().unwrap();
    session.not_sent().unwrap();
    assert_eq!(phone.document_status(id).unwrap(), DocumentStatus::OnlyHere);
    drop(session);
    hall.sync(&phone).unwrap();
    assert!(matches!(phone.document_status(id).unwrap(), DocumentStatus::OnServerSince(_)));
}

#[test]
fn status_of_a_record_whose_every_change_was_refused_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    let good = report(&phone, "邻里噪音。");
    hall.refuse.insert(phone.document(id).unwrap().heads()[0], (RefusalCode::ForeignArea, "not yours".into()));
    hall.sync(&phone).unwrap();
    assert_eq!(phone.document_status(id).unwrap(), DocumentStatus::Refused);
    assert!(matches!(phone.document_status(good).unwrap(), DocumentStatus::OnServerSince(_)));
    assert_eq!(counts(&phone), (0, 0, 1, 1));
    let nobody = DocumentId(uuid::Uuid::from_u128(99));
    assert!(matches!(phone.document_status(nobody), Err(PhoneError::NotFound)));
}

/// A phone on which two people have written, of whom the hall knows only the second with this phone.
fn two_people(dir: &tempfile::TempDir) -> (Phone, Hall, DocumentId, DocumentId) {
    let (phone, _) = phone(dir);
    let his = report(&phone, "工人聚集。");
    let mut other = phone.identity().unwrap().unwrap();
    (other.user, other.device) = (UserId(uuid::Uuid::from_u128(3)), DeviceId(uuid::Uuid::from_u128(4)));
    phone.enrol(&other).unwrap();
    let mut hall = Hall::new();
    hall.register(&phone);
    let hers = report(&phone, "邻里噪音。");
    (phone, hall, his, hers)
}

#[test]
fn status_tells_the_bundle_that_was_not_taken_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall, his, hers) = two_people(&dir);
    let ended = hall.sync(&phone);
    let Err(PhoneError::Incomplete(told)) = ended else { panic!("{ended:?}") };
    assert!(hall.documents.contains_key(&hers) && !hall.documents.contains_key(&his));
    assert_eq!((told.records, told.changes), (1, 1));
    assert_eq!((told.left_out[0].document, told.left_out[0].code.as_str()), (his, "forged_author"));
    let status = phone.status().unwrap();
    assert_eq!((status.incomplete.as_ref(), status.last_complete_ms), (Some(&told), None));
    assert_eq!(phone.document_status(his).unwrap(), DocumentStatus::OnlyHere);
    assert!(matches!(phone.document_status(hers).unwrap(), DocumentStatus::OnServerSince(_)));
    // Edits go on travelling in the syncs after it, and once the hall knows him his work does too.
    phone.edit(hers, &people(23)).unwrap();
    assert!(matches!(hall.sync(&phone), Err(PhoneError::Incomplete(_))));
    assert_eq!(hall.documents[&hers].field("people_involved"), Some(23.into()));
    hall.know(DeviceId(uuid::Uuid::from_u128(1)), UserId(uuid::Uuid::from_u128(2)));
    hall.sync(&phone).unwrap();
    let status = phone.status().unwrap();
    assert!(status.incomplete.is_none() && status.last_complete_ms.is_some());
    assert!(hall.documents.contains_key(&his));
}

#[test]
fn status_is_not_complete_while_something_that_came_in_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    let before = phone.status().unwrap().last_complete_ms;
    hall.edit(id, 200, "people_involved", 7);
    let mut session = phone.sync_begin("test");
    let mut ended;
    while let Ok(Some(request)) = {
        ended = session.next_request();
        &ended
    } {
        let mut answer: SyncResponse = wire::decode(&hall.answer(request)).unwrap();
        for change in answer.deliveries.iter_mut().flat_map(|d| &mut d.changes) {
            *change = Bytes::from(vec![1, 2, 3]);
        }
        session.apply_response(&wire::encode(&answer).unwrap()).unwrap();
    }
    let Err(PhoneError::Incomplete(told)) = ended else { panic!("{ended:?}") };
    assert_eq!((told.left_out[0].document, told.left_out[0].code.as_str()), (id, "unread"));
    assert_eq!(phone.status().unwrap().last_complete_ms, before);
    // The next sync asks for it again, and then all is done.
    hall.sync(&phone).unwrap();
    assert_eq!(phone.case(id).unwrap().number("people_involved"), Some(7));
    assert!(phone.status().unwrap().last_complete_ms > before && phone.status().unwrap().incomplete.is_none());
}

#[test]
fn status_does_not_say_that_a_restored_server_still_has_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let (phone, mut hall) = met(&dir);
    let id = report(&phone, "工人聚集。");
    hall.sync(&phone).unwrap();
    hall.forget_everything();
    hall.register(&phone);
    let mut session = phone.sync_begin("test");
    let request = session.next_request().unwrap().unwrap();
    session.apply_response(&hall.answer(&request)).unwrap();
    drop(session);
    assert_eq!((phone.document_status(id).unwrap(), counts(&phone)), (DocumentStatus::OnlyHere, (1, 0, 0, 0)));
    hall.sync(&phone).unwrap();
    assert!(matches!(phone.document_status(id).unwrap(), DocumentStatus::OnServerSince(_)));
}
