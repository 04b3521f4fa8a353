//! What the rules told the halls.

use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;

use crate::db::tables::notifications;
use crate::db::{AnyConnection, DbError};
use crate::projection::NotificationRow;

/// What somebody was told by the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Notification {
    /// Which case.
    pub document: String,
    /// The event in it.
    pub event: String,
    /// escalation, reminder or flash_report.
    pub kind: String,
    /// Its community.
    pub community: String,
    /// The level concerned.
    pub level: String,
    /// The levels that were told.
    pub notify: Vec<String>,
    /// When, ms UTC.
    pub raised_ms: i64,
    /// The event that withdrew it.
    pub withdrawn_by: Option<String>,
    /// When that event was written, as its author says, ms UTC.
    pub withdrawn_written_ms: Option<i64>,
    /// When it arrived, ms UTC.
    pub withdrawn_received_ms: Option<i64>,
}

impl From<NotificationRow> for Notification {
    fn from(row: NotificationRow) -> Self {
        Self {
            // Empty in an event that names nobody.
            notify: serde_json::from_str(&row.roles).unwrap_or_default(),
            document: row.document,
            event: row.event,
            kind: row.kind,
            community: row.community,
            level: row.level,
            raised_ms: row.raised_ms,
            withdrawn_by: row.withdrawn_by,
            withdrawn_written_ms: row.withdrawn_written_ms,
            withdrawn_received_ms: row.withdrawn_received_ms,
        }
    }
}

/// What was told in communities, last first.
pub fn notification_list(
    conn: &mut AnyConnection,
    communities: &[String],
    limit: i64,
) -> Result<Vec<Notification>, DbError> {
    let rows = notifications::table
        .filter(notifications::community.eq_any(communities))
        .order((notifications::raised_ms.desc(), notifications::event.desc()))
        .limit(limit)
        .load::<NotificationRow>(conn)?;
    Ok(rows.into_iter().map(Notification::from).collect())
}
