//! Uploading: in pieces, from where it broke off, by several, once.

use sync_core::attachments::content_hash;
use tests::photos::photo;
use tests::tus::Tus;
use tests::{HOUR, World};

use super::{case_with, entry, stored};

#[test]
fn a_photo_travels_in_pieces_and_is_there_byte_for_byte() {
    let world = World::new();
    let photo = photo(1, 640, 480);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let last = tus.upload(case, &photo);
    assert_eq!((last.status, last.offset()), (204, photo.len() as u64), "{last:?}");
    let hash = content_hash(&photo);
    let back = tus.download(case, &hash, &[]);
    assert_eq!((back.status, back.body == photo), (200, true));
    let kept = stored(&world, "objects");
    assert!(kept.len() == 1 && kept[0].0.contains(&hash) && kept[0].1 == photo);
    assert!(stored(&world, "uploads").is_empty(), "the pieces are gone");
    world.check_rebuild();
}

#[test]
fn what_is_here_already_is_complete_when_it_is_announced() {
    let world = World::new();
    let photo = photo(2, 320, 240);
    let (_, first) = case_with(&world, &[&photo]);
    let (_, second) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    tus.upload(first, &photo);
    let hash = content_hash(&photo);
    for case in [first, second] {
        for _ in 0..100 {
            let begun = tus.announce(case, &hash, photo.len());
            assert_eq!((begun.status, begun.offset()), (201, photo.len() as u64), "nothing is sent twice");
            let at = tus.head(begun.header("location"));
            assert_eq!(
                (at.status, at.offset(), at.header("upload-length")),
                (200, photo.len() as u64, &*photo.len().to_string())
            );
        }
    }
    assert_eq!(stored(&world, "objects").len(), 1);
}

#[test]
fn an_upload_goes_on_in_another_process_after_a_restart() {
    let mut world = World::new();
    let photo = photo(3, 640, 480);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let hash = content_hash(&photo);
    let location = tus.announce(case, &hash, photo.len()).header("location").to_owned();
    assert_eq!(tus.send(&location, 0, &photo[..70_000]).offset(), 70_000);
    world.stop();
    world.start();
    let tus = Tus::new(&world, "he");
    // Whoever has forgotten where it was finds it again by announcing it.
    let again = tus.announce(case, &hash, photo.len());
    assert_eq!((again.header("location"), again.offset()), (location.as_str(), 70_000));
    // A second server on the same database and store takes the rest.
    let config = server::config::Config {
        listen: "127.0.0.1:0".into(),
        database: world.database.url.clone(),
        shutdown_seconds: 1,
        ..world.settings.clone()
    };
    let other = server::run::serve(config, world.clock.clone()).unwrap();
    let beside = Tus { url: other.url(), token: tus.token.clone() };
    assert_eq!(beside.head(&location).offset(), 70_000);
    assert_eq!(beside.send(&location, 70_000, &photo[70_000..]).status, 204);
    assert!(tus.download(case, &hash, &[]).body == photo);
    other.stop().unwrap();
}

