//! What one server process has at hand: settings, database, clock, randomness, figures. No handler asks anything else for them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix_web::web;
use sync_core::calendar::Calendar;
use sync_core::ids::{Entropy, JournalId};
use sync_core::rules::RuleSet;
use sync_core::time::Clock;
use tokio::sync::Semaphore;

use crate::accounts::keys::{Claims, Keys, Purpose, TokenError};
use crate::clock::SystemEntropy;
use crate::config::Config;
use crate::db::{AnyConnection, Database, DbError};
use crate::guard::Guard;
use crate::guard::address::AddressError;
use crate::http::problem::{self, Problem};
use crate::journal;
use crate::live::Live;
use crate::masking::NumberKey;
use crate::merge::Context;
use crate::metrics::Metrics;
use crate::objects::{Objects, ObjectsError};
use crate::projection::Law;
use crate::restore;
use crate::retention::Rules;

/// How long cached keys are trusted to be all: another process may have rotated them.
const KEYS_FRESH: Duration = Duration::from_secs(30);
/// A token with an unknown key makes the cache look again, but not more often than this.
const KEYS_RETRY: Duration = Duration::from_secs(1);
/// Passwords checked at the same time; each takes 19 MiB and a core.
const PASSWORD_CHECKS_MAX: usize = 4;

/// One server process.
pub struct App {
    /// The settings.
    pub config: Config,
    /// The database.
    pub db: Database,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The rules and the calendar.
    pub law: Law,
    /// How long what is kept.
    pub retention: Rules,
    /// The identity of the journal.
    pub journal: JournalId,
    /// Whether this journal began with a restore.
    pub restored: bool,
    /// The figures.
    pub metrics: Metrics,
    /// Who listens to live streams.
    pub live: Arc<Live>,
    /// The contents of attachments.
    pub objects: Objects,
    /// Who is let in.
    pub guard: Guard,
    /// Taken while a password is checked.
    pub password_checks: Semaphore,
    access_keys: KeyCache,
    time_keys: KeyCache,
    relay_keys: KeyCache,
}

/// Why a process cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The schema is behind this program.
    #[error("the database has pending migrations; run `fengqiao migrate`, or start with --migrate")]
    NotMigrated,
    /// The settings of the store of attachments are at fault.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// A rule or calendar file is at fault.
    #[error("`{file}`: {problem}")]
    Law {
        /// Which file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A setting is at fault.
    #[error("configuration: {0}")]
    Setting(#[from] AddressError),
    /// The figures could not be registered.
    #[error("the metrics cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl App {
    /// Opens the database and takes up its journal. SQLite belongs to this process and is migrated; PostgreSQL may serve others
    /// that still run an older version, so that it is migrated only when asked.
    pub fn open(config: Config, clock: Arc<dyn Clock>, migrate: bool) -> Result<Self, AppError> {
        Self::open_with(config, clock, Arc::new(SystemEntropy), migrate)
    }

    /// As [`App::open`], with randomness of the caller's own.
    pub fn open_with(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        migrate: bool,
    ) -> Result<Self, AppError> {
        let guard = Guard::new(&config, Arc::clone(&clock))?;
        let db = Database::open(&config.database)?;
        if migrate || !db.is_postgres() {
            for name in db.migrate()? {
                tracing::info!(name, "migrated");
            }
        } else if !db.ready()? {
            return Err(AppError::NotMigrated);
        }
        let keys_ms = clock.now_ms();
        let (journal, restored, numbers, access, time, relay) = db.transaction(|conn| -> Result<_, DbError> {
            // Made here once and for all: a key made later, in a transaction that is rolled back, would sign what nobody can verify.
            let mut keys = |purpose| Keys::load(conn, purpose, clock.now_ms(), &entropy);
            let (access, time) = (keys(Purpose::Access)?, keys(Purpose::Time)?);
            let relay = keys(Purpose::Relay)?;
            keys(Purpose::Audit)?;
            keys(Purpose::Numbers)?;
            let numbers = NumberKey::load(conn, clock.now_ms(), &entropy)?;
            let journal = journal::identity(conn, clock.now_ms(), &entropy)?;
            Ok((journal, restore::is_restored(conn, journal)?, numbers, access, time, relay))
        })?;
        Ok(Self {
            db,
            objects: Objects::open(&config)?,
            law: Law { numbers: Some(numbers), ..law(&config)? },
            retention: retention(&config)?,
            config,
            clock,
            entropy,
            journal,
            restored,
            metrics: Metrics::new()?,
            live: Arc::default(),
            guard,
            password_checks: Semaphore::new(PASSWORD_CHECKS_MAX),
            access_keys: KeyCache::new(Purpose::Access, access, keys_ms),
            time_keys: KeyCache::new(Purpose::Time, time, keys_ms),
            relay_keys: KeyCache::new(Purpose::Relay, relay, keys_ms),
        })
    }

    /// What a merge needs to know, now.
    pub fn context(&self) -> Context<'_> {
        Context { law: &self.law, journal: self.journal, now_ms: self.now_ms(), entropy: &self.entropy }
    }

    /// The time, ms UTC.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Reads from the database, off the threads that speak HTTP.
    pub async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: From<DbError> + Into<Problem> + Send + 'static,
    {
        let db = self.db.clone();
        let done = web::block(move || {
            let mut conn = db.get()?;
            work(&mut conn)
        });
        done.await.map_err(|e| Problem::internal(&e))?.map_err(|e| self.told(e.into()))
    }

    /// What a problem is in the light of where the database lies: a disk that fails because it is full is told as full.
    pub fn told(&self, problem: Problem) -> Problem {
        if problem.code() == problem::DATABASE_FAILED && !self.db.has_room() { problem::no_room() } else { problem }
    }

    /// Runs one transaction, off the threads that speak HTTP; an error rolls it back whole.
    pub async fn transact<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: From<DbError> + Into<Problem> + Send + 'static,
    {
        let db = self.db.clone();
        let done = web::block(move || db.transaction(work));
        done.await.map_err(|e| Problem::internal(&e))?.map_err(|e| self.told(e.into()))
    }

    /// The keys for access tokens.
    pub fn access_keys(&self, conn: &mut AnyConnection) -> Result<Arc<Keys>, DbError> {
        self.access_keys.get(conn, self, KEYS_FRESH)
    }

    /// The keys for time tokens.
    pub fn time_keys(&self, conn: &mut AnyConnection) -> Result<Arc<Keys>, DbError> {
        self.time_keys.get(conn, self, KEYS_FRESH)
    }

    /// The keys for relay.
    pub fn relay_keys(&self, conn: &mut AnyConnection) -> Result<Arc<Keys>, DbError> {
        self.relay_keys.get(conn, self, KEYS_FRESH)
    }

    /// The keys for relay, looked up once more: a parcel may be sealed to one that another process has just made.
    pub fn relay_keys_again(&self, conn: &mut AnyConnection) -> Result<Arc<Keys>, DbError> {
        self.relay_keys.get(conn, self, KEYS_RETRY)
    }

    /// What an access token says, by the keys at hand, also of one that has expired: the database is not asked. `None` also when a key
    /// is not known yet.
    pub fn known_claims(&self, token: &str) -> Option<Claims> {
        let (_, _, keys) = self.access_keys.read.read().unwrap_or_else(PoisonError::into_inner).clone();
        keys.signed(token, self.now_ms()).ok()
    }

    /// Whether the keys at hand for access tokens may have been retired meanwhile: what they say must be asked again.
    pub fn access_keys_are_old(&self) -> bool {
        self.access_keys.fresh(self.now_ms(), KEYS_FRESH).is_none()
    }

    /// Checks an access token; one that is signed by a key not seen yet is looked up once more.
    pub fn check_token(&self, conn: &mut AnyConnection, token: &str) -> Result<Result<Claims, TokenError>, DbError> {
        let checked = self.access_keys(conn)?.check(token, self.now_ms());
        if checked.is_err() {
            let again = self.access_keys.get(conn, self, KEYS_RETRY)?;
            return Ok(again.check(token, self.now_ms()));
        }
        Ok(checked)
    }
}

