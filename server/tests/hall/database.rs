//! The database of one test: an SQLite file of its own, or, when `FENGQIAO_TEST_POSTGRES` names a cluster, a database of its own
//! there. It goes with the test.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use server::db::Database;

/// A database that goes with the test.
pub(crate) struct TestDatabase {
    /// What the server is given.
    pub(crate) url: String,
    cluster: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes one, migrated; `folder` is the test's own.
    pub(crate) fn new(folder: &Path) -> Self {
        let made = match std::env::var("FENGQIAO_TEST_POSTGRES") {
            Ok(cluster) if !cluster.is_empty() => Self::in_cluster(&cluster),
            _ => Self { url: folder.join("hall.db").display().to_string(), cluster: None },
        };
        Database::open(&made.url).unwrap().migrate().unwrap();
        made
    }

    fn in_cluster(cluster: &str) -> Self {
        let name = format!("fengqiao_{}", uuid::Uuid::new_v4().simple());
        let mut conn = PgConnection::establish(cluster).unwrap();
        conn.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (base, _) = cluster.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}"), cluster: Some((cluster.to_owned(), name)) }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((cluster, name)) = self.cluster.take()
            && let Ok(mut conn) = PgConnection::establish(&cluster)
        {
            // What is left behind lies in a cluster that goes with the test run.
            let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
