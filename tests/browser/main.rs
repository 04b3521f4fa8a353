//! The pages in a real browser against the real server: what a supervisor sees and does.

mod decisions;
mod demo;
mod hall;
mod hands;
mod line;
mod lists;
mod pages;
mod refused;
mod support;

use fengqiao_mobile::TransferPolicy;
use serde_json::json;
use support::Browser;
use sync_core::edit::{Draft, Edit};
use sync_core::event::EventKind;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::shape::DocumentKind;
use tests::phones::{set, write};
use tests::photos::photo;
use tests::{HOUR, MINUTE, World};

/// A case on which two people wrote offline, unaware of each other: a register and a passage in conflict.
fn disputed(world: &World) -> DocumentId {
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("水利组17-5栋,工人讨要工资。双方推搡。");
    he.sync();
    colleague.sync();
    world.pass(MINUTE);
    he.event(case, EventKind::OnScene, json!({}));
    he.edit(case, &[set("people_involved", 20)]);
    he.edit(case, &[write("narrative", "水利组17-5栋,二十名工人讨要工资。双方推搡。")]);
    colleague.edit(case, &[set("people_involved", 23)]);
    colleague.edit(case, &[write("narrative", "水利组17-5栋,二十三名工人讨要欠薪。双方推搡。")]);
    world.pass(HOUR);
    he.sync();
    colleague.sync();
    case
}

/// A patrol with a hazard, in which the case was found.
fn patrol(world: &World, case: DocumentId) -> DocumentId {
    let he = world.phone("he");
    he.sync();
    let edits = vec![
        set("place.grid", "GM-BIYAN-01"),
        set("place.building", "GM-BIYAN-SL17-5"),
        set("checklist.exits_clear", "problem"),
        set("checklist.exits_clear.note", "楼梯口堆放杂物"),
    ];
    let draft = Draft { kind: DocumentKind::Patrol, community: AreaCode::new("GM-BIYAN").unwrap(), edits };
    let patrol = he.core().create(&draft).unwrap();
    let add = |collection: &str, field: &str, value: String| Edit::AddItem {
        collection: collection.into(),
        fields: [(field.to_owned(), json!(value))].into(),
        text: None,
    };
    he.edit(patrol, &[add("hazards", "kind", "fire_passage".into()), add("cases", "case", case.to_string())]);
    he.edit(case, &[set("report.patrol", patrol.to_string())]);
    he.sync();
    patrol
}

#[test]
fn every_page_is_readable_in_both_languages_by_everybody_and_no_script_fails() {
    let world = World::new();
    let case = disputed(&world);
    let patrol = patrol(&world, case);
    let browser = Browser::new(&world);
    browser.open("/today");
    assert_eq!(browser.path(), "/sign-in");
    browser.look("sign-in");
    browser.sign_in("community");
    assert_eq!(browser.path(), "/today");
    let file = format!("/cases/{case}");
    let (changes, patrol) = (format!("{file}/changes"), format!("/patrols/{patrol}"));
    let pages = [
        ("today", "/today", "今日数字", "Numbers of the day"),
        ("cases", "/cases", "全文检索", "Full text"),
        ("file", file.as_str(), "数据冲突", "Conflicts"),
        ("changes", changes.as_str(), "每一处修改", "Every change"),
        ("patrols", "/patrols", "巡查", "Patrols"),
        ("patrol", patrol.as_str(), "楼梯口堆放杂物", "passages and exits clear"),
        ("quarantine", "/quarantine", "待审改动", "Quarantine"),
        ("phones", "/phones", "时钟偏差", "Clock offset"),
    ];
    for (name, path, zh, en) in pages {
        browser.open(&format!("/language?to=zh&back={path}"));
        browser.see(zh);
        browser.look(&format!("{name}-zh"));
        browser.open(&format!("/language?to=en&back={path}"));
        browser.see(en);
        browser.look(&format!("{name}-en"));
    }
    browser.no_errors_but(&[]);
}

