//! The patrol list: what it can be narrowed to, and its rows.

use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use sync_core::authority::Subject;
use sync_core::shape::DocumentKind;
use utoipa::{IntoParams, ToSchema};

use super::{After, Page, Placed, QueryError, decode_cursor, fill, page_limit};
use crate::db::tables::patrols;
use crate::db::{AnyConnection, DbError};

/// A row of the patrol list.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = patrols)]
pub struct PatrolSummary {
    /// The document.
    #[diesel(column_name = document)]
    pub id: String,
    /// Its community.
    pub community: String,
    /// Its grid.
    pub grid: Option<String>,
    /// Its building.
    pub building: Option<String>,
    /// open, hazards_open or done.
    pub status: String,
    /// Who made it.
    pub created_by: String,
    /// When, as its maker says, ms UTC.
    pub created_ms: i64,
    /// When it first arrived, ms UTC.
    pub received_ms: i64,
    /// When the last change arrived, ms UTC.
    pub updated_ms: i64,
    /// Hazards found.
    pub hazards: i32,
    /// Hazards not put right.
    pub hazards_open: i32,
    /// Checklist items with problems.
    pub problems: i32,
    /// Leaflets given out.
    pub leaflets: i64,
    /// Conflicts or flagged passages.
    pub needs_review: bool,
}

/// What the patrol list can be narrowed to.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PatrolFilter {
    /// Community code.
    pub community: Option<String>,
    /// Building code.
    pub building: Option<String>,
    /// open, hazards_open or done.
    pub status: Option<String>,
    /// From the page before.
    pub cursor: Option<String>,
    /// 1 to 200; 50 by default.
    pub limit: Option<i64>,
}

/// A page of the patrols that somebody may see, last changed first.
pub fn patrol_page(
    conn: &mut AnyConnection,
    subject: &Subject,
    filter: &PatrolFilter,
) -> Result<Result<Page<PatrolSummary>, QueryError>, DbError> {
    let asked = || -> Result<_, QueryError> {
        Ok((page_limit(filter.limit)?, filter.cursor.as_deref().map(decode_cursor).transpose()?))
    };
    let (limit, after) = match asked() {
        Ok(asked) => asked,
        Err(e) => return Ok(Err(e)),
    };
    let communities: Vec<String> = subject.communities().into_iter().map(String::from).collect();
    let key = |r: &PatrolSummary| (r.updated_ms, r.id.clone());
    let fetch = |after: Option<&After>, limit| {
        let mut query = patrols::table.filter(patrols::community.eq_any(&communities)).into_boxed();
        if let Some(v) = &filter.community {
            query = query.filter(patrols::community.eq(v));
        }
        if let Some(v) = &filter.building {
            query = query.filter(patrols::building.eq(v));
        }
        if let Some(v) = &filter.status {
            query = query.filter(patrols::status.eq(v));
        }
        if let Some((value, id)) = after.cloned() {
            query = query
                .filter(patrols::updated_ms.lt(value).or(patrols::updated_ms.eq(value).and(patrols::document.lt(id))));
        }
        let ordered = query.order((patrols::updated_ms.desc(), patrols::document.desc())).limit(limit);
        Ok(ordered.select(PatrolSummary::as_select()).load(conn)?)
    };
    fill(subject, DocumentKind::Patrol, limit, after, key, fetch).map(Ok)
}

impl Placed for PatrolSummary {
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str) {
        (&self.id, &self.community, self.grid.as_ref(), self.building.as_ref(), &self.created_by)
    }
}
