//! One place of an actor, and two changes for it: a phone and the server had both gone back to a backup, and the phone wrote before they
//! met. What entered first stands; the other side, which a phone hands in with proof, is kept in quarantine with its words. It can be
//! read and written anew there, never merged.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::document::{Admission, ChangeHash, Decoded, Document, Inspected, RawChange, Trust};
use sync_core::error::Refusal;
use sync_core::ids::{DocumentId, UserId};
use sync_core::sync::server;
use sync_core::time::{TimeBasis, Witness};

use super::Context;
use super::resupply::{Proof, named};
use crate::db::tables::{actors, quarantine};
use crate::db::{AnyConnection, DbError};
use crate::masking::Sight;

/// Keeps the changes of the other side, those that people wrote, each under its author's name as far as anything says who he was.
/// `document` is the side that stands.
pub(super) fn keep(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    proof: &Proof,
    document: &Document,
    forks: Vec<(Decoded, Refusal)>,
) -> Result<(), DbError> {
    let meta = document.meta();
    let mut side = common(document, &forks);
    let mut kept: Vec<(Decoded, Refusal, Option<Inspected>, String)> = Vec::with_capacity(forks.len());
    for (change, refusal) in forks {
        let lines = server::preview(meta.kind, &change.raw.bytes, &mut side.clone());
        let lines: Vec<_> = lines.iter().map(|line| Sight::list().line(line)).collect();
        let fits = side.as_mut().and_then(|s| s.admit_decoded(&change, Trust::Server, |_, _| Ok(())).ok());
        let inspected = fits.and_then(|admission| match admission {
            Admission::Applied(inspected) => Some(inspected),
            Admission::Duplicate(_) => None,
        });
        kept.push((change, refusal, inspected, lines.join("\n").replace('\0', "\u{fffd}")));
    }
    for (change, refusal, inspected, preview) in kept {
        let (author, device) = author(conn, side.as_ref().unwrap_or(document), &change, inspected.as_ref())?;
        // What the lost server wrote about the changes of others says nothing that somebody typed.
        if author == UserId::SYSTEM && server::is_desk_actor(change.raw.actor) {
            continue;
        }
        let there: i64 = quarantine::table
            .filter(quarantine::document.eq(meta.id.to_string()))
            .filter(quarantine::hash.eq(change.raw.hash.0.to_vec()))
            .filter(quarantine::author.eq(author.to_string()))
            .count()
            .get_result(conn)?;
        if there > 0 {
            continue;
        }
        let witness =
            Witness { received_ms: proof.at_ms, earliest_ms: 0, latest_ms: proof.at_ms, basis: TimeBasis::Claimed };
        diesel::insert_into(quarantine::table)
            .values((
                quarantine::id.eq(DocumentId::from_parts(context.now_ms, context.entropy.ten()).to_string()),
                quarantine::document.eq(meta.id.to_string()),
                quarantine::hash.eq(change.raw.hash.0.to_vec()),
                quarantine::kind.eq(meta.kind.as_str()),
                quarantine::community.eq(meta.community.as_str()),
                quarantine::author.eq(author.to_string()),
                quarantine::device.eq(device),
                quarantine::code.eq(refusal.code.as_str()),
                quarantine::detail.eq(Sight::list().text(&refusal.detail)),
                quarantine::preview.eq(preview),
                quarantine::written_ms.eq(inspected.map_or(proof.at_ms, |i| i.at_ms)),
                quarantine::received_ms.eq(context.now_ms),
                quarantine::bytes.eq(&change.raw.bytes),
                quarantine::state.eq("waiting"),
                quarantine::witness.eq(serde_json::to_string(&witness).ok()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// What both sides have in common, so that the other one can be read as its authors saw it; nothing if that cannot be made.
fn common(document: &Document, forks: &[(Decoded, Refusal)]) -> Option<Document> {
    let standing: Vec<RawChange> = document.changes();
    let below: BTreeMap<ChangeHash, Vec<ChangeHash>> =
        standing.iter().filter_map(|c| Some((c.hash, Document::links(&c.bytes)?.1))).collect();
    let mut open: Vec<ChangeHash> = forks.iter().flat_map(|(c, _)| c.deps.iter().copied()).collect();
    let mut wanted: BTreeSet<ChangeHash> = BTreeSet::new();
    while let Some(hash) = open.pop() {
        if let Some(deps) = below.get(&hash).filter(|_| wanted.insert(hash)) {
            open.extend(deps.iter().copied());
        }
    }
    let changes = standing.iter().filter(|c| wanted.contains(&c.hash)).map(|c| c.bytes.as_slice());
    Document::from_changes(changes, Trust::Server).ok()
}

/// Who wrote a change, and on which phone: as the table of actors says, as the lost server wrote it into its side, or as the change says.
fn author(
    conn: &mut AnyConnection,
    side: &Document,
    change: &Decoded,
    inspected: Option<&Inspected>,
) -> Result<(UserId, String), DbError> {
    let actor = change.raw.actor;
    let known: Option<(String, String)> =
        actors::table.find(actor.0.to_vec()).select((actors::device, actors::author)).first(conn).optional()?;
    if let Some((device, author)) = known {
        let author = author.parse().map_err(|_| DbError::Row(format!("actor {}", actor.to_hex())))?;
        return Ok((author, device));
    }
    let named = match inspected {
        Some(inspected) => named(side, inspected),
        None => side.actors().get(&actor).copied(),
    };
    Ok((named.unwrap_or(UserId::SYSTEM), String::new()))
}
