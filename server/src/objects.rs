//! The contents of attachments: a local folder or an S3 bucket behind one small door. Bytes lie under keys that are never written
//! twice; which of them are contents, and which documents refer to them, the database says.

pub mod content;
pub mod gc;
pub mod lost;
pub mod proofs;
pub mod refs;
pub mod thumbnails;
pub mod uploads;
pub mod verify;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::db::{AnyConnection, Database, DbError, file_of};

/// Uploads that are put together, and thumbnails that are made, at the same time: each holds a whole file in memory.
const WHOLE_FILES_MAX: usize = 2;

/// Why the store of contents did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The setting cannot be meant.
    #[error("setting `{setting}`: {problem}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no room left.
    #[error("the store of attachments is full")]
    Full,
    /// The store failed or cannot be reached.
    #[error("the store of attachments failed")]
    Store(#[source] object_store::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A worker thread ended.
    #[error("a worker ended: {0}")]
    Worker(String),
}

impl From<object_store::Error> for ObjectsError {
    fn from(error: object_store::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(at) = cause {
            let io = at.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(io, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
                return Self::Full;
            }
            cause = at.source();
        }
        Self::Store(error)
    }
}

impl From<diesel::result::Error> for ObjectsError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

enum Target {
    Folder(PathBuf),
    Bucket(Box<AmazonS3Builder>),
}

/// The store of contents.
pub struct Objects {
    target: Target,
    prefix: Path,
    shown: String,
    opened: OnceLock<Arc<dyn ObjectStore>>,
    /// Taken while a whole file is held in memory.
    pub(crate) whole_files: Semaphore,
}

/// What lies under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was written, ms UTC of the store.
    pub modified_ms: i64,
}

/// Where a folder beside the database lies.
fn default_folder(database: &str) -> PathBuf {
    if database.starts_with("postgres://") || database.starts_with("postgresql://") {
        return "fengqiao-objects".into();
    }
    format!("{}.objects", file_of(database)).into()
}

