//! Backups: what cannot be recomputed (accounts, devices, keys, the journal, the quarantine) as one compressed file, the same from
//! either database, so that a backup of one restores into the other. A restored server gets a new journal identity: phones that
//! meet it offer again what it may lack.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::ids::Entropy;

use crate::audit::{Act, Origin};
use crate::db::tables::{
    actors, archive_documents, archives, areas, assignments, attachment_proofs, audit, audit_chain, communities,
    device_orders, devices, document_moves, erased_contents, erased_documents, erased_holders, erasures,
    held_documents, journal as journal_table, quarantine, restores, sessions, settings, signing_keys, spent_tokens,
    users,
};
use crate::db::{AnyConnection, Database, DbError};
use crate::objects::proofs;
use crate::projection::Law;
use crate::{archive, journal, rebuild, restore as lives};

const MAGIC: &[u8] = b"fengqiao backup 1\n";
/// The largest record: a change with its row.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
const BATCH: i64 = 1_000;

/// Why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a whole backup; nothing was restored.
    #[error("the file is not a whole backup of this program: {0}")]
    Broken(String),
    /// The database already holds something; a restore never overwrites.
    #[error("the database is not empty; restore into a new one")]
    NotEmpty,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for BackupError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

macro_rules! records {
    ($($variant:ident($table:ident) { $($field:ident: $type:ty),* $(,)? })*) => {
        mod rows {
            use super::*;
            $(
                #[derive(Debug, Clone, Serialize, Deserialize, Queryable, Insertable)]
                #[diesel(table_name = $table)]
                pub struct $variant { $(pub $field: $type,)* }
            )*
        }

        #[derive(Debug, Serialize, Deserialize)]
        enum Record {
            $($variant(rows::$variant),)*
            End(u64),
        }

        fn insert(conn: &mut AnyConnection, record: &Record) -> Result<(), BackupError> {
            match record {
                $(Record::$variant(row) => { diesel::insert_into($table::table).values(row).execute(conn)?; })*
                Record::End(_) => {}
            }
            Ok(())
        }
    };
}

records! {
    Area(areas) { code: String, kind: String, name: String, parent: Option<String>, path: String }
    Community(communities) { code: String, head: i64 }
    User(users) { id: String, login: String, name: String, password_hash: String, active: bool, created_ms: i64 }
    Assignment(assignments) { id: String, user_id: String, role: String, area: String, from_ms: i64, until_ms: Option<i64> }
    Device(devices) { id: String, user_id: String, name: String, public_key: Vec<u8>, registered_ms: i64, revoked_ms: Option<i64>,
        last_seen_ms: Option<i64>, clock_offset_ms: Option<i64>, backlog: Option<i64>, version: Option<String>,
        complete_ms: Option<i64>, doubts: Option<i64>, storage_bytes: Option<i64>,
        storage_free_bytes: Option<i64> }
    Session(sessions) { id: String, user_id: String, device_id: Option<String>, current_hash: Vec<u8>, previous_hash: Option<Vec<u8>>,
        created_ms: i64, expires_ms: i64, revoked_ms: Option<i64> }
    SpentToken(spent_tokens) { hash: Vec<u8>, session_id: String }
    SigningKey(signing_keys) { kid: String, purpose: String, seed: Vec<u8>, created_ms: i64, retired_ms: Option<i64> }
    Archive(archives) { id: String, name: String, made_ms: i64, before_ms: i64, entries: i64, sha256: String }
    InArchive(archive_documents) { archive: String, document: String }
    Setting(settings) { name: String, value: String }
    Actor(actors) { actor: Vec<u8>, device: String, author: String, first_ms: i64 }
    Quarantined(quarantine) { id: String, document: String, hash: Vec<u8>, kind: String, community: String, author: String,
        device: String, code: String, detail: String, preview: String, written_ms: i64, received_ms: i64, bytes: Vec<u8>, state: String,
        witness: Option<String>, decided_by: Option<String>, decided_ms: Option<i64>, reason: Option<String> }
    Entry(journal_table) { community: String, position: i64, document: String, hash: Vec<u8>, actor: Vec<u8>, seq: i64,
        author: String, device: Option<String>, written_ms: i64, earliest_ms: i64, latest_ms: i64, basis: String, received_ms: i64,
        bytes: Vec<u8> }
    Audit(audit) { id: String, seq: Option<i64>, at_ms: i64, actor: String, device: Option<String>, origin: String, action: String,
        object: String, community: Option<String>, reason: String, detail: String, hash: Option<Vec<u8>> }
    AuditEnd(audit_chain) { name: String, seq: i64, hash: Vec<u8> }
    Erasure(erasures) { id: String, kind: String, document: String, part: String, community: String, reason: String,
        asked_by: String, asked_ms: i64, decided_by: Option<String>, decided_ms: Option<i64>, state: String }
    Erased(erased_documents) { document: String, kind: String, community: String, position: i64, erasure: String,
        successor: Option<String>, erased_ms: i64 }
    Holder(erased_holders) { document: String, device: String, told_ms: Option<i64>, confirmed_ms: Option<i64>,
        why: Option<String> }
    ErasedContent(erased_contents) { document: String, trace: Vec<u8>, hash: Option<String> }
    Held(held_documents) { document: String, device: String, given_ms: i64 }
    Move(document_moves) { community: String, position: i64, document: String, from_grid: Option<String>, from_building: Option<String>,
        to_grid: Option<String>, to_building: Option<String>, moved_ms: i64 }
    Order(device_orders) { device: String, kind: String, target: String, id: String, ordered_ms: i64, ordered_by: Option<String>,
        confirmed_ms: Option<i64> }
    Proof(attachment_proofs) { document: String, hash: String, proved_ms: i64 }
    Life(restores) { journal: String, former: String, backup_ms: i64, restored_ms: i64, documents: i64, changes: i64 }
}

