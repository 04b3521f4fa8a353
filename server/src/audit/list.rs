//! Reading the audit log: newest first, by page.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Row;
use crate::db::tables::audit;
use crate::db::{AnyConnection, DbError};

/// The most rows in one page.
const PAGE_MAX: i64 = 500;

/// What the log can be narrowed to.
#[derive(Debug, Clone, Default, Deserialize, IntoParams, clap::Args)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Who: the id of an account.
    #[arg(long)]
    pub actor: Option<String>,
    /// On which phone.
    #[arg(long)]
    pub device: Option<String>,
    /// What: `case.read`; or all that begins so: `case.`
    #[arg(long)]
    pub action: Option<String>,
    /// To what: an id.
    #[arg(long)]
    pub object: Option<String>,
    /// Deliveries to phones that held this document.
    #[arg(long)]
    #[param(value_type = Option<String>)]
    pub delivered: Option<uuid::Uuid>,
    /// At or after this, ms UTC.
    #[arg(long)]
    pub from_ms: Option<i64>,
    /// Before this, ms UTC.
    #[arg(long)]
    pub to_ms: Option<i64>,
    /// From the page before.
    #[arg(long)]
    pub cursor: Option<String>,
    /// 1 to 500; 100 by default.
    #[arg(long)]
    pub limit: Option<i64>,
}

/// One page.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page {
    /// The rows, newest first.
    pub items: Vec<Row>,
    /// Give this as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of rows that concern no community or one of these; of all when `None`. `None` comes back when the limit is no limit.
pub fn page(
    conn: &mut AnyConnection,
    filter: &Filter,
    communities: Option<&[String]>,
) -> Result<Option<Page>, DbError> {
    let limit = filter.limit.unwrap_or(100);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Ok(None);
    }
    let mut query = audit::table.into_boxed();
    if let Some(communities) = communities {
        query = query.filter(audit::community.is_null().or(audit::community.eq_any(communities)));
    }
    if let Some(v) = &filter.actor {
        query = query.filter(audit::actor.eq(v));
    }
    if let Some(v) = &filter.device {
        query = query.filter(audit::device.eq(v));
    }
    if let Some(v) = &filter.action {
        let pattern = format!("{}%", v.replace(['%', '_', '\\'], ""));
        query = if v.ends_with('.') {
            query.filter(audit::action.like(pattern))
        } else {
            query.filter(audit::action.eq(v))
        };
    }
    if let Some(v) = &filter.object {
        query = query.filter(audit::object.eq(v));
    }
    if let Some(v) = filter.delivered {
        query = query.filter(audit::action.eq("sync.deliver")).filter(audit::detail.like(format!("%{}%", v.simple())));
    }
    if let Some(v) = filter.from_ms {
        query = query.filter(audit::at_ms.ge(v));
    }
    if let Some(v) = filter.to_ms {
        query = query.filter(audit::at_ms.lt(v));
    }
    if let Some(v) = &filter.cursor {
        query = query.filter(audit::id.lt(v));
    }
    let mut items: Vec<Row> = query.order(audit::id.desc()).limit(limit + 1).select(Row::as_select()).load(conn)?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| more).map(|r| r.id.clone());
    Ok(Some(Page { items, next }))
}
