//! Old entries of the journal in files of their own. What they say stays in the snapshots, from which it is read as before: no
//! cursor and no phone notices. The file is for the day on which a snapshot is damaged, and for whoever must keep what is old
//! elsewhere.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use diesel::dsl::{count_star, min};
use diesel::prelude::*;
use serde::Serialize;
use sync_core::ids::{DocumentId, Entropy};
use uuid::Uuid;

use crate::audit::{Act, Origin};
use crate::db::tables::{archive_documents, archives, erased_documents, journal as entries};
use crate::db::{AnyConnection, Database, DbError};
use crate::erasure::TOMBSTONE;
use crate::journal::{self, Entry};

pub use file::{ArchiveError, Checked, verify};
use file::{Header, Line, Reader, Writer};

/// What was moved into a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The archive.
    pub id: String,
    /// Entries in it.
    pub entries: u64,
    /// Documents that they belong to.
    pub documents: u64,
    /// Documents left as they are, because their snapshot does not give back every byte.
    pub skipped: u64,
    /// Bytes that the journal no longer holds.
    pub bytes: u64,
}

/// How much of the journal lies where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Entries of the journal, erased ones not counted.
    pub entries: i64,
    /// Of these without their bytes.
    pub archived: i64,
    /// When the oldest entry with its bytes arrived, ms UTC.
    pub oldest_ms: Option<i64>,
    /// The files.
    pub archives: Vec<ArchiveRow>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveRow {
    /// Its identity, which stands in it.
    pub id: String,
    /// Its name when it was made.
    pub name: String,
    /// When that was, ms UTC.
    pub made_ms: i64,
    /// Entries that arrived before this, ms UTC.
    pub before_ms: i64,
    /// Entries in it.
    pub entries: i64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Documents in it that were erased since: strike them.
    pub to_strike: Vec<String>,
}

