//! Ten thousand phones come back at eight o'clock: the waiting room of the server and the patience of the phones, first under
//! virtual time, then over real HTTP.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fengqiao_mobile::PhoneLibError;
use server::guard::admission::{Answer, Room};
use sync_core::sync::pace::{Outcome, Pace};
use sync_core::sync::wire::{self, MEDIA_TYPE};
use tests::World;

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
    for phone in &phones[1..] {
        let told = phone.library.sync(None, None);
        assert!(matches!(told, Err(PhoneLibError::TryLater { .. })), "{told:?}");
        let wait_ms = phone.library.next_sync_ms().unwrap();
        assert!((1..=6_000).contains(&wait_ms), "{wait_ms}");
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
