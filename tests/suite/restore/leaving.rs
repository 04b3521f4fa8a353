//! What phones hold that leave, or whose owners may see it no longer, reaches a restored server all the same, and leaves them afterwards.

use serde_json::{Value, json};
use sync_core::event::EventKind;
use sync_core::phone::LastStep;
use tests::phones::{set, write};
use tests::{HOUR, TestPhone, World};

use super::{anothers_by_the_backup, busy_case};
use crate::access::lost::last_words;
use crate::erasure::erase;
use crate::quarantine::{discharged, items};
use crate::relay::meet::{meet, sociable};

#[test]
fn restore_has_forgotten_what_is_not_its_bringers_to_see_also_where_he_had_written_on() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let file = anothers_by_the_backup(&world, &he);
    let (case, own) = (he.report("备份以后的案件。"), he.report("只有他的手机写过的案件。"));
    he.sync();
    head.sync();
    head.event(case, EventKind::Note, json!({"text": "站长已阅。"}));
    head.sync();
    he.sync();
    let before = world.case(case);
    he.event(case, EventKind::OnScene, json!({"note": "恢复以前还没有发送"}));
    he.event(own, EventKind::OnScene, json!({"note": "也没有发送"}));
    world.lose_and_restore(&file);
    head.sign_in_again(&world, "station-head");
    head.sync();
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(world.case(case), before);
    assert_eq!(he.core().documents().unwrap(), [], "by the restored rights neither is his to see");
    let refused = he.core().refused().unwrap();
    assert!(refused.len() == 2 && refused.iter().all(|r| r.words.contains("没有发送")), "{refused:?}");
    assert_eq!(items(&world, "community", "").len(), 2);
    world.check_rebuild();
}

#[test]
fn restore_keeps_aside_once_more_what_the_lost_server_had_refused() {
    let mut world = World::new();
    let (he, case) = discharged(&world);
    let file = world.back_up("hall.backup");
    he.event(case, EventKind::OnScene, json!({"note": "不在岗以后所写"}));
    he.sync();
    assert_eq!(waiting(&world).len(), 1);
    world.lose_and_restore(&file);
    assert_eq!(waiting(&world).len(), 0, "lost with the server");
    he.sign_in_again(&world, "he");
    he.sync();
    assert!(waiting(&world).len() == 1 && waiting(&world)[0]["preview"].to_string().contains("不在岗以后所写"));
    assert_eq!((he.core().refused().unwrap().len(), he.core().status().unwrap().pending), (1, 0));
    world.check_rebuild();
}

#[test]
fn restore_lets_in_what_was_refused_where_its_author_is_charged_again_once_the_record_is_back() {
    let mut world = World::new();
    let head = world.phone("station-head");
    let file = world.back_up("before-everything.backup");
    let (he, case) = discharged(&world);
    head.sync();
    he.event(case, EventKind::OnScene, json!({"note": "不在岗以后所写"}));
    he.sync();
    assert_eq!(he.core().documents().unwrap(), []);
    world.lose_and_restore(&file);
    // Nothing is wrong with his phone: what was refused once is not due as long as the record is away.
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!((he.core().refused().unwrap().len(), he.core().status().unwrap().pending), (1, 1));
    assert!(he.core().next_sync_ms().unwrap() > 60_000, "it does not ask again and again");
    head.sign_in_again(&world, "station-head");
    head.sync();
    he.sync();
    assert!(world.case(case).timeline.iter().any(|e| e.kind == EventKind::OnScene));
    assert_eq!((waiting(&world).len(), he.core().refused().unwrap().len()), (0, 0));
    assert_eq!(he.case(case), world.case(case));
    world.check_rebuild();
}

fn waiting(world: &World) -> Vec<Value> {
    items(world, "community", "?state=waiting")
}

#[test]
fn restore_gets_what_a_phone_holds_that_is_to_be_wiped_before_it_is_empty() {
    let mut world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let file = world.back_up("hall.backup");
    let case = busy_case(&world, &he, &head);
    let before = world.case(case);
    world.lose_and_restore(&file);
    let device = he.core().identity().unwrap().unwrap().device;
    let (status, reply) =
        world.post(&format!("/v1/devices/{device}/wipe"), Some(&world.token("community")), &json!({}));
    assert_eq!(status, 200, "{reply}");
    assert!(matches!(last_words(&world, &he), LastStep::Wipe(_)));
    assert_eq!(world.case(case), before, "what others, the desk and the lost server wrote came with it");
    world.check_rebuild();
}

/// One request of a sync, whose owner goes on writing until the answer is there.
fn writes_while_told(world: &World, phone: &TestPhone, write: impl FnOnce()) {
    let mut syncing = phone.core().sync_begin("test");
    let answer = phone.exchange(world, &syncing.next_request().unwrap().unwrap());
    write();
    syncing.apply_response(&answer).unwrap();
}

#[test]
fn restore_leaves_what_was_typed_while_its_record_was_being_erased_with_its_author() {
    let mut world = World::new();
    let he = world.phone("he");
    let file = world.back_up("before-everything.backup");
    let case = he.report("将被依法删除的案件。");
    let other = he.report_with(vec![write("narrative", "另一件。"), set("category", "0201")]);
    he.sync();
    for id in [case, other] {
        erase(&world, "case", id, "");
    }
    writes_while_told(&world, &he, || {
        he.event(case, EventKind::Note, json!({"text": "同步时还在写的话"}));
        he.edit(other, &[set("category", Value::Null)]);
    });
    let told = || {
        let refused = he.core().refused().unwrap();
        assert!(refused.iter().all(|r| r.code == "erased" && !r.words.is_empty()), "{refused:?}");
        refused.iter().filter(|r| r.document == other || r.words.contains("同步时还在写的话")).count()
    };
    assert_eq!((he.core().documents().unwrap(), told()), (vec![], 2));
    // The restored server knows neither the record nor that it was erased, and nobody has it any more.
    world.lose_and_restore(&file);
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(told(), 2);
    assert!(he.core().next_sync_ms().unwrap() > 60_000, "it does not ask again and again");
    world.check_rebuild();
}

#[test]
fn erasure_that_meets_somebody_writing_keeps_his_words_and_says_where_they_belong() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report_with(vec![write("narrative", "将被依法删除的案件。")]);
    he.sync();
    erase(&world, "case", case, "");
    writes_while_told(&world, &he, || he.event(case, EventKind::Note, json!({"text": "同步时还在写的话"})));
    he.sync();
    let refused = he.core().refused().unwrap();
    assert!(refused.len() == 1 && refused[0].detail.contains("belongs into a new document"), "{refused:?}");
    assert!(refused[0].words.contains("同步时还在写的话"), "{refused:?}");
    assert_eq!((waiting(&world).len(), he.core().status().unwrap().pending), (1, 0));
}

#[test]
fn restore_gets_what_only_another_phone_holds_that_was_given_it_at_a_meeting() {
    let mut world = World::new();
    let (he, colleague) = (sociable(&world, "he"), sociable(&world, "colleague"));
    colleague.sync();
    let file = world.back_up("hall.backup");
    world.pass(HOUR);
    let case = he.report("见面时交给同事的案件。");
    he.sync();
    // This one brings the proof to show to others.
    he.sync();
    let before = world.case(case);
    meet(&he, &colleague);
    assert_eq!(colleague.case(case), before);
    world.lose_and_restore(&file);
    // His phone never comes back.
    colleague.sign_in_again(&world, "colleague");
    colleague.sync();
    assert_eq!(world.case(case), before);
    assert_eq!(colleague.case(case), before);
    world.check_rebuild();
}
