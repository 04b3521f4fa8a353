//! A real browser, driven as a person uses it: headless Chromium by its driver, one window at a time.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tests::World;
use tokio::runtime::Runtime;

/// The version of axe that judges the pages; it comes from its npm package and is never part of the product.
const AXE: &str = "axe-core@4.10.3";
/// Nobody waits longer for a page to show something.
const PATIENCE: Duration = Duration::from_secs(15);
/// The windows in which every page is looked at: a desk and a phone.
pub const SIZES: [(&str, u32, u32); 2] = [("desk", 1366, 768), ("phone", 390, 844)];

fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("this program has a path");
    exe.ancestors().find(|p| p.ends_with("target")).expect("a target folder").to_owned()
}

fn axe() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let folder = target().join("axe");
        let file = folder.join("node_modules/axe-core/axe.min.js");
        if !file.exists() {
            std::fs::create_dir_all(&folder).expect("a folder");
            let done = Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                .arg(&folder)
                .arg(AXE)
                .status();
            assert!(done.is_ok_and(|s| s.success()), "npm could not fetch {AXE}");
        }
        std::fs::read_to_string(file).expect("axe")
    })
}

struct Driver {
    child: Child,
    url: String,
}

impl Driver {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed");
        let url = format!("http://127.0.0.1:{port}");
        let begun = Instant::now();
        while ureq::get(format!("{url}/status")).call().is_err() {
            assert!(begun.elapsed() < PATIENCE, "chromedriver does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { child, url }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One person's browser.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    base: String,
    driver: Driver,
}

impl Browser {
    /// Opens a browser on the world's server.
    pub fn new(world: &World) -> Self {
        Self::at(world.url())
    }

    /// Opens a browser on a server.
    pub fn at(base: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let driver = Driver::start();
        let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
        let mut wish = Capabilities::new();
        wish.insert("goog:chromeOptions".into(), json!({ "args": arguments }));
        wish.insert("goog:loggingPrefs".into(), json!({ "browser": "ALL" }));
        let client = runtime.block_on(async {
            ClientBuilder::new(HttpConnector::new()).capabilities(wish).connect(&driver.url).await.expect("a session")
        });
        let browser = Self { runtime, client, base, driver };
        browser.resize(SIZES[0].1, SIZES[0].2);
        browser
    }

    /// Opens a browser and signs in.
    pub fn of(world: &World, login: &str) -> Self {
        let browser = Self::new(world);
        browser.sign_in(login);
        browser
    }

    pub fn sign_in(&self, login: &str) {
        self.sign_in_with(login, &World::password(login));
    }

    pub fn sign_in_with(&self, login: &str, password: &str) {
        self.open("/sign-in");
        self.fill("input[name=login]", login);
        self.fill("input[name=password]", password);
        self.press("button.main");
    }

    /// The next person at the same browser.
    pub fn forget(&self) {
        self.runtime.block_on(self.client.delete_all_cookies()).expect("no cookies");
    }

    /// As wide as asked for: a window itself is never narrower than 500.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        // A scroll bar takes room beside the page that a phone does not give it, and hides what hangs over.
        self.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
    }

    /// A word to the browser's own tools.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let session = self.runtime.block_on(self.client.session_id()).expect("a session").unwrap_or_default();
        let mut answer = ureq::post(format!("{}/session/{session}/goog/cdp/execute", self.driver.url))
            .send_json(json!({ "cmd": command, "params": parameters }))
            .unwrap_or_else(|e| panic!("{command}: {e}"));
        let limit = 100 << 20;
        let told = answer.body_mut().with_config().limit(limit).read_json::<Value>();
        told.unwrap_or_else(|e| panic!("{command}: {e}"))["value"].clone()
    }

