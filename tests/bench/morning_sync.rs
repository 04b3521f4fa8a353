//! The morning: a hundred phones come back with what they wrote offline. Real phone library, the real server as a process of its own,
//! loopback HTTP, every acknowledgement after a durable commit. Each phase stands beside its floor, measured in the same run.

mod floor;
pub(crate) mod process;
pub(crate) mod workload;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use fengqiao_mobile::{PhoneLibrary, SyncReport};
use serde_json::{Value, json};
use server::clock::DemoClock;
use sync_core::event::EventKind;
use sync_core::ids::DocumentId;
use tests::TestDatabase;
use tests::phones::{TestHost, event};

use process::Process;
use workload::COMMUNITIES;

pub(crate) const PASSWORD: &str = "maple-bridge-morning";
/// How many phones sync at the same time.
const AT_ONCE: usize = 16;
const EDITS_ONE_BY_ONE_MAX: usize = 500;
const WRITERS_OF_ONE_FILE_MAX: usize = 50;
const EDITS_OF_EACH: usize = 20;

/// How large a morning.
pub(crate) struct Size {
    pub(crate) devices: usize,
    pub(crate) cases: usize,
    pub(crate) postgres: bool,
}

impl Size {
    /// Edits of the fourth phase: 500 in a morning of 100 phones with 20 files each, fewer in a smaller one.
    fn edits_one_by_one(&self) -> usize {
        (self.devices * self.cases / 4).clamp(4, EDITS_ONE_BY_ONE_MAX)
    }

    /// Phones of the fifth phase: 50 in a morning of 100 phones, fewer in a smaller one.
    fn writers_of_one_file(&self) -> usize {
        (self.devices / 2).clamp(2, WRITERS_OF_ONE_FILE_MAX)
    }
}

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<DemoClock>,
    program: PathBuf,
    database: TestDatabase,
}

fn grid(n: usize) -> (&'static str, String) {
    let community = COMMUNITIES[n % COMMUNITIES.len()];
    (community, format!("{community}-{:02}", n / COMMUNITIES.len() + 1))
}

/// The street with its communities and a grid for each phone; a worker for each grid, mediators for the shared file, a supervisor.
pub(crate) fn people(devices: usize) -> String {
    let mut file = String::new();
    let mut area = |code: &str, kind: &str, name: &str, parent: &str| {
        let parent = if parent.is_empty() { String::new() } else { format!("parent = \"{parent}\"\n") };
        let _ = write!(file, "[[area]]\ncode = \"{code}\"\nkind = \"{kind}\"\nname = \"{name}\"\n{parent}\n");
    };
    area("440311", "district", "光明区", "");
    area("440311001", "street", "光明街道", "440311");
    for (code, name) in COMMUNITIES.iter().zip(["光明", "碧眼", "白花", "东周", "翠湖", "迳口"]) {
        area(code, "community", &format!("{name}社区"), "440311001");
    }
    for n in 0..devices {
        let (community, code) = grid(n);
        area(&code, "grid", &format!("第{}网格", n + 1), community);
    }
    let mut user = |login: &str, name: &str, role: &str, area: &str| {
        let _ = write!(
            file,
            "[[user]]\nlogin = \"{login}\"\nname = \"{name}\"\npassword = \"{PASSWORD}\"\nroles = [{{ role = \"{role}\", area = \"{area}\" }}]\n\n"
        );
    };
    for n in 0..devices {
        user(&format!("worker-{n}"), &format!("网格员{}", n + 1), "grid_worker", &grid(n).1);
    }
    for n in 0..WRITERS_OF_ONE_FILE_MAX.min(devices.max(2)) {
        user(&format!("mediator-{n}"), &format!("调解员{}", n + 1), "mediator", COMMUNITIES[0]);
    }
    user("street", "街道主管", "supervisor", "440311001");
    file
}

impl Bench {
    fn phone(&self, url: &str, login: &str) -> Arc<PhoneLibrary> {
        let library = self.phone_unsynced(url, login);
        library.sync(None, None).expect("a first sync");
        library
    }

    fn phone_unsynced(&self, url: &str, login: &str) -> Arc<PhoneLibrary> {
        let path = self.dir.path().join(format!("phone-{login}"));
        let library =
            PhoneLibrary::open_with(&path, &[7; 32], Arc::new(TestHost::new(self.clock.clone()))).expect("a store");
        library.log_in(url.into(), login.into(), PASSWORD.into(), login.into(), None).expect("signed in");
        library
    }

    fn serve(&self) -> Process {
        Process::start(&self.program, &self.database.url, self.dir.path())
    }

    fn disk_bytes(&self) -> u64 {
        if let Some(bytes) = self.database.bytes() {
            return bytes;
        }
        let file = |suffix: &str| std::fs::metadata(format!("{}{suffix}", self.database.url)).map_or(0, |m| m.len());
        file("") + file("-wal")
    }
}

