//! A hall to test against: a real server on a free port, its own database, a clock that tests can move, and a few people.

mod database;

use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Value, json};
use server::accounts::keys::{Keys, Purpose};
use server::areas;
use server::clock::{DemoClock, SystemEntropy};
use server::config::Config;
use server::run::{RunningServer, serve};
use sync_core::sync::bundle::DeviceKey;
use sync_core::time::Clock as _;

use database::TestDatabase;

/// When the hall opens: 09:00 on 17 May 2019 in Beijing.
pub(crate) const START_MS: i64 = 1_558_054_800_000;
const PASSWORD: &str = "maple bridge";

const PEOPLE: &str = r#"
area = [
  { code = "LH", kind = "district", name = "龙华" },
  { code = "FH", kind = "street", name = "福城", parent = "LH" },
  { code = "BY", kind = "community", name = "碧眼", parent = "FH" },
  { code = "BY-G1", kind = "grid", name = "一网格", parent = "BY" },
  { code = "XL", kind = "community", name = "新澜", parent = "FH" },
]
user = [
  { login = "lin", name = "林", password = "maple bridge", roles = [{ role = "grid_worker", area = "BY-G1" }] },
  { login = "chen", name = "陈", password = "maple bridge", roles = [{ role = "supervisor", area = "BY" }] },
  { login = "xu", name = "徐", password = "maple bridge", roles = [{ role = "supervisor", area = "XL" }] },
  { login = "root", name = "管", password = "maple bridge", roles = [{ role = "administrator", area = "LH" }] },
]
"#;

/// The hall.
pub(crate) struct Hall {
    /// Its clock.
    pub(crate) clock: Arc<DemoClock>,
    server: RunningServer,
    agent: ureq::Agent,
    // After the server: what it works on goes when it has gone.
    _database: TestDatabase,
    _folder: tempfile::TempDir,
}

/// What the server answered.
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body, if it was JSON.
    pub(crate) json: Value,
    /// The body.
    pub(crate) text: String,
    /// Its media type.
    pub(crate) media_type: String,
    /// The id in the server's log.
    pub(crate) request_id: String,
}

impl Answer {
    /// The status and the problem's code.
    pub(crate) fn problem(&self) -> (u16, &str) {
        let kind = self.json.get("type").and_then(Value::as_str).unwrap_or_default();
        (self.status, kind.strip_prefix("urn:fengqiao:problem:").unwrap_or(kind))
    }

    /// The access token.
    pub(crate) fn access(&self) -> String {
        self.json.get("access_token").and_then(Value::as_str).unwrap().to_owned()
    }

    /// The refresh token.
    pub(crate) fn refresh(&self) -> String {
        self.json.get("refresh_token").and_then(Value::as_str).unwrap().to_owned()
    }
}

impl Hall {
    /// Opens a hall with its people.
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(DemoClock::starting_at(START_MS));
        let database = TestDatabase::new(folder.path());
        let server = serve(config(&database.url), clock.clone()).unwrap();
        let plan = areas::parse("people.toml", PEOPLE.as_bytes()).unwrap();
        server.app.db.transaction(|conn| areas::import(conn, &plan, START_MS, &SystemEntropy)).unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { clock, server, agent, _database: database, _folder: folder }
    }

    /// What its clock shows.
    pub(crate) fn clock_shows(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Signs somebody in.
    pub(crate) fn sign_in(&self, login: &str) -> Answer {
        let answer = self.sign_in_with(login, PASSWORD);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// Tries a password.
    pub(crate) fn sign_in_with(&self, login: &str, password: &str) -> Answer {
        self.post("/v1/auth/login", "", &json!({"login": login, "password": password}))
    }

    /// Replaces a refresh token.
    pub(crate) fn refresh(&self, token: &str, proof: Option<&str>) -> Answer {
        self.post("/v1/auth/refresh", "", &json!({"refresh_token": token, "proof": proof}))
    }

    /// Registers a phone.
    pub(crate) fn register(&self, login: &str, key: &DeviceKey) -> Answer {
        let body = json!({"name": "phone", "public_key": base64(&key.public())});
        self.post("/v1/devices", &self.sign_in(login).access(), &body)
    }

    /// Rotates the key of access tokens as another process would.
    pub(crate) fn rotate_keys(&self) {
        let rotate =
            |conn: &mut _| Keys::rotate(conn, Purpose::Access, self.clock_shows(), Some(600_000), &SystemEntropy);
        self.server.app.db.transaction(rotate).unwrap();
    }

    /// Asks; no header is sent for an empty token.
    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.server.url()));
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        read(request.call().unwrap())
    }

    /// Sends JSON.
    pub(crate) fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        let mut request =
            self.agent.post(format!("{}{path}", self.server.url())).header("Content-Type", "application/json");
        if !token.is_empty() {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        read(request.send(body.to_string()).unwrap())
    }

    /// Sends anything.
    pub(crate) fn post_raw(&self, path: &str, media_type: &str, body: &str) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.server.url())).header("Content-Type", media_type);
        read(request.send(body).unwrap())
    }
}

/// Standard base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Base64 as in tokens.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn config(database: &str) -> Config {
    Config { listen: "127.0.0.1:0".into(), database: database.into(), workers: 1, ..Config::default() }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (media_type, request_id) = (header("content-type"), header("x-request-id"));
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Answer { status, json, text, media_type, request_id }
}
