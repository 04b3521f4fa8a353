//! What somebody has under his hands at a page: what he typed beside the form that he sends, what he presses, and what he reads while the
//! line to the server breaks.

use serde_json::json;
use tests::World;
use tests::phones::set;

use crate::line::Line;
use crate::support::Browser;

fn form(kind: &str) -> String {
    format!(".actions details:has(input[value={kind}])")
}

/// What stands in a field.
fn value(browser: &Browser, css: &str) -> String {
    let found = browser.script(&format!("return document.querySelector({}).value", json!(css)));
    found.as_str().unwrap_or_else(|| panic!("{css}:\n{}", browser.text())).to_owned()
}

#[test]
fn what_was_typed_into_one_form_is_still_there_after_another_one_was_sent_and_no_longer() {
    let world = World::new();
    let he = world.phone("he");
    let reporter = vec![set("report.reporter", "熊某"), set("report.reporter_phone", "13800138000")];
    let case = he.report_with(reporter);
    he.sync();
    let browser = Browser::of(&world, "community");
    let file = format!("/cases/{case}");
    let (note, reason) = (format!("{} textarea", form("note")), "#reveal input[name=reason]");
    let people = "#correct form:has(input[value=people_involved])";
    let left = || browser.script("return sessionStorage.length");
    browser.open(&file);
    for (fold, field, text) in
        [(form("note"), note.as_str(), "写到一半"), ("#reveal details".into(), reason, "回访需要电话联系")]
    {
        browser.unfold(&fold);
        browser.fill(field, text);
    }
    browser.unfold("#correct");
    browser.fill(&format!("{people} input[name=value]"), "4");
    // Somebody writes at the same place meanwhile.
    he.edit(case, &[set("people_involved", 5)]);
    he.sync();
    browser.see("有新内容");
    browser.unfold(&form("accepted"));
    browser.press(&format!("{} button", form("accepted")));
    browser.see("已记入案卷");
    assert_eq!(value(&browser, &note), "写到一半");
    assert!(browser.has(&form("note").replace("details", "details[open]")), "what was typed lies in a closed fold");
    assert_eq!(value(&browser, reason), "", "why numbers shall be shown is kept nowhere");
    assert_eq!(left(), json!(0), "nothing waits any longer");
    browser.look("file-typed");
    // What he had not seen when he wrote, he is still told of.
    assert_eq!(value(&browser, &format!("{people} input[name=value]")), "4");
    browser.press(&format!("{people} button"));
    browser.see("已经有人改过这一项");
    assert_eq!(value(&browser, &note), "写到一半", "also beside what was refused");
    assert_eq!(world.case(case).number("people_involved"), Some(5));
    browser.open(&file);
    assert_eq!(value(&browser, &note), "", "whoever goes elsewhere without sending it has let it go");
    browser.unfold(&form("note"));
    browser.fill(&note, "又写到一半");
    browser.press(".who form button");
    assert_eq!((browser.path().as_str(), left()), ("/sign-in", json!(0)));
    browser.sign_in("community");
    browser.open(&file);
    assert_eq!(value(&browser, &note), "");
    browser.no_errors_but(&["409 (Conflict)"]);
}

#[test]
fn what_is_pressed_stands_there_until_it_is_let_go() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let (one, other) = (Browser::of(&world, "community"), Browser::of(&world, "community"));
    let people = |browser: &Browser, n: &str| {
        let facts = "return [...document.querySelectorAll('.facts dd')].map(d => d.innerText)";
        browser.script(facts).as_array().is_some_and(|all| all.contains(&json!(n)))
    };
    for browser in [&one, &other] {
        browser.open(&format!("/cases/{case}"));
        browser.see("实时");
    }
    let at = one.script(
        "const at = document.querySelector('#dues summary').getBoundingClientRect(); return [at.x + 9, at.y + 9]",
    );
    let mouse = |kind: &str| {
        let told = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
        one.devtools("Input.dispatchMouseEvent", &told);
    };
    for n in ["4", "5", "6"] {
        mouse("mousePressed");
        he.edit(case, &[set("people_involved", n.parse::<i64>().unwrap())]);
        he.sync();
        other.until("what arrived", || people(&other, n));
        let before = one.has("#dues details[open]");
        mouse("mouseReleased");
        one.until("the fold to turn", || one.has("#dues details[open]") != before);
        one.until("what arrived", || people(&one, n));
    }
    one.no_errors_but(&[]);
}

#[test]
fn a_page_whose_line_breaks_says_so_and_catches_up_when_it_is_back() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let line = Line::to(&world.url());
    let browser = Browser::at(line.url());
    browser.sign_in("community");
    browser.open(&format!("/cases/{case}"));
    browser.until("the mark", || browser.has("#live.on"));
    browser.script("window.same = true");
    let shown = |n: &str| {
        let facts = "return [...document.querySelectorAll('.facts dd')].map(d => d.innerText)";
        browser.script(facts).as_array().is_some_and(|all| all.contains(&json!(n)))
    };
    for n in ["4", "5"] {
        line.cut();
        browser.until("the mark to go off", || browser.has("#live.off"));
        browser.see("未连接");
        he.edit(case, &[set("people_involved", n.parse::<i64>().unwrap())]);
        he.sync();
        assert!(!shown(n), "it came over a line that is cut");
        line.mend();
        browser.until("the mark to go on", || browser.has("#live.on"));
        browser.see("实时");
        browser.until("what happened meanwhile", || shown(n));
    }
    assert_eq!(browser.script("return window.same"), json!(true), "the page was loaded anew");
    // And it listens as before.
    he.edit(case, &[set("people_involved", 6)]);
    he.sync();
    browser.until("what happens now", || shown("6"));
    browser.no_errors_but(&["net::ERR_"]);
}
