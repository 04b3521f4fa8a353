//! Proof of an erasure: every table is looked through for the document and for words that stood in it, on SQLite also the bytes of
//! the file and its log; and for every phone that held it, whether it is known to have forgotten it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde::Serialize;
use sync_core::ids::DocumentId;
use utoipa::ToSchema;

use super::{Erased, ErasureError, contents, destroy::TOMBSTONE, files};
use crate::app::App;
use crate::db::tables::{audit, erased_contents, erased_documents, erased_holders, journal, quarantine, uploads};
use crate::db::{AnyConnection, Database, DbError, file_of};
use crate::objects::ObjectsError;
use crate::projection;

/// Tables in which the id of an erased document may stand: they say that it was erased, or that a phone was ordered to forget it or has
/// offered it again, not what it held.
const MAY_NAME: &[&str] = &[
    "audit",
    "device_orders",
    "erased_contents",
    "erased_documents",
    "erased_holders",
    "erasures",
    "journal",
    "quarantine",
    "refused_parcels",
    "resupplied_documents",
    "uploads",
];

/// Something that should not be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Found {
    /// The table, or the file.
    pub place: String,
    /// What was found: `id`, `content`, or the number of the word that was given, from 1. Words themselves are not repeated.
    pub what: String,
    /// In how many rows; 1 for a file.
    pub rows: i64,
}

/// A place that was looked through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Looked {
    /// The table and its column, the file, or the folder of the store of contents.
    pub place: String,
    /// What was looked for: `id`, `content`, or the number of the word that was given, from 1.
    pub what: Vec<String>,
    /// In how many rows something was found.
    pub rows: i64,
}

/// A phone that held the document, or was told to forget it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Serialize, ToSchema)]
pub struct Holder {
    /// The phone.
    pub device: String,
    /// When it was last told, ms UTC.
    pub told_ms: Option<i64>,
    /// When it said that it has forgotten, or was known to hold nothing any more, ms UTC.
    pub confirmed_ms: Option<i64>,
    /// wrote, given, or met: a phone that it met may have given it the document.
    pub why: Option<String>,
}

/// What is known of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Proof {
    /// The document that is no more.
    pub document: String,
    /// What was made of the rest.
    pub successor: Option<String>,
    /// When it was erased, ms UTC.
    pub erased_ms: i64,
    /// Every place that was looked through.
    pub looked: Vec<Looked>,
    /// What was found and should not be there.
    pub found: Vec<Found>,
    /// The phones.
    pub phones: Vec<Holder>,
    /// Backups that were made before and still hold the document: file name and ms UTC. This program cannot reach them.
    pub older_backups: Vec<(String, i64)>,
}

