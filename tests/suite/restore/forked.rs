//! A phone and the server both go back to a backup, and the phone writes before they meet: one place of its actor has two changes. The
//! side that enters second goes to quarantine with its words, and every phone goes on with the one that stands.

use serde_json::{Value, json};
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::write;
use tests::{TestPhone, World};

use crate::relay::meet::{meet, sociable};

fn note(phone: &TestPhone, case: DocumentId, text: &str) {
    phone.event(case, EventKind::Note, json!({ "text": text }));
}

fn kept(world: &World, case: DocumentId) -> Vec<Value> {
    let path = format!("/v1/quarantine?document={case}&limit=200");
    let (status, list) = world.get(&path, Some(&world.token("community")));
    assert_eq!(status, 200, "{list}");
    list["items"].as_array().unwrap().clone()
}

fn notes(world: &World, case: DocumentId) -> Vec<String> {
    let state = world.case(case);
    state.timeline.iter().filter_map(|e| e.text("text").map(str::to_owned)).collect()
}

/// A note that he wrote and his phone and the server have both forgotten, with what the station head wrote upon it, sent and unsent;
/// in its place the server has what he wrote before they met. Gives the case, his phone and hers.
fn forked(world: &mut World) -> (DocumentId, TestPhone, TestPhone) {
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    head.sync();
    let file = world.back_up("hall.backup");
    he.back_up();
    note(&he, case, "已联系施工方。");
    he.sync();
    head.sync();
    note(&head, case, "站长已阅。");
    head.sync();
    let he = he.restored();
    note(&he, case, "工人已回宿舍。");
    world.lose_and_restore(&file);
    he.sign_in_again(world, "he");
    he.sync();
    note(&head, case, "站长再次到场。");
    head.edit(case, &[write("narrative", "水利组17-5栋,工人讨要工资,共十二人。")]);
    (case, he, head)
}

#[test]
fn restore_keeps_the_other_side_of_a_fork_in_quarantine_and_its_phone_goes_on_with_the_one_that_stands() {
    let mut world = World::new();
    let (case, he, head) = forked(&mut world);
    head.sign_in_again(&world, "station-head");
    head.sync();
    he.sync();
    assert_eq!(notes(&world, case), ["工人已回宿舍。"]);
    assert!(he.case(case) == world.case(case) && head.case(case) == world.case(case));
    // Every word of the other side can be read at the hall, under the name of him who wrote it.
    let rows = kept(&world, case);
    let (his, hers) = (he.core().identity().unwrap().unwrap().user, head.core().identity().unwrap().unwrap().user);
    for (author, words, code) in [
        (his, "已联系施工方。", "fork"),
        (hers, "站长已阅。", "depends_on_refused"),
        (hers, "站长再次到场。", "depends_on_refused"),
        (hers, "共十二人", "depends_on_refused"),
    ] {
        let says = |r: &&Value| r["author"] == author.to_string() && r["preview"].as_str().unwrap().contains(words);
        let row = rows.iter().find(says).unwrap_or_else(|| panic!("{words}: {rows:#?}"));
        assert_eq!((&row["code"], &row["state"]), (&json!(code), &json!("waiting")));
    }
    assert_eq!(rows.len(), 4, "what the lost server wrote about them is nobody's words: {rows:#?}");
    // And what she wrote, on her phone too.
    let refused = head.core().refused().unwrap();
    for words in ["站长已阅。", "站长再次到场。", "共十二人"] {
        assert!(refused.iter().any(|r| r.words.contains(words)), "{words}: {refused:#?}");
    }
    assert_eq!(head.core().status().unwrap().pending, 0);
    // Everybody goes on, and nothing of it comes up again.
    note(&head, case, "按新情况办理。");
    head.sync();
    he.sync();
    head.sync();
    assert_eq!(notes(&world, case), ["工人已回宿舍。", "按新情况办理。"]);
    assert!(he.case(case) == world.case(case) && head.case(case) == world.case(case));
    assert_eq!(kept(&world, case).len(), 4);
    world.check_rebuild();
}

