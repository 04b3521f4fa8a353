//! The rows of hazards, computed from the patrol records in which they were found.

use diesel::prelude::*;
use sync_core::authority::Place;
use sync_core::document::Document;
use sync_core::ids::made_ms;
use sync_core::patrol::PatrolState;

use crate::db::tables::hazards;
use crate::db::{AnyConnection, DbError, insert_all};
use crate::masking::Sight;

/// The row of a hazard.
#[derive(Debug, Clone, PartialEq, Queryable, Insertable)]
#[diesel(table_name = hazards)]
#[expect(missing_docs, reason = "the migration documents the columns")]
pub struct HazardRow {
    pub document: String,
    pub hazard: String,
    pub community: String,
    pub grid: Option<String>,
    pub building: Option<String>,
    pub created_by: String,
    pub kind: Option<String>,
    pub grade: Option<String>,
    pub place: String,
    pub note: String,
    pub found_by: Option<String>,
    pub found_ms: i64,
    pub rectify_by_ms: Option<i64>,
    pub rectified_by: Option<String>,
    pub rectified_ms: Option<i64>,
}

/// The rows of a patrol record, by their ids.
pub(super) fn rows(document: &Document, state: &PatrolState) -> Vec<HazardRow> {
    if state.hazards.is_empty() {
        return Vec::new();
    }
    let (place, people) = (Place::of(document), document.actors());
    let authors = document.item_authors("hazards");
    let of_patrol = state.fields.get("place.detail").and_then(|v| v.as_str()).unwrap_or_default();
    let row = |(id, item): (&String, &sync_core::case::Item)| {
        let text = |name: &str| item.fields.get(name).and_then(|v| v.as_str());
        let rectified = state.rectification(id);
        HazardRow {
            document: state.id.to_string(),
            hazard: id.clone(),
            community: state.community.to_string(),
            grid: place.grid.as_ref().map(ToString::to_string),
            building: place.building.as_ref().map(ToString::to_string),
            created_by: state.created_by.to_string(),
            kind: text("kind").map(str::to_owned),
            grade: text("grade").map(str::to_owned),
            place: Sight::list().text(text("place").unwrap_or(of_patrol)),
            note: Sight::list().text(text("note").unwrap_or_default()),
            found_by: authors.get(id).and_then(|actor| people.get(actor)).map(ToString::to_string),
            found_ms: id.parse().ok().and_then(made_ms).unwrap_or(state.created_ms),
            rectify_by_ms: item.fields.get("rectify_by").and_then(|v| v.as_i64()),
            rectified_by: rectified.map(|e| e.by.user.to_string()),
            rectified_ms: rectified.map(|e| e.latest_ms()),
        }
    };
    state.hazards.iter().map(row).collect()
}

/// Writes the rows of a patrol record in the place of those it has; `known` says whether it may have some.
pub(super) fn write(conn: &mut AnyConnection, id: &str, rows: &[HazardRow], known: bool) -> Result<(), DbError> {
    if known {
        diesel::delete(hazards::table.filter(hazards::document.eq(id))).execute(conn)?;
    }
    if !rows.is_empty() {
        insert_all!(conn, hazards::table, rows);
    }
    Ok(())
}

/// The rows that a patrol record has, by their ids.
pub fn hazards_of(conn: &mut AnyConnection, id: &str) -> Result<Vec<HazardRow>, DbError> {
    Ok(hazards::table.filter(hazards::document.eq(id)).order(hazards::hazard).load::<HazardRow>(conn)?)
}
