//! What pages refuse: with the status and the headers of the refusal, in words, and never with something else in its place.

use server::config::Config;
use tests::World;
use tests::phones::{set, write};

/// Somebody's browser.
struct Browser {
    agent: ureq::Agent,
    url: String,
    cookie: String,
}

struct Page {
    status: u16,
    headers: ureq::http::HeaderMap,
    text: String,
}

impl Page {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Whether it says to wait as long as its header does.
    fn says_how_long(&self) -> bool {
        let seconds: u32 = self.header("retry-after").parse().unwrap();
        self.text.contains(&format!("约需等待 {seconds} 秒"))
    }
}

impl Browser {
    fn new(world: &World) -> Self {
        let settings = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Self { agent: settings.build().into(), url: world.url(), cookie: String::new() }
    }

    fn read(mut answer: ureq::http::Response<ureq::Body>) -> Page {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Page { status, headers, text: answer.body_mut().read_to_string().unwrap() }
    }

    fn sign_in(&mut self, login: &str, password: &str) -> Page {
        let form = [("login", login), ("password", password)];
        let page = Self::read(self.agent.post(format!("{}/sign-in", self.url)).send_form(form).unwrap());
        self.cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
        page
    }

    fn of(world: &World, login: &str) -> Self {
        let mut browser = Self::new(world);
        assert_eq!(browser.sign_in(login, &World::password(login)).status, 303);
        browser
    }

    fn get(&self, path: &str) -> Page {
        Self::read(self.agent.get(format!("{}{path}", self.url)).header("Cookie", &self.cookie).call().unwrap())
    }
}

fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::new();
    world.stop();
    world.start_with(change);
    world
}

#[test]
fn a_link_into_the_past_that_was_cut_is_told_and_never_shows_the_file_of_today() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("工人讨要工资。");
    he.sync();
    let browser = Browser::of(&world, "community");
    let acts = format!("action=\"/cases/{case}/");
    let now = browser.get(&format!("/cases/{case}"));
    assert!(now.status == 200 && now.text.contains(&acts) && now.text.contains("讨要工资"));
    for cut in ["at=x", "at=", "at=99999999999999999999", "seen=zz", "seen=", "when=yesterday"] {
        let page = browser.get(&format!("/cases/{case}?{cut}"));
        assert_eq!(page.status, 400, "{cut}");
        assert!(page.text.contains("链接可能不完整"), "{cut}");
        assert!(!page.text.contains(&acts) && !page.text.contains("讨要工资"), "{cut}");
    }
    let then = browser.get(&format!("/cases/{case}?at=999999"));
    assert!(then.status == 200 && !then.text.contains(&acts), "as it stood is read only");
    let emptied = browser.get(&format!("/cases/{case}?when="));
    assert!(emptied.status == 200 && emptied.text.contains(&acts), "who empties the field asks for now");
}

#[test]
fn a_sign_in_page_says_how_long_somebody_is_locked_out() {
    let world = World::new();
    let mut browser = Browser::new(&world);
    let guesses: Vec<_> = (0..6).map(|_| browser.sign_in("he", "guess")).collect();
    let statuses: Vec<_> = guesses.iter().map(|page| page.status).collect();
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    assert!(guesses[5].says_how_long(), "{}", guesses[5].text);
}

#[test]
fn a_list_that_cannot_be_shown_is_refused_with_its_reason_and_does_not_say_that_there_is_nothing() {
    let world = world(|config| config.search_per_minute = 1);
    let he = world.phone("he");
    he.report("工人讨要工资。");
    he.sync();
    let browser = Browser::of(&world, "community");
    let nothing = "class=\"empty\"";
    let found = |path: &str| browser.get(path);
    assert!(found("/cases?q=%E5%AE%97").text.contains(nothing), "a search that finds nothing says so");
    let limited = found("/cases?q=%E5%AE%97");
    assert_eq!((limited.status, limited.header("ratelimit-policy")), (429, "\"search\";q=1;w=60"));
    assert!(limited.says_how_long() && !limited.text.contains(nothing), "{}", limited.text);
    for path in [
        "/cases?area=NOPE",
        "/cases?from=zz",
        "/cases?open=maybe",
        "/patrols?area=NOPE",
        "/hazards?area=NOPE",
        "/cases?q=13912345678",
    ] {
        let page = found(path);
        assert_eq!(page.status, 400, "{path}");
        assert!(page.text.contains("role=\"alert\"") && !page.text.contains(nothing), "{path}");
        assert!(page.text.contains("<form class=\"filters"), "{path}: what was asked can be put right");
    }
    let supervisor = Browser::of(&world, "station-head");
    let refused = supervisor.get("/quarantine?received_from=zz");
    assert!(refused.status != 200 && !refused.text.contains(nothing), "{}", refused.status);
}

#[test]
fn a_table_that_is_taken_along_holds_no_formula() {
    let world = World::new();
    let he = world.phone("he");
    let titles = ["=1+1", "  =1+1", "＝1+1", "\u{3000}＠名"];
    for title in titles {
        he.report_with(vec![write("narrative", "工人讨要工资。"), set("title", title)]);
    }
    he.sync();
    let table = Browser::of(&world, "community").get("/cases.csv").text;
    for line in table.lines().skip(1) {
        let title = line.split(',').nth(1).unwrap();
        assert!(title.starts_with('\''), "{title}");
    }
    assert_eq!(table.lines().count(), 1 + titles.len());
}
