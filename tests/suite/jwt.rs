//! Access tokens as strangers would forge them (RFC 8725), over HTTP: each is refused on every kind of route, with one answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use server::accounts::keys::{Keys, Purpose};
use sha2::{Digest, Sha256};
use sync_core::sync::bundle::DeviceKey;
use tests::World;

/// HMAC-SHA-256 (RFC 2104), for who takes the public key for a secret.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|b| b ^ with);
    let inner = Sha256::digest([&pad(0x36)[..], message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

fn part(token: &str, n: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(n).unwrap()).unwrap()).unwrap()
}

fn text(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn signed(key: &DeviceKey, header: &Value, claims: &Value) -> String {
    let text = text(header, claims);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(key.sign(b"", text.as_bytes())))
}

fn with(value: &Value, name: &str, to: Value) -> Value {
    let mut value = value.clone();
    value[name] = to;
    value
}

#[test]
fn a_jwt_that_somebody_forged_opens_no_route_whatever_it_says_of_itself() {
    let world = World::new();
    let good = world.token("community");
    let (header, claims) = (part(&good, 0), part(&good, 1));
    let keys = Keys::known(&mut world.app().db.get().unwrap(), Purpose::Access).unwrap();
    let key = keys.current().unwrap();
    let own = DeviceKey::from_seed([9; 32]);
    let sign = |header: &Value, claims: &Value| signed(key, header, claims);
    assert_eq!(world.get("/v1/me", Some(&sign(&header, &claims))).0, 200, "the forger of this test forges well");
    let hs = with(&header, "alg", json!("HS256"));
    let hs_text = text(&hs, &claims);
    let hs_token = |secret: &[u8]| format!("{hs_text}.{}", URL_SAFE_NO_PAD.encode(hmac(secret, hs_text.as_bytes())));
    let now_s = world.clock_ms() / 1_000;
    let head = |name: &str, to: Value| sign(&with(&header, name, to), &claims);
    let claim = |name: &str, to: Value| sign(&header, &with(&claims, name, to));
    let other = world.token("street");
    let (body, signature) = good.rsplit_once('.').unwrap();
    let table: Vec<(&str, String)> = vec![
        ("no algorithm", format!("{}.", text(&with(&header, "alg", json!("none")), &claims))),
        (
            "no algorithm, with a signature",
            format!("{}.{signature}", text(&with(&header, "alg", json!("nOnE")), &claims)),
        ),
        ("the public key as the secret", hs_token(&key.public())),
        ("nothing as the secret", hs_token(&[])),
        ("another algorithm by name", head("alg", json!("RS256"))),
        ("a key that nobody knows", head("kid", json!("0000000000000000"))),
        ("a key that is a path", head("kid", json!("../../../dev/null"))),
        ("a key that is a query", head("kid", json!("' OR '1'='1"))),
        ("no key named", head("kid", Value::Null)),
        ("another type", head("typ", json!("JWT"))),
        ("an extension that must not be passed over", head("crit", json!(["exp"]))),
        ("signed by the key that it carries", {
            let x = URL_SAFE_NO_PAD.encode(own.public());
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
            signed(&own, &with(&header, "jwk", jwk), &claims)
        }),
        (
            "signed by the key behind its address",
            signed(&own, &with(&header, "jku", json!("https://evil.example/k")), &claims),
        ),
        ("signed by another key under our key's name", signed(&own, &header, &claims)),
        ("for another audience", claim("aud", json!("another-api"))),
        ("for several", claim("aud", json!(["another-api", "x"]))),
        ("by another issuer", claim("iss", json!("somebody"))),
        ("not yet", claim("nbf", json!(now_s + 3_600))),
        ("expired", claim("exp", json!(now_s - 1))),
        ("without an end", claim("exp", Value::Null)),
        ("for nobody", claim("sub", Value::Null)),
        (
            "for somebody else, after it was signed",
            format!("{}.{signature}", text(&header, &with(&claims, "sub", part(&other, 1)["sub"].clone()))),
        ),
        ("another's words under this signature", format!("{}.{signature}", other.rsplit_once('.').unwrap().0)),
        ("cut", body.to_owned()),
        ("without its signature", format!("{body}.")),
        ("with a bit turned", {
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            bytes[5] ^= 1;
            format!("{body}.{}", URL_SAFE_NO_PAD.encode(bytes))
        }),
        ("with more behind it", format!("{good}.{signature}")),
        ("of a session that there is not", claim("sid", json!(uuid::Uuid::new_v4().to_string()))),
        ("of a phone that there is not", claim("dev", json!(uuid::Uuid::new_v4().to_string()))),
        ("huge", claim("jti", json!("x".repeat(20_000)))),
        ("no token", "nonsense".to_owned()),
        ("dots", "..".to_owned()),
    ];
    let codes = ["token_invalid", "token_expired", "session_ended", "device_revoked"];
    for (what, token) in &table {
        for path in ["/v1/me", "/v1/cases", "/v1/events", "/v1/audit"] {
            let (status, problem) = world.get(path, Some(token));
            let code = problem["type"].as_str().unwrap_or_default().trim_start_matches("urn:fengqiao:problem:");
            assert!(status == 401 && codes.contains(&code), "{what} at {path}: {status} {problem}");
            let told = (*what == "expired", code == "token_expired");
            assert_eq!(told.0, told.1, "{what}: {code}");
        }
        assert_eq!(world.post("/v1/sync", Some(token), &json!({})).0, 401, "{what}");
        // To refresh, an old token only says who asks; a forged one says nothing, and neither opens anything.
        let refresh = world.post("/v1/auth/refresh", Some(token), &json!({"refresh_token": "x"}));
        assert_eq!(refresh.0, 401, "{what}: {refresh:?}");
    }
    assert_eq!(world.get("/v1/me", Some(&good)).0, 200);
}
