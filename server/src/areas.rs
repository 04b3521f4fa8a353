//! The tree of areas, and the import files that fill it. An import is all or nothing; it adds and renames, and never deletes.

mod import;
mod tree;

use diesel::prelude::*;
use sync_core::role::AreaKind;

use crate::db::tables::{areas, communities};
use crate::db::{AnyConnection, DbError};

pub use import::{ImportError, Imported, Plan, import, parse};
pub use tree::Tree;

/// One area.
#[derive(Debug, Clone, Queryable, PartialEq, Eq)]
pub struct Area {
    /// The customer's code.
    pub code: String,
    /// district, street, community, grid or building.
    pub kind: String,
    /// What people call it.
    pub name: String,
    /// The area it lies in.
    pub parent: Option<String>,
    /// Codes from the district down to this one, each followed by a slash.
    pub path: String,
}

/// All areas, by path.
pub fn all(conn: &mut AnyConnection) -> Result<Vec<Area>, DbError> {
    Ok(areas::table.order(areas::path).load::<Area>(conn)?)
}

/// One area.
pub fn find(conn: &mut AnyConnection, code: &str) -> Result<Option<Area>, DbError> {
    Ok(areas::table.find(code).first::<Area>(conn).optional()?)
}

/// Adds an area, or renames the one of that code.
fn put(
    conn: &mut AnyConnection,
    code: &str,
    kind: AreaKind,
    name: &str,
    parent: Option<&str>,
    path: &str,
) -> Result<bool, DbError> {
    if find(conn, code)?.is_some() {
        diesel::update(areas::table.find(code)).set(areas::name.eq(name)).execute(conn)?;
        return Ok(false);
    }
    diesel::insert_into(areas::table)
        .values((
            areas::code.eq(code),
            areas::kind.eq(kind.as_str()),
            areas::name.eq(name),
            areas::parent.eq(parent),
            areas::path.eq(path),
        ))
        .execute(conn)?;
    if kind == AreaKind::Community {
        diesel::insert_into(communities::table)
            .values((communities::code.eq(code), communities::head.eq(0)))
            .execute(conn)?;
    }
    Ok(true)
}

/// The areas of a kind that lie in this one, by code.
pub fn inside(conn: &mut AnyConnection, outer: &str, kind: AreaKind, limit: i64) -> Result<Vec<Area>, DbError> {
    let Some(outer) = find(conn, outer)? else { return Ok(Vec::new()) };
    let all =
        areas::table.filter(areas::kind.eq(kind.as_str())).filter(areas::path.like(within(&outer.path)).escape('\\'));
    Ok(all.order(areas::code).limit(limit).load::<Area>(conn)?)
}

/// A `LIKE` pattern, escaped by `\`, for the paths of an area and of all that lies in it.
pub(crate) fn within(path: &str) -> String {
    format!("{}%", path.replace('_', "\\_"))
}

/// What lies in an area, as lists are narrowed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The communities that it is, covers or lies in.
    pub communities: Vec<String>,
    /// The grid or building, where it is one.
    pub part: Option<(AreaKind, String)>,
}

/// What lies in an area of any kind; nothing, if there is no such area.
pub fn scope(conn: &mut AnyConnection, code: &str) -> Result<Option<Scope>, DbError> {
    let Some(area) = find(conn, code)? else { return Ok(None) };
    let kind = AreaKind::parse(&area.kind).ok_or_else(|| DbError::Row(format!("the kind of area {code}")))?;
    let communities = areas::table.filter(areas::kind.eq(AreaKind::Community.as_str())).select(areas::code);
    Ok(Some(match kind {
        AreaKind::District | AreaKind::Street => {
            let inside = communities.filter(areas::path.like(within(&area.path)).escape('\\'));
            Scope { communities: inside.load(conn)?, part: None }
        }
        AreaKind::Community => Scope { communities: vec![area.code], part: None },
        AreaKind::Grid | AreaKind::Building => {
            let above: Vec<&str> = area.path.split('/').filter(|c| !c.is_empty()).collect();
            let communities = communities.filter(areas::code.eq_any(above)).load(conn)?;
            Scope { communities, part: Some((kind, area.code)) }
        }
    }))
}

/// What areas are called, by code.
pub fn names(
    conn: &mut AnyConnection,
    codes: &[String],
) -> Result<std::collections::BTreeMap<String, String>, DbError> {
    let rows = areas::table.filter(areas::code.eq_any(codes)).select((areas::code, areas::name));
    Ok(rows.load::<(String, String)>(conn)?.into_iter().collect())
}
