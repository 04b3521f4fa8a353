//! The journal: every accepted change, gapless per community. The one truth of the server; everything else is a cache of it.

mod snapshots;

use std::collections::BTreeMap;

use diesel::prelude::*;
use sync_core::document::{ChangeHash, RawChange};
use sync_core::ids::{ActorId, AreaCode, DeviceId, DocumentId, Entropy, JournalId, UserId};
use sync_core::time::{TimeBasis, Witness};

use crate::archive;
use crate::db::tables::{communities, documents, journal, settings};
use crate::db::{AnyConnection, DbError, insert_all};

pub use snapshots::{Grown, load, load_all, store};
pub(crate) use snapshots::{archived_bytes, fold, forget, has};

/// One entry, as it is appended and as it is read.
#[derive(Debug, Clone, Queryable, Insertable)]
#[diesel(table_name = journal)]
pub struct Entry {
    /// The community.
    pub community: String,
    /// From 1, gapless.
    pub position: i64,
    /// Which document.
    pub document: String,
    /// Identity of the change.
    pub hash: Vec<u8>,
    /// Under which actor.
    pub actor: Vec<u8>,
    /// Its number among the actor's changes of the document.
    pub seq: i64,
    /// Who signed.
    pub author: String,
    /// On which device; none at a desk.
    pub device: Option<String>,
    /// When its author says, ms UTC.
    pub written_ms: i64,
    /// Not before this.
    pub earliest_ms: i64,
    /// Not after this.
    pub latest_ms: i64,
    /// On what the interval rests.
    pub basis: String,
    /// When it arrived, ms UTC.
    pub received_ms: i64,
    /// The change.
    pub bytes: Vec<u8>,
}

/// A change that is about to be appended.
#[derive(Debug, Clone)]
pub struct Append {
    /// The change.
    pub change: RawChange,
    /// Who signed.
    pub author: UserId,
    /// On which device.
    pub device: Option<DeviceId>,
    /// When its author says, ms UTC.
    pub written_ms: i64,
    /// What the server knows of its time.
    pub witness: Witness,
}

const ENTRIES_AT_ONCE: usize = 500;

pub(crate) fn basis_name(basis: TimeBasis) -> &'static str {
    match basis {
        TimeBasis::Server => "server",
        TimeBasis::Anchored => "anchored",
        TimeBasis::Claimed => "claimed",
        TimeBasis::Local => "local",
    }
}

/// The identity of this journal; made when it is first asked for.
pub fn identity(conn: &mut AnyConnection, now_ms: i64, entropy: &dyn Entropy) -> Result<JournalId, DbError> {
    let known: Option<String> = settings::table.find("journal").select(settings::value).first(conn).optional()?;
    match known {
        Some(id) => id.parse().map_err(|_| DbError::Row("setting journal".into())),
        None => renew(conn, now_ms, entropy),
    }
}

/// Gives the journal a new identity, as after a restore: phones that meet it offer again what it may lack.
pub fn renew(conn: &mut AnyConnection, now_ms: i64, entropy: &dyn Entropy) -> Result<JournalId, DbError> {
    let id = JournalId::from_parts(now_ms, entropy.ten());
    diesel::delete(settings::table.find("journal")).execute(conn)?;
    diesel::insert_into(settings::table)
        .values((settings::name.eq("journal"), settings::value.eq(id.to_string())))
        .execute(conn)?;
    Ok(id)
}

/// Locks communities for the rest of the transaction, in one order for everybody, before anything of them is read.
pub fn lock(conn: &mut AnyConnection, codes: &[AreaCode]) -> Result<Vec<AreaCode>, DbError> {
    let mut sorted: Vec<_> = codes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut known = Vec::new();
    for code in sorted {
        let row = communities::table.find(code.as_str());
        // An update that changes nothing takes the row's lock on PostgreSQL; on SQLite the transaction has it already.
        if diesel::update(row).set(communities::head.eq(communities::head)).execute(conn)? > 0 {
            known.push(code);
        }
    }
    Ok(known)
}

/// The last position of a community.
pub fn head(conn: &mut AnyConnection, community: &AreaCode) -> Result<Option<i64>, DbError> {
    Ok(communities::table.find(community.as_str()).select(communities::head).first(conn).optional()?)
}

