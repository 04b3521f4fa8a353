//! Ten thousand phones come back at eight o'clock: the waiting room of the server and the patience of the phones, first under
//! virtual time, then over real HTTP.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fengqiao_mobile::{PhoneLibError, PhoneLibrary, TransferPolicy};
use server::config::Config;
use server::guard::admission::{Answer, Room};
use server::guard::{Door, Guard};
use sync_core::sync::pace::{Errand, Outcome, Pace};
use sync_core::sync::wire::{self, MEDIA_TYPE};
use sync_core::time::Clock;
use tests::{MINUTE, World};

use crate::hand::Hand;

/// A chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }
}

struct Morning {
    /// When each was admitted, ms.
    admitted: Vec<i64>,
    /// How often each asked.
    asks: Vec<u32>,
}

/// So many phones lose their server and come back within a second; each obeys what it is told.
fn morning(phones: usize, rate: u32, burst: u32, seed: u64) -> Morning {
    let mut room = Room::new(rate, burst, 50_000);
    let mut dice = Dice(seed);
    let mut paces = vec![Pace::default(); phones];
    let mut agenda: BinaryHeap<_> =
        (0..phones).map(|n| Reverse((i64::try_from(dice.roll() % 1_000).unwrap(), n))).collect();
    let mut told = Morning { admitted: Vec::new(), asks: vec![0; phones] };
    while let Some(Reverse((now_ms, n))) = agenda.pop() {
        told.asks[n] += 1;
        match room.ask(uuid::Uuid::from_u128(u128::try_from(n).unwrap() << 64), now_ms * 1_000) {
            Answer::Admitted => told.admitted.push(now_ms),
            Answer::Wait { seconds } => {
                paces[n].attempted(Outcome::Later(i64::from(seconds) * 1_000), now_ms, dice.roll());
                // Some travel time on the way there.
                let travel = i64::try_from(dice.roll() % 80).unwrap();
                agenda.push(Reverse((now_ms + paces[n].wait_ms(now_ms, true, None) + travel, n)));
            }
        }
    }
    told
}

#[test]
fn admission_serves_ten_thousand_phones_at_the_rate_that_the_server_sets() {
    for (rate, burst, seed) in [(50, 150, 1), (100, 300, 2), (20, 100, 3)] {
        let told = morning(10_000, rate, burst, seed);
        assert_eq!(told.admitted.len(), 10_000, "all were served");
        for window_ms in [1_000, 10_000, 60_000] {
            let allowed = i64::from(burst) + i64::from(rate) * window_ms / 1_000 + 1;
            for (first, at) in told.admitted.iter().enumerate() {
                let end = told.admitted.partition_point(|t| *t < at + window_ms);
                let n = i64::try_from(end - first).unwrap();
                assert!(n <= allowed, "{n} within {window_ms} ms; {allowed} are allowed");
            }
        }
        let most = told.asks.iter().max().unwrap();
        let asks: u32 = told.asks.iter().sum();
        assert!(*most <= 3, "somebody asked {most} times");
        assert!(asks <= 20_500, "{asks} requests for 10,000 phones");
        let best_ms = 10_000 * 1_000 / i64::from(rate);
        let last_ms = *told.admitted.last().unwrap();
        assert!(last_ms < best_ms * 11 / 10 + 5_000, "{last_ms} ms; at best {best_ms}");
    }
}

