//! Documents as the server reads them: a snapshot, and behind it the entries of the journal. A change of a long file adds its entry and
//! nothing else; once the entries behind a snapshot take as much as the snapshot itself, all of it becomes the next one. Files that were
//! read or written a moment ago are kept open in memory.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::document::{ChangeHash, Document, Opened, Trust};
use sync_core::ids::DocumentId;

use super::of_document;
use crate::db::tables::{documents, journal, snapshots};
use crate::db::{AnyConnection, DbError};

/// The fewest bytes of changes that are folded into a snapshot: below it there is none, the journal says it all.
const TAIL_MIN: i64 = 16 * 1024;
/// How often a document is read anew that others write while it is being read.
const TRIES: usize = 5;

/// Files kept open, by the bytes they take in the database. One for the process: heads tell one journal's document from another's.
static OPENED: Opened = Opened::new(2 * 1024 * 1024);

/// What the table says of a document's content.
#[derive(Debug, Clone, Queryable)]
struct Row {
    id: String,
    heads: Vec<u8>,
    position: i64,
    snapshot_position: i64,
    snapshot_bytes: i64,
    tail_bytes: i64,
}

type Columns = (
    documents::id,
    documents::heads,
    documents::position,
    documents::snapshot_position,
    documents::snapshot_bytes,
    documents::tail_bytes,
);
const COLUMNS: Columns = (
    documents::id,
    documents::heads,
    documents::position,
    documents::snapshot_position,
    documents::snapshot_bytes,
    documents::tail_bytes,
);

impl Row {
    fn size(&self) -> usize {
        usize::try_from(self.snapshot_bytes.saturating_add(self.tail_bytes)).unwrap_or(usize::MAX)
    }

    /// Whether a document is the one that is meant; heads that are not known say nothing.
    fn is(&self, document: &Document) -> bool {
        self.heads.is_empty() || ChangeHash::join(&document.heads()) == self.heads
    }
}

fn row(conn: &mut AnyConnection, id: &str) -> Result<Option<Row>, DbError> {
    Ok(documents::table.find(id).select(COLUMNS).first(conn).optional()?)
}

fn snapshot(conn: &mut AnyConnection, id: &str) -> Result<Option<Vec<u8>>, DbError> {
    Ok(snapshots::table.find(id).select(snapshots::bytes).first(conn).optional()?)
}

/// A document as the journal makes it.
pub fn load(conn: &mut AnyConnection, id: DocumentId) -> Result<Option<Document>, DbError> {
    let Some(row) = row(conn, &id.to_string())? else { return Ok(None) };
    open(conn, id, row).map(Some)
}

/// The documents of these ids that are there.
pub fn load_all(conn: &mut AnyConnection, ids: &[String]) -> Result<BTreeMap<String, Document>, DbError> {
    let rows: Vec<Row> = documents::table.filter(documents::id.eq_any(ids)).select(COLUMNS).load(conn)?;
    let mut all = BTreeMap::new();
    for row in rows {
        let (id, key) = (row.id.parse().map_err(|_| DbError::Row(format!("document {}", row.id)))?, row.id.clone());
        all.insert(key, open(conn, id, row)?);
    }
    Ok(all)
}

fn open(conn: &mut AnyConnection, id: DocumentId, mut found: Row) -> Result<Document, DbError> {
    if let Some(document) = OPENED.get(id, &ChangeHash::split(&found.heads)) {
        return Ok(document);
    }
    let mut damage = String::new();
    for _ in 0..TRIES {
        match read(conn, &found)? {
            Ok(document) => {
                OPENED.put(document.clone(), found.size());
                return Ok(document);
            }
            Err(e) => damage = e,
        }
        // Outside the lock somebody may have written between one look and the next.
        match row(conn, &found.id)? {
            Some(now) if now.position != found.position || now.snapshot_position != found.snapshot_position => {
                found = now
            }
            _ => break,
        }
    }
    // The cache is damaged; the journal is the truth.
    tracing::error!(%id, %damage, "document unreadable, made again from the journal");
    let entries = of_document(conn, id)?;
    Document::from_changes(entries.iter().map(|e| e.bytes.as_slice()), Trust::Server)
        .map_err(|e| DbError::Row(format!("document {id}: {e}")))
}

/// Whether the database itself, without anything kept open, has a document as it should be.
pub(crate) fn has(conn: &mut AnyConnection, document: &Document) -> Result<bool, DbError> {
    let Some(row) = row(conn, &document.meta().id.to_string())? else { return Ok(false) };
    Ok(read(conn, &row)?.is_ok_and(|stored| stored.heads() == document.heads()))
}

/// The snapshot and what lies behind it. The inner error says why they do not make the document that is meant.
fn read(conn: &mut AnyConnection, row: &Row) -> Result<Result<Document, String>, DbError> {
    let mut bytes = match row.snapshot_position {
        0 => Vec::new(),
        _ => snapshot(conn, &row.id)?.unwrap_or_default(),
    };
    let tail: Vec<Vec<u8>> = journal::table
        .filter(journal::document.eq(&row.id))
        .filter(journal::position.gt(row.snapshot_position))
        .filter(journal::position.le(row.position))
        .order(journal::position)
        .select(journal::bytes)
        .load(conn)?;
    tail.iter().for_each(|change| bytes.extend_from_slice(change));
    Ok(match Document::load(&bytes) {
        Ok(document) if row.is(&document) => Ok(document),
        Ok(_) => Err("it is not what was written".into()),
        Err(e) => Err(e.to_string()),
    })
}

