//! Erasure by law: recognisable words are planted, erased, and looked for in every table, in the database's file and on the phones;
//! what arrives late brings nothing back and is not lost.

mod holders;
mod photos;

use serde_json::{Value, json};
use server::erasure::{self, Proof};
use sync_core::edit::Edit;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::phones::{event, set, write};
use tests::{TestPhone, World};

const NAME: &str = "欧阳某某";
const PHONE: &str = "13987654321";
const ID: &str = "11010519491231002X";
const OTHER: &str = "司徒某某";
const STORY: &str = "因紫色雨棚漏水起争执";

fn party(name: &str, phone: &str, id: &str) -> Edit {
    let fields = [("name", name), ("phone", phone), ("id_number", id)].map(|(k, v)| (k.to_owned(), v.into()));
    Edit::AddItem { collection: "parties".into(), fields: fields.into(), text: None }
}

/// A case of two parties, of whom one is told of wherever a case can tell of somebody.
fn case_of_two(he: &TestPhone) -> (DocumentId, String) {
    let case = he.report_with(vec![
        write("narrative", &format!("{NAME}与{OTHER}{STORY}，{NAME}电话{PHONE}。")),
        party(NAME, PHONE, ID),
        party(OTHER, "13712345678", ""),
    ]);
    let state = he.case(case);
    let person = state.parties.iter().find(|(_, p)| p.fields["name"] == NAME).unwrap().0.clone();
    let statement = [("party".to_owned(), person.as_str().into()), ("by".to_owned(), NAME.into())];
    he.edit(
        case,
        &[Edit::AddItem {
            collection: "statements".into(),
            fields: statement.into(),
            text: Some(format!("{NAME}说：漏水三个月。")),
        }],
    );
    he.edit(case, &[event(EventKind::Note, json!({"text": format!("{NAME}要求赔偿。")}))]);
    (case, person)
}

/// Asked by the community's supervisor, decided by the street's.
pub(crate) fn erase(world: &World, kind: &str, case: DocumentId, part: &str) -> (String, Value) {
    let body = json!({"kind": kind, "document": case, "part": part, "reason": "当事人依法要求删除"});
    let (status, asked) = world.post("/v1/erasures", Some(&world.token("community")), &body);
    assert_eq!(status, 201, "{asked}");
    let id = asked["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/erasures/{id}/decide");
    let (status, decided) = world.post(&path, Some(&world.token("street")), &json!({"approve": true}));
    assert_eq!(status, 200, "{decided}");
    (id, decided["successor"].clone())
}

fn proof(world: &World, case: DocumentId, words: &[&str]) -> Proof {
    let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    let files = ["", "-wal"].map(|end| format!("{}{end}", world.database.url));
    erasure::verify(&world.app().db, case, &words, &files).unwrap()
}

#[test]
fn erasure_forgets_where_a_case_used_to_lie_and_may_name_it_in_an_order_to_a_phone() {
    let world = World::new();
    let (he, head) = (world.phone("he"), world.phone("station-head"));
    let case = he.report_with(vec![write("narrative", STORY)]);
    he.sync();
    head.sync();
    // It moves to a building of the second grid: his phone is told to forget it.
    head.edit(case, &[set("place.grid", "GM-BIYAN-02"), set("place.building", serde_json::Value::Null)]);
    head.sync();
    let moves = |world: &World| {
        use diesel::prelude::*;
        use server::db::tables::document_moves as m;
        let of_case = m::table.filter(m::document.eq(case.to_string())).count();
        of_case.get_result::<i64>(&mut *world.app().db.get().unwrap()).unwrap()
    };
    assert!(moves(&world) > 0, "it has moved");
    erase(&world, "case", case, "");
    assert_eq!(moves(&world), 0);
    assert_eq!(proof(&world, case, &[STORY]).found, vec![]);
    for phone in [&he, &head, &he, &head] {
        phone.sync();
    }
    assert_eq!(proof(&world, case, &[STORY]).found, vec![]);
    world.check_rebuild();
}

