//! What a merge stands on, fetched at once; and the place beside it, where refused changes are kept.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::document::{ChangeHash, Document};
use sync_core::error::RefusalCode;
use sync_core::ids::{DocumentId, UserId};
use sync_core::sync::server::{self, Quarantined};
use sync_core::sync::wire::{Bundle, BundleEntry};
use sync_core::time::Witness;

use super::Context;
use crate::db::tables::quarantine;
use crate::db::{AnyConnection, DbError};
use crate::journal;
use crate::masking::Sight;

/// What people are called, looked up once in a merge.
pub(super) type Names = BTreeMap<UserId, Option<String>>;

/// What the documents of a bundle stand on, fetched at once.
pub(super) struct Shelf {
    saved: BTreeMap<String, Vec<u8>>,
    asked: BTreeSet<DocumentId>,
    /// What waits or was dismissed, by document.
    pub(super) quarantined: BTreeMap<DocumentId, BTreeMap<ChangeHash, (RefusalCode, String)>>,
    /// What people are called.
    pub(super) names: Names,
}

impl Shelf {
    pub(super) fn read(conn: &mut AnyConnection, entries: &[BundleEntry]) -> Result<Self, DbError> {
        let asked: BTreeSet<DocumentId> = entries.iter().map(|e| e.document).collect();
        let ids: Vec<String> = asked.iter().map(ToString::to_string).collect();
        let saved = journal::saved(conn, &ids)?;
        let rows: Vec<(String, Vec<u8>, String, String)> = quarantine::table
            .filter(quarantine::document.eq_any(&ids))
            // What was dismissed stays out, whatever its author may do by now.
            .filter(quarantine::state.ne("accepted"))
            .select((quarantine::document, quarantine::hash, quarantine::code, quarantine::detail))
            .load(conn)?;
        let mut quarantined: BTreeMap<DocumentId, BTreeMap<_, _>> = BTreeMap::new();
        for (document, hash, code, detail) in rows {
            let hash = <[u8; 32]>::try_from(hash).ok().map(ChangeHash);
            let code = serde_json::from_value(serde_json::Value::String(code)).ok();
            if let (Ok(document), Some(hash), Some(code)) = (document.parse::<DocumentId>(), hash, code) {
                quarantined.entry(document).or_default().insert(hash, (code, detail));
            }
        }
        Ok(Self { saved, asked, quarantined, names: Names::new() })
    }

    /// A document as it is now: what was fetched counts once, because the merge itself goes on changing it.
    pub(super) fn document(&mut self, conn: &mut AnyConnection, id: DocumentId) -> Result<Option<Document>, DbError> {
        if !self.asked.remove(&id) {
            return journal::load(conn, id);
        }
        self.saved.remove(&id.to_string()).map(|saved| journal::open(conn, id, &saved)).transpose()
    }
}

/// Keeps a refused change, with what it would do in words. `scratch` is a copy of the document, see [`server::preview`].
pub(crate) fn put_aside(
    conn: &mut AnyConnection,
    bundle: &Bundle,
    entry: &BundleEntry,
    kept: &Quarantined,
    scratch: &mut Option<Document>,
    context: &Context<'_>,
    tokens: &[i64],
) -> Result<(), DbError> {
    let there: i64 = quarantine::table
        .filter(quarantine::document.eq(entry.document.to_string()))
        .filter(quarantine::hash.eq(kept.hash.0.to_vec()))
        .count()
        .get_result(conn)?;
    if there > 0 {
        return Ok(());
    }
    // A list shows it: numbers and names by their ends.
    let preview = server::preview(entry.kind, &kept.bytes, scratch);
    let preview: Vec<_> = preview.iter().map(|line| Sight::list().line(line)).collect();
    diesel::insert_into(quarantine::table)
        .values((
            quarantine::id.eq(DocumentId::from_parts(context.now_ms, context.entropy.ten()).to_string()),
            quarantine::document.eq(entry.document.to_string()),
            quarantine::hash.eq(kept.hash.0.to_vec()),
            quarantine::kind.eq(entry.kind.as_str()),
            quarantine::community.eq(entry.community.as_str()),
            quarantine::author.eq(bundle.user.to_string()),
            quarantine::device.eq(bundle.device.to_string()),
            quarantine::code.eq(kept.refusal.code.as_str()),
            quarantine::detail.eq(Sight::list().text(&kept.refusal.detail)),
            quarantine::preview.eq(preview.join("\n")),
            quarantine::written_ms.eq(kept.at.hlc.wall_ms),
            quarantine::received_ms.eq(context.now_ms),
            quarantine::bytes.eq(&kept.bytes),
            quarantine::state.eq("waiting"),
            quarantine::witness.eq(serde_json::to_string(&Witness::judge(&kept.at, tokens, context.now_ms)).ok()),
        ))
        .execute(conn)?;
    Ok(())
}
