//! Today, the lists and the patrol record in a browser: what needs whom, narrowing and paging, hazards, quarantine in words, problems as
//! pages, and what is kept under somebody's hands.

use diesel::connection::SimpleConnection as _;
use serde_json::json;
use sync_core::event::EventKind;
use tests::phones::{patrol_with_hazards, set, write};
use tests::{HOUR, MINUTE, World};

use crate::support::Browser;
use crate::{disputed, hand_over};

/// Looks at a page in both languages.
fn look(browser: &Browser, name: &str, path: &str, zh: &str, en: &str) {
    for (language, words) in [("en", en), ("zh", zh)] {
        browser.open(&format!("/language?to={language}&back={}", path.replace('&', "%26")));
        browser.see(words);
        browser.look(&format!("{name}-{language}"));
    }
}

#[test]
fn today_shows_each_role_its_own_and_every_heading_leads_to_exactly_these() {
    let world = World::new();
    let case = disputed(&world);
    let he = world.phone("he");
    he.sync();
    he.report("邻里噪音。");
    patrol_with_hazards(&he, 2);
    he.sync();
    world.desk("receptionist", case, json!([{"edit": "add_event", "kind": "accepted"}]));
    let whistle = json!({"departments": ["城管"], "urgency": "urgent"});
    world.desk("receptionist", case, json!([{"edit": "add_event", "kind": "whistle", "body": whistle}]));
    let browser = Browser::of(&world, "community");
    look(&browser, "today-supervisor", "/today", "数据冲突", "Conflicts");
    browser.see("待报到 城管");
    browser.see("未整改隐患");
    let links = browser.script(
        "return [...document.querySelectorAll('main h3 a')].map(a => [a.getAttribute('href'), a.querySelector('.count').textContent])",
    );
    let links = links.as_array().unwrap().clone();
    assert!(links.len() >= 4, "{links:?}");
    for link in links {
        let (path, count) = (link[0].as_str().unwrap(), link[1].as_str().unwrap());
        browser.open(path);
        let rows = browser.script("return document.querySelectorAll('tbody tr').length").to_string();
        assert_eq!(rows, count, "{path}");
    }
    browser.no_errors_but(&[]);
    for (login, here, not_here) in [
        ("captain", "没有需要处理的事", "数据冲突"),
        ("he", "您上报的，尚未办结", "待受理"),
        ("admin", "没有需要处理的事", "今日数字"),
    ] {
        browser.press(".who form button");
        browser.sign_in(login);
        browser.see(here);
        browser.not_see(not_here);
        assert!(!browser.has("nav a[href='/quarantine']"), "{login} has nothing to decide there");
        browser.look(&format!("today-{login}"));
    }
    browser.no_errors_but(&[]);
}