#[test]
fn restore_knows_the_other_side_of_a_fork_when_a_second_phone_brings_it() {
    let mut world = World::new();
    let (he, head, community) = (world.phone("he"), world.phone("station-head"), world.phone("community"));
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    let file = world.back_up("hall.backup");
    he.back_up();
    note(&he, case, "已联系施工方。");
    he.sync();
    head.sync();
    community.sync();
    assert_eq!(community.case(case), head.case(case));
    let he = he.restored();
    note(&he, case, "工人已回宿舍。");
    world.lose_and_restore(&file);
    he.sign_in_again(&world, "he");
    he.sync();
    for (phone, login) in [(&head, "station-head"), (&community, "community")] {
        phone.sign_in_again(&world, login);
        phone.sync();
        assert_eq!(phone.case(case), world.case(case), "{login}");
        assert_eq!(phone.core().refused().unwrap().len(), 0, "none of it is {login}'s");
        assert_eq!(kept(&world, case).len(), 1);
    }
    assert_eq!(notes(&world, case), ["工人已回宿舍。"]);
    let (_, told) = world.get("/v1/restore", Some(&world.token("admin")));
    let phones = told["phones"].as_array().unwrap();
    assert!(phones.iter().all(|p| p["lacking"] == json!({})), "{told}");
    world.check_rebuild();
}

#[test]
fn restore_knows_the_other_side_of_a_fork_from_a_phone_that_was_given_it_at_a_meeting() {
    let mut world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    let case = he.report("水利组17-5栋,工人讨要工资。");
    he.sync();
    colleague.sync();
    let file = world.back_up("hall.backup");
    he.back_up();
    note(&he, case, "已联系施工方。");
    he.sync();
    // This one brings the proof to show to others.
    he.sync();
    meet(&he, &colleague);
    assert_eq!(colleague.case(case), world.case(case));
    let he = he.restored();
    note(&he, case, "工人已回宿舍。");
    world.lose_and_restore(&file);
    he.sign_in_again(&world, "he");
    he.sync();
    colleague.sign_in_again(&world, "colleague");
    colleague.sync();
    assert_eq!(notes(&world, case), ["工人已回宿舍。"]);
    assert_eq!(colleague.case(case), world.case(case));
    let rows = kept(&world, case);
    assert!(
        rows.len() == 1 && rows[0]["code"] == "fork" && rows[0]["preview"].to_string().contains("已联系施工方"),
        "{rows:#?}"
    );
    world.check_rebuild();
}

#[test]
fn restore_lets_nobody_merge_the_other_side_of_a_fork_and_everybody_read_it() {
    let mut world = World::new();
    let (case, _he, head) = forked(&mut world);
    head.sign_in_again(&world, "station-head");
    head.sync();
    let row = kept(&world, case).into_iter().find(|r| r["code"] == "fork").unwrap();
    let path = format!("/v1/quarantine/{}", row["id"].as_str().unwrap());
    let (status, reply) = world.post(&format!("{path}/accept"), Some(&world.token("community")), &json!({}));
    assert_eq!(status, 409, "{reply}");
    let (status, one) = world.get(&path, Some(&world.token("community")));
    assert!(status == 200 && one["preview"].as_str().unwrap().contains("已联系施工方。"), "{one}");
    let body = json!({"reason": "已重新记录"});
    let (status, reply) = world.post(&format!("{path}/dismiss"), Some(&world.token("community")), &body);
    assert_eq!(status, 200, "{reply}");
    // What was dismissed stays out, and is not kept a second time.
    note(&head, case, "按新情况办理。");
    head.sync();
    assert_eq!(head.case(case), world.case(case));
    assert_eq!(notes(&world, case), ["工人已回宿舍。", "按新情况办理。"]);
    world.check_rebuild();
}
