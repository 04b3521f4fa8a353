//! The rows of small pictures: which lie in the vault, and which will be wanted, in the order of need. Each can be fetched again.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use crate::attachments::MediaType;
use crate::document::Document;
use crate::ids::DocumentId;

/// A small picture that lies here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThumbnailRow {
    /// The picture that it was made of.
    pub hash: String,
    /// Its longer side.
    pub points: u32,
    /// Its size.
    pub bytes: u64,
    /// When it was last looked at, ms UTC.
    pub used_ms: i64,
}

impl ThumbnailRow {
    /// Under which name it lies in the vault.
    pub fn name(&self) -> String {
        name(&self.hash, self.points)
    }
}

/// Under which name a small picture lies in the vault; no content has such a name.
pub fn name(hash: &str, points: u32) -> String {
    format!("{hash}-{points}")
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// Notes which pictures a record names, by what it says of them.
pub fn note(tx: &Transaction<'_>, document: &Document) -> Result<(), StoreError> {
    let id = document.meta().id;
    for (hash, entry) in document.attachments() {
        if MediaType::parse(&entry.media_type).is_some_and(MediaType::is_image) {
            refer(tx, id, &hash)?;
        }
    }
    Ok(())
}

/// Notes that a record names a picture.
pub fn refer(tx: &Transaction<'_>, document: DocumentId, hash: &str) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO pictures (document, hash) VALUES (?1, ?2)")?
        .execute((document.to_string(), hash))?;
    Ok(())
}

/// Every picture that a record here names, what is needed first first: cases before patrols, what is due first, then what was changed
/// last. With one record that names it.
pub fn in_need(conn: &Connection) -> Result<Vec<(DocumentId, String)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT p.document, p.hash FROM pictures p JOIN list l ON l.document = p.document WHERE l.away_ms IS NULL \
         ORDER BY l.kind <> 'case', l.due_ms IS NULL, l.due_ms, l.changed_ms DESC, p.document, p.hash",
    )?;
    let rows: Vec<(String, String)> =
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut seen = std::collections::HashSet::new();
    let once = rows.into_iter().filter(|(_, hash)| seen.insert(hash.clone()));
    Ok(once.filter_map(|(id, hash)| Some((id.parse().ok()?, hash))).collect())
}

/// Whether a picture is to be asked for in this size: neither it nor its original lies here, and nobody has just said that there is none.
pub fn is_wanted(conn: &Connection, hash: &str, points: u32, now_ms: i64) -> Result<bool, StoreError> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM files WHERE hash = ?1) AND NOT EXISTS \
               (SELECT 1 FROM thumbnails WHERE hash = ?1 AND points = ?2 AND (bytes IS NOT NULL OR again_ms > ?3))";
    Ok(conn.prepare_cached(sql)?.query_row((hash, points, now_ms), |r| r.get(0))?)
}

