//! What a hall does with a case, each action in a browser: from receiving it to the visit after it was closed; and what is refused on
//! the way, which says why and keeps what was typed.

use serde_json::json;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use sync_core::role::Level;
use tests::phones::set;
use tests::{HOUR, MINUTE, World};

use crate::support::Browser;

/// The form of an action.
fn form(kind: &str) -> String {
    format!(".actions details:has(input[value={kind}])")
}

/// Fills in the form of an action and sends it.
fn send(browser: &Browser, kind: &str, fields: &[(&str, &str)]) {
    let form = form(kind);
    browser.unfold(&form);
    for (name, value) in fields {
        let field = format!("{form} [name='body.{name}']");
        if browser.has(&format!("{form} select[name='body.{name}']")) {
            browser.choose(&field, value);
        } else {
            browser.fill(&field, value);
        }
    }
    browser.press(&format!("{form} button"));
}

/// Takes an action, and finds it on the timeline.
fn act(browser: &Browser, kind: &str, fields: &[(&str, &str)]) {
    send(browser, kind, fields);
    assert!(browser.has(".banner.good"), "{kind} was not entered:\n{}", browser.text());
    assert!(browser.has(&format!(".timeline li.{kind}")), "{kind} is not on the timeline:\n{}", browser.text());
}

/// The first thing that can be chosen in a field of an action.
fn first_choice(browser: &Browser, kind: &str, name: &str) -> String {
    let options = format!("{} [name='body.{name}'] option:not([value=''])", form(kind));
    let found = browser.script(&format!("return document.querySelector({}).value", json!(options)));
    found.as_str().unwrap_or_else(|| panic!("{kind} {name}: nothing to choose\n{}", browser.text())).to_owned()
}

/// What stands in a field of the one action that came back.
fn kept(browser: &Browser, kind: &str, name: &str) -> String {
    let field = format!("{} [name='body.{name}']", form(kind).replace("details", "details[open]"));
    let found = browser.script(&format!("return document.querySelector({}).value", json!(field)));
    found.as_str().unwrap_or_else(|| panic!("{kind} {name} did not come back\n{}", browser.text())).to_owned()
}

/// Which field is marked.
fn blamed(browser: &Browser) -> String {
    let found = browser.script("return document.querySelector('[aria-invalid=true]').name");
    found.as_str().unwrap_or_else(|| panic!("no field is marked:\n{}", browser.text())).to_owned()
}

#[test]
fn a_case_goes_through_the_hall_by_every_action_and_what_is_refused_is_named_and_kept() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    let (hall, street) = (Browser::of(&world, "community"), Browser::of(&world, "street"));
    hall.open(&format!("/cases/{case}"));
    act(&hall, "accepted", &[("file_number", "(2019)碧眼人调字第2号")]);
    hall.see("(2019)碧眼人调字第2号");
    // Nothing is offered that could have no effect: it is accepted already, lies with the lowest level, and nobody was summoned.
    for nonsense in ["rejected", "return_order", "report_in", "accepted"] {
        assert!(!hall.has(&form(nonsense)), "{nonsense} is offered");
    }

    // Nobody is charged with it: the field is named, the remark is still there.
    send(&hall, "assigned", &[("note", "请尽快联系双方")]);
    hall.see("这一项必须填写");
    assert_eq!(blamed(&hall), "body.to");
    assert_eq!(kept(&hall, "assigned", "note"), "请尽快联系双方");
    hall.look("file-refused");
    let somebody = first_choice(&hall, "assigned", "to");
    act(&hall, "assigned", &[("to", &somebody)]);
    assert_eq!(world.case(case).assignee.map(|u| u.to_string()), Some(somebody));

    act(&hall, "whistle", &[("departments", "街道劳动监察\n街道司法所"), ("urgency", "urgent")]);
    let whistle = first_choice(&hall, "report_in", "whistle");
    act(&hall, "report_in", &[("whistle", &whistle), ("department", "街道劳动监察")]);
    act(&hall, "mediation_session", &[("summary", "听取双方陈述"), ("present", "熊某\n万某")]);
    act(&hall, "escalation", &[("to", "street"), ("reason", "需要街道协调施工方")]);
    assert_eq!(world.case(case).level, Level::Street);
    street.open(&format!("/cases/{case}"));
    act(&street, "return_order", &[("reason", "事实已清楚,由社区继续调解")]);
    assert_eq!(world.case(case).level, Level::Community);

    // An amount that is none.
    hall.open(&format!("/cases/{case}"));
    send(&hall, "mediation_agreement", &[("terms", "万某支付日常相关费用"), ("amount", "两万")]);
    assert_eq!(blamed(&hall), "body.amount");
    hall.see("请填写金额");
    let both = ["terms", "amount"].map(|name| kept(&hall, "mediation_agreement", name));
    assert_eq!(both, ["万某支付日常相关费用", "两万"]);
    act(&hall, "mediation_agreement", &[("amount", "20000.50")]);
    assert_eq!(world.case(case).amount_agreed, Some(2_000_050));
    act(&hall, "resolved", &[("method", &first_choice(&hall, "resolved", "method"))]);

    // The rest by somebody who reads English.
    hall.open(&format!("/language?to=en&back=/cases/{case}"));
    act(&hall, "follow_up", &[("interviewee", "熊某"), ("satisfaction", "satisfied"), ("performed", "true")]);
    hall.see("Entered in the file.");
    act(&hall, "closed", &[("summary", "案结事了")]);
    let state = world.case(case);
    assert_eq!(state.status.as_str(), "closed");
    assert!(state.timeline.iter().all(|e| e.moot.is_none()), "{:?}", state.timeline);
    send(&hall, "reopened", &[]);
    hall.see("This must be filled in.");
    assert_eq!(blamed(&hall), "body.reason");
    hall.no_errors_but(&["400 (Bad Request)"]);
    street.no_errors_but(&[]);
    world.check_rebuild();
}

