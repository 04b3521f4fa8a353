//! Erasure and the contents of attachments: what only the erased record named is gone from the store, from what was made of it, from
//! what was on its way, and from phones; what another record names stays.

use serde_json::{Value, json};
use server::erasure::Proof;
use sync_core::attachments::content_hash;
use sync_core::ids::DocumentId;
use sync_core::phone::TransferReply;
use tests::photos::photo;
use tests::tus::Tus;
use tests::{TestPhone, World};

use super::{STORY, case_of_two, erase};
use crate::attachments::{ALL, attach, case_with, send, stored};

fn fetch(phone: &TestPhone, id: DocumentId, hash: &str) -> Option<Vec<u8>> {
    phone.library.fetch_attachment(id.to_string(), hash.to_owned(), ALL, None, None).unwrap()
}

fn small(world: &World, case: DocumentId, hash: &str) -> u16 {
    let path = format!("/v1/attachments/{hash}/thumbnail?document={case}");
    Tus::new(world, "he").call("GET", &path, &[], &[]).status
}

fn proof(world: &World, case: DocumentId) -> Proof {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(server::erasure::prove(&world.app(), case, vec![])).unwrap()
}

/// Everything that lies in the folder of contents beside a phone's store.
fn vault(phone: &TestPhone) -> Vec<String> {
    let mut name = phone.path.as_os_str().to_owned();
    name.push(".attachments");
    let entries = std::fs::read_dir(name).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn rows(phone: &TestPhone, table: &str) -> i64 {
    phone.inside().query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
}

/// A phone obeys in one sync: it is told, forgets, and says so.
fn obey(phone: &TestPhone, erased: DocumentId) {
    phone.sync();
    assert!(phone.core().document(erased).is_err());
}

#[test]
fn erasure_of_an_attachment_takes_its_contents_from_store_and_phones_and_leaves_the_others() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let (case, _) = case_of_two(&he);
    let (face, wall) = (photo(50, 320, 240), photo(51, 320, 240));
    let (gone, kept) = (attach(&he, case, &face), attach(&he, case, &wall));
    send(&he);
    colleague.sync();
    for hash in [&gone, &kept] {
        assert!(fetch(&colleague, case, hash).is_some());
        assert_eq!(small(&world, case, hash), 200);
    }
    let (id, successor) = erase(&world, "attachment", case, &gone);
    let successor: DocumentId = successor.as_str().unwrap().parse().unwrap();
    // At once: no grace, no collection.
    let left = stored(&world, "objects");
    assert!(left.len() == 1 && left[0].1 == wall);
    for folder in ["thumbnails", "proofs"] {
        let names: Vec<String> = stored(&world, folder).into_iter().map(|(name, _)| name).collect();
        assert!(!names.is_empty() && names.iter().all(|n| !n.contains(&gone) && !n.contains(&case.to_string())));
    }
    assert_eq!(proof(&world, case).found, vec![]);
    for phone in [&he, &colleague] {
        obey(phone, case);
        assert!(!vault(phone).contains(&gone), "{:?}", vault(phone));
        assert_eq!(phone.library.attachment_bytes(gone.clone()).unwrap(), None);
        assert_eq!(fetch(phone, successor, &kept).as_ref(), Some(&wall), "what is left is read as before");
    }
    assert!(proof(&world, case).is_complete());
    // The proof tells over HTTP what was looked for and where; words travel in the body.
    let path = format!("/v1/erasures/{id}/proof");
    let (status, told) = world.post(&path, Some(&world.token("street")), &json!({ "words": [STORY, "没有这个词"] }));
    assert_eq!(status, 200, "{told}");
    let looked = told["looked"].as_array().unwrap();
    let at = |place: &str| {
        looked
            .iter()
            .find(|l| l["place"].as_str().unwrap().ends_with(place))
            .unwrap_or_else(|| panic!("{place}: {told}"))
    };
    assert_eq!(at("quarantine.preview")["what"], json!(["word 1", "word 2"]));
    assert_eq!(at("cases.title")["what"], json!(["id", "word 1", "word 2"]));
    assert_eq!((&at("/objects")["what"], &at("/objects")["rows"]), (&json!(["content"]), &json!(0)));
    assert!(looked.len() > 50 && !told.to_string().contains(STORY));
    // The story stands in the successor still: it was the photo that was erased.
    assert!(told["found"].as_array().unwrap().iter().all(|f| f["what"] == "word 1"), "{}", told["found"]);
    let (_, plain) = world.get(&path, Some(&world.token("street")));
    assert_eq!((&plain["found"], plain["looked"].as_array().unwrap().len() > 50), (&json!([]), true));
    let refused = world.post(&path, Some(&world.token("street")), &json!({ "words": [""] }));
    assert_eq!((refused.0, &refused.1["field"]), (400, &json!("words")));
    world.check_rebuild();
}

