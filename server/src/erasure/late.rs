//! What phones still say of a document that is no more. What they sent before is known again and never kept; what is new goes into
//! quarantine with its words, and the phone is told to forget the document.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sha2::{Digest as _, Sha256};
use sync_core::document::ChangeHash;
use sync_core::error::{Refusal, RefusalCode};
use sync_core::ids::{DeviceId, DocumentId};
use sync_core::limits;
use sync_core::sync::server::{Quarantined, Reading};
use sync_core::sync::wire::{Bundle, BundleEntry, Cursor, PushOutcome, PushResult};

use super::destroy::trace;
use super::{Erased, holders};
use crate::db::tables::{erased_documents, erased_holders, journal, quarantine};
use crate::db::{AnyConnection, DbError};
use crate::masking::NumberKey;
use crate::merge::{self, Context};

/// The document of this id, if it was erased.
pub(crate) fn of(conn: &mut AnyConnection, id: DocumentId) -> Result<Option<Erased>, DbError> {
    Ok(erased_documents::table.find(id.to_string()).select(Erased::as_select()).first(conn).optional()?)
}

/// Answers what a phone sends for a document that was erased.
pub(crate) fn late(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    bundle: &Bundle,
    (entry, readings): (&BundleEntry, &[Reading]),
    erased: &Erased,
) -> Result<Vec<PushResult>, DbError> {
    let key = NumberKey::load(conn, context.now_ms, context.entropy)?;
    let remedy = match &erased.successor {
        Some(successor) => format!("the document was erased by law; write it anew in {successor}"),
        None => "the document was erased by law; what is new belongs into a new document".into(),
    };
    let mut results = Vec::with_capacity(entry.changes.len());
    for (change, reading) in entry.changes.iter().zip(readings) {
        let hash = reading.as_ref().map_or_else(|_| digest(&change.bytes), |read| read.raw.hash);
        let trace = trace(&key, &hash.0);
        let destroyed: i64 = journal::table
            .filter(journal::document.eq(&erased.document))
            .filter(journal::hash.eq(&trace))
            .count()
            .get_result(conn)?;
        let refused_before: i64 = quarantine::table
            .filter(quarantine::document.eq(&erased.document))
            .filter(quarantine::hash.eq(&trace))
            .filter(quarantine::author.eq(bundle.user.to_string()))
            .filter(quarantine::device.eq(bundle.device.to_string()))
            .count()
            .get_result(conn)?;
        let outcome = if destroyed > 0 {
            // It was here and is destroyed: it must not come back by being sent again.
            PushOutcome::Duplicate
        } else {
            let refusal = Refusal::new(RefusalCode::Erased, remedy.clone());
            if refused_before == 0 {
                let bytes = change.bytes.to_vec();
                let kept = Quarantined { hash, at: change.at, bytes, refusal: refusal.clone() };
                merge::put_aside(conn, bundle, entry, &kept, &mut None, context, &[])?;
            }
            PushOutcome::Quarantined(refusal.code, refusal.detail)
        };
        results.push(PushResult { document: entry.document, hash, outcome });
    }
    Ok(results)
}

fn digest(bytes: &[u8]) -> ChangeHash {
    ChangeHash(Sha256::digest(bytes).into())
}

/// The documents that a phone must forget: those that it may hold and has not confirmed to have forgotten, those whose order its cursor
/// passes now, all of them where it begins anew, and those that it has just spoken of. Only its word that it has forgotten one ends the
/// order. Gives also whether there are more than one answer holds.
pub(crate) fn orders(
    conn: &mut AnyConnection,
    device: DeviceId,
    (before, after): (&[Cursor], &[Cursor]),
    spoken_of: &[DocumentId],
    now_ms: i64,
) -> Result<(Vec<DocumentId>, bool), DbError> {
    let codes: Vec<&str> = after.iter().map(|c| c.community.as_str()).collect();
    let mut rows: Vec<Erased> = erased_documents::table
        .filter(erased_documents::community.eq_any(codes))
        .select(Erased::as_select())
        .load(conn)?;
    let mut asked: BTreeSet<String> = spoken_of.iter().map(ToString::to_string).collect();
    asked.extend(holders::open(device).select(erased_holders::document).load::<String>(conn)?);
    let all: Vec<&String> = asked.iter().collect();
    for some in all.chunks(500) {
        let others = erased_documents::table.filter(erased_documents::document.eq_any(some.iter().copied()));
        rows.extend(others.select(Erased::as_select()).load::<Erased>(conn)?);
    }
    let rows: BTreeMap<String, Erased> = rows.into_iter().map(|r| (r.document.clone(), r)).collect();
    let position = |cursors: &[Cursor], r: &Erased| {
        cursors.iter().find(|c| c.community.as_str() == r.community).map(|c| (c.position, c.scope))
    };
    let (mut orders, mut more) = (Vec::new(), false);
    for row in rows.values() {
        let (had, has) = (position(before, row), position(after, row));
        let same_scope = had.zip(has).is_some_and(|(had, has)| had.1 == has.1);
        let passed = same_scope && had.is_some_and(|(p, _)| p >= row.position);
        let passes = has.is_some_and(|(p, _)| p >= row.position) && !passed;
        if passes || asked.contains(&row.document) {
            // What this answer has no room for is told with the next one: it is open from now on.
            let told = orders.len() < limits::RESPONSE_PURGES_MAX;
            more |= !told;
            tell(conn, device, &row.document, told.then_some(now_ms))?;
            orders.extend(row.document.parse::<DocumentId>().ok().filter(|_| told));
        }
    }
    Ok((orders, more))
}

fn tell(conn: &mut AnyConnection, device: DeviceId, document: &str, told_ms: Option<i64>) -> Result<(), DbError> {
    let row = erased_holders::table.find((document, device.to_string()));
    let told = match told_ms {
        Some(_) => diesel::update(row).set(erased_holders::told_ms.eq(told_ms)).execute(conn)?,
        None => usize::try_from(row.count().get_result::<i64>(conn)?).unwrap_or_default(),
    };
    if told == 0 {
        diesel::insert_into(erased_holders::table)
            .values((
                erased_holders::document.eq(document),
                erased_holders::device.eq(device.to_string()),
                erased_holders::told_ms.eq(told_ms),
            ))
            .execute(conn)?;
    }
    Ok(())
}
