//! Connections and transactions. A transaction takes the write lock when it begins, so that what was read cannot change before it
//! is written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::{CustomizeConnection, NopErrorHandler, Pool};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::sync::Notify;

use super::reach::{Manager, Target};

const SQLITE: EmbeddedMigrations = embed_migrations!("../schema/migrations/server-sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../schema/migrations/server-postgres");

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}

/// A connection from the pool.
pub type PooledConnection = diesel::r2d2::PooledConnection<Manager>;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No connection could be had.
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    /// A statement failed.
    #[error("the database refused a statement: {0}")]
    Query(#[from] diesel::result::Error),
    /// A migration failed.
    #[error("the database could not be migrated: {0}")]
    Migration(String),
    /// What stands in a row cannot be read.
    #[error("a row cannot be read: {0}")]
    Row(String),
}

impl DbError {
    /// Whether another transaction was faster, so that the same request may succeed when it is sent again.
    pub fn is_race(&self) -> bool {
        use diesel::result::{DatabaseErrorKind as Kind, Error};
        matches!(self, Self::Query(Error::DatabaseError(Kind::UniqueViolation | Kind::SerializationFailure, _)))
    }

    fn says(&self, words: &[&str]) -> bool {
        let Self::Query(diesel::result::Error::DatabaseError(_, told)) = self else { return false };
        words.iter().any(|word| told.message().contains(word))
    }

    /// Whether there was no room to write. Nothing of the transaction stands, and everything that was committed before does.
    pub fn is_full(&self) -> bool {
        self.says(FULL)
    }

    /// Whether the disk beneath the database failed, for whatever reason.
    pub fn is_failed_disk(&self) -> bool {
        self.says(&["disk I/O error"])
    }
}

/// How the databases say that there is no room: neither's code comes through the query builder. SQLite: FULL. PostgreSQL (53100): in the
/// words of the system that it runs on, in the languages that such systems are set to here.
const FULL: &[&str] = &[
    "database or disk is full",
    "No space left on device",
    "Disk quota exceeded",
    "disk full",
    "设备上没有空间",
    "超出磁盘限额",
];

/// What must fit beside an SQLite file for its disk to count as not full, bytes: more than one step of its shared memory.
const ROOM_BYTES: usize = 256 * 1024;

/// The pool.
#[derive(Clone)]
pub struct Database {
    pool: Pool<Manager>,
    target: Target,
    postgres: bool,
    /// The folder of the SQLite file.
    folder: Option<std::path::PathBuf>,
    committed: Arc<Notify>,
    /// Whoever writes to SQLite. It has one writer; who waits for it there sleeps up to a tenth of a second while nobody writes.
    writer: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct Settings;

impl CustomizeConnection<AnyConnection, diesel::r2d2::Error> for Settings {
    fn on_acquire(&self, conn: &mut AnyConnection) -> Result<(), diesel::r2d2::Error> {
        let settings = match conn {
            // FULL: an acknowledgement is sent only after the commit is on the disk. 16 MiB of pages for each connection: with the 2 MiB that
            // are the default, a merge reads the inner pages of its indexes again and again.
            AnyConnection::Sqlite(_) => {
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                 PRAGMA cache_size = -16384;"
            }
            AnyConnection::Postgres(_) => "SET statement_timeout = '60s'; SET synchronous_commit = on;",
        };
        conn.batch_execute(settings).map_err(diesel::r2d2::Error::QueryError)
    }
}

/// How many connections the pool may hold.
#[derive(Debug, Clone, Copy)]
pub struct PoolSizes {
    /// On SQLite.
    pub sqlite: u32,
    /// On PostgreSQL.
    pub postgres: u32,
}

impl Default for PoolSizes {
    fn default() -> Self {
        Self { sqlite: 4, postgres: 8 }
    }
}

/// The file that an address of an SQLite database means: `sqlite:PATH`, `sqlite://PATH` or the path alone.
pub(crate) fn file_of(url: &str) -> &str {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    path.strip_prefix("//").unwrap_or(path)
}

/// Only the owner may read a new SQLite file: the server's keys lie in it.
fn create_private(path: &str) -> Result<(), DbError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(DbError::Unreachable(format!("`{path}` cannot be created: {e}"))),
    }
}

