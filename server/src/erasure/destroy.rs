//! Destroying a document: its entries in the journal become tombstones at their positions, so that no cursor skips, and every other
//! table forgets it. A last tombstone behind them is the order to phones.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use sync_core::document::{ChangeHash, RawChange};
use sync_core::erase::{self, Part};
use sync_core::ids::{ActorId, AreaCode, DocumentId, UserId};
use sync_core::sync::server::desk_actor;
use sync_core::time::Witness;

use super::{Erased, Erasure, ErasureError, contents, holders};
use crate::db::tables::{
    attachment_proofs, attachment_refs, cases, document_moves, erased_documents, hazards, journal as journal_table,
    notifications, obligations, patrols, quarantine,
};
use crate::db::{AnyConnection, Database, DbError};
use crate::journal::{self, Append};
use crate::masking::NumberKey;
use crate::merge::{self, Context};
use crate::objects::proofs;
use crate::projection;

/// The basis of an entry that was destroyed.
pub(crate) const TOMBSTONE: &str = "erased";

/// What stands for the identity of a destroyed change: enough to know it again, not enough to guess what it said.
pub(super) fn trace(key: &NumberKey, hash: &[u8]) -> Vec<u8> {
    key.mac_bytes("erased-change", hash).to_vec()
}

pub(super) fn destroy(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    erasure: &Erasure,
    part: Option<&Part>,
) -> Result<Option<DocumentId>, ErasureError> {
    let id: DocumentId = erasure.document.parse().map_err(|_| ErasureError::NotFound("document"))?;
    let community = AreaCode::new(erasure.community.clone()).map_err(|_| ErasureError::NotFound("community"))?;
    journal::lock(conn, std::slice::from_ref(&community))?;
    let document = journal::load(conn, id)?.ok_or(ErasureError::NotFound("document"))?;
    let key = NumberKey::load(conn, context.now_ms, context.entropy)?;
    let entries = journal::of_document(conn, id)?;
    holders::note(conn, id, &erasure.community, &entries)?;
    let named = contents::named(conn, &document)?;
    let successor = match part {
        Some(part) => {
            let new = DocumentId::from_parts(context.now_ms, context.entropy.ten());
            let actor = desk_actor(context.journal, UserId::SYSTEM);
            let made = erase::without(&document, part, new, actor, context.now_ms)
                .map_err(|e| ErasureError::Remake(e.to_string()))?;
            merge::adopt(conn, context, &made)?;
            for hash in proofs::of_document(conn, id)?.iter().filter(|h| made.attachments().contains_key(*h)) {
                proofs::note(conn, new, hash, context.now_ms)?;
            }
            Some(new)
        }
        None => None,
    };
    // The order: phones behind this position are told to forget.
    let order = RawChange { hash: ChangeHash(random(context)), actor: ActorId([0; 16]), seq: 0, bytes: Vec::new() };
    let append = Append {
        change: order,
        author: UserId::SYSTEM,
        device: None,
        written_ms: context.now_ms,
        witness: Witness::server(context.now_ms),
    };
    let position = journal::append(conn, &community, id, &[append])?.pop().unwrap_or_default();
    for entry in journal::of_document(conn, id)? {
        let row = journal_table::table.find((&entry.community, entry.position));
        diesel::update(row)
            .set((
                journal_table::hash.eq(trace(&key, &entry.hash)),
                journal_table::actor.eq(vec![0; 16]),
                journal_table::seq.eq(entry.position),
                journal_table::author.eq(UserId::SYSTEM.to_string()),
                journal_table::device.eq(None::<String>),
                journal_table::written_ms.eq(entry.received_ms),
                journal_table::earliest_ms.eq(entry.received_ms),
                journal_table::latest_ms.eq(entry.received_ms),
                journal_table::basis.eq(TOMBSTONE),
                journal_table::bytes.eq(Vec::<u8>::new()),
            ))
            .execute(conn)?;
    }
    forget(conn, &erasure.document, &key)?;
    contents::forget(conn, context, id, &named)?;
    let erased = Erased {
        document: erasure.document.clone(),
        kind: document.meta().kind.as_str().to_owned(),
        community: erasure.community.clone(),
        position,
        erasure: erasure.id.clone(),
        successor: successor.map(|s| s.to_string()),
        erased_ms: context.now_ms,
    };
    diesel::insert_into(erased_documents::table).values(&erased).execute(conn)?;
    Ok(successor)
}

fn random(context: &Context<'_>) -> [u8; 32] {
    let mut bytes = [0; 32];
    context.entropy.fill(&mut bytes);
    bytes
}

/// Every row that tells something of the document.
fn forget(conn: &mut AnyConnection, id: &str, key: &NumberKey) -> Result<(), DbError> {
    journal::forget(conn, &[id.to_owned()])?;
    diesel::delete(cases::table.find(id)).execute(conn)?;
    diesel::delete(patrols::table.find(id)).execute(conn)?;
    diesel::delete(hazards::table.filter(hazards::document.eq(id))).execute(conn)?;
    diesel::delete(obligations::table.filter(obligations::document.eq(id))).execute(conn)?;
    diesel::delete(notifications::table.filter(notifications::document.eq(id))).execute(conn)?;
    // Where it lay, building by building, tells of it too.
    diesel::delete(document_moves::table.filter(document_moves::document.eq(id))).execute(conn)?;
    diesel::delete(attachment_refs::table.filter(attachment_refs::document.eq(id))).execute(conn)?;
    diesel::delete(attachment_proofs::table.filter(attachment_proofs::document.eq(id))).execute(conn)?;
    // That something was refused stays known, and not what.
    let kept: Vec<(String, Vec<u8>)> =
        quarantine::table.filter(quarantine::document.eq(id)).select((quarantine::id, quarantine::hash)).load(conn)?;
    for (row, hash) in kept {
        diesel::update(quarantine::table.find(row))
            .set((
                quarantine::hash.eq(trace(key, &hash)),
                quarantine::detail.eq(""),
                quarantine::preview.eq(""),
                quarantine::bytes.eq(Vec::<u8>::new()),
                quarantine::state.eq("erased"),
            ))
            .execute(conn)?;
    }
    let search = projection::search_id(id);
    match conn {
        AnyConnection::Sqlite(c) => {
            // The index itself must not keep the terms of what is deleted.
            c.batch_execute("INSERT INTO case_search (case_search, rank) VALUES ('secure-delete', 1)")?;
            diesel::sql_query("DELETE FROM case_search WHERE rowid = ?").bind::<BigInt, _>(search).execute(c)?;
            c.batch_execute("INSERT INTO case_search (case_search) VALUES ('optimize')")?;
        }
        AnyConnection::Postgres(c) => {
            diesel::sql_query("DELETE FROM case_search WHERE search_id = $1").bind::<BigInt, _>(search).execute(c)?;
        }
    }
    Ok(())
}

/// Makes the database's own files forget what its tables no longer hold: on SQLite the file is written anew and the log emptied; on
/// PostgreSQL dead rows are cleared away, and their pages are written over in time.
pub fn scrub(db: &Database) -> Result<(), DbError> {
    let mut conn = db.get()?;
    match &mut *conn {
        AnyConnection::Sqlite(c) => c.batch_execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?,
        AnyConnection::Postgres(c) => c.batch_execute("VACUUM")?,
    }
    Ok(())
}
