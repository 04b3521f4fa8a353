//! Room on the phone as its host tells it: what the server has gives way, and a file that does not fit is refused with what to do.

use fengqiao_mobile::{PhoneLibError, TransferPolicy};
use sync_core::attachments::content_hash;
use sync_core::edit::Edit;
use sync_core::ids::DocumentId;
use tests::photos::photo;
use tests::{TestPhone, World};

/// What is kept for text.
const FOR_TEXT: u64 = 20 << 20;

fn attach(phone: &TestPhone, id: DocumentId, bytes: &[u8]) -> Result<String, PhoneLibError> {
    phone.library.attach_photo(id.to_string(), "现场.jpg".into(), bytes.to_vec()).map(|a| a.hash)
}

fn send(phone: &TestPhone) {
    phone.library.transfer_attachments(TransferPolicy::default(), None, None).unwrap();
}

fn here(phone: &TestPhone, hash: &str) -> bool {
    phone.library.attachment_bytes(hash.to_owned()).unwrap().is_some()
}

fn fetch(phone: &TestPhone, id: DocumentId, hash: &str) -> Result<Option<Vec<u8>>, PhoneLibError> {
    phone.library.fetch_attachment(id.to_string(), hash.to_owned(), TransferPolicy::default(), None, None)
}

fn used(phone: &TestPhone) -> u64 {
    let room = phone.library.storage().unwrap();
    room.records + room.empty + room.attachments + room.thumbnails
}

#[test]
fn an_attachment_beyond_the_room_of_the_host_is_refused_with_what_to_do_and_fits_once_the_others_are_sent() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("高空抛物。");
    let photos: Vec<Vec<u8>> = (60..63).map(|n| photo(n, 900, 700)).collect();
    let each = photos[0].len() as u64;
    let limit = used(&he) + FOR_TEXT + each * 5 / 2;
    he.library.set_storage_room(Some(limit), None).unwrap();
    let first = attach(&he, case, &photos[0]).unwrap();
    let second = attach(&he, case, &photos[1]).unwrap();
    let full = attach(&he, case, &photos[2]).unwrap_err();
    let PhoneLibError::NoRoom { needed, fits, bound, remedy } = &full else { panic!("{full:?}") };
    assert!(*needed == photos[2].len() as u64 && *fits < *needed && bound == "limit", "{full:?}");
    assert!(remedy.contains("send the attachments that wait"), "{remedy}");
    assert_eq!(he.case(case).attachments.len(), 2, "nothing of it was entered");
    assert!(here(&he, &first) && here(&he, &second), "what is only here gives way to nothing");
    // Words are always taken.
    he.edit(case, &[tests::phones::set("people_involved", 3)]);
    send(&he);
    attach(&he, case, &photos[2]).unwrap();
    let left = [&first, &second].into_iter().filter(|h| here(&he, h)).count();
    assert_eq!(left, 1, "one gave way, and only one");
}

#[test]
fn room_on_the_disk_is_counted_down_between_two_words_of_the_host() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("高空抛物。");
    let photos: Vec<Vec<u8>> = (63..66).map(|n| photo(n, 900, 700)).collect();
    let each = photos[0].len() as u64;
    he.library.set_storage_room(None, Some(FOR_TEXT + each * 5 / 2)).unwrap();
    attach(&he, case, &photos[0]).unwrap();
    attach(&he, case, &photos[1]).unwrap();
    let full = attach(&he, case, &photos[2]).unwrap_err();
    assert!(matches!(&full, PhoneLibError::NoRoom { bound, .. } if bound == "disk"), "{full:?}");
    he.library.set_storage_room(None, Some(FOR_TEXT + each * 5 / 2)).unwrap();
    attach(&he, case, &photos[2]).unwrap();
}

#[test]
fn a_download_lets_what_the_server_has_give_way_and_frees_nothing_in_vain() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let photos: Vec<Vec<u8>> = (66..68).map(|n| photo(n, 900, 700)).collect();
    let case = he.report("墙体开裂。");
    let hashes: Vec<String> = photos.iter().map(|p| attach(&he, case, p).unwrap()).collect();
    send(&he);
    // Somebody names a file that is larger than any phone.
    let huge = content_hash(b"huge");
    let entry = Edit::Attach {
        hash: huge.clone(),
        name: "视频.jpg".into(),
        media_type: "image/jpeg".into(),
        bytes: 1 << 40,
        taken_ms: None,
        location: None,
    };
    let named = he.core().edit(case, &[entry]).is_ok();
    he.sync();
    colleague.sync();
    let each = photos[0].len() as u64;
    colleague.library.set_storage_room(Some(used(&colleague) + FOR_TEXT + each * 3 / 2), None).unwrap();
    assert!(fetch(&colleague, case, &hashes[0]).unwrap().is_some());
    if named {
        let refused = fetch(&colleague, case, &huge).unwrap_err();
        assert!(matches!(refused, PhoneLibError::NoRoom { .. }), "{refused:?}");
    }
    assert!(here(&colleague, &hashes[0]), "nothing is freed for what does not fit anyway");
    assert!(fetch(&colleague, case, &hashes[1]).unwrap().is_some());
    assert_eq!((here(&colleague, &hashes[0]), here(&colleague, &hashes[1])), (false, true));
}

#[test]
fn a_host_that_takes_room_away_gets_it_from_what_the_server_has() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("墙体开裂。");
    let sent = attach(&he, case, &photo(68, 900, 700)).unwrap();
    send(&he);
    let unsent = attach(&he, case, &photo(69, 900, 700)).unwrap();
    he.library.set_storage_room(Some(1), None).unwrap();
    assert_eq!((here(&he, &sent), here(&he, &unsent)), (false, true));
}
