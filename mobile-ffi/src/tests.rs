//! The whole library against a server that is played from a script: logging in, tokens that expire, a server that stays silent.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use sync_core::ids::{DeviceId, JournalId};
use sync_core::sync::wire::{self, Bytes, MEDIA_TYPE, PROTOCOL_VERSION, SyncResponse};
use sync_core::time::Clock as _;

use crate::host::SystemHost;
use crate::transport::tests::{Script, answer, scripted};
use crate::*;

const USER: &str = "018f0000-0000-7000-8000-000000000001";
const DEVICE: &str = "018f0000-0000-7000-8000-000000000002";

fn tokens(access: &str, refresh: &str) -> Value {
    json!({
        "access_token": access, "token_type": "Bearer", "expires_ms": 600_000, "now_ms": 0, "refresh_token": refresh,
        "user": { "id": USER, "login": "worker", "name": "网格员甲", "roles": [{
            "role": "station_head", "area": "BY", "area_kind": "community", "community": "BY", "communities": ["BY"],
        }] },
    })
}

fn json_answer(status: &str, body: &Value) -> Script {
    answer(status, "content-type: application/json\r\n", &body.to_string())
}

fn problem(status: &str, code: &str) -> Script {
    let body = json!({ "type": format!("urn:fengqiao:problem:{code}"), "title": code, "detail": code });
    answer(status, "content-type: application/problem+json\r\n", &body.to_string())
}

/// Answers as the script does, and keeps the request.
fn seen(requests: &Arc<Mutex<Vec<String>>>, script: Script) -> Script {
    let requests = Arc::clone(requests);
    Box::new(move |stream, request| {
        requests.lock().unwrap().push(request.clone());
        script(stream, request);
    })
}

fn logging_in() -> Vec<Script> {
    let registered =
        json!({ "id": DEVICE, "journal": DEVICE, "token_keys": [], "session": tokens("access-1", "refresh-1") });
    vec![json_answer("200 OK", &tokens("unbound", "unbound")), json_answer("201 Created", &registered)]
}

fn nothing_new() -> Script {
    let response = SyncResponse {
        version: PROTOCOL_VERSION,
        journal: JournalId(DEVICE.parse::<DeviceId>().unwrap().0),
        now_ms: SystemHost::new(None).now_ms(),
        token: Bytes::new(),
        results: vec![],
        refused: vec![],
        deliveries: vec![],
        wanted: vec![],
        purge: vec![],
        decisions: vec![],
        cursors: vec![],
        grants: None,
        more: false,
        relay: None,
        orders: None,
        unanswered: 0,
        pledge: None,
        resupplied: Vec::new(),
    };
    let body = wire::encode(&response).unwrap();
    Box::new(move |mut stream: TcpStream, _| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
    })
}

/// A phone that is logged in to a server which goes on with this script.
fn phone(then: Vec<Script>) -> (tempfile::TempDir, Arc<PhoneLibrary>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("phone.db").to_string_lossy().into_owned();
    let phone = PhoneLibrary::open(path, vec![7; 32], None).unwrap();
    let url = scripted(logging_in().into_iter().chain(then).collect());
    let identity = phone.log_in(url, "worker".into(), "secret".into(), "phone".into(), None).unwrap();
    assert_eq!((identity.device.as_str(), identity.logged_in), (DEVICE, true));
    (dir, phone)
}

#[test]
fn a_refused_token_is_replaced_once_and_the_request_repeated() {
    let requests = Arc::default();
    let script = vec![
        seen(&requests, problem("401 Unauthorized", "token_expired")),
        seen(&requests, json_answer("200 OK", &tokens("access-2", "refresh-2"))),
        seen(&requests, nothing_new()),
    ];
    let (_dir, phone) = phone(script);
    assert_eq!(phone.sync(None, None).unwrap().requests, 1);
    let requests = requests.lock().unwrap();
    assert!(requests[0].contains("authorization: Bearer access-1") && requests[0].starts_with("POST /v1/sync "));
    assert!(requests[1].contains("\"refresh_token\":\"refresh-1\"") && requests[1].contains("\"proof\":\""));
    assert!(requests[2].contains("authorization: Bearer access-2"));
    assert_eq!(phone.authorization_header().unwrap(), "Bearer access-2");
}