/// Lets all phones sync, some at a time; gives what each sync did.
fn all_sync(phones: &[Arc<PhoneLibrary>]) -> Vec<SyncReport> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..AT_ONCE.min(phones.len()))
            .map(|_| {
                scope.spawn(|| {
                    let mut reports = Vec::new();
                    while let Some(phone) = phones.get(next.fetch_add(1, Ordering::Relaxed)) {
                        reports.push(phone.sync(None, None).expect("a sync"));
                    }
                    reports
                })
            })
            .collect();
        hands.into_iter().flat_map(|h| h.join().expect("no panic")).collect()
    })
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn rounded(n: f64) -> f64 {
    (n * 1000.0).round() / 1000.0
}

/// The n-th percentile of a list that is sorted here.
pub(crate) fn percentile(times: &mut [f64], n: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get((times.len() * n / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// What the wall clock shows.
#[expect(
    clippy::disallowed_methods,
    reason = "phones and server must agree on the hour, and the server is a process of its own"
)]
pub(crate) fn wall_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    i64::try_from(now).expect("this age")
}

fn database_cpu_ms(postgres: bool) -> f64 {
    if postgres { process::cpu_ms_of("postgres") } else { 0.0 }
}

fn own_cpu_ms() -> f64 {
    process::cpu_ms(std::process::id())
}

/// Measures, prints the table, gives the summary.
pub(crate) fn run(size: &Size) -> Value {
    let dir = tempfile::tempdir().expect("a folder");
    let program = process::program();
    process::step_aside();
    let database = TestDatabase::on(size.postgres, dir.path());
    let clock = Arc::new(DemoClock::starting_at(wall_ms()));
    let bench = Bench { dir, clock, program, database };
    let import = bench.dir.path().join("people.toml");
    std::fs::write(&import, people(size.devices)).expect("a file");
    process::run(&bench.program, &bench.database.url, &["migrate"]);
    process::run(&bench.program, &bench.database.url, &["import", &import.display().to_string()]);
    let server = bench.serve();
    let phones: Vec<_> = (0..size.devices).map(|n| bench.phone(&server.url, &format!("worker-{n}"))).collect();
    let documents = write_offline(&phones, size.cases);

    let mut summary = json!({"bench": "morning-sync", "store": if size.postgres { "postgres" } else { "sqlite" },
        "devices": size.devices, "cases": size.cases, "debug_build": cfg!(debug_assertions)});
    summary["p1"] = p1(&bench, &server, &phones, size);
    let supervisor = bench.phone_unsynced(&server.url, "street");
    summary["p2"] = pull(&supervisor);
    assert_eq!(
        supervisor.core().documents().expect("a list").len(),
        size.devices * size.cases,
        "the new phone has all"
    );
    summary["p3"] = pull(&supervisor);
    summary["p4"] = p4(&phones[0], &supervisor, &documents[0], size.edits_one_by_one());
    let (server, p5, shared) = p5(&bench, server, &phones[0], size.writers_of_one_file());
    summary["p5"] = p5;
    summary["p6"] = p6(&bench, server, &phones, &documents, shared);
    summary["floor"] = floor::measure(&bench.dir, size, &phones[0], documents[0][0]);
    print(&summary);
    summary
}

fn write_offline(phones: &[Arc<PhoneLibrary>], cases: usize) -> Vec<Vec<DocumentId>> {
    let write = |(n, phone): (usize, &Arc<PhoneLibrary>)| {
        let (community, grid) = grid(n);
        let made = (0..cases).map(|case| {
            let number = n * cases + case;
            let id = phone.core().create(&workload::case(community, &grid, number)).expect("a case file");
            for step in 0..2 {
                phone.core().edit(id, &workload::further(number, step)).expect("an edit");
            }
            id
        });
        made.collect()
    };
    phones.iter().enumerate().map(write).collect()
}

fn p1(bench: &Bench, server: &Process, phones: &[Arc<PhoneLibrary>], size: &Size) -> Value {
    let docs = (size.devices * size.cases) as f64;
    let (cpu, database, own) = (server.cpu_ms(), database_cpu_ms(size.postgres), own_cpu_ms());
    let begun = Instant::now();
    let reports = all_sync(phones);
    let took = ms(begun);
    let sent: u64 = reports.iter().map(|r| r.sent).sum();
    assert_eq!(sent, u64::try_from(size.devices * size.cases * 3).expect("small"), "everything was acknowledged");
    let total = |of: fn(&SyncReport) -> u64| reports.iter().map(of).sum::<u64>() as f64;
    json!({
        "docs_per_s": rounded(docs / took * 1e3), "ms": rounded(took),
        "server_cpu_ms_per_doc": rounded((server.cpu_ms() - cpu) / docs),
        "database_cpu_ms_per_doc": rounded((database_cpu_ms(size.postgres) - database) / docs),
        "phones_cpu_ms_per_doc": rounded((own_cpu_ms() - own) / docs),
        "bytes_up_per_doc": rounded(total(|r| r.bytes_sent) / docs), "bytes_down_per_doc": rounded(total(|r| r.bytes_received) / docs),
        "requests": reports.iter().map(|r| r.requests).sum::<u32>(),
        "peak_rss_mb": rounded(server.peak_rss_mb()), "disk_bytes": bench.disk_bytes(),
    })
}