#[test]
fn a_filter_survives_every_page_of_every_list() {
    let world = World::new();
    let he = world.phone("he");
    for story in ["邻里噪音。", "邻里漏水。", "欠薪。"] {
        he.report(story);
    }
    patrol_with_hazards(&he, 2);
    patrol_with_hazards(&he, 1);
    he.sync();
    hand_over(&world);
    world.pass(HOUR);
    let again = he.report("交接以后。");
    he.edit(again, &[set("people_involved", 4)]);
    he.report("交接以后又一宗。");
    he.sync();
    world.phone("colleague").sync();
    let browser = Browser::of(&world, "community");
    for path in [
        "/cases?q=邻里&limit=1",
        "/cases?area=GM-BIYAN-01&limit=1",
        "/patrols?area=GM-BIYAN-01&status=open&limit=1",
        "/hazards?area=GM-BIYAN-01&state=&limit=1",
        "/quarantine?state=&author=he&limit=1",
        "/phones?area=GM-BIYAN&state=&limit=1",
    ] {
        browser.open(path);
        let shown = browser.script("return document.querySelector('tbody tr').innerHTML");
        for pair in path.split('?').nth(1).unwrap().split('&') {
            let (name, value) = pair.split_once('=').unwrap();
            let kept = browser.script(&format!(
                "return new URL(document.querySelector('[rel=next]').href).searchParams.get('{name}')"
            ));
            assert_eq!(kept, json!(value), "{path}: {name}");
        }
        browser.press("[rel=next]");
        assert!(browser.has("tbody tr"), "{path}");
        assert_ne!(browser.script("return document.querySelector('tbody tr').innerHTML"), shown, "{path}");
    }
    // The form shows what is in force, and an area is chosen by its name.
    browser.open("/cases?area=GM-BIYAN-01&overdue=false");
    let chosen = "return document.querySelector('select[name=area]').selectedOptions[0].textContent.trim()";
    assert_eq!(browser.script(chosen), json!("碧眼第一网格"));
    look(
        &browser,
        "cases-narrowed",
        "/cases?area=GM-BIYAN-01&received_from=2019-05-17T08:00",
        "更多条件",
        "More conditions",
    );
    browser.open("/cases?from=gestern");
    browser.see("请填写日期和时间");
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn hazards_of_all_patrols_stand_on_one_page_and_are_put_right_there() {
    let world = World::new();
    let he = world.phone("he");
    patrol_with_hazards(&he, 2);
    he.sync();
    let browser = Browser::of(&world, "community");
    look(&browser, "hazards", "/hazards", "1楼楼道堆放杂物", "Put right");
    browser.see("小何");
    browser.unfold("tbody details");
    browser.fill("tbody details[open] input[name='body.note']", "已清理。");
    browser.press("tbody details[open] button");
    browser.see("整改已记入巡查记录");
    assert_eq!(browser.script("return document.querySelectorAll('tbody tr').length"), json!(1));
    browser.open("/hazards?state=rectified");
    browser.see("已整改");
    browser.see("社区主管");
    browser.press("tbody th a");
    browser.see("巡查记录");
    browser.see("备注 已清理。");
    browser.look("patrol-rectified");
    // Said again, it is refused on the record, and what was typed stays.
    browser.unfold("details[id^=rectify]");
    browser.fill("details[id^=rectify] input[name='body.note']", "再记一次");
    let swap = "const open = document.querySelector('details[id^=rectify] input[name=\"body.hazard\"]'); open.value = [...document.querySelectorAll('[id^=hazard-]')].map(e => e.id.slice(7)).find(id => id !== open.value)";
    browser.script(swap);
    browser.press("details[id^=rectify] button");
    browser.see("这一步现在没有效力");
    browser.no_errors_but(&["409 (Conflict)"]);
    world.check_rebuild();
}

#[test]
fn what_two_people_disagree_on_in_a_patrol_record_is_settled_and_put_back() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("colleague"));
    let patrol = patrol_with_hazards(&he, 1);
    he.edit(patrol, &[write("notes", "一楼堆放杂物。")]);
    he.sync();
    colleague.sync();
    he.edit(patrol, &[set("people_talked_to", 3), write("notes", "一楼堆放纸箱。")]);
    colleague.edit(patrol, &[set("people_talked_to", 5), write("notes", "一楼堆放木料。")]);
    he.sync();
    colleague.sync();
    let browser = Browser::of(&world, "community");
    browser.open("/today");
    browser.see("巡查记录有分歧");
    browser.open("/patrols?review=true");
    browser.press("tbody th a");
    browser.see("两人互不知情时改了同一项");
    browser.look("patrol-disputed");
    // Two supervisors: one is writing, so that his page is not brought up to date while the other decides.
    browser.unfold("details[id^=rectify]");
    browser.fill("details[id^=rectify] input[name='body.note']", "写到一半");
    let other = Browser::of(&world, "street");
    other.open(&browser.path());
    other.press("#conflicts .side:nth-child(2) button");
    other.see("已记入巡查记录");
    browser.see("有新内容");
    browser.press("#conflicts .side:nth-child(1) button");
    browser.see("已经有人改过这一项");
    browser.see("街道主管");
    browser.press("#passages .sides .side:nth-child(1) button");
    browser.see("已记入巡查记录");
    assert!(!browser.has("#passages") && !browser.has("#conflicts"));
    browser.press("form.undo button");
    browser.see("已记入巡查记录");
    browser.no_errors_but(&["409 (Conflict)"]);
    other.no_errors_but(&[]);
    world.check_rebuild();
}