#[test]
fn a_session_that_has_ended_asks_for_a_login_and_keeps_the_records() {
    let (_dir, phone) =
        phone(vec![problem("401 Unauthorized", "token_expired"), problem("401 Unauthorized", "session_ended")]);
    let draft =
        DraftInput { community: "BY".into(), fields: FieldMap::new(), wording: Some("欠薪".into()), edits: vec![] };
    let case = phone.create_case(draft).unwrap();
    assert_eq!(phone.sync(None, None), Err(PhoneLibError::NotLoggedIn));
    assert_eq!(phone.sync(None, None), Err(PhoneLibError::NotLoggedIn));
    assert!(!phone.identity().unwrap().unwrap().logged_in);
    assert_eq!(phone.read_case(case).unwrap().narrative, "欠薪");
}

#[test]
fn a_revoked_phone_is_told_so() {
    let (_dir, phone) = phone(vec![problem("401 Unauthorized", "device_revoked")]);
    assert_eq!(phone.sync(None, None), Err(PhoneLibError::Revoked));
    let taken = vec![
        problem("401 Unauthorized", "device_unknown"),
        json_answer("200 OK", &tokens("unbound", "unbound")),
        problem("409 Conflict", "device_key_taken"),
    ];
    let again = phone.log_in(scripted(taken), "worker".into(), "secret".into(), "phone".into(), None);
    assert_eq!(again, Err(PhoneLibError::Revoked));
}

#[test]
fn a_page_of_somebody_else_is_no_sync_response() {
    let (_dir, phone) = phone(vec![answer("200 OK", "content-type: text/html\r\n", "<html>sign in</html>")]);
    assert!(matches!(phone.sync(None, None), Err(PhoneLibError::Protocol { .. })));
}

#[test]
fn reading_and_writing_go_on_while_a_sync_waits() {
    let (arrived, waiting) = mpsc::channel();
    let silent: Script = Box::new(move |stream, _| {
        arrived.send(()).unwrap();
        std::thread::park_timeout(Duration::from_secs(20));
        drop(stream);
    });
    let (_dir, phone) = phone(vec![silent]);
    let draft = || DraftInput { community: "BY".into(), fields: FieldMap::new(), wording: None, edits: vec![] };
    let case = phone.create_case(draft()).unwrap();
    let cancel = CancelToken::new();
    std::thread::scope(|s| {
        let sync = s.spawn(|| phone.sync(None, Some(Arc::clone(&cancel))));
        waiting.recv().unwrap();
        // The server has the request and says nothing.
        assert_eq!(phone.read_case(case.clone()).unwrap().status, "reported");
        phone.set_field(case, "title".into(), FieldValue::Text { value: "写".into() }).unwrap();
        phone.create_case(draft()).unwrap();
        assert_eq!(phone.list_cases(ListFilterInput::default()).unwrap().len(), 2);
        assert_eq!(phone.search("写".into(), 10).unwrap().len(), 1);
        assert_eq!(phone.sync(None, None), Err(PhoneLibError::AlreadySyncing));
        assert!(!sync.is_finished());
        cancel.cancel();
        assert_eq!(sync.join().unwrap(), Err(PhoneLibError::Cancelled));
    });
    assert_eq!(phone.status().unwrap().unsent, 3);
}

