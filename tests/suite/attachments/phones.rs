//! Attachments from phone to phone: the real library, its real vault, a real server, and a network that breaks.

use fengqiao_mobile::{AttachmentStatusView, PhoneLibError, TransferPolicy};
use server::config::Config;
use sync_core::attachments::{Location, content_hash};
use sync_core::calendar::beijing_ms;
use sync_core::edit::Draft;
use sync_core::ids::DocumentId;
use sync_core::phone::TransferReply;
use sync_core::shape::DocumentKind;
use sync_core::time::Clock as _;
use tests::photos::{from_camera, photo};
use tests::tus::Tus;
use tests::wire::Wire;
use tests::{MINUTE, TestDatabase, TestPhone, World, biyan};

use super::{ALL, attach, send, stored};

fn fetch(phone: &TestPhone, id: DocumentId, hash: &str) -> Result<Option<Vec<u8>>, PhoneLibError> {
    phone.library.fetch_attachment(id.to_string(), hash.to_owned(), ALL, None, None)
}

fn statuses(phone: &TestPhone, id: DocumentId) -> Vec<AttachmentStatusView> {
    phone.library.attachment_statuses(id.to_string()).unwrap().into_iter().map(|a| a.status).collect()
}

#[test]
fn a_photo_goes_from_one_phone_to_another_and_its_place_stays_in_the_record_alone() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let taken = from_camera(&photo(1, 640, 480));
    let case = he.report("楼道堵塞。");
    let attached = he.library.attach_photo(case.to_string(), "楼道.jpg".into(), taken.clone()).unwrap();
    assert_eq!(statuses(&he, case), [AttachmentStatusView::OnlyHere]);
    // One call: the text goes first, then the photo.
    let report = send(&he);
    assert_eq!((report.uploaded, report.waiting, report.bytes_sent), (1, 0, attached.bytes));
    assert!(matches!(statuses(&he, case)[..], [AttachmentStatusView::OnServer { since_ms: Some(_) }]));
    let entry = world.case(case).attachments.remove(&attached.hash).unwrap();
    assert_eq!(entry.location, Some(Location { latitude: 22_775_000, longitude: 113_900_000 }));
    assert_eq!(entry.taken_ms, Some(beijing_ms(2019, 5, 17, 9, 0) + 30_000));
    let kept = &stored(&world, "objects")[0].1;
    assert!(!kept.windows(4).any(|w| w == b"2019") && *kept != taken);
    colleague.sync();
    assert_eq!(colleague.library.attachment_bytes(attached.hash.clone()).unwrap(), None);
    assert_eq!(fetch(&colleague, case, &attached.hash).unwrap().as_ref(), Some(kept));
    assert_eq!(colleague.library.attachment_bytes(attached.hash.clone()).unwrap().as_ref(), Some(kept));
    let small = colleague.library.fetch_thumbnail(case.to_string(), attached.hash, 160, None).unwrap();
    assert!(small.starts_with(&[0xff, 0xd8]));
    assert_eq!(send(&he), fengqiao_mobile::TransferReport::default(), "nothing is sent twice");
}

#[test]
fn an_attachment_that_was_cut_off_goes_on_where_it_stood_however_often_the_network_breaks() {
    let world = World::new();
    let he = world.phone("he");
    let wire = Wire::to(&world.url());
    he.library.log_in(wire.url.clone(), "he".into(), World::password("he"), "he phone".into(), None).unwrap();
    let big = photo(2, 1_600, 1_200);
    let case = he.report("整栋楼断电。");
    let hash = attach(&he, case, &big);
    he.sync();
    let before = wire.up();
    let mut breaks = 0;
    for _ in 0..20 {
        wire.break_after(700_000);
        match he.library.transfer_attachments(ALL, None, None) {
            Ok(report) => {
                assert_eq!((report.uploaded, report.waiting), (1, 0));
                break;
            }
            Err(PhoneLibError::Offline { .. }) => breaks += 1,
            Err(e) => panic!("{e:?}"),
        }
    }
    assert!(breaks >= 2, "the network broke {breaks} times");
    let sent = wire.up() - before;
    // Each break costs a piece at most, and each request its headers.
    let most = big.len() as u64 + breaks * 256 * 1024 + 60_000;
    assert!(sent <= most, "{sent} bytes on the wire for {} and {breaks} breaks", big.len());
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == big);
}

