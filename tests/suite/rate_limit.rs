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

fn tells_to_wait(reply: &Reply) -> i64 {
    assert_eq!((reply.status, reply.body["type"].as_str()), (429, Some("urn:fengqiao:problem:too_many_requests")));
    reply.header("retry-after").parse().unwrap()
}

#[test]
fn a_rate_limit_on_signing_in_counts_addresses_and_says_when_to_come_back() {
    let world = world(|config| config.login_per_minute = 1);
    let login = json!({"login": "he", "password": World::password("he")});
    for left in (0..10).rev() {
        let reply = send(&world, "/v1/auth/login", "203.0.113.5", None, &login);
        assert_eq!((reply.status, reply.header("ratelimit")), (200, format!("\"login\";r={left}").as_str()));
        assert_eq!(reply.header("ratelimit-policy"), "\"login\";q=10;w=600");
    }
    let refused: Vec<_> = (0..12).map(|_| send(&world, "/v1/auth/login", "203.0.113.5", None, &login)).collect();
    let waits: Vec<i64> = refused.iter().map(tells_to_wait).collect();
    for (reply, wait_s) in refused.iter().zip(&waits) {
        let told = reply.header("ratelimit").strip_prefix("\"login\";r=0;t=").unwrap().parse::<i64>().unwrap();
        assert!((1..=60).contains(&told) && (told..=told + 60).contains(wait_s), "{told} {wait_s}");
    }
    assert!(waits.iter().any(|w| w.abs_diff(waits[0]) > 2), "those behind one address come back one by one: {waits:?}");
    assert_eq!(send(&world, "/v1/auth/login", "203.0.113.6", None, &login).status, 200, "another address is another");
    let spoofed = send(&world, "/v1/auth/login", "203.0.113.7, 203.0.113.5", None, &login);
    assert_eq!(spoofed.status, 429, "what the client itself wrote into the header is not believed");
    assert_eq!(send(&world, "/v1/auth/%6cogin", "203.0.113.5", None, &login).status, 429, "however it is spelt");
    world.pass(60_000);
    assert_eq!(send(&world, "/v1/auth/login", "203.0.113.5", None, &login).status, 200);
}

#[test]
fn a_rate_limit_on_signing_in_counts_an_account_with_where_it_is_tried_from_so_that_nobody_uses_up_anothers() {
    let world = world(|config| config.login_account_per_minute = 2);
    let hand = Hand::register(&world, "he");
    let password = World::password("he");
    let login = json!({"login": "he", "password": password});
    let from = |address: &str, body: &Value| send(&world, "/v1/auth/login", address, None, body);
    let statuses = [0, 1, 2].map(|_| from("203.0.113.5", &login).status);
    assert_eq!(statuses, [200, 200, 429]);
    let proof = hand.key.sign(b"fengqiao-login:", format!("{}\nhe\n{password}", hand.device).as_bytes());
    let phone = |proof: &[u8]| {
        let proof = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, proof);
        json!({"login": "he", "password": password, "device": hand.device, "proof": proof})
    };
    assert_eq!(from("203.0.113.5", &phone(&[7; 64])).status, 429, "who only names his phone is who he was");
    assert_eq!(from("203.0.113.6", &login).status, 200, "he himself, at another desk");
    let other = json!({"login": "colleague", "password": World::password("colleague")});
    assert_eq!(from("203.0.113.5", &other).status, 200, "somebody else at that address");
    let statuses = [0, 1, 2].map(|_| from("203.0.113.5", &phone(&proof)).status);
    assert_eq!(statuses, [200, 200, 429], "his phone is counted for itself");
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
    let sync = |hand: &Hand| send(&world, "/v1/sync", "203.0.113.5", Some(&hand.token), &json!({})).status;
    // Registering by hand has synced once.
    let first: Vec<_> = (1..400).map(|_| sync(&one)).take_while(|status| *status != 429).collect();
    assert!((39..399).contains(&first.len()) && first.iter().all(|status| *status == 415), "{first:?}");
    assert_eq!(sync(&other), 415);
}

