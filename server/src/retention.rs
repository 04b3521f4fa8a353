//! Retention: rules say how long what is kept. Technical rows whose time is over are deleted; a case file is never deleted by a
//! rule, only put forward for erasure, which two people decide.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::calendar::day_of;
use tokio::sync::watch;

use crate::app::App;
use crate::audit::{self, Act, Origin};
use crate::db::tables::{
    audit as audit_rows, cases, device_orders, erasures, quarantine, refused_parcels, replication_alerts, sessions,
    settings, spent_tokens,
};
use crate::db::{AnyConnection, DbError};
use crate::erasure::{self, ErasureError, Wish};
use crate::merge::Context;

const DAY_MS: i64 = 86_400_000;
/// Case files put forward at once.
const CASES_MAX: i64 = 1_000;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Rows of the audit log.
    Audit,
    /// Sessions that have ended, with their spent tokens.
    Sessions,
    /// Refused changes that were decided.
    Quarantine,
    /// Parcels that could not be opened.
    RefusedParcels,
    /// Alerts about phones that are over.
    ReplicationAlerts,
    /// Orders to phones that were carried out.
    DeviceOrders,
    /// Case files that are no longer open.
    ClosedCases,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What.
    pub what: What,
    /// How long, in days of 24 hours.
    pub keep_days: i64,
    /// On what it rests.
    pub source: String,
    /// V (read in the source), M (from memory) or D (ours).
    pub confidence: String,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Their version.
    pub version: String,
    /// The day from which they hold.
    pub effective_from: String,
    /// One for each kind of thing; what has none is kept for ever.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
}

/// Rules that cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is no rule file.
    #[error("the retention rules cannot be read: {0}")]
    Unreadable(String),
    /// A thing has two rules, or none that can be followed.
    #[error("retention rule for `{0:?}`: one rule each, of 1 to 36500 days; sessions and audit at least 180")]
    Senseless(What),
}

impl Rules {
    /// Reads a rule file.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let rules: Self = toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or_default();
            let line = before.lines().count().max(1);
            RulesError::Unreadable(format!("line {line}: {}", e.message().replace('\n', "; ")))
        })?;
        let mut seen = BTreeSet::new();
        for rule in &rules.rules {
            // A slip of the pen must not delete what the law wants kept.
            let least = if matches!(rule.what, What::Audit | What::Sessions) { 180 } else { 1 };
            if !seen.insert(rule.what) || !(least..=36_500).contains(&rule.keep_days) {
                return Err(RulesError::Senseless(rule.what));
            }
        }
        Ok(rules)
    }
}

/// What is due under one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Due {
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// What is older than this is due, ms UTC.
    pub before_ms: i64,
    /// How many rows.
    pub rows: i64,
    /// Of case files, which; those that were put forward already are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<String>,
}

/// What is due now.
pub fn report(conn: &mut AnyConnection, rules: &Rules, now_ms: i64) -> Result<Vec<Due>, DbError> {
    let mut all = Vec::with_capacity(rules.rules.len());
    for rule in &rules.rules {
        let before_ms = now_ms.saturating_sub(rule.keep_days.saturating_mul(DAY_MS));
        let mut due = Due { rule: rule.clone(), before_ms, rows: 0, cases: Vec::new() };
        due.rows = match rule.what {
            What::Audit => audit_rows::table
                .filter(audit_rows::seq.is_not_null())
                .filter(audit_rows::at_ms.lt(before_ms))
                .count()
                .get_result(conn)?,
            What::Sessions => sessions::table.filter(sessions::expires_ms.lt(before_ms)).count().get_result(conn)?,
            What::Quarantine => quarantine::table
                .filter(quarantine::state.ne("waiting"))
                .filter(quarantine::received_ms.lt(before_ms))
                .count()
                .get_result(conn)?,
            What::RefusedParcels => {
                refused_parcels::table.filter(refused_parcels::received_ms.lt(before_ms)).count().get_result(conn)?
            }
            What::ReplicationAlerts => replication_alerts::table
                .filter(replication_alerts::closed_ms.lt(before_ms))
                .count()
                .get_result(conn)?,
            What::DeviceOrders => {
                device_orders::table.filter(device_orders::confirmed_ms.lt(before_ms)).count().get_result(conn)?
            }
            What::ClosedCases => {
                let asked = erasures::table.filter(erasures::kind.eq("case")).select(erasures::document);
                due.cases = cases::table
                    .filter(cases::is_open.eq(false))
                    .filter(cases::updated_ms.lt(before_ms))
                    .filter(cases::document.ne_all(asked))
                    .order(cases::updated_ms)
                    .limit(CASES_MAX)
                    .select(cases::document)
                    .load(conn)?;
                i64::try_from(due.cases.len()).unwrap_or(i64::MAX)
            }
        };
        all.push(due);
    }
    Ok(all)
}

