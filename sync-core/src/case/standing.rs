//! What follows from a folded case for lists and numbers: who is still awaited, and since when it is settled. Read off the state, never
//! stored in the document.

use super::{CaseState, Status};
use crate::event::{EventKind, TimelineEntry};

/// A department that was summoned and has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// As the summons calls it.
    pub department: String,
    /// Since when, ms UTC: trusted if witnessed.
    pub since_ms: i64,
}

impl CaseState {
    /// Departments that were summoned (吹哨) and have not reported in (报到), first summoned first. Nobody is awaited in a case that has ended.
    pub fn awaited(&self) -> Vec<Awaited> {
        let mut awaited: Vec<Awaited> = Vec::new();
        if !self.status.is_open() {
            return awaited;
        }
        for summons in self.timeline.iter().filter(|e| e.kind == EventKind::Whistle && e.stands()) {
            let named = summons.body.get("departments").and_then(|v| v.as_array());
            let named: Vec<&str> = named.into_iter().flatten().filter_map(|v| v.as_str()).map(str::trim).collect();
            let answers = |e: &&TimelineEntry| {
                e.kind == EventKind::ReportIn && e.stands() && e.reference("whistle") == Some(summons.id)
            };
            let came: Vec<&str> =
                self.timeline.iter().filter(answers).filter_map(|e| e.text("department")).map(str::trim).collect();
            for department in &named {
                // Where only one was called, whoever came is the one, whatever he calls himself.
                let is_here = came.contains(department) || (named.len() == 1 && !came.is_empty());
                if !is_here && !department.is_empty() && awaited.iter().all(|a| a.department != *department) {
                    awaited.push(Awaited { department: (*department).to_owned(), since_ms: summons.latest_ms() });
                }
            }
        }
        awaited
    }

    /// When the dispute was settled, ms UTC, trusted if witnessed: resolved, or closed upon an agreement. Nothing while it is open, and
    /// nothing for what was rejected, transferred or merged.
    pub fn resolved_ms(&self) -> Option<i64> {
        if !matches!(self.status, Status::Resolved | Status::Closed) {
            return None;
        }
        let reopened = self.timeline.iter().rposition(|e| e.stands() && e.kind == EventKind::Reopened);
        let since: Vec<_> = self.timeline.iter().skip(reopened.map_or(0, |at| at + 1)).filter(|e| e.stands()).collect();
        if since.iter().any(|e| matches!(e.kind, EventKind::Rejected | EventKind::Transfer | EventKind::Merged)) {
            return None;
        }
        let of = |kind: EventKind| since.iter().find(|e| e.kind == kind).map(|e| e.latest_ms());
        of(EventKind::Resolved).or_else(|| of(EventKind::Closed))
    }
}