#[test]
fn erasure_of_a_case_leaves_no_word_in_tables_files_search_or_phones() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("station-head"));
    let (case, _) = case_of_two(&he);
    let other = he.report("另一宗。");
    he.sync();
    colleague.sync();
    // Rows that were written over, and an index that was rewritten, hold the words too.
    he.edit(case, &[set("people_involved", 2)]);
    he.sync();
    let words = [NAME, PHONE, ID, STORY, "漏水三个月"];
    assert!(
        !world.get("/v1/cases?q=%E7%B4%AB%E8%89%B2", Some(&world.token("community"))).1["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let holds = |end: &str| {
        let bytes = std::fs::read(format!("{}{end}", world.database.url)).unwrap_or_default();
        bytes.windows(STORY.len()).any(|w| w == STORY.as_bytes())
    };
    let postgres = world.app().db.is_postgres();
    assert!(postgres || holds("") || holds("-wal"), "the words stand in the file before");
    let (id, successor) = erase(&world, "case", case, "");
    assert_eq!(successor, Value::Null);
    let left = proof(&world, case, &words);
    assert_eq!(left.found, vec![], "nothing is left on the server");
    assert_eq!(left.phones.len(), 2, "{:?}", left.phones);
    assert!(!left.is_complete(), "no phone has heard of it yet");
    assert_eq!(world.get(&format!("/v1/cases/{case}"), Some(&world.token("community"))).0, 404);
    assert_eq!(world.get("/v1/cases?q=%E7%B4%AB%E8%89%B2", Some(&world.token("community"))).1["items"], json!([]));
    world.check_rebuild();
    for phone in [&he, &colleague] {
        assert!(phone.core().case(case).is_ok());
        phone.sync();
        assert!(phone.core().case(case).is_err(), "the phone has forgotten");
        assert!(phone.core().case(other).is_ok());
        // The next contact shows that it has.
        phone.sync();
    }
    let left = proof(&world, case, &words);
    assert!(left.is_complete(), "{left:?}");
    let (status, told) = world.get(&format!("/v1/erasures/{id}/proof"), Some(&world.token("street")));
    assert_eq!((status, &told["found"]), (200, &json!([])), "{told}");
    // A new phone hears nothing of it.
    let new = world.phone("colleague");
    new.sync();
    assert!(new.core().case(case).is_err());
    world.check_rebuild();
    assert_eq!(server::audit::verify(&world.app().db, &[]).unwrap().bad, None);
}

#[test]
fn erasure_of_a_person_keeps_the_rest_of_the_file_in_another_document() {
    let world = World::new();
    let (he, director) = (world.phone("he"), world.phone("mediation-director"));
    let (case, person) = case_of_two(&he);
    he.sync();
    director.sync();
    director.event(case, EventKind::Accepted, json!({}));
    director.sync();
    let before = world.case(case);
    let (_, successor) = erase(&world, "person", case, &person);
    let successor: DocumentId = successor.as_str().unwrap().parse().unwrap();
    let after = world.case(successor);
    assert_eq!(
        (after.status, after.created_by, after.created_ms),
        (before.status, before.created_by, before.created_ms)
    );
    assert_eq!(
        after.timeline.iter().map(|e| e.id).collect::<Vec<_>>(),
        before.timeline.iter().map(|e| e.id).collect::<Vec<_>>()
    );
    assert_eq!(
        after.timeline.iter().map(|e| e.witness).collect::<Vec<_>>(),
        before.timeline.iter().map(|e| e.witness).collect::<Vec<_>>()
    );
    assert_eq!(after.parties.len(), 1);
    assert!(after.parties.values().all(|p| p.fields["name"] == OTHER));
    assert_eq!(after.statements.len(), 0, "what the person said went with the person");
    assert_eq!(after.narrative, format!("[已删除]与{OTHER}{STORY}，[已删除]电话[已删除]。"));
    assert_eq!(proof(&world, case, &[NAME, PHONE, ID]).found, vec![]);
    for phone in [&he, &director] {
        phone.sync();
        assert!(phone.core().case(case).is_err());
        assert_eq!(phone.case(successor), after, "and the phones have what is left");
        phone.sync();
    }
    assert!(proof(&world, case, &[NAME, PHONE, ID]).is_complete());
    // Work goes on in the new document.
    director.event(successor, EventKind::Note, json!({"text": "继续调解。"}));
    director.sync();
    assert_eq!(world.case(successor).timeline.len(), before.timeline.len() + 1);
    world.check_rebuild();
}