/// Appends changes of one document; gives the position of each. The caller holds the community's lock.
pub fn append(
    conn: &mut AnyConnection,
    community: &AreaCode,
    document: DocumentId,
    changes: &[Append],
) -> Result<Vec<i64>, DbError> {
    let n = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    let last = diesel::update(communities::table.find(community.as_str()))
        .set(communities::head.eq(communities::head + n))
        .returning(communities::head)
        .get_result::<i64>(conn)
        .optional()?
        .ok_or_else(|| DbError::Row(format!("community {community}")))?;
    let entry = |(change, position): (&Append, i64)| Entry {
        community: community.to_string(),
        position,
        document: document.to_string(),
        hash: change.change.hash.0.to_vec(),
        actor: change.change.actor.0.to_vec(),
        seq: i64::try_from(change.change.seq).unwrap_or(i64::MAX),
        author: change.author.to_string(),
        device: change.device.map(|d| d.to_string()),
        written_ms: change.written_ms,
        earliest_ms: change.witness.earliest_ms,
        latest_ms: change.witness.latest_ms,
        basis: basis_name(change.witness.basis).to_owned(),
        received_ms: change.witness.received_ms,
        bytes: change.change.bytes.clone(),
    };
    let entries: Vec<Entry> = changes.iter().zip(last - n + 1..).map(entry).collect();
    // So many at once that one statement's values stay within what both databases take.
    for some in entries.chunks(ENTRIES_AT_ONCE) {
        insert_all!(conn, journal::table, some);
    }
    Ok(entries.iter().map(|e| e.position).collect())
}

fn hash_of(bytes: &[u8]) -> Option<ChangeHash> {
    <[u8; 32]>::try_from(bytes).ok().map(ChangeHash)
}

/// Where an entry stands and what it is of, without what it says.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = journal)]
pub struct Key {
    /// Where in the community's journal.
    pub position: i64,
    /// Which document.
    pub document: String,
    /// Identity of the change.
    pub hash: Vec<u8>,
}

/// The entries of a community behind a position, without their bytes: most of what a phone passes over is not for it.
pub fn keys_after(conn: &mut AnyConnection, community: &AreaCode, after: i64, limit: i64) -> Result<Vec<Key>, DbError> {
    Ok(journal::table
        .filter(journal::community.eq(community.as_str()))
        .filter(journal::position.gt(after))
        .order(journal::position)
        .limit(limit)
        .select(Key::as_select())
        .load(conn)?)
}

/// A change as it is handed out.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = journal)]
pub struct Handed {
    /// Where in the community's journal.
    pub position: i64,
    /// Which document.
    pub document: String,
    /// Identity of the change.
    pub hash: Vec<u8>,
    /// Its number among the actor's changes of the document.
    pub seq: i64,
    /// On what its time rests.
    pub basis: String,
    /// The change.
    pub bytes: Vec<u8>,
}
archive::archived!(Handed);

/// The changes at some positions of a community, by position.
pub fn handed_at(
    conn: &mut AnyConnection,
    community: &AreaCode,
    positions: &[i64],
) -> Result<BTreeMap<i64, Vec<u8>>, DbError> {
    if positions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut found = journal::table
        .filter(journal::community.eq(community.as_str()))
        .filter(journal::position.eq_any(positions))
        .select(Handed::as_select())
        .load(conn)?;
    archive::fill(conn, &mut found)?;
    Ok(found.into_iter().map(|h| (h.position, h.bytes)).collect())
}

/// All entries of one document.
pub fn of_document(conn: &mut AnyConnection, document: DocumentId) -> Result<Vec<Entry>, DbError> {
    let mut entries = journal::table
        .filter(journal::document.eq(document.to_string()))
        .order(journal::position)
        .load::<Entry>(conn)?;
    archive::fill(conn, &mut entries)?;
    Ok(entries)
}

/// An entry without its bytes.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = journal)]
pub struct Line {
    /// Where in the community's journal.
    pub position: i64,
    /// Identity of the change.
    pub hash: Vec<u8>,
    /// Who signed.
    pub author: String,
    /// On which device; none at a desk.
    pub device: Option<String>,
    /// When its author says, ms UTC.
    pub written_ms: i64,
    /// Not before this.
    pub earliest_ms: i64,
    /// Not after this.
    pub latest_ms: i64,
    /// On what the interval rests.
    pub basis: String,
    /// When it arrived, ms UTC.
    pub received_ms: i64,
}

