//! What the demo's day leaves to people is decided by them in browsers, on the database that the tests run on: conflicts, passages,
//! closures, evidence, quarantine, phones; and two supervisors who decide on one thing at once.

use serde_json::{Value, json};

use crate::demo::Demo;
use crate::support::Browser;

/// Somebody whom the demo names, at a browser.
fn at_desk(demo: &Demo, login: &str) -> Browser {
    let browser = Browser::at(demo.url.clone());
    let login = demo.login(login);
    browser.sign_in_with(&login.login, &login.password);
    browser
}

fn file(demo: &Demo, id: &str) -> Value {
    demo.ask("community", &format!("/v1/cases/{id}"))["state"].clone()
}

fn count(demo: &Demo, id: &str, what: &str) -> usize {
    let state = file(demo, id);
    state[what].as_array().unwrap_or_else(|| panic!("{what}: {state}")).len()
}

#[test]
fn what_the_day_leaves_on_the_desk_is_decided_there() {
    let demo = Demo::start();
    let (one, other) = (at_desk(&demo, "community"), at_desk(&demo, "street"));
    let wages = demo.case("工地欠薪苗头");
    two_on_one_conflict(&demo, &wages, &one, &other);
    a_fact(&demo, &wages, &one);
    a_passage(&demo, &wages, &one);
    a_closure(&demo, &demo.case("楼梯口堆放杂物"), &one);
    an_escalation(&demo, &demo.case("工人闲置等待工程开工"), &other);
    quarantine(&demo, &one);
    phones(&demo, &one);
}

