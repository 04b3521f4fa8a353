//! Rate limits over real HTTP: who is counted as whom, what he is told, and that nobody pays for somebody else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use tests::{MINUTE, World};

use crate::hand::Hand;

struct Reply {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

fn send(world: &World, path: &str, from: &str, token: Option<&str>, body: &Value) -> Reply {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.post(format!("{}{path}", world.url())).header("X-Forwarded-For", from);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.send_json(body).unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, body: response.body_mut().read_json().unwrap_or_default() }
}

fn world(change: impl FnOnce(&mut server::config::Config)) -> World {
    let mut world = World::new();
    world.stop();
    world.start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".into()];
        change(config);
    });
    world
}

#[test]
fn a_rate_limit_on_signing_in_counts_addresses_and_says_when_to_come_back() {
    let world = world(|config| config.login_per_minute = 2);
    let login = json!({"login": "he", "password": World::password("he")});
    for left in (0..6).rev() {
        let reply = send(&world, "/v1/auth/login", "203.0.113.5", None, &login);
        assert_eq!((reply.status, reply.header("ratelimit")), (200, format!("\"login\";r={left}").as_str()));
        assert_eq!(reply.header("ratelimit-policy"), "\"login\";q=6;w=180");
    }
    let refused = send(&world, "/v1/auth/login", "203.0.113.5", None, &login);
    assert_eq!((refused.status, refused.body["type"].as_str()), (429, Some("urn:fengqiao:problem:too_many_requests")));
    let wait_s: i64 = refused.header("retry-after").parse().unwrap();
    assert!((25..=30).contains(&wait_s), "{wait_s}");
    assert_eq!(refused.header("ratelimit"), format!("\"login\";r=0;t={wait_s}"));
    assert_eq!(send(&world, "/v1/auth/login", "203.0.113.6", None, &login).status, 200, "another address is another");
    let spoofed = send(&world, "/v1/auth/login", "203.0.113.7, 203.0.113.5", None, &login);
    assert_eq!(spoofed.status, 429, "what the client itself wrote into the header is not believed");
    assert_eq!(send(&world, "/v1/auth/%6cogin", "203.0.113.5", None, &login).status, 429, "however it is spelt");
    world.pass(wait_s * 1_000);
    assert_eq!(send(&world, "/v1/auth/login", "203.0.113.5", None, &login).status, 200);
}

#[test]
fn a_rate_limit_on_strangers_does_not_touch_who_has_a_token_behind_the_same_address() {
    let world = world(|config| config.strangers_per_minute = 3);
    let token = world.token("community");
    for _ in 0..3 {
        assert_eq!(send(&world, "/v1/cases", "203.0.113.5", Some("nonsense"), &json!({})).status, 401);
    }
    assert_eq!(send(&world, "/v1/sync", "203.0.113.5", None, &json!({})).status, 429);
    assert_eq!(send(&world, "/v1/sync", "203.0.113.9", None, &json!({})).status, 401);
    for _ in 0..10 {
        assert_eq!(send(&world, "/v1/sync", "203.0.113.5", Some(&token), &json!({})).status, 415);
    }
}

#[test]
fn a_rate_limit_on_registering_counts_accounts_and_one_on_syncing_counts_phones() {
    let world = world(|config| {
        config.register_per_hour = 2;
        config.sync_device_per_second = 1;
    });
    let (he, colleague) = (world.token("he"), world.token("colleague"));
    let key = json!({"name": "一", "public_key": "nonsense"});
    let register = |token: &str| send(&world, "/v1/devices", "203.0.113.5", Some(token), &key).status;
    assert_eq!([register(&he), register(&he), register(&he), register(&colleague)], [400, 400, 429, 400]);
    world.pass(60 * MINUTE);
    let (one, other) = (Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    // Registering by hand has synced once.
    let sync = |hand: &Hand| send(&world, "/v1/sync", "203.0.113.5", Some(&hand.token), &json!({})).status;
    for _ in 1..40 {
        assert_eq!(sync(&one), 415);
    }
    assert_eq!((sync(&one), sync(&other)), (429, 415));
}

#[test]
fn a_rate_limit_on_refreshing_counts_addresses() {
    let world = world(|config| config.refresh_per_minute = 2);
    let refresh = |from: &str| send(&world, "/v1/auth/refresh", from, None, &json!({"refresh_token": "x"})).status;
    assert_eq!([refresh("1.1.1.1"), refresh("1.1.1.1"), refresh("1.1.1.1"), refresh("1.1.1.2")], [401, 401, 429, 401]);
    let six = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3", "2001:db8:0:1::1"];
    assert_eq!(six.map(refresh), [401, 401, 429, 401], "an IPv6 client has a /64");
}

#[test]
fn a_body_that_dribbles_in_is_given_up_after_the_time_that_is_set() {
    let world = world(|config| config.request_seconds = 1);
    let address = world.url().trim_start_matches("http://").to_owned();
    let mut line = TcpStream::connect(&address).unwrap();
    write!(line, "POST /v1/auth/login HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{")
        .unwrap();
    let mut answer = String::new();
    line.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("urn:fengqiao:problem:too_slow"), "{answer}");
}