#[test]
fn two_phones_that_upload_the_same_photo_at_once_store_it_once() {
    let world = World::new();
    let photo = photo(4, 640, 480);
    let (_, case) = case_with(&world, &[&photo]);
    let hash = content_hash(&photo);
    let sessions = [Tus::new(&world, "he"), Tus::new(&world, "station-head"), Tus::new(&world, "mediation-director")];
    let locations: Vec<String> =
        sessions.iter().map(|t| t.announce(case, &hash, photo.len()).header("location").to_owned()).collect();
    assert!(locations[0] != locations[1] && locations[1] != locations[2], "each has its own upload");
    for (tus, location) in sessions.iter().zip(&locations) {
        assert_eq!(tus.send(location, 0, &photo[..50_000]).status, 204);
    }
    std::thread::scope(|scope| {
        for (tus, location) in sessions.iter().zip(&locations) {
            let photo = &photo;
            scope.spawn(move || {
                let sent = tus.send(location, 50_000, &photo[50_000..]);
                assert!(sent.status == 204 || sent.told() == (503, "try_again".into()), "{sent:?}");
            });
        }
    });
    for (tus, location) in sessions.iter().zip(&locations) {
        let at = tus.head(location);
        assert_eq!((at.status, at.offset()), (200, photo.len() as u64));
    }
    assert!(sessions[1].download(case, &hash, &[]).body == photo);
    let app = world.app();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert!(runtime.block_on(server::objects::verify::verify(&app, true, false)).unwrap().is_clean());
    // What the slower ones had stored is a stray at most; nothing of it is left when it has been collected.
    world.pass(10 * 366 * 24 * HOUR);
    collect(&world);
    assert_eq!(stored(&world, "objects").len(), 1);
}

#[test]
fn who_uploads_the_same_at_two_places_at_once_is_told_where_it_stands() {
    let world = World::new();
    let photo = photo(5, 320, 240);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let location = tus.announce(case, &content_hash(&photo), photo.len()).header("location").to_owned();
    assert_eq!(tus.send(&location, 0, &photo[..1_000]).status, 204);
    for offset in [0, 999, 1_001, 10_000_000] {
        assert_eq!(tus.send(&location, offset, &photo[..10]).told(), (409, "upload_offset".into()), "{offset}");
    }
    assert_eq!(tus.head(&location).offset(), 1_000);
    assert_eq!(tus.send(&location, 1_000, &photo[1_000..]).status, 204);
}

#[test]
fn an_attachment_is_taken_only_for_a_record_that_names_it_and_that_the_sender_may_see_or_wrote() {
    let world = World::new();
    let (named, other) = (photo(6, 64, 64), photo(7, 64, 64));
    let (_, case) = case_with(&world, &[&named]);
    let refused = (403, "attachment_not_referred_to".to_owned());
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.announce(case, &content_hash(&other), other.len()).told(), refused, "no record names it");
    assert_eq!(tus.announce(uuid(), &content_hash(&named), named.len()).told(), refused, "no such record");
    for stranger in ["baihua", "admin"] {
        let tus = Tus::new(&world, stranger);
        assert_eq!(tus.announce(case, &content_hash(&named), named.len()).told(), refused, "{stranger}");
    }
    // Another's upload is not there for anybody else.
    let location = tus.announce(case, &content_hash(&named), named.len()).header("location").to_owned();
    for stranger in ["baihua", "colleague", "community"] {
        let tus = Tus::new(&world, stranger);
        assert_eq!(tus.send(&location, 0, &named).told(), (404, "not_found".into()), "{stranger}");
        assert_eq!(tus.head(&location).status, 404);
        assert_eq!(tus.call("DELETE", &location, &[("Tus-Resumable", "1.0.0")], &[]).status, 404);
    }
    assert!(stored(&world, "objects").is_empty());
}

#[test]
fn an_attachment_of_a_change_in_quarantine_can_be_handed_in_by_its_author() {
    let world = World::new();
    let photo = photo(8, 64, 64);
    let (he, case) = case_with(&world, &[]);
    // Written while it was his; by the time it arrives he may write here no more.
    he.edit(case, &[entry(&photo)]);
    let id = he.core().identity().unwrap().unwrap().user;
    let app = world.app();
    app.db
        .transaction(|conn| -> Result<(), server::db::DbError> {
            use diesel::prelude::*;
            use server::db::tables::assignments::dsl as a;
            let ended = a::assignments.filter(a::user_id.eq(id.to_string()));
            diesel::update(ended).set((a::from_ms.eq(0), a::until_ms.eq(1))).execute(conn)?;
            Ok(())
        })
        .unwrap();
    he.sync();
    assert!(world.case(case).attachments.is_empty(), "the change is in quarantine");
    let tus = Tus::new(&world, "he");
    let sent = tus.upload(case, &photo);
    assert_eq!(sent.status, 204, "{sent:?}");
    assert_eq!(tus.download(case, &content_hash(&photo), &[]).status, 404, "he may not read there");
    let report = collect(&world);
    assert_eq!((report.candidates, report.contents), (0, 0), "what is in quarantine is wanted");
}

