//! The phone's store: one SQLite file, encrypted by SQLCipher. One writer; readers of their own, so that nothing that only reads
//! waits for a sync. An edit is here, whole, before the call that made it returns.

pub mod actors;
pub mod attachments;
pub mod away;
pub mod carried;
pub mod decisions;
pub mod documents;
pub mod list;
pub mod outbox;
pub mod peers;
pub mod pledges;
pub mod standing;
pub mod thumbnails;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key does not open the file (or the file's beginning is damaged; the two cannot be told apart).
    #[error("the key does not open this store")]
    WrongKey,
    /// The library was built without encryption; nothing is written in clear.
    #[error("this build has no encryption; nothing was opened")]
    NotEncrypted,
    /// A newer program has written this store.
    #[error("the store has schema {found}; this program knows up to {known}. Update the app")]
    Newer {
        /// In the file.
        found: usize,
        /// In this program.
        known: usize,
    },
    /// The file is damaged. It is left as it is.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The disk is full; the edit was not made, what was there is untouched.
    #[error("the phone's storage is full")]
    DiskFull,
    /// The folder or file cannot be used.
    #[error("the store cannot be opened or written: {0}")]
    Io(String),
    /// Its contents were destroyed.
    #[error("the store was destroyed")]
    Destroyed,
    /// Something else.
    #[error("the store failed: {0}")]
    Sql(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(e: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as C;
        // The file of the log's index could not grow.
        if e.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) {
            return Self::DiskFull;
        }
        match e.sqlite_error_code() {
            Some(C::NotADatabase) => Self::WrongKey,
            Some(C::DatabaseCorrupt) => Self::Damaged(e.to_string()),
            Some(C::DiskFull) => Self::DiskFull,
            Some(C::CannotOpen | C::ReadOnly | C::PermissionDenied | C::SystemIoFailure) => Self::Io(e.to_string()),
            _ => Self::Sql(e.to_string()),
        }
    }
}

/// The open store.
pub struct Store {
    path: PathBuf,
    pragma: String,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    ended: AtomicBool,
}

const READERS_MAX: usize = 4;
/// Statements that a connection keeps prepared: all that a sync needs, so that none is read anew each time.
const STATEMENTS_MAX: usize = 256;

impl Store {
    /// Opens or creates a store. The key comes from the platform's key store.
    pub fn open(path: &Path, key: &[u8; 32]) -> Result<Self, StoreError> {
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        let pragma = format!("PRAGMA key = \"x'{hex}'\";");
        let mut writer = Connection::open(path)?;
        unlock(&writer, &pragma)?;
        writer.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
             PRAGMA busy_timeout = 10000;",
        )?;
        migrate(&mut writer, schema::PHONE_MIGRATIONS)?;
        Ok(Self {
            path: path.to_owned(),
            pragma,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            ended: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one writing transaction; an error leaves everything as it was.
    pub fn write<T, E: From<StoreError>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut conn = self.lock();
        self.stands()?;
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let value = work(&tx)?;
        tx.commit().map_err(StoreError::from)?;
        Ok(value)
    }

    /// Reads, beside whatever is being written.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        self.stands()?;
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match pooled {
            Some(conn) => conn,
            None => self.reader()?,
        };
        let value = work(&conn);
        let mut pool = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < READERS_MAX {
            pool.push(conn);
        }
        value
    }

    /// Calls back at every step that the engine takes while something is written; `true` breaks the write off, and its transaction
    /// leaves nothing behind. For those who test what a sudden death at any moment leaves on the disk.
    pub fn watch_writes(&self, step: impl FnMut() -> bool + Send + 'static) -> Result<(), StoreError> {
        Ok(self.lock().progress_handler(1, Some(step))?)
    }

    /// Lets the file grow to so many pages and no further. For those who test what a full disk leaves of what somebody writes.
    pub fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        Ok(self.lock().execute_batch(&format!("PRAGMA max_page_count = {pages}"))?)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets go of the file before it is destroyed: nothing is read or written from now on.
    pub fn end(&self) -> Result<(), StoreError> {
        self.ended.store(true, Ordering::SeqCst);
        *self.lock() = Connection::open_in_memory()?;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    fn stands(&self) -> Result<(), StoreError> {
        if self.ended.load(Ordering::SeqCst) { Err(StoreError::Destroyed) } else { Ok(()) }
    }

    /// Moves the log into the file and empties it, so that what was deleted (and overwritten in the file) does not linger there. Gives
    /// whether it is done; a reader in the middle of something old can put it off.
    pub fn scrub(&self) -> Result<bool, StoreError> {
        let busy: i64 = self.lock().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        Ok(busy == 0)
    }

    fn reader(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        unlock(&conn, &self.pragma)?;
        conn.execute_batch("PRAGMA query_only = ON; PRAGMA busy_timeout = 10000;")?;
        Ok(conn)
    }
}

fn unlock(conn: &Connection, pragma: &str) -> Result<(), StoreError> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // A wrong key is an error of the caller, told by our own error type.
    conn.execute_batch("PRAGMA cipher_log_level = NONE;")?;
    conn.execute_batch(pragma)?;
    // Without encryption the key is silently ignored and data would lie in clear.
    let version: Option<String> = conn.query_row("PRAGMA cipher_version", [], |r| r.get(0)).optional()?;
    if version.is_none_or(|v| v.is_empty()) {
        return Err(StoreError::NotEncrypted);
    }
    conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get::<_, i64>(0))?;
    Ok(())
}

