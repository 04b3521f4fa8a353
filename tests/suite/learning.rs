//! What SQLite learns of its rows reaches connections that were open before.

use diesel::connection::SimpleConnection;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use server::db::{AnyConnection, Database};
use tempfile::TempDir;
use tests::TestDatabase;

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

fn way(conn: &mut AnyConnection) -> String {
    // Only what runs looks whether the schema is still the one that is known.
    sql_query("SELECT name AS detail FROM sqlite_schema LIMIT 1").load::<Step>(conn).unwrap();
    let plan = sql_query("EXPLAIN QUERY PLAN SELECT id FROM learning WHERE few = 1 AND many = 500");
    plan.load::<Step>(conn).unwrap().into_iter().map(|s| s.detail).collect()
}

#[test]
fn a_connection_that_was_open_before_the_database_learnt_takes_the_index_that_helps() {
    let dir = TempDir::new().unwrap();
    let db = Database::open(&TestDatabase::on(false, dir.path()).url).unwrap();
    let mut open = db.get().unwrap();
    open.batch_execute(
        "CREATE TABLE learning (id INTEGER PRIMARY KEY, many INTEGER, few INTEGER);
         CREATE INDEX learning_many ON learning (many);
         CREATE INDEX learning_few ON learning (few);
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO learning SELECT i, i, i % 2 FROM n;",
    )
    .unwrap();
    assert!(way(&mut open).contains("learning_few"), "unlearnt it takes the other one: {}", way(&mut open));

    db.learn().unwrap();

    assert!(way(&mut open).contains("learning_many"), "{}", way(&mut open));
    db.learn().expect("it learns as often as it is asked to");
}