/// A small picture, if it lies here.
pub fn find(conn: &Connection, hash: &str, points: u32) -> Result<Option<ThumbnailRow>, StoreError> {
    let sql = "SELECT bytes, used_ms FROM thumbnails WHERE hash = ?1 AND points = ?2 AND bytes IS NOT NULL";
    let row = conn.prepare_cached(sql)?.query_row((hash, points), |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let here = |(bytes, used_ms)| ThumbnailRow { hash: hash.to_owned(), points, bytes: unsigned(bytes), used_ms };
    Ok(row.map(here))
}

/// Notes one that lies in the vault, and for which record it was fetched.
pub fn keep(tx: &Transaction<'_>, document: DocumentId, row: &ThumbnailRow) -> Result<(), StoreError> {
    refer(tx, document, &row.hash)?;
    tx.prepare_cached("INSERT OR REPLACE INTO thumbnails (hash, points, bytes, used_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute((&row.hash, row.points, i64::try_from(row.bytes).unwrap_or(i64::MAX), row.used_ms))?;
    Ok(())
}

/// Notes that there is none, and when to ask again.
pub fn absent(tx: &Transaction<'_>, hash: &str, points: u32, now_ms: i64, again_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO thumbnails (hash, points, used_ms, again_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute((hash, points, now_ms, again_ms))?;
    Ok(())
}

/// Notes that one was looked at.
pub fn used(tx: &Transaction<'_>, hash: &str, points: u32, now_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE thumbnails SET used_ms = ?3 WHERE hash = ?1 AND points = ?2")?
        .execute((hash, points, now_ms))?;
    Ok(())
}

/// Forgets that one lies here.
pub fn drop_row(tx: &Transaction<'_>, hash: &str, points: u32) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM thumbnails WHERE hash = ?1 AND points = ?2")?.execute((hash, points))?;
    Ok(())
}

/// Forgets those of the pictures that a record names, which is about to go; gives the names under which they lie in the vault.
pub fn drop_of(tx: &Transaction<'_>, document: DocumentId) -> Result<Vec<String>, StoreError> {
    drop_where(tx, "document = ?1", &document.to_string())
}

/// The same for every record of a community, also for those of which only the row of the list is left.
pub fn drop_of_community(tx: &Transaction<'_>, community: &str) -> Result<Vec<String>, StoreError> {
    let of = "document IN (SELECT document FROM list WHERE community = ?1)";
    let names = drop_where(tx, of, community)?;
    tx.execute(&format!("DELETE FROM pictures WHERE {of}"), [community])?;
    Ok(names)
}

fn drop_where(tx: &Transaction<'_>, which: &str, value: &str) -> Result<Vec<String>, StoreError> {
    let of = format!("WHERE hash IN (SELECT hash FROM pictures WHERE {which})");
    let mut statement = tx.prepare_cached(&format!("SELECT hash, points FROM thumbnails {of}"))?;
    let rows = statement.query_map([value], |r| Ok(name(&r.get::<_, String>(0)?, r.get(1)?)))?;
    let names = rows.collect::<Result<_, _>>()?;
    tx.prepare_cached(&format!("DELETE FROM thumbnails {of}"))?.execute([value])?;
    Ok(names)
}

/// All that lie here, what is needed least first: pictures that no record here names, then from the end of the order of need; of the
/// same picture that which was not looked at for the longest time. Each with its place in the order of need.
pub fn by_least_need(conn: &Connection) -> Result<Vec<(usize, ThumbnailRow)>, StoreError> {
    let ranks: HashMap<String, usize> =
        in_need(conn)?.into_iter().enumerate().map(|(rank, (_, hash))| (hash, rank)).collect();
    let mut statement =
        conn.prepare_cached("SELECT hash, points, bytes, used_ms FROM thumbnails WHERE bytes IS NOT NULL")?;
    let rows = statement.query_map([], |r| {
        Ok(ThumbnailRow { hash: r.get(0)?, points: r.get(1)?, bytes: unsigned(r.get(2)?), used_ms: r.get(3)? })
    })?;
    let all: Vec<ThumbnailRow> = rows.collect::<Result<_, _>>()?;
    let rank = |row: &ThumbnailRow| ranks.get(&row.hash).copied().unwrap_or(usize::MAX);
    let mut all: Vec<_> = all.into_iter().map(|row| (rank(&row), row)).collect();
    all.sort_by_key(|(rank, row)| (std::cmp::Reverse(*rank), row.used_ms));
    Ok(all)
}

/// Bytes of all that lie here, and how many they are.
pub fn held(conn: &Connection) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT coalesce(sum(bytes), 0), count(bytes) FROM thumbnails";
    Ok(conn.prepare_cached(sql)?.query_row([], |r| Ok((unsigned(r.get(0)?), unsigned(r.get(1)?))))?)
}

/// Whether something lies in the vault under this name that a row knows, a content or a small picture.
pub fn is_known(conn: &Connection, name: &str) -> Result<bool, StoreError> {
    match name.split_once('-').and_then(|(hash, points)| Some((hash, points.parse().ok()?))) {
        Some((hash, points)) => Ok(find(conn, hash, points)?.is_some()),
        None => Ok(super::attachments::file(conn, name)?.is_some()),
    }
}
