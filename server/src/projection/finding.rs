//! The search index of cases: by pairs of characters of what may be found, and by keyed hashes of numbers. It holds nothing that a row
//! does not hold.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Text};
use sync_core::search;

use super::CaseRow;
use crate::db::{AnyConnection, DbError};

/// Terms by which a case is to be found, not yet in the search index.
#[derive(Debug)]
#[must_use = "the case is not found until `index` has it"]
pub struct Searchable {
    search_id: i64,
    grams: Vec<String>,
    known: bool,
}

pub(super) fn terms(row: &CaseRow, known: bool) -> Searchable {
    let mut grams = search::bigrams(&row.search_text);
    grams.extend(row.numbers.split_whitespace().map(number_term));
    Searchable { search_id: row.search_id, grams, known }
}

/// Puts cases into the search index, all of a transaction together and in the order of their numbers: SQLite's full-text table writes
/// out what it has gathered before every statement of several rows, and whenever a number does not follow; so that a case at a time makes
/// as many small pieces, which it must then put together again.
pub fn index(conn: &mut AnyConnection, cases: impl IntoIterator<Item = Searchable>) -> Result<(), DbError> {
    let mut last: BTreeMap<i64, Searchable> = BTreeMap::new();
    for case in cases {
        // What was written first tells whether the index had it before.
        let known = last.get(&case.search_id).map_or(case.known, |before| before.known);
        last.insert(case.search_id, Searchable { known, ..case });
    }
    last.into_values().try_for_each(|case| index_one(conn, case))
}

/// The search index differs: SQLite has a full-text table, PostgreSQL an array with a GIN index.
fn index_one(conn: &mut AnyConnection, Searchable { search_id, grams, known }: Searchable) -> Result<(), DbError> {
    match conn {
        AnyConnection::Sqlite(c) => {
            if known {
                diesel::sql_query("DELETE FROM case_search WHERE rowid = ?").bind::<BigInt, _>(search_id).execute(c)?;
            }
            diesel::sql_query("INSERT INTO case_search (rowid, grams) VALUES (?, ?)")
                .bind::<BigInt, _>(search_id)
                .bind::<Text, _>(grams.join(" "))
                .execute(c)?;
        }
        AnyConnection::Postgres(c) => {
            diesel::sql_query(
                "INSERT INTO case_search (search_id, grams) VALUES ($1, $2) \
                 ON CONFLICT (search_id) DO UPDATE SET grams = EXCLUDED.grams",
            )
            .bind::<BigInt, _>(search_id)
            .bind::<Array<Text>, _>(grams)
            .execute(c)?;
        }
    }
    Ok(())
}

/// The term of a number's keyed hash in the search index; no text can name it, because its pairs of characters are terms.
fn number_term(mac: &str) -> String {
    format!("n{mac}")
}

/// The search ids of cases in which a number of this keyed hash stands.
pub fn with_number(conn: &mut AnyConnection, mac: &str, limit: i64) -> Result<Vec<i64>, DbError> {
    find(conn, &[number_term(mac)], limit)
}

/// The search ids of cases that may contain normalised text; `None` when it is too short for the index.
pub fn candidates(conn: &mut AnyConnection, normalised: &str, limit: i64) -> Result<Option<Vec<i64>>, DbError> {
    let grams = search::bigrams(normalised);
    if grams.is_empty() {
        return Ok(None);
    }
    find(conn, &grams, limit).map(Some)
}

fn find(conn: &mut AnyConnection, grams: &[String], limit: i64) -> Result<Vec<i64>, DbError> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        search_id: i64,
    }
    let found = match conn {
        AnyConnection::Sqlite(c) => {
            let query = grams.iter().map(|g| format!("\"{g}\"")).collect::<Vec<_>>().join(" AND ");
            diesel::sql_query("SELECT rowid AS search_id FROM case_search WHERE case_search MATCH ? LIMIT ?")
                .bind::<Text, _>(query)
                .bind::<BigInt, _>(limit)
                .load::<Found>(c)?
        }
        AnyConnection::Postgres(c) => diesel::sql_query("SELECT search_id FROM case_search WHERE grams @> $1 LIMIT $2")
            .bind::<Array<Text>, _>(grams)
            .bind::<BigInt, _>(limit)
            .load::<Found>(c)?,
    };
    Ok(found.into_iter().map(|f| f.search_id).collect())
}
