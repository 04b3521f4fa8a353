//! Live streams over real HTTP: what they say and to whom, what a reader who comes back is told, and when they end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::config::Config;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::{set, write};
use tests::{MINUTE, TestStream, World};

use crate::hand::Hand;

fn stream(world: &World, login: &str) -> TestStream {
    let mut stream = TestStream::open(&world.url(), "/v1/events", &world.token(login), None).unwrap();
    stream.until("hello");
    stream
}

/// The documents that events name.
fn documents(events: &[(String, Value)]) -> Vec<String> {
    let named = events.iter().filter(|(name, _)| name == "case" || name == "patrol");
    named.map(|(_, data)| data["document"].as_str().unwrap().to_owned()).collect()
}

fn head(world: &World, community: &str) -> i64 {
    let app = world.app();
    let mut conn = app.db.get().unwrap();
    server::journal::head(&mut conn, &sync_core::ids::AreaCode::new(community).unwrap()).unwrap().unwrap()
}

/// A case that somebody of 白花 reports.
fn baihua_case(world: &World) -> DocumentId {
    let baihua = world.phone("baihua");
    let community = sync_core::ids::AreaCode::new("GM-BAIHUA").unwrap();
    let edits = vec![set("place.grid", "GM-BAIHUA-01")];
    let draft = sync_core::edit::Draft { kind: sync_core::shape::DocumentKind::Case, community, edits };
    let case = baihua.core().create(&draft).unwrap();
    baihua.sync();
    case
}

#[test]
fn a_live_stream_tells_what_was_changed_to_those_who_may_read_it_and_never_what_it_says() {
    let world = World::new();
    let (mut community, mut street) = (stream(&world, "community"), stream(&world, "street"));
    let he = world.phone("he");
    let elsewhere = baihua_case(&world);
    let case = he.report("工人聚集讨薪。");
    he.sync();
    let told = community.until("head");
    assert_eq!(documents(&told), [case.to_string()], "the first that 碧眼 hears of is its own");
    assert_eq!(told.last().unwrap().1, json!({"community": "GM-BIYAN", "head": head(&world, "GM-BIYAN")}));
    assert!(!format!("{told:?}").contains("讨薪"));
    let both = [street.until("head"), street.until("head")].concat();
    assert_eq!(documents(&both), [elsewhere.to_string(), case.to_string()]);
}

#[test]
fn a_live_reader_who_comes_back_is_told_what_he_missed_and_nothing_twice() {
    let mut world = World::new();
    let he = world.phone("he");
    let known = he.report("第一宗。");
    he.sync();
    let mut before = stream(&world, "community");
    he.edit(known, &[set("people_involved", 3)]);
    he.sync();
    before.until("head");
    let id = before.last_id().unwrap().to_owned();
    drop(before);
    let missed: Vec<_> = (0..3).map(|n| he.report(&format!("离线时第{n}宗。"))).collect();
    he.sync();
    // Also across a restart of the server.
    world.stop();
    world.start();
    let token = world.token("community");
    let mut after = TestStream::open(&world.url(), "/v1/events", &token, Some(&id)).unwrap();
    let told = after.until("hello");
    let mut named = documents(&told);
    named.sort();
    let mut expected: Vec<_> = missed.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(named, expected);
    assert_eq!(told.iter().filter(|(name, _)| name == "head").count(), 1);
    let id = after.last_id().unwrap().to_owned();
    let mut again = TestStream::open(&world.url(), "/v1/events", &token, Some(&id)).unwrap();
    assert_eq!(documents(&again.until("hello")), Vec::<String>::new());
    for strange in ["", "nonsense", "018f0000-0000-7000-8000-000000000001;GM-BIYAN=1", &format!("{id};X=y"), "=;=;"] {
        let mut anew = TestStream::open(&world.url(), "/v1/events", &token, Some(strange)).unwrap();
        let told = anew.until("hello");
        assert_eq!(told[0].1, json!({"community": "GM-BIYAN", "head": head(&world, "GM-BIYAN")}), "{strange}");
    }
}

#[test]
fn a_live_stream_of_heads_is_silent_about_what_its_reader_may_not_see() {
    let world = World::new();
    let captain = world.phone("captain");
    captain.sync();
    let hand = Hand::register(&world, "captain");
    let mut heads = TestStream::open(&world.url(), "/v1/events?only=head", &hand.token, None).unwrap();
    heads.until("hello");
    let station = world.phone("station-head");
    let community = sync_core::ids::AreaCode::new("GM-BIYAN").unwrap();
    let kind = sync_core::shape::DocumentKind::Case;
    // Somewhere in the community, in nobody's building.
    station.core().create(&sync_core::edit::Draft { kind, community, edits: vec![] }).unwrap();
    station.sync();
    let community = sync_core::ids::AreaCode::new("GM-BIYAN").unwrap();
    let edits = vec![set("place.building", "GM-BIYAN-SL17-5"), write("narrative", "楼里的一宗。")];
    let own = captain.core().create(&sync_core::edit::Draft { kind, community, edits }).unwrap();
    captain.sync();
    let told = heads.until("head");
    assert_eq!(told, [("head".to_owned(), json!({"community": "GM-BIYAN", "head": head(&world, "GM-BIYAN")}))]);
    assert_eq!(world.case(own).narrative, "楼里的一宗。");
}

