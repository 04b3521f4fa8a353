//! The end of the demo: every phone is compared with the server, and all that was ever typed with what the server has; what the day left
//! for the pages is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use diesel::prelude::*;
use serde::Serialize;
use server::db::tables::quarantine;
use server::objects::uploads;
use server::replication::{self, Bounds, State};
use sync_core::document::{ChangeHash, Document};
use sync_core::event::EventKind;
use sync_core::fold::{fold_case, fold_patrol};
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;
use sync_core::time::Clock;

use super::{Demo, Fallible};

/// What the demo found when it compared.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) phones: usize,
    pub(super) offline_edits: usize,
    pub(super) changes_synced: u64,
    pub(super) conflicts_found: usize,
    pub(super) conflicts_settled: usize,
    pub(super) conflicts_open: usize,
    pub(super) closed_without_knowing: usize,
    pub(super) quarantined: usize,
    pub(super) escalations: usize,
    pub(super) withdrawn: usize,
    pub(super) evidence_to_judge: usize,
    pub(super) photos_here: usize,
    pub(super) photos_away: usize,
    pub(super) phones_silent: usize,
    pub(super) hazards_open: usize,
    pub(super) cases: Vec<CaseSummary>,
    pub(super) lost: usize,
    pub(super) diverged: usize,
    pub(super) seconds: f64,
}

impl Summary {
    /// What the day was to leave for the pages and did not.
    pub(super) fn missing(&self) -> Option<&'static str> {
        let left = [
            ("a conflict or passage to settle", self.conflicts_open),
            ("a case closed without knowing", self.closed_without_knowing),
            ("a change in quarantine", self.quarantined),
            ("evidence to judge", self.evidence_to_judge),
            ("a photo", self.photos_here),
            ("a photo that has not arrived", self.photos_away),
            ("a silent phone", self.phones_silent),
            ("an open hazard", self.hazards_open),
        ];
        left.into_iter().find(|(_, count)| *count == 0).map(|(what, _)| what)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CaseSummary {
    pub(super) id: DocumentId,
    pub(super) title: String,
    pub(super) status: &'static str,
    pub(super) level: &'static str,
}

impl Demo {
    /// Syncs every phone until nothing moves any more, then compares each with the server, and all that was ever typed with what
    /// the server has.
    pub(super) fn compare(&mut self, begun: Instant) -> Fallible<Summary> {
        for _ in 0..3 {
            for phone in self.phones.values_mut() {
                phone.sync()?;
            }
        }
        let app = self.server.app.clone();
        let mut conn = app.db.get()?;
        let mut documents: BTreeMap<DocumentId, Document> = BTreeMap::new();
        let mut diverged = 0;
        for phone in self.phones.values() {
            for id in phone.core().documents()? {
                let here = phone.core().document(id)?;
                let Some(there) = server::journal::load(&mut conn, id)? else {
                    diverged += 1;
                    continue;
                };
                let same = match here.meta().kind {
                    DocumentKind::Case => fold_case(&here) == fold_case(&there),
                    DocumentKind::Patrol => fold_patrol(&here) == fold_patrol(&there),
                };
                if !same || here.heads() != there.heads() {
                    diverged += 1;
                }
                documents.insert(id, there);
            }
        }
        let waiting = quarantine::table.filter(quarantine::state.eq("waiting")).select(quarantine::hash);
        let aside: BTreeSet<Vec<u8>> = waiting.load::<Vec<u8>>(&mut *conn)?.into_iter().collect();
        let kept = |made: &(DocumentId, ChangeHash)| {
            documents.get(&made.0).is_some_and(|d| d.has(&made.1)) || aside.contains(made.1.0.as_slice())
        };
        let lost = self.phones.values().flat_map(|p| &p.made).filter(|made| !kept(made)).count();
        let states: Vec<_> =
            documents.values().filter(|d| d.meta().kind == DocumentKind::Case).map(fold_case).collect();
        let attached: usize = states.iter().map(|s| s.attachments.len()).sum();
        let mut photos_here = 0;
        for state in &states {
            photos_here += uploads::readable_in(&mut conn, state.id)?.len();
        }
        let phones = replication::all(&mut conn, &Bounds::of(&app.config), self.clock.now_ms(), |_, _| true)?;
        let patrols = documents.values().filter(|d| d.meta().kind == DocumentKind::Patrol).map(fold_patrol);
        let raised =
            || states.iter().flat_map(|s| &s.timeline).filter(|e| e.kind == EventKind::Escalation && e.moot.is_none());
        let open: usize = states.iter().map(|s| s.conflicts.len() + s.passages.len()).sum();
        Ok(Summary {
            phones: self.phones.len(),
            offline_edits: self.phones.values().map(|p| p.made.len()).sum(),
            changes_synced: self.phones.values().map(|p| p.sent).sum(),
            conflicts_found: self.conflicts_found,
            conflicts_settled: self.conflicts_found.saturating_sub(open),
            conflicts_open: open,
            closed_without_knowing: states.iter().filter(|s| !s.closed_without_knowing.is_empty()).count(),
            quarantined: aside.len(),
            escalations: raised().count(),
            withdrawn: raised().filter(|e| e.withdrawn.is_some()).count(),
            evidence_to_judge: states.iter().map(|s| s.evidence_pending.len()).sum(),
            photos_here,
            photos_away: attached.saturating_sub(photos_here),
            phones_silent: phones.iter().filter(|p| p.states.contains(&State::Silent)).count(),
            hazards_open: patrols.map(|p| p.hazards.len() - p.hazards_rectified.len()).sum(),
            cases: states
                .iter()
                .map(|s| CaseSummary {
                    id: s.id,
                    title: s.text("title").unwrap_or_default().to_owned(),
                    status: s.status.as_str(),
                    level: s.level.as_str(),
                })
                .collect(),
            lost,
            diverged,
            seconds: (begun.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        })
    }
}