struct KeyCache {
    purpose: Purpose,
    /// When they were read, by the server's clock (ms UTC) and by one that nobody sets, and what was read.
    read: RwLock<(i64, Instant, Arc<Keys>)>,
}

impl KeyCache {
    fn new(purpose: Purpose, keys: Keys, now_ms: i64) -> Self {
        Self { purpose, read: RwLock::new((now_ms, Instant::now(), Arc::new(keys))) }
    }

    /// The keys, if they were read less than so long ago; by a clock that was set back they were not.
    fn fresh(&self, now_ms: i64, fresh: Duration) -> Option<Arc<Keys>> {
        let (at_ms, at, keys) = self.read.read().unwrap_or_else(PoisonError::into_inner).clone();
        let age = u64::try_from(now_ms.saturating_sub(at_ms)).map(Duration::from_millis);
        (at.elapsed() < fresh && age.is_ok_and(|age| age < fresh)).then_some(keys)
    }

    fn get(&self, conn: &mut AnyConnection, app: &App, fresh: Duration) -> Result<Arc<Keys>, DbError> {
        let now_ms = app.now_ms();
        if let Some(keys) = self.fresh(now_ms, fresh) {
            return Ok(keys);
        }
        let keys = Arc::new(Keys::load(conn, self.purpose, now_ms, &app.entropy)?);
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = (now_ms, Instant::now(), Arc::clone(&keys));
        Ok(keys)
    }
}

/// The retention rules that the settings name, or the shipped ones.
fn retention(config: &Config) -> Result<Rules, AppError> {
    let file = config.retention.as_deref();
    let at = |problem: String| AppError::Law { file: file.unwrap_or("retention.toml").to_owned(), problem };
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|e| at(e.to_string()))?,
        None => schema::RETENTION.to_owned(),
    };
    Rules::parse(&text).map_err(|e| at(e.to_string()))
}

/// The rules and the calendar that the settings name, or the shipped ones.
pub(crate) fn law(config: &Config) -> Result<Law, AppError> {
    let at = |file: &str, problem: String| AppError::Law { file: file.to_owned(), problem };
    let read = |file: &str| std::fs::read_to_string(file).map_err(|e| at(file, e.to_string()));
    let mut law = Law::shipped();
    if let Some(file) = &config.rules {
        law.rules = RuleSet::parse(&read(file)?).map_err(|e| at(file, e.to_string()))?;
    }
    if !config.calendars.is_empty() {
        let own = config.calendars.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
        let all = schema::CALENDARS.iter().copied().chain(own.iter().map(String::as_str));
        law.calendar = Calendar::from_files(all).map_err(|e| at(&config.calendars.join(", "), e.to_string()))?;
    }
    Ok(law)
}
