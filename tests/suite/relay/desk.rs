//! A clerk takes a relay file at the hall's desk.

use diesel::prelude::*;
use server::db::tables::audit;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sync_core::relay::frame::frames;
use sync_core::relay::parcel::MEDIA_TYPE;
use tests::World;

use super::{entries, exported, import, pending};

#[test]
fn relay_a_clerk_hands_in_a_memory_card_and_gives_the_receipts_back() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let case = he.report("工人聚集。");
    let file = exported(&he);
    let clerk = world.token("receptionist");
    let (status, reply) = world.post_bytes("/v1/relay", &clerk, MEDIA_TYPE, &file);
    assert_eq!(status, 200, "{reply}");
    assert_eq!(reply["items"].as_array().unwrap().len(), 1);
    assert_eq!(reply["items"][0]["outcome"], "taken");
    let first = json!({"accepted": 1, "duplicates": 0, "waiting": 0, "quarantined": 0});
    assert_eq!(reply["items"][0]["bundles"], json!([first]));
    let again = world.post_bytes("/v1/relay", &clerk, MEDIA_TYPE, &file).1;
    assert_eq!(again["items"][0]["bundles"][0]["duplicates"], 1);
    assert_eq!(entries(&world, case).len(), 1);
    let receipts = STANDARD.decode(reply["receipts"].as_str().unwrap()).unwrap();
    assert_eq!(import(&he, &receipts).acknowledged, 1);
    assert_eq!(pending(&he), 0);
    let app = world.app();
    let acts: Vec<(String, String)> = audit::table
        .filter(audit::action.eq("relay.import"))
        .select((audit::actor, audit::detail))
        .order(audit::id)
        .load(&mut app.db.get().unwrap())
        .unwrap();
    assert_eq!(acts.len(), 2, "each handing in is written down: {acts:?}");
    assert_eq!(acts[0].1, r#"{"accepted":1,"bundles":1}"#);
}

#[test]
fn relay_a_clerk_hands_in_scanned_codes_and_several_parcels_at_once() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    let cases = [he.report("一。"), colleague.report("二。")];
    let codes: Vec<String> = [&he, &colleague]
        .iter()
        .flat_map(|phone| frames(&phone.core().relay_export().unwrap()[0], 500).unwrap())
        .collect();
    let mut shuffled = codes.clone();
    shuffled.sort();
    let (status, reply) =
        world.post_bytes("/v1/relay", &world.token("station-head"), MEDIA_TYPE, shuffled.join("\r\n").as_bytes());
    assert_eq!((status, reply["items"].as_array().unwrap().len()), (200, 2), "{reply}");
    for case in cases {
        assert_eq!(entries(&world, case).len(), 1);
    }
    let half = shuffled[1..].join("\n");
    let (status, reply) = world.post_bytes("/v1/relay", &world.token("station-head"), MEDIA_TYPE, half.as_bytes());
    assert_eq!((status, reply["type"].as_str()), (400, Some("urn:fengqiao:problem:parcel_truncated")), "{reply}");
}

#[test]
fn relay_only_the_desks_of_a_hall_take_files() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    he.report("一。");
    let file = exported(&he);
    for (login, expected) in [
        ("he", 403),
        ("captain", 403),
        ("legal-adviser", 403),
        ("admin", 403),
        ("mediation-director", 200),
        ("street", 200),
    ] {
        let (status, reply) = world.post_bytes("/v1/relay", &world.token(login), MEDIA_TYPE, &file);
        assert_eq!(status, expected, "{login}: {reply}");
    }
}

#[test]
fn relay_bad_files_at_the_desk_each_get_their_own_answer() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let case = he.report("一。");
    let file = exported(&he);
    let clerk = world.token("receptionist");
    let refused = |media: &str, body: &[u8]| {
        let (status, reply) = world.post_bytes("/v1/relay", &clerk, media, body);
        let code = reply["type"].as_str().unwrap_or_default().trim_start_matches("urn:fengqiao:problem:").to_owned();
        (status, code)
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(refused("application/json", &file), is(415, "unsupported_media_type"));
    assert_eq!(refused(MEDIA_TYPE, b""), is(400, "parcel_truncated"));
    assert_eq!(refused(MEDIA_TYPE, b"hello"), is(400, "not_a_parcel"));
    assert_eq!(refused(MEDIA_TYPE, &file[..file.len() - 1]), is(400, "parcel_truncated"));
    let altered = |n: usize, to: u8| {
        let mut altered = file.clone();
        altered[n] = to;
        altered
    };
    assert_eq!(refused(MEDIA_TYPE, &altered(4, 9)), is(400, "parcel_version"));
    assert_eq!(refused(MEDIA_TYPE, &altered(5, 9)), is(400, "not_a_parcel"));
    assert_eq!(refused(MEDIA_TYPE, &altered(60, file[60] ^ 1)), is(400, "parcel_damaged"));
    assert_eq!(refused(MEDIA_TYPE, &altered(46, 0xff)), is(413, "too_large"));
    assert_eq!(refused(MEDIA_TYPE, &vec![0; 5 * 1024 * 1024]), is(413, "too_large"));
    assert_eq!(refused(MEDIA_TYPE, b"FQR1:ABC:"), is(400, "parcel_damaged"));
    // A list of receipts is no parcel.
    let empty = sync_core::relay::Container::receipts(&[], world.clock_ms(), &server::clock::SystemEntropy).unwrap();
    let (status, reply) = world.post_bytes("/v1/relay", &clerk, MEDIA_TYPE, empty.bytes());
    assert_eq!((status, reply["items"][0]["code"].as_str()), (200, Some("not_a_parcel")), "{reply}");
    assert!(entries(&world, case).is_empty());
    assert_eq!(world.post_bytes("/v1/relay", &clerk, MEDIA_TYPE, &file).0, 200);
    assert_eq!(world.get("/healthz", None).0, 200);
    world.check_rebuild();
}