#[test]
fn a_live_stream_tells_supervisors_of_quarantine_and_of_phones() {
    let world = World::new();
    let (mut community, mut baihua) = (stream(&world, "community"), stream(&world, "street"));
    let he = world.phone("he");
    let (name, data) = community.event().unwrap();
    assert_eq!((name.as_str(), data["device"].as_str()), ("device", Some(device(&he).as_str())));
    assert_eq!(baihua.event().unwrap().0, "device", "who looks after the street sees it too");
    let hand = Hand::register(&world, "he");
    community.until("device");
    let (case, change) = hand.case("甲。");
    hand.hand_in(vec![hand.entry(&case, [&change.bytes[..]])]);
    // A captain may not accept a case.
    let captain = Hand::register(&world, "captain");
    let mut held = case.clone();
    let forged = hand.edit(&mut held, &[tests::phones::event(EventKind::Note, json!({"text": "一"}))]);
    let signed = captain.key.seal(&captain.bundle(vec![captain.entry(&case, [&forged.bytes[..]])])).unwrap();
    captain.send(&captain.request(vec![signed]));
    let told = community.until("quarantine");
    assert_eq!(told.last().unwrap().1, json!({"community": "GM-BIYAN", "waiting": 1}));
    let mut later = TestStream::open(&world.url(), "/v1/events", &world.token("community"), None).unwrap();
    assert!(later.until("hello").iter().any(|(name, data)| name == "quarantine" && data["waiting"] == 1));
}

fn device(phone: &tests::TestPhone) -> String {
    phone.core().identity().unwrap().unwrap().device.to_string()
}

/// Whether a stream comes to its end; what was told before it, such as of a phone that was just registered, is passed over.
fn ends(stream: &mut TestStream) -> bool {
    (0..20).any(|_| stream.event().is_none())
}

#[test]
fn a_live_stream_ends_with_its_session_with_its_account_and_with_its_token() {
    let world = World::new();
    let token = world.token("community");
    let mut own = TestStream::open(&world.url(), "/v1/events", &token, None).unwrap();
    let mut other = stream(&world, "community");
    own.until("hello");
    assert_eq!(world.post("/v1/auth/logout", Some(&token), &json!({})).0, 204);
    assert!(ends(&mut own));
    let he = world.phone("he");
    he.report("还在听。");
    he.sync();
    other.until("head");
    let app = world.app();
    app.db.transaction(|conn| server::accounts::users::disable(conn, "community")).unwrap();
    assert!(ends(&mut other));
    let mut street = stream(&world, "street");
    world.pass(11 * MINUTE);
    assert!(ends(&mut street), "no stream outlives the token that opened it");
}

#[test]
fn a_server_that_stops_ends_its_live_streams_and_does_not_wait_for_them() {
    let mut world = World::new();
    world.stop();
    world.start_with(|config| config.shutdown_seconds = 30);
    let mut streams: Vec<_> = (0..5).map(|_| stream(&world, "community")).collect();
    let began = Instant::now();
    world.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(streams.iter_mut().all(|s| s.event().is_none()));
}

#[test]
fn a_live_stream_of_one_server_tells_what_another_server_committed() {
    let mut world = World::new();
    let other = Config { listen: "127.0.0.1:0".into(), database: world.database.url.clone(), ..Config::default() };
    let other = server::run::serve(other, world.clock.clone()).unwrap();
    let mut far = TestStream::open(&other.url(), "/v1/events", &world.token("community"), None).unwrap();
    far.until("hello");
    let he = world.phone("he");
    let case = he.report("在另一台服务器。");
    he.sync();
    assert_eq!(documents(&far.until("head")), [case.to_string()]);
    other.stop().unwrap();
    world.stop();
}

#[test]
fn live_seats_are_bounded_and_a_full_server_says_when_to_come_back() {
    let mut world = World::new();
    world.stop();
    world.start_with(|config| config.live_streams_max = 2);
    let first = [stream(&world, "community"), stream(&world, "street")];
    assert_eq!(TestStream::open(&world.url(), "/v1/events", &world.token("district"), None).err(), Some(503));
    assert_eq!(world.get("/v1/events?only=all", Some(&world.token("district"))).0, 400);
    drop(first);
}

/// Waits until the phone says that a sync is due.
fn hears(phone: &tests::TestPhone) {
    let until = Instant::now() + Duration::from_secs(30);
    while !Arc::clone(&phone.library).events_wait(5_000, None).unwrap().sync_due {
        assert!(Instant::now() < until, "it heard nothing");
    }
}

#[test]
fn a_live_phone_hears_of_anothers_change_and_syncs_it() {
    let mut world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    he.sync();
    colleague.sync();
    // Nothing is due: the wait opens the stream.
    assert!(!Arc::clone(&colleague.library).events_wait(300, None).unwrap().sync_due);
    let case = he.report("同事听得到。");
    he.sync();
    hears(&colleague);
    // The spread within which those who hear the same come, by the phone's own clock.
    colleague.sync();
    assert_eq!(colleague.case(case).narrative, "同事听得到。");
    assert!(colleague.library.next_sync_ms().unwrap() > 0, "what it knows already is not asked for again");
    let address = world.url().trim_start_matches("http://").to_owned();
    world.stop();
    he.edit(case, &[set("people_involved", 5)]);
    world.start_with(|config| config.listen = address);
    he.sync();
    hears(&colleague);
    colleague.sync();
    assert_eq!(colleague.case(case).number("people_involved"), Some(5));
}
