//! What goes wrong on the way, what is sent on purpose, and what there is no room for: each has its own answer, and nothing of it
//! becomes a content.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use server::config::Config;
use sha2::{Digest as _, Sha256};
use sync_core::attachments::{content_hash, prepare};
use tests::photos::{bomb, from_camera, photo};
use tests::tus::Tus;
use tests::{HOUR, World};

use super::{case_with, stored};

#[test]
fn a_corrupt_piece_is_refused_and_the_upload_stands_where_it_stood() {
    let world = World::new();
    let photo = photo(1, 320, 240);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let location = tus.announce(case, &content_hash(&photo), photo.len()).header("location").to_owned();
    let mut corrupt = photo[..9_000].to_vec();
    let checksum = format!("sha256 {}", STANDARD.encode(Sha256::digest(&corrupt)));
    corrupt[4_000] ^= 1;
    assert_eq!(tus.send_as(&location, 0, &corrupt, &checksum).told(), (460, "upload_checksum".into()));
    assert_eq!(tus.head(&location).offset(), 0);
    for (checksum, field) in [("md5 AAAA", 400), ("sha256", 400), ("sha256 ***", 400), ("sha1 AAAA", 460)] {
        assert_eq!(tus.send_as(&location, 0, &corrupt, checksum).status, field, "{checksum}");
    }
    // FIPS 180: the SHA-1 of "abc".
    let abc = "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
    assert_eq!(tus.send_as(&location, 0, b"abc", abc).status, 204);
    assert_eq!(tus.head(&location).offset(), 3);
}

#[test]
fn bytes_that_are_not_what_was_announced_never_become_an_attachment_and_can_be_sent_again() {
    let world = World::new();
    let good = photo(2, 320, 240);
    let (_, case) = case_with(&world, &[&good]);
    let tus = Tus::new(&world, "he");
    let hash = content_hash(&good);
    let mut wrong = good.clone();
    wrong[5_000] ^= 1;
    let location = tus.announce(case, &hash, wrong.len()).header("location").to_owned();
    assert_eq!(tus.send(&location, 0, &wrong).told(), (422, "attachment_hash_mismatch".into()));
    assert_eq!(tus.head(&location).status, 410, "it was discarded");
    assert!(stored(&world, "objects").is_empty() && stored(&world, "uploads").is_empty());
    assert_eq!(tus.upload(case, &good).status, 204);
}

#[test]
fn what_had_arrived_when_the_connection_broke_is_not_sent_again() {
    const MIB: usize = 1 << 20;
    let world = World::new();
    let paper: Vec<u8> = b"%PDF-1.7 ".iter().copied().chain((0..6 * MIB).map(|n| n.to_le_bytes()[n % 3])).collect();
    let (_, case) = case_with(&world, &[&paper]);
    let tus = Tus::new(&world, "he");
    let location = tus.announce(case, &content_hash(&paper), paper.len()).header("location").to_owned();
    let host = tus.url.trim_start_matches("http://").to_owned();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\n\r\n",
        tus.token,
        paper.len()
    );
    let mut socket = std::net::TcpStream::connect(&host).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&paper[..5 * MIB]).unwrap();
    // The connection stands, and its first pieces are safe already.
    while tus.head(&location).offset() < 3 * MIB as u64 {
        std::thread::yield_now();
    }
    drop(socket);
    let mut sent_again = 0;
    loop {
        let at = usize::try_from(tus.head(&location).offset()).unwrap();
        let answer = tus.send(&location, at as u64, &paper[at..]);
        if answer.status == 204 {
            sent_again += paper.len() - at;
            break;
        }
        // What was left of the broken request was still being written.
        assert_eq!(answer.told(), (409, "upload_offset".into()));
    }
    assert!(sent_again <= 3 * MIB + 16, "{sent_again} bytes were sent again");
    assert!(tus.download(case, &content_hash(&paper), &[]).body == paper);
}

#[test]
fn a_photo_that_still_tells_where_it_was_taken_is_refused() {
    let world = World::new();
    let located = from_camera(&photo(4, 320, 240));
    let stripped = prepare(&located).unwrap().bytes;
    let (_, case) = case_with(&world, &[&located, &stripped]);
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.upload(case, &located).told(), (422, "attachment_has_location".into()));
    assert_eq!(tus.upload(case, &stripped).status, 204);
    assert_eq!(stored(&world, "objects").len(), 1);
}

#[test]
fn what_is_no_photo_paper_or_recording_is_refused_whatever_it_is_called() {
    let world = World::new();
    let broken = photo(5, 320, 240)[..3_000].to_vec();
    let commented = [&photo(6, 8, 8)[..2], b"\xff\xfe\x00\x09by 17-5", &photo(6, 8, 8)[2..]].concat();
    let contents: Vec<(Vec<u8>, u16, &str)> = vec![
        (b"<html><script>alert(1)</script></html>".to_vec(), 415, "attachment_type_refused"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), 415, "attachment_type_refused"),
        (b"MZ\x90\0 an executable".to_vec(), 415, "attachment_type_refused"),
        (broken, 422, "attachment_broken"),
        (commented, 422, "attachment_has_notes"),
        (bomb(60_000, 60_000), 422, "attachment_broken"),
        (bomb(16_000, 16_000), 422, "attachment_broken"),
        (bomb(0, 5), 422, "attachment_broken"),
    ];
    let all: Vec<&[u8]> = contents.iter().map(|(bytes, ..)| bytes.as_slice()).collect();
    let (_, case) = case_with(&world, &all);
    let tus = Tus::new(&world, "he");
    for (bytes, status, code) in &contents {
        assert_eq!(tus.upload(case, bytes).told(), (*status, (*code).to_owned()), "{:?}", &bytes[..8]);
    }
    assert_eq!(tus.announce(case, &content_hash(all[0]), 0).told(), (400, "field_invalid".into()), "nothing at all");
    assert!(stored(&world, "objects").is_empty() && stored(&world, "uploads").is_empty());
}

