//! What was refused, at a desk: what hangs together is named before it is decided, and a photo is shown only where the record has it, too.

use fengqiao_mobile::TransferPolicy;
use serde_json::json;
use sync_core::event::EventKind;
use tests::phones::set;
use tests::photos::photo;
use tests::{HOUR, MINUTE, World};

use crate::hand_over;
use crate::support::Browser;

#[test]
fn what_hangs_together_is_named_before_it_is_decided_together() {
    let world = World::new();
    let he = world.phone("he");
    let (case, other) = (he.report("邻里噪音。"), he.report("路灯损坏。"));
    he.sync();
    hand_over(&world);
    world.pass(HOUR);
    he.edit(case, &[set("people_involved", 4)]);
    world.pass(MINUTE);
    he.event(case, EventKind::FactAdded, json!({"fact": "又有争吵", "bears_on": "violence"}));
    world.pass(MINUTE);
    he.event(case, EventKind::Note, json!({"text": "已劝开"}));
    he.edit(other, &[set("people_involved", 2)]);
    world.pass(MINUTE);
    he.sync();
    let browser = Browser::of(&world, "community");
    let open = |words: &str| {
        browser.open("/quarantine");
        let link = format!(
            "return [...document.querySelectorAll('tbody th a')].find(a => a.innerText.includes({})).getAttribute('href')",
            json!(words)
        );
        let link = browser.script(&link);
        browser.open(link.as_str().unwrap_or_else(|| panic!("{words}:\n{}", browser.text())));
    };
    let together = || browser.script("return [...document.querySelectorAll('#together li a')].map(a => a.innerText)");
    open("涉及人数: 2");
    assert_eq!(together(), json!([]), "it hangs together with nothing");
    open("又有争吵");
    assert_eq!(browser.script("return document.querySelector('#together .count').innerText"), json!("2"));
    let named = together().to_string();
    assert!(named.contains("涉及人数: 4") && named.contains("已劝开") && !named.contains("又有争吵"), "{named}");
    assert!(!browser.has("form:has(textarea[name=reason]) ~ #together"), "it stands before what decides");
    for (language, words) in [("en", "Decided together with this"), ("zh", "一并处理的改动")] {
        let here = browser.path();
        browser.open(&format!("/language?to={language}&back={here}"));
        browser.see(words);
        browser.look(&format!("quarantine-together-{language}"));
    }
    // A reason is asked of whoever dismisses: nothing above the field says otherwise.
    browser.not_see("选填 ");
    browser.see("驳回时必填");
    browser.press("button[formaction$='dismiss']");
    assert_eq!(browser.script("return document.querySelector('[aria-invalid=true]').name"), json!("reason"));
    assert_eq!(together().as_array().map(Vec::len), Some(2), "also where it was refused");
    browser.press("#together li a");
    browser.see("涉及人数 4");
    let named = together().to_string();
    assert!(named.contains("又有争吵") && named.contains("已劝开"), "{named}");
    browser.press("button.main");
    browser.see("已采纳");
    assert!(!browser.has("#together"), "what is decided is not decided once more");
    assert_eq!(world.case(case).number("people_involved"), Some(4));
    browser.open("/quarantine");
    assert_eq!(browser.script("return document.querySelectorAll('tbody tr').length"), json!(1), "the other one waits");
    // Programs are told the same.
    let token = world.token("community");
    let left = world.get("/v1/quarantine?state=waiting", Some(&token)).1["items"][0]["id"].clone();
    let (status, entry) = world.get(&format!("/v1/quarantine/{}", left.as_str().unwrap()), Some(&token));
    assert_eq!((status, &entry["together"]), (200, &json!([])), "{entry}");
    browser.no_errors_but(&["400 (Bad Request)"]);
}

#[test]
fn a_photo_in_a_refused_change_is_shown_once_it_has_arrived_and_named_until_then() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("邻里噪音。");
    he.sync();
    hand_over(&world);
    world.pass(HOUR);
    let hash = he.library.attach_photo(case.to_string(), "楼梯口.jpg".into(), photo(1, 320, 240)).unwrap().hash;
    world.pass(MINUTE);
    he.sync();
    let browser = Browser::of(&world, "community");
    let (told, why) = ("楼梯口.jpg · 照片", "照片送到服务器、您也有权查看这份案卷，才在这里显示");
    browser.open("/quarantine");
    browser.press("tbody th a");
    browser.see(told);
    browser.see(why);
    assert!(!browser.has("ul.pictures"));
    let here = browser.path();
    he.library.transfer_attachments(TransferPolicy::default(), None, None).unwrap();
    browser.open(&here);
    browser.see(told);
    is_shown(&browser);
    browser.not_see(why);
    browser.not_see(&hash);
    browser.look("quarantine-photo-shown");
    // What is dismissed is looked at no more.
    browser.fill("textarea[name=reason]", "与本案无关。");
    browser.press("button[formaction$='dismiss']");
    browser.see("已驳回");
    browser.see(told);
    assert!(!browser.has("ul.pictures"));
    browser.not_see(why);
    browser.no_errors_but(&[]);
}

/// Whether the photo of the page can be seen.
fn is_shown(browser: &Browser) {
    browser.script("document.querySelector('ul.pictures img').scrollIntoView()");
    let shown = "const p = document.querySelector('ul.pictures img'); return p.complete && p.naturalWidth > 0";
    browser.until("the photo", || browser.script(shown) == json!(true));
}