#[test]
fn a_conflict_is_settled_with_one_action_and_put_back_with_another() {
    let world = World::new();
    let case = disputed(&world);
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    browser.see("两人互不知情时改了同一项");
    browser.press("#conflicts .side:nth-child(2) button");
    browser.see("已记入案卷");
    let settled = world.case(case);
    assert!(settled.conflicts.is_empty());
    let chosen = settled.number("people_involved").unwrap();
    browser.press(".banner form button");
    let back = world.case(case).number("people_involved").unwrap();
    assert!(back != chosen && [20, 23].contains(&back), "{chosen} {back}");
    // The passage: the version of one author takes the place of what was merged.
    browser.press("#passages .sides .side:nth-child(1) button");
    assert!(world.case(case).passages.is_empty());
    browser.no_errors_but(&[]);
    world.check_rebuild();
}

#[test]
fn a_masked_number_in_conflict_is_settled_and_put_back_whole() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let case = he.report("邻里噪音。");
    he.sync();
    colleague.sync();
    let numbers = ["13800138000", "13900138000"];
    he.edit(case, &[set("report.reporter_phone", numbers[0])]);
    colleague.edit(case, &[set("report.reporter_phone", numbers[1])]);
    he.sync();
    colleague.sync();
    let number = || world.case(case).text("report.reporter_phone").map(str::to_owned).unwrap();
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    numbers.iter().for_each(|n| browser.not_see(n));
    browser.press("#conflicts .side:nth-child(2) button");
    assert!(world.case(case).conflicts.is_empty());
    let chosen = number();
    assert!(numbers.contains(&chosen.as_str()), "{chosen}");
    browser.press(".banner form button");
    let back = number();
    assert!(back != chosen && numbers.contains(&back.as_str()), "{chosen} {back}");
    browser.no_errors_but(&[]);
}

#[test]
fn the_hall_accepts_mediates_and_closes_and_what_is_refused_keeps_what_was_typed() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let browser = Browser::of(&world, "community");
    let file = format!("/cases/{case}");
    browser.open(&file);
    let form = |kind: &str| format!(".actions details:has(input[value={kind}])");
    let send = |kind: &str| {
        browser.unfold(&form(kind));
        browser.press(&format!("{} button", form(kind)));
    };
    // A rejection needs a reason: it comes back with the remedy that was typed.
    browser.unfold(&form("rejected"));
    browser.fill(&format!("{} textarea[name='body.remedy']", form("rejected")), "可向街道反映。");
    browser.press(&format!("{} button", form("rejected")));
    browser.see("您写的内容都还在");
    assert_eq!(
        browser.script("return document.querySelector(\"details[open] textarea[name='body.remedy']\").value"),
        json!("可向街道反映。")
    );
    send("accepted");
    browser.see("已记入案卷");
    send("mediation_session");
    browser.unfold(&form("resolved"));
    browser.press(&format!("{} button", form("resolved")));
    send("closed");
    let state = world.case(case);
    assert_eq!(state.status.as_str(), "closed");
    let kinds: Vec<EventKind> = state.timeline.iter().filter(|e| e.by.device.is_none()).map(|e| e.kind).collect();
    assert!(kinds.contains(&EventKind::Accepted) && kinds.contains(&EventKind::Closed), "{kinds:?}");
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn the_file_is_shown_as_it_stood_and_as_its_author_saw_it() {
    let world = World::new();
    let case = disputed(&world);
    world.desk("community", case, json!([{"edit": "add_event", "kind": "accepted"}]));
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    browser.see("离线记录");
    browser.see("受理");
    browser.press(".timeline li.reported a[href*='at=']");
    browser.see("这是当时的案卷，只读");
    browser.not_see("两人互不知情时改了同一项");
    assert!(!browser.has("time.due"), "what was due then is not counted down now");
    assert!(!browser.has(".timeline li.accepted") && !browser.has("#actions"));
    browser.press(".banner a.now");
    browser.press(".timeline li.accepted a[href*='seen=']");
    browser.see("所看到的案卷，只读");
    assert!(!browser.has(".timeline li.accepted"));
    browser.no_errors_but(&[]);
}