fn migrate(conn: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let found: usize =
        conn.query_row("PRAGMA user_version", [], |r| r.get::<_, u32>(0))?.try_into().unwrap_or(usize::MAX);
    if found > migrations.len() {
        return Err(StoreError::Newer { found, known: migrations.len() });
    }
    for (i, sql) in migrations.iter().enumerate().skip(found) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(sql)?;
        tx.execute_batch(&format!("PRAGMA user_version = {}", i + 1))?;
        tx.commit()?;
    }
    Ok(())
}

/// A value of `meta`.
pub fn meta(conn: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(conn.prepare_cached("SELECT value FROM meta WHERE name = ?1")?.query_row([name], |r| r.get(0)).optional()?)
}

/// Sets a value of `meta`.
pub fn set_meta(tx: &Transaction<'_>, name: &str, value: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2")?
        .execute((name, value))?;
    Ok(())
}

/// A JSON value of `meta`.
pub fn meta_json<T: serde::de::DeserializeOwned>(conn: &Connection, name: &str) -> Result<Option<T>, StoreError> {
    let Some(bytes) = meta(conn, name)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| StoreError::Damaged(format!("meta {name}: {e}")))
}

/// Sets a JSON value of `meta`.
pub fn set_meta_json<T: serde::Serialize>(tx: &Transaction<'_>, name: &str, value: &T) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|e| StoreError::Sql(e.to_string()))?;
    set_meta(tx, name, &bytes)
}

#[cfg(test)]
mod hardship;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_wrong_key_is_a_clear_error_and_the_file_is_not_in_clear() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Store::open(&path, &KEY).unwrap();
        store.write(|tx| set_meta(tx, "word", "欠薪 wages".as_bytes())).unwrap();
        drop(store);
        assert!(matches!(Store::open(&path, &[8; 32]), Err(StoreError::WrongKey)));
        let raw = std::fs::read(&path).unwrap();
        assert!(!raw.windows(5).any(|w| w == b"wages") && !raw.starts_with(b"SQLite"));
        let again = Store::open(&path, &KEY).unwrap();
        let word = again.read(|c| meta(c, "word")).unwrap().unwrap();
        assert_eq!(word, "欠薪 wages".as_bytes());
    }

    #[test]
    fn a_store_of_an_older_program_is_migrated_and_becomes_searchable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        {
            let mut old = Connection::open(&path).unwrap();
            unlock(&old, &format!("PRAGMA key = \"x'{}'\";", "07".repeat(32))).unwrap();
            migrate(&mut old, schema::PHONE_MIGRATIONS.get(..1).unwrap()).unwrap();
            old.execute(
                "INSERT INTO list (document, kind, community, title, status, created_ms, changed_ms, conflicts, passages, \
                 needs_review, text) VALUES ('d', 'case', 'BY', '', 'reported', 1, 1, 0, 0, 0, '工人讨要欠薪')",
                [],
            )
            .unwrap();
        }
        let store = Store::open(&path, &KEY).unwrap();
        store.write(list::refresh).unwrap();
        let found: i64 = store
            .read(|c| {
                Ok::<_, StoreError>(c.query_row(
                    "SELECT count(*) FROM search WHERE search MATCH '\"讨要欠薪\"'",
                    [],
                    |r| r.get(0),
                )?)
            })
            .unwrap();
        assert_eq!(found, 1);
    }

    #[test]
    fn a_store_of_a_newer_program_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Store::open(&path, &KEY).unwrap();
        store.lock().execute_batch("PRAGMA user_version = 99").unwrap();
        drop(store);
        assert!(matches!(Store::open(&path, &KEY), Err(StoreError::Newer { found: 99, .. })));
    }

    #[test]
    fn a_transaction_that_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), &KEY).unwrap();
        let failed = store.write(|tx| {
            set_meta(tx, "half", b"1")?;
            Err::<(), _>(StoreError::DiskFull)
        });
        assert!(failed.is_err());
        assert_eq!(store.read(|c| meta(c, "half")).unwrap(), None);
    }

    #[test]
    fn what_was_committed_is_readable_from_a_copy_taken_as_if_the_phone_had_died() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let store = Store::open(&path, &KEY).unwrap();
        for n in 0..50u8 {
            store.write(|tx| set_meta(tx, "n", &[n])).unwrap();
            // No checkpoint, no closing: file and log as they lie on the disk at this moment.
            let copy = dir.path().join(format!("copy{n}"));
            std::fs::copy(&path, &copy).unwrap();
            std::fs::copy(
                path.with_extension("").to_string_lossy().to_string() + "-wal",
                copy.to_string_lossy().to_string() + "-wal",
            )
            .unwrap();
            let again = Store::open(&copy, &KEY).unwrap();
            assert_eq!(again.read(|c| meta(c, "n")).unwrap(), Some(vec![n]));
        }
    }
}
