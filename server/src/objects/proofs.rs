//! For which records somebody has handed in all bytes of a content. Its name stands in every record that refers to it and is no secret:
//! who writes a name into a record of his own reads nothing through it before the bytes came for that record too. Beside the row a mark
//! lies in the store, so that a server that was restored from an older backup knows what was proven after it.

use bytes::Bytes;
use diesel::prelude::*;
use sync_core::authority::Subject;
use sync_core::ids::{DocumentId, UserId};

use super::refs::{self, Standing};
use super::{ObjectsError, transact};
use crate::app::App;
use crate::db::tables::{attachment_proofs, attachment_refs, settings};
use crate::db::{AnyConnection, DbError};

/// The setting of a database whose backups hold proofs.
const KEPT: &str = "attachment_proofs";
/// Records of one content that are looked at to find one that the asker may read.
const LOOKED_AT: i64 = 100;

/// The folder of the marks of a content.
pub(super) fn folder(hash: &str) -> String {
    format!("proofs/{hash}")
}

fn key(document: DocumentId, hash: &str) -> String {
    format!("proofs/{hash}/{document}")
}

/// Whether a content was handed in for a record.
pub fn is_proven(conn: &mut AnyConnection, document: DocumentId, hash: &str) -> Result<bool, DbError> {
    let rows: i64 = attachment_proofs::table.find((document.to_string(), hash)).count().get_result(conn)?;
    Ok(rows > 0)
}

/// The contents of a record that were handed in for it.
pub fn of_document(conn: &mut AnyConnection, document: DocumentId) -> Result<Vec<String>, DbError> {
    let rows = attachment_proofs::table.filter(attachment_proofs::document.eq(document.to_string()));
    Ok(rows.order(attachment_proofs::hash).select(attachment_proofs::hash).load(conn)?)
}

/// Notes that a content was handed in for a record.
pub(crate) fn note(conn: &mut AnyConnection, document: DocumentId, hash: &str, now_ms: i64) -> Result<(), DbError> {
    if is_proven(conn, document, hash)? {
        return Ok(());
    }
    diesel::insert_into(attachment_proofs::table)
        .values((
            attachment_proofs::document.eq(document.to_string()),
            attachment_proofs::hash.eq(hash),
            attachment_proofs::proved_ms.eq(now_ms),
        ))
        .execute(conn)?;
    Ok(())
}

/// Forgets what was handed in for a content that is no more.
pub(crate) fn forget(conn: &mut AnyConnection, hash: &str) -> Result<(), DbError> {
    diesel::delete(attachment_proofs::table.filter(attachment_proofs::hash.eq(hash))).execute(conn)?;
    Ok(())
}

/// Whether somebody may read a content already, through whatever record: then he could hand it in, and need not.
pub fn reads_elsewhere(
    conn: &mut AnyConnection,
    (subject, user): (&Subject, UserId),
    hash: &str,
) -> Result<bool, DbError> {
    let proven = attachment_proofs::table.filter(attachment_proofs::hash.eq(hash)).limit(LOOKED_AT);
    for document in proven.select(attachment_proofs::document).load::<String>(conn)? {
        let document = document.parse().map_err(|_| DbError::Row(format!("proof of `{document}`")))?;
        if refs::standing(conn, subject, user, document, hash)? == Standing::Reader {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lays the mark of a proof beside the contents. It comes before the row, so that no row is without one.
pub(crate) async fn mark(app: &App, document: DocumentId, hash: &str) -> Result<(), ObjectsError> {
    app.objects.put(&key(document, hash), Bytes::new()).await
}

/// Takes a mark away again.
pub(crate) async fn unmark(app: &App, document: DocumentId, hash: &str) -> Result<(), ObjectsError> {
    app.objects.delete(&key(document, hash)).await
}

/// Whether a content was handed in for a record, also before a restore from a backup that does not know it.
pub async fn find(app: &App, document: DocumentId, hash: &str) -> Result<bool, ObjectsError> {
    let name = hash.to_owned();
    if transact(&app.db, move |conn| is_proven(conn, document, &name).map_err(ObjectsError::from)).await? {
        return Ok(true);
    }
    if app.objects.size(&key(document, hash)).await?.is_none() {
        return Ok(false);
    }
    let (name, now_ms) = (hash.to_owned(), app.now_ms());
    transact(&app.db, move |conn| note(conn, document, &name, now_ms).map_err(ObjectsError::from)).await?;
    Ok(true)
}

/// After a restore: a backup of an older program holds no proofs, and what was entered then cannot be told apart any more.
pub(crate) fn restored(conn: &mut AnyConnection, now_ms: i64) -> Result<(), DbError> {
    let kept: i64 = settings::table.find(KEPT).count().get_result(conn)?;
    if kept > 0 {
        return Ok(());
    }
    let all: Vec<(String, String)> =
        attachment_refs::table.select((attachment_refs::document, attachment_refs::hash)).load(conn)?;
    for (document, hash) in all {
        let document = document.parse().map_err(|_| DbError::Row(format!("attachment of `{document}`")))?;
        note(conn, document, &hash, now_ms)?;
    }
    diesel::insert_into(settings::table).values((settings::name.eq(KEPT), settings::value.eq("1"))).execute(conn)?;
    Ok(())
}
