//! One photo that several people attach to the same record, as it is when it goes round among colleagues.

use fengqiao_mobile::{AttachmentStatusView, TransferPolicy};
use sync_core::ids::DocumentId;
use tests::phones::write;
use tests::photos::photo;
use tests::{MINUTE, TestPhone, World};

fn attach(phone: &TestPhone, id: DocumentId, name: &str) -> String {
    phone.library.attach_photo(id.to_string(), name.into(), photo(7, 64, 64)).unwrap().hash
}

fn send(phone: &TestPhone) -> fengqiao_mobile::TransferReport {
    phone.library.transfer_attachments(TransferPolicy::default(), None, None).unwrap()
}

#[test]
fn a_photo_attached_by_two_who_did_not_know_of_each_other_is_refused_to_neither_and_sent_once() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("邻里噪音。");
    he.sync();
    colleague.sync();
    let hash = attach(&colleague, case, "楼梯口.jpg");
    assert_eq!(attach(&he, case, "现场.jpg"), hash);
    he.edit(case, &[write("narrative", "邻里噪音。已劝开。")]);
    colleague.sync();
    assert!(send(&colleague).bytes_sent > 0);
    world.pass(MINUTE);
    he.sync();
    assert!(he.library.refused_changes().unwrap().is_empty());
    let report = send(&he);
    assert_eq!((report.waiting, report.bytes_sent), (0, 0), "the server has it");
    colleague.sync();
    he.sync();
    for phone in [&he, &colleague] {
        let state = phone.core().case(case).unwrap();
        assert_eq!(state.narrative, "邻里噪音。已劝开。");
        assert_eq!(state.attachments.keys().collect::<Vec<_>>(), [&hash]);
        assert_eq!(state.attachments, world.case(case).attachments, "everybody shows the same of the two entries");
        assert!(["楼梯口.jpg", "现场.jpg"].contains(&state.attachments[&hash].name.as_str()));
        let statuses = phone.library.attachment_statuses(case.to_string()).unwrap();
        assert!(
            matches!(statuses[..], [ref a] if matches!(a.status, AttachmentStatusView::OnServer { .. })),
            "{statuses:?}"
        );
    }
    let (_, waiting) = world.get("/v1/quarantine?state=waiting", Some(&world.token("community")));
    assert_eq!(waiting["items"], serde_json::json!([]));
    world.check_rebuild();
}
