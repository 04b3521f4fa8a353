//! The place beside the door, where refused changes are kept with what they would do in words.

use diesel::prelude::*;
use sync_core::document::Document;
use sync_core::ids::DocumentId;
use sync_core::sync::server::{self, Quarantined};
use sync_core::sync::wire::{Bundle, BundleEntry};
use sync_core::time::Witness;

use super::Context;
use crate::db::tables::quarantine;
use crate::db::{AnyConnection, DbError};
use crate::masking::Sight;

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
        .filter(quarantine::author.eq(bundle.user.to_string()))
        .filter(quarantine::device.eq(bundle.device.to_string()))
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
            quarantine::preview.eq(preview.join("\n").replace('\0', "\u{fffd}")),
            quarantine::written_ms.eq(kept.at.hlc.wall_ms),
            quarantine::received_ms.eq(context.now_ms),
            quarantine::bytes.eq(&kept.bytes),
            quarantine::state.eq("waiting"),
            quarantine::witness.eq(serde_json::to_string(&Witness::judge(&kept.at, tokens, context.now_ms)).ok()),
        ))
        .execute(conn)?;
    Ok(())
}
