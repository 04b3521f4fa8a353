//! An area goes from one worker to another while their phones are offline.

use serde_json::{Value, json};
use sync_core::edit::Draft;
use sync_core::event::EventKind;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::phone::DocumentStatus;
use sync_core::shape::DocumentKind;
use tests::phones::{set, write};
use tests::{HOUR, MINUTE, TestPhone, World};

use crate::quarantine::items;

const GRID: &str = "GM-BIYAN-01";

fn act(world: &World, path: &str, body: &Value) -> (u16, Value) {
    world.post(path, Some(&world.token("admin")), body)
}

#[test]
fn a_phone_that_never_heard_an_answer_forgets_what_it_handed_in_when_its_holder_was_reassigned_meanwhile() {
    let world = World::new();
    let he = world.phone("he");
    let case = he.report("他的第一件。");
    let request = he.core().sync_begin("test").next_request().unwrap().unwrap();
    // Taken, and the answer is lost on the way.
    he.exchange(&world, &request);
    reassign(&world, "he", "baihua");
    he.sync();
    assert_eq!(world.case(case).narrative, "他的第一件。");
    assert_eq!(he.core().documents().unwrap(), [], "it is another's to look after now");
    assert!(orders(&world, "he").iter().all(|(_, _, confirmed)| *confirmed));
}

/// Hands the first grid of 碧眼 from one worker to another.
pub(crate) fn reassign(world: &World, from: &str, to: &str) {
    let body = json!({"role": "grid_worker", "from": world.user(from), "to": world.user(to)});
    let (status, reply) = act(world, &format!("/v1/areas/{GRID}/reassign"), &body);
    assert_eq!(status, 200, "{reply}");
}

/// Ends every role of somebody.
pub(crate) fn move_away(world: &World, login: &str) {
    let user = world.user(login);
    let (_, held) = world.get(&format!("/v1/users/{user}/assignments"), Some(&world.token("admin")));
    for role in held["items"].as_array().unwrap() {
        let body = json!({"role": role["role"], "area": role["area"]});
        let (status, reply) = act(world, &format!("/v1/users/{user}/assignments/end"), &body);
        assert_eq!(status, 200, "{reply}");
    }
}

/// A worker of no grid so far.
pub(super) fn newcomer(world: &World) {
    world.import(
        "[[area]]\ncode = \"GM-BIYAN-03\"\nkind = \"grid\"\nname = \"碧眼第三网格\"\nparent = \"GM-BIYAN\"\n\n\
         [[user]]\nlogin = \"baihua-two\"\nname = \"新网格员\"\npassword = \"maple-bridge-new\"\n\
         roles = [{ role = \"grid_worker\", area = \"GM-BIYAN-03\" }]\n",
    );
}

fn held(phone: &TestPhone) -> Vec<DocumentId> {
    phone.core().documents().unwrap()
}

/// Orders to somebody's only phone: kind and whether it was confirmed.
pub(crate) fn orders(world: &World, login: &str) -> Vec<(String, String, bool)> {
    let token = world.token("admin");
    let (_, devices) = world.get("/v1/devices", Some(&token));
    let user = world.user(login);
    let device = devices["items"].as_array().unwrap().iter().find(|d| d["user"] == user.as_str()).unwrap().clone();
    let (status, list) = world.get(&format!("/v1/devices/{}/orders", device["id"].as_str().unwrap()), Some(&token));
    assert_eq!(status, 200, "{list}");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let order = |o: &Value| (text(&o["kind"]), text(&o["target"]), o["confirmed_ms"].is_i64());
    list["items"].as_array().unwrap().iter().map(order).collect()
}