#[test]
fn erasure_of_a_case_takes_its_photos_and_what_is_on_its_way_but_not_those_of_other_records() {
    let world = World::new();
    let (own, shared, half) = (photo(52, 64, 64), photo(53, 64, 64), photo(54, 320, 240));
    let (_, case) = case_with(&world, &[&own, &shared, &half]);
    let (_, other) = case_with(&world, &[&shared]);
    let tus = Tus::new(&world, "he");
    for (record, bytes) in [(case, &own), (case, &shared), (other, &shared)] {
        assert!(matches!(tus.upload(record, bytes).status, 201 | 204));
    }
    let location = tus.announce(case, &content_hash(&half), half.len()).header("location").to_owned();
    assert_eq!(tus.send(&location, 0, &half[..20_000]).status, 204);
    assert_eq!((stored(&world, "objects").len(), stored(&world, "uploads").len()), (2, 1));
    erase(&world, "case", case, "");
    let left = stored(&world, "objects");
    assert!(left.len() == 1 && left[0].1 == shared, "another record names it");
    assert!(stored(&world, "uploads").is_empty());
    assert!(stored(&world, "proofs").iter().all(|(name, _)| !name.contains(&case.to_string())));
    assert_eq!(tus.send(&location, 20_000, &half[20_000..]).status, 404);
    assert_eq!(tus.announce(case, &content_hash(&own), own.len()).told().1, "attachment_not_referred_to");
    assert!(tus.download(other, &content_hash(&shared), &[]).body == shared);
    assert_eq!(proof(&world, case).found, vec![]);
    world.check_rebuild();
}

#[test]
fn erasure_of_a_person_leaves_the_photos_of_the_case_to_be_read_in_what_is_left() {
    let world = World::new();
    let he = world.phone("he");
    let (case, person) = case_of_two(&he);
    let wall = photo(55, 64, 64);
    let hash = attach(&he, case, &wall);
    send(&he);
    let (_, successor) = erase(&world, "person", case, &person);
    let successor: DocumentId = successor.as_str().unwrap().parse().unwrap();
    obey(&he, case);
    assert_eq!(fetch(&he, successor, &hash), Some(wall));
    assert!(proof(&world, case).is_complete());
}

#[test]
fn erasure_finds_contents_that_lie_in_the_store_still() {
    let world = World::new();
    let face = photo(56, 64, 64);
    let (_, case) = case_with(&world, &[&face]);
    Tus::new(&world, "he").upload(case, &face);
    let (path, bytes) = stored(&world, "objects").remove(0);
    erase(&world, "case", case, "");
    assert_eq!(proof(&world, case).found, vec![]);
    // As if the store had not let it go.
    std::fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let found = proof(&world, case).found;
    assert!(found.len() == 1 && found[0].place.ends_with("/objects"), "{found:?}");
}