/// The bytes of every change of some documents, by their hashes, as their snapshots give them: what is archived stands there alone.
pub(crate) fn archived_bytes(
    conn: &mut AnyConnection,
    ids: &BTreeSet<String>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, DbError> {
    let mut bytes = BTreeMap::new();
    for id in ids {
        let Some(saved) = snapshot(conn, id)? else { continue };
        let unreadable =
            |e| DbError::Row(format!("document {id}: {e}; its journal is archived: fengqiao journal return FILE"));
        let document = Document::load(&saved).map_err(unreadable)?;
        bytes.extend(document.changes().into_iter().map(|c| (c.hash.0.to_vec(), c.bytes)));
    }
    Ok(bytes)
}

/// How a document has come to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grown {
    /// It is new, with so many bytes of changes.
    New(usize),
    /// It was there, and so many bytes of changes came to it.
    By(usize),
    /// It is written anew, whole.
    Whole,
}

/// Writes how a document stands at a position; the journal holds its changes already. The caller holds the community's lock.
pub fn store(conn: &mut AnyConnection, document: &Document, position: i64, grown: Grown) -> Result<(), DbError> {
    let place = sync_core::authority::Place::of(document);
    let id = document.meta().id.to_string();
    let values = (
        documents::community.eq(place.community.as_str()),
        documents::kind.eq(place.kind.as_str()),
        documents::grid.eq(place.grid.as_ref().map(|g| g.as_str())),
        documents::building.eq(place.building.as_ref().map(|g| g.as_str())),
        documents::created_by.eq(place.created_by.to_string()),
        documents::position.eq(position),
        documents::heads.eq(ChangeHash::join(&document.heads())),
    );
    let bytes = match grown {
        Grown::New(bytes) | Grown::By(bytes) => i64::try_from(bytes).unwrap_or(i64::MAX),
        Grown::Whole => 0,
    };
    let standing: Option<(i64, i64)> = match grown {
        Grown::New(_) => None,
        Grown::By(_) | Grown::Whole => diesel::update(documents::table.find(&id))
            .set((values.clone(), documents::tail_bytes.eq(documents::tail_bytes + bytes)))
            .returning((documents::snapshot_bytes, documents::tail_bytes))
            .get_result(conn)
            .optional()?,
    };
    let (snapshot_bytes, tail_bytes) = match standing {
        Some(standing) => standing,
        None => {
            diesel::insert_into(documents::table)
                .values((documents::id.eq(&id), values, documents::tail_bytes.eq(bytes)))
                .execute(conn)?;
            (0, bytes)
        }
    };
    let size = match grown == Grown::Whole || tail_bytes > snapshot_bytes.max(TAIL_MIN) {
        true => take(conn, document, position)?,
        false => snapshot_bytes.saturating_add(tail_bytes),
    };
    // What is new is seldom written again soon: an import must not displace what somebody works on.
    if matches!(grown, Grown::By(_)) {
        OPENED.put(document.clone(), usize::try_from(size).unwrap_or(usize::MAX));
    }
    Ok(())
}

/// Takes the snapshot of a document at a position; gives its size.
fn take(conn: &mut AnyConnection, document: &Document, position: i64) -> Result<i64, DbError> {
    let id = document.meta().id.to_string();
    let bytes = document.save();
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    diesel::delete(snapshots::table.find(&id)).execute(conn)?;
    diesel::insert_into(snapshots::table)
        .values((snapshots::document.eq(&id), snapshots::bytes.eq(bytes)))
        .execute(conn)?;
    diesel::update(documents::table.find(&id))
        .set((
            documents::snapshot_position.eq(position),
            documents::snapshot_bytes.eq(size),
            documents::tail_bytes.eq(0),
        ))
        .execute(conn)?;
    Ok(size)
}

/// Folds what lies behind the snapshot of a document into it. The caller holds the community's lock.
pub(crate) fn fold(conn: &mut AnyConnection, id: DocumentId) -> Result<(), DbError> {
    let Some(row) = row(conn, &id.to_string())? else { return Ok(()) };
    if row.snapshot_position < row.position {
        let position = row.position;
        let document = open(conn, id, row)?;
        take(conn, &document, position)?;
    }
    Ok(())
}

/// Forgets how a document stands; gives nothing back of it from memory either.
pub(crate) fn forget(conn: &mut AnyConnection, ids: &[String]) -> Result<(), DbError> {
    diesel::delete(documents::table.filter(documents::id.eq_any(ids))).execute(conn)?;
    diesel::delete(snapshots::table.filter(snapshots::document.eq_any(ids))).execute(conn)?;
    for id in ids.iter().filter_map(|id| id.parse().ok()) {
        OPENED.forget(id);
    }
    Ok(())
}