fn two_on_one_conflict(demo: &Demo, id: &str, one: &Browser, other: &Browser) {
    for browser in [one, other] {
        browser.open(&format!("/cases/{id}"));
        assert!(browser.has("#conflicts .side:nth-child(2) button"));
    }
    // Whoever is writing keeps the page that he reads.
    one.unfold(".actions details:has(input[value=note])");
    one.fill(".actions details:has(input[value=note]) textarea", "正在核对人数");
    other.press("#conflicts .side:nth-child(1) button");
    other.see("已记入案卷");
    let decided = file(demo, id)["fields"]["people_involved"].clone();
    one.see("有新内容");
    one.press("#conflicts .side:nth-child(2) button");
    one.see("已经有人改过这一项");
    let refused = one.script("return document.querySelector('.refused[role=alert]').innerText").to_string();
    for expected in ["街道主管", "涉及人数", &decided.to_string()] {
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    one.look("file-changed-meanwhile");
    assert_eq!(file(demo, id)["fields"]["people_involved"], decided, "the second decision entered nothing");
    other.press(".banner form button");
    let back = file(demo, id)["fields"]["people_involved"].clone();
    assert!(back != decided && (back == 8 || back == 11), "{decided} {back}");
    one.no_errors_but(&["409 (Conflict)"]);
    other.no_errors_but(&[]);
}

fn a_fact(demo: &Demo, id: &str, browser: &Browser) {
    browser.open(&format!("/cases/{id}"));
    let form = "#correct form:has(input[value='place.detail'])";
    browser.unfold("#correct");
    browser.fill("#correct form:has(input[value=people_involved]) input[name=value]", "十几个");
    browser.press("#correct form:has(input[value=people_involved]) button");
    browser.see("请填写从 0 起的整数");
    let typed = "return document.querySelector('#correct [aria-invalid=true]').value";
    assert_eq!(browser.script(typed), json!("十几个"));
    browser.look("file-fact-refused");
    browser.unfold("#correct");
    browser.fill(&format!("{form} input[name=value]"), "工地宿舍二楼");
    browser.press(&format!("{form} button"));
    assert_eq!(file(demo, id)["fields"]["place.detail"], "工地宿舍二楼");
    browser.press(".banner form button");
    assert_eq!(file(demo, id)["fields"]["place.detail"], "黑臭水治理工程工地宿舍");
    browser.no_errors_but(&["400 (Bad Request)"]);
}

fn a_passage(demo: &Demo, id: &str, browser: &Browser) {
    browser.open(&format!("/cases/{id}"));
    let before = file(demo, id)["narrative"].clone();
    browser.press("#passages .sides .side:nth-child(2) button");
    let chosen = file(demo, id)["narrative"].clone();
    assert_ne!(chosen, before);
    assert_eq!(count(demo, id, "passages"), 0);
    browser.press(".banner form button");
    assert_eq!(file(demo, id)["narrative"], before, "the wording is put back as it was");
    browser.no_errors_but(&[]);
}

fn a_closure(demo: &Demo, id: &str, browser: &Browser) {
    browser.open(&format!("/cases/{id}"));
    let form = "form:has(input[value=closure_confirmed])";
    browser.see("三楼住户不同意");
    browser.press(&format!("{form} button"));
    browser.see("这一项必须填写");
    browser.fill(&format!("{form} [name='body.reason']"), "已当面向三楼住户说明");
    browser.press(&format!("{form} button"));
    browser.see("已记入案卷");
    assert!(!browser.has(form));
    assert_eq!(count(demo, id, "closed_without_knowing"), 0);
    browser.no_errors_but(&["400 (Bad Request)"]);
}

fn an_escalation(demo: &Demo, id: &str, browser: &Browser) {
    browser.open(&format!("/cases/{id}"));
    browser.see("上级已经采取行动");
    let asked = "return document.querySelector('.card.alarm').innerText";
    assert!(!browser.script(asked).to_string().contains("rule"), "a code stands where words should");
    assert_eq!(file(demo, id)["level"], "street");
    browser.fill("form:has(button[value=escalation_withdrawn]) [name='body.reason']", "社区按时受理,交回社区办理");
    browser.press("button[value=escalation_withdrawn]");
    browser.see("由人决定撤回");
    // Where it lies then is the rules' business: no mediation has begun, which raises it again by another one.
    let timeline = file(demo, id)["timeline"].clone();
    let raised = timeline.as_array().unwrap().iter().find(|e| e["kind"] == "escalation").expect("an escalation");
    assert_eq!(raised["withdrawn"]["automatic"], json!(false), "{raised}");
    assert_eq!(count(demo, id, "evidence_pending"), 0);
    browser.no_errors_but(&[]);
}

fn quarantine(demo: &Demo, browser: &Browser) {
    let open = |words: &str| {
        browser.open("/quarantine");
        let link = format!(
            "return [...document.querySelectorAll('main a')].find(a => a.innerText.includes({})).getAttribute('href')",
            json!(words)
        );
        let link = browser.script(&link);
        browser.open(link.as_str().unwrap_or_else(|| panic!("{words}:\n{}", browser.text())));
    };
    // What hangs together is decided together: the later one rests on the earlier one and goes the same way.
    open("到街道反映");
    browser.press("button[formaction$='dismiss']");
    assert!(browser.has(".refused[role=alert]"), "nothing is dismissed without a reason");
    open("逐户走访");
    browser.fill("textarea[name=reason]", "交接当日所写,情况属实");
    browser.press("button.main");
    browser.see("已采纳");
    let events = file(demo, &demo.case("工地欠薪苗头"))["timeline"].to_string();
    for words in ["逐户走访", "到街道反映"] {
        assert!(events.contains(words), "{words}: what was let in is in the file");
    }
    let left = demo.ask("community", "/v1/quarantine?state=waiting");
    assert_eq!(left["items"], json!([]));
    browser.no_errors_but(&["400 (Bad Request)"]);
}

fn phones(demo: &Demo, browser: &Browser) {
    browser.open("/phones?state=silent");
    browser.see("人民调解员");
    browser.unfold("main td details");
    // Without the second word: a browser asks for it, and so does the server.
    browser.script("document.querySelectorAll('main input[name=sure]').forEach(i => i.required = false)");
    browser.press("main button.danger");
    assert!(browser.has(".refused[role=alert]"), "{}", browser.text());
    let orders = || demo.ask("community", "/v1/replication").to_string().contains("\"orders\":1");
    assert!(!orders());
    browser.open("/phones?state=silent");
    browser.unfold("main td details");
    browser.script("document.querySelector('main input[name=sure]').checked = true");
    browser.press("main button.danger");
    browser.see("已下达");
    assert!(orders(), "the order to wipe waits for the phone");
    browser.no_errors_but(&["400 (Bad Request)"]);
}