#[test]
fn listeners_are_called_without_a_lock() {
    struct Reader(Arc<PhoneLibrary>, Mutex<Vec<String>>);
    impl ChangeListener for Reader {
        fn on_changed(&self, change: ChangeView) -> Result<()> {
            for id in change.documents {
                let title = self.0.read_case(id)?.fields.remove("title");
                self.1.lock().unwrap().push(format!("{title:?}"));
            }
            Err(PhoneLibError::Cancelled)
        }
    }
    let (_dir, phone) = phone(vec![]);
    let reader = Arc::new(Reader(Arc::clone(&phone), Mutex::default()));
    let listener: Arc<dyn ChangeListener> = reader.clone();
    let subscription = phone.subscribe(listener);
    let fields = FieldMap::from([("title".to_owned(), FieldValue::Text { value: "通知".into() })]);
    let draft = DraftInput { community: "BY".into(), fields, wording: None, edits: vec![] };
    phone.create_case(draft.clone()).unwrap();
    phone.unsubscribe(subscription);
    phone.create_case(draft).unwrap();
    let told = reader.1.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("通知"), "{told:?}");
}

#[test]
fn what_a_busy_server_asks_for_is_obeyed_without_asking_again_also_by_an_app_that_was_started_anew() {
    // A second request would wait for a script that is not there.
    let (dir, busy) = phone(vec![answer("503 Service Unavailable", "retry-after: 30\r\n", "")]);
    assert_eq!(busy.sync(None, None), Err(PhoneLibError::TryLater { after_ms: 30_000 }));
    let told = |phone: &PhoneLibrary| match phone.sync(None, None) {
        Err(PhoneLibError::TryLater { after_ms }) => after_ms,
        other => panic!("{other:?}"),
    };
    assert!((25_000..=31_000).contains(&told(&busy)));
    assert!(busy.next_sync_ms().unwrap() > 25_000);
    assert!(matches!(busy.sync_session(), Err(PhoneLibError::TryLater { .. })));
    drop(busy);
    let path = dir.path().join("phone.db").to_string_lossy().into_owned();
    let again = PhoneLibrary::open(path, vec![7; 32], None).unwrap();
    assert!((20_000..=31_000).contains(&told(&again)));
    again.sync_put_off("Fri, 17 May 2019 01:10:00 GMT".into(), "Fri, 17 May 2019 01:00:00 GMT".into()).unwrap();
    // Sent away for the second time in a row: up to four seconds of its own come on top.
    assert!((595_000..=604_000).contains(&told(&again)), "a date counts from the date of the answer");
}

#[test]
fn a_live_stream_that_breaks_is_opened_again_with_the_id_of_the_last_event() {
    let requests = Arc::default();
    let stream = |text: &'static str| answer("200 OK", "content-type: text/event-stream\r\n", text);
    let script = vec![
        nothing_new(),
        seen(&requests, stream("retry: 1\n\nid: J;BY=4\nevent: hello\ndata: {}\n\n")),
        seen(&requests, stream("event: head\ndata: {\"community\":\"BY\",\"head\":5}\n\n")),
    ];
    let (_dir, phone) = phone(script);
    phone.sync(None, None).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !Arc::clone(&phone).events_wait(2_000, None).unwrap().sync_due {
        assert!(std::time::Instant::now() < until);
    }
    let requests = requests.lock().unwrap();
    assert!(requests[0].starts_with("GET /v1/events?only=head ") && !requests[0].contains("last-event-id"));
    assert!(requests[1].contains("last-event-id: J;BY=4"), "{}", requests[1]);
}

#[test]
fn a_wait_for_live_events_is_cancelled_at_once() {
    let silent: Script = Box::new(|stream, _| {
        std::thread::park_timeout(Duration::from_secs(20));
        drop(stream);
    });
    let (_dir, phone) = phone(vec![nothing_new(), silent]);
    phone.sync(None, None).unwrap();
    let cancel = CancelToken::new();
    std::thread::scope(|s| {
        let waiting = s.spawn(|| Arc::clone(&phone).events_wait(60_000, Some(Arc::clone(&cancel))));
        cancel.cancel();
        assert_eq!(waiting.join().unwrap(), Err(PhoneLibError::Cancelled));
    });
    assert!(!Arc::clone(&phone).events_wait(1, None).unwrap().sync_due, "the next call begins anew");
}
