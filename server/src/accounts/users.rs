//! Accounts and assignments.

use diesel::prelude::*;
use sync_core::ids::{AreaCode, Entropy, UserId};
use sync_core::role::Role;

use super::password;
use crate::db::tables::{assignments, users};
use crate::db::{AnyConnection, DbError};
use crate::plain;

/// One account.
#[derive(Debug, Clone, Queryable)]
pub struct User {
    /// Its id.
    pub id: String,
    /// What its owner types.
    pub login: String,
    /// What people call him.
    pub name: String,
    /// Argon2id.
    pub password_hash: String,
    /// False after it was closed.
    pub active: bool,
    /// ms UTC.
    pub created_ms: i64,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Somebody has it.
    #[error("the login `{0}` is taken; choose another")]
    LoginTaken(String),
    /// Too short, or not usable.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong and what would do.
        problem: String,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for UserError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

/// The account of a login.
pub fn by_login(conn: &mut AnyConnection, login: &str) -> Result<Option<User>, DbError> {
    // No login holds one, and PostgreSQL does not even look for it.
    if login.contains('\0') {
        return Ok(None);
    }
    Ok(users::table.filter(users::login.eq(login)).first::<User>(conn).optional()?)
}

/// The account of an id.
pub fn by_id(conn: &mut AnyConnection, id: UserId) -> Result<Option<User>, DbError> {
    Ok(users::table.find(id.to_string()).first::<User>(conn).optional()?)
}

/// All accounts, by login.
pub fn all(conn: &mut AnyConnection) -> Result<Vec<User>, DbError> {
    Ok(users::table.order(users::login).load::<User>(conn)?)
}

/// Makes an account.
pub fn add(
    conn: &mut AnyConnection,
    login: &str,
    name: &str,
    secret: &str,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<UserId, UserError> {
    add_as(conn, UserId::from_parts(now_ms, entropy.ten()), (login, name, secret), now_ms)
}

/// Makes an account under an identity that it had before: the server that knew it was lost.
pub fn add_as(
    conn: &mut AnyConnection,
    id: UserId,
    (login, name, secret): (&str, &str, &str),
    now_ms: i64,
) -> Result<UserId, UserError> {
    if id == UserId::SYSTEM || by_id(conn, id)?.is_some() {
        return Err(UserError::Invalid { field: "id", problem: "another account has this identity".into() });
    }
    let fits =
        (2..=64).contains(&login.len()) && login.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
    if !fits {
        return Err(UserError::Invalid {
            field: "login",
            problem: "2 to 64 ASCII letters, digits, `-`, `_`, `.` or `@`".into(),
        });
    }
    if name.trim().is_empty() || name.chars().count() > 64 {
        return Err(UserError::Invalid { field: "name", problem: "1 to 64 characters".into() });
    }
    if !plain::is_plain(name.trim()) {
        return Err(UserError::Invalid { field: "name", problem: plain::REMEDY.into() });
    }
    if secret.chars().count() < password::CHARS_MIN {
        return Err(UserError::Invalid {
            field: "password",
            problem: format!("at least {} characters", password::CHARS_MIN),
        });
    }
    if by_login(conn, login)?.is_some() {
        return Err(UserError::LoginTaken(login.to_owned()));
    }
    let hash = password::hash(secret).map_err(|problem| UserError::Invalid { field: "password", problem })?;
    diesel::insert_into(users::table)
        .values((
            users::id.eq(id.to_string()),
            users::login.eq(login),
            users::name.eq(name.trim()),
            users::password_hash.eq(hash),
            users::active.eq(true),
            users::created_ms.eq(now_ms),
        ))
        .execute(conn)?;
    Ok(id)
}

/// One charge of a person: a role in an area for a time.
#[derive(Debug, Clone, Queryable)]
pub struct Assignment {
    /// The role.
    pub role: String,
    /// The area's code.
    pub area: String,
    /// From when, ms UTC.
    pub from_ms: i64,
    /// Until when; none while it lasts.
    pub until_ms: Option<i64>,
}

/// Everything that a person is or was charged with, latest first.
pub fn assignments_of(conn: &mut AnyConnection, user: UserId) -> Result<Vec<Assignment>, DbError> {
    Ok(assignments::table
        .filter(assignments::user_id.eq(user.to_string()))
        .order((assignments::from_ms.desc(), assignments::role, assignments::area))
        .select((assignments::role, assignments::area, assignments::from_ms, assignments::until_ms))
        .load::<Assignment>(conn)?)
}

/// Hands an area from one person to another in one act: at no moment is it nobody's, and at none are both charged with it. Gives
/// false, and changes nothing, when the first one is not charged with it.
pub fn hand_on(
    conn: &mut AnyConnection,
    (role, area): (Role, &AreaCode),
    (from, to): (UserId, UserId),
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<bool, DbError> {
    if !unassign(conn, from, role, area, now_ms)? {
        return Ok(false);
    }
    assign(conn, to, role, area, now_ms, entropy)?;
    Ok(true)
}

/// Charges somebody with a role in an area from now on. Doing it twice changes nothing.
pub fn assign(
    conn: &mut AnyConnection,
    user: UserId,
    role: Role,
    area: &AreaCode,
    now_ms: i64,
    entropy: &dyn Entropy,
) -> Result<(), DbError> {
    // Two who do it at once must not both find nothing there: an update that changes nothing takes the person's lock.
    diesel::update(users::table.find(user.to_string())).set(users::active.eq(users::active)).execute(conn)?;
    let standing: i64 = assignments::table
        .filter(assignments::user_id.eq(user.to_string()))
        .filter(assignments::role.eq(role.as_str()))
        .filter(assignments::area.eq(area.as_str()))
        .filter(assignments::until_ms.is_null())
        .count()
        .get_result(conn)?;
    if standing == 0 {
        diesel::insert_into(assignments::table)
            .values((
                assignments::id.eq(UserId::from_parts(now_ms, entropy.ten()).to_string()),
                assignments::user_id.eq(user.to_string()),
                assignments::role.eq(role.as_str()),
                assignments::area.eq(area.as_str()),
                assignments::from_ms.eq(now_ms),
                assignments::until_ms.eq(None::<i64>),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Ends a role in an area.
pub fn unassign(
    conn: &mut AnyConnection,
    user: UserId,
    role: Role,
    area: &AreaCode,
    now_ms: i64,
) -> Result<bool, DbError> {
    let ended = diesel::update(
        assignments::table
            .filter(assignments::user_id.eq(user.to_string()))
            .filter(assignments::role.eq(role.as_str()))
            .filter(assignments::area.eq(area.as_str()))
            .filter(assignments::until_ms.is_null()),
    )
    .set(assignments::until_ms.eq(Some(now_ms)))
    .execute(conn)?;
    Ok(ended > 0)
}

/// Closes an account; what it wrote stays.
pub fn disable(conn: &mut AnyConnection, login: &str) -> Result<bool, DbError> {
    Ok(diesel::update(users::table.filter(users::login.eq(login))).set(users::active.eq(false)).execute(conn)? > 0)
}