#[test]
fn a_refused_change_is_told_in_words_and_nobody_reads_an_id() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    hand_over(&world);
    world.pass(HOUR);
    let hash =
        he.library.attach_photo(case.to_string(), "楼梯口.jpg".into(), tests::photos::photo(1, 320, 240)).unwrap().hash;
    he.event(case, EventKind::FactAdded, json!({"fact": "又有争吵", "bears_on": "violence"}));
    he.edit(case, &[set("place.grid", "GM-BIYAN-01"), set("people_involved", 4)]);
    world.pass(MINUTE);
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open("/quarantine");
    browser.not_see(&hash);
    look(&browser, "quarantine-rows", "/quarantine?author=he", "网格员", "Let in");
    browser.open("/quarantine?text=attachment");
    browser.press("tbody th a");
    browser.see("楼梯口.jpg · 照片");
    browser.not_see(&hash);
    browser.look("quarantine-photo");
    browser.open("/quarantine?author=nobody");
    browser.see("没有待审的改动");
    browser.no_errors_but(&[]);
}

#[test]
fn problems_are_pages_in_the_readers_language_with_a_menu_and_a_way_back() {
    let world = World::new();
    let browser = Browser::of(&world, "he");
    for (path, zh, en, back) in [
        ("/quarantine", "您的角色不能这样做", "Your role may not do this", "/today"),
        ("/cases/016ac34d-8a80-7e45-b133-dacf4988d5a5", "没有这一项", "There is no such thing", "/cases"),
        ("/cases/x", "没有这一项", "There is no such thing", "/cases"),
        ("/nowhere", "没有这一项", "There is no such thing", "/today"),
        ("/phones?state=lost", "网址里有一项不对", "Something in the address is wrong", "/phones"),
    ] {
        for (language, words) in [("zh", zh), ("en", en)] {
            browser.open(&format!("/language?to={language}&back={path}"));
            browser.see(words);
            assert!(browser.has("nav a") && browser.has(&format!("main a[href='{back}']")), "{path}");
            browser.look(&format!("problem{}-{language}", path.replace(['/', '?', '='], "-")));
        }
        browser.open(&format!("/language?to=zh&back={path}"));
        let heading = browser.script("return document.querySelector('main').innerText");
        let heading = heading.as_str().unwrap_or_default();
        let letters = heading.chars().filter(char::is_ascii_alphabetic).count();
        assert_eq!(letters, 0, "{path}: English beside a Chinese heading: {heading}");
    }
    // A program is answered as one.
    assert_eq!(world.get("/nowhere", None).1["type"], "urn:fengqiao:problem:not_found");
    browser.no_errors_but(&["403 (Forbidden)", "404 (Not Found)", "400 (Bad Request)"]);
}

/// A problem that is met on its way somewhere, in both languages: with the menu and a way back.
fn is_a_page(browser: &Browser, path: &str, (zh, en): (&str, &str), name: &str) {
    for (language, words) in [("en", en), ("zh", zh)] {
        browser.open(&format!("/language?to={language}&back={path}"));
        browser.see(words);
        assert!(browser.has("nav a[href='/cases']") && browser.has("main a[href='/today']"), "{path}");
        browser.look(&format!("problem-{name}-{language}"));
    }
    let told = browser.script("return document.querySelector('main').innerText").to_string();
    assert!(!told.contains("audit") && !told.contains("requests"), "what is inside is told outside: {told}");
}

