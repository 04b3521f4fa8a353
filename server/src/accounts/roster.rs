//! Who is charged with what at one moment, read in two queries however many people there are.

use std::collections::HashMap;

use diesel::prelude::*;
use sync_core::authority::Subject;
use sync_core::role::Role;

use super::users::User;
use crate::areas::{self, Tree};
use crate::db::tables::{self, assignments, users};
use crate::db::{AnyConnection, DbError};

/// One account with the roles it holds.
#[derive(Debug, Clone)]
pub struct Member {
    /// The account.
    pub user: User,
    /// Its roles, each with the code of its area.
    pub roles: Vec<(Role, String)>,
    /// Where others look after it: the areas of its roles, or, when it holds none any more, of those it held before. Who has left
    /// an area still has its phone in his pocket.
    pub areas: Vec<String>,
}

/// Every account with the roles it holds at a moment, by login.
pub fn at(conn: &mut AnyConnection, now_ms: i64) -> Result<Vec<Member>, DbError> {
    let rows: Vec<(String, String, String, Option<i64>)> = assignments::table
        .filter(assignments::from_ms.le(now_ms))
        .order((assignments::role, assignments::area))
        .select((assignments::user_id, assignments::role, assignments::area, assignments::until_ms))
        .load(conn)?;
    let mut roles: HashMap<String, Vec<(Role, String)>> = HashMap::new();
    let mut former: HashMap<String, Vec<String>> = HashMap::new();
    for (user, role, area, until_ms) in rows {
        if until_ms.is_some_and(|until| until <= now_ms) {
            former.entry(user).or_default().push(area);
        } else if let Some(role) = Role::parse(&role) {
            roles.entry(user).or_default().push((role, area));
        }
    }
    let member = |user: User| {
        let roles = roles.remove(&user.id).unwrap_or_default();
        let held = roles.iter().map(|(_, area)| area.clone()).collect();
        let areas = if roles.is_empty() { former.remove(&user.id).unwrap_or_default() } else { held };
        Member { user, roles, areas }
    };
    Ok(super::users::all(conn)?.into_iter().map(member).collect())
}

/// Who holds a role in an area, in one within it or in one above, by login: id and name.
pub fn around(conn: &mut AnyConnection, area: &str, now_ms: i64) -> Result<Vec<(String, String)>, DbError> {
    let Some(home) = areas::find(conn, area)? else { return Ok(Vec::new()) };
    let above: Vec<String> = home.path.split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect();
    let within = areas::within(&home.path);
    let rows: Vec<(String, String, String)> = users::table
        .inner_join(assignments::table.on(assignments::user_id.eq(users::id)))
        .inner_join(tables::areas::table.on(tables::areas::code.eq(assignments::area)))
        .filter(users::active.eq(true))
        .filter(assignments::from_ms.le(now_ms))
        .filter(assignments::until_ms.is_null().or(assignments::until_ms.gt(now_ms)))
        .filter(tables::areas::code.eq_any(above).or(tables::areas::path.like(within).escape('\\')))
        .select((users::login, users::id, users::name))
        .distinct()
        .order(users::login)
        .load(conn)?;
    Ok(rows.into_iter().map(|(_, id, name)| (id, name)).collect())
}

/// Whether somebody looks after people of this area: as administrator or supervisor of it or of one above.
pub fn looks_after(subject: &Subject, tree: &Tree, area: &str) -> bool {
    let overseeing = subject.grants.iter().filter(|g| matches!(g.role, Role::Administrator | Role::Supervisor));
    overseeing.into_iter().any(|g| tree.contains(g.area.as_str(), area))
}

/// Whether somebody may give roles in this area.
pub fn administers(subject: &Subject, tree: &Tree, area: &str) -> bool {
    let granted = subject.grants.iter().filter(|g| g.role == Role::Administrator);
    granted.into_iter().any(|g| tree.contains(g.area.as_str(), area))
}