#[test]
fn a_rate_limit_on_syncing_counts_accounts_and_addresses_too() {
    let world = world(|config| config.sync_account_per_second = 1);
    let (one, two, other) =
        (Hand::register(&world, "he"), Hand::register(&world, "he"), Hand::register(&world, "colleague"));
    let sync = |world: &World, hand: &Hand, from: &str| {
        let reply = send(world, "/v1/sync", from, Some(&hand.token), &json!({}));
        (reply.status, reply.header("ratelimit").split(';').next().unwrap().to_owned())
    };
    // His two phones in turn, from two addresses: neither is often enough by itself.
    let mut turns = [(&one, "203.0.113.5"), (&two, "203.0.113.6")].into_iter().cycle().take(400);
    let broken = turns.find_map(|(hand, from)| Some(sync(&world, hand, from)).filter(|(status, _)| *status == 429));
    assert_eq!(broken, Some((429, "\"sync_account\"".into())));
    assert_eq!(sync(&world, &other, "203.0.113.5").0, 415, "somebody else there");
    let mut world = world;
    world.stop();
    world.start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".into()];
        config.sync_address_per_second = 1;
    });
    let mut turns = [&one, &other].into_iter().cycle().take(400);
    let broken = turns.find_map(|hand| Some(sync(&world, hand, "203.0.113.5")).filter(|(status, _)| *status == 429));
    assert_eq!(broken, Some((429, "\"sync_address\"".into())));
    assert_eq!(sync(&world, &one, "203.0.113.6").0, 415, "the same phone elsewhere");
}

#[test]
fn a_rate_limit_on_refreshing_counts_the_phone_that_shows_its_old_token_and_else_the_address() {
    let world = world(|config| {
        config.refresh_per_minute = 2;
        config.refresh_address_per_minute = 1;
    });
    let (one, other) = (Hand::register(&world, "he"), Hand::register(&world, "he"));
    world.pass(11 * MINUTE);
    let refresh = |from: &str, token: Option<&str>| {
        send(&world, "/v1/auth/refresh", from, token, &json!({"refresh_token": "x"})).status
    };
    let address = |from: &str| refresh(from, None);
    assert_eq!([address("1.1.1.1"), address("1.1.1.1"), address("1.1.1.1"), address("1.1.1.2")], [401, 401, 429, 401]);
    let six = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3", "2001:db8:0:1::1"];
    assert_eq!(six.map(address), [401, 401, 429, 401], "an IPv6 client has a /64");
    // A token that has expired still tells whose phone asks, wherever it stands; a forged one does not.
    let shown = |hand: &Hand| refresh("1.1.1.1", Some(&hand.token));
    assert_eq!([shown(&one), shown(&one), shown(&one), shown(&other)], [401, 401, 429, 401]);
    let mut forged = one.token.clone();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    assert_eq!(refresh("1.1.1.1", Some(&format!("{forged}x"))), 429);
    assert_eq!(world.get("/v1/me", Some(&one.token)).0, 401, "and it opens nothing");
}

#[test]
fn a_rate_limit_stands_on_every_other_route_and_a_narrower_one_on_searching_and_on_masked_numbers() {
    let world = world(|config| {
        config.requests_per_minute = 12;
        config.search_per_minute = 2;
        config.reveal_per_minute = 1;
        config.pages_per_minute = 4;
    });
    let token = world.token("mediation-director");
    let get = |path: &str| world.get(path, Some(&token)).0;
    assert_eq!([0, 1, 2].map(|_| get("/v1/cases?q=%E6%AC%A0%E8%96%AA")), [200, 200, 429]);
    let search = send(&world, "/v1/persons/search", "", Some(&token), &json!({"number": "13912345678"}));
    assert!(tells_to_wait(&search) >= 1, "by a number or by words: it is one allowance");
    let told = |reply: &Reply| ["ratelimit-policy", "ratelimit"].map(|name| reply.header(name).to_owned());
    let [policy, limit] = told(&search);
    assert!(
        policy == "\"search\";q=2;w=60" && limit.starts_with("\"search\";r=0;t="),
        "the broken one: {policy} {limit}"
    );
    assert_eq!(get("/v1/cases"), 200, "a list that is not searched is another matter");
    let reveal = || {
        let path = format!("/v1/cases/{}/reveal", uuid::Uuid::nil());
        send(&world, &path, "", Some(&token), &json!({"fields": ["narrative"], "reason": "核对当事人身份信息"}))
    };
    let [shown, refused] = [reveal(), reveal()];
    assert_eq!([shown.status, refused.status], [404, 429]);
    assert_eq!(told(&refused)[0], "\"reveal\";q=1;w=60");
    let left: Vec<_> = (0..40).map(|_| get("/v1/me")).collect();
    assert_eq!(left[..5], [200; 5], "seven of twelve were used above");
    assert!(left.contains(&429), "{left:?}");
    assert_eq!(world.get("/v1/me", Some(&world.token("he"))).0, 200, "nobody pays for somebody else");
    let page = |path: &str| world.get(path, None).0;
    assert_eq!([0, 1, 2, 3, 4].map(|_| page("/sign-in")), [200, 200, 200, 200, 429]);
    assert_eq!([0, 1, 2, 3, 4].map(|_| page("/healthz")), [200; 5], "a balancer asks as often as it likes");
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
