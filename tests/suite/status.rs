//! Where things are, through the real server: a phone never says more than the server has said, and one bundle that is not taken ends
//! nothing but itself.

use fengqiao_mobile::{DocumentStatusView, PhoneLibError};
use sync_core::edit::Draft;
use sync_core::ids::{AreaCode, DocumentId, UserId};
use sync_core::shape::DocumentKind;
use tests::phones::{set, write};
use tests::{MINUTE, TestPhone, World};

fn stands(phone: &TestPhone, id: DocumentId) -> DocumentStatusView {
    phone.library.document_status(id.to_string()).unwrap()
}

fn is_on_server(phone: &TestPhone, id: DocumentId) -> bool {
    matches!(stands(phone, id), DocumentStatusView::OnServer { .. })
}

fn counts(phone: &TestPhone) -> (u64, u64, u64, u64) {
    let records = phone.library.status().unwrap().records;
    (records.only_here, records.on_its_way, records.on_server, records.refused)
}

#[test]
fn status_stays_on_its_way_when_the_answer_is_lost_and_the_next_sync_settles_it() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集讨薪。");
    assert_eq!((stands(&he, case), counts(&he)), (DocumentStatusView::OnlyHere, (1, 0, 0, 0)));
    let session = he.library.sync_session().unwrap();
    let request = session.next_request().unwrap().unwrap();
    assert!(matches!(stands(&he, case), DocumentStatusView::OnItsWay { .. }));
    // It arrives; what the server says to it does not.
    let token = he.library.authorization_header().unwrap().replace("Bearer ", "");
    let (status, _) = world.post_bytes("/v1/sync", &token, sync_core::sync::wire::MEDIA_TYPE, &request);
    assert_eq!(status, 200);
    drop(session);
    assert_eq!(counts(&he), (0, 1, 0, 0));
    assert_eq!(he.library.status().unwrap().last_complete_ms, None);
    world.pass(MINUTE);
    he.sync();
    let DocumentStatusView::OnServer { since_ms } = stands(&he, case) else { panic!("{:?}", stands(&he, case)) };
    assert!(he.library.status().unwrap().last_complete_ms.is_some_and(|at| at >= since_ms));
    assert_eq!(world.case(case).narrative, "工人聚集讨薪。");
}

#[test]
fn status_of_what_never_left_the_phone_is_only_here() {
    let mut world = World::new();
    let he = world.phone("he");
    he.sync();
    let complete = he.library.status().unwrap().last_complete_ms;
    let case = he.report("工人聚集讨薪。");
    world.pass(MINUTE);
    world.stop();
    let synced = he.library.sync(None, None);
    assert!(matches!(synced, Err(PhoneLibError::Offline { sent: false, .. })), "{synced:?}");
    assert_eq!((stands(&he, case), counts(&he)), (DocumentStatusView::OnlyHere, (1, 0, 0, 0)));
    assert_eq!(he.library.status().unwrap().last_complete_ms, complete);
    world.start();
    he.sign_in_again(&world, "he");
    world.pass(MINUTE * 30);
    he.sync();
    assert!(is_on_server(&he, case));
}

#[test]
fn status_is_refused_for_a_record_that_the_server_did_not_take() {
    let world = World::new();
    let (he, baihua) = (world.phone("he"), world.phone("baihua"));
    let mine = he.report("工人聚集讨薪。");
    // His phone believes that 白花 is his; the server knows better.
    let own = he.core().identity().unwrap().unwrap().grants;
    he.core().update_grants(baihua.core().identity().unwrap().unwrap().grants).unwrap();
    let community = AreaCode::new("GM-BAIHUA").unwrap();
    let edits = vec![set("place.grid", "GM-BAIHUA-01"), write("narrative", "邻里噪音。")];
    let foreign = he.core().create(&Draft { kind: DocumentKind::Case, community, edits }).unwrap();
    he.core().update_grants(own).unwrap();
    he.sync();
    assert_eq!((stands(&he, foreign), counts(&he)), (DocumentStatusView::Refused, (0, 0, 1, 1)));
    assert!(is_on_server(&he, mine));
}

#[test]
fn status_tells_which_bundle_was_not_taken_and_the_work_of_others_on_the_phone_goes_on() {
    let world = World::new();
    let he = world.phone("he");
    let mine = he.report("工人聚集讨薪。");
    // Somebody whom the server does not know with this phone has written on it in between.
    let me = he.core().identity().unwrap().unwrap();
    let mut somebody = me.clone();
    somebody.user = UserId(uuid::Uuid::from_u128(77));
    he.core().enrol(&somebody).unwrap();
    let his = he.report("邻里噪音。");
    he.core().enrol(&me).unwrap();
    let synced = he.library.sync(None, None);
    let Err(PhoneLibError::SyncIncomplete { changes, records, .. }) = synced else { panic!("{synced:?}") };
    assert_eq!((changes, records), (1, 1));
    assert!(is_on_server(&he, mine));
    assert_eq!((stands(&he, his), counts(&he)), (DocumentStatusView::OnlyHere, (1, 0, 1, 0)));
    let status = he.library.status().unwrap();
    assert_eq!((status.left_out_count, status.last_complete_ms), (1, None));
    assert_eq!((status.left_out[0].document.clone(), status.left_out[0].changes), (his.to_string(), 1));
    assert_eq!(status.left_out[0].code, "forged_author");
    // What is written from now on is not held up either, and what is stuck is not lost.
    he.edit(mine, &[set("people_involved", 23)]);
    world.pass(MINUTE * 30);
    assert!(matches!(he.library.sync(None, None), Err(PhoneLibError::SyncIncomplete { .. })));
    assert_eq!(world.case(mine).number("people_involved"), Some(23));
    assert_eq!(he.case(his).narrative, "邻里噪音。");
}
