//! Contents that were here and are gone. Whoever is told so forgets the row, and phones are asked for what they hold: not only those that
//! took a photo, and not content by content, but all of them once about everything that lies on them.

use diesel::prelude::*;

use super::uploads::Stored;
use super::{ObjectsError, transact};
use crate::app::App;
use crate::db::tables::{attachment_refs, lost_contents, objects, settings};
use crate::db::{AnyConnection, DbError};

/// How often phones were asked, and when last.
const ASKED: &str = "content_losses";
const ASKED_MS: &str = "content_losses_ms";
/// After a disk was lost every content is found missing when it is read. Phones are not asked for each of them.
const ASK_EVERY_MS: i64 = 3_600_000;

fn number(conn: &mut AnyConnection, name: &str) -> Result<i64, DbError> {
    let value: Option<String> = settings::table.find(name).select(settings::value).first(conn).optional()?;
    Ok(value.and_then(|v| v.parse().ok()).unwrap_or_default())
}

fn set(conn: &mut AnyConnection, name: &str, n: i64) -> Result<(), DbError> {
    let value = n.to_string();
    if diesel::update(settings::table.find(name)).set(settings::value.eq(&value)).execute(conn)? == 0 {
        let row = (settings::name.eq(name), settings::value.eq(&value));
        diesel::insert_into(settings::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// How often contents were found lost and phones asked. A phone that knows another number asks about all that lie on it.
pub fn losses(conn: &mut AnyConnection) -> Result<u64, DbError> {
    Ok(u64::try_from(number(conn, ASKED)?).unwrap_or_default())
}

/// Takes a content out of which nothing is left in the store, and notes that it is lost.
pub(crate) fn note(conn: &mut AnyConnection, row: &Stored, now_ms: i64) -> Result<bool, DbError> {
    let gone = objects::table.filter(objects::hash.eq(&row.hash)).filter(objects::object.eq(&row.object));
    // Stored anew meanwhile, it has another key.
    if diesel::delete(gone).execute(conn)? == 0 {
        return Ok(false);
    }
    found(conn, &row.hash)?;
    diesel::insert_into(lost_contents::table)
        .values((lost_contents::hash.eq(&row.hash), lost_contents::found_ms.eq(now_ms), lost_contents::asked.eq(false)))
        .execute(conn)?;
    Ok(true)
}

/// Notes that a content is here again.
pub(crate) fn found(conn: &mut AnyConnection, hash: &str) -> Result<(), DbError> {
    diesel::delete(lost_contents::table.find(hash)).execute(conn)?;
    Ok(())
}

/// Asks phones with their next syncs, if something was lost of which they were not asked yet.
pub(crate) fn ask(conn: &mut AnyConnection, now_ms: i64) -> Result<bool, DbError> {
    let open = lost_contents::table.filter(lost_contents::asked.eq(false));
    if diesel::update(open).set(lost_contents::asked.eq(true)).execute(conn)? == 0 {
        return Ok(false);
    }
    let next = number(conn, ASKED)?.saturating_add(1);
    set(conn, ASKED, next)?;
    set(conn, ASKED_MS, now_ms)?;
    Ok(true)
}

/// A content was to be read and is not in the store: it is taken out, so that nobody relies on it, and asked for.
pub async fn lose(app: &App, row: &Stored) -> Result<(), ObjectsError> {
    let (row, now_ms) = (row.clone(), app.now_ms());
    transact(&app.db, move |conn| {
        if note(conn, &row, now_ms)? {
            tracing::error!(hash = row.hash, "a content is lost; phones that hold it are asked for it");
            if now_ms.saturating_sub(number(conn, ASKED_MS)?) >= ASK_EVERY_MS {
                ask(conn, now_ms)?;
            }
        }
        Ok::<_, ObjectsError>(())
    })
    .await
}

/// How many contents that documents name were here and are lost.
pub(crate) fn count(conn: &mut AnyConnection) -> Result<i64, DbError> {
    let named = attachment_refs::table.select(attachment_refs::hash);
    Ok(lost_contents::table.filter(lost_contents::hash.eq_any(named)).count().get_result(conn)?)
}