#[test]
fn the_file_tells_who_changed_what_from_what_and_shows_what_is_attached() {
    let world = World::new();
    let case = disputed(&world);
    let he = world.phone("he");
    he.sync();
    let hash = he.library.attach_photo(case.to_string(), "楼梯口.jpg".into(), photo(1, 320, 240)).unwrap().hash;
    he.sync();
    let browser = Browser::of(&world, "community");
    let file = format!("/cases/{case}");
    browser.open(&file);
    browser.see("楼梯口.jpg");
    browser.see("尚未到达");
    let whole = TransferPolicy::default();
    he.library.transfer_attachments(whole, None, None).unwrap();
    browser.open(&file);
    browser.not_see("尚未到达");
    let shown = "const p = document.querySelector('#attachments img'); return p.complete && p.naturalWidth > 0";
    browser.script("document.querySelector('#attachments').scrollIntoView()");
    browser.until("the picture", || browser.script(shown) == json!(true));
    // What the author of a change had before him stands struck out beside what he wrote; what another wrote meanwhile does not.
    let told =
        "return [...document.querySelectorAll('.timeline li.edit')].map(li => li.innerText.replace(/\\s+/g, ' '))";
    let told = browser.script(told).to_string();
    for expected in ["小何", "站内同事", "涉及人数 20", "涉及人数 23", "二十三名工人讨要欠薪", "楼梯口.jpg"]
    {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(!told.contains("20 23") && !told.contains("23 20"), "{told}");
    browser.press(".timeline li.edit a[href*='seen=']");
    browser.see("所看到的案卷，只读");
    browser.open(&format!("{file}/attachments/{}", "0".repeat(64)));
    browser.see("没有这一项");
    let other = Browser::of(&world, "baihua");
    other.open(&format!("{file}/attachments/{hash}/thumbnail"));
    other.see("没有这一项");
    browser.no_errors_but(&["404 (Not Found)"]);
    other.no_errors_but(&["404 (Not Found)"]);
}

#[test]
fn a_page_shows_what_a_phone_sends_and_two_supervisors_see_each_others_decisions() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let (one, other) = (Browser::of(&world, "community"), Browser::of(&world, "community"));
    one.open(&format!("/cases/{case}"));
    one.see("实时");
    he.edit(case, &[write("narrative", "邻里噪音。深夜仍有装修声。")]);
    he.sync();
    one.see("深夜仍有装修声");
    other.open(&format!("/cases/{case}"));
    other.unfold(".actions details:has(input[value=accepted])");
    other.press(".actions details:has(input[value=accepted]) button");
    one.until("the other's decision", || one.has(".timeline li.accepted"));
    // Somebody who is writing is told, and not disturbed.
    one.unfold(".actions details:has(input[value=note])");
    one.fill(".actions details:has(input[value=note]) textarea", "写到一半");
    he.edit(case, &[set("people_involved", 4)]);
    he.sync();
    one.see("有新内容");
    let typed = "return document.querySelector('.actions details:has(input[value=note]) textarea').value";
    assert_eq!(one.script(typed), json!("写到一半"));
    one.no_errors_but(&[]);
}

#[test]
fn another_areas_case_is_refused_on_every_page_and_a_session_ends_when_its_owner_says_so() {
    let world = World::new();
    let elsewhere = world.phone("baihua");
    let draft = Draft {
        kind: DocumentKind::Case,
        community: AreaCode::new("GM-BAIHUA").unwrap(),
        edits: vec![set("place.grid", "GM-BAIHUA-01"), write("narrative", "另一社区。")],
    };
    let case = elsewhere.core().create(&draft).unwrap();
    elsewhere.sync();
    let browser = Browser::of(&world, "community");
    for path in ["", "/changes", "?at=1"] {
        browser.open(&format!("/cases/{case}{path}"));
        browser.see("没有这一项");
        browser.not_see("另一社区");
    }
    browser.open("/cases");
    browser.not_see("另一社区");
    browser.press(".who form button");
    assert_eq!(browser.path(), "/sign-in");
    browser.open("/today");
    assert_eq!(browser.path(), "/sign-in");
    browser.no_errors_but(&["404 (Not Found)"]);
}

/// Gives the grid of 小何 to another worker.
fn hand_over(world: &World) {
    let token = world.token("admin");
    let (_, people) = world.get("/v1/users", Some(&token));
    let id =
        |login: &str| people["items"].as_array().unwrap().iter().find(|p| p["login"] == login).unwrap()["id"].clone();
    let body = json!({"role": "grid_worker", "from": id("he"), "to": id("baihua")});
    let (status, reply) = world.post("/v1/areas/GM-BIYAN-01/reassign", Some(&token), &body);
    assert_eq!(status, 200, "{reply}");
}