#[test]
fn erasure_takes_from_a_phone_what_it_had_not_sent_what_it_fetched_in_part_and_what_had_left_it() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("拍了照。");
    let (sent, unsent) = (photo(57, 1_000, 800), photo(58, 64, 64));
    let hash = attach(&he, case, &sent);
    send(&he);
    attach(&he, case, &unsent);
    he.sync();
    colleague.sync();
    // A part of it came before the connection broke.
    let policy = sync_core::phone::TransferPolicy::default();
    let mut session = colleague.core().fetch_begin(case, &hash, policy).unwrap();
    session.next_request().unwrap();
    let cut = TransferReply { status: 206, body: sent[..200_000].to_vec(), ..TransferReply::default() };
    session.apply_response(&cut).unwrap();
    drop(session);
    assert_eq!((vault(&he).len(), vault(&colleague)), (2, vec![format!("{hash}.part")]));
    erase(&world, "case", case, "");
    for phone in [&he, &colleague] {
        obey(phone, case);
        assert_eq!(vault(phone), Vec::<String>::new());
        assert_eq!((rows(phone, "files"), rows(phone, "uploads")), (0, 0));
        assert_eq!(phone.core().attachments_waiting().unwrap(), 0);
    }
    assert!(proof(&world, case).is_complete());
}

#[test]
fn a_purge_takes_the_photos_of_a_record_that_had_left_the_phone_and_unsent_ones_when_they_have_arrived() {
    let world = World::new();
    let he = world.phone("he");
    let (away, late) = (he.report("先到的。"), he.report("后到的。"));
    let (first, second) = (photo(59, 64, 64), photo(60, 64, 64));
    attach(&he, away, &first);
    send(&he);
    let hash = attach(&he, late, &second);
    he.sync();
    // One record left the phone, as closed ones do; its contents are here still.
    let inside = he.inside();
    inside.execute("DELETE FROM documents WHERE id = ?1", [away.to_string()]).unwrap();
    inside.execute("UPDATE list SET away_ms = 1 WHERE document = ?1", [away.to_string()]).unwrap();
    assert_eq!(vault(&he).len(), 2);
    crate::access::move_away(&world, "he");
    he.sync();
    assert!(he.core().document(late).is_err());
    assert_eq!(vault(&he), [hash], "what its author has not sent goes on its way");
    send(&he);
    assert_eq!((vault(&he), rows(&he, "uploads")), (vec![], 0), "and then it goes");
    assert!(Tus::new(&world, "community").download(late, &content_hash(&second), &[]).body == second);
}

#[test]
fn a_bucket_that_is_away_holds_up_no_erasure_and_lets_its_contents_go_later() {
    let s3 = crate::attachments::S3::start();
    let mut world = World::with(s3.config());
    let (face, wall) = (photo(61, 64, 64), photo(62, 64, 64));
    let (_, case) = case_with(&world, &[&face]);
    let (_, second) = case_with(&world, &[&wall]);
    let tus = Tus::new(&world, "he");
    assert_eq!((tus.upload(case, &face).status, tus.upload(second, &wall).status), (204, 204));
    erase(&world, "case", case, "");
    assert_eq!((s3.kept("objects"), s3.kept("proofs").len()), (vec![wall], 1), "at once in a bucket too");
    world.stop();
    world.settings.objects_secret_key = server::config::Secret::from("wrong");
    world.start();
    let (id, _) = erase(&world, "case", second, "");
    assert_eq!(s3.kept("objects").len(), 1);
    let path = format!("/v1/erasures/{id}/proof");
    assert_eq!(world.get(&path, Some(&world.token("street"))).0, 503, "nobody says that it is gone");
    world.stop();
    world.settings.objects_secret_key = s3.config().objects_secret_key;
    world.start();
    let (_, told): (u16, Value) = world.get(&path, Some(&world.token("street")));
    assert!(!told["found"].as_array().unwrap().is_empty(), "{told}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = runtime.block_on(server::objects::gc::collect(&world.app(), false)).unwrap();
    assert_eq!((done.erased, s3.kept("objects").len(), s3.kept("proofs").len()), (1, 0, 0));
    assert_eq!(proof(&world, second).found, vec![]);
}
