//! Every page on the demo's data, as everybody whom the demo names sees it, in both languages and in both windows: nothing fails in the
//! console, axe finds nothing, nothing is wider than the window, and of each there is a picture. What somebody may not see is told to him
//! as a page; whether he may is asked of the API.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::demo::{Demo, Login};
use crate::support::Browser;

/// A page: its name, its address, and the address of the API that says who may see it.
struct Page {
    name: &'static str,
    path: String,
    api: Option<String>,
}

fn pages(demo: &Demo) -> Vec<Page> {
    let first = |path: &str| {
        let found = demo.ask("community", path);
        found["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{path}: {found}")).to_owned()
    };
    let row = first("/v1/quarantine");
    let patrols = demo.ask("community", "/v1/patrols");
    let hazards = |p: &&Value| p["hazards_open"].as_i64() > Some(0);
    let patrol = patrols["items"].as_array().unwrap().iter().find(hazards).expect("a patrol with hazards");
    let patrol = patrol["id"].as_str().unwrap();
    let page = |name, path: String, api: &str| Page { name, path, api: Some(api.to_owned()).filter(|a| !a.is_empty()) };
    let case = |name, title: &str, more: &str| {
        let id = demo.case(title);
        page(name, format!("/cases/{id}{more}"), &format!("/v1/cases/{id}"))
    };
    vec![
        page("today", "/today".into(), ""),
        page("cases", "/cases".into(), "/v1/cases"),
        page("search", "/cases?q=%E5%B7%A5%E4%BA%BA&open=true".into(), "/v1/cases"),
        case("file-settled", "水利组17-5栋劳资纠纷", ""),
        case("file-conflict", "工地欠薪苗头", ""),
        case("file-unknowing", "楼梯口堆放杂物", ""),
        case("file-evidence", "工人闲置等待工程开工", ""),
        case("file-past", "工地欠薪苗头", "?when=2019-05-17T16:50"),
        case("changes", "工地欠薪苗头", "/changes"),
        page("patrols", "/patrols".into(), "/v1/patrols"),
        page("patrol", format!("/patrols/{patrol}"), &format!("/v1/patrols/{patrol}")),
        page("hazards", "/hazards".into(), "/v1/hazards"),
        page("quarantine", "/quarantine".into(), "/v1/quarantine"),
        page("quarantine-row", format!("/quarantine/{row}"), &format!("/v1/quarantine/{row}")),
        page("phones", "/phones".into(), "/v1/replication"),
        page("problem", format!("/cases/{}", uuid::Uuid::nil()), &format!("/v1/cases/{}", uuid::Uuid::nil())),
    ]
}

/// What of a page is the same for everybody who sees the same: without tokens, and without what only the clock moves.
const SAME: &str = "const page = document.getElementById('main').cloneNode(true);
    page.querySelectorAll('input[name=csrf]').forEach(i => i.remove());
    page.querySelectorAll('time[data-due]').forEach(t => { t.textContent = ''; t.title = ''; });
    page.querySelectorAll('input[type=datetime-local]').forEach(i => i.removeAttribute('value'));
    return page.innerHTML";

/// Looks at all pages as one person; those that read as somebody else's did were looked at before.
fn look(demo: &Demo, browser: &Browser, login: &Login, pages: &[Page], seen: &Mutex<HashSet<String>>) {
    let may = demo.may(login, pages.iter().filter_map(|p| p.api.as_deref()));
    browser.forget();
    browser.sign_in_with(&login.login, &login.password);
    assert_eq!(browser.path(), "/today", "{login:?} does not get in");
    for page in pages {
        let is_let_in = page.api.as_ref().is_none_or(|api| may[api.as_str()]);
        for (language, tag) in [("zh", "zh-CN"), ("en", "en")] {
            let back = page.path.replace('%', "%25").replace('?', "%3F").replace('&', "%26");
            browser.open(&format!("/language?to={language}&back={back}"));
            let what = format!("{} {} {language}", login.login, page.name);
            assert_eq!(browser.script("return document.documentElement.lang"), json!(tag), "{what}");
            assert!(browser.has("main h1"), "{what} has no heading");
            assert_eq!(browser.has("main .refused[role=alert]"), !is_let_in, "{what}:\n{}", browser.text());
            let expected: &[&str] = if is_let_in { &[] } else { &["404 (Not Found)", "403 (Forbidden)"] };
            browser.no_errors_but(expected);
            let same = format!("{} {language} {}", page.name, browser.script(SAME).as_str().unwrap_or_default());
            let role = login.roles.first().map_or("nobody", String::as_str);
            // Whoever sees a page first looks at it in both windows; to others it shows more or less of the same, which axe is asked about.
            if seen.lock().unwrap().insert(format!("{} {language}", page.name)) {
                seen.lock().unwrap().insert(same);
                browser.look(&format!("{}-{language}-{role}-{}", page.name, login.login));
            } else if seen.lock().unwrap().insert(same) {
                browser.accessible(&what);
            }
        }
    }
}

#[test]
fn every_page_of_the_demo_is_readable_by_everybody_it_names_in_both_languages_and_windows() {
    let demo = Demo::start();
    let pages = pages(&demo);
    let roles: HashSet<&str> = demo.logins.iter().flat_map(|l| &l.roles).map(String::as_str).collect();
    assert_eq!(roles, sync_core::role::Role::ALL.map(sync_core::role::Role::as_str).into(), "a role has no login");
    // The community's supervisor begins: he sees most.
    let mut logins = demo.logins.clone();
    logins.sort_by_key(|login| login.login == "community");
    let waiting = Mutex::new(logins);
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let browser = Browser::at(demo.url.clone());
                loop {
                    let next = waiting.lock().unwrap().pop();
                    let Some(login) = next else { break };
                    look(&demo, &browser, &login, &pages, &seen);
                }
            });
        }
    });
    outside(&demo);
    in_dark_and_on_paper(&demo, &pages);
}

/// Signing in, and being refused there.
fn outside(demo: &Demo) {
    let browser = Browser::at(demo.url.clone());
    for language in ["zh", "en"] {
        browser.open(&format!("/language?to={language}&back=/sign-in"));
        browser.look(&format!("sign-in-{language}"));
    }
    browser.sign_in_with("community", "not-this-one");
    assert!(browser.has(".refused[role=alert]"));
    browser.look("sign-in-refused-en");
    browser.no_errors_but(&["401 (Unauthorized)"]);
}

/// The two pages that lie open all day, by night and on paper.
fn in_dark_and_on_paper(demo: &Demo, pages: &[Page]) {
    let browser = Browser::at(demo.url.clone());
    let login = demo.login("community");
    browser.sign_in_with(&login.login, &login.password);
    for page in pages.iter().filter(|p| ["today", "file-conflict", "file-settled"].contains(&p.name)) {
        browser.open(&page.path);
        let dark = json!({ "media": "", "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
        browser.devtools("Emulation.setEmulatedMedia", &dark);
        browser.look(&format!("{}-dark", page.name));
        browser.devtools("Emulation.setEmulatedMedia", &json!({ "media": "print", "features": [] }));
        browser.resize(794, 1123);
        browser.picture(&format!("{}-print", page.name));
        let visible = "return [...document.querySelectorAll('form, nav, button')].filter(e => e.offsetParent).length";
        assert_eq!(browser.script(visible), json!(0), "{}: on paper nothing can be pressed", page.name);
        browser.devtools("Emulation.setEmulatedMedia", &json!({ "media": "", "features": [] }));
    }
    browser.no_errors_but(&[]);
}