#[test]
fn what_was_refused_is_read_and_decided_upon() {
    let world = World::new();
    let he = world.phone("he");
    let first = he.report("邻里噪音。");
    he.sync();
    // His area is taken from him while he is offline; what he writes afterwards waits for a person.
    hand_over(&world);
    world.pass(HOUR);
    he.edit(first, &[set("people_involved", 4)]);
    world.pass(MINUTE);
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open("/quarantine");
    browser.see("小何");
    browser.press("tbody th a");
    browser.see("涉及人数 4");
    browser.see("作者没有这样做的权限");
    browser.look("quarantine-entry");
    // Dismissing without a reason is refused, and says so.
    browser.press("button[formaction$='dismiss']");
    browser.see("这一项填得不对");
    browser.fill("textarea[name=reason]", "已由新网格员登记。");
    browser.press("button[formaction$='dismiss']");
    browser.see("已驳回");
    browser.see("已由新网格员登记");
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn a_lost_phone_is_revoked_and_wiped_only_with_a_second_word() {
    let world = World::new();
    let he = world.phone("he");
    he.report("邻里噪音。");
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open("/phones");
    browser.see("小何");
    browser.unfold("tbody details");
    browser.script("document.querySelector('tbody input[name=sure]').checked = true");
    browser.press("tbody button:not(.danger)");
    browser.see("已下达");
    browser.see("已吊销");
    assert!(he.library.sync(None, None).is_err(), "a revoked phone is let in");
    browser.no_errors_but(&[]);
}

#[test]
fn a_list_is_narrowed_searched_and_taken_along_as_it_is_shown() {
    let world = World::new();
    let he = world.phone("he");
    he.report("邻里噪音。深夜装修。");
    he.report("=拖欠工资。");
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open("/cases");
    browser.fill("input[name=q]", "装修");
    browser.press(".filters button.main");
    browser.see("邻里噪音");
    browser.not_see("拖欠工资");
    browser.open("/cases?status=closed");
    browser.see("没有符合条件的案件");
    browser.open("/cases?q=13800138000");
    browser.see("号码不能出现在网址里");
    browser.open("/cases");
    let table = browser.script(
        "const r = new XMLHttpRequest(); r.open('GET', document.querySelector('a[download]').href, false); r.send(); return r.responseText",
    );
    let table = table.as_str().unwrap_or_default().to_owned();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("'=拖欠工资"), "no spreadsheet may take it for a formula: {table}");
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn masked_numbers_are_shown_with_a_reason_that_is_logged_and_never_without() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    let party = sync_core::edit::Edit::AddItem {
        collection: "parties".into(),
        fields: [("name".to_owned(), json!("李某")), ("phone".to_owned(), json!("13800138000"))].into(),
        text: None,
    };
    he.edit(case, &[party]);
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    browser.see("李某");
    browser.not_see("13800138000");
    browser.unfold("details:has(input[name=reason])");
    browser.fill("input[name=reason]", "回访需要电话联系当事人");
    browser.press("details:has(input[name=reason]) button");
    browser.see("13800138000");
    let (code, log) = world.get("/v1/audit?action=case.reveal", Some(&world.token("admin")));
    assert!(code == 200 && log.to_string().contains("回访需要电话联系当事人"), "{code} {log}");
    browser.no_errors_but(&[]);
}

#[test]
fn a_form_without_the_token_of_its_session_or_from_elsewhere_does_nothing() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    browser.script("document.querySelectorAll('input[name=csrf]').forEach(i => i.value = 'x')");
    browser.unfold(".actions details:has(input[value=accepted])");
    browser.press(".actions details:has(input[value=accepted]) button");
    browser.see("请重新提交");
    assert_eq!(world.case(case).status.as_str(), "reported");
    browser.no_errors_but(&["403 (Forbidden)"]);
}

#[test]
fn this_harness_finds_what_nobody_could_read_and_scripts_that_fail() {
    let world = World::new();
    let browser = Browser::new(&world);
    browser.open("/sign-in");
    browser.script(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/no.png\"><button></button>')",
    );
    browser.until("the failed picture", || !browser.errors_but(&[]).is_empty());
    let found = browser.violations().join("\n");
    assert!(found.contains("image-alt") && found.contains("button-name"), "{found}");
}
