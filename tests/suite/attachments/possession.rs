//! Who may read a content: whoever may read a record for which its bytes were handed in. To know its name, and to write it into a record
//! of one's own, opens nothing and tells nothing.

use serde_json::json;
use sync_core::attachments::content_hash;
use sync_core::edit::Draft;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::shape::DocumentKind;
use tests::phones::set;
use tests::photos::photo;
use tests::tus::Tus;
use tests::{TestPhone, World};

use super::{case_with, entry, stored};

/// A case of another community that names these contents.
fn elsewhere(world: &World, contents: &[&[u8]]) -> (TestPhone, DocumentId) {
    let stranger = world.phone("baihua");
    let mut edits = vec![set("place.grid", "GM-BAIHUA-01")];
    edits.extend(contents.iter().map(|c| entry(c)));
    let community = AreaCode::new("GM-BAIHUA").unwrap();
    let case = stranger.core().create(&Draft { kind: DocumentKind::Case, community, edits }).unwrap();
    stranger.sync();
    (stranger, case)
}

fn small(tus: &Tus, case: DocumentId, hash: &str) -> (u16, String) {
    tus.call("GET", &format!("/v1/attachments/{hash}/thumbnail?document={case}"), &[], &[]).told()
}

fn asked(world: &World, login: &str, case: DocumentId, hash: &str) -> String {
    let body = json!({ "attachments": [{ "document": case, "hash": hash }] });
    let (status, answer) = world.post("/v1/attachments/missing", Some(&world.token(login)), &body);
    assert_eq!(status, 200, "{answer}");
    answer["found"][0].as_str().unwrap().to_owned()
}

#[test]
fn who_only_knows_the_name_of_an_attachment_reads_nothing_through_a_record_of_his_own() {
    let world = World::new();
    let secret = photo(40, 320, 240);
    let (_, case) = case_with(&world, &[&secret]);
    let hash = content_hash(&secret);
    assert_eq!(Tus::new(&world, "he").upload(case, &secret).status, 204);
    let (_, his) = elsewhere(&world, &[&secret]);
    let attacker = Tus::new(&world, "baihua");
    assert_eq!(attacker.download(case, &hash, &[]).told(), (404, "not_found".into()));
    let nothing = (404, "attachment_missing".to_owned());
    assert_eq!(attacker.download(his, &hash, &[]).told(), nothing);
    assert_eq!(attacker.download(his, &hash, &[("Range", "bytes=0-9")]).told(), nothing);
    assert_eq!(attacker.download(his, &hash, &[("If-None-Match", "*")]).told(), nothing);
    assert_eq!(small(&attacker, his, &hash), nothing);
    // Nor is he told that somebody has sent it.
    assert_eq!(asked(&world, "baihua", his, &hash), "missing");
    let begun = attacker.announce(his, &hash, secret.len());
    assert_eq!((begun.status, begun.offset()), (201, 0));
    assert_eq!(attacker.head(begun.header("location")).offset(), 0);
    assert_eq!(attacker.download(his, &hash, &[]).told(), nothing, "to announce it is not to have it");
    let mut guess = secret.clone();
    guess[9_000] ^= 1;
    let sent = attacker.send(begun.header("location"), 0, &guess);
    assert_eq!(sent.told(), (422, "attachment_hash_mismatch".into()));
    assert_eq!(attacker.download(his, &hash, &[]).told(), nothing);
    assert_eq!(small(&attacker, his, &hash), nothing);
    // Those who may read the other record read it as before; and the supervisor of both is no way around.
    assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == secret);
    assert_eq!(Tus::new(&world, "district").download(his, &hash, &[]).told(), nothing);
}

#[test]
fn who_hands_in_all_bytes_of_an_attachment_reads_it_and_it_is_stored_once() {
    let world = World::new();
    let shared = photo(41, 320, 240);
    let (_, case) = case_with(&world, &[&shared]);
    let hash = content_hash(&shared);
    assert_eq!(Tus::new(&world, "he").upload(case, &shared).status, 204);
    let (_, his) = elsewhere(&world, &[&shared]);
    let second = Tus::new(&world, "baihua");
    assert_eq!(second.upload(his, &shared).status, 204, "every byte is sent");
    assert!(second.download(his, &hash, &[]).body == shared);
    assert_eq!(small(&second, his, &hash).0, 200);
    assert_eq!(asked(&world, "baihua", his, &hash), "here");
    assert_eq!(second.download(case, &hash, &[]).status, 404, "his record opens, not the other one");
    assert_eq!(stored(&world, "objects").len(), 1);
    assert_eq!(second.announce(his, &hash, shared.len()).offset(), shared.len() as u64, "and is not sent again");
    world.check_rebuild();
}

#[test]
fn who_may_read_an_attachment_through_one_record_need_not_send_it_for_another() {
    let world = World::new();
    let shared = photo(42, 320, 240);
    let (he, case) = case_with(&world, &[&shared]);
    let hash = content_hash(&shared);
    assert_eq!(Tus::new(&world, "he").upload(case, &shared).status, 204);
    let next = he.report_with(vec![entry(&shared)]);
    he.sync();
    let colleague = Tus::new(&world, "colleague");
    assert_eq!(colleague.download(next, &hash, &[]).told(), (404, "attachment_missing".into()));
    let he = Tus::new(&world, "he");
    assert_eq!(he.announce(next, &hash, shared.len()).offset(), shared.len() as u64);
    assert!(colleague.download(next, &hash, &[]).body == shared);
}

#[test]
fn an_attachment_is_read_after_a_restore_through_the_records_it_was_handed_in_for_and_no_others() {
    let mut world = World::new();
    let (early, late) = (photo(43, 64, 64), photo(44, 64, 64));
    let (he, case) = case_with(&world, &[&early]);
    Tus::new(&world, "he").upload(case, &early);
    let backup = world.back_up("hall.backup");
    he.edit(case, &[entry(&late)]);
    he.sync();
    Tus::new(&world, "he").upload(case, &late);
    let (attacker, his) = elsewhere(&world, &[&early, &late]);
    world.lose_and_restore(&backup);
    for (phone, login) in [(&he, "he"), (&attacker, "baihua")] {
        phone.sign_in_again(&world, login);
        phone.sync();
    }
    for photo in [&early, &late] {
        let hash = content_hash(photo);
        let refused = Tus::new(&world, "baihua").download(his, &hash, &[]).told();
        assert_eq!(refused, (404, "attachment_missing".into()));
        assert!(Tus::new(&world, "he").download(case, &hash, &[]).body == *photo, "nothing need be sent again");
    }
}
