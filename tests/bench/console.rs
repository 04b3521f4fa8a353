//! The pages on a full database: what Today, the list (narrowed and searched) and a case file of 500 events take at the server. The rows
//! of the list are made from real case files, each under another name, place in time and status; the file of 500 events is a real one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fengqiao_mobile::PhoneLibrary;
use serde_json::{Value, json};
use server::clock::DemoClock;
use server::db::Database;
use server::journal;
use server::projection::{self, Arrival, CaseRow, Law, Rows};
use sync_core::event::EventKind;
use sync_core::ids::{DocumentId, Entropy as _};
use tests::TestDatabase;
use tests::phones::{TestHost, event};

use crate::morning_sync::process::{self, Process};
use crate::morning_sync::workload::{self, COMMUNITIES};
use crate::morning_sync::{PASSWORD, people, percentile, rounded, wall_ms};

/// Real files that the rows are made from.
const MODELS: usize = 24;
/// Notes of the long file.
const EVENTS: usize = 500;
/// How often each page is asked for.
const LOOKS: usize = 40;
/// What a server takes at most to learn how its rows are spread.
const LEARNING: Duration = Duration::from_secs(3);
/// Rows written in one transaction.
const BATCH: usize = 2_000;
const DAY_MS: i64 = 86_400_000;

/// Measures with so many cases.
pub(crate) fn run(cases: usize, postgres: bool) -> Value {
    let program = process::program();
    let dir = tempfile::tempdir().expect("a folder");
    let database = TestDatabase::on(postgres, dir.path());
    let import = dir.path().join("people.toml");
    std::fs::write(&import, people(6)).expect("a file");
    process::run(&program, &database.url, &["migrate"]);
    process::run(&program, &database.url, &["import", &import.display().to_string()]);
    let server = Process::start(&program, &database.url, dir.path());
    let host = Arc::new(TestHost::new(Arc::new(DemoClock::starting_at(wall_ms()))));
    let phone = PhoneLibrary::open_with(&dir.path().join("phone"), &[7; 32], host).expect("a store");
    phone.log_in(server.url.clone(), "worker-0".into(), PASSWORD.into(), "worker-0".into(), None).expect("signed in");
    phone.sync(None, None).expect("a first sync");
    let grid = format!("{}-01", COMMUNITIES[0]);
    let files: Vec<DocumentId> = (0..MODELS)
        .map(|n| phone.core().create(&workload::case(COMMUNITIES[0], &grid, n)).expect("a case file"))
        .collect();
    for n in 0..EVENTS {
        let note = event(EventKind::Note, json!({"text": format!("第{}次联系双方，约定后续安排。", n + 1)}));
        phone.core().edit(files[0], &[note]).expect("an edit");
    }
    phone.sync(None, None).expect("a sync");
    let begun = Instant::now();
    fill(&database.url, &files, cases);
    eprintln!("{cases} cases in {:.0} s", begun.elapsed().as_secs_f64());
    // Started anew: what a server learns of its database when it starts is what it knows of one that has grown.
    drop(server);
    let server = Process::start(&program, &database.url, dir.path());
    std::thread::sleep(LEARNING);
    process::step_aside();
    let cookie = sign_in(&server.url);
    let file = format!("/cases/{}", files[0]);
    let pages = [
        ("floor", "/healthz"),
        ("today", "/today"),
        ("list", "/cases"),
        ("list_narrowed", "/cases?status=mediating&level=street&overdue=true&sort=due"),
        ("list_searched", "/cases?q=%E6%AC%A0%E8%96%AA%E7%BA%A0%E7%BA%B7"),
        ("file_500_events", file.as_str()),
    ];
    let mut summary = json!({
        "bench": "console", "store": if postgres { "postgres" } else { "sqlite" }, "cases": cases,
        "debug_build": cfg!(debug_assertions),
    });
    for (name, path) in pages {
        let (mut times, mut bytes) = (Vec::new(), 0);
        let cpu = server.cpu_ms();
        for look in 0..=LOOKS {
            let begun = Instant::now();
            let mut answer = ureq::get(format!("{}{path}", server.url))
                .header("Cookie", &cookie)
                .call()
                .unwrap_or_else(|e| panic!("{path}: {e}"));
            bytes = answer.body_mut().read_to_string().expect("a page").len();
            if look > 0 {
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        let row = json!({
            "p50_ms": rounded(percentile(&mut times, 50)), "p99_ms": rounded(percentile(&mut times, 99)),
            "server_cpu_ms": rounded((server.cpu_ms() - cpu) / (LOOKS + 1) as f64), "bytes": bytes,
        });
        println!("{name}: {row}");
        summary[name] = row;
    }
    println!("{summary}");
    summary
}

fn sign_in(url: &str) -> String {
    let agent: ureq::Agent = ureq::Agent::config_builder().max_redirects(0).build().into();
    let sent = agent.post(format!("{url}/sign-in")).send_form([("login", "street"), ("password", PASSWORD)]);
    let answer = sent.expect("an answer");
    let cookie = answer.headers().get("set-cookie").and_then(|c| c.to_str().ok()).expect("a session");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

/// Writes rows of cases as the server would, from real ones.
fn fill(url: &str, files: &[DocumentId], cases: usize) {
    let db = Database::open(url).expect("the database");
    let law = Law::shipped();
    let now_ms = wall_ms();
    let models: Vec<CaseRow> = {
        let mut conn = db.get().expect("a connection");
        let row = |id: &DocumentId| {
            let document = journal::load(&mut conn, *id).expect("readable").expect("there");
            let arrival = Arrival { first_ms: now_ms, last_ms: now_ms, position: 1 };
            match projection::compute(&document, arrival, &law).expect("rows") {
                Rows::Case(row, ..) => *row,
                Rows::Patrol(..) => unreachable!("a case file"),
            }
        };
        // The long one stays alone.
        files.iter().skip(1).map(row).collect()
    };
    let statuses = ["reported", "accepted", "mediating", "agreed", "resolved", "closed", "closed", "closed"];
    let mut n = 0;
    while n < cases {
        db.transaction(|conn| -> Result<(), server::db::DbError> {
            for at in n..(n + BATCH).min(cases) {
                let mut row = models[at % models.len()].clone();
                let age_ms = (at as i64 % 365) * DAY_MS + at as i64 * 997 % DAY_MS;
                let id = DocumentId::from_parts(now_ms - age_ms, server::clock::SystemEntropy.ten());
                row.document = id.to_string();
                row.search_id = projection::search_id(&row.document);
                row.community = COMMUNITIES[at % COMMUNITIES.len()].to_owned();
                row.status = statuses[at % statuses.len()].to_owned();
                row.is_open = !matches!(row.status.as_str(), "resolved" | "closed");
                row.level = ["community", "community", "community", "street"][at / 7 % 4].to_owned();
                (row.created_ms, row.received_ms, row.updated_ms) =
                    (now_ms - age_ms, now_ms - age_ms, now_ms - age_ms / 2);
                row.due_ms = row.is_open.then_some(now_ms - age_ms + 3 * DAY_MS);
                row.conflicts = i32::from(at % 400 == 0);
                row.passages = i32::from(at % 500 == 0);
                row.needs_review = row.conflicts + row.passages > 0;
                // What is looked for stands in few of them.
                if at % 1_000 == 0 {
                    row.search_text.push_str(" 欠薪纠纷");
                }
                projection::write(conn, &Rows::Case(Box::new(row), Vec::new(), Vec::new()), false)?;
            }
            Ok(())
        })
        .expect("rows");
        n += BATCH;
    }
}
