//! Photos of changes that were refused: handed in while they wait in quarantine, and let go of once the change is dismissed.

use fengqiao_mobile::{AttachmentStatusView, PhoneLibError, TransferPolicy};
use serde_json::{Value, json};
use sync_core::ids::DocumentId;
use tests::photos::photo;
use tests::{HOUR, TestPhone, World};

use crate::quarantine::{discharged, end_charge};

fn attach(phone: &TestPhone, id: DocumentId, seed: u32) -> String {
    phone.library.attach_photo(id.to_string(), "现场.jpg".into(), photo(seed, 64, 64)).unwrap().hash
}

fn send(phone: &TestPhone) -> fengqiao_mobile::TransferReport {
    phone.library.transfer_attachments(TransferPolicy::default(), None, None).unwrap()
}

fn status(phone: &TestPhone, id: DocumentId, hash: &str) -> AttachmentStatusView {
    let all = phone.library.attachment_statuses(id.to_string()).unwrap();
    all.into_iter().find(|a| a.hash == hash).unwrap().status
}

fn decide(world: &World, verb: &str) {
    let token = world.token("community");
    let (_, page) = world.get("/v1/quarantine?state=waiting", Some(&token));
    let items: Vec<Value> = page["items"].as_array().unwrap().clone();
    assert!(!items.is_empty());
    for item in items {
        let path = format!("/v1/quarantine/{}/{verb}", item["id"].as_str().unwrap());
        let (status, told) = world.post(&path, Some(&token), &json!({"reason": "不在其网格"}));
        assert_eq!(status, 200, "{told}");
    }
}

#[test]
fn a_photo_of_a_dismissed_change_waits_no_longer_says_why_and_is_freed_by_its_owners_choice_alone() {
    let world = World::new();
    let (he, case) = discharged(&world);
    let hash = attach(&he, case, 90);
    he.sync();
    assert_eq!(he.library.refused_changes().unwrap().len(), 1);
    assert_eq!(he.library.status().unwrap().attachments_waiting, 1);
    decide(&world, "dismiss");
    assert!(!he.library.discard_attachment(case.to_string(), hash.clone()).unwrap(), "it may still be let in");
    he.sync();
    let told = status(&he, case, &hash);
    let AttachmentStatusView::Refused { code, detail } = &told else { panic!("{told:?}") };
    assert!(code == "dismissed" && detail.contains("不在其网格") && detail.contains("社区主管"), "{told:?}");
    let counts = he.library.status().unwrap();
    assert_eq!((counts.attachments_waiting, counts.attachments_waiting_bytes, counts.attachments_refused), (0, 0, 1));
    let report = send(&he);
    assert_eq!((report.uploaded, report.waiting, report.bytes_sent), (0, 0, 0));
    // Nothing else lets go of it: nobody else has it.
    assert_eq!(he.library.free_attachments().unwrap(), 0);
    he.library.free_up(u64::MAX).unwrap();
    assert!(he.library.attachment_bytes(hash.clone()).unwrap().is_some());
    assert!(he.library.discard_attachment(case.to_string(), hash.clone()).unwrap());
    assert_eq!(he.library.attachment_bytes(hash.clone()).unwrap(), None);
    assert_eq!(he.library.storage().unwrap().attachments, 0);
    assert_eq!(he.library.status().unwrap().attachments_refused, 0);
    assert!(!he.library.discard_attachment(case.to_string(), hash).unwrap(), "once is enough");
}

#[test]
fn who_decides_about_a_change_looks_at_its_photo_and_nobody_else_does() {
    let world = World::new();
    let (he, case) = discharged(&world);
    let hash = attach(&he, case, 94);
    he.sync();
    let path = format!("/v1/attachments/{hash}/thumbnail?document={case}");
    let look = |login: &str| world.get(&path, Some(&world.token(login))).0;
    assert_eq!(look("community"), 404, "it has not come yet");
    send(&he);
    for (login, status) in
        [("community", 200), ("street", 200), ("colleague", 404), ("station-head", 404), ("he", 404), ("baihua", 404)]
    {
        assert_eq!(look(login), status, "{login}");
    }
    let (_, log) = world.get("/v1/audit?action=attachment.read", Some(&world.token("admin")));
    assert!(log.to_string().contains(&hash), "a look is written down: {log}");
    decide(&world, "dismiss");
    assert_eq!(look("community"), 404, "what is dismissed is looked at no more");
}

#[test]
fn a_photo_of_a_record_that_was_dismissed_as_a_whole_can_be_asked_about_and_let_go() {
    let world = World::new();
    let (he, _) = discharged(&world);
    let case = he.report("邻里噪音。");
    let hash = attach(&he, case, 91);
    he.sync();
    assert!(matches!(he.library.read_case(case.to_string()), Err(PhoneLibError::NotFound { .. })));
    assert_eq!(status(&he, case, &hash), AttachmentStatusView::OnlyHere);
    decide(&world, "dismiss");
    he.sync();
    assert!(matches!(status(&he, case, &hash), AttachmentStatusView::Refused { .. }));
    assert!(he.library.discard_attachment(case.to_string(), hash).unwrap());
    let nothing = he.library.attachment_statuses(case.to_string());
    assert!(matches!(nothing, Err(PhoneLibError::NotFound { .. })), "{nothing:?}");
}

#[test]
fn a_photo_of_a_change_that_waits_or_is_let_in_goes_to_the_server() {
    let world = World::new();
    let (he, case) = discharged(&world);
    let [first, second] = [92, 93].map(|seed| attach(&he, case, seed));
    let one = TransferPolicy { bytes_max: 1, ..TransferPolicy::default() };
    let report = he.library.transfer_attachments(one, None, None).unwrap();
    assert_eq!((report.uploaded, report.waiting), (1, 1), "it can be looked at with the change");
    decide(&world, "accept");
    he.sync();
    assert_eq!(send(&he).uploaded, 1);
    assert_eq!(he.library.status().unwrap().attachments_waiting, 0);
    for hash in [first, second] {
        assert!(world.case(case).attachments.contains_key(&hash));
        assert_eq!(tests::tus::Tus::new(&world, "colleague").download(case, &hash, &[]).status, 200);
    }
}

#[test]
fn a_photo_that_another_record_still_needs_is_not_freed_with_the_dismissed_one() {
    let world = World::new();
    let he = world.phone("he");
    let other = he.report("漏水。");
    let case = he.report("工人聚集。");
    he.sync();
    let hash = attach(&he, other, 94);
    he.sync();
    world.pass(HOUR);
    end_charge(&world, "he");
    world.pass(HOUR);
    assert_eq!(attach(&he, case, 94), hash);
    he.sync();
    decide(&world, "dismiss");
    he.sync();
    assert!(matches!(status(&he, case, &hash), AttachmentStatusView::Refused { .. }));
    assert_eq!(status(&he, other, &hash), AttachmentStatusView::OnlyHere);
    assert!(he.library.discard_attachment(case.to_string(), hash.clone()).unwrap());
    assert!(he.library.attachment_bytes(hash.clone()).unwrap().is_some());
    assert_eq!(send(&he).uploaded, 1);
}
