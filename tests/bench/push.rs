//! One push of a typical case file (about 1 KB, three changes) to a real server over loopback, acknowledged after a durable commit;
//! beside it, in the same run, the floor: the same changes through bare Automerge (load, apply, save), and the same bytes in one
//! durable SQLite commit.

use std::time::Instant;

use automerge::{Automerge, Change};
use serde_json::{Value, json};
use sync_core::event::EventKind;
use sync_core::sync::wire::MEDIA_TYPE;
use tests::phones::{set, write};
use tests::{TestPhone, World};

use super::spread;

const STORY: &str = "网格员巡查到水利组17-5栋时,吵闹声很大并且许多群众围观。经了解,施工方负责人与工人因日常相关费用产生纠纷,\
工人要求支付来深期间的食宿费用,双方情绪激动,已引导至群众诉求服务大厅调解。";

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

fn case(phone: &TestPhone, n: usize) -> sync_core::ids::DocumentId {
    let id = phone.report_with(vec![
        write("narrative", STORY),
        set("title", format!("第{n}宗劳资纠纷")),
        set("category", "0701"),
        set("people_involved", 23),
        set("report.channel", "patrol"),
        set("place.detail", "水利组17-5栋"),
    ]);
    phone.event(id, EventKind::OnScene, json!({"note": "已到场"}));
    phone.event(id, EventKind::Guided, json!({"people": 6, "to": "诉求服务大厅"}));
    id
}

pub(super) fn run(runs: usize) -> Value {
    let world = World::new();
    let he = world.phone("he");
    he.sync();
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let url = format!("{}/v1/sync", world.url());
    let floor_db = rusqlite::Connection::open(world.dir.path().join("floor.db")).unwrap();
    floor_db
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE journal (position INTEGER PRIMARY KEY, bytes BLOB)")
        .unwrap();
    let (mut push, mut bare, mut commit) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes_up, mut bytes_saved) = (0, 0);
    for n in 0..runs + 10 {
        let id = case(&he, n);
        let changes = he.core().document(id).unwrap().changes();
        let mut session = he.core().sync_begin("bench");
        let header = he.library.authorization_header().unwrap();
        let request = session.next_request().unwrap().unwrap();
        let begun = Instant::now();
        let mut response = agent
            .post(&url)
            .header("Authorization", &header)
            .header("Content-Type", MEDIA_TYPE)
            .send(request.as_slice())
            .unwrap();
        let answer = response.body_mut().read_to_vec().unwrap();
        let pushed = micros(begun);
        session.apply_response(&answer).unwrap();

        let parsed: Vec<Change> = changes.iter().map(|c| Change::from_bytes(c.bytes.clone()).unwrap()).collect();
        let mut first = Automerge::new();
        first.apply_changes(parsed.iter().take(1).cloned()).unwrap();
        let base = first.save();
        let begun = Instant::now();
        let mut document = Automerge::load(&base).unwrap();
        document.apply_changes(parsed.into_iter().skip(1)).unwrap();
        let saved = document.save();
        let merged = micros(begun);

        let begun = Instant::now();
        floor_db.execute_batch("BEGIN IMMEDIATE").unwrap();
        for change in &changes {
            floor_db
                .prepare_cached("INSERT INTO journal (bytes) VALUES (?1)")
                .unwrap()
                .execute([&change.bytes])
                .unwrap();
        }
        floor_db.execute_batch("COMMIT").unwrap();
        let committed = micros(begun);
        // The first ones warm caches and connections.
        if n >= 10 {
            push.push(pushed);
            bare.push(merged);
            commit.push(committed);
            bytes_up += request.len();
            bytes_saved += saved.len();
        }
    }
    let (push, push_p99) = spread(&mut push);
    let (bare, _) = spread(&mut bare);
    let (commit, commit_p99) = spread(&mut commit);
    json!({
        "benchmark": "push", "runs": runs, "changes": 3,
        "document_bytes": bytes_saved / runs, "bytes_up": bytes_up / runs,
        "push_us": {"p50": push, "p99": push_p99},
        "floor": {"automerge_us_p50": bare, "sqlite_commit_us_p50": commit, "sqlite_commit_us_p99": commit_p99},
        "ratio_to_floor": ((push / (bare + commit)) * 100.0).round() / 100.0,
    })
}
