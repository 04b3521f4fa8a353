//! The world that tests live in: a real server on a real database, phones with real stores, one clock that the test moves. Tests
//! enter through [`World`] and read as sentences.

pub mod database;
pub mod phones;
pub mod photos;
pub mod scribble;
#[path = "../simulate/mod.rs"]
pub mod simulate;
pub mod stream;
pub mod tus;
pub mod vectors;
pub mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use server::app::App;
use server::clock::{DemoClock, SystemEntropy};
use server::config::Config;
use server::run::{RunningServer, serve};
use sync_core::calendar::beijing_ms;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::time::Clock;
use tempfile::TempDir;

pub use database::TestDatabase;
pub use phones::{TestHost, TestPhone};
pub use stream::TestStream;

/// Minutes, ms.
pub const MINUTE: i64 = 60_000;
/// Hours, ms.
pub const HOUR: i64 = 60 * MINUTE;

/// The community of the seed's case.
pub fn biyan() -> AreaCode {
    AreaCode::new("GM-BIYAN").unwrap()
}

/// The program, as it is built from what stands here.
pub fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        build_program();
        let here = std::env::current_exe().unwrap();
        here.parent().unwrap().with_file_name(format!("fengqiao{}", std::env::consts::EXE_SUFFIX))
    };
    BUILT.get_or_init(build).clone()
}