#[test]
fn after_a_reassignment_earlier_work_is_accepted_and_later_work_goes_to_quarantine() {
    let world = World::new();
    let (he, station) = (world.phone("he"), world.phone("station-head"));
    let case = he.report("二十三名工人要求支付工资。");
    he.sync();
    world.pass(HOUR);
    let before = he.report("交接前在楼下写的。");
    he.event(case, EventKind::OnScene, json!({"note": "交接前到场"}));
    world.pass(HOUR);
    reassign(&world, "he", "baihua");
    world.pass(HOUR);
    let after = he.report("交接后写的。");
    he.event(case, EventKind::Note, json!({"text": "交接后补记"}));
    he.sync();
    station.sync();
    assert!(held(&station).contains(&before), "what was made while the grid was his is accepted");
    assert!(world.case(case).timeline.iter().any(|e| e.kind == EventKind::OnScene));
    assert!(!world.case(case).timeline.iter().any(|e| e.kind == EventKind::Note), "made when the grid was another's");
    let waiting: Vec<String> =
        items(&world, "community", "").iter().map(|q| q["document"].as_str().unwrap().to_owned()).collect();
    assert!(waiting.contains(&after.to_string()) && waiting.contains(&case.to_string()), "{waiting:?}");
    let refused = he.core().refused().unwrap();
    assert!(refused.iter().any(|r| r.words.contains("交接后补记")), "his words stay with him: {refused:?}");
    assert!(refused.iter().any(|r| r.document == after), "{refused:?}");
    assert!(refused.iter().any(|r| r.words.contains("交接后写的")), "{refused:?}");
    assert_eq!(he.core().status().unwrap().pending, 0);
}

#[test]
fn after_a_reassignment_work_of_a_rebooted_phone_waits_for_a_person_who_is_told_why() {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    world.pass(HOUR);
    he.host.reboot();
    let case = he.report("重启后写的，交接之前。");
    world.pass(HOUR);
    reassign(&world, "he", "baihua");
    he.sync();
    let waiting = items(&world, "community", "");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(waiting[0]["document"], case.to_string());
    let detail = waiting[0]["detail"].as_str().unwrap();
    assert!(detail.contains("may have been made while the role was held"), "{detail}");
    // Had he met the server after the hand-over, there would be nothing to consider.
    world.pass(HOUR);
    he.host.reboot();
    let outright = he.core().create(&Draft {
        kind: DocumentKind::Case,
        community: AreaCode::new("GM-BIYAN").unwrap(),
        edits: vec![set("place.grid", GRID), write("narrative", "早已交接。")],
    });
    assert!(outright.is_err(), "the phone knows its roles and does not offer what would be refused");
}

#[test]
fn a_reassignment_purges_the_old_phone_and_fills_the_new_one_and_nothing_comes_twice() {
    let world = World::new();
    newcomer(&world);
    let he = world.phone("he");
    let cases: Vec<_> = (0..5).map(|n| he.report(&format!("第{n}起欠薪纠纷"))).collect();
    he.sync();
    let new = TestPhone::with_password(&world, "baihua-two", "maple-bridge-new");
    new.sync();
    assert_eq!(held(&new), vec![]);
    reassign(&world, "he", "baihua-two");
    world.pass(MINUTE);
    let report = new.library.sync(None, None).unwrap();
    assert_eq!(held(&new).len(), cases.len());
    assert!(new.core().search("欠薪纠纷", 50).unwrap().len() == cases.len());
    let again = new.library.sync(None, None).unwrap();
    assert!(report.received > 0 && again.received == 0, "nothing is fetched twice: {report:?} {again:?}");
    // Those that he made himself he keeps only within his communities; he has none any more.
    he.sync();
    assert_eq!(held(&he), vec![], "what is no longer his is gone");
    assert!(he.core().search("欠薪", 50).unwrap().is_empty());
    assert_eq!(orders(&world, "he"), [("community".to_owned(), "GM-BIYAN".to_owned(), true)]);
}

