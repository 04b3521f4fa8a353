//! The demo: a server, several phones and the seed's case, replayed on a clock on which hours pass in seconds. What it counts at
//! the end it has compared, not assumed.

mod compare;
mod desk;
mod idle;
mod phones;
mod picture;
mod story;
mod tell;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::cli::DemoArgs;
use server::clock::{DemoClock, SystemEntropy};
use server::config::Config;
use server::run::RunningServer;
use sync_core::calendar::beijing_ms;
use sync_core::fold::fold_case;
use sync_core::ids::DocumentId;
use sync_core::time::Clock;

use phones::DemoPhone;
use tell::Teller;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

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
    // The Monday before: one phone has been silent since.
    let clock = Arc::new(DemoClock::starting_at(beijing_ms(2019, 5, 13, 9, 0)));
    let (database, objects) = if args.keep_database {
        (config.database.clone(), config.objects.clone())
    } else {
        let inside = |name: &str| dir.path().join(name).display().to_string();
        (inside("demo.db"), inside("objects"))
    };
    let config = Config { database, objects, scheduler_interval_ms: 20, ..config };
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
    if let Some(what) = summary.missing() {
        return Err(format!("a page would have nothing to show: {what}").into());
    }
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
            demo.teller.logins(&plan, &demo.server.app, demo.clock.now_ms())?;
            demo.teller.summary(&summary)?;
        } else {
            demo.teller.summary(&summary)?;
            demo.tell("serving", &[("url", &url)])?;
            demo.teller.logins(&plan, &demo.server.app, demo.clock.now_ms())?;
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
}