struct Writer<W: Write> {
    out: W,
    count: u64,
}

impl<W: Write> Writer<W> {
    fn put(&mut self, record: &Record) -> Result<(), BackupError> {
        let bytes = sync_core::sync::wire::to_cbor(record).map_err(|e| BackupError::Broken(e.to_string()))?;
        let len = u32::try_from(bytes.len()).map_err(|_| BackupError::Broken("a record is too large".into()))?;
        let write = |out: &mut W| -> std::io::Result<()> {
            out.write_all(&len.to_le_bytes())?;
            out.write_all(&bytes)
        };
        write(&mut self.out).map_err(|source| BackupError::File { path: "backup".into(), source })?;
        self.count += 1;
        Ok(())
    }
}

/// Writes a backup beside running servers; gives the number of records.
pub fn backup(db: &Database, path: &Path) -> Result<u64, BackupError> {
    let failed = |source| BackupError::File { path: path.display().to_string(), source };
    let partial = path.with_extension("partial");
    let file = create_private(&partial).map_err(failed)?;
    let mut out = BufWriter::new(file);
    out.write_all(MAGIC).map_err(failed)?;
    let mut encoder = zstd::stream::write::Encoder::new(out, 6).map_err(failed)?;
    encoder.include_checksum(true).map_err(failed)?;
    let mut writer = Writer { out: encoder, count: 0 };
    db.snapshot(|conn| dump(conn, &mut writer))?;
    let count = writer.count;
    writer.put(&Record::End(count))?;
    let out = writer.out.finish().map_err(failed)?;
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&partial, path).map_err(failed)?;
    Ok(count)
}

/// Only the owner may read a backup: keys and password hashes lie in it.
pub(crate) fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

archive::archived!(rows::Entry);

