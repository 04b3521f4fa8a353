//! Accounts as administrators and supervisors see them; administrators make new ones within their own area.

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::ids::AreaCode;
use sync_core::role::Role;
use utoipa::{IntoParams, ToSchema};

use super::audit::looked;
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::accounts::roster::{self, Member};
use crate::accounts::users;
use crate::app::App;
use crate::areas::Tree;
use crate::audit::Act;

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 500;
const ROLES_MAX: usize = 32;

/// An account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// What its owner will type.
    pub login: String,
    /// What people call him.
    pub name: String,
    /// At least 8 characters.
    pub password: String,
    /// At least one; each in an area that the asker administers.
    pub roles: Vec<RoleRequest>,
}

/// A role to be given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleRequest {
    /// The role.
    pub role: String,
    /// The area's code.
    pub area: String,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Its identity.
    pub id: String,
    /// What its owner types.
    pub login: String,
    /// What people call him.
    pub name: String,
    /// False after it was closed.
    pub active: bool,
    /// The roles held now.
    pub roles: Vec<HeldView>,
}

/// A role that somebody holds.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldView {
    /// The role.
    pub role: &'static str,
    /// The area's code.
    pub area: String,
}

/// One page of accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsersView {
    /// By login.
    pub items: Vec<UserView>,
    /// Give this as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The login after which the page begins.
    pub after: Option<String>,
    /// How many, 1 to 500; 100 when not given.
    pub limit: Option<usize>,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/users").route(web::get().to(list)).route(web::post().to(create)));
}

fn view(member: Member) -> UserView {
    let roles = member.roles.into_iter().map(|(role, area)| HeldView { role: role.as_str(), area });
    UserView {
        id: member.user.id,
        login: member.user.login,
        name: member.user.name,
        active: member.user.active,
        roles: roles.collect(),
    }
}

/// The accounts that hold a role, or held their last, where the asker is administrator or supervisor.
#[utoipa::path(get, path = "/v1/users", tag = "accounts", params(PageQuery),
    responses((status = 200, body = UsersView), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)))]
pub(super) async fn list(
    app: web::Data<App>,
    principal: Principal,
    query: web::Query<PageQuery>,
) -> Result<web::Json<UsersView>, Problem> {
    principal.must_hold(&[Role::Administrator, Role::Supervisor])?;
    let PageQuery { after, limit } = query.into_inner();
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::invalid("query_invalid", "`limit` is 1 to 500").field("limit"));
    }
    let now_ms = app.now_ms();
    let shared = app.clone();
    let members = app.run(move |conn| -> Result<Vec<Member>, Problem> {
        let tree = Tree::load(conn)?;
        let seen = |m: &Member| {
            after.as_ref().is_none_or(|after| m.user.login > *after)
                && m.areas.iter().any(|area| roster::looks_after(&principal.subject, &tree, area))
        };
        let found: Vec<Member> = roster::at(conn, now_ms)?.into_iter().filter(seen).take(limit + 1).collect();
        let detail = json!({ "found": found.len().min(limit) });
        looked(conn, &shared, &principal.origin(), ("user.list", "users"), detail)?;
        Ok(found)
    });
    let mut items: Vec<UserView> = members.await?.into_iter().map(view).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|u| u.login.clone());
    Ok(web::Json(UsersView { items, next }))
}

/// Makes an account.
#[utoipa::path(post, path = "/v1/users", tag = "accounts", request_body = UserRequest,
    responses((status = 201, body = UserView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(super) async fn create(
    app: web::Data<App>,
    principal: Principal,
    body: web::Json<UserRequest>,
) -> Result<(web::Json<UserView>, StatusCode), Problem> {
    principal.must_hold(&[Role::Administrator])?;
    let UserRequest { login, name, password, roles } = body.into_inner();
    if roles.is_empty() || roles.len() > ROLES_MAX {
        return Err(Problem::invalid("field_invalid", "an account is made with 1 to 32 roles").field("roles"));
    }
    let mut wanted = Vec::with_capacity(roles.len());
    for RoleRequest { role, area } in roles {
        let known = Role::parse(&role)
            .ok_or_else(|| Problem::invalid("field_invalid", format!("`{role}` is no role")).field("roles.role"))?;
        let area =
            AreaCode::new(area).map_err(|e| Problem::invalid("field_invalid", e.to_string()).field("roles.area"))?;
        wanted.push((known, area));
    }
    let turn = app.password_checks.acquire().await.map_err(|e| Problem::internal(&e))?;
    let inner = app.clone();
    let made = app.transact(move |conn| -> Result<UserView, Problem> {
        let (app, now_ms) = (&*inner, inner.now_ms());
        let tree = Tree::load(conn)?;
        for (_, area) in &wanted {
            // An area that is not there and one that lies elsewhere are answered alike.
            if !roster::administers(&principal.subject, &tree, area.as_str()) {
                return Err(Problem::forbidden(format!("`{area}` is no area that you administer")).field("roles.area"));
            }
        }
        let id = users::add(conn, &login, &name, &password, now_ms, &app.entropy)?;
        for (role, area) in &wanted {
            users::assign(conn, id, *role, area, now_ms, &app.entropy)?;
        }
        let held: Vec<_> = wanted.iter().map(|(role, area)| format!("{}@{area}", role.as_str())).collect();
        let act = Act::new(&principal.origin(), "user.create", id).detail(json!({ "roles": held }));
        act.record(conn, now_ms, &app.entropy)?;
        tracing::info!(user = %id, by = %principal.user, "account made");
        let roles =
            wanted.iter().map(|(role, area)| HeldView { role: role.as_str(), area: area.to_string() }).collect();
        Ok(UserView { id: id.to_string(), login, name: name.trim().to_owned(), active: true, roles })
    });
    let made = made.await?;
    drop(turn);
    Ok((web::Json(made), StatusCode::CREATED))
}