#[test]
fn a_narrower_scope_purges_only_the_difference_and_a_wider_one_fetches_only_the_difference() {
    let world = World::new();
    let (colleague, he, head) = (world.phone("colleague"), world.phone("he"), world.phone("station-head"));
    let mut first: Vec<_> = (0..4).map(|n| he.report(&format!("第一网格第{n}起"))).collect();
    he.sync();
    let second: Vec<_> = (0..3).map(|n| in_grid(&head, "GM-BIYAN-02", &format!("第二网格第{n}起"))).collect();
    head.sync();
    colleague.sync();
    assert_eq!(held(&colleague).len(), 7);
    let user = world.user("colleague");
    let role = json!({"role": "grid_worker", "area": "GM-BIYAN-02"});
    let (status, reply) = act(&world, &format!("/v1/users/{user}/assignments/end"), &role);
    assert_eq!(status, 200, "{reply}");
    let narrowed = colleague.library.sync(None, None).unwrap();
    assert_eq!(narrowed.received, 0, "what stays is not fetched again");
    first.sort_unstable();
    assert_eq!(held(&colleague), first);
    let told = orders(&world, "colleague");
    assert_eq!(told.len(), second.len());
    assert!(told.iter().all(|(kind, _, confirmed)| kind == "document" && *confirmed), "{told:?}");
    // Meanwhile somebody writes in both grids.
    he.event(first[0], EventKind::OnScene, json!({"note": "到场"}));
    he.sync();
    head.event(second[0], EventKind::OnScene, json!({"note": "到场"}));
    head.sync();
    let (status, reply) = act(&world, &format!("/v1/users/{user}/assignments"), &role);
    assert_eq!(status, 201, "{reply}");
    let journal: i64 = {
        let app = world.app();
        let mut conn = app.db.get().unwrap();
        let entries = |d: &DocumentId| server::journal::of_document(&mut conn, *d).unwrap().len();
        i64::try_from(second.iter().map(entries).sum::<usize>()).unwrap()
    };
    let widened = colleague.library.sync(None, None).unwrap();
    assert_eq!(held(&colleague).len(), 7);
    let tail = widened.received as i64 - journal;
    assert!((1..=2).contains(&tail), "the new grid once, and what was written in the other: {widened:?} {journal}");
    assert_eq!(colleague.library.sync(None, None).unwrap().received, 0);
    assert!(colleague.case(second[0]).timeline.iter().any(|e| e.kind == EventKind::OnScene));
}

fn in_grid(phone: &TestPhone, grid: &str, story: &str) -> DocumentId {
    let community = AreaCode::new("GM-BIYAN").unwrap();
    let edits = vec![set("place.grid", grid), write("narrative", story)];
    phone.core().create(&Draft { kind: DocumentKind::Case, community, edits }).unwrap()
}

#[test]
fn a_document_that_moves_to_another_grid_is_purged_here_and_arrives_there_whole() {
    let world = World::new();
    newcomer(&world);
    let (colleague, head) = (world.phone("colleague"), world.phone("station-head"));
    let new = TestPhone::with_password(&world, "baihua-two", "maple-bridge-new");
    let case = in_grid(&head, GRID, "先在第一网格。");
    let other = in_grid(&head, "GM-BIYAN-03", "一直在第三网格。");
    head.sync();
    colleague.sync();
    new.sync();
    assert_eq!((held(&colleague), held(&new)), (vec![case], vec![other]));
    // The worker of the first grid is offline and works on it; meanwhile it is moved.
    world.pass(MINUTE);
    colleague.event(case, EventKind::OnScene, json!({"note": "移交前到场"}));
    world.pass(MINUTE);
    head.edit(case, &[set("place.grid", "GM-BIYAN-03")]);
    head.sync();
    let received = new.library.sync(None, None).unwrap();
    assert_eq!(new.case(case).narrative, "先在第一网格。", "whole, with what was before it came");
    assert!(received.received > 0);
    assert_eq!(new.library.sync(None, None).unwrap().received, 0);
    colleague.sync();
    assert_eq!(held(&colleague), vec![], "it has left his sight");
    assert!(colleague.core().refused().unwrap().is_empty(), "what he did before it left is accepted");
    assert!(world.case(case).timeline.iter().any(|e| e.kind == EventKind::OnScene));
    new.sync();
    assert!(new.case(case).timeline.iter().any(|e| e.kind == EventKind::OnScene));
    assert_eq!(orders(&world, "colleague"), [("document".to_owned(), case.to_string(), true)]);
    world.check_rebuild();
}

