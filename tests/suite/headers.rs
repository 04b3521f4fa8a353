//! Headers that every answer carries, whoever asks and however it went; and what is shown to this machine only.

use serde_json::Value;
use tests::World;

fn get(world: &World, path: &str, from: &str, token: Option<&str>) -> (u16, ureq::http::HeaderMap) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.get(format!("{}{path}", world.url())).header("X-Forwarded-For", from);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let response = request.call().unwrap();
    (response.status().as_u16(), response.headers().clone())
}

#[test]
fn every_answer_carries_the_security_headers() {
    let world = World::new();
    let token = world.token("community");
    for (path, token) in [
        ("/healthz", None),
        ("/nowhere", None),
        ("/v1/cases", None),
        ("/v1/cases", Some(token.as_str())),
        ("/v1/cases?limit=x", Some(token.as_str())),
        ("/v1/events", Some(token.as_str())),
        ("/v1/auth/login", None),
    ] {
        let (status, headers) = get(&world, path, "", token);
        let header = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let at = format!("{path} {status}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{at}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{at}");
        assert_eq!(header("cache-control"), "no-store", "{at}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{at}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{at}");
        assert!(!headers.contains_key("strict-transport-security"), "only where there is TLS: {at}");
        assert!(!headers.contains_key("access-control-allow-origin") && !headers.contains_key("server"), "{at}");
    }
}

#[test]
fn figures_are_shown_to_this_machine_or_for_their_token_by_their_headers() {
    let mut world = World::new();
    world.stop();
    world.start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".into()];
        config.metrics_token = Some("scrape-me".into());
    });
    let of = |from: &str, token: Option<&str>| get(&world, "/metrics", from, token).0;
    assert_eq!([of("127.0.0.1", None), of("203.0.113.5", None)], [200, 403]);
    assert_eq!([of("203.0.113.5", Some("scrape-me")), of("203.0.113.5", Some("scrape-m"))], [200, 403]);
    assert_eq!(of("203.0.113.5", Some(&world.token("admin"))), 403);
}

#[test]
fn what_is_open_without_a_token_says_so_in_the_description() {
    let world = World::new();
    let (_, api) = world.get("/v1/openapi.json", None);
    for path in ["/healthz", "/readyz"] {
        let security: &Value = &api["paths"][path]["get"]["security"];
        assert_eq!(security, &serde_json::json!([{}]), "{path}");
    }
    let guarded = api["paths"]["/v1/cases"]["get"].get("security");
    assert!(guarded.is_none_or(|s| s.to_string().contains("bearer")), "{guarded:?}");
}

#[test]
fn behind_a_proxy_that_speaks_tls_headers_and_cookies_bind_browsers_to_it() {
    let mut world = World::new();
    let sign_in = |world: &World| {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let form = [("login", "community"), ("password", &World::password("community"))];
        let answer = agent.post(format!("{}/sign-in", world.url())).send_form(form).unwrap();
        assert_eq!(answer.status(), 303);
        let cookies = answer.headers().get_all("set-cookie").iter().map(|v| v.to_str().unwrap().to_owned());
        (cookies.collect::<Vec<_>>().join("\n"), answer.headers().contains_key("strict-transport-security"))
    };
    let (cookie, bound) = sign_in(&world);
    assert!(cookie.contains("fengqiao_session=") && !cookie.contains("Secure") && !bound, "{cookie}");
    world.stop();
    world.start_with(|config| config.behind_tls = true);
    let (cookie, bound) = sign_in(&world);
    for word in ["fengqiao_session=", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{word}: {cookie}");
    }
    assert!(bound);
    for path in ["/healthz", "/nowhere", "/sign-in", "/v1/cases"] {
        let (_, headers) = get(&world, path, "", None);
        assert_eq!(headers["strict-transport-security"], "max-age=31536000", "{path}");
    }
}
