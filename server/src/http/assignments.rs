//! Who is charged with what: beginning and ending one charge, and handing an area on in one act. Nothing is ever deleted: what somebody
//! wrote while an area was his is judged by what held then.

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::ids::{AreaCode, UserId};
use sync_core::role::Role;
use utoipa::ToSchema;

use super::audit::looked;
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use super::users::RoleRequest;
use crate::accounts::users::Assignment;
use crate::accounts::{roster, users};
use crate::app::App;
use crate::areas::Tree;
use crate::audit::Act;
use crate::db::AnyConnection;

/// A role in an area, now or before.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssignmentView {
    /// The role.
    pub role: String,
    /// The area's code.
    pub area: String,
    /// From when, ms UTC.
    pub from_ms: i64,
    /// Until when, ms UTC; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// What somebody is and was charged with.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssignmentsView {
    /// Latest first; those in areas that the asker looks after.
    pub items: Vec<AssignmentView>,
}

/// An area that goes from one person to another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReassignRequest {
    /// The role in it.
    pub role: String,
    /// The account that has it.
    pub from: String,
    /// The account that gets it.
    pub to: String,
}

impl From<Assignment> for AssignmentView {
    fn from(a: Assignment) -> Self {
        Self { role: a.role, area: a.area, from_ms: a.from_ms, until_ms: a.until_ms }
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/users/{id}/assignments").route(web::get().to(list)).route(web::post().to(begin)))
        .service(web::resource("/users/{id}/assignments/end").route(web::post().to(end)))
        .service(web::resource("/areas/{area}/reassign").route(web::post().to(reassign)));
}

fn unknown() -> Problem {
    Problem::not_found("there is no such person among those that you look after")
}

fn role(text: &str) -> Result<Role, Problem> {
    Role::parse(text).ok_or_else(|| Problem::invalid("field_invalid", format!("`{text}` is no role")).field("role"))
}

fn area(text: String) -> Result<AreaCode, Problem> {
    AreaCode::new(text).map_err(|e| Problem::invalid("field_invalid", e.to_string()).field("area"))
}

/// Areas that are not there and those that lie elsewhere are answered alike.
fn must_administer(principal: &Principal, tree: &Tree, area: &AreaCode) -> Result<(), Problem> {
    if roster::administers(&principal.subject, tree, area.as_str()) {
        return Ok(());
    }
    Err(Problem::forbidden(format!("`{area}` is no area that you administer")).field("area"))
}

fn must_exist(conn: &mut AnyConnection, user: UserId, field: &str) -> Result<(), Problem> {
    match users::by_id(conn, user)? {
        Some(user) if user.active => Ok(()),
        _ => Err(Problem::not_found("there is no such account, or it is closed").field(field)),
    }
}

fn shown(conn: &mut AnyConnection, principal: &Principal, user: UserId) -> Result<AssignmentsView, Problem> {
    let tree = Tree::load(conn)?;
    let own = principal.user == user;
    let all = users::assignments_of(conn, user)?.into_iter();
    let items: Vec<AssignmentView> = all
        .filter(|a| own || roster::looks_after(&principal.subject, &tree, &a.area))
        .map(AssignmentView::from)
        .collect();
    if items.is_empty() && !own { Err(unknown()) } else { Ok(AssignmentsView { items }) }
}

/// What somebody is and was charged with: oneself, or a person of an area that one looks after.
#[utoipa::path(get, path = "/v1/users/{id}/assignments", tag = "accounts", params(("id" = String, Path, description = "The account")),
    responses((status = 200, body = AssignmentsView), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn list(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
) -> Result<web::Json<AssignmentsView>, Problem> {
    let user: UserId = path.parse().map_err(|_| unknown())?;
    let shared = app.clone();
    let found = app.run(move |conn| -> Result<AssignmentsView, Problem> {
        let found = shown(conn, &principal, user)?;
        let detail = json!({ "found": found.items.len() });
        looked(conn, &shared, &principal.origin(), ("user.assignments", &user.to_string()), detail)?;
        Ok(found)
    });
    Ok(web::Json(found.await?))
}

/// Charges somebody with a role in an area from now on. Doing it twice changes nothing.
#[utoipa::path(post, path = "/v1/users/{id}/assignments", tag = "accounts", params(("id" = String, Path, description = "The account")),
    request_body = RoleRequest,
    responses((status = 201, body = AssignmentsView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(super) async fn begin(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
    body: web::Json<RoleRequest>,
) -> Result<(web::Json<AssignmentsView>, StatusCode), Problem> {
    principal.must_hold(&[Role::Administrator])?;
    let user: UserId = path.parse().map_err(|_| unknown())?;
    let RoleRequest { role: role_name, area: code } = body.into_inner();
    let (role, area) = (role(&role_name)?, area(code)?);
    let inner = app.clone();
    let done = app.transact(move |conn| -> Result<AssignmentsView, Problem> {
        must_administer(&principal, &Tree::load(conn)?, &area)?;
        must_exist(conn, user, "id")?;
        users::assign(conn, user, role, &area, inner.now_ms(), &inner.entropy)?;
        let detail = json!({"role": role.as_str(), "area": area.as_str()});
        Act::new(&principal.origin(), "user.assign", user).detail(detail).record(
            conn,
            inner.now_ms(),
            &inner.entropy,
        )?;
        shown(conn, &principal, user)
    });
    Ok((web::Json(done.await?), StatusCode::CREATED))
}

/// Ends a role in an area from now on. What was written while it lasted is still accepted; the phone is told to purge what it may no
/// longer hold.
#[utoipa::path(post, path = "/v1/users/{id}/assignments/end", tag = "accounts",
    params(("id" = String, Path, description = "The account")), request_body = RoleRequest,
    responses((status = 200, body = AssignmentsView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn end(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
    body: web::Json<RoleRequest>,
) -> Result<web::Json<AssignmentsView>, Problem> {
    principal.must_hold(&[Role::Administrator])?;
    let user: UserId = path.parse().map_err(|_| unknown())?;
    let RoleRequest { role: role_name, area: code } = body.into_inner();
    let (role, area) = (role(&role_name)?, area(code)?);
    let inner = app.clone();
    let now_ms = app.now_ms();
    let done = app.transact(move |conn| -> Result<AssignmentsView, Problem> {
        must_administer(&principal, &Tree::load(conn)?, &area)?;
        if !users::unassign(conn, user, role, &area, now_ms)? {
            return Err(not_held());
        }
        let detail = json!({"role": role.as_str(), "area": area.as_str()});
        Act::new(&principal.origin(), "user.unassign", user).detail(detail).record(conn, now_ms, &inner.entropy)?;
        shown(conn, &principal, user)
    });
    Ok(web::Json(done.await?))
}

fn not_held() -> Problem {
    Problem::conflict("role_not_held", "this person does not hold that role in that area now")
        .remedy("see the assignments of the person")
}

/// Hands an area from one person to another at one moment: work made before it is the first one's, work made after it the second's.
#[utoipa::path(post, path = "/v1/areas/{area}/reassign", tag = "areas", params(("area" = String, Path, description = "The area's code")),
    request_body = ReassignRequest,
    responses((status = 200, body = AssignmentsView, description = "The assignments of who gets it"), (status = 400, body = ProblemBody),
        (status = 401, body = ProblemBody), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn reassign(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
    body: web::Json<ReassignRequest>,
) -> Result<web::Json<AssignmentsView>, Problem> {
    principal.must_hold(&[Role::Administrator])?;
    let ReassignRequest { role: role_name, from, to } = body.into_inner();
    let (role, area) = (role(&role_name)?, area(path.into_inner())?);
    let person = |text: &str, field: &str| -> Result<UserId, Problem> {
        text.parse().map_err(|e| Problem::invalid("field_invalid", format!("{e}")).field(field))
    };
    let (from, to) = (person(&from, "from")?, person(&to, "to")?);
    if from == to {
        return Err(Problem::invalid("field_invalid", "an area is handed on to somebody else").field("to"));
    }
    let inner = app.clone();
    let done = app.transact(move |conn| -> Result<AssignmentsView, Problem> {
        must_administer(&principal, &Tree::load(conn)?, &area)?;
        must_exist(conn, to, "to")?;
        if !users::hand_on(conn, (role, &area), (from, to), inner.now_ms(), &inner.entropy)? {
            return Err(not_held().field("from"));
        }
        let detail = json!({"role": role.as_str(), "from": from.to_string(), "to": to.to_string()});
        Act::new(&principal.origin(), "area.reassign", &area).detail(detail).record(
            conn,
            inner.now_ms(),
            &inner.entropy,
        )?;
        shown(conn, &principal, to)
    });
    Ok(web::Json(done.await?))
}