#[test]
fn erasure_of_an_attachment_takes_its_entry_out_of_the_file() {
    let world = World::new();
    let he = world.phone("he");
    let (case, _) = case_of_two(&he);
    let attach = |n: &str| Edit::Attach {
        hash: n.repeat(64),
        name: format!("{n}.jpg"),
        media_type: "image/jpeg".into(),
        bytes: 10,
        taken_ms: None,
        location: None,
    };
    he.edit(case, &[attach("a"), attach("b")]);
    he.sync();
    let (_, successor) = erase(&world, "attachment", case, &"a".repeat(64));
    let left = world.case(successor.as_str().unwrap().parse().unwrap());
    assert_eq!(left.attachments.keys().collect::<Vec<_>>(), [&"b".repeat(64)]);
    assert_eq!(left.narrative, world.case(left.id).narrative);
    world.check_rebuild();
}

#[test]
fn erasure_late_words_land_in_quarantine_and_bring_nothing_back() {
    let world = World::new();
    let (he, colleague) = (world.phone("he"), world.phone("station-head"));
    let (case, person) = case_of_two(&he);
    he.sync();
    colleague.sync();
    // Written offline, while the person is being erased.
    colleague.edit(case, &[set("place.detail", "后门的脚手架")]);
    let (_, successor) = erase(&world, "person", case, &person);
    colleague.sync();
    assert!(colleague.core().case(case).is_err(), "the old file is gone from the phone");
    let refused = colleague.core().refused().unwrap();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].words.contains("后门的脚手架"), "its words are kept for their author: {}", refused[0].words);
    assert!(refused[0].detail.contains(successor.as_str().unwrap()), "and where they belong: {}", refused[0].detail);
    let (_, rows) = world.get("/v1/quarantine", Some(&world.token("community")));
    let rows = &rows["items"];
    assert_eq!(rows[0]["code"], "erased", "{rows}");
    assert!(rows[0]["preview"].to_string().contains("后门的脚手架"), "{rows}");
    assert_eq!(proof(&world, case, &[NAME, PHONE, ID]).found, vec![]);
    world.check_rebuild();
}

#[test]
fn erasure_keeps_late_words_in_quarantine_though_somebody_had_sent_them_as_his_own() {
    let world = World::new();
    let register = |login| crate::hand::Hand::register(&world, login);
    let (author, other) = (register("he"), register("colleague"));
    let (mut case, first) = author.case(STORY);
    author.hand_in(vec![author.entry(&case, [&first.bytes[..]])]);
    let late = author.edit(&mut case, &[set("place.detail", "后门的脚手架")]);
    other.hand_in(vec![other.entry(&case, [&late.bytes[..]])]);
    erase(&world, "case", case.meta().id, "");
    author.hand_in(vec![author.entry(&case, [&late.bytes[..]])]);
    let (_, rows) = world.get("/v1/quarantine?state=waiting", Some(&world.token("community")));
    let own = rows["items"].as_array().unwrap().iter().find(|r| r["author"] == author.user.to_string());
    assert!(own.is_some_and(|r| r["preview"].to_string().contains("后门的脚手架")), "{rows}");
}

#[test]
fn erasure_is_not_undone_by_sending_the_old_history_again() {
    let world = World::new();
    let hand = crate::hand::Hand::register(&world, "he");
    let (mut case, first) = hand.case(STORY);
    let second = hand.edit(&mut case, &[set("place.detail", NAME)]);
    let bytes = [&first.bytes[..], &second.bytes[..]];
    hand.hand_in(vec![hand.entry(&case, bytes)]);
    let id = case.meta().id;
    erase(&world, "case", id, "");
    // All of it once more, as a phone does that was restored from a backup, and the whole document offered.
    let outcomes = hand.hand_in(vec![hand.entry(&case, bytes)]);
    assert!(outcomes.iter().all(|o| *o == sync_core::sync::wire::PushOutcome::Duplicate), "{outcomes:?}");
    let mut request = hand.request(vec![]);
    request.doubts = vec![sync_core::sync::wire::Doubt { document: id, heads: case.heads() }];
    let answer = hand.send(&request);
    assert_eq!((answer.purge, answer.wanted, answer.deliveries), (vec![id], vec![], vec![]));
    assert_eq!(proof(&world, id, &[NAME, STORY]).found, vec![]);
    assert_eq!(world.get("/v1/quarantine", Some(&world.token("community"))).1["items"], json!([]));
    world.check_rebuild();
}

