//! Reading: whole, from where it broke off, as thumbnails; by those who may, and safely in a browser.

use image::{GenericImageView, ImageFormat};
use serde_json::json;
use sync_core::attachments::content_hash;
use tests::World;
use tests::photos::{encoded, from_camera, photo};
use tests::tus::Tus;

use super::case_with;

#[test]
fn a_download_goes_on_where_it_broke_off_and_a_known_one_is_not_sent_again() {
    let world = World::new();
    let photo = photo(1, 640, 480);
    let (_, case) = case_with(&world, &[&photo]);
    let tus = Tus::new(&world, "he");
    tus.upload(case, &photo);
    let hash = content_hash(&photo);
    let etag = format!("\"{hash}\"");
    let whole = tus.download(case, &hash, &[]);
    assert_eq!((whole.header("etag"), whole.header("accept-ranges")), (etag.as_str(), "bytes"));
    assert_eq!(whole.header("content-length"), photo.len().to_string());
    let n = photo.len();
    for (asked, from, to) in [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, n),
        ("bytes=-10", n - 10, n),
        ("bytes=5-999999999", 5, n),
        (&*format!("bytes={}-", n - 1), n - 1, n),
    ] {
        let part = tus.download(case, &hash, &[("Range", asked), ("If-Range", &etag)]);
        assert_eq!((part.status, part.body == photo[from..to]), (206, true), "{asked}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{n}", to - 1));
    }
    for asked in [format!("bytes={n}-"), "bytes=99999999999-".into()] {
        assert_eq!(tus.download(case, &hash, &[("Range", &asked)]).told(), (416, "range_beyond_end".into()), "{asked}");
    }
    // What the standard lets a server pass over is answered with all of it.
    for asked in ["bytes=9-3", "bytes=a-b", "lines=1-2", "bytes=0-1,5-6", "bytes=", "bytes=-0"] {
        let all = tus.download(case, &hash, &[("Range", asked)]);
        assert_eq!((all.status, all.body.len()), (200, n), "{asked}");
    }
    assert_eq!(tus.download(case, &hash, &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")]).status, 200);
    let known = tus.download(case, &hash, &[("If-None-Match", &etag)]);
    assert_eq!((known.status, known.body.len()), (304, 0));
}

#[test]
fn an_attachment_is_read_only_by_those_who_may_read_a_record_that_names_it() {
    let world = World::new();
    let (mine, other) = (photo(2, 64, 64), photo(3, 64, 64));
    let (_, case) = case_with(&world, &[&mine]);
    let (_, elsewhere) = case_with(&world, &[&other]);
    let he = Tus::new(&world, "he");
    he.upload(case, &mine);
    he.upload(elsewhere, &other);
    let hash = content_hash(&mine);
    for reader in ["he", "station-head", "community", "street"] {
        assert_eq!(Tus::new(&world, reader).download(case, &hash, &[]).status, 200, "{reader}");
    }
    for stranger in ["baihua", "admin"] {
        assert_eq!(
            Tus::new(&world, stranger).download(case, &hash, &[]).told(),
            (404, "not_found".into()),
            "{stranger}"
        );
    }
    assert_eq!(he.download(elsewhere, &hash, &[]).status, 404, "that record does not name it");
    for strange in ["nonsense", "..%2F..%2Fhall.db", &hash.to_uppercase()] {
        assert_eq!(he.download(case, strange, &[]).status, 404, "{strange}");
    }
}

#[test]
fn a_browser_is_told_what_a_file_is_and_lets_it_do_nothing() {
    let world = World::new();
    let paper = b"%PDF-1.4\n<script>alert(1)</script>".to_vec();
    let (_, case) = case_with(&world, &[&paper]);
    let tus = Tus::new(&world, "he");
    assert_eq!(tus.upload(case, &paper).status, 204);
    let answer = tus.download(case, &content_hash(&paper), &[]);
    // The record calls it a JPEG; what it is decides.
    assert_eq!(answer.header("content-type"), "application/pdf");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-disposition").starts_with("attachment; filename="));
    assert!(answer.header("content-security-policy").contains("sandbox"));
    let path = format!("/v1/attachments/{}/thumbnail?document={case}", content_hash(&paper));
    assert_eq!(tus.call("GET", &path, &[], &[]).status, 404);
}

#[test]
fn thumbnails_of_every_kind_of_picture_are_made_once_turned_as_the_camera_was_held() {
    let world = World::new();
    let turned = sync_core::attachments::prepare(&from_camera(&photo(4, 800, 400))).unwrap().bytes;
    let pictures = [turned, encoded(5, 300, 600, ImageFormat::Png), encoded(6, 50, 40, ImageFormat::WebP)];
    let all: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    let (_, case) = case_with(&world, &all);
    let tus = Tus::new(&world, "he");
    let sizes: Vec<(u32, u32)> = pictures
        .iter()
        .map(|picture| {
            let sent = tus.upload(case, picture);
            assert_eq!(sent.status, 204, "{sent:?}");
            let path = format!("/v1/attachments/{}/thumbnail?document={case}&size=160", content_hash(picture));
            let small = tus.call("GET", &path, &[], &[]);
            assert_eq!((small.status, small.header("content-type")), (200, "image/jpeg"));
            assert!(tus.call("GET", &path, &[], &[]).body == small.body);
            image::load_from_memory(&small.body).unwrap().dimensions()
        })
        .collect();
    assert_eq!(sizes[..2], [(80, 160), (80, 160)]);
    assert_eq!(super::stored(&world, "thumbnails").len(), 3);
    let hash = content_hash(&pictures[0]);
    for (query, status) in [("size=161", 400), ("size=99999999", 400), ("size=x", 400), ("size=640", 200)] {
        let path = format!("/v1/attachments/{hash}/thumbnail?document={case}&{query}");
        assert_eq!(tus.call("GET", &path, &[], &[]).status, status, "{query}");
    }
    let path = format!("/v1/attachments/{hash}/thumbnail?document={case}");
    assert_eq!(Tus::new(&world, "baihua").call("GET", &path, &[], &[]).status, 404);
}

#[test]
fn the_server_says_which_attachments_it_lacks_and_nothing_of_those_that_are_no_business_of_the_asker() {
    let world = World::new();
    let (here, missing, strange) = (photo(7, 64, 64), photo(8, 64, 64), photo(9, 64, 64));
    let (_, case) = case_with(&world, &[&here, &missing]);
    let tus = Tus::new(&world, "he");
    tus.upload(case, &here);
    let named = |c: &[u8]| json!({ "document": case, "hash": content_hash(c) });
    let question = json!({ "attachments": [named(&here), named(&missing), named(&strange)] });
    let ask =
        |login: &str| world.post("/v1/attachments/missing", Some(&world.token(login)), &question).1["found"].clone();
    assert_eq!(ask("he"), json!(["here", "missing", "unknown"]));
    assert_eq!(ask("baihua"), json!(["unknown", "unknown", "unknown"]));
    let token = world.token("he");
    for (body, field) in [
        (json!({ "attachments": vec![named(&here); 501] }), "attachments"),
        (json!({ "attachments": [{ "document": case, "hash": "零\u{0}" }] }), "hash"),
    ] {
        let (status, problem) = world.post("/v1/attachments/missing", Some(&token), &body);
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)));
    }
    assert_eq!(tus.download(case, &content_hash(&missing), &[]).told(), (404, "attachment_missing".into()));
}