/// Moves what arrived before a moment into a new file. The file is complete, on the disk and read again before the journal lets go of
/// anything; whoever breaks off in between has a file too many and nothing too few.
pub fn make(
    db: &Database,
    path: &Path,
    before_ms: i64,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<Made, ArchiveError> {
    if before_ms > now_ms {
        return Err(ArchiveError::Future);
    }
    let mut conn = db.get()?;
    let id = Uuid::from_bytes(entropy.sixteen()).to_string();
    let mut made = Made { id: id.clone(), entries: 0, documents: 0, skipped: 0, bytes: 0 };
    let header =
        Header { format: file::FORMAT.into(), version: file::VERSION, id: id.clone(), made_ms: now_ms, before_ms };
    let mut writer = Writer::create(path, &header)?;
    let mut moved: Vec<(String, Vec<i64>)> = Vec::new();
    for document in old_documents(&mut conn, before_ms)? {
        // What leaves the journal must stand in the snapshot.
        db.transaction(|conn| fold(conn, &document))?;
        let old = old_entries(&mut conn, &document, before_ms)?;
        let saved = journal::archived_bytes(&mut conn, &BTreeSet::from([document.clone()])).unwrap_or_default();
        if !old.iter().all(|e| saved.get(&e.hash) == Some(&e.bytes)) {
            made.skipped += 1;
            continue;
        }
        for entry in &old {
            made.bytes += u64::try_from(entry.bytes.len()).unwrap_or(0);
            writer.put(&Line::of(entry))?;
        }
        made.entries += u64::try_from(old.len()).unwrap_or(0);
        made.documents += 1;
        moved.push((document, old.iter().map(|e| e.position).collect()));
    }
    writer.finish(path)?;
    let checked = verify(path)?;
    if checked.entries != made.entries {
        return Err(ArchiveError::Broken("it does not hold what was written".into()));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let made_entries = i64::try_from(made.entries).unwrap_or(i64::MAX);
    db.transaction(|conn| -> Result<(), ArchiveError> {
        let row = (
            archives::id.eq(&id),
            archives::name.eq(&name),
            archives::made_ms.eq(now_ms),
            archives::before_ms.eq(before_ms),
            archives::entries.eq(made_entries),
            archives::sha256.eq(&checked.sha256),
        );
        diesel::insert_into(archives::table).values(row).execute(conn)?;
        for (document, _) in &moved {
            diesel::insert_into(archive_documents::table)
                .values((archive_documents::archive.eq(&id), archive_documents::document.eq(document)))
                .execute(conn)?;
        }
        let act = Act::new(&Origin::operator(), "journal.archive", &name).detail(serde_json::json!(made));
        Ok(act.record(conn, now_ms, entropy)?)
    })?;
    for (document, positions) in moved {
        db.transaction(|conn| -> Result<(), ArchiveError> {
            for some in positions.chunks(500) {
                let of = entries::table.filter(entries::document.eq(&document)).filter(entries::position.eq_any(some));
                // What was erased meanwhile is a tombstone by now.
                diesel::update(of.filter(entries::basis.ne(TOMBSTONE)))
                    .set(entries::bytes.eq(Vec::<u8>::new()))
                    .execute(conn)?;
            }
            Ok(())
        })?;
    }
    Ok(made)
}

fn fold(conn: &mut AnyConnection, document: &str) -> Result<(), DbError> {
    let id: DocumentId = document.parse().map_err(|_| DbError::Row(format!("document {document}")))?;
    let Some(row) = journal::document_row(conn, id)? else { return Ok(()) };
    journal::lock(conn, &[row.place()?.community])?;
    journal::fold(conn, id)
}

fn old_documents(conn: &mut AnyConnection, before_ms: i64) -> Result<Vec<String>, DbError> {
    Ok(entries::table
        .filter(entries::received_ms.lt(before_ms))
        .filter(entries::basis.ne(TOMBSTONE))
        .filter(entries::bytes.ne(Vec::<u8>::new()))
        .select(entries::document)
        .distinct()
        .order(entries::document)
        .load(conn)?)
}

fn old_entries(conn: &mut AnyConnection, document: &str, before_ms: i64) -> Result<Vec<Entry>, DbError> {
    Ok(entries::table
        .filter(entries::document.eq(document))
        .filter(entries::received_ms.lt(before_ms))
        .filter(entries::basis.ne(TOMBSTONE))
        .filter(entries::bytes.ne(Vec::<u8>::new()))
        .order(entries::position)
        .load::<Entry>(conn)?)
}

/// Gives the journal back what a file holds and it lacks; gives how many entries.
pub fn give_back(db: &Database, path: &Path, now_ms: i64, entropy: &dyn Entropy) -> Result<u64, ArchiveError> {
    let checked = verify(path)?;
    let mut reader = Reader::open(path)?;
    db.transaction(|conn| -> Result<u64, ArchiveError> {
        let mut back = 0;
        while let Some(line) = reader.line()? {
            let lacking = entries::table
                .filter(entries::document.eq(&line.document))
                .filter(entries::hash.eq(line.hash()?))
                .filter(entries::basis.ne(TOMBSTONE))
                .filter(entries::bytes.eq(Vec::<u8>::new()));
            back += diesel::update(lacking).set(entries::bytes.eq(line.bytes()?)).execute(conn)?;
        }
        let back = u64::try_from(back).unwrap_or(0);
        let act = Act::new(&Origin::operator(), "journal.give_back", &checked.id);
        act.detail(serde_json::json!({ "entries": back })).record(conn, now_ms, entropy)?;
        Ok(back)
    })
}

/// Writes a file anew without the documents that were erased; gives how many entries were struck.
pub fn strike(db: &Database, path: &Path, now_ms: i64, entropy: &dyn Entropy) -> Result<u64, ArchiveError> {
    let checked = verify(path)?;
    let mut conn = db.get()?;
    let erased = erased_in(&mut conn, &checked.id)?;
    let mut reader = Reader::open(path)?;
    let mut writer = Writer::create(path, reader.header())?;
    let (mut struck, mut kept) = (0_u64, 0_i64);
    while let Some(line) = reader.line()? {
        if erased.contains(&line.document) {
            struck += 1;
        } else {
            writer.put(&line)?;
            kept += 1;
        }
    }
    writer.finish(path)?;
    let sha256 = verify(path)?.sha256;
    db.transaction(|conn| -> Result<u64, ArchiveError> {
        let gone = archive_documents::table
            .filter(archive_documents::archive.eq(&checked.id))
            .filter(archive_documents::document.eq_any(&erased));
        diesel::delete(gone).execute(conn)?;
        diesel::update(archives::table.find(&checked.id))
            .set((archives::entries.eq(kept), archives::sha256.eq(sha256)))
            .execute(conn)?;
        let act = Act::new(&Origin::operator(), "journal.strike", &checked.id);
        act.detail(serde_json::json!({ "entries": struck })).record(conn, now_ms, entropy)?;
        Ok(struck)
    })
}

fn erased_in(conn: &mut AnyConnection, archive: &str) -> Result<BTreeSet<String>, DbError> {
    let held: Vec<String> = archive_documents::table
        .filter(archive_documents::archive.eq(archive))
        .select(archive_documents::document)
        .load(conn)?;
    let erased: Vec<String> = erased_documents::table.select(erased_documents::document).load(conn)?;
    let erased: BTreeSet<String> = erased.into_iter().collect();
    Ok(held.into_iter().filter(|d| erased.contains(d)).collect())
}

/// How much of the journal lies where.
pub fn status(conn: &mut AnyConnection) -> Result<Status, DbError> {
    let standing = || entries::table.filter(entries::basis.ne(TOMBSTONE));
    let archived = standing().filter(entries::bytes.eq(Vec::<u8>::new()));
    let whole = standing().filter(entries::bytes.ne(Vec::<u8>::new()));
    let rows: Vec<(String, String, i64, i64, i64, String)> = archives::table.order(archives::made_ms).load(conn)?;
    let mut files = Vec::new();
    for (id, name, made_ms, before_ms, entries, sha256) in rows {
        let to_strike = erased_in(conn, &id)?.into_iter().collect();
        files.push(ArchiveRow { id, name, made_ms, before_ms, entries, sha256, to_strike });
    }
    Ok(Status {
        entries: standing().select(count_star()).first(conn)?,
        archived: archived.select(count_star()).first(conn)?,
        oldest_ms: whole.select(min(entries::received_ms)).first(conn)?,
        archives: files,
    })
}

/// Fills in the bytes of entries that were archived, from the snapshots.
pub(crate) fn fill(conn: &mut AnyConnection, rows: &mut [impl Archived]) -> Result<(), DbError> {
    let lacking: BTreeSet<String> = rows.iter().filter(|r| r.is_archived()).map(|r| r.document().to_owned()).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let saved: BTreeMap<Vec<u8>, Vec<u8>> = journal::archived_bytes(conn, &lacking)?;
    for row in rows.iter_mut().filter(|r| r.is_archived()) {
        let bytes = saved.get(row.hash()).cloned();
        let lost = || {
            let document = row.document();
            DbError::Row(format!(
                "a change of {document} is archived and not in the snapshot: fengqiao journal return FILE"
            ))
        };
        let bytes = bytes.ok_or_else(lost)?;
        row.set_bytes(bytes);
    }
    Ok(())
}

/// A row of the journal whose bytes may lie in an archive.
pub(crate) trait Archived {
    fn document(&self) -> &str;
    fn hash(&self) -> &Vec<u8>;
    fn is_archived(&self) -> bool;
    fn set_bytes(&mut self, bytes: Vec<u8>);
}

macro_rules! archived {
    ($($row:ty),*) => {
        $(impl $crate::archive::Archived for $row {
            fn document(&self) -> &str {
                &self.document
            }

            fn hash(&self) -> &Vec<u8> {
                &self.hash
            }

            fn is_archived(&self) -> bool {
                // An order to forget has no bytes either, and no number.
                self.bytes.is_empty() && self.seq > 0 && self.basis != $crate::erasure::TOMBSTONE
            }

            fn set_bytes(&mut self, bytes: Vec<u8>) {
                self.bytes = bytes;
            }
        })*
    };
}
pub(crate) use archived;
archived!(Entry);