#[test]
fn a_hundred_photos_are_not_sent_again_by_a_phone_that_did_not_hear_that_they_had_arrived() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("消防通道。");
    let photos: Vec<Vec<u8>> = (0..100).map(|n| photo(100 + n, 24, 24)).collect();
    photos.iter().for_each(|p| drop(attach(&he, case, p)));
    he.sync();
    // Everything arrives, and the phone hears of nothing: as if each answer had been lost.
    let tus = Tus::new(&world, "he");
    photos.iter().for_each(|p| assert_eq!(tus.upload(case, p).status, 204));
    let report = send(&he);
    assert_eq!((report.uploaded, report.bytes_sent, report.waiting), (100, 0, 0));
    assert_eq!(stored(&world, "objects").len(), 100);
}

#[test]
fn an_attachment_is_not_held_up_by_a_record_that_the_sync_left_out() {
    let world = World::new();
    let he = world.phone("he");
    let mine = he.report("漏水。");
    let photo = photo(18, 64, 64);
    let hash = attach(&he, mine, &photo);
    // Somebody whom the server does not know with this phone has written on it in between.
    let me = he.core().identity().unwrap().unwrap();
    let mut somebody = me.clone();
    somebody.user = sync_core::ids::UserId(uuid::Uuid::from_u128(77));
    he.core().enrol(&somebody).unwrap();
    let his = he.report("邻里噪音。");
    attach(&he, his, &tests::photos::photo(19, 64, 64));
    he.core().enrol(&me).unwrap();
    let report = send(&he);
    assert_eq!((report.uploaded, report.waiting), (1, 1), "only what belongs to the record left out waits");
    assert!(Tus::new(&world, "he").download(mine, &hash, &[]).body == photo);
    assert_eq!(statuses(&he, his), [AttachmentStatusView::OnlyHere]);
}

#[test]
fn an_attachment_whose_upload_does_not_move_is_left_to_the_next_run() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("漏水。");
    attach(&he, case, &photo(20, 64, 64));
    he.sync();
    let policy = sync_core::phone::TransferPolicy::default();
    let mut session = he.core().transfer_begin(policy).unwrap();
    let mut pieces = 0;
    while let Some(request) = session.next_request().unwrap() {
        pieces += usize::from(request.method == "PATCH");
        assert!(pieces <= 3, "the same bytes are sent again and again");
        // Taken, it says, and stands where it stood.
        let location = Some("/v1/uploads/abc".to_owned());
        session.apply_response(&TransferReply { status: 204, location, offset: Some(0), body: vec![] }).unwrap();
    }
    assert_eq!((pieces, session.progress().uploaded, session.progress().waiting), (3, 0, 1));
}

#[test]
fn attachments_of_cases_go_before_those_of_patrols_and_none_before_its_text() {
    let world = World::new();
    let he = world.phone("he");
    let patrol = Draft {
        kind: DocumentKind::Patrol,
        community: biyan(),
        edits: vec![tests::phones::set("place.grid", "GM-BIYAN-01")],
    };
    let patrol = he.core().create(&patrol).unwrap();
    let first = attach(&he, patrol, &photo(3, 32, 32));
    let case = he.report("电线老化。");
    let second = attach(&he, case, &photo(4, 32, 32));
    let policy = sync_core::phone::TransferPolicy::default();
    let mut early = he.core().transfer_begin(policy).unwrap();
    assert_eq!(early.next_request().unwrap(), None, "the text is not there yet");
    he.sync();
    let mut session = he.core().transfer_begin(policy).unwrap();
    let mut asked = Vec::new();
    while let Some(request) = session.next_request().unwrap() {
        let metadata = request.headers.into_iter().find(|(n, _)| *n == "upload-metadata").unwrap().1;
        asked.push(metadata);
        let answer = TransferReply { status: 403, ..TransferReply::default() };
        session.apply_response(&answer).unwrap();
    }
    use base64::Engine as _;
    let named = |hash: &str| base64::engine::general_purpose::STANDARD.encode(hash);
    assert!(asked.len() == 2 && asked[0].ends_with(&named(&second)) && asked[1].ends_with(&named(&first)), "{asked:?}");
}

