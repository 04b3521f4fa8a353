//! The rows of attachments: what lies in the vault, and how far what was attached here has come.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{StoreError, meta_json, set_meta_json};
use crate::document::ChangeHash;
use crate::ids::{DocumentId, JournalId};

/// A content that lies here whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its name.
    pub hash: String,
    /// What it is.
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
}

/// Something attached on this phone, or fetched to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// The record that refers to it.
    pub document: DocumentId,
    /// The content.
    pub hash: String,
    /// Its size.
    pub bytes: u64,
    /// Where the server takes it.
    pub location: Option<String>,
    /// How much the server has, as far as is known.
    pub sent: u64,
    /// When the server said that it has all of it, ms UTC.
    pub server_ms: Option<i64>,
    /// Why the server does not want it: code and words.
    pub refused: Option<(String, String)>,
    /// Whether somebody else attached it, and it was fetched.
    pub fetched: bool,
}

const COLUMNS: &str =
    "u.document, u.hash, u.bytes, u.location, u.sent, u.server_ms, u.refused_code, u.refused_detail, u.fetched";

const LOSSES: &str = "content_losses";

/// Of a row of `files`: the server holds it for every record of which it lies here, and said so in the life `?1` of its contents.
const VOUCHED: &str = "?1 IS NOT NULL AND EXISTS (SELECT 1 FROM uploads u WHERE u.hash = files.hash) AND NOT EXISTS \
    (SELECT 1 FROM uploads u WHERE u.hash = files.hash AND (u.server_ms IS NULL OR u.journal IS NOT ?1))";

/// The life of the server's contents that this phone last met: what the server said in another one proves nothing.
pub fn life(conn: &Connection) -> Result<Option<String>, StoreError> {
    let losses: u64 = meta_json(conn, LOSSES)?.unwrap_or(0);
    let life = |j: JournalId| if losses == 0 { j.to_string() } else { format!("{j}#{losses}") };
    Ok(meta_json::<JournalId>(conn, "journal")?.map(life))
}

/// Notes how often the server has found contents lost: from then on everything that lies here is asked about anew.
pub fn note_losses(tx: &Transaction<'_>, losses: u64) -> Result<(), StoreError> {
    if meta_json::<u64>(tx, LOSSES)?.unwrap_or(0) != losses {
        set_meta_json(tx, LOSSES, &losses)?;
    }
    Ok(())
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn upload(r: &Row<'_>) -> rusqlite::Result<UploadRow> {
    let document: String = r.get(0)?;
    let code: Option<String> = r.get(6)?;
    let detail: Option<String> = r.get(7)?;
    Ok(UploadRow {
        document: document.parse().map_err(|_| rusqlite::Error::InvalidQuery)?,
        hash: r.get(1)?,
        bytes: unsigned(r.get(2)?),
        location: r.get(3)?,
        sent: unsigned(r.get(4)?),
        server_ms: r.get(5)?,
        refused: code.map(|c| (c, detail.unwrap_or_default())),
        fetched: r.get(8)?,
    })
}

fn uploads(conn: &Connection, rest: &str, values: impl rusqlite::Params) -> Result<Vec<UploadRow>, StoreError> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM uploads u {rest}"))?;
    let rows = statement.query_map(values, upload)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes a content that lies in the vault.
pub fn keep(tx: &Transaction<'_>, file: &FileRow, now_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO files (hash, media_type, bytes, used_ms) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hash) DO UPDATE SET used_ms = ?4",
    )?
    .execute((&file.hash, &file.media_type, signed(file.bytes), now_ms))?;
    Ok(())
}

/// A content, if it lies here.
pub fn file(conn: &Connection, hash: &str) -> Result<Option<FileRow>, StoreError> {
    let row = conn
        .prepare_cached("SELECT hash, media_type, bytes FROM files WHERE hash = ?1")?
        .query_row([hash], |r| Ok(FileRow { hash: r.get(0)?, media_type: r.get(1)?, bytes: unsigned(r.get(2)?) }));
    Ok(row.optional()?)
}

/// Notes that a content was looked at.
pub fn used(tx: &Transaction<'_>, hash: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE files SET used_ms = ?2 WHERE hash = ?1")?.execute((hash, now_ms))?;
    Ok(())
}

/// Bytes of everything that lies here.
pub fn held(conn: &Connection) -> Result<u64, StoreError> {
    Ok(unsigned(conn.query_row("SELECT coalesce(sum(bytes), 0) FROM files", [], |r| r.get(0))?))
}

