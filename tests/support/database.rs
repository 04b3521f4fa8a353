//! The database of one test: an SQLite file of its own, or a PostgreSQL database of its own in the cluster that
//! `FENGQIAO_TEST_POSTGRES` names.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};

/// A database that goes with the test.
pub struct TestDatabase {
    /// What the server is given.
    pub url: String,
    drop: Option<(String, String)>,
}

impl TestDatabase {
    /// Makes one; `dir` is the test's own folder.
    pub fn new(dir: &Path) -> Self {
        match std::env::var("FENGQIAO_TEST_POSTGRES") {
            Ok(cluster) if !cluster.is_empty() => Self::postgres(&cluster),
            _ => Self::sqlite(dir),
        }
    }

    /// One on the database that is asked for.
    pub fn on(postgres: bool, dir: &Path) -> Self {
        if !postgres {
            return Self::sqlite(dir);
        }
        let cluster = std::env::var("FENGQIAO_TEST_POSTGRES").ok().filter(|c| !c.is_empty());
        Self::postgres(
            &cluster.expect("FENGQIAO_TEST_POSTGRES names a cluster; `tests/with-postgres COMMAND` starts one"),
        )
    }

    fn sqlite(dir: &Path) -> Self {
        let file = format!("server-{}.db", uuid::Uuid::new_v4().simple());
        Self { url: dir.join(file).display().to_string(), drop: None }
    }

    /// How much disk it takes, where the database itself knows.
    pub fn bytes(&self) -> Option<u64> {
        use diesel::RunQueryDsl;
        let mut conn = PgConnection::establish(self.drop.as_ref().map(|_| self.url.as_str())?).ok()?;
        let size =
            diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>("pg_database_size(current_database())"));
        size.get_result::<i64>(&mut conn).ok().and_then(|n| u64::try_from(n).ok())
    }

    fn postgres(cluster: &str) -> Self {
        let name = format!("fengqiao_{}", uuid::Uuid::new_v4().simple());
        let mut conn = PgConnection::establish(cluster).expect("the cluster of FENGQIAO_TEST_POSTGRES answers");
        conn.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        let (base, _) = cluster.rsplit_once('/').expect("the URL ends with the name of a database");
        Self { url: format!("{base}/{name}"), drop: Some((cluster.to_owned(), name)) }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some((cluster, name)) = self.drop.take()
            && let Ok(mut conn) = PgConnection::establish(&cluster)
        {
            let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}