/// One phone's sync.
fn pull(phone: &PhoneLibrary) -> Value {
    let begun = Instant::now();
    let report = phone.sync(None, None).expect("a sync");
    json!({"ms": rounded(ms(begun)), "requests": report.requests, "bytes": report.bytes_sent + report.bytes_received})
}

/// Single edits by an online phone, in turn to each of its files: to the acknowledgement, and to another phone's store.
fn p4(writer: &PhoneLibrary, reader: &PhoneLibrary, files: &[DocumentId], edits: usize) -> Value {
    let (mut acknowledged, mut seen, mut bytes) = (Vec::new(), Vec::new(), 0);
    for n in 0..edits {
        let edit = event(EventKind::Note, json!({"text": format!("第{}次联系双方，约定后续安排。", n + 1)}));
        let file = files[n % files.len()];
        let begun = Instant::now();
        writer.core().edit(file, &[edit]).expect("an edit");
        let report = writer.sync(None, None).expect("a sync");
        acknowledged.push(ms(begun));
        assert_eq!(report.sent, 1, "the edit was acknowledged");
        bytes += report.bytes_sent;
        reader.sync(None, None).expect("a sync");
        seen.push(ms(begun));
    }
    let notes: usize = files.iter().map(|f| reader.core().case(*f).expect("the file").timeline.len()).sum();
    assert!(notes >= edits, "the other phone has every edit");
    json!({
        "ack_p50_ms": rounded(percentile(&mut acknowledged, 50)), "ack_p99_ms": rounded(percentile(&mut acknowledged, 99)),
        "seen_p50_ms": rounded(percentile(&mut seen, 50)), "seen_p99_ms": rounded(percentile(&mut seen, 99)),
        "edits": edits, "bytes_up_per_edit": bytes / u64::try_from(edits).expect("small"),
    })
}

/// Many phones with edits to one same file.
fn p5(bench: &Bench, server: Process, reporter: &PhoneLibrary, writers: usize) -> (Process, Value, DocumentId) {
    let (community, grid) = grid(0);
    let shared = reporter.core().create(&workload::case(community, &grid, 0)).expect("a case file");
    reporter.sync(None, None).expect("a sync");
    let writers: Vec<_> = (0..writers).map(|n| bench.phone(&server.url, &format!("mediator-{n}"))).collect();
    for (n, writer) in writers.iter().enumerate() {
        for i in 0..EDITS_OF_EACH {
            let edit = event(EventKind::Note, json!({"text": format!("调解员{}第{}次记录。", n + 1, i + 1)}));
            writer.core().edit(shared, &[edit]).expect("an edit");
        }
    }
    let cpu = server.cpu_ms();
    // To the acknowledgement: what each phone then receives of the others is told beside it.
    let begun = Instant::now();
    let reports = all_sync(&writers);
    let took = ms(begun);
    assert!(reports.iter().all(|r| r.sent == EDITS_OF_EACH as u64), "everything was acknowledged");
    let rows = writers.len() * EDITS_OF_EACH;
    let last = &writers[writers.len() - 1];
    last.sync(None, None).expect("a sync");
    let there =
        last.core().case(shared).expect("the file").timeline.iter().filter(|e| e.kind == EventKind::Note).count();
    assert!(there >= rows, "{there} of {rows} rows are in the file");
    let value = json!({"ms": rounded(took), "rows": rows, "server_cpu_ms": rounded(server.cpu_ms() - cpu)});
    (server, value, shared)
}

/// A power cut right after the last acknowledgement: what of all that was acknowledged is there afterwards?
fn p6(
    bench: &Bench,
    server: Process,
    phones: &[Arc<PhoneLibrary>],
    documents: &[Vec<DocumentId>],
    shared: DocumentId,
) -> Value {
    let last = phones[1].core().create(&workload::case(grid(1).0, &grid(1).1, 1)).expect("a case file");
    phones[1].sync(None, None).expect("a sync");
    server.kill();
    let server = bench.serve();
    let database = server::db::Database::open(&bench.database.url).expect("the database");
    let mut conn = database.get().expect("a connection");
    let all = documents.iter().zip(phones).flat_map(|(ids, phone)| ids.iter().map(move |id| (*id, phone)));
    let all = all.chain([(shared, &phones[0]), (last, &phones[1])]);
    let (mut lost, mut files) = (0, 0);
    for (id, phone) in all {
        files += 1;
        let there = server::journal::load(&mut conn, id).expect("readable");
        // Everything that its author's phone holds was acknowledged.
        let held = phone.core().document(id).expect("here").changes();
        lost += held.iter().filter(|c| !there.as_ref().is_some_and(|d| d.has(&c.hash))).count();
    }
    drop(server);
    json!({"lost": lost, "files": files})
}

fn print(summary: &Value) {
    for phase in ["p1", "p2", "p3", "p4", "p5", "p6", "floor"] {
        println!("{phase:>6}  {}", summary[phase]);
    }
}