impl Line {
    /// The identity of the change.
    pub fn change_hash(&self) -> Option<ChangeHash> {
        hash_of(&self.hash)
    }
}

impl Key {
    /// The identity of the change.
    pub fn change_hash(&self) -> Option<ChangeHash> {
        hash_of(&self.hash)
    }
}

/// The journal's lines of one document, in order.
pub fn lines(conn: &mut AnyConnection, document: DocumentId) -> Result<Vec<Line>, DbError> {
    let rows = journal::table.filter(journal::document.eq(document.to_string())).order(journal::position);
    Ok(rows.select(Line::as_select()).load(conn)?)
}

/// All changes of several documents, by document, each in order.
pub fn of_documents(conn: &mut AnyConnection, ids: &[String]) -> Result<BTreeMap<String, Vec<Handed>>, DbError> {
    let mut found = journal::table
        .filter(journal::document.eq_any(ids))
        .order((journal::document, journal::position))
        .select(Handed::as_select())
        .load(conn)?;
    archive::fill(conn, &mut found)?;
    let mut by_document: BTreeMap<String, Vec<Handed>> = BTreeMap::new();
    for change in found {
        by_document.entry(change.document.clone()).or_default().push(change);
    }
    Ok(by_document)
}

/// A document's row without its content.
#[derive(Debug, Clone, Queryable)]
pub struct DocumentRow {
    /// Its id.
    pub id: String,
    /// Its community.
    pub community: String,
    /// Its kind.
    pub kind: String,
    /// Its grid.
    pub grid: Option<String>,
    /// Its building.
    pub building: Option<String>,
    /// Who created it.
    pub created_by: String,
    /// Its last position.
    pub position: i64,
}

impl DocumentRow {
    /// Where it lies, as far as rights are concerned.
    pub fn place(&self) -> Result<sync_core::authority::Place, DbError> {
        let row = || DbError::Row(format!("document {}", self.id));
        let area = |code: &Option<String>| code.as_ref().and_then(|c| AreaCode::new(c.clone()).ok());
        Ok(sync_core::authority::Place {
            document: self.id.parse().map_err(|_| row())?,
            kind: sync_core::shape::DocumentKind::parse(&self.kind).ok_or_else(row)?,
            community: AreaCode::new(self.community.clone()).map_err(|_| row())?,
            grid: area(&self.grid),
            building: area(&self.building),
            created_by: self.created_by.parse().map_err(|_| row())?,
        })
    }
}

type Columns = (
    documents::id,
    documents::community,
    documents::kind,
    documents::grid,
    documents::building,
    documents::created_by,
    documents::position,
);

const COLUMNS: Columns = (
    documents::id,
    documents::community,
    documents::kind,
    documents::grid,
    documents::building,
    documents::created_by,
    documents::position,
);

/// The row of a document.
pub fn document_row(conn: &mut AnyConnection, id: DocumentId) -> Result<Option<DocumentRow>, DbError> {
    Ok(documents::table.find(id.to_string()).select(COLUMNS).first(conn).optional()?)
}

/// The rows of documents.
pub fn document_rows(conn: &mut AnyConnection, ids: &[String]) -> Result<BTreeMap<String, DocumentRow>, DbError> {
    // Most syncs ask for none.
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = documents::table.filter(documents::id.eq_any(ids)).select(COLUMNS).load::<DocumentRow>(conn)?;
    Ok(rows.into_iter().map(|r| (r.id.clone(), r)).collect())
}

/// Documents of a community behind an id, by id.
pub fn documents_after(
    conn: &mut AnyConnection,
    community: &AreaCode,
    after: DocumentId,
    limit: i64,
) -> Result<Vec<DocumentRow>, DbError> {
    Ok(documents::table
        .filter(documents::community.eq(community.as_str()))
        .filter(documents::id.gt(after.to_string()))
        .order(documents::id)
        .limit(limit)
        .select(COLUMNS)
        .load::<DocumentRow>(conn)?)
}

impl Entry {
    /// The identity of the change.
    pub fn change_hash(&self) -> Option<ChangeHash> {
        hash_of(&self.hash)
    }

    /// The actor.
    pub fn actor_id(&self) -> Option<ActorId> {
        <[u8; 16]>::try_from(self.actor.as_slice()).ok().map(ActorId)
    }
}