/// Acts on what is due, and says what that was. Case files are asked to be erased; nothing of them is touched here.
pub fn apply(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    origin: &Origin,
    rules: &Rules,
) -> Result<Vec<Due>, ErasureError> {
    let all = report(conn, rules, context.now_ms)?;
    for due in &all {
        let before_ms = due.before_ms;
        match due.rule.what {
            What::Audit => {
                // Which phones were given what is still asked for when it has to be forgotten.
                erasure::remember(conn, before_ms)?;
                audit::prune(conn, origin, before_ms, context.now_ms, context.entropy)?;
            }
            What::Sessions => {
                let over = || sessions::table.filter(sessions::expires_ms.lt(before_ms));
                let ids: Vec<String> = over().select(sessions::id).load(conn)?;
                diesel::delete(spent_tokens::table.filter(spent_tokens::session_id.eq_any(&ids))).execute(conn)?;
                diesel::delete(over()).execute(conn)?;
            }
            What::Quarantine => {
                let decided = quarantine::table.filter(quarantine::state.ne("waiting"));
                diesel::delete(decided.filter(quarantine::received_ms.lt(before_ms))).execute(conn)?;
            }
            What::RefusedParcels => {
                diesel::delete(refused_parcels::table.filter(refused_parcels::received_ms.lt(before_ms)))
                    .execute(conn)?;
            }
            What::ReplicationAlerts => {
                diesel::delete(replication_alerts::table.filter(replication_alerts::closed_ms.lt(before_ms)))
                    .execute(conn)?;
            }
            What::DeviceOrders => {
                diesel::delete(device_orders::table.filter(device_orders::confirmed_ms.lt(before_ms))).execute(conn)?;
            }
            What::ClosedCases => {
                for case in &due.cases {
                    let document = case.parse().map_err(|_| ErasureError::NotFound("document"))?;
                    let reason = format!("retention {}: {} days", rules.version, due.rule.keep_days);
                    let wish = Wish { kind: "case".into(), document, part: String::new(), reason };
                    erasure::ask(conn, context, origin, &wish)?;
                }
            }
        }
        if due.rows == 0 {
            continue;
        }
        let detail =
            json!({ "rule": rules.version, "what": due.rule.what, "days": due.rule.keep_days, "rows": due.rows });
        Act::new(origin, "retention.apply", "retention").detail(detail).record(
            conn,
            context.now_ms,
            context.entropy,
        )?;
    }
    Ok(all)
}

/// The setting that tells on which day of Beijing the rules were applied last.
const DAY: &str = "retention_day";

/// Applies the rules, unless it was done today already: by this server or by another. `None` then.
pub fn round(app: &App) -> Result<Option<Vec<Due>>, ErasureError> {
    let context = app.context();
    let today = day_of(context.now_ms).to_string();
    let last = || settings::table.find(DAY).select(settings::value);
    // Looking first keeps an idle server from writing.
    if last().first::<String>(&mut *app.db.get()?).optional()?.as_ref() == Some(&today) {
        return Ok(None);
    }
    // Only sealed rows can be deleted from the audit log.
    audit::seal(&app.db)?;
    app.db.transaction(|conn| {
        let first = diesel::insert_into(settings::table)
            .values((settings::name.eq(DAY), settings::value.eq("")))
            .on_conflict_do_nothing();
        match conn {
            AnyConnection::Postgres(conn) => first.execute(conn)?,
            AnyConnection::Sqlite(conn) => first.execute(conn)?,
        };
        // Whoever comes second waits here for the first, and then finds the day taken.
        let open = settings::table.find(DAY).filter(settings::value.ne(&today));
        if diesel::update(open).set(settings::value.eq(&today)).execute(conn)? == 0 {
            return Ok(None);
        }
        apply(conn, &context, &Origin::server(), &app.retention).map(Some)
    })
}

/// Applies the rules once a day, however many servers run, until told to stop.
pub async fn schedule(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let seconds = app.config.retention_watch_seconds;
    if seconds == 0 {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            _ = stop.changed() => return,
        }
        let worker = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || round(&worker)).await {
            Ok(Ok(Some(done))) => {
                let rows: i64 = done.iter().map(|d| d.rows).sum();
                tracing::info!(rows, rules = app.retention.version, "retention was applied");
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::error!(%error, "retention was not applied"),
            Err(error) => tracing::error!(%error, "retention was not applied"),
        }
    }
}