impl Objects {
    /// Reads the settings. Nothing is touched before something is stored or asked for.
    pub fn open(config: &Config) -> Result<Self, ObjectsError> {
        let (target, prefix) = match config.objects.strip_prefix("s3://") {
            Some(rest) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    let problem = "it names no bucket; write s3://BUCKET/PREFIX".to_owned();
                    return Err(ObjectsError::Setting { setting: "objects", problem });
                }
                (Target::Bucket(Box::new(bucket_of(config, bucket))), prefix)
            }
            None if config.objects.contains("://") => {
                let problem = "it is neither a folder nor s3://BUCKET/PREFIX".to_owned();
                return Err(ObjectsError::Setting { setting: "objects", problem });
            }
            None if config.objects.is_empty() => (Target::Folder(default_folder(&config.database)), ""),
            None => (Target::Folder(config.objects.clone().into()), ""),
        };
        let prefix =
            Path::parse(prefix).map_err(|e| ObjectsError::Setting { setting: "objects", problem: e.to_string() })?;
        let shown = config.objects.clone();
        Ok(Self { target, prefix, shown, opened: OnceLock::new(), whole_files: Semaphore::new(WHOLE_FILES_MAX) })
    }

    /// Where contents lie, for people: without account and secret.
    pub fn place(&self) -> String {
        match &self.target {
            Target::Folder(folder) => folder.display().to_string(),
            Target::Bucket(_) => self.shown.clone(),
        }
    }

    fn store(&self) -> Result<&Arc<dyn ObjectStore>, ObjectsError> {
        if let Some(store) = self.opened.get() {
            return Ok(store);
        }
        let store: Arc<dyn ObjectStore> = match &self.target {
            Target::Folder(folder) => {
                private_folder(folder).map_err(|e| ObjectsError::Setting {
                    setting: "objects",
                    problem: format!("the folder {} cannot be made: {e}", folder.display()),
                })?;
                // Whoever is told that his photo is here relies on it: written through to the disk.
                Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))
            }
            Target::Bucket(builder) => {
                // Another part of the process may have chosen one already: then that one holds.
                let _ = rustls::crypto::ring::default_provider().install_default();
                Arc::new(builder.as_ref().clone().build()?)
            }
        };
        Ok(self.opened.get_or_init(|| store))
    }

    fn path(&self, key: &str) -> Path {
        self.prefix.parts().chain(Path::from(key).parts()).collect()
    }

    /// Stores bytes under a key, durably.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        self.store()?.put(&self.path(key), bytes.into()).await?;
        Ok(())
    }

    /// All bytes under a key; `None` if there are none.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectsError> {
        match self.store()?.get(&self.path(key)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// A stretch of what lies under a key, as it comes; `None` if there is nothing.
    pub async fn stream(
        &self,
        key: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, object_store::Error>>>, ObjectsError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        match self.store()?.get_opts(&self.path(key), options).await {
            Ok(found) => Ok(Some(found.into_stream())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// How many bytes lie under a key.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ObjectsError> {
        match self.store()?.head(&self.path(key)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Everything in a folder of keys.
    pub async fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectsError> {
        let found: Vec<_> = self.store()?.list(Some(&self.path(folder))).try_collect().await?;
        let own = self.prefix.parts().count();
        let listed = found.into_iter().map(|m| Listed {
            key: m.location.parts().skip(own).collect::<Path>().to_string(),
            bytes: m.size,
            modified_ms: m.last_modified.timestamp_millis(),
        });
        Ok(listed.collect())
    }

    /// Deletes what lies under a key; what is gone already is no error.
    pub async fn delete(&self, key: &str) -> Result<(), ObjectsError> {
        match self.store()?.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Everything that lies in the store of a content: itself, what was made of it, and for which records it was handed in.
    pub(crate) async fn keys_of_content(&self, hash: &str) -> Result<Vec<String>, ObjectsError> {
        let mut keys = Vec::new();
        for folder in [uploads::content_folder(hash), format!("thumbnails/{hash}"), proofs::folder(hash)] {
            keys.extend(self.list(&folder).await?.into_iter().map(|o| o.key));
        }
        Ok(keys)
    }

    /// Deletes everything in a folder of keys; what fails is told.
    pub(crate) async fn clear(&self, folder: &str) -> Result<(), ObjectsError> {
        for listed in self.list(folder).await? {
            self.delete(&listed.key).await?;
        }
        Ok(())
    }

    /// Deletes many; one that fails is left to the next collection.
    pub async fn delete_all(&self, keys: impl IntoIterator<Item = String>) {
        futures_util::stream::iter(keys)
            .for_each_concurrent(8, |key| async move {
                if let Err(error) = self.delete(&key).await {
                    tracing::warn!(key, %error, "not deleted; the next collection tries again");
                }
            })
            .await;
    }
}

fn bucket_of(config: &Config, bucket: &str) -> AmazonS3Builder {
    let retry =
        RetryConfig { max_retries: 3, retry_timeout: std::time::Duration::from_secs(20), ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_region(&config.objects_region)
        .with_retry(retry)
        .with_allow_http(config.objects_endpoint.starts_with("http://"));
    if !config.objects_endpoint.is_empty() {
        builder = builder.with_endpoint(config.objects_endpoint.trim_end_matches('/'));
    }
    if !config.objects_access_key.is_empty() {
        builder = builder
            .with_access_key_id(&config.objects_access_key)
            .with_secret_access_key(config.objects_secret_key.reveal());
    }
    builder
}

/// Only the owner may look into a new folder.
fn private_folder(folder: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Runs one transaction off the threads that speak HTTP.
pub(crate) async fn transact<T: Send + 'static, E: From<DbError> + From<ObjectsError> + Send + 'static>(
    db: &Database,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let db = db.clone();
    let done = tokio::task::spawn_blocking(move || db.transaction(work)).await;
    done.map_err(|e| E::from(ObjectsError::Worker(e.to_string())))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_beside_the_database_is_taken_when_nothing_is_said() {
        assert_eq!(default_folder("hall.db"), PathBuf::from("hall.db.objects"));
        assert_eq!(default_folder("sqlite:///var/hall.db"), PathBuf::from("/var/hall.db.objects"));
        assert_eq!(default_folder("postgres://db/hall"), PathBuf::from("fengqiao-objects"));
    }

    #[test]
    fn a_setting_that_cannot_be_meant_is_refused_when_the_server_begins() {
        for objects in ["s3://", "s3:///prefix", "ftp://host/x", "s3://bucket/a//b"] {
            let config = Config { objects: objects.into(), ..Config::default() };
            assert!(matches!(Objects::open(&config), Err(ObjectsError::Setting { .. })), "{objects}");
        }
    }
}