fn files(conn: &Connection, rest: &str, values: impl rusqlite::Params) -> Result<Vec<FileRow>, StoreError> {
    let mut statement = conn.prepare_cached(&format!("SELECT hash, media_type, bytes FROM files {rest}"))?;
    let row = |r: &Row<'_>| Ok(FileRow { hash: r.get(0)?, media_type: r.get(1)?, bytes: unsigned(r.get(2)?) });
    let rows = statement.query_map(values, row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What may be freed, that which was not used for the longest time first: the server holds it, for every record of which it lies here.
pub fn freeable(conn: &Connection) -> Result<Vec<FileRow>, StoreError> {
    files(conn, &format!("WHERE {VOUCHED} ORDER BY used_ms, hash"), [life(conn)?])
}

/// Forgets that a content lies here, if it may be freed still; gives whether it did.
pub fn drop_vouched(tx: &Transaction<'_>, hash: &str) -> Result<bool, StoreError> {
    let sql = format!("DELETE FROM files WHERE hash = ?2 AND {VOUCHED}");
    Ok(tx.prepare_cached(&sql)?.execute((life(tx)?, hash))? > 0)
}

/// Contents of which no row says for which record they lie here: an older program fetched them.
pub fn unplaced(conn: &Connection) -> Result<Vec<FileRow>, StoreError> {
    files(conn, "WHERE NOT EXISTS (SELECT 1 FROM uploads u WHERE u.hash = files.hash)", [])
}

/// Forgets that a content lies here.
pub fn drop_file(tx: &Transaction<'_>, hash: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM files WHERE hash = ?1", [hash])?;
    Ok(())
}

/// Notes that something is to be uploaded; what was is left alone.
pub fn queue(tx: &Transaction<'_>, document: DocumentId, hash: &str, bytes: u64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO uploads (document, hash, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (document, hash) DO UPDATE SET fetched = 0",
    )?
    .execute((document.to_string(), hash, signed(bytes)))?;
    Ok(())
}

/// Notes that a content is fetched for a record; with `life` that all of it has come, from a server that was in this life then.
pub fn fetched(
    tx: &Transaction<'_>,
    document: DocumentId,
    file: &FileRow,
    now_ms: i64,
    life: Option<&str>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO uploads (document, hash, bytes, sent, server_ms, journal, fetched) VALUES (?1, ?2, ?3, ?3, ?4, ?5, 1) \
         ON CONFLICT (document, hash) DO UPDATE SET server_ms = coalesce(server_ms, ?4), journal = coalesce(?5, journal)",
    )?
    .execute((document.to_string(), &file.hash, signed(file.bytes), now_ms, life))?;
    Ok(())
}

/// Takes out the rows of a record that is purged: all of them if it was erased by law, else all but what was attached here and has not
/// arrived, which goes on its way. Gives the contents that they name, with whether another row still wants each.
pub fn purge(tx: &Transaction<'_>, document: DocumentId, erased: bool) -> Result<Vec<(String, bool)>, StoreError> {
    let named = of_document(tx, document)?;
    tx.prepare_cached(
        "DELETE FROM uploads WHERE document = ?1 AND (?2 OR fetched = 1 OR (server_ms IS NOT NULL AND journal IS ?3))",
    )?
    .execute((document.to_string(), erased, life(tx)?))?;
    let mut all = Vec::with_capacity(named.len());
    for UploadRow { hash, .. } in named {
        let placed = is_placed(tx, &hash)?;
        all.push((hash, placed));
    }
    Ok(all)
}

/// Whether a row says that a content lies here, or is to be sent, for some record.
pub fn is_placed(conn: &Connection, hash: &str) -> Result<bool, StoreError> {
    let placed = "SELECT EXISTS (SELECT 1 FROM uploads WHERE hash = ?1)";
    Ok(conn.prepare_cached(placed)?.query_row([hash], |r| r.get(0))?)
}

