//! The rows of uploads and contents. A row moves on only from the state that its mover has seen.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use sync_core::attachments::MediaType;
use sync_core::ids::DocumentId;

use crate::db::tables::{attachment_proofs, attachment_refs, objects, upload_parts, uploads};
use crate::db::{AnyConnection, DbError};
use crate::objects::lost;

/// What can be the state of an upload.
pub struct State;

impl State {
    /// Bytes are taken.
    pub const OPEN: &'static str = "open";
    /// The content is here.
    pub const DONE: &'static str = "done";
    /// The content was here before anything was sent.
    pub const HERE: &'static str = "here";
    /// Given up, refused or expired.
    pub const GONE: &'static str = "gone";
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = uploads)]
pub struct Upload {
    /// Its id.
    pub id: String,
    /// The content's name.
    pub hash: String,
    /// The document that refers to it.
    pub document: String,
    /// Who uploads.
    pub user_id: String,
    /// On which phone.
    pub device: Option<String>,
    /// The content's size, bytes.
    pub length: i64,
    /// How much has arrived, bytes.
    pub received: i64,
    /// See [`State`].
    pub state: String,
    /// When it began, ms UTC.
    pub created_ms: i64,
    /// When it ends if it does not go on, ms UTC.
    pub expires_ms: i64,
}

/// A content.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = objects)]
pub struct Stored {
    /// Its name.
    pub hash: String,
    /// Its key in the store.
    pub object: String,
    /// Its size, bytes.
    pub bytes: i64,
    /// What it is, by its contents.
    pub media_type: String,
    /// Since when it is here, ms UTC.
    pub stored_ms: i64,
    /// Since when nobody refers to it, as far as is known.
    pub candidate_ms: Option<i64>,
}

/// The row of a content.
pub fn stored(hash: &str, key: &str, bytes: i64, media_type: MediaType, now_ms: i64) -> Stored {
    Stored {
        hash: hash.to_owned(),
        object: key.to_owned(),
        bytes,
        media_type: media_type.as_str().to_owned(),
        stored_ms: now_ms,
        candidate_ms: None,
    }
}

/// The content of this name, if it is here.
pub fn is_stored(conn: &mut AnyConnection, hash: &str) -> Result<Option<Stored>, DbError> {
    Ok(objects::table.find(hash).first(conn).optional()?)
}

/// Which contents of a document are here and can be read through it.
pub fn readable_in(conn: &mut AnyConnection, document: DocumentId) -> Result<BTreeSet<String>, DbError> {
    let proven = attachment_proofs::table.filter(attachment_proofs::document.eq(document.to_string()));
    let rows = objects::table.filter(objects::hash.eq_any(proven.select(attachment_proofs::hash)));
    Ok(rows.select(objects::hash).load::<String>(conn)?.into_iter().collect())
}

/// Whether a content is here; whoever is told so relies on it, so that it is no candidate for deletion any more.
pub(crate) fn touch(conn: &mut AnyConnection, hash: &str) -> Result<bool, DbError> {
    let unwanted = None::<i64>;
    Ok(diesel::update(objects::table.find(hash)).set(objects::candidate_ms.eq(unwanted)).execute(conn)? > 0)
}

/// Enters a content; false if it is here already.
pub(crate) fn store(conn: &mut AnyConnection, row: &Stored) -> Result<bool, DbError> {
    if touch(conn, &row.hash)? {
        return Ok(false);
    }
    lost::found(conn, &row.hash)?;
    diesel::insert_into(objects::table).values(row).execute(conn)?;
    Ok(true)
}

pub(super) fn insert(conn: &mut AnyConnection, upload: &Upload) -> Result<(), DbError> {
    diesel::insert_into(uploads::table).values(upload).execute(conn)?;
    Ok(())
}

pub(super) fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Upload>, DbError> {
    Ok(uploads::table.find(id).first(conn).optional()?)
}

/// An upload of the same content by the same person from the same phone that can go on.
pub(super) fn resumable(conn: &mut AnyConnection, like: &Upload, now_ms: i64) -> Result<Option<Upload>, DbError> {
    let open: Vec<Upload> = uploads::table
        .filter(uploads::hash.eq(&like.hash))
        .filter(uploads::document.eq(&like.document))
        .filter(uploads::user_id.eq(&like.user_id))
        .filter(uploads::state.eq(State::OPEN))
        .filter(uploads::length.eq(like.length))
        .filter(uploads::expires_ms.gt(now_ms))
        .order(uploads::received.desc())
        .load(conn)?;
    Ok(open.into_iter().find(|u| u.device == like.device))
}

pub(super) fn open_of(conn: &mut AnyConnection, user: &str, now_ms: i64) -> Result<i64, DbError> {
    Ok(uploads::table
        .filter(uploads::user_id.eq(user))
        .filter(uploads::state.eq(State::OPEN))
        .filter(uploads::expires_ms.gt(now_ms))
        .count()
        .get_result(conn)?)
}

fn total(values: Vec<i64>) -> u64 {
    values.into_iter().fold(0, |sum: u64, v| sum.saturating_add(u64::try_from(v).unwrap_or_default()))
}