#[test]
fn a_metered_network_and_the_bytes_of_a_run_are_for_the_host_to_decide() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("漏水。");
    let photos: Vec<Vec<u8>> = (5..8).map(|n| photo(n, 320, 240)).collect();
    let hashes: Vec<String> = photos.iter().map(|p| attach(&he, case, p)).collect();
    let metered = TransferPolicy { is_metered: true, ..ALL };
    let report = he.library.transfer_attachments(metered, None, None).unwrap();
    assert_eq!((report.bytes_sent, report.waiting), (0, 3), "the text went, the photos wait");
    assert_eq!(world.case(case).attachments.len(), 3);
    let small = TransferPolicy { is_metered: true, metered_ok: true, bytes_max: 1, ..ALL };
    let report = he.library.transfer_attachments(small, None, None).unwrap();
    assert_eq!((report.uploaded, report.waiting), (1, 2));
    assert_eq!(send(&he).waiting, 0);
    let colleague = world.phone("colleague");
    colleague.sync();
    for policy in [metered, TransferPolicy { thumbnails_only: true, ..ALL }] {
        let nothing = colleague.library.fetch_attachment(case.to_string(), hashes[0].clone(), policy, None, None);
        assert_eq!(nothing.unwrap(), None);
    }
}

#[test]
fn a_download_of_an_attachment_goes_on_where_it_was_cut_and_altered_bytes_never_become_it() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let big = photo(8, 1_000, 800);
    let case = he.report("墙体开裂。");
    let hash = attach(&he, case, &big);
    send(&he);
    colleague.sync();
    let policy = sync_core::phone::TransferPolicy::default();
    let range = |request: sync_core::phone::TransferRequest| request.headers[0].1.clone();
    let mut session = colleague.core().fetch_begin(case, &hash, policy).unwrap();
    assert_eq!(range(session.next_request().unwrap().unwrap()), "bytes=0-262143");
    // A hundred thousand bytes came before the connection broke.
    let cut = TransferReply { status: 206, body: big[..100_000].to_vec(), ..TransferReply::default() };
    session.apply_response(&cut).unwrap();
    drop(session);
    let at = colleague.library.attachment_statuses(case.to_string()).unwrap().remove(0);
    assert_eq!((at.is_here, at.arrived), (false, 65_536));
    let mut session = colleague.core().fetch_begin(case, &hash, policy).unwrap();
    assert_eq!(range(session.next_request().unwrap().unwrap()), "bytes=65536-327679");
    // Somebody on the way alters what comes: it is noticed when all is there, and fetched again.
    let mut altered = big[65_536..].to_vec();
    altered[9] ^= 1;
    session.apply_response(&TransferReply { status: 206, body: altered, ..TransferReply::default() }).unwrap();
    drop(session);
    assert_eq!(colleague.library.attachment_bytes(hash.clone()).unwrap(), None);
    assert_eq!(fetch(&colleague, case, &hash).unwrap(), Some(big));
}

#[test]
fn a_full_phone_frees_attachments_that_the_server_has_and_never_others() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("高空抛物。");
    let photos: Vec<Vec<u8>> = (10..14).map(|n| photo(n, 320, 240)).collect();
    let room = photos[0].len() as u64 * 5 / 2;
    he.library.set_attachment_quota(room).unwrap();
    let hashes: Vec<String> = photos[..2].iter().map(|p| attach(&he, case, p)).collect();
    let full = he.library.attach_photo(case.to_string(), "三.jpg".into(), photos[2].clone());
    let full = full.unwrap_err();
    assert!(matches!(&full, PhoneLibError::NoRoom { bound, .. } if bound == "quota"), "two are only here: {full:?}");
    assert_eq!(he.case(case).attachments.len(), 2, "nothing of it was entered");
    assert_eq!(he.library.free_attachments().unwrap(), 0);
    send(&he);
    world.pass(MINUTE);
    assert!(he.library.attachment_bytes(hashes[0].clone()).unwrap().is_some(), "the first was looked at last");
    attach(&he, case, &photos[2]);
    let here = |hash: &String| he.library.attachment_bytes(hash.clone()).unwrap().is_some();
    assert_eq!((here(&hashes[0]), here(&hashes[1])), (true, false));
    send(&he);
    assert!(he.library.free_attachments().unwrap() > 0);
    assert_eq!(fetch(&he, case, &hashes[1]).unwrap().as_ref(), Some(&photos[1]), "and it comes back on demand");
}

