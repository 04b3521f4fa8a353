//! Documents whose place changed: noted by the merge, read by the feed (who lost sight of it, who gained it) and by the judge (work that
//! was done while it still lay in the former place).

use std::collections::BTreeMap;

use diesel::prelude::*;
use sync_core::authority::Place;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::sync::server::FormerPlace;

use crate::db::tables::document_moves as moves;
use crate::db::{AnyConnection, DbError};

/// One move.
#[derive(Debug, Clone, Queryable)]
pub struct Move {
    /// The community.
    pub community: String,
    /// Where in its journal.
    pub position: i64,
    /// Which document.
    pub document: String,
    /// The grid before.
    pub from_grid: Option<String>,
    /// The building before.
    pub from_building: Option<String>,
    /// The grid since.
    pub to_grid: Option<String>,
    /// The building since.
    pub to_building: Option<String>,
    /// When the server learned of it, ms UTC.
    pub moved_ms: i64,
}

fn area(code: &Option<String>) -> Option<AreaCode> {
    code.as_ref().and_then(|c| AreaCode::new(c.clone()).ok())
}

impl Move {
    /// Where the document lay before, given where it lies now.
    pub fn before(&self, now: &Place) -> Place {
        Place { grid: area(&self.from_grid), building: area(&self.from_building), ..now.clone() }
    }

    /// Where it lay afterwards, given where it lies now.
    pub fn after(&self, now: &Place) -> Place {
        Place { grid: area(&self.to_grid), building: area(&self.to_building), ..now.clone() }
    }
}

/// Notes that a change moved a document, if it did.
pub fn note(
    conn: &mut AnyConnection,
    before: &Place,
    after: &Place,
    position: i64,
    now_ms: i64,
) -> Result<(), DbError> {
    if before.grid == after.grid && before.building == after.building {
        return Ok(());
    }
    let code = |area: &Option<AreaCode>| area.as_ref().map(ToString::to_string);
    diesel::insert_into(moves::table)
        .values((
            moves::community.eq(after.community.as_str()),
            moves::position.eq(position),
            moves::document.eq(after.document.to_string()),
            moves::from_grid.eq(code(&before.grid)),
            moves::from_building.eq(code(&before.building)),
            moves::to_grid.eq(code(&after.grid)),
            moves::to_building.eq(code(&after.building)),
            moves::moved_ms.eq(now_ms),
        ))
        .execute(conn)?;
    Ok(())
}

/// The moves of a community behind a position, by document, in order.
pub fn behind(
    conn: &mut AnyConnection,
    community: &AreaCode,
    position: i64,
) -> Result<BTreeMap<String, Vec<Move>>, DbError> {
    let rows = moves::table
        .filter(moves::community.eq(community.as_str()))
        .filter(moves::position.gt(position))
        .order(moves::position)
        .load::<Move>(conn)?;
    let mut by_document: BTreeMap<String, Vec<Move>> = BTreeMap::new();
    for row in rows {
        by_document.entry(row.document.clone()).or_default().push(row);
    }
    Ok(by_document)
}

/// Where documents used to lie, and until when.
pub fn former(conn: &mut AnyConnection, ids: &[String]) -> Result<BTreeMap<DocumentId, Vec<FormerPlace>>, DbError> {
    let rows = moves::table.filter(moves::document.eq_any(ids)).order(moves::position).load::<Move>(conn)?;
    let mut by_document: BTreeMap<DocumentId, Vec<FormerPlace>> = BTreeMap::new();
    for row in rows {
        let id = row.document.parse().map_err(|_| DbError::Row(format!("move of {}", row.document)))?;
        by_document.entry(id).or_default().push(FormerPlace {
            grid: area(&row.from_grid),
            building: area(&row.from_building),
            until_ms: row.moved_ms,
        });
    }
    Ok(by_document)
}