#[test]
fn erasure_needs_two_supervisors_and_a_reason() {
    let world = World::new();
    let he = world.phone("he");
    let (case, person) = case_of_two(&he);
    he.sync();
    let good = json!({"kind": "person", "document": case, "part": person, "reason": "当事人依法要求删除"});
    for login in ["he", "receptionist", "mediation-director", "baihua", "admin"] {
        assert_eq!(world.post("/v1/erasures", Some(&world.token(login)), &good).0, 403, "{login}");
    }
    let asked = |body: &Value| world.post("/v1/erasures", Some(&world.token("community")), body);
    for (change, status) in [
        (json!({"kind": "everything"}), 400),
        (json!({"reason": "删"}), 400),
        (json!({"reason": format!("删除电话{PHONE}的人")}), 400),
        (json!({"part": "nobody"}), 404),
        (json!({"part": ""}), 404),
        (json!({"kind": "attachment"}), 404),
        (json!({"kind": "case"}), 404),
        (json!({"document": uuid::Uuid::nil()}), 404),
        (json!({"document": "x"}), 400),
    ] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (told, problem) = asked(&body);
        assert_eq!(told, status, "{change}: {problem}");
    }
    let (_, erasure) = asked(&good);
    let path = format!("/v1/erasures/{}/decide", erasure["id"].as_str().unwrap());
    let decide =
        |login: &str, approve: bool| world.post(&path, Some(&world.token(login)), &json!({"approve": approve})).0;
    assert_eq!(decide("community", true), 403, "not by who asked");
    assert_eq!(decide("he", true), 403);
    assert_eq!(world.case(case).parties.len(), 2, "nothing is erased yet");
    assert_eq!(decide("district", false), 200);
    assert_eq!(decide("street", true), 409, "it was declined");
    assert_eq!(world.case(case).parties.len(), 2);
    let (_, list) = world.get("/v1/erasures", Some(&world.token("street")));
    assert_eq!((list["items"].as_array().unwrap().len(), list["items"][0]["state"].as_str()), (1, Some("declined")));
    let (_, log) = world.get("/v1/audit?action=erasure.", Some(&world.token("district")));
    let acts: Vec<_> = log["items"].as_array().unwrap().iter().map(|r| r["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["erasure.list", "erasure.decline", "erasure.ask"]);
}

#[test]
fn erasure_goes_with_a_backup_and_older_backups_are_named() {
    let world = World::new();
    let he = world.phone("he");
    let (case, _) = case_of_two(&he);
    he.sync();
    let app = world.app();
    let act = server::audit::Act::new(&server::audit::Origin::operator(), "backup.make", "old.backup");
    app.db.transaction(|conn| act.record(conn, app.now_ms(), &*app.entropy)).unwrap();
    world.pass(1_000);
    erase(&world, "case", case, "");
    assert_eq!(proof(&world, case, &[]).older_backups[0].0, "old.backup");
    let file = world.dir.path().join("new.backup");
    server::backup::backup(&app.db, &file).unwrap();
    let other = tests::TestDatabase::new(world.dir.path());
    let db = server::db::Database::open(&other.url).unwrap();
    db.migrate().unwrap();
    let law = server::projection::Law::shipped();
    server::backup::restore(&db, &law, &file, app.now_ms(), &*app.entropy).unwrap();
    let restored = erasure::verify(&db, case, &[NAME.into(), STORY.into()], &[]).unwrap();
    assert_eq!(restored.found, vec![]);
    assert_eq!(restored.phones.len(), 1, "whom to tell is not forgotten");
}

/// How many locks this process holds on a file, as the system tells it.
fn locks_on(file: &str) -> usize {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(file).unwrap().ino();
    let (locks, own) = (std::fs::read_to_string("/proc/locks").unwrap(), std::process::id().to_string());
    let is_own = |line: &&str| {
        let mut words = line.split_whitespace().skip(4);
        words.next() == Some(&own) && words.next().is_some_and(|at| at.ends_with(&format!(":{inode}")))
    };
    locks.lines().filter(is_own).count()
}

#[test]
fn erasure_is_proven_without_letting_go_of_the_database() {
    let world = World::new();
    if world.app().db.is_postgres() {
        return;
    }
    let he = world.phone("he");
    let case = he.report_with(vec![write("narrative", STORY)]);
    he.sync();
    let (id, _) = erase(&world, "case", case, "");
    let before = locks_on(&world.database.url);
    assert!(before > 0, "an open database is locked");
    let (status, proof) = world.get(&format!("/v1/erasures/{id}/proof"), Some(&world.token("street")));
    assert_eq!(status, 200, "{proof}");
    assert_eq!(locks_on(&world.database.url), before, "or the next program takes it for closed, and its log with it");
}