fn dump<W: Write>(conn: &mut AnyConnection, writer: &mut Writer<W>) -> Result<(), BackupError> {
    macro_rules! table {
        ($table:ident, $variant:ident, $order:expr) => {
            for row in $table::table.order($order).load::<rows::$variant>(conn)? {
                writer.put(&Record::$variant(row))?;
            }
        };
    }
    table!(areas, Area, areas::path);
    table!(communities, Community, communities::code);
    table!(users, User, users::id);
    table!(assignments, Assignment, assignments::id);
    table!(devices, Device, devices::id);
    table!(sessions, Session, sessions::id);
    table!(spent_tokens, SpentToken, spent_tokens::hash);
    table!(signing_keys, SigningKey, signing_keys::kid);
    table!(settings, Setting, settings::name);
    table!(actors, Actor, actors::actor);
    table!(quarantine, Quarantined, quarantine::id);
    table!(audit, Audit, audit::id);
    table!(audit_chain, AuditEnd, audit_chain::name);
    table!(erasures, Erasure, erasures::id);
    table!(erased_documents, Erased, erased_documents::document);
    table!(erased_holders, Holder, (erased_holders::document, erased_holders::device));
    table!(erased_contents, ErasedContent, (erased_contents::document, erased_contents::trace));
    table!(held_documents, Held, (held_documents::document, held_documents::device));
    table!(document_moves, Move, (document_moves::community, document_moves::position));
    table!(device_orders, Order, (device_orders::device, device_orders::kind, device_orders::target));
    table!(attachment_proofs, Proof, (attachment_proofs::document, attachment_proofs::hash));
    table!(restores, Life, restores::journal);
    table!(archives, Archive, archives::id);
    table!(archive_documents, InArchive, (archive_documents::archive, archive_documents::document));
    let codes: Vec<String> = communities::table.order(communities::code).select(communities::code).load(conn)?;
    for code in codes {
        let mut position = 0;
        loop {
            let mut batch = journal_table::table
                .filter(journal_table::community.eq(&code))
                .filter(journal_table::position.gt(position))
                .order(journal_table::position)
                .limit(BATCH)
                .load::<rows::Entry>(conn)?;
            let Some(last) = batch.last() else { break };
            position = last.position;
            // A backup is whole: what was archived is in it with its bytes.
            archive::fill(conn, &mut batch)?;
            for row in batch {
                writer.put(&Record::Entry(row))?;
            }
        }
    }
    Ok(())
}

/// Restores a backup into an empty database, all or nothing, and gives the journal a new identity; then recomputes every table,
/// which can be repeated (`fengqiao rebuild`).
pub fn restore(db: &Database, law: &Law, path: &Path, now_ms: i64, entropy: &dyn Entropy) -> Result<u64, BackupError> {
    // Once to its end before anything is done: there its checksum stands, and an altered word would be restored as if it had been so.
    let unsound = |e| BackupError::Broken(format!("it cannot be read to its end: {e}"));
    std::io::copy(&mut open(path)?, &mut std::io::sink()).map_err(unsound)?;
    let mut reader = open(path)?;
    let count = db.transaction(|conn| -> Result<u64, BackupError> {
        let users: i64 = users::table.count().get_result(conn)?;
        let entries: i64 = journal_table::table.count().get_result(conn)?;
        if users + entries > 0 {
            return Err(BackupError::NotEmpty);
        }
        // A server that was started once has made keys of its own.
        diesel::delete(signing_keys::table).execute(conn)?;
        diesel::delete(settings::table).execute(conn)?;
        // The chain goes on where the backup ends; what the empty server wrote down before does not belong to it.
        diesel::delete(audit::table).execute(conn)?;
        diesel::delete(audit_chain::table).execute(conn)?;
        let mut count = 0;
        loop {
            match next(&mut reader)? {
                Record::End(expected) if expected == count => break,
                Record::End(expected) => return Err(BackupError::Broken(format!("{count} of {expected} records"))),
                record => insert(conn, &record)?,
            }
            count += 1;
        }
        // What phones were told to forget follows from rights and places anew, once they have handed in what is missing here.
        diesel::delete(device_orders::table.filter(device_orders::kind.ne("wipe"))).execute(conn)?;
        let former = journal::identity(conn, now_ms, entropy)?;
        let renewed = journal::renew(conn, now_ms, entropy)?;
        lives::note(conn, renewed, former, now_ms)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Act::new(&Origin::operator(), "backup.restore", name).record(conn, now_ms, entropy)?;
        Ok(count)
    })?;
    rebuild::rebuild(db, law, true)?;
    db.transaction(|conn| proofs::restored(conn, now_ms))?;
    Ok(count)
}

/// Opens a backup where its records begin.
fn open(path: &Path) -> Result<impl Read, BackupError> {
    let failed = |source| BackupError::File { path: path.display().to_string(), source };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut magic = vec![0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|_| BackupError::Broken("it is too short".into()))?;
    if magic != MAGIC {
        return Err(BackupError::Broken("it does not begin like one".into()));
    }
    zstd::stream::read::Decoder::new(file).map_err(failed)
}

fn next(reader: &mut impl Read) -> Result<Record, BackupError> {
    let short = |_| BackupError::Broken("it ends in the middle".into());
    let mut len = [0; 4];
    reader.read_exact(&mut len).map_err(short)?;
    let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
    if len > RECORD_BYTES_MAX {
        return Err(BackupError::Broken(format!("a record of {len} bytes")));
    }
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes).map_err(short)?;
    sync_core::sync::wire::from_cbor(&bytes).map_err(|e| BackupError::Broken(e.to_string()))
}
