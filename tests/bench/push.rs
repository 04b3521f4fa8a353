//! One push of a typical case file (about 1 KB, three changes), acknowledged durably by the real server over loopback HTTP; beside
//! it, in the same run, what cannot be saved: the engine's load, apply and save of the same changes, and one durable commit of the
//! same bytes. Each round does all of them, so that a busy machine is busy for all.

use std::time::{Duration, Instant};

use automerge::{Automerge, Change, LoadOptions, TextEncoding};
use serde_json::{Value, json};
use sync_core::document::RawChange;
use sync_core::event::EventKind;
use tests::phones::{event, set, write};
use tests::{TestPhone, World};

const STORY: &str = "2019年5月17日上午九时许，水利组17-5栋出租屋内，二十三名工人因被拖欠工资聚集在楼下。双方情绪激动，\
    承包方代表称工程款未结，工人代表要求当日付清。网格员到场后安抚双方，并引导代表前往群众诉求服务大厅协商解决。";

/// A case as it is after its first visit: a report, its fields, a first event.
fn edit_case(phone: &TestPhone) -> sync_core::ids::DocumentId {
    let case = phone.report(STORY);
    phone.edit(
        case,
        &[
            set("title", "水利组17-5栋欠薪聚集"),
            set("category", "0701"),
            set("severity", "urgent"),
            set("people_involved", 23),
            set("amount_claimed", 46_000_000),
            set("wage_arrears", true),
            set("place.detail", "一楼大厅"),
            write("narrative", &format!("{STORY}无人受伤。")),
        ],
    );
    phone.edit(case, &[event(EventKind::Guided, json!({"people": 5, "to": "碧眼社区群众诉求服务大厅"}))]);
    case
}

/// Loads what stood before, applies what came, saves what is then.
fn engine(changes: &[RawChange]) -> Vec<u8> {
    let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
    let mut document = Automerge::load_with_options(&[], options).unwrap_or_default();
    for change in changes {
        let change = Change::from_bytes(change.bytes.clone()).expect("our own change");
        document.apply_changes([change]).expect("it fits");
    }
    document.save()
}

/// The engine's part as the server must do it for a file that it already holds: load, apply one increment, save.
fn engine_increment(saved: &[u8], last: &RawChange) -> usize {
    let options = LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint);
    let mut document = Automerge::load_with_options(saved, options).expect("our own document");
    document.apply_changes([Change::from_bytes(last.bytes.clone()).expect("our own change")]).expect("it fits");
    document.save().len()
}

fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Measures, prints the table, gives the summary.
pub(crate) fn run(runs: usize) -> Value {
    let world = World::new();
    let phone = world.phone("he");
    phone.sync();
    let file = rusqlite::Connection::open(world.dir.path().join("plain.db")).expect("a plain file");
    file.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE changes (bytes BLOB NOT NULL);",
    )
    .expect("a table");
    let (mut push, mut bare, mut increment, mut commit, mut idle) = (vec![], vec![], vec![], vec![], vec![]);
    let (mut bytes, mut saved_bytes, mut travelled) = (0, 0, 0);
    for round in 0..=runs {
        let case = edit_case(&phone);
        let changes = phone.core().document(case).expect("it is here").changes();
        assert_eq!(changes.len(), 3, "a case of three changes");
        // The bytes of one request are made before the clock runs: the phone's own work is no cost of the server.
        let session = phone.library.sync_session().expect("nobody else syncs");
        let request = session.next_request().expect("a request").expect("there is something to send");
        let begun = Instant::now();
        let reply = send(&world, &phone, &request);
        let took = begun.elapsed();
        session.apply_response(reply).expect("it is acknowledged");
        while let Some(request) = session.next_request().expect("a request") {
            session.apply_response(send(&world, &phone, &request)).expect("an answer");
        }
        drop(session);
        assert_eq!(phone.core().status().expect("a status").pending, 0, "everything was acknowledged");
        let begun = Instant::now();
        let saved = engine(&changes);
        let bare_took = begun.elapsed();
        let before = engine(&changes[..2]);
        let begun = Instant::now();
        engine_increment(&before, &changes[2]);
        let increment_took = begun.elapsed();
        let blob: Vec<u8> = changes.iter().flat_map(|c| c.bytes.iter().copied()).collect();
        let begun = Instant::now();
        file.execute("INSERT INTO changes (bytes) VALUES (?1)", [&blob]).expect("a commit");
        let commit_took = begun.elapsed();
        let begun = Instant::now();
        world.get("/healthz", None);
        let idle_took = begun.elapsed();
        // The first round only warms up.
        if round > 0 {
            push.push(took);
            bare.push(bare_took);
            increment.push(increment_took);
            commit.push(commit_took);
            idle.push(idle_took);
        }
        (bytes, saved_bytes, travelled) = (blob.len(), saved.len(), request.len());
    }
    let [push, bare, increment, commit, idle] = [push, bare, increment, commit, idle].map(median_us);
    let ratio = push / (bare + commit);
    println!(
        "one push of a case file: 3 changes of {bytes} bytes ({travelled} on the wire), {saved_bytes} bytes as a document; medians of {runs} runs"
    );
    println!("  push, acknowledged durably over HTTP   {push:>10.0} us");
    println!("  engine: load, apply 3, save            {bare:>10.0} us");
    println!("  engine: load 2, apply the third, save  {increment:>10.0} us");
    println!("  one durable commit of the same bytes   {commit:>10.0} us");
    println!("  one HTTP request that does nothing     {idle:>10.0} us");
    println!("  push / (engine + commit)               {ratio:>10.2}");
    json!({
        "bench": "push", "runs": runs, "changes": 3, "change_bytes": bytes, "document_bytes": saved_bytes, "request_bytes": travelled,
        "push_us": push, "engine_us": bare, "engine_increment_us": increment, "commit_us": commit, "http_us": idle,
        "ratio_engine": push / bare, "ratio_commit": push / commit, "ratio_both": ratio,
        "debug_build": cfg!(debug_assertions),
    })
}

fn send(world: &World, phone: &TestPhone, request: &[u8]) -> Vec<u8> {
    let token = phone.core().session_get().expect("a session").expect("signed in").access;
    let mut response = ureq::post(format!("{}/v1/sync", world.url()))
        .header("Authorization", format!("Bearer {token}"))
        .header("Content-Type", sync_core::sync::wire::MEDIA_TYPE)
        .send(request)
        .expect("the server answers");
    response.body_mut().read_to_vec().expect("a whole answer")
}