/// What the contents that were handed in for a document hold, with what is on its way.
pub(super) fn held_by_document(conn: &mut AnyConnection, document: &str, now_ms: i64) -> Result<u64, DbError> {
    let here: Vec<i64> = attachment_proofs::table
        .inner_join(objects::table.on(objects::hash.eq(attachment_proofs::hash)))
        .filter(attachment_proofs::document.eq(document))
        .select(objects::bytes)
        .load(conn)?;
    let coming: Vec<i64> = uploads::table
        .filter(uploads::document.eq(document))
        .filter(uploads::state.eq(State::OPEN))
        .filter(uploads::expires_ms.gt(now_ms))
        .select(uploads::length)
        .load(conn)?;
    Ok(total(here).saturating_add(total(coming)))
}

/// What a person has sent or announced since then; what was given up counts as far as it was sent.
pub(super) fn sent_by(conn: &mut AnyConnection, user: &str, since_ms: i64) -> Result<u64, DbError> {
    let since = uploads::table.filter(uploads::user_id.eq(user)).filter(uploads::created_ms.gt(since_ms));
    let rows: Vec<(String, i64, i64)> =
        since.select((uploads::state, uploads::length, uploads::received)).load(conn)?;
    let counts = |(state, length, sent): (String, i64, i64)| match state.as_str() {
        State::HERE => 0,
        State::GONE => sent,
        _ => length,
    };
    Ok(total(rows.into_iter().map(counts).collect()))
}

/// How many uploads are under way, and how many bytes they have announced.
pub(crate) fn under_way(conn: &mut AnyConnection, now_ms: i64) -> Result<(u64, u64), DbError> {
    let open = uploads::table.filter(uploads::state.eq(State::OPEN)).filter(uploads::expires_ms.gt(now_ms));
    let lengths: Vec<i64> = open.select(uploads::length).load(conn)?;
    Ok((u64::try_from(lengths.len()).unwrap_or(u64::MAX), total(lengths)))
}

/// How many contents documents refer to, and how many of these are not here.
pub(crate) fn referred_to(conn: &mut AnyConnection) -> Result<(u64, u64), DbError> {
    let all: Vec<String> = attachment_refs::table.select(attachment_refs::hash).distinct().load(conn)?;
    let here: Vec<String> = objects::table.select(objects::hash).load(conn)?;
    let here: std::collections::HashSet<String> = here.into_iter().collect();
    let missing = all.iter().filter(|hash| !here.contains(*hash)).count();
    Ok((u64::try_from(all.len()).unwrap_or(u64::MAX), u64::try_from(missing).unwrap_or(u64::MAX)))
}

/// How many contents people have entered into records whose bytes have not arrived, by account.
pub(crate) fn missing_by_user(conn: &mut AnyConnection) -> Result<Vec<(String, i64)>, DbError> {
    let here = objects::table.select(objects::hash);
    let missing = attachment_refs::table.filter(attachment_refs::hash.ne_all(here)).group_by(attachment_refs::by_user);
    Ok(missing.select((attachment_refs::by_user, diesel::dsl::count_star())).load(conn)?)
}

/// What all contents hold, with what is on its way.
pub(super) fn held_in_all(conn: &mut AnyConnection, now_ms: i64) -> Result<u64, DbError> {
    let (_, here) = contents(conn)?;
    Ok(here.saturating_add(under_way(conn, now_ms)?.1))
}

/// How many contents there are, and how many bytes they hold.
pub(crate) fn contents(conn: &mut AnyConnection) -> Result<(u64, u64), DbError> {
    let count: i64 = objects::table.count().get_result(conn)?;
    // A sum of 64-bit numbers is a decimal on PostgreSQL.
    let sum = diesel::dsl::sql::<Nullable<BigInt>>("CAST(SUM(bytes) AS BIGINT)");
    let bytes: Option<i64> = objects::table.select(sum).first(conn)?;
    Ok((u64::try_from(count).unwrap_or_default(), u64::try_from(bytes.unwrap_or_default()).unwrap_or_default()))
}

/// Moves an upload on, if it still stands where its mover saw it.
pub(super) fn advance(
    conn: &mut AnyConnection,
    id: &str,
    at: i64,
    bytes: i64,
    object: &str,
    expires_ms: i64,
) -> Result<bool, DbError> {
    let standing = uploads::table
        .filter(uploads::id.eq(id))
        .filter(uploads::received.eq(at))
        .filter(uploads::state.eq(State::OPEN));
    let moved = diesel::update(standing)
        .set((uploads::received.eq(at + bytes), uploads::expires_ms.eq(expires_ms)))
        .execute(conn)?;
    if moved == 0 {
        return Ok(false);
    }
    diesel::insert_into(upload_parts::table)
        .values((
            upload_parts::upload.eq(id),
            upload_parts::start_byte.eq(at),
            upload_parts::bytes.eq(bytes),
            upload_parts::object.eq(object),
        ))
        .execute(conn)?;
    Ok(true)
}

/// The keys of what has arrived, in order.
pub(super) fn parts(conn: &mut AnyConnection, id: &str) -> Result<Vec<String>, DbError> {
    Ok(upload_parts::table
        .filter(upload_parts::upload.eq(id))
        .order(upload_parts::start_byte)
        .select(upload_parts::object)
        .load(conn)?)
}

/// Ends an upload that is open; gives how many that were.
pub(crate) fn end(conn: &mut AnyConnection, id: &str, state: &str) -> Result<usize, DbError> {
    let ended = diesel::update(uploads::table.filter(uploads::id.eq(id)).filter(uploads::state.eq(State::OPEN)))
        .set(uploads::state.eq(state))
        .execute(conn)?;
    diesel::delete(upload_parts::table.filter(upload_parts::upload.eq(id))).execute(conn)?;
    Ok(ended)
}
