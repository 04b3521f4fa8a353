//! The server of a run: the product's own, on a real SQLite file, called below HTTP. It can die before any statement that writes,
//! be restarted, backed up and restored.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::prelude::*;
use server::accounts::{grants, users};
use server::app::App;
use server::config::Config;
use server::db::tables;
use server::http::extract::Principal;
use server::http::problem::Problem;
use sync_core::authority::Subject;
use sync_core::document::ChangeHash;
use sync_core::ids::{AreaCode, DeviceId, DocumentId, Entropy, JournalId, UserId};
use sync_core::role::Role;
use sync_core::time::Clock;

use super::clock::VirtualClock;
use super::dice::SeededEntropy;

/// The process died.
pub struct Died;

thread_local! {
    /// How many more statements that write may begin before the server of this thread dies.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
}

fn count(event: InstrumentationEvent<'_>) {
    let InstrumentationEvent::StartQuery { query, .. } = event else { return };
    let Some(left) = FUSE.get() else { return };
    let text = query.to_string();
    if !["INSERT", "UPDATE", "DELETE", "COMMIT"].iter().any(|verb| text.trim_start().starts_with(verb)) {
        return;
    }
    if left > 0 {
        FUSE.set(Some(left - 1));
        return;
    }
    FUSE.set(None);
    // Not a panic that anybody should read of: the process is gone.
    resume_unwind(Box::new(Died));
}

fn instrument() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let each = || Some(Box::new(count as fn(InstrumentationEvent<'_>)) as Box<dyn Instrumentation>);
        set_default_instrumentation(each).unwrap();
    });
}

/// The server.
pub struct SimServer {
    dir: PathBuf,
    database: PathBuf,
    generation: u32,
    clock: Arc<VirtualClock>,
    entropy: Arc<SeededEntropy>,
    app: Option<App>,
    /// The journals of the lives that were lost.
    pub lost: Vec<JournalId>,
    /// Backups made, with the time.
    pub backups: Vec<(PathBuf, i64)>,
}

impl SimServer {
    /// A new server with the demo's areas.
    pub fn new(dir: &Path, clock: Arc<VirtualClock>, entropy: SeededEntropy) -> Self {
        instrument();
        let database = dir.join("server-0.db");
        let mut server = Self {
            dir: dir.to_owned(),
            database,
            generation: 0,
            clock,
            entropy: Arc::new(entropy),
            app: None,
            lost: Vec::new(),
            backups: Vec::new(),
        };
        server.open();
        // The areas alone: people come with passwords, whose hashing costs more than everything else here.
        let areas = schema::DEMO_IMPORT.split("[[user]]").next().unwrap();
        let plan = server::areas::parse("areas.toml", areas.as_bytes()).unwrap();
        let now_ms = server.clock.now_ms();
        let entropy = server.entropy.clone();
        server.app().db.transaction(|conn| server::areas::import(conn, &plan, now_ms, &*entropy)).unwrap();
        server
    }

    fn open(&mut self) {
        // Contents lie in a folder of their own, which outlives the database.
        let objects = self.dir.join("objects").display().to_string();
        let config = Config { database: self.database.display().to_string(), objects, ..Config::default() };
        self.app = Some(App::open_with(config, self.clock.clone(), self.entropy.clone(), true).unwrap());
    }

    /// The process that runs now.
    pub fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    /// Ends the process and starts another on what it left.
    pub fn restart(&mut self) {
        FUSE.set(None);
        self.app = None;
        self.open();
    }