#[test]
fn what_the_server_does_not_want_is_told_and_can_be_tried_again() {
    let world = World::with(Config { attachment_document_bytes_max: 10_000, ..Config::default() });
    let he = world.phone("he");
    let case = he.report("占道经营。");
    attach(&he, case, &photo(15, 320, 240));
    let report = send(&he);
    assert_eq!((report.uploaded, report.refused, report.waiting), (0, 1, 0));
    let refused = statuses(&he, case).remove(0);
    assert!(
        matches!(&refused, AttachmentStatusView::Refused { code, .. } if code == "attachment_quota_document"),
        "{refused:?}"
    );
    let hash = he.library.attachment_statuses(case.to_string()).unwrap().remove(0).hash;
    assert!(he.library.attachment_bytes(hash.clone()).unwrap().is_some(), "it stays on the phone");
    he.library.retry_attachment(case.to_string(), hash).unwrap();
    assert_eq!(statuses(&he, case), [AttachmentStatusView::OnlyHere]);
}

#[test]
fn a_restored_server_that_lost_attachments_is_supplied_by_the_phone_that_still_holds_them() {
    let mut world = World::new();
    let he = world.phone("he");
    let case = he.report("备份之后。");
    let file = world.dir.path().join("hall.backup");
    server::backup::backup(&world.app().db, &file).unwrap();
    let bytes = photo(16, 320, 240);
    let hash = attach(&he, case, &bytes);
    send(&he);
    world.stop();
    std::fs::remove_dir_all(world.dir.path().join("objects")).unwrap();
    world.database = TestDatabase::new(world.dir.path());
    let db = server::db::Database::open(&world.database.url).unwrap();
    db.migrate().unwrap();
    let law = server::projection::Law::shipped();
    server::backup::restore(&db, &law, &file, world.clock.now_ms(), &server::clock::SystemEntropy).unwrap();
    drop(db);
    world.start();
    he.sign_in_again(&world, "he");
    he.sync();
    let report = send(&he);
    assert_eq!((report.uploaded, report.bytes_sent), (1, bytes.len() as u64));
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == bytes);
    assert_eq!(send(&he).uploaded, 0, "once it is proved, it is not asked again");
}

#[test]
fn what_cannot_be_attached_is_told_and_changes_nothing() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("噪音。");
    for bytes in [&b""[..], b"<html>", b"\xff\xd8\xff\xe0\0\x10cut", &vec![0; 21 << 20]] {
        let wrong = he.library.attach_photo(case.to_string(), "x".into(), bytes.to_vec());
        assert!(matches!(wrong, Err(PhoneLibError::InvalidInput { .. })), "{wrong:?}");
    }
    let nul = he.library.attach_photo(case.to_string(), "x\0".into(), photo(17, 16, 16));
    assert!(matches!(nul, Err(PhoneLibError::InvalidInput { .. })), "{nul:?}");
    let nowhere = he.library.attach_photo(uuid::Uuid::nil().to_string(), "x".into(), photo(17, 16, 16));
    assert!(matches!(nowhere, Err(PhoneLibError::NotFound { .. })), "{nowhere:?}");
    assert!(he.case(case).attachments.is_empty());
    assert_eq!(send(&he).waiting, 0);
    let none = content_hash(b"none");
    assert!(matches!(fetch(&he, case, &none), Err(PhoneLibError::NotFound { .. })));
    for hash in ["../../etc/passwd", "", "零\0"] {
        assert_eq!(he.library.attachment_bytes(hash.into()).unwrap(), None);
        let small = he.library.fetch_thumbnail(case.to_string(), hash.into(), 160, None);
        assert!(matches!(small, Err(PhoneLibError::NotFound { .. })));
    }
}