#[test]
fn a_purge_stands_until_it_is_confirmed_and_keeps_what_is_unsent() {
    let mut world = World::new();
    let he = world.phone("he");
    let case = he.report("工人聚集。");
    he.sync();
    he.event(case, EventKind::OnScene, json!({"note": "未发送"}));
    reassign(&world, "he", "baihua");
    // The answer with the order is lost, and the server is started anew.
    let mut session = he.core().sync_begin("test");
    let request = session.next_request().unwrap().unwrap();
    let token = he.library.authorization_header().unwrap().trim_start_matches("Bearer ").to_owned();
    let (status, _) = world.post_bytes("/v1/sync", &token, "application/vnd.fengqiao.sync", &request);
    assert_eq!(status, 200);
    drop(session);
    assert_eq!(orders(&world, "he"), [("community".to_owned(), "GM-BIYAN".to_owned(), false)]);
    world.stop();
    world.start();
    assert_eq!(held(&he), vec![case]);
    he.sign_in_again(&world, "he");
    he.sync();
    assert_eq!(held(&he), vec![]);
    assert!(he.core().document_status(case).is_err());
    assert_eq!(orders(&world, "he"), [("community".to_owned(), "GM-BIYAN".to_owned(), true)]);
    assert!(world.case(case).timeline.iter().any(|e| e.kind == EventKind::OnScene), "his unsent work went first");
    assert_eq!(he.core().status().unwrap().pending, 0);
}

#[test]
fn closed_records_of_long_ago_do_not_burden_a_new_phone_but_come_when_they_are_asked_for() {
    let world = World::new();
    let (he, desk) = (world.phone("he"), world.token("receptionist"));
    let (old, open) = (he.report("早已办结。"), he.report("仍在办理。"));
    he.sync();
    let edits = json!({"edits": [
        {"edit": "add_event", "kind": "accepted", "body": {}},
        {"edit": "add_event", "kind": "resolved", "body": {"note": "已支付"}},
        {"edit": "add_event", "kind": "closed", "body": {"summary": "已支付"}},
    ]});
    let (status, reply) = world.post(&format!("/v1/cases/{old}/edits"), Some(&desk), &edits);
    assert_eq!(status, 200, "{reply}");
    assert!(!world.case(old).status.is_open(), "{:?}", world.case(old).status);
    world.pass(200 * 24 * HOUR);
    let head = world.phone("station-head");
    head.sync();
    assert_eq!(held(&head), vec![open]);
    head.core().fetch(old).unwrap();
    head.sync();
    assert_eq!(head.case(old).narrative, "早已办结。");
    assert!(matches!(head.core().document_status(old).unwrap(), DocumentStatus::OnServerSince(_)));
}

#[test]
fn only_an_administrator_of_the_area_may_reassign_it() {
    let world = World::new();
    let (he, baihua) = (world.user("he"), world.user("baihua"));
    let path = format!("/v1/areas/{GRID}/reassign");
    let body = json!({"role": "grid_worker", "from": he, "to": baihua});
    for login in ["he", "station-head", "community", "district"] {
        assert_eq!(world.post(&path, Some(&world.token(login)), &body).0, 403, "{login}");
    }
    let wrong = [
        (json!({"role": "king", "from": he, "to": baihua}), 400),
        (json!({"role": "grid_worker", "from": he, "to": he}), 400),
        (json!({"role": "grid_worker", "from": "nobody", "to": baihua}), 400),
        (json!({"role": "grid_worker", "from": he, "to": uuid::Uuid::nil()}), 404),
        (json!({"role": "grid_worker", "from": baihua, "to": he}), 409),
        (json!({"role": "grid_worker", "from": he}), 400),
    ];
    for (body, expected) in wrong {
        let (status, reply) = act(&world, &path, &body);
        assert_eq!(status, expected, "{body}: {reply}");
    }
    assert_eq!(act(&world, "/v1/areas/NOWHERE/reassign", &body).0, 403, "an area that is not there is nobody's");
    assert_eq!(act(&world, &path, &body).0, 200);
    let (_, list) = world.get(&format!("/v1/users/{he}/assignments"), Some(&world.token("admin")));
    assert!(list["items"][0]["until_ms"].is_i64(), "{list}");
    assert_eq!(act(&world, &path, &body).0, 409, "it is handed on once");
}