fn asks(hand: &Hand) -> Result<(), u32> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent
        .post(hand.sync_url())
        .header("Authorization", format!("Bearer {}", hand.token))
        .header("Content-Type", MEDIA_TYPE);
    let mut response = request.send(&wire::encode(&hand.request(vec![])).unwrap()[..]).unwrap();
    match response.status().as_u16() {
        200 => Ok(()),
        503 => {
            let text = response.body_mut().read_to_string().unwrap();
            assert!(text.contains("urn:fengqiao:problem:busy"), "{text}");
            Err(response.headers()["retry-after"].to_str().unwrap().parse().unwrap())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn admission_over_http_gives_dozens_of_phones_each_its_moment() {
    let mut world = World::new();
    let logins = ["he", "colleague", "station-head", "captain"];
    let mut hands: Vec<_> = (0..36).map(|n| Hand::register(&world, logins[n % logins.len()])).collect();
    world.stop();
    world.start_with(|config| {
        config.sync_rate_per_second = 2;
        config.sync_burst = 8;
    });
    let mut turns: Vec<(i64, usize)> = Vec::new();
    let mut served = 0;
    for (n, hand) in hands.iter_mut().enumerate() {
        hand.move_to(&world);
        match asks(hand) {
            Ok(()) => served += 1,
            Err(seconds) => turns.push((i64::from(seconds) * 1_000, n)),
        }
    }
    assert!((4..=8).contains(&served), "{served} at once");
    turns.sort_unstable();
    let last_ms = turns.last().unwrap().0;
    assert!((13_000..=20_000).contains(&last_ms), "thirty phones at two a second: {last_ms}");
    let (early_ms, early) = turns[turns.len() - 1];
    assert!(asks(&hands[early]).is_err_and(|s| i64::from(s) * 1_000 <= early_ms), "nobody is let in before his time");
    // Nobody who waits costs the database anything: not even a revoked phone is looked up.
    let mut passed_ms = 0;
    for (at_ms, n) in turns {
        world.pass(at_ms - passed_ms);
        passed_ms = at_ms;
        assert_eq!(asks(&hands[n]), Ok(()), "at its moment it is let in");
        assert_eq!(asks(&hands[n]), Ok(()), "and may finish what it began");
    }
}

#[test]
fn admission_is_obeyed_by_the_real_phone_and_nothing_is_lost() {
    let mut world = World::new();
    let phones: Vec<_> = ["he", "colleague", "station-head"].iter().map(|l| world.phone(l)).collect();
    let address = world.url().trim_start_matches("http://").to_owned();
    world.stop();
    world.start_with(|config| {
        config.listen = address;
        config.sync_rate_per_second = 1;
        config.sync_burst = 2;
    });
    let cases: Vec<_> = phones.iter().map(|p| p.report("早上八点。")).collect();
    phones[0].sync();
    crowd(&world, Door::Sync);
    for phone in &phones[1..] {
        let told = phone.library.sync(None, None);
        assert!(matches!(told, Err(PhoneLibError::TryLater { .. })), "{told:?}");
        let wait_ms = phone.library.next_sync_ms().unwrap();
        assert!((1..=40_000).contains(&wait_ms), "{wait_ms}");
        // Asked again too early it does not even try.
        let figures = world.get("/metrics", None).1;
        assert!(matches!(phone.library.sync(None, None), Err(PhoneLibError::TryLater { .. })));
        let put_off = |text: &serde_json::Value| {
            let text = text.as_str().unwrap();
            text.lines().find(|l| l.starts_with("fengqiao_put_off_total{limit=\"admission\"}")).map(str::to_owned)
        };
        assert_eq!(put_off(&world.get("/metrics", None).1), put_off(&figures));
    }
    for phone in &phones[1..] {
        world.pass(i64::try_from(phone.library.next_sync_ms().unwrap()).unwrap());
        phone.sync();
    }
    for case in cases {
        assert_eq!(world.case(case).narrative, "早上八点。");
    }
}

struct Morning0800(AtomicI64);

impl Clock for Morning0800 {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a phone asks for next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Token,
    Sync,
}

#[test]
fn admission_lets_ten_thousand_phones_behind_one_address_refresh_their_tokens_and_sync_while_strangers_crowd_the_door()
{
    let clock = Arc::new(Morning0800(AtomicI64::new(1_000_000)));
    let config = Config::default();
    let guard = Guard::new(&config, clock.clone()).unwrap();
    let address: IpAddr = "203.0.113.5".parse().unwrap();
    let id = |n: usize| uuid::Uuid::from_u128(u128::try_from(n).unwrap() << 64);
    let mut dice = Dice(8);
    let mut paces = vec![Pace::default(); 10_000];
    let mut agenda: BinaryHeap<_> = (0..paces.len())
        .map(|n| Reverse((1_000_000 + i64::try_from(dice.roll() % 2_000).unwrap(), n, Next::Token)))
        .collect();
    let (mut asks, mut done, mut strangers) = (vec![0; paces.len()], Vec::new(), 0_u128);
    while let Some(Reverse((now_ms, n, next))) = agenda.pop() {
        clock.0.store(now_ms, Ordering::SeqCst);
        // Names that somebody makes up, ten for every phone that asks.
        for _ in 0..10 {
            strangers += 1;
            guard.admit(Door::Unknown, uuid::Uuid::from_u128(u128::MAX - strangers));
        }
        asks[n] += 1;
        let standings = match next {
            Next::Token => vec![guard.refresh.count(&id(n))],
            Next::Sync => {
                vec![guard.sync.count(&id(n)), guard.sync_account.count(&n), guard.sync_address.count(&address)]
            }
        };
        assert!(standings.into_iter().flatten().all(|s| s.wait_s.is_none()), "an honest phone breaks no limit");
        match (guard.admit(Door::Sync, id(n)), next) {
            (Answer::Admitted, Next::Token) => agenda.push(Reverse((now_ms + 60, n, Next::Sync))),
            (Answer::Admitted, Next::Sync) => done.push(now_ms - 1_000_000),
            (Answer::Wait { seconds }, _) => {
                assert!(next == Next::Token, "who was let in for a token is let in for the sync");
                paces[n].attempted(Outcome::Later(i64::from(seconds) * 1_000), now_ms, dice.roll());
                let travel = i64::try_from(dice.roll() % 80).unwrap();
                agenda.push(Reverse((now_ms + paces[n].wait_ms(now_ms, true, None) + travel, n, next)));
            }
        }
    }
    assert_eq!(done.len(), 10_000, "all were served");
    let last_ms = done.into_iter().max().unwrap();
    assert!(last_ms < 120_000, "10,000 at 100 a second, and no slower for the strangers: {last_ms} ms");
    assert!(asks.iter().all(|n| *n <= 4), "{:?}", asks.iter().max());
}

/// How many requests the server has seen, but for those that look at its figures.
fn seen(world: &World) -> f64 {
    let text = world.get("/metrics", None).1;
    let of = |line: &&str| line.starts_with("fengqiao_http_requests_total") && !line.contains("/metrics");
    text.as_str().unwrap().lines().filter(of).map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// A phone is told to wait, and does, whatever it wants and however often somebody asks it to.
fn is_put_off<T: std::fmt::Debug>(world: &World, ask: impl Fn() -> Result<T, PhoneLibError>) {
    let before = seen(world);
    for _ in 0..3 {
        let told = ask();
        assert!(matches!(told, Err(PhoneLibError::TryLater { after_ms }) if after_ms > 0), "{told:?}");
    }
    assert_eq!(seen(world), before, "the server was left alone");
}

fn busy(world: &mut World, change: impl FnOnce(&mut Config)) {
    let address = world.url().trim_start_matches("http://").to_owned();
    world.stop();
    world.start_with(|config| {
        config.listen = address;
        change(config);
    });
}

/// Half a minute's worth of others stand at a door.
fn crowd(world: &World, door: Door) {
    for n in 1..=30 {
        world.app().guard.admit(door, uuid::Uuid::from_u128(n));
    }
}

#[test]
fn admission_is_obeyed_by_a_phone_that_wants_a_fresh_token_on_every_path_and_after_a_restart() {
    let mut world = World::new();
    let (phone, other) = (world.phone("he"), Hand::register(&world, "colleague"));
    let case = phone.report("早上八点换令牌。");
    busy(&mut world, |config| {
        config.sync_rate_per_second = 1;
        config.sync_burst = 2;
    });
    world.pass(11 * MINUTE);
    crowd(&world, Door::Sync);
    assert_eq!(other.post(MEDIA_TYPE, &[]).0, 503, "his token has expired, too, and tells who he is");
    assert!(matches!(phone.library.sync(None, None), Err(PhoneLibError::TryLater { .. })));
    is_put_off(&world, || phone.library.sync(None, None));
    is_put_off(&world, || phone.library.authorization_header());
    is_put_off(&world, || phone.library.refresh_session());
    is_put_off(&world, || phone.library.sync_session().map(|_| ()));
    is_put_off(&world, || phone.library.transfer_attachments(TransferPolicy::default(), None, None));
    is_put_off(&world, || {
        let (url, password) = (world.url(), World::password("he"));
        phone.library.log_in(url, "he".into(), password, "another name".into(), None)
    });
    let before = seen(&world);
    assert!(!Arc::clone(&phone.library).events_wait(200, None).unwrap().connected);
    assert_eq!(seen(&world), before);
    let again = PhoneLibrary::open_with(&phone.path, &[7; 32], phone.host.clone()).unwrap();
    is_put_off(&world, || again.sync(None, None));
    drop(again);
    world.pass(i64::try_from(phone.library.next_sync_ms().unwrap()).unwrap());
    phone.sync();
    assert_eq!(world.case(case).narrative, "早上八点换令牌。");
}

#[test]
fn admission_to_attachments_and_to_signing_in_is_obeyed_for_themselves_and_holds_up_no_sync() {
    let mut world = World::new();
    let phone = world.phone("he");
    let case = phone.report("有照片。");
    let photo = tests::photos::photo(1, 64, 48);
    phone.library.attach_photo(case.to_string(), "一.jpg".into(), photo).unwrap();
    phone.sync();
    busy(&mut world, |config| {
        config.requests_per_minute = 2;
        config.login_account_per_minute = 1;
    });
    let token = phone.library.authorization_header().unwrap().replace("Bearer ", "");
    while world.get("/v1/me", Some(&token)).0 != 429 {}
    let transfer = || phone.library.transfer_attachments(TransferPolicy::default(), None, None);
    let mut rounds = 0;
    loop {
        match transfer() {
            Ok(report) => {
                assert_eq!(report.waiting, 0);
                break;
            }
            Err(PhoneLibError::TryLater { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        is_put_off(&world, transfer);
        let more = phone.report("照片等着，文字先走。");
        phone.sync();
        assert_eq!(world.case(more).narrative, "照片等着，文字先走。");
        rounds += 1;
        assert!(rounds < 10, "it goes on where it was");
        // Every run first asks where the upload stands: one more than is left at once.
        world.pass(phone.core().forbidden_ms(Errand::Transfer).unwrap() + MINUTE);
    }
    assert!(rounds >= 1, "it was put off at least once");

    let sign_in = || {
        let (url, password) = (world.url(), World::password("he"));
        phone.library.log_in(url, "he".into(), password, "he phone".into(), None)
    };
    sign_in().unwrap();
    assert!(matches!(sign_in(), Err(PhoneLibError::TryLater { .. })));
    is_put_off(&world, sign_in);
    phone.sync();
    world.pass(phone.core().forbidden_ms(Errand::SignIn).unwrap());
    sign_in().unwrap();
}

#[test]
fn admission_to_the_live_stream_is_obeyed_and_kept() {
    let mut world = World::new();
    let phone = world.phone("he");
    phone.sync();
    busy(&mut world, |config| {
        config.sync_rate_per_second = 1;
        config.sync_burst = 2;
    });
    crowd(&world, Door::Events);
    let forbidden_ms = || phone.core().forbidden_ms(Errand::Stream).unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while forbidden_ms() == 0 {
        assert!(std::time::Instant::now() < until, "it was not told to wait");
        assert!(!Arc::clone(&phone.library).events_wait(200, None).unwrap().connected);
    }
    let before = seen(&world);
    let again = PhoneLibrary::open_with(&phone.path, &[7; 32], phone.host.clone()).unwrap();
    assert!(!Arc::clone(&again).events_wait(300, None).unwrap().connected);
    assert_eq!(seen(&world), before, "an app that was started anew waits, too");
    assert_eq!(phone.core().forbidden_ms(Errand::Sync).unwrap(), 0, "a stream is only a hint: a sync may go");
}
