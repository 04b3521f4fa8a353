//! The scheduler: finds cases in which something is overdue and writes what the rules say into their documents, by the same door
//! as everybody. However many servers run, each obligation is acted on once: the case is folded again under its community's lock,
//! and what stands there already is not written again.

use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use sync_core::edit::Edit;
use sync_core::event::EventKind;
use sync_core::fold::fold_case;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::rules::{Outcome, action, obligations};

use crate::app::App;
use crate::db::DbError;
use crate::db::tables::cases;
use crate::journal;
use crate::merge::{self, MergeError};

/// What one round of the scheduler did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Cases looked at.
    pub cases: usize,
    /// Cases raised to a higher level.
    pub escalations: usize,
    /// Reminders written.
    pub reminders: usize,
    /// Flash reports written.
    pub flash_reports: usize,
}

const BATCH: i64 = 200;

/// Acts on everything that is overdue now.
pub fn run(app: &App) -> Result<Round, MergeError> {
    let mut round = Round::default();
    let now_ms = app.clock.now_ms();
    let due: Vec<(String, String)> = {
        let mut conn = app.db.get()?;
        cases::table
            .filter(cases::next_action_ms.le(now_ms))
            .order(cases::next_action_ms)
            .limit(BATCH)
            .select((cases::document, cases::community))
            .load(&mut *conn)?
    };
    for (document, community) in due {
        round.cases += 1;
        // One case that cannot be folded must not keep the others from being raised.
        if let Err(error) = act(app, &document, &community, &mut round) {
            tracing::error!(document, %error, "escalation failed");
            app.metrics.escalation_errors.inc();
        }
    }
    app.metrics.escalations.inc_by(u64::try_from(round.escalations).unwrap_or_default());
    Ok(round)
}

/// Whether something is due now that nobody has acted on yet.
pub fn is_behind(app: &App) -> Result<bool, DbError> {
    let mut conn = app.db.get()?;
    let due: i64 = cases::table.filter(cases::next_action_ms.le(app.clock.now_ms())).count().get_result(&mut *conn)?;
    Ok(due > 0)
}

fn act(app: &App, document: &str, community: &str, round: &mut Round) -> Result<(), MergeError> {
    let id: DocumentId = document.parse().map_err(|_| DbError::Row(format!("document {document}")))?;
    let community = AreaCode::new(community).map_err(|_| DbError::Row(format!("community {community}")))?;
    // Each event changes what is due; a case that is several levels behind is raised level by level, with a bound.
    for _ in 0..16 {
        let written = app.db.transaction(|conn| -> Result<Option<EventKind>, MergeError> {
            journal::lock(conn, std::slice::from_ref(&community))?;
            let Some(loaded) = journal::load(conn, id)? else { return Ok(None) };
            let state = fold_case(&loaded);
            let now_ms = app.clock.now_ms();
            let due = obligations(&state, &app.law.rules, &app.law.calendar, now_ms);
            let mut overdue: Vec<_> = due.into_iter().filter(|o| o.outcome == Outcome::Overdue).collect();
            overdue.sort_by_key(|o| o.due_ms);
            let Some((kind, body)) = overdue.iter().find_map(|o| action(o, &state, &app.law.rules)) else {
                return Ok(None);
            };
            merge::edits(conn, &app.context(), id, &[Edit::AddEvent { kind, body }], None)?;
            Ok(Some(kind))
        })?;
        match written {
            Some(EventKind::Escalation) => round.escalations += 1,
            Some(EventKind::Reminder) => round.reminders += 1,
            Some(_) => round.flash_reports += 1,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Runs rounds until told to stop.
pub async fn schedule(app: Arc<App>, every: Duration, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        let worker = app.clone();
        match tokio::task::spawn_blocking(move || run(&worker)).await {
            Ok(Ok(round)) if round != Round::default() => tracing::info!(?round, "scheduler"),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "scheduler"),
            Err(error) => tracing::error!(%error, "scheduler"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.changed() => return,
        }
    }
}