    /// Keeps a picture of the whole page.
    pub fn picture(&self, name: &str) {
        let sizes = self.devtools("Page.getLayoutMetrics", &json!({}));
        let (width, height) = (&sizes["cssContentSize"]["width"], &sizes["cssContentSize"]["height"]);
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let wish = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", &wish);
        let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("a picture");
        let folder = target().join("screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("a file");
    }

    /// Chooses what has this value.
    pub fn choose(&self, css: &str, value: &str) {
        self.runtime.block_on(async {
            let field = self.client.find(Locator::Css(css)).await.unwrap_or_else(|e| panic!("{css}: {e}"));
            field.select_by_value(value).await.unwrap_or_else(|e| panic!("{css} {value}: {e}"));
        });
    }

    pub fn open(&self, path: &str) {
        self.runtime.block_on(self.client.goto(&format!("{}{path}", self.base))).expect("a page");
    }

    pub fn path(&self) -> String {
        let url = self.runtime.block_on(self.client.current_url()).expect("an address");
        url.path().to_owned()
    }

    /// Writes into a field that can be seen.
    pub fn fill(&self, css: &str, text: &str) {
        let begun = Instant::now();
        let filled = || {
            self.runtime.block_on(async {
                let field = self.client.find(Locator::Css(css)).await?;
                field.clear().await?;
                field.send_keys(text).await
            })
        };
        while let Err(e) = filled() {
            // The driver looks, clears and writes in steps of its own. A page that is brought up to date between two of them has another
            // field there, and the one before is stale or not to be written into: then it is looked for once more. A fold that is closed
            // by now has been closed by the page, under the hands of who writes.
            let told = e.to_string();
            let passing = told.contains("stale") || told.contains("not interactable");
            assert!(passing && begun.elapsed() < PATIENCE, "{css}: {e}");
            assert!(!self.is_folded(css), "{css} lies in a closed fold: {e}");
        }
    }

    /// Whether something lies in a fold that is closed.
    fn is_folded(&self, css: &str) -> bool {
        let found = format!("document.querySelector({})", json!(css));
        let folded = format!(
            "for (let at = {found}; at; at = at.parentElement) if (at.tagName === 'DETAILS' && !at.open) return true; return false"
        );
        self.script(&folded) == json!(true)
    }

    /// Presses what stands there; waits until the page that follows is there.
    pub fn press(&self, css: &str) {
        let middle = format!("document.querySelector({}).scrollIntoView({{block: 'center'}})", json!(css));
        self.script(&format!("window.before = true; {middle}"));
        // The page may have been brought up to date between looking and pressing: then it is looked for once more.
        let mut tries = 0;
        let pressed = || self.runtime.block_on(async { self.client.find(Locator::Css(css)).await?.click().await });
        while let Err(e) = pressed() {
            tries += 1;
            assert!(tries < 5 && e.to_string().contains("stale"), "{css}: {e}");
        }
        self.until("the next page", || {
            self.script("return window.before !== true && document.readyState === 'complete'") == json!(true)
        });
    }

    /// Opens something and whatever it lies in, without leaving the page; it stands open then.
    pub fn unfold(&self, css: &str) {
        let found = format!("document.querySelector({})", json!(css));
        let open =
            format!("for (let at = {found}; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true");
        self.script(&open);
        let stands = format!("const at = {found}; return !!at && at.checkVisibility()");
        self.until(css, || self.script(&stands) == json!(true) && !self.is_folded(css));
    }

    /// What a script on the page answers; nothing, where the page has moved on from under it.
    pub fn script(&self, script: &str) -> Value {
        self.runtime.block_on(self.client.execute(script, Vec::new())).unwrap_or(Value::Null)
    }

    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; the page says:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says this.
    pub fn see(&self, words: &str) {
        self.until(words, || self.text().contains(words));
    }

    pub fn not_see(&self, words: &str) {
        assert!(!self.text().contains(words), "{words} stands on the page:\n{}", self.text());
    }

    /// Whether there is such an element.
    pub fn has(&self, css: &str) -> bool {
        self.script(&format!("return document.querySelector({}) !== null", json!(css))) == json!(true)
    }

    /// Looks at the page in both windows, keeps a picture of each, and asks axe.
    pub fn look(&self, name: &str) {
        for (size, width, height) in SIZES {
            self.resize(width, height);
            self.picture(&format!("{name}-{size}"));
            let wide = self.script("return document.documentElement.scrollWidth - window.innerWidth");
            assert!(wide.as_i64().unwrap_or(0) <= 1, "{name} is wider than a {size}: {wide}");
            self.accessible(&format!("{name} ({size})"));
        }
        self.resize(SIZES[0].1, SIZES[0].2);
    }

    /// Asks axe about the page as it stands; and whether it makes anybody read an id.
    pub fn accessible(&self, name: &str) {
        let ids = self.script(
            "return document.body.innerText.match(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g)",
        );
        assert!(ids.is_null(), "{name} shows ids: {ids}");
        let told = self.violations();
        assert!(told.is_empty(), "{name}:\n{}", told.join("\n"));
    }

    /// What axe finds on the page.
    pub fn violations(&self) -> Vec<String> {
        // Into the page as the driver's own script, past the page's policy.
        self.script(axe());
        let tags = json!(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]);
        let ask = format!(
            "const done = arguments[arguments.length - 1]; \
             axe.run(document, {{ runOnly: {{ type: 'tag', values: {tags} }} }}).then(r => done(r.violations), e => done(String(e)));"
        );
        let found = self.runtime.block_on(self.client.execute_async(&ask, Vec::new())).expect("axe answers");
        let found = found.as_array().unwrap_or_else(|| panic!("axe failed: {found}")).clone();
        let told = |v: &Value| format!("{}: {} {}", v["id"], v["help"], v["nodes"][0]["failureSummary"]);
        found.iter().map(told).collect()
    }

    /// Nothing may stand in the console but what the server refused on purpose.
    pub fn no_errors_but(&self, expected: &[&str]) {
        let errors = self.errors_but(expected);
        assert!(errors.is_empty(), "{errors:#?}");
    }

    /// What stands in the console beside what is expected.
    pub fn errors_but(&self, expected: &[&str]) -> Vec<String> {
        let session = self.runtime.block_on(self.client.session_id()).expect("a session").unwrap_or_default();
        let mut answer = ureq::post(format!("{}/session/{session}/se/log", self.driver.url))
            .send_json(json!({ "type": "browser" }))
            .expect("a log");
        let log = answer.body_mut().read_json::<Value>().expect("a log")["value"].clone();
        let mut errors = Vec::new();
        for line in log.as_array().into_iter().flatten() {
            let text = line["message"].as_str().unwrap_or_default();
            if line["level"] == "SEVERE" && !expected.iter().any(|e| text.contains(e)) {
                errors.push(text.to_owned());
            }
        }
        errors
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let client = self.client.clone();
        let _ = self.runtime.block_on(client.close());
    }
}
