//! Who is charged with what at one moment, read in two queries however many people there are.

use std::collections::HashMap;

use diesel::prelude::*;
use sync_core::authority::Subject;
use sync_core::role::Role;

use super::users::{self, User};
use crate::areas::Tree;
use crate::db::tables::assignments;
use crate::db::{AnyConnection, DbError};

/// One account with the roles it holds.
#[derive(Debug, Clone)]
pub struct Member {
    /// The account.
    pub user: User,
    /// Its roles, each with the code of its area.
    pub roles: Vec<(Role, String)>,
}

/// Every account with the roles it holds at a moment, by login.
pub fn at(conn: &mut AnyConnection, now_ms: i64) -> Result<Vec<Member>, DbError> {
    let rows: Vec<(String, String, String)> = assignments::table
        .filter(assignments::from_ms.le(now_ms))
        .filter(assignments::until_ms.is_null().or(assignments::until_ms.gt(now_ms)))
        .order((assignments::role, assignments::area))
        .select((assignments::user_id, assignments::role, assignments::area))
        .load(conn)?;
    let mut roles: HashMap<String, Vec<(Role, String)>> = HashMap::new();
    for (user, role, area) in rows {
        if let Some(role) = Role::parse(&role) {
            roles.entry(user).or_default().push((role, area));
        }
    }
    let member = |user: User| Member { roles: roles.remove(&user.id).unwrap_or_default(), user };
    Ok(users::all(conn)?.into_iter().map(member).collect())
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