    /// Does something that dies before its `fuse`-th statement that writes, if it comes that far.
    pub fn dying<T>(&mut self, fuse: Option<u32>, work: impl FnOnce(&App) -> T) -> Result<T, Died> {
        FUSE.set(fuse);
        let done = catch_unwind(AssertUnwindSafe(|| work(self.app())));
        FUSE.set(None);
        match done {
            Ok(value) => Ok(value),
            Err(cause) if cause.is::<Died>() => {
                self.restart();
                Err(Died)
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Makes a backup beside the running process.
    pub fn back_up(&mut self) {
        let path = self.dir.join(format!("backup-{}", self.backups.len()));
        server::backup::backup(&self.app().db, &path).unwrap();
        self.backups.push((path, self.clock.now_ms()));
    }

    /// Loses the database and restores a backup into a new one.
    /// Its operator knows which journals were its own, also where the backup does not.
    pub fn restore(&mut self, backup: usize) {
        self.lost.push(self.app().journal);
        self.app = None;
        self.generation += 1;
        self.database = self.dir.join(format!("server-{}.db", self.generation));
        let db = server::db::Database::open(&self.database.display().to_string()).unwrap();
        db.migrate().unwrap();
        let law = server::projection::Law::shipped();
        let (path, _) = &self.backups[backup];
        server::backup::restore(&db, &law, path, self.clock.now_ms(), &*self.entropy).unwrap();
        let know = |conn: &mut server::db::AnyConnection| -> Result<(), server::db::DbError> {
            self.lost.iter().try_for_each(|journal| server::restore::know(conn, *journal).map(|_| ()))
        };
        db.transaction(know).unwrap();
        drop(db);
        self.open();
    }

    /// The database as it lies on the disk, to be put back by [`SimServer::forget`].
    pub fn snapshot(&mut self) -> PathBuf {
        let copy = self.dir.join("before.db");
        self.app = None;
        std::fs::copy(&self.database, &copy).unwrap();
        self.open();
        copy
    }

    /// Sabotage: the server forgets everything since a snapshot without saying so.
    pub fn forget(&mut self, snapshot: &Path) {
        self.app = None;
        // Under another name: the pool of the one before may be closing its last connection still.
        self.database =
            self.database.with_extension(format!("{}.db", self.entropy.sixteen().map(|b| format!("{b:02x}")).concat()));
        std::fs::copy(snapshot, &self.database).unwrap();
        self.open();
    }

    /// Sabotage: every photo is gone, and the database believes that it is there.
    pub fn lose_contents(&self) {
        std::fs::remove_dir_all(self.dir.join("objects")).unwrap();
    }

    /// Opens an account without a password.
    pub fn add_user(&self, login: &str) -> UserId {
        let id = UserId::from_parts(self.clock.now_ms(), self.entropy.ten());
        let row = (
            tables::users::id.eq(id.to_string()),
            tables::users::login.eq(login),
            tables::users::name.eq(login),
            tables::users::password_hash.eq("none"),
            tables::users::active.eq(true),
            tables::users::created_ms.eq(self.clock.now_ms()),
        );
        let insert = |conn: &mut server::db::AnyConnection| -> Result<(), server::db::DbError> {
            diesel::insert_into(tables::users::table).values(row).execute(conn)?;
            Ok(())
        };
        self.app().db.transaction(insert).unwrap();
        id
    }

    /// Charges somebody with a role.
    pub fn assign(&self, user: UserId, role: Role, area: &str) {
        let (now_ms, area) = (self.clock.now_ms(), AreaCode::new(area).unwrap());
        self.app().db.transaction(|conn| users::assign(conn, user, role, &area, now_ms, &*self.entropy)).unwrap();
    }

    /// Ends a role; true if it was held.
    pub fn unassign(&self, user: UserId, role: Role, area: &str) -> bool {
        let (now_ms, area) = (self.clock.now_ms(), AreaCode::new(area).unwrap());
        self.app().db.transaction(|conn| users::unassign(conn, user, role, &area, now_ms)).unwrap()
    }

    /// What somebody may do now.
    pub fn subject(&self, user: UserId) -> Subject {
        grants::now(&mut self.app().db.get().unwrap(), user, self.clock.now_ms()).unwrap()
    }

    /// Every role that somebody ever held.
    pub fn subject_ever(&self, user: UserId) -> Subject {
        grants::ever(&mut self.app().db.get().unwrap(), user).unwrap()
    }

    /// Whether a phone is registered here and revoked.
    pub fn is_revoked(&self, device: DeviceId) -> bool {
        let found = server::accounts::devices::find(&mut self.app().db.get().unwrap(), device).unwrap();
        found.is_some_and(|d| d.revoked_ms.is_some())
    }

    /// Who asks with this token, as the server judges it now.
    pub fn principal(&self, token: &str) -> Result<Principal, Problem> {
        Principal::of_token(self.app(), &mut self.app().db.get().unwrap(), token)
    }

    /// Every change that is in the journal, and every one that is in quarantine.
    pub fn kept(&self) -> (BTreeSet<ChangeHash>, BTreeSet<ChangeHash>) {
        let mut conn = self.app().db.get().unwrap();
        let journal: Vec<Vec<u8>> = tables::journal::table.select(tables::journal::hash).load(&mut *conn).unwrap();
        let aside: Vec<Vec<u8>> = tables::quarantine::table.select(tables::quarantine::hash).load(&mut *conn).unwrap();
        (hashes(journal), hashes(aside))
    }

    /// The same together, each with its record.
    pub fn kept_of(&self) -> BTreeMap<ChangeHash, DocumentId> {
        let mut conn = self.app().db.get().unwrap();
        let journal = tables::journal::table.select((tables::journal::hash, tables::journal::document));
        let mut all: Vec<(Vec<u8>, String)> = journal.load(&mut *conn).unwrap();
        let aside = tables::quarantine::table.select((tables::quarantine::hash, tables::quarantine::document));
        all.extend(aside.load::<(Vec<u8>, String)>(&mut *conn).unwrap());
        let read = |(hash, document): (Vec<u8>, String)| {
            Some((ChangeHash(<[u8; 32]>::try_from(hash).ok()?), document.parse().ok()?))
        };
        all.into_iter().filter_map(read).collect()
    }
}

/// Hashes as they stand in a database.
pub fn hashes(rows: Vec<Vec<u8>>) -> BTreeSet<ChangeHash> {
    rows.into_iter().filter_map(|r| <[u8; 32]>::try_from(r).ok().map(ChangeHash)).collect()
}
