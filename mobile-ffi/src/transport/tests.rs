//! The client against servers that misbehave.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;

/// What a server does with one request.
pub(crate) type Script = Box<dyn FnOnce(TcpStream, String) + Send>;

/// A server that reads one request on each connection and answers with the next script.
pub(crate) fn scripted(scripts: Vec<Script>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for script in scripts {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            script(stream, request);
        }
    });
    format!("http://{address}")
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap()))
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return text,
            Ok(n) => seen.extend_from_slice(&piece[..n]),
        }
    }
}

/// An ordinary answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Script {
    let text =
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len());
    Box::new(move |mut stream, _| drop(stream.write_all(text.as_bytes())))
}

fn quick() -> ConnectOptions {
    ConnectOptions { connect_ms_max: 2_000, silence_ms_max: 200, request_ms_max: 2_000, ..ConnectOptions::default() }
}

fn call() -> Call {
    Call {
        method: http::Method::POST,
        path: "/v1/sync".into(),
        headers: Vec::new(),
        media_type: "application/json",
        token: Some("t".to_owned()),
        body: b"{}".to_vec(),
    }
}

fn check(script: Script) -> Result<Reply> {
    let url = scripted(vec![script]);
    Http::new(&url, &quick()).unwrap().send(call(), None).and_then(Reply::accepted)
}

#[test]
fn an_answer_arrives_with_its_type() {
    let reply = check(answer("200 OK", "content-type: application/json; charset=utf-8\r\n", "[1]")).unwrap();
    assert_eq!(
        (reply.status, reply.media_type.as_str(), reply.body.as_slice()),
        (200, "application/json", &b"[1]"[..])
    );
}

#[test]
fn a_server_that_never_answers_is_offline_within_the_limit() {
    let began = Instant::now();
    let silent = |stream: TcpStream, _| {
        std::thread::park_timeout(Duration::from_secs(5));
        drop(stream);
    };
    assert!(matches!(check(Box::new(silent)), Err(PhoneLibError::Offline { .. })));
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn an_answer_that_stops_half_way_is_offline() {
    let cut = |mut stream: TcpStream, _| drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"));
    assert!(matches!(check(Box::new(cut)), Err(PhoneLibError::Offline { .. })));
}

#[test]
fn garbage_is_a_protocol_error() {
    let garbage = |mut stream: TcpStream, _| drop(stream.write_all(b"\x00\x01\x02 not http at all\r\n\r\n"));
    assert!(matches!(check(Box::new(garbage)), Err(PhoneLibError::Protocol { .. })));
}

#[test]
fn a_body_without_end_is_cut_at_the_limit() {
    let flood = |mut stream: TcpStream, _| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"));
        while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
    };
    let error = check(Box::new(flood)).unwrap_err();
    assert!(matches!(&error, PhoneLibError::Protocol { reason } if reason.contains("exceeds")), "{error:?}");
}

#[test]
fn nobody_at_the_address_is_offline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Http::new(&url, &quick()).unwrap().send(call(), None).unwrap_err();
    assert!(matches!(error, PhoneLibError::Offline { .. }), "{error:?}");
}

#[test]
fn refusals_become_the_errors_that_a_host_switches_on() {
    let problem = |status, code: &str| {
        let body = format!(r#"{{"type":"urn:fengqiao:problem:{code}","title":"t","detail":"d"}}"#);
        check(answer(status, "content-type: application/problem+json\r\n", &body)).unwrap_err()
    };
    assert_eq!(problem("401 Unauthorized", "login_failed"), PhoneLibError::BadCredentials);
    assert_eq!(problem("401 Unauthorized", "token_expired"), PhoneLibError::NotLoggedIn);
    assert_eq!(problem("403 Forbidden", "device_revoked"), PhoneLibError::Revoked);
    let server = PhoneLibError::Server { status: 409, code: "taken".to_owned(), detail: "d".to_owned() };
    assert_eq!(problem("409 Conflict", "taken"), server);
}

#[test]
fn a_busy_server_says_when_to_come_back() {
    let busy = check(answer("503 Service Unavailable", "retry-after: 7\r\n", "")).unwrap_err();
    assert_eq!(busy, PhoneLibError::TryLater { after_ms: 7_000 });
    let limited = check(answer("429 Too Many Requests", "retry-after: 99999999999999999\r\n", "")).unwrap_err();
    assert_eq!(limited, PhoneLibError::TryLater { after_ms: BUSY_MS_MAX });
}

#[test]
fn a_redirect_is_not_followed() {
    let away = check(answer("302 Found", "location: http://127.0.0.1:1/portal\r\n", "")).unwrap_err();
    assert!(matches!(away, PhoneLibError::Offline { .. }), "{away:?}");
}

#[test]
fn a_request_that_waits_is_cancelled_at_once() {
    let url = scripted(vec![Box::new(|stream, _| {
        std::thread::park_timeout(Duration::from_secs(5));
        drop(stream);
    })]);
    let patient = ConnectOptions { silence_ms_max: 10_000, request_ms_max: 10_000, ..quick() };
    let client = Http::new(&url, &patient).unwrap();
    let cancel = CancelToken::new();
    let began = Instant::now();
    std::thread::scope(|s| {
        let waiting = s.spawn(|| client.send(call(), Some(&cancel)));
        cancel.cancel();
        assert_eq!(waiting.join().unwrap(), Err(PhoneLibError::Cancelled));
    });
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(client.send(call(), Some(&cancel)), Err(PhoneLibError::Cancelled));
}

#[test]
fn an_address_must_be_protected_and_plain() {
    let open = ConnectOptions { allow_insecure: true, ..ConnectOptions::default() };
    for (url, options, fits) in [
        ("https://hall.example.cn", &quick(), true),
        ("https://hall.example.cn:8443/base/", &quick(), true),
        ("http://127.0.0.1:8080", &quick(), true),
        ("http://localhost:8080", &quick(), true),
        ("http://[::1]:8080", &quick(), true),
        ("http://hall.example.cn", &quick(), false),
        ("http://hall.example.cn", &open, true),
        ("http://127.0.0.1.example.cn", &quick(), false),
        ("https://user:secret@hall.example.cn", &quick(), false),
        ("ftp://hall.example.cn", &open, false),
        ("hall", &quick(), false),
        ("", &quick(), false),
        ("https://", &quick(), false),
    ] {
        let made = Http::new(url, options);
        assert_eq!(made.is_ok(), fits, "{url}");
        let Err(error) = made else { continue };
        assert!(matches!(&error, PhoneLibError::InvalidInput { field, .. } if field == "server_url"), "{error:?}");
    }
}

#[test]
fn roots_that_are_no_certificates_are_named() {
    let options = ConnectOptions { trusted_roots_pem: Some("hello".to_owned()), ..quick() };
    let error = Http::new("https://hall.example.cn", &options).unwrap_err();
    assert!(matches!(&error, PhoneLibError::InvalidInput { field, .. } if field == "trusted_roots_pem"), "{error:?}");
}
