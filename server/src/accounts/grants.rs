//! What somebody may do: his assignments, with the communities that each area covers.

use diesel::prelude::*;
use sync_core::authority::{Grant, Subject};
use sync_core::ids::{AreaCode, UserId};
use sync_core::role::{AreaKind, Role};

use crate::db::tables::{areas, assignments};
use crate::db::{AnyConnection, DbError};

/// Every role that a person holds or ever held.
pub fn ever(conn: &mut AnyConnection, user: UserId) -> Result<Subject, DbError> {
    type Row = (String, String, i64, Option<i64>, String, String);
    let rows: Vec<Row> = assignments::table
        .inner_join(areas::table.on(areas::code.eq(assignments::area)))
        .filter(assignments::user_id.eq(user.to_string()))
        .order((assignments::role, assignments::area, assignments::from_ms))
        .select((
            assignments::role,
            assignments::area,
            assignments::from_ms,
            assignments::until_ms,
            areas::kind,
            areas::path,
        ))
        .load(conn)?;
    let mut grants = Vec::with_capacity(rows.len());
    for (role, area, from_ms, until_ms, kind, path) in rows {
        let row = || DbError::Row(format!("assignment {role} in {area}"));
        let kind = AreaKind::parse(&kind).ok_or_else(row)?;
        let communities = communities(conn, kind, &path)?;
        grants.push(Grant {
            role: Role::parse(&role).ok_or_else(row)?,
            area: AreaCode::new(area.clone()).map_err(|_| row())?,
            kind,
            communities,
            from_ms,
            until_ms,
        });
    }
    Ok(Subject { user, grants })
}

/// The roles that a person holds now.
pub fn now(conn: &mut AnyConnection, user: UserId, now_ms: i64) -> Result<Subject, DbError> {
    let mut subject = ever(conn, user)?;
    subject.grants.retain(|g| g.held_between(now_ms, now_ms));
    Ok(subject)
}

fn communities(conn: &mut AnyConnection, kind: AreaKind, path: &str) -> Result<Vec<AreaCode>, DbError> {
    let codes = match kind {
        AreaKind::District | AreaKind::Street => areas::table
            .filter(areas::kind.eq(AreaKind::Community.as_str()))
            .filter(areas::path.like(crate::areas::within(path)).escape('\\'))
            .order(areas::code)
            .select(areas::code)
            .load::<String>(conn)?,
        // district/street/community/...
        _ => path.split('/').nth(2).map(str::to_owned).into_iter().collect(),
    };
    Ok(codes.into_iter().filter_map(|c| AreaCode::new(c).ok()).collect())
}