#[test]
fn a_picture_that_blows_up_only_when_it_is_decoded_has_no_thumbnail_and_harms_nobody() {
    let world = World::new();
    // Within the bounds of its sides, and nothing but a few bytes behind them.
    let picture = bomb(9_000, 9_000);
    let (_, case) = case_with(&world, &[&picture]);
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.upload(case, &picture).status, 204);
    let path = format!("/v1/attachments/{}/thumbnail?document={case}", content_hash(&picture));
    assert_eq!(tus.call("GET", &path, &[], &[]).told(), (422, "attachment_broken".into()));
    assert_eq!(world.get("/healthz", None).0, 200);
}

#[test]
fn headers_that_make_no_sense_are_told_by_name() {
    let world = World::new();
    let photo = photo(7, 64, 64);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let (document, hash) = (STANDARD.encode(case.to_string()), STANDARD.encode(content_hash(&photo)));
    let good = format!("document {document},hash {hash}");
    for (length, metadata, field, status) in [
        ("-1", good.as_str(), "Upload-Length", 400),
        ("", &good, "Upload-Length", 400),
        ("99999999999999999999999999", &good, "Upload-Length", 400),
        ("0", &good, "Upload-Length", 400),
        ("20971521", &good, "Upload-Length", 413),
        ("100", "", "Upload-Metadata", 400),
        ("100", "document !!!,hash ???", "Upload-Metadata", 400),
        ("100", &format!("document {document}"), "Upload-Metadata", 400),
        ("100", &format!("document {hash},hash {hash}"), "Upload-Metadata", 400),
        ("100", &format!("document {document},hash {document}"), "Upload-Metadata", 400),
        ("100", &format!("{good},x {}", "A".repeat(5_000)), "Upload-Metadata", 400),
    ] {
        let headers = [("Tus-Resumable", "1.0.0"), ("Upload-Length", length), ("Upload-Metadata", metadata)];
        let answer = tus.call("POST", "/v1/uploads", &headers, &[]);
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, problem["field"].as_str()), (status, Some(field)), "{length} {metadata}: {problem}");
    }
    let location = tus.announce(case, &content_hash(&photo), photo.len()).header("location").to_owned();
    let too_much = [&photo[..], b"more"].concat();
    assert_eq!(tus.send(&location, 0, &too_much).status, 413);
    assert_eq!(tus.send_as(&location, 0, &too_much, "").status, 413);
    let plain = [("Tus-Resumable", "1.0.0"), ("Upload-Offset", "0"), ("Content-Type", "image/jpeg")];
    assert_eq!(tus.call("PATCH", &location, &plain, &photo).told(), (415, "unsupported_media_type".into()));
    for strange in ["/v1/uploads/nonsense", "/v1/uploads/%00", "/v1/uploads/..%2F..%2Fx"] {
        assert_eq!(tus.send(strange, 0, b"x").status, 404, "{strange}");
    }
}

#[test]
fn quotas_of_a_record_of_a_person_a_day_and_of_the_whole_server_hold() {
    let photos: Vec<Vec<u8>> = (10..14).map(|n| photo(n, 320, 240)).collect();
    let all: Vec<&[u8]> = photos.iter().map(Vec::as_slice).collect();
    let two_and_a_half = (photos[0].len() * 5 / 2) as u64;
    let tried = |world: &World| {
        let (_, case) = case_with(world, &all);
        let tus = Tus::new(world, "he");
        assert_eq!((tus.upload(case, all[0]).status, tus.upload(case, all[1]).status), (204, 204));
        let third = tus.announce(case, &content_hash(all[2]), all[2].len());
        // What is here already needs no room.
        assert_eq!(tus.announce(case, &content_hash(all[0]), all[0].len()).offset(), all[0].len() as u64);
        (third.told(), third.header("retry-after").to_owned(), case)
    };
    let world = World::with(Config { attachment_document_bytes_max: two_and_a_half, ..Config::default() });
    assert_eq!(tried(&world).0, (413, "attachment_quota_document".into()));
    let world = World::with(Config { attachment_user_day_bytes_max: two_and_a_half, ..Config::default() });
    let (told, retry_after, case) = tried(&world);
    assert_eq!((told, retry_after.as_str()), ((429, "attachment_quota_day".into()), "3600"));
    world.pass(25 * HOUR);
    assert_eq!(Tus::new(&world, "he").upload(case, all[2]).status, 204, "the next day it goes on");
    let world = World::with(Config { attachment_total_bytes_max: two_and_a_half, ..Config::default() });
    assert_eq!(tried(&world).0, (507, "storage_full".into()));
    let world = World::with(Config { attachment_bytes_max: 1_000, ..Config::default() });
    let (_, case) = case_with(&world, &all);
    assert_eq!(Tus::new(&world, "he").upload(case, all[0]).told(), (413, "too_large".into()));
}

#[test]
fn a_store_that_cannot_be_written_is_told_as_such_and_the_upload_goes_on_when_it_can() {
    let world = World::new();
    let photo = photo(15, 64, 64);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    let location = tus.announce(case, &content_hash(&photo), photo.len()).header("location").to_owned();
    // A file stands where a folder is needed: nothing can be written below it.
    let at = world.dir.path().join("objects").join("uploads");
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(&at, b"in the way").unwrap();
    assert_eq!(tus.send(&location, 0, &photo).told(), (503, "objects_unavailable".into()));
    std::fs::remove_file(&at).unwrap();
    assert_eq!(tus.head(&location).offset(), 0);
    assert_eq!(tus.send(&location, 0, &photo).status, 204);
}