#[test]
fn a_given_up_upload_leaves_nothing_and_can_begin_anew() {
    let world = World::new();
    let photo = photo(9, 320, 240);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let hash = content_hash(&photo);
    let location = tus.announce(case, &hash, photo.len()).header("location").to_owned();
    tus.send(&location, 0, &photo[..5_000]);
    assert_eq!(stored(&world, "uploads").len(), 1);
    assert_eq!(tus.call("DELETE", &location, &[("Tus-Resumable", "1.0.0")], &[]).status, 204);
    assert!(stored(&world, "uploads").is_empty());
    assert_eq!(tus.head(&location).status, 410);
    assert_eq!(tus.send(&location, 5_000, &photo[5_000..]).told(), (410, "upload_ended".into()));
    assert_eq!(tus.upload(case, &photo).status, 204);
}

#[test]
fn an_upload_that_does_not_go_on_expires_and_its_pieces_are_collected() {
    let world = World::new();
    let photo = photo(10, 320, 240);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let location = tus.announce(case, &content_hash(&photo), photo.len()).header("location").to_owned();
    tus.send(&location, 0, &photo[..5_000]);
    world.pass(71 * HOUR);
    assert_eq!(collect(&world).uploads, 0);
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.send(&location, 5_000, &photo[5_000..6_000]).status, 204, "each piece gives it time anew");
    world.pass(73 * HOUR);
    assert_eq!(Tus::new(&world, "he").head(&location).status, 410);
    assert_eq!(collect(&world).uploads, 1);
    assert!(stored(&world, "uploads").is_empty());
}

#[test]
fn the_server_says_what_of_tus_it_can_do_and_refuses_other_versions() {
    let world = World::new();
    let tus = Tus::new(&world, "he");
    let can = tus.call("OPTIONS", "/v1/uploads", &[], &[]);
    assert_eq!(can.status, 204);
    assert_eq!(can.header("tus-version"), "1.0.0");
    assert_eq!(can.header("tus-extension"), "creation,checksum,expiration,termination");
    assert_eq!(can.header("tus-checksum-algorithm"), "sha256,sha1");
    assert_eq!(can.header("tus-max-size"), (20 << 20).to_string());
    for headers in [&[][..], &[("Tus-Resumable", "0.2.2")]] {
        assert_eq!(tus.call("POST", "/v1/uploads", headers, &[]).told(), (412, "tus_version".into()));
        assert_eq!(tus.call("PATCH", "/v1/uploads/x", headers, &[]).told(), (412, "tus_version".into()));
    }
}

#[test]
fn a_network_that_knows_only_get_and_post_can_upload() {
    let world = World::new();
    let photo = photo(11, 64, 64);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let location = tus.announce(case, &content_hash(&photo), photo.len()).header("location").to_owned();
    let headers = [
        ("Tus-Resumable", "1.0.0"),
        ("X-HTTP-Method-Override", "PATCH"),
        ("Upload-Offset", "0"),
        ("Content-Type", "application/offset+octet-stream"),
    ];
    assert_eq!(tus.call("POST", &location, &headers, &photo).status, 204);
    assert_eq!(tus.download(case, &content_hash(&photo), &[]).status, 200);
}

fn uuid() -> sync_core::ids::DocumentId {
    sync_core::ids::DocumentId(uuid::Uuid::from_u128(7))
}

fn collect(world: &World) -> server::objects::gc::Collected {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(server::objects::gc::collect(&world.app(), false)).unwrap()
}
