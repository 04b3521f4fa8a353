//! Folds a patrol record. The model for other kinds: parts, timeline, effects of events in order, state.

use super::{order, parts, passages};
use crate::document::Document;
use crate::event::{EventKind, MootReason};
use crate::patrol::{PatrolState, PatrolStatus};

/// The state of a patrol record.
pub fn fold_patrol(document: &Document) -> PatrolState {
    let mut parts = parts(document);
    let mut timeline = order::timeline(document.events(), &document.witnesses());
    let hazards = parts.collections.remove("hazards").unwrap_or_default();
    let mut started = false;
    let mut ended = false;
    let mut rectified: Vec<String> = Vec::new();
    let mut leaflets_told = 0;
    for entry in &mut timeline {
        let moot = match entry.kind {
            EventKind::Other(_) => Some(MootReason::UnknownKind),
            EventKind::PatrolStarted if started => Some(MootReason::AlreadyDone),
            EventKind::PatrolEnded if ended => Some(MootReason::AlreadyDone),
            EventKind::PatrolStarted => {
                started = true;
                None
            }
            EventKind::PatrolEnded => {
                ended = true;
                None
            }
            EventKind::HazardRectified => match entry.text("hazard") {
                Some(h) if rectified.iter().any(|r| r == h) => Some(MootReason::AlreadyDone),
                Some(h) if hazards.contains_key(h) => {
                    rectified.push(h.to_owned());
                    None
                }
                _ => Some(MootReason::ReferenceMoot),
            },
            EventKind::PublicityRecord => {
                leaflets_told += entry.number("leaflets").unwrap_or(0).max(0);
                None
            }
            _ => None,
        };
        entry.moot = moot;
    }
    rectified.sort();
    let problems =
        parts.fields.iter().filter(|(path, v)| path.starts_with("checklist.") && v.as_str() == Some("problem"));
    let problems: Vec<String> =
        problems.filter_map(|(path, _)| path.strip_prefix("checklist.").map(str::to_owned)).collect();
    let ended = ended || parts.fields.contains_key("ended");
    let status = match (ended, hazards.len() > rectified.len()) {
        (false, _) => PatrolStatus::Open,
        (true, true) => PatrolStatus::HazardsOpen,
        (true, false) => PatrolStatus::Done,
    };
    let leaflets =
        parts.fields.get("publicity.leaflets").and_then(|v| v.as_i64()).unwrap_or(0).saturating_add(leaflets_told);
    let passages = passages::open(document, &parts.actors, &timeline);
    let meta = document.meta();
    PatrolState {
        id: meta.id,
        community: meta.community.clone(),
        created_by: meta.created_by,
        created_ms: meta.created_ms,
        status,
        fields: parts.fields,
        hazards,
        hazards_rectified: rectified,
        cases: parts.collections.remove("cases").unwrap_or_default(),
        notes: document.text("notes").unwrap_or_default(),
        attachments: document.attachments(),
        timeline,
        conflicts: parts.conflicts,
        passages,
        problems,
        leaflets,
        people: document.people(),
        accepted: document.acceptances(),
    }
}