#[derive(QueryableByName)]
struct One {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    #[expect(dead_code, reason = "the row only shows that the database answers")]
    one: i32,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

impl Database {
    /// Opens `postgres://...`, `sqlite:PATH` or a path.
    pub fn open(url: &str) -> Result<Self, DbError> {
        Self::open_sized(url, PoolSizes::default())
    }

    /// Opens a database with a pool of these sizes.
    pub fn open_sized(url: &str, sizes: PoolSizes) -> Result<Self, DbError> {
        let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let mut folder = None;
        let target = if postgres {
            Target::Postgres(url.to_owned())
        } else {
            let path = file_of(url);
            create_private(path)?;
            let lies = std::path::Path::new(path).parent().map(std::path::Path::to_owned);
            folder = Some(lies.filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| ".".into()));
            Target::Sqlite(format!("sqlite://{path}"))
        };
        let pool = Pool::builder()
            .max_size(if postgres { sizes.postgres } else { sizes.sqlite }.max(1))
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(10))
            .connection_customizer(Box::new(Settings))
            // Whoever asked for a connection handles the error; the pool would log each try besides, in words that nobody has cleaned.
            .error_handler(Box::new(NopErrorHandler))
            .build(Manager::new(target.clone()))
            .map_err(|e| DbError::Unreachable(target.unreachable(&e.to_string())))?;
        Ok(Self { pool, target, postgres, folder, committed: Arc::default(), writer: Arc::default() })
    }

    /// Whether this is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        self.postgres
    }

    /// Whether a little still fits beside the SQLite file. Asked when its disk has failed, to tell a full one from a broken one.
    pub fn has_room(&self) -> bool {
        use std::io::Write as _;
        let Some(folder) = &self.folder else { return true };
        let name = folder.join(format!(".fengqiao-room-{}", uuid::Uuid::new_v4().simple()));
        let tried = std::fs::File::create_new(&name)
            .and_then(|mut file| file.write_all(&vec![0; ROOM_BYTES]).and_then(|()| file.sync_all()));
        // It may not have come to be.
        let _ = std::fs::remove_file(&name);
        !tried.is_err_and(|e| matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
    }

    /// A connection for reading.
    pub fn get(&self) -> Result<PooledConnection, DbError> {
        self.pool.get().map_err(|e| DbError::Unreachable(self.target.unreachable(&e.to_string())))
    }

    /// Connections in use and in all.
    pub fn usage(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections.saturating_sub(state.idle_connections), state.connections)
    }

    /// Runs a transaction; an error rolls it back whole. It takes the write lock of SQLite when it begins.
    pub fn transaction<T, E: From<DbError>>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        // Nothing is kept under it that could be found half done.
        let turn = (!self.postgres).then(|| self.writer.lock().unwrap_or_else(PoisonError::into_inner));
        let done = self.within("BEGIN IMMEDIATE", "BEGIN", work)?;
        drop(turn);
        self.committed.notify_one();
        Ok(done)
    }

    /// Waits until this process has committed something since the last time that this was asked.
    pub async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Reads everything as of one moment, beside whoever writes.
    pub fn snapshot<T, E: From<DbError>>(&self, work: impl FnOnce(&mut AnyConnection) -> Result<T, E>) -> Result<T, E> {
        self.within("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work)
    }

    fn within<T, E: From<DbError>>(
        &self,
        sqlite: &str,
        postgres: &str,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut conn = self.get()?;
        let begin = match &*conn {
            AnyConnection::Sqlite(_) => sqlite,
            AnyConnection::Postgres(_) => postgres,
        };
        let sql =
            |conn: &mut AnyConnection, text: &str| conn.batch_execute(text).map_err(|e| E::from(DbError::Query(e)));
        sql(&mut conn, begin)?;
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut conn)));
        match done {
            Ok(Ok(value)) => {
                sql(&mut conn, "COMMIT").inspect_err(|_| {
                    // The connection may be useless; the pool tests it before lending it again.
                    let _ = conn.batch_execute("ROLLBACK");
                })?;
                Ok(value)
            }
            Ok(Err(error)) => {
                let _ = conn.batch_execute("ROLLBACK");
                Err(error)
            }
            Err(panic) => {
                let _ = conn.batch_execute("ROLLBACK");
                std::panic::resume_unwind(panic)
            }
        }
    }

    /// Whether the database answers and no migration is pending.
    pub fn ready(&self) -> Result<bool, DbError> {
        let mut conn = self.get()?;
        diesel::sql_query("SELECT 1 AS one").get_result::<One>(&mut *conn)?;
        let pending = match &mut *conn {
            AnyConnection::Postgres(c) => c.has_pending_migration(POSTGRES),
            AnyConnection::Sqlite(c) => c.has_pending_migration(SQLITE),
        };
        pending.map(|p| !p).map_err(|e| DbError::Migration(e.to_string()))
    }

    /// Whether it holds anything that a server was given: an account, a document, or the trace of one that was erased. Looks only, so
    /// that it can be asked of a database that no server has opened yet.
    pub fn is_used(&self) -> Result<bool, DbError> {
        let mut conn = self.get()?;
        let tables = match &*conn {
            AnyConnection::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
            AnyConnection::Postgres(_) => {
                "SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))"
            }
        };
        let tables = diesel::sql_query(tables).load::<Name>(&mut *conn)?;
        for table in ["users", "journal", "quarantine", "erased_documents"] {
            if tables.iter().any(|t| t.name == table) {
                let first = format!("SELECT 1 AS one FROM {table} LIMIT 1");
                if !diesel::sql_query(first).load::<One>(&mut *conn)?.is_empty() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Lets the database learn how its rows are spread, so that it takes the index that helps. PostgreSQL does so by itself.
    pub fn learn(&self) -> Result<(), DbError> {
        if self.postgres {
            return Ok(());
        }
        // A sample is enough, and costs the same however much there is: two tenths of a second. One of 400 rows told that a community has
        // about 400 cases, and the newest of all were looked for by sorting whole communities. Connections that are open already go on with
        // what they read when they were opened, until the schema is another one: the view says nothing else.
        let learn =
            "PRAGMA analysis_limit = 10000; ANALYZE; DROP VIEW IF EXISTS learnt; CREATE VIEW learnt AS SELECT 1";
        self.transaction(|conn| Ok(conn.batch_execute(learn)?))
    }

    /// Brings the schema up to date; gives the names of the migrations that ran.
    pub fn migrate(&self) -> Result<Vec<String>, DbError> {
        let mut conn = self.get()?;
        let ran = match &mut *conn {
            AnyConnection::Postgres(c) => {
                // Several processes may start at once; the schema is changed by one of them.
                c.batch_execute("SELECT pg_advisory_lock(440311)")?;
                let ran = c.run_pending_migrations(POSTGRES).map(|m| m.iter().map(ToString::to_string).collect());
                c.batch_execute("SELECT pg_advisory_unlock(440311)")?;
                ran
            }
            AnyConnection::Sqlite(c) => {
                c.run_pending_migrations(SQLITE).map(|m| m.iter().map(ToString::to_string).collect())
            }
        };
        ran.map_err(|e| DbError::Migration(e.to_string()))
    }
}

/// Inserts rows: as one statement where a round trip costs more than a row, one by one where it does not.
macro_rules! insert_all {
    ($conn:expr, $table:expr, $rows:expr) => {
        match $conn {
            $crate::db::AnyConnection::Sqlite(c) => {
                for row in $rows {
                    diesel::insert_into($table).values(row).execute(c)?;
                }
            }
            $crate::db::AnyConnection::Postgres(c) => {
                diesel::insert_into($table).values($rows).execute(c)?;
            }
        }
    };
}
pub(crate) use insert_all;