#[test]
fn who_asks_too_often_and_who_meets_a_failure_reads_so_on_a_page_of_his_own_language() {
    let mut world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    world.stop();
    world.start_with(|config| config.requests_per_minute = 6);
    let browser = Browser::of(&world, "community");
    let slowed = ("操作太频繁", "Too many requests");
    browser.until("too much", || {
        browser.open("/cases");
        browser.text().contains(slowed.0)
    });
    is_a_page(&browser, "/cases", slowed, "429");
    browser.see("约需等待");
    world.stop();
    world.start();
    // A look at a file is written down before it is shown; where that fails, it is not shown.
    let browser = Browser::of(&world, "receptionist");
    world.app().db.get().unwrap().batch_execute("ALTER TABLE audit RENAME TO audit_gone").unwrap();
    is_a_page(&browser, &format!("/cases/{case}"), ("服务器内部出错，已记录", "it is noted"), "500");
    browser.not_see("邻里噪音");
    world.app().db.get().unwrap().batch_execute("ALTER TABLE audit_gone RENAME TO audit").unwrap();
    browser.press("main a[href='/cases']");
    browser.see("邻里噪音");
    browser.no_errors_but(&["500 (Internal Server Error)"]);
}

#[test]
fn masked_numbers_of_a_patrol_record_are_shown_with_a_reason_one_text_at_a_time() {
    let world = World::new();
    let he = world.phone("he");
    let patrol = patrol_with_hazards(&he, 1);
    he.edit(patrol, &[write("notes", "房东13800138000。"), set("place.detail", "联系13900139000")]);
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/patrols/{patrol}"));
    browser.see("房东");
    let numbers = ["13800138000", "13900139000"];
    numbers.iter().for_each(|n| browser.not_see(n));
    let log = || world.get("/v1/audit?action=patrol.reveal", Some(&world.token("admin"))).1["items"].clone();
    let ask = |reason: &str| {
        browser.unfold("#reveal details");
        browser.fill("#reveal input[name=reason]", reason);
        browser.press("#reveal button[value=notes]");
    };
    ask("看看");
    browser.see("理由须有 8 到 500 个字");
    assert_eq!(browser.script("return document.querySelector('#reveal input[name=reason]').value"), json!("看看"));
    assert_eq!(log(), json!([]));
    ask("核对房东联系方式所需");
    browser.see(numbers[0]);
    browser.not_see(numbers[1]);
    browser.look("patrol-revealed");
    let logged = log();
    assert_eq!(logged.as_array().map(Vec::len), Some(1));
    assert!(logged.to_string().contains("核对房东联系方式所需"), "{logged}");
    // Who only walks there has nothing shown.
    let walker = Browser::of(&world, "he");
    walker.open(&format!("/patrols/{patrol}"));
    walker.see("房东");
    assert!(!walker.has("#reveal"));
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn what_somebody_unfolded_stays_so_and_nothing_moves_under_who_writes() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    let browser = Browser::of(&world, "community");
    browser.open(&format!("/cases/{case}"));
    browser.see("实时");
    browser.script("document.querySelector('#dues details').open = true; document.querySelector('.actions details').open = true; window.scrollTo(0, 200)");
    let at = browser.script("return window.scrollY");
    he.edit(case, &[set("people_involved", 4)]);
    he.sync();
    browser.until("the change", || {
        browser.script("return document.querySelector('.facts').innerText.includes('4')") == json!(true)
    });
    assert!(browser.has("#dues details[open]") && browser.has(".actions details[open]"));
    assert_eq!(browser.script("return window.scrollY"), at);
    browser.script(
        "document.querySelector('.actions details').open = false; document.querySelector('#dues summary').focus()",
    );
    he.edit(case, &[set("people_involved", 5)]);
    he.sync();
    browser.until("the change", || {
        browser.script("return document.querySelector('.facts').innerText.includes('5')") == json!(true)
    });
    assert!(!browser.has(".actions details[open]"), "what was closed is opened");
    assert_eq!(
        browser.script("return document.activeElement.tagName"),
        json!("SUMMARY"),
        "the keyboard lost its place"
    );
    // A stream that breaks is opened again, later each time; the page catches up with what it missed.
    browser.script(
        "window.opened = []; const Real = window.EventSource; window.EventSource = function (u) { window.opened.push(Date.now()); return new Real(u); }; document.dispatchEvent(new Event('visibilitychange'))",
    );
    browser.until("one stream", || browser.script("return window.opened.length") == json!(1));
    browser.no_errors_but(&[]);
}
