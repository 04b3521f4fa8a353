//! What was refused and kept: listed, searched, read.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::search::like_pattern;
use utoipa::{IntoParams, ToSchema};

use super::{Page, QueryError, decode_cursor, encode_cursor, page_limit};
use crate::db::tables::{quarantine, users};
use crate::db::{AnyConnection, DbError};

/// Where an entry can stand.
const STATES: [&str; 4] = ["waiting", "accepted", "dismissed", "erased"];

/// A refused change that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = quarantine)]
pub struct QuarantineRow {
    /// Its id.
    pub id: String,
    /// Which document it was for.
    pub document: String,
    /// Its kind.
    pub kind: String,
    /// Its community.
    pub community: String,
    /// Who wrote it.
    pub author: String,
    /// On which device.
    pub device: String,
    /// Why it was refused: a stable code.
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// What it would do, one line each.
    pub preview: String,
    /// When its author says, ms UTC.
    pub written_ms: i64,
    /// When it arrived, ms UTC.
    pub received_ms: i64,
    /// waiting, accepted or dismissed.
    pub state: String,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_ms: Option<i64>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a list of refused changes can be narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct QuarantineFilter {
    /// waiting, accepted or dismissed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Only those that somebody decided, or only those that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<bool>,
    /// A community.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community: Option<String>,
    /// A document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Who wrote it: the account, its login, or part of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// On which device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Why it was refused: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What must occur in what was said of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What must occur in the reason of the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What must occur in the preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Arrived at or after this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_from: Option<i64>,
    /// Arrived before this, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_to: Option<i64>,
    /// At most so many, 1 to 200; 50 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Where the page begins: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What is kept aside in communities, last arrived first.
pub fn quarantine_page(
    conn: &mut AnyConnection,
    communities: &[String],
    filter: &QuarantineFilter,
) -> Result<Result<Page<QuarantineRow>, QueryError>, DbError> {
    let checked =
        page_limit(filter.limit).and_then(|n| Ok((n, filter.cursor.as_deref().map(decode_cursor).transpose()?)));
    let (limit, after) = match checked {
        Ok(checked) => checked,
        Err(e) => return Ok(Err(e)),
    };
    if filter.state.as_deref().is_some_and(|s| !STATES.contains(&s)) {
        let problem = format!("use one of {}", STATES.join(", "));
        return Ok(Err(QueryError::Invalid { field: "state", problem }));
    }
    let mut query = quarantine::table
        .filter(quarantine::community.eq_any(communities))
        .order((quarantine::received_ms.desc(), quarantine::id.desc()))
        .limit(limit + 1)
        .select(QuarantineRow::as_select())
        .into_boxed();
    if let Some((ms, id)) = after {
        let same = quarantine::received_ms.eq(ms).and(quarantine::id.lt(id));
        query = query.filter(quarantine::received_ms.lt(ms).or(same));
    }
    if let Some(state) = &filter.state {
        query = query.filter(quarantine::state.eq(state));
    }
    if let Some(community) = &filter.community {
        query = query.filter(quarantine::community.eq(community));
    }
    if let Some(document) = &filter.document {
        query = query.filter(quarantine::document.eq(document));
    }
    match filter.decided {
        Some(true) => query = query.filter(quarantine::state.ne("waiting")),
        Some(false) => query = query.filter(quarantine::state.eq("waiting")),
        None => {}
    }
    if let Some(author) = filter.author.as_deref().filter(|t| !t.is_empty()) {
        let named = users::name.like(like_pattern(author)).escape('\\');
        let people = users::table.filter(users::id.eq(author).or(users::login.eq(author)).or(named));
        query = query.filter(quarantine::author.eq_any(people.select(users::id)));
    }
    if let Some(ms) = filter.received_from {
        query = query.filter(quarantine::received_ms.ge(ms));
    }
    if let Some(ms) = filter.received_to {
        query = query.filter(quarantine::received_ms.lt(ms));
    }
    if let Some(text) = filter.detail.as_deref().filter(|t| !t.is_empty()) {
        query = query.filter(quarantine::detail.like(like_pattern(text)).escape('\\'));
    }
    if let Some(text) = filter.reason.as_deref().filter(|t| !t.is_empty()) {
        query = query.filter(quarantine::reason.like(like_pattern(text)).escape('\\'));
    }
    if let Some(device) = &filter.device {
        query = query.filter(quarantine::device.eq(device));
    }
    if let Some(code) = &filter.code {
        query = query.filter(quarantine::code.eq(code));
    }
    if let Some(text) = filter.text.as_deref().filter(|t| !t.is_empty()) {
        query = query.filter(quarantine::preview.like(like_pattern(text)).escape('\\'));
    }
    let mut items = query.load::<QuarantineRow>(conn)?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| more).map(|r| encode_cursor(r.received_ms, &r.id));
    Ok(Ok(Page { items, next }))
}

/// One refused change of these communities.
pub fn quarantine_entry(
    conn: &mut AnyConnection,
    communities: &[String],
    id: &str,
) -> Result<Option<QuarantineRow>, DbError> {
    let one = quarantine::table.find(id).filter(quarantine::community.eq_any(communities));
    Ok(one.select(QuarantineRow::as_select()).first(conn).optional()?)
}

/// Some entries, in the order in which they were written, as their authors say.
pub fn quarantine_entries(
    conn: &mut AnyConnection,
    communities: &[String],
    ids: &[String],
) -> Result<Vec<QuarantineRow>, DbError> {
    let some = quarantine::table.filter(quarantine::id.eq_any(ids)).filter(quarantine::community.eq_any(communities));
    let ordered = some.order((quarantine::written_ms, quarantine::id));
    Ok(ordered.select(QuarantineRow::as_select()).load(conn)?)
}

/// Its bytes as they came.
pub fn quarantine_bytes(
    conn: &mut AnyConnection,
    communities: &[String],
    id: &str,
) -> Result<Option<Vec<u8>>, DbError> {
    let one = quarantine::table.find(id).filter(quarantine::community.eq_any(communities));
    Ok(one.select(quarantine::bytes).first(conn).optional()?)
}
