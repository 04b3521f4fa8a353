//! Guessing passwords gets slower and slower for the one who guesses, and for nobody else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::{HOUR, MINUTE, World};

use crate::hand::Hand;

/// Signs in from an address; status, code and the seconds to wait.
fn login(world: &World, from: &str, body: &Value) -> (u16, String, i64) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/v1/auth/login", world.url())).header("X-Forwarded-For", from);
    let mut response = request.send_json(body).unwrap();
    let wait = response.headers().get("retry-after").map_or(0, |v| v.to_str().unwrap().parse().unwrap());
    let (status, reply): (_, Value) = (response.status().as_u16(), response.body_mut().read_json().unwrap());
    (status, reply["type"].as_str().unwrap_or_default().replace("urn:fengqiao:problem:", ""), wait)
}

fn guess(world: &World, from: &str, name: &str) -> (u16, String, i64) {
    login(world, from, &json!({"login": name, "password": "guess"}))
}

fn right(world: &World, from: &str) -> (u16, String, i64) {
    login(world, from, &json!({"login": "he", "password": World::password("he")}))
}

fn world() -> World {
    let mut world = World::new();
    behind_a_proxy(&mut world);
    world
}

fn behind_a_proxy(world: &mut World) {
    world.stop();
    world.start_with(|config| config.trusted_proxies = vec!["127.0.0.1".into()]);
}

#[test]
fn a_lock_out_grows_with_every_wrong_password_outlives_a_restart_and_ends() {
    let mut world = world();
    for _ in 0..5 {
        assert_eq!(guess(&world, "203.0.113.5", "he"), (401, "login_failed".into(), 0));
    }
    let mut waits = Vec::new();
    for _ in 0..4 {
        let (status, code, wait_s) = right(&world, "203.0.113.5");
        assert_eq!((status, code.as_str()), (429, "login_slowed"), "not even the right password is looked at");
        waits.push(wait_s);
        world.pass(wait_s * 1_000);
        assert_eq!(guess(&world, "203.0.113.5", "he").0, 401);
    }
    assert!(waits.windows(2).all(|w| w[1] >= w[0] * 2 - 1), "{waits:?}");
    world.stop();
    behind_a_proxy(&mut world);
    let (status, _, wait_s) = right(&world, "203.0.113.5");
    assert_eq!(status, 429);
    world.pass(wait_s * 1_000);
    assert_eq!(right(&world, "203.0.113.5").0, 200);
    assert_eq!(guess(&world, "203.0.113.5", "he").0, 401, "a success begins anew");
}

#[test]
fn a_lock_out_cannot_be_used_to_lock_others_out() {
    let world = world();
    let hand = Hand::register(&world, "he");
    assert_eq!(right(&world, "203.0.113.80").0, 200, "his desk");
    // Strangers guess from everywhere.
    for n in 0..60 {
        guess(&world, &format!("198.51.100.{n}"), "he");
    }
    assert_eq!(guess(&world, "198.51.100.1", "he").0, 429, "a stranger has one attempt");
    assert_eq!(right(&world, "203.0.113.80").0, 200, "the address from which he signed in is not touched");
    assert_eq!(right(&world, "192.0.2.77").0, 200, "and from a new one he has his first attempt like anybody");
    let password = World::password("he");
    let signed = format!("{}\nhe\n{password}", hand.device);
    let proof = STANDARD.encode(hand.key.sign(b"fengqiao-login:", signed.as_bytes()));
    let phone = json!({"login": "he", "password": password, "device": hand.device, "proof": proof});
    assert_eq!(login(&world, "198.51.100.1", &phone).0, 200, "his phone may even stand beside the guesser");
    // Only naming the phone, or another's signature, is worth nothing.
    let forged = STANDARD.encode([7; 64]);
    for proof in [None, Some(forged.as_str())] {
        let named = json!({"login": "he", "password": password, "device": hand.device, "proof": proof});
        assert_eq!(login(&world, "198.51.100.1", &named).0, 429);
    }
    // Nor does anybody else pay.
    let other = json!({"login": "colleague", "password": World::password("colleague")});
    assert_eq!(login(&world, "198.51.100.1", &other).0, 200);
}

#[test]
fn a_lock_out_and_a_refusal_do_not_tell_whether_there_is_such_an_account() {
    let world = world();
    let answers = |name: &str, from: &str| -> Vec<_> { (0..8).map(|_| guess(&world, from, name)).collect() };
    assert_eq!(answers("he", "203.0.113.5"), answers("nobody-of-this-name", "203.0.113.6"));
    let odd = ["", "\0", "'; DROP TABLE users; --", &"长".repeat(10_000)];
    for name in odd {
        assert_eq!(guess(&world, "203.0.113.7", name).0, 401, "{}", name.len());
    }
}

#[test]
fn a_lock_out_is_not_outrun_by_guesses_that_are_sent_all_at_once() {
    let world = world();
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24).map(|_| scope.spawn(|| guess(&world, "203.0.113.5", "he").0)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let looked_at = answers.iter().filter(|s| **s == 401).count();
    assert!(looked_at <= 5 + 4, "{looked_at} passwords were looked at; five and those whose turn it was are allowed");
    assert!(answers.iter().all(|s| matches!(s, 401 | 429)), "{answers:?}");
}

#[test]
fn a_lock_out_is_forgotten_after_a_day() {
    let world = world();
    for _ in 0..6 {
        guess(&world, "203.0.113.5", "he");
    }
    assert_eq!(right(&world, "203.0.113.5").0, 429);
    world.pass(24 * HOUR + MINUTE);
    let app = world.app();
    let forgotten = |now_ms| app.db.transaction(|conn| server::accounts::lockout::forget(conn, now_ms)).unwrap();
    assert_eq!(forgotten(app.now_ms()), 2, "the address, and the strangers' account of it");
    assert_eq!(right(&world, "203.0.113.5").0, 200);
    assert_eq!(forgotten(app.now_ms()), 0, "an address that is known is remembered");
}
