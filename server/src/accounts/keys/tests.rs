//! Access tokens as strangers would forge them (RFC 8725), and keys that are rotated.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::SystemEntropy;

const NOW_MS: i64 = 1_000_000;

fn keys(seeds: &[u8]) -> Keys {
    let key = |s: &u8| Key { kid: format!("k{s}"), key: DeviceKey::from_seed([*s; 32]), retired_ms: None };
    Keys(seeds.iter().map(key).collect())
}

fn token(keys: &Keys) -> String {
    keys.issue(UserId(uuid::Uuid::from_u128(7)), uuid::Uuid::nil(), None, NOW_MS, 10, &SystemEntropy).unwrap().0
}

/// Header and claims of a good token.
fn parts() -> (Value, Value) {
    let good = token(&keys(&[1]));
    let part = |n: usize| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(good.split('.').nth(n).unwrap()).unwrap());
    (part(0).unwrap(), part(1).unwrap())
}

fn text(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// Signs whatever it is given, properly, with the first key.
fn signed(header: &Value, claims: &Value) -> String {
    let text = text(header, claims);
    let signature = DeviceKey::from_seed([1; 32]).sign(b"", text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with(mut value: Value, name: &str, to: Value) -> Value {
    value[name] = to;
    value
}

#[test]
fn a_jwt_is_good_until_it_expires_by_the_servers_clock() {
    let keys = keys(&[1]);
    let token = token(&keys);
    assert_eq!(keys.check(&token, NOW_MS).unwrap().sub, UserId(uuid::Uuid::from_u128(7)));
    assert_eq!(keys.check(&token, NOW_MS + 600_000).unwrap_err(), TokenError::Expired);
    let (header, claims) = parts();
    assert!(keys.check(&signed(&header, &claims), NOW_MS).is_ok(), "the forger of these tests forges well");
}

#[test]
fn a_jwt_of_no_algorithm_or_of_one_that_turns_the_public_key_into_a_secret_is_refused() {
    let keys = keys(&[1]);
    let (header, claims) = parts();
    for alg in ["none", "None", "NONE", "nOnE"] {
        let none = text(&with(header.clone(), "alg", json!(alg)), &claims);
        for forged in [format!("{none}."), none.clone(), format!("{none}.AAAA")] {
            assert_eq!(keys.check(&forged, NOW_MS).unwrap_err(), TokenError::Invalid, "{alg}");
        }
    }
    let public = DeviceKey::from_seed([1; 32]).public();
    for (name, alg) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
        let mut header = Header::new(alg);
        (header.kid, header.typ) = (Some("k1".into()), Some(TYPE.into()));
        let claims: Claims = serde_json::from_value(claims.clone()).unwrap();
        let forged = encode(&header, &claims, &EncodingKey::from_secret(&public)).unwrap();
        assert_eq!(keys.check(&forged, NOW_MS).unwrap_err(), TokenError::Invalid, "{name}");
    }
    // Signed by the right key, but told otherwise.
    for alg in ["ES256", "RS256", "HS256", "EdDSA2", ""] {
        let forged = signed(&with(header.clone(), "alg", json!(alg)), &claims);
        assert_eq!(keys.check(&forged, NOW_MS).unwrap_err(), TokenError::Invalid, "{alg}");
    }
}

#[test]
fn a_jwt_of_another_type_with_an_unknown_key_or_an_unknown_extension_is_refused() {
    let keys = keys(&[1]);
    let (header, claims) = parts();
    let lies = [
        ("typ", json!("JWT")),
        ("typ", json!("dpop+jwt")),
        ("typ", Value::Null),
        ("kid", json!("k2")),
        ("kid", json!("../k1")),
        ("kid", Value::Null),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
    ];
    for (name, lie) in lies {
        let forged = signed(&with(header.clone(), name, lie.clone()), &claims);
        assert_eq!(keys.check(&forged, NOW_MS).unwrap_err(), TokenError::Invalid, "{name} {lie}");
    }
    // A key that the token brings along is not looked at.
    let stranger = DeviceKey::from_seed([9; 32]);
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(stranger.public())});
    let brought = text(&with(with(header, "jwk", jwk), "jku", json!("https://127.0.0.1/keys")), &claims);
    let forged = format!("{brought}.{}", URL_SAFE_NO_PAD.encode(stranger.sign(b"", brought.as_bytes())));
    assert_eq!(keys.check(&forged, NOW_MS).unwrap_err(), TokenError::Invalid);
}

#[test]
fn a_jwt_for_somebody_else_by_somebody_else_or_not_yet_good_is_refused() {
    let keys = keys(&[1]);
    let (header, claims) = parts();
    let lies = [
        ("aud", json!("another-api")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("iss", json!("elsewhere")),
        ("iss", Value::Null),
        ("nbf", json!(NOW_MS / 1_000 + 3_600)),
        ("nbf", Value::Null),
        ("exp", Value::Null),
        ("exp", json!("9999999999")),
        ("sub", json!("nobody")),
        ("sid", Value::Null),
    ];
    for (name, lie) in lies {
        let forged = signed(&header, &with(claims.clone(), name, lie.clone()));
        assert_eq!(keys.check(&forged, NOW_MS).unwrap_err(), TokenError::Invalid, "{name} {lie}");
        let mut without = claims.clone();
        without.as_object_mut().unwrap().remove(name);
        assert_eq!(keys.check(&signed(&header, &without), NOW_MS).unwrap_err(), TokenError::Invalid, "no {name}");
    }
    let past = signed(&header, &with(claims, "exp", json!(NOW_MS / 1_000)));
    assert_eq!(keys.check(&past, NOW_MS).unwrap_err(), TokenError::Expired);
}

#[test]
fn a_jwt_that_was_altered_or_cut_is_refused() {
    let keys = keys(&[1]);
    let good = token(&keys);
    for n in 0..good.len() {
        assert!(keys.check(good.get(..n).unwrap(), NOW_MS).is_err(), "{n} bytes");
    }
    for n in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[n] = if bytes[n] == b'A' { b'Q' } else { b'A' };
        assert!(keys.check(&String::from_utf8(bytes).unwrap(), NOW_MS).is_err(), "byte {n}");
    }
    for odd in ["", ".", "..", "...", "a.b.c", &format!("{good}.x"), &format!(" {good}"), &"x".repeat(100_000)] {
        assert!(keys.check(odd, NOW_MS).is_err());
    }
}

#[test]
fn a_jwt_of_a_rotated_key_is_good_until_the_key_is_retired_and_one_of_a_strange_key_is_not() {
    let old = token(&keys(&[1]));
    let mut both = keys(&[2, 1]);
    assert!(both.check(&old, NOW_MS).is_ok());
    assert_eq!(keys(&[2]).check(&old, NOW_MS).unwrap_err(), TokenError::Invalid);
    both.0[1].retired_ms = Some(NOW_MS + 5_000);
    assert!(both.check(&old, NOW_MS + 4_999).is_ok());
    assert_eq!(both.check(&old, NOW_MS + 5_000).unwrap_err(), TokenError::Invalid);
}

#[test]
fn a_jwt_can_be_given_a_life_beyond_all_reckoning() {
    let keys = keys(&[1]);
    for minutes in [i64::MAX, i64::MIN] {
        let issued = keys.issue(UserId(uuid::Uuid::nil()), uuid::Uuid::nil(), None, NOW_MS, minutes, &SystemEntropy);
        let (token, expires_ms) = issued.unwrap();
        assert_eq!((expires_ms > NOW_MS, keys.check(&token, NOW_MS).is_ok()), (minutes > 0, minutes > 0));
    }
}