/// Takes out what the server has, of records that are here no more; gives the contents that lay here for nothing else.
pub fn left_behind(tx: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    const GONE: &str = "server_ms IS NOT NULL AND journal IS ?1 \
        AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.id = document) \
        AND NOT EXISTS (SELECT 1 FROM list l WHERE l.document = uploads.document)";
    let life = life(tx)?;
    let hashes: Vec<String> = {
        let mut statement = tx.prepare_cached(&format!("SELECT DISTINCT hash FROM uploads WHERE {GONE}"))?;
        let rows = statement.query_map([&life], |r| r.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    if hashes.is_empty() {
        return Ok(hashes);
    }
    tx.prepare_cached(&format!("DELETE FROM uploads WHERE {GONE}"))?.execute([&life])?;
    let mut loose = Vec::with_capacity(hashes.len());
    for hash in hashes {
        if !is_placed(tx, &hash)? {
            drop_file(tx, &hash)?;
            loose.push(hash);
        }
    }
    Ok(loose)
}

/// What can be sent now, in the order of need: cases before patrols, what is due first, then what was attached first. Text goes before:
/// a record of which something is unsent waits.
pub fn due(conn: &Connection) -> Result<Vec<UploadRow>, StoreError> {
    uploads(
        conn,
        "LEFT JOIN list l ON l.document = u.document JOIN files f ON f.hash = u.hash \
         WHERE u.server_ms IS NULL AND u.refused_code IS NULL \
         AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.document = u.document) \
         ORDER BY coalesce(l.kind, 'case') <> 'case', l.due_ms IS NULL, l.due_ms, u.ordinal",
        [],
    )
}

/// Uploads of a record.
pub fn of_document(conn: &Connection, document: DocumentId) -> Result<Vec<UploadRow>, StoreError> {
    uploads(conn, "WHERE u.document = ?1 ORDER BY u.ordinal", [document.to_string()])
}

/// How the attachments stand that were made on this phone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Still to be sent.
    pub waiting: u64,
    /// What is still to be sent of them, bytes.
    pub waiting_bytes: u64,
    /// Not wanted by the server; each says why.
    pub refused: u64,
}

/// How the attachments stand that were made on this phone.
pub fn counts(conn: &Connection) -> Result<Counts, StoreError> {
    let sql = "SELECT count(*) FILTER (WHERE refused_code IS NULL), \
               coalesce(sum(bytes - sent) FILTER (WHERE refused_code IS NULL), 0), \
               count(*) FILTER (WHERE refused_code IS NOT NULL) FROM uploads WHERE server_ms IS NULL";
    Ok(conn.prepare_cached(sql)?.query_row([], |r| {
        Ok(Counts { waiting: unsigned(r.get(0)?), waiting_bytes: unsigned(r.get(1)?), refused: unsigned(r.get(2)?) })
    })?)
}

/// How many are not on the server yet.
pub fn waiting(conn: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM uploads WHERE server_ms IS NULL AND refused_code IS NULL";
    Ok(unsigned(conn.query_row(sql, [], |r| r.get(0))?))
}

/// What another life of the server vouched for and still lies here: the server is asked again.
pub fn unproved(conn: &Connection) -> Result<Vec<UploadRow>, StoreError> {
    uploads(
        conn,
        "JOIN files f ON f.hash = u.hash WHERE u.server_ms IS NOT NULL AND u.journal IS NOT ?1 ORDER BY u.ordinal",
        [life(conn)?],
    )
}

/// Notes where the server takes an upload, and how much it has.
pub fn stands(tx: &Transaction<'_>, row: &UploadRow) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE uploads SET location = ?3, sent = ?4 WHERE document = ?1 AND hash = ?2")?.execute((
        row.document.to_string(),
        &row.hash,
        &row.location,
        signed(row.sent),
    ))?;
    Ok(())
}

/// Notes that the server has all of it, by its word in the life that it was in when it was asked; with `None` that it has lost it.
pub fn confirmed(
    tx: &Transaction<'_>,
    row: &UploadRow,
    server_ms: Option<i64>,
    life: Option<&str>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE uploads SET server_ms = ?3, journal = ?4, location = NULL, sent = CASE WHEN ?3 IS NULL THEN 0 ELSE bytes END \
         WHERE document = ?1 AND hash = ?2",
    )?
    .execute((row.document.to_string(), &row.hash, server_ms, life))?;
    Ok(())
}

/// Notes that the server does not want it.
pub fn refuse(tx: &Transaction<'_>, row: &UploadRow, code: &str, detail: &str) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE uploads SET refused_code = ?3, refused_detail = ?4, location = NULL WHERE document = ?1 AND hash = ?2",
    )?
    .execute((row.document.to_string(), &row.hash, code, detail))?;
    Ok(())
}

/// Lets what was refused be tried again.
pub fn retry(tx: &Transaction<'_>, document: DocumentId, hash: &str) -> Result<bool, StoreError> {
    let sql =
        "UPDATE uploads SET refused_code = NULL, refused_detail = NULL, sent = 0 WHERE document = ?1 AND hash = ?2";
    Ok(tx.execute(sql, (document.to_string(), hash))? > 0)
}

/// What is to be uploaded that a refused change names, by its record and the bytes of the change.
pub fn named_by_refused(conn: &Connection, change: &ChangeHash) -> Result<Vec<UploadRow>, StoreError> {
    uploads(
        conn,
        "JOIN refused r ON r.document = u.document AND r.hash = ?1 \
         WHERE u.server_ms IS NULL AND u.refused_code IS NULL AND instr(r.bytes, CAST(u.hash AS BLOB)) > 0",
        [change.0],
    )
}

/// Forgets an upload that the server does not want. `None`: it is wanted, or unknown, and stays; else whether its content lay here for
/// nothing else, and is forgotten too.
pub fn discard(tx: &Transaction<'_>, document: DocumentId, hash: &str) -> Result<Option<bool>, StoreError> {
    let sql =
        "DELETE FROM uploads WHERE document = ?1 AND hash = ?2 AND server_ms IS NULL AND refused_code IS NOT NULL";
    if tx.execute(sql, (document.to_string(), hash))? == 0 {
        return Ok(None);
    }
    let alone = "DELETE FROM files WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM uploads WHERE hash = ?1)";
    Ok(Some(tx.execute(alone, [hash])? > 0))
}
