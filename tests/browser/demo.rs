//! The demo itself, as somebody starts it who wants to look around: the program, the address and the logins that it prints.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tests::{TestDatabase, program};

/// Somebody whom the demo names.
#[derive(Debug, Clone)]
pub struct Login {
    pub login: String,
    pub password: String,
    pub roles: Vec<String>,
}

/// The demo, serving on after its day.
pub struct Demo {
    child: Child,
    // Open as long as the program may write into it.
    _told: BufReader<ChildStdout>,
    pub url: String,
    pub logins: Vec<Login>,
    pub summary: Value,
    // What is deleted last.
    _database: TestDatabase,
    _dir: TempDir,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

impl Demo {
    /// Plays the day through, on the database that the tests run on.
    pub fn start() -> Self {
        let program = program();
        let dir = tempfile::tempdir().expect("a folder");
        let database = TestDatabase::new(dir.path());
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--database", &database.url, "demo", "--json", "--keep-database"])
            .current_dir(dir.path())
            .env("TMPDIR", dir.path())
            // All browsers sit at one address.
            .env("FENGQIAO_LOGIN_PER_MINUTE", "0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut told = BufReader::new(child.stdout.take().expect("its words"));
        let (mut url, mut logins) = (None, Vec::new());
        let summary = loop {
            let mut line = String::new();
            let read = told.read_line(&mut line).expect("a line");
            assert!(read > 0, "the demo ended before it served");
            let said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if said["key"] == "serving" {
                let zh = text(&said["zh"]);
                url = zh.split_once("http").and_then(|(_, rest)| Some(format!("http{}", rest.split_once("/ ")?.0)));
            } else if said["login"].is_string() {
                let roles = said["roles"].as_array().expect("roles").iter().map(|r| text(&r["role"])).collect();
                logins.push(Login { login: text(&said["login"]), password: text(&said["password"]), roles });
            } else if said["lost"].is_number() {
                break said;
            }
        };
        let url = url.expect("the address");
        Self { child, _told: told, url, logins, summary, _database: database, _dir: dir }
    }

    /// Somebody of those whom it names.
    pub fn login(&self, login: &str) -> &Login {
        self.logins.iter().find(|l| l.login == login).unwrap_or_else(|| panic!("the demo names no {login}"))
    }

    /// The case of this title.
    pub fn case(&self, title: &str) -> String {
        let cases = self.summary["cases"].as_array().expect("cases");
        text(&cases.iter().find(|c| c["title"] == title).unwrap_or_else(|| panic!("no case {title}"))["id"])
    }

    fn token(&self, login: &Login) -> String {
        let body = serde_json::json!({ "login": login.login, "password": login.password });
        let mut session = ureq::post(format!("{}/v1/auth/login", self.url)).send_json(body).expect("a session");
        let session = session.body_mut().read_json::<Value>().expect("a session");
        format!("Bearer {}", text(&session["access_token"]))
    }

    /// What the API says to somebody.
    pub fn ask(&self, login: &str, path: &str) -> Value {
        let token = self.token(self.login(login));
        let answer = ureq::get(format!("{}{path}", self.url)).header("Authorization", token).call();
        answer.unwrap_or_else(|e| panic!("{path}: {e}")).body_mut().read_json::<Value>().expect("JSON")
    }

    /// What of this the API shows to somebody.
    pub fn may<'a>(&self, login: &Login, paths: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, bool> {
        let token = self.token(login);
        let ask = |path: &str| ureq::get(format!("{}{path}", self.url)).header("Authorization", &token).call();
        paths
            .map(|path| match ask(path) {
                Ok(_) => (path, true),
                Err(ureq::Error::StatusCode(403 | 404)) => (path, false),
                Err(e) => panic!("{path}: {e}"),
            })
            .collect()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // As Ctrl+C: it ends what is under way and takes its folder with it.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
