//! Replication health: what the people who run the system see of the phones, and who is told when one falls silent.

use serde_json::Value;
use tests::phones::set;
use tests::{HOUR, MINUTE, TestStream, World};

use crate::quarantine::end_charge;

const DAY: i64 = 24 * HOUR;

fn of<'a>(page: &'a Value, phone: &str) -> &'a Value {
    let items = page["items"].as_array().unwrap();
    items.iter().find(|i| i["device"] == phone).unwrap_or_else(|| panic!("{phone} in {page}"))
}

fn seen(world: &World, login: &str, query: &str) -> Value {
    let (status, page) = world.get(&format!("/v1/replication{query}"), Some(&world.token(login)));
    assert_eq!(status, 200, "{page}");
    page
}

/// The clock runs on while a test looks.
fn is_now(world: &World, at: &Value) -> bool {
    at.as_i64().is_some_and(|at| (world.clock_ms() - 10_000..=world.clock_ms()).contains(&at))
}

fn device(phone: &tests::TestPhone) -> String {
    phone.core().identity().unwrap().unwrap().device.to_string()
}

#[test]
fn replication_tells_of_each_phone_its_last_contact_backlog_clock_version_and_storage() {
    let world = World::new();
    let he = world.phone("he");
    he.host.turn_clock(-40 * MINUTE);
    he.report("工人聚集讨薪。");
    he.sync();
    let page = seen(&world, "community", "");
    let row = of(&page, &device(&he));
    assert_eq!((row["user_name"].as_str(), row["backlog"].as_i64()), (Some("小何"), Some(0)), "{row}");
    assert_eq!(row["last_seen_ms"], row["complete_ms"]);
    assert!(is_now(&world, &row["last_seen_ms"]));
    let offset = row["clock_offset_ms"].as_i64().unwrap();
    assert!((offset + 40 * MINUTE).abs() < 10_000, "{offset}");
    assert!(row["version"].as_str().is_some_and(|v| !v.is_empty()));
    assert!(row["storage_bytes"].as_i64().is_some_and(|n| n > 10_000), "{row}");
    assert_eq!(row["states"], serde_json::json!(["clock"]));
    assert_eq!(page["states"]["clock"], 1);
    // A worker sees his own phone and no other; who looks after another area sees neither.
    assert_eq!(seen(&world, "he", "")["items"].as_array().unwrap().len(), 1);
    let (status, _) = world.get(&format!("/v1/replication/{}", device(&he)), Some(&world.token("baihua")));
    assert_eq!(status, 404);
}

#[test]
fn replication_counts_what_was_refused_and_finds_phones_by_state_and_area_page_by_page() {
    let world = World::new();
    let (he, community) = (world.phone("he"), world.phone("community"));
    let case = he.report("工人聚集讨薪。");
    he.sync();
    community.sync();
    world.pass(HOUR);
    end_charge(&world, "he");
    world.pass(HOUR);
    he.edit(case, &[set("people_involved", 23)]);
    he.sync();
    let refused = seen(&world, "community", "?state=refused");
    assert_eq!(refused["items"].as_array().unwrap().len(), 1, "{refused}");
    assert_eq!(of(&refused, &device(&he))["refused"], 1);
    let mut found = Vec::new();
    let mut query = "?area=GM-BIYAN&limit=1".to_owned();
    loop {
        let page = seen(&world, "community", &query);
        found.extend(page["items"].as_array().unwrap().iter().map(|i| i["device"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?area=GM-BIYAN&limit=1&cursor={next}");
    }
    let mut both = vec![device(&he), device(&community)];
    both.sort();
    found.sort();
    assert_eq!(found, both);
    for (query, field) in
        [("?state=lost", "state"), ("?area=NOWHERE", "area"), ("?cursor=7", "cursor"), ("?limit=0", "limit")]
    {
        let (status, problem) = world.get(&format!("/v1/replication{query}"), Some(&world.token("community")));
        assert_eq!((status, problem["field"].as_str()), (400, Some(field)), "{problem}");
    }
}

#[test]
fn replication_alerts_once_when_a_phone_falls_silent_however_many_servers_watch_and_closes_with_the_next_contact() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    world.pass(2 * DAY);
    assert_eq!(server::replication::watch(&world.app()).unwrap().raised, 0, "a weekend is no silence");
    world.pass(2 * DAY);
    let mut stream = TestStream::open(&world.url(), "/v1/events", &world.token("community"), None).unwrap();
    stream.until("hello");
    let app = world.app();
    let raised: u64 = std::thread::scope(|scope| {
        let watchers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| server::replication::watch(&app).unwrap().raised)).collect();
        watchers.into_iter().map(|w| w.join().unwrap()).sum()
    });
    assert_eq!(raised, 1);
    let page = seen(&world, "community", "?state=silent");
    let row = of(&page, &device(&he));
    assert_eq!(row["alerts"][0]["kind"], "silent", "{page}");
    assert!(is_now(&world, &row["alerts"][0]["raised_ms"]));
    let told = stream.until("device");
    assert!(told.iter().any(|(name, data)| name == "device" && data["device"] == device(&he)), "{told:?}");
    let metrics = ureq::get(format!("{}/metrics", world.url())).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains("fengqiao_devices_silent 1"), "{metrics}");

    he.sign_in_again(&world, "he");
    he.sync();
    let watched = server::replication::watch(&world.app()).unwrap();
    assert_eq!((watched.raised, watched.closed), (0, 1));
    let (_, one) = world.get(&format!("/v1/replication/{}", device(&he)), Some(&world.token("community")));
    assert_eq!(one["states"][0], "ok", "{one}");
    assert!(is_now(&world, &one["history"][0]["closed_ms"]), "{one}");
}

#[test]
fn replication_waits_for_no_phone_of_somebody_who_left_nor_for_a_revoked_one() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let path = format!("/v1/devices/{}/revoke", device(&he));
    let (status, _) = world.post(&path, Some(&world.token("community")), &Value::Null);
    assert_eq!(status, 200);
    world.pass(30 * DAY);
    let watched = server::replication::watch(&world.app()).unwrap();
    assert_eq!(watched.raised, 0);
    assert_eq!(of(&seen(&world, "community", ""), &device(&he))["states"], serde_json::json!(["revoked"]));
}