/// A case that the street has acted on while the community's proof was on its way.
fn contested(world: &World) -> DocumentId {
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let case = he.report("工程未能开工,工人闲置。");
    he.sync();
    director.sync();
    world.pass(HOUR);
    director.event(case, EventKind::Accepted, json!({}));
    world.pass(HOUR + MINUTE);
    world.scheduler();
    assert_eq!(world.case(case).level, Level::Street);
    let demand = json!([{"edit": "add_event", "kind": "supervision", "body": {"demand": "当天组织双方见面"}}]);
    let (status, reply) = world.desk("street", case, demand);
    assert_eq!(status, 200, "{reply}");
    director.sync();
    assert_eq!(world.case(case).evidence_pending.len(), 1);
    case
}

#[test]
fn an_escalation_is_kept_in_spite_of_late_evidence_with_a_reason() {
    let world = World::new();
    let case = contested(&world);
    let browser = Browser::of(&world, "street");
    browser.open(&format!("/language?to=en&back=/cases/{case}"));
    browser.see("Late evidence to be judged");
    browser.press("button[value=escalation_kept]");
    browser.see("This must be filled in.");
    assert_eq!(blamed(&browser), "body.reason");
    browser.fill("form:has(button[value=escalation_kept]) [name='body.reason']", "街道已约定今日见面");
    browser.press("button[value=escalation_kept]");
    browser.not_see("Late evidence to be judged");
    browser.see("街道已约定今日见面");
    assert_eq!(world.case(case).level, Level::Street);
    assert!(world.case(case).evidence_pending.is_empty());
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn a_countdown_goes_on_while_the_page_lies_open_and_starts_anew_from_the_servers_clock() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let browser = Browser::of(&world, "community");
    let faster = "const now = Date.now, begun = now(), every = setInterval; \
                  Date.now = () => begun + (now() - begun) * 300; setInterval = (what, ms) => every(what, ms / 300);";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": faster }));
    browser.open(&format!("/cases/{case}"));
    let left = || browser.script("return document.querySelector('time.due').textContent").as_str().unwrap().to_owned();
    let first = left();
    assert!(first.starts_with("剩余"), "{first}");
    browser.until("a minute", || left() != first && left().starts_with("剩余"));
    // Two hours and a minute later by the server's clock; something arrives, and the page says so.
    world.pass(2 * HOUR + MINUTE);
    he.edit(case, &[set("people_involved", 3)]);
    he.sync();
    browser.until("the limit to have passed", || left().starts_with("超期"));
    assert!(browser.has("time.due.late"));
    browser.no_errors_but(&[]);
}

#[test]
fn numbers_are_not_shown_for_a_reason_that_is_none() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report_with(vec![set("report.reporter", "熊某"), set("report.reporter_phone", "13800138000")]);
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    browser.unfold("#reveal details");
    browser.fill("#reveal input[name=reason]", "看看");
    browser.press("#reveal button");
    browser.see("理由须有 8 到 500 个字");
    browser.not_see("13800138000");
    assert_eq!(browser.script("return document.querySelector('#reveal input[name=reason]').value"), json!("看看"));
    let log = || world.get("/v1/audit?action=case.reveal", Some(&world.token("admin"))).1["items"].clone();
    assert_eq!(log(), json!([]));
    browser.fill("#reveal input[name=reason]", "回访需要电话联系当事人");
    browser.press("#reveal button");
    browser.see("13800138000");
    assert_eq!(log().as_array().map(Vec::len), Some(1));
    browser.no_errors_but(&["400 (Bad Request)"]);
}