impl Proof {
    /// True when nothing is left on the server and every phone that held it has forgotten it. Backups do not count.
    pub fn is_complete(&self) -> bool {
        self.found.is_empty() && self.phones.iter().all(|p| p.confirmed_ms.is_some())
    }
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

/// The files of an SQLite database; none of another.
fn files_of(db: &Database, url: &str) -> Vec<String> {
    if db.is_postgres() {
        return Vec::new();
    }
    let path = file_of(url);
    ["", "-wal"].map(|end| format!("{path}{end}")).to_vec()
}

/// Looks for what is left wherever this program can look: the database, its files, the store of contents.
pub async fn prove(app: &App, document: DocumentId, words: Vec<String>) -> Result<Proof, ErasureError> {
    let (db, files) = (app.db.clone(), files_of(&app.db, &app.config.database));
    let looked = tokio::task::spawn_blocking(move || verify(&db, document, &words, &files)).await;
    let mut proof = looked.map_err(|e| ObjectsError::Worker(e.to_string()))??;
    contents::look(app, document, &mut proof).await?;
    Ok(proof)
}

/// Looks for what is left in the database. `words` stood in the document; `files` are the database's own.
pub fn verify(db: &Database, document: DocumentId, words: &[String], files: &[String]) -> Result<Proof, ErasureError> {
    let id = document.to_string();
    let mut conn = db.get()?;
    let conn = &mut *conn;
    let erased = erased_documents::table.find(&id).select(Erased::as_select()).first::<Erased>(conn).optional()?;
    let erased = erased.ok_or(ErasureError::NotFound("erased document"))?;
    let (mut looked, mut found) = (Vec::new(), Vec::new());
    for (place, rows) in content(conn, &id, erased.erased_ms)? {
        looked.push(Looked { place: place.into(), what: vec!["content".into()], rows });
        if rows > 0 {
            found.push(Found { place: place.into(), what: "content".into(), rows });
        }
    }
    for (column, quoted) in columns(conn)? {
        let mut needles: Vec<(String, &str)> = Vec::new();
        if !MAY_NAME.contains(&column.table_name.as_str()) {
            needles.push(("id".into(), &id));
        }
        let words = words.iter().enumerate().filter(|(_, word)| !word.is_empty());
        needles.extend(words.map(|(n, word)| (format!("word {}", n + 1), word.as_str())));
        let (place, mut all) = (format!("{}.{}", column.table_name, column.column_name), 0);
        for (what, needle) in &needles {
            let rows = look(conn, &quoted, needle)?;
            all += rows;
            if rows > 0 {
                found.push(Found { place: place.clone(), what: what.clone(), rows });
            }
        }
        looked.push(Looked { place, what: needles.into_iter().map(|(what, _)| what).collect(), rows: all });
    }
    found.sort_by(|a, b| (&a.place, &a.what).cmp(&(&b.place, &b.what)));
    let named = words.iter().enumerate().filter(|(_, word)| !word.is_empty());
    let (what, sought): (Vec<String>, Vec<&str>) = named.map(|(n, w)| (format!("word {}", n + 1), w.as_str())).unzip();
    for file in files {
        let unreadable = |e: std::io::Error| DbError::Unreachable(format!("`{file}` cannot be read: {e}"));
        let Some(holds) = files::holds(file, &sought).map_err(unreadable)? else { continue };
        let mut rows = 0;
        for (what, _) in what.iter().zip(holds).filter(|(_, holds)| *holds) {
            rows += 1;
            found.push(Found { place: file.clone(), what: what.clone(), rows: 1 });
        }
        looked.push(Looked { place: file.clone(), what: what.clone(), rows });
    }
    let phones = erased_holders::table
        .filter(erased_holders::document.eq(&id))
        .order(erased_holders::device)
        .select((erased_holders::device, erased_holders::told_ms, erased_holders::confirmed_ms, erased_holders::why))
        .load::<Holder>(conn)?;
    let older_backups = audit::table
        .filter(audit::action.eq("backup.make"))
        .filter(audit::at_ms.lt(erased.erased_ms))
        .order(audit::id)
        .select((audit::object, audit::at_ms))
        .load::<(String, i64)>(conn)?;
    let Erased { successor, erased_ms, .. } = erased;
    Ok(Proof { document: id, successor, erased_ms, looked, found, phones, older_backups })
}

/// Entries that are no tombstones, refused changes from before the erasure that still hold bytes, terms in the search index, uploads that
/// were under way, and contents of which something may be left in the store.
fn content(conn: &mut AnyConnection, id: &str, erased_ms: i64) -> Result<[(&'static str, i64); 5], DbError> {
    let entries: i64 = journal::table
        .filter(journal::document.eq(id))
        .filter(journal::basis.ne(TOMBSTONE))
        .count()
        .get_result(conn)?;
    // What came later says so by its code, and waits for a person.
    let kept: i64 = quarantine::table
        .filter(quarantine::document.eq(id))
        .filter(quarantine::code.ne("erased"))
        .filter(quarantine::state.ne("erased"))
        .count()
        .get_result(conn)?;
    let indexed = match conn {
        AnyConnection::Sqlite(c) => diesel::sql_query("SELECT count(*) AS rows FROM case_search_docsize WHERE id = ?")
            .bind::<BigInt, _>(projection::search_id(id))
            .get_result::<Count>(c)?,
        AnyConnection::Postgres(c) => {
            diesel::sql_query("SELECT count(*) AS rows FROM case_search WHERE search_id = $1")
                .bind::<BigInt, _>(projection::search_id(id))
                .get_result::<Count>(c)?
        }
    };
    let sent: i64 = uploads::table
        .filter(uploads::document.eq(id))
        .filter(uploads::created_ms.le(erased_ms))
        .count()
        .get_result(conn)?;
    let contents: i64 = erased_contents::table
        .filter(erased_contents::document.eq(id))
        .filter(erased_contents::hash.is_not_null())
        .count()
        .get_result(conn)?;
    Ok([
        ("journal", entries),
        ("quarantine", kept),
        ("case_search", indexed.rows),
        ("uploads", sent),
        ("erased_contents", contents),
    ])
}

/// Every column of text or bytes, with the SQL that counts the rows in which bytes stand.
fn columns(conn: &mut AnyConnection) -> Result<Vec<(Column, String)>, DbError> {
    let list: Vec<Column> = match conn {
        AnyConnection::Sqlite(c) => diesel::sql_query(
            "SELECT m.name AS table_name, p.name AS column_name FROM sqlite_master m JOIN pragma_table_info(m.name) p \
             WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY 1, 2",
        )
        .load(c)?,
        AnyConnection::Postgres(c) => diesel::sql_query(
            "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = current_schema() \
             AND data_type IN ('text', 'bytea', 'ARRAY') ORDER BY 1, 2",
        )
        .load(c)?,
    };
    let postgres = matches!(conn, AnyConnection::Postgres(_));
    let quoted = |c: Column| {
        let (table, column) = (c.table_name.replace('"', ""), c.column_name.replace('"', ""));
        let sql = if postgres {
            // The text form of bytes is hexadecimal, so that both are looked for.
            format!(
                "SELECT count(*) AS rows FROM \"{table}\" WHERE position(convert_from($1, 'UTF8') in \"{column}\"::text) > 0 \
                 OR position(encode($1, 'hex') in \"{column}\"::text) > 0"
            )
        } else {
            format!("SELECT count(*) AS rows FROM \"{table}\" WHERE instr(CAST(\"{column}\" AS BLOB), ?) > 0")
        };
        (c, sql)
    };
    Ok(list.into_iter().map(quoted).collect())
}

fn look(conn: &mut AnyConnection, sql: &str, needle: &str) -> Result<i64, DbError> {
    let bytes = needle.as_bytes().to_vec();
    let counted = match conn {
        AnyConnection::Sqlite(c) => diesel::sql_query(sql).bind::<Binary, _>(bytes).get_result::<Count>(c)?,
        AnyConnection::Postgres(c) => diesel::sql_query(sql).bind::<Binary, _>(bytes).get_result::<Count>(c)?,
    };
    Ok(counted.rows)
}