/// Builds the program as this one is built: with or without optimisation.
pub fn build_program() {
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    // Both packages: the same features, and so the same build, as that of the tests themselves.
    cargo.args(["build", "--quiet", "--locked", "-p", "server", "-p", "tests", "--bin", "fengqiao"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // What cargo told this program of its package is not for the build: `ring` asks for it, and would be built anew each time that the
    // one who asks is another, with the half of the tree that rests on it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    assert!(cargo.status().unwrap().success(), "the program was not built");
}

/// A server with the demo's areas and people, at nine o'clock on 17 May 2019.
pub struct World {
    /// What is deleted last.
    pub dir: TempDir,
    /// The clock of the server and, unless a test turns one, of every phone.
    pub clock: Arc<DemoClock>,
    /// The database.
    pub database: TestDatabase,
    /// What is set otherwise than by default from the next start.
    pub settings: Config,
    server: Option<RunningServer>,
}

impl World {
    /// Starts one.
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// Starts one with settings of its own; where it listens, what it stores in and the scheduler are the test's.
    pub fn with(settings: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(DemoClock::starting_at(beijing_ms(2019, 5, 17, 9, 0)));
        let database = TestDatabase::new(dir.path());
        let objects = dir.path().join("objects").display().to_string();
        let objects = if settings.objects.is_empty() { objects } else { settings.objects.clone() };
        let settings = Config { objects, ..settings };
        let mut world = Self { dir, clock, database, settings, server: None };
        world.start();
        world.import(schema::DEMO_IMPORT);
        world
    }

    /// Starts the server on the database as it is.
    pub fn start(&mut self) {
        self.start_with(|_| {});
    }

    /// Starts the server with other settings.
    pub fn start_with(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = Config {
            listen: "127.0.0.1:0".into(),
            database: self.database.url.clone(),
            // Tests run the scheduler themselves, so that they need not wait for it.
            scheduler_interval_ms: 3_600_000,
            shutdown_seconds: 1,
            attachment_gc_minutes: 0,
            replication_watch_seconds: 0,
            retention_watch_seconds: 0,
            // All tests come from one address.
            login_per_minute: 0,
            login_account_per_minute: 0,
            refresh_per_minute: 0,
            refresh_address_per_minute: 0,
            requests_per_minute: 0,
            pages_per_minute: 0,
            search_per_minute: 0,
            reveal_per_minute: 0,
            register_per_hour: 0,
            strangers_per_minute: 0,
            ..self.settings.clone()
        };
        change(&mut config);
        let database = server::db::Database::open(&config.database).unwrap();
        database.migrate().unwrap();
        drop(database);
        self.server = Some(serve(config, self.clock.clone()).unwrap());
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().unwrap();
        }
    }

    /// Makes a backup beside the running server.
    pub fn back_up(&self, name: &str) -> std::path::PathBuf {
        let file = self.dir.path().join(name);
        server::backup::backup(&self.app().db, &file).unwrap();
        file
    }

    /// Loses the database, restores a backup into a new one, and starts on it.
    pub fn lose_and_restore(&mut self, backup: &std::path::Path) {
        self.stop();
        self.database = TestDatabase::new(self.dir.path());
        let db = server::db::Database::open(&self.database.url).unwrap();
        db.migrate().unwrap();
        let law = server::projection::Law::shipped();
        server::backup::restore(&db, &law, backup, self.clock.now_ms(), &SystemEntropy).unwrap();
        drop(db);
        self.start();
    }

    /// The server's inside.
    pub fn app(&self) -> Arc<App> {
        self.server.as_ref().unwrap().app.clone()
    }

    /// The certificate that the server uses.
    pub fn certificates(&self) -> Arc<server::tls::Certificates> {
        self.server.as_ref().unwrap().certificates.clone().unwrap()
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.server.as_ref().unwrap().url()
    }

    /// Imports areas and people.
    pub fn import(&self, toml: &str) {
        let plan = server::areas::parse("import.toml", toml.as_bytes()).unwrap();
        let now_ms = self.clock.now_ms();
        self.app().db.transaction(|conn| server::areas::import(conn, &plan, now_ms, &SystemEntropy)).unwrap();
    }

    /// What the clock shows, ms UTC.
    pub fn clock_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Lets time pass.
    pub fn pass(&self, ms: i64) {
        self.clock.advance(ms);
    }

    /// Runs the scheduler once.
    pub fn scheduler(&self) -> server::escalation::Round {
        server::escalation::run(&self.app()).unwrap()
    }

    /// A phone of somebody who has just signed in on it.
    pub fn phone(&self, login: &str) -> TestPhone {
        TestPhone::signed_in(self, login)
    }

    /// The password of an imported account.
    pub fn password(login: &str) -> String {
        let plan: BTreeMap<&str, &str> = [
            ("he", "he"),
            ("colleague", "colleague"),
            ("baihua", "baihua"),
            ("baihua-head", "baihua-head"),
            ("captain", "captain"),
            ("station-head", "station"),
            ("receptionist", "reception"),
            ("mediator", "mediator"),
            ("mediation-director", "director"),
            ("legal-adviser", "adviser"),
            ("labour-inspection", "labour"),
            ("community", "community"),
            ("street", "street"),
            ("district", "district"),
            ("admin", "admin"),
        ]
        .into();
        format!("maple-bridge-{}", plan[login])
    }

    /// An access token of somebody at a desk.
    pub fn token(&self, login: &str) -> String {
        let body = serde_json::json!({ "login": login, "password": Self::password(login) });
        let (status, reply) = self.post("/v1/auth/login", None, &body);
        assert_eq!(status, 200, "{reply}");
        reply["access_token"].as_str().unwrap().to_owned()
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).build().into()
    }

    /// GET with a token; status and JSON.
    pub fn get(&self, path: &str, token: Option<&str>) -> (u16, serde_json::Value) {
        let mut request = Self::agent().get(format!("{}{path}", self.url()));
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        read(request.call().unwrap())
    }

    /// The id of an account.
    pub fn user(&self, login: &str) -> String {
        let (_, people) = self.get("/v1/users", Some(&self.token("admin")));
        let people = people["items"].as_array().unwrap();
        people.iter().find(|p| p["login"] == login).unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// POST of JSON with a token; status and JSON.
    pub fn post(&self, path: &str, token: Option<&str>, body: &serde_json::Value) -> (u16, serde_json::Value) {
        let mut request = Self::agent().post(format!("{}{path}", self.url()));
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        read(request.send_json(body).unwrap())
    }

    /// POST of bytes with a media type and a token; status and JSON or nothing.
    pub fn post_bytes(&self, path: &str, token: &str, media_type: &str, body: &[u8]) -> (u16, serde_json::Value) {
        let request = Self::agent()
            .post(format!("{}{path}", self.url()))
            .header("Authorization", format!("Bearer {token}"))
            .header("Content-Type", media_type);
        read(request.send(body).unwrap())
    }

    /// Runs the program on this world's database; gives how it ended, what it said and what it complained of.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(program());
        let ran =
            command.current_dir(self.dir.path()).args(["--database", &self.database.url]).args(arguments).output();
        let ran = ran.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    }

    /// Edits a case at a desk.
    pub fn desk(&self, login: &str, case: DocumentId, edits: serde_json::Value) -> (u16, serde_json::Value) {
        let token = self.token(login);
        self.post(&format!("/v1/cases/{case}/edits"), Some(&token), &serde_json::json!({ "edits": edits }))
    }

    /// The folded state of a case as the server holds it.
    pub fn case(&self, id: DocumentId) -> sync_core::case::CaseState {
        let app = self.app();
        let mut conn = app.db.get().unwrap();
        let document = server::journal::load(&mut conn, id).unwrap().expect("the server holds the case");
        sync_core::fold::fold_case(&document)
    }

    /// Recomputes everything and compares.
    pub fn check_rebuild(&self) {
        let app = self.app();
        let report = server::rebuild::rebuild(&app.db, &app.law, false).unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let _ = server.stop();
        }
    }
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> (u16, serde_json::Value) {
    let status = response.status().as_u16();
    let told = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if told.starts_with("text/event-stream") {
        // It has no end.
        return (status, serde_json::Value::Null);
    }
    let text = response.body_mut().read_to_string().unwrap_or_default();
    (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
}
