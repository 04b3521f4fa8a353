//! The demo: a server, several phones and the seed's case, replayed on a clock on which hours pass in seconds. What it counts at
//! the end it has compared, not assumed.

mod desk;
mod phones;
mod story;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use serde::Serialize;
use server::cli::DemoArgs;
use server::clock::{DemoClock, SystemEntropy};
use server::config::Config;
use server::db::tables::quarantine;
use server::run::RunningServer;
use sync_core::calendar::beijing_ms;
use sync_core::document::ChangeHash;
use sync_core::event::EventKind;
use sync_core::fold::fold_case;
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;
use sync_core::time::Clock;

use phones::DemoPhone;
use tell::Teller;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the demo found when it compared.
#[derive(Debug, Serialize)]
struct Summary {
    phones: usize,
    offline_edits: usize,
    changes_synced: u64,
    conflicts_found: usize,
    conflicts_settled: usize,
    conflicts_open: usize,
    closed_without_knowing: usize,
    quarantined: usize,
    escalations: usize,
    withdrawn: usize,
    cases: Vec<CaseSummary>,
    lost: usize,
    diverged: usize,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct CaseSummary {
    id: DocumentId,
    title: String,
    status: &'static str,
    level: &'static str,
}

/// The running demo.
struct Demo {
    clock: Arc<DemoClock>,
    server: RunningServer,
    teller: Teller,
    phones: BTreeMap<&'static str, DemoPhone>,
    dir: tempfile::TempDir,
    conflicts_found: usize,
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs, config: Config) -> Fallible<()> {
    let begun = Instant::now();
    let dir = tempfile::tempdir()?;
    let clock = Arc::new(DemoClock::starting_at(beijing_ms(2019, 5, 17, 8, 30)));
    let database =
        if args.keep_database { config.database.clone() } else { dir.path().join("demo.db").display().to_string() };
    let config = Config { database, scheduler_interval_ms: 20, ..config };
    let app = server::app::App::open(config, clock.clone(), true)?;
    let server = server::run::serve_app(Arc::new(app))?;
    let plan = server::areas::parse("import.toml", schema::DEMO_IMPORT.as_bytes())?;
    let now_ms = clock.now_ms();
    server.app.db.transaction(|conn| server::areas::import(conn, &plan, now_ms, &SystemEntropy))?;
    let teller = Teller::new(args.json)?;
    let mut demo = Demo { clock, server, teller, phones: BTreeMap::new(), dir, conflicts_found: 0 };
    story::replay(&mut demo)?;
    let summary = demo.compare(begun)?;
    demo.tell("compared", &[("lost", &summary.lost.to_string()), ("diverged", &summary.diverged.to_string())])?;
    let failed = summary.lost + summary.diverged > 0;
    if args.exit {
        demo.teller.summary(&summary)?;
        let Demo { server, .. } = demo;
        server.stop()?;
    } else {
        let url = demo.server.url();
        // A program reads the last line, a person the last screen.
        if args.json {
            demo.tell("serving", &[("url", &url)])?;
            demo.teller.summary(&summary)?;
        } else {
            demo.teller.summary(&summary)?;
            demo.tell("serving", &[("url", &url)])?;
            demo.teller.logins(&plan)?;
        }
        let Demo { server, .. } = demo;
        server.until_signal()?;
    }
    if failed { Err("the demo lost or diverged; see the summary".into()) } else { Ok(()) }
}

impl Demo {
    /// Lets time pass until this Beijing time of the day.
    fn until(&self, hour: i64, minute: i64) {
        self.clock.advance_to(beijing_ms(2019, 5, 17, hour, minute));
    }

    fn tell(&mut self, key: &str, values: &[(&str, &str)]) -> Fallible<()> {
        self.teller.tell(key, values, self.clock.now_ms())
    }

    fn phone(&mut self, login: &'static str) -> Fallible<&mut DemoPhone> {
        self.phones.get_mut(login).ok_or_else(|| format!("there is no phone of {login}").into())
    }

    /// Waits until the server's scheduler has acted on everything that is due now. The server runs it by itself.
    fn scheduled(&self) -> Fallible<()> {
        let patience = Instant::now() + Duration::from_secs(30);
        while server::escalation::is_behind(&self.server.app)? {
            if Instant::now() > patience {
                return Err("the scheduler did not act in time".into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The state of a case on the server.
    fn case(&self, id: DocumentId) -> Fallible<sync_core::case::CaseState> {
        let mut conn = self.server.app.db.get()?;
        let document = server::journal::load(&mut conn, id)?.ok_or("the server does not have the case")?;
        Ok(fold_case(&document))
    }

    /// Syncs every phone until nothing moves any more, then compares each with the server, and all that was ever typed with what
    /// the server has.
    fn compare(&mut self, begun: Instant) -> Fallible<Summary> {
        for _ in 0..3 {
            for phone in self.phones.values_mut() {
                phone.sync()?;
            }
        }
        let app = self.server.app.clone();
        let mut conn = app.db.get()?;
        let mut documents: BTreeMap<DocumentId, sync_core::document::Document> = BTreeMap::new();
        let mut diverged = 0;
        for phone in self.phones.values() {
            for id in phone.core().documents()? {
                let here = phone.core().document(id)?;
                let Some(there) = server::journal::load(&mut conn, id)? else {
                    diverged += 1;
                    continue;
                };
                let same = match here.meta().kind {
                    DocumentKind::Case => fold_case(&here) == fold_case(&there),
                    DocumentKind::Patrol => sync_core::fold::fold_patrol(&here) == sync_core::fold::fold_patrol(&there),
                };
                if !same || here.heads() != there.heads() {
                    diverged += 1;
                }
                documents.insert(id, there);
            }
        }
        let waiting = quarantine::table.filter(quarantine::state.eq("waiting")).select(quarantine::hash);
        let aside: BTreeSet<Vec<u8>> = waiting.load::<Vec<u8>>(&mut *conn)?.into_iter().collect();
        let kept = |made: &(DocumentId, ChangeHash)| {
            documents.get(&made.0).is_some_and(|d| d.has(&made.1)) || aside.contains(made.1.0.as_slice())
        };
        let lost = self.phones.values().flat_map(|p| &p.made).filter(|made| !kept(made)).count();
        let states: Vec<_> =
            documents.values().filter(|d| d.meta().kind == DocumentKind::Case).map(fold_case).collect();
        let raised =
            || states.iter().flat_map(|s| &s.timeline).filter(|e| e.kind == EventKind::Escalation && e.moot.is_none());
        let open: usize = states.iter().map(|s| s.conflicts.len() + s.passages.len()).sum();
        Ok(Summary {
            phones: self.phones.len(),
            offline_edits: self.phones.values().map(|p| p.made.len()).sum(),
            changes_synced: self.phones.values().map(|p| p.sent).sum(),
            conflicts_found: self.conflicts_found,
            conflicts_settled: self.conflicts_found.saturating_sub(open),
            conflicts_open: open,
            closed_without_knowing: states.iter().filter(|s| !s.closed_without_knowing.is_empty()).count(),
            quarantined: aside.len(),
            escalations: raised().count(),
            withdrawn: raised().filter(|e| e.withdrawn.is_some()).count(),
            cases: states
                .iter()
                .map(|s| CaseSummary {
                    id: s.id,
                    title: s.text("title").unwrap_or_default().to_owned(),
                    status: s.status.as_str(),
                    level: s.level.as_str(),
                })
                .collect(),
            lost,
            diverged,
            seconds: (begun.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        })
    }
}
