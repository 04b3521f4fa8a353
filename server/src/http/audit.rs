//! The audit log for those who answer for it: supervisors and administrators of the district. Reading it is itself written down.

use actix_web::web;
use sync_core::role::{AreaKind, Role};

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::{self, Act, Filter, Origin, Page};
use crate::db::{AnyConnection, DbError};

/// Adds this room's routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/audit").route(web::get().to(list)));
}

/// Writes down that somebody looks at a list, before the answer leaves: what it was narrowed to, and how many rows he is given.
pub(crate) fn looked(
    conn: &mut AnyConnection,
    app: &App,
    origin: &Origin,
    (action, object): (&'static str, &str),
    detail: serde_json::Value,
) -> Result<(), DbError> {
    Act::new(origin, action, object).detail(detail).record(conn, app.now_ms(), &app.entropy)
}

/// What a list was narrowed to, as far as it is no words and no place on a page.
pub(crate) fn narrowed(filter: &impl serde::Serialize) -> serde_json::Value {
    let mut told = serde_json::to_value(filter).unwrap_or_default();
    if let Some(map) = told.as_object_mut() {
        map.retain(|name, value| !value.is_null() && !matches!(name.as_str(), "q" | "text" | "cursor" | "after"));
    }
    told
}

/// Who read what and who did what, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Filter),
    responses((status = 200, body = Page), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody)),
    security(("bearer" = [])))]
pub(super) async fn list(
    app: web::Data<App>,
    principal: Principal,
    filter: web::Query<Filter>,
) -> Result<web::Json<Page>, Problem> {
    let answers = |g: &&sync_core::authority::Grant| {
        g.kind == AreaKind::District && matches!(g.role, Role::Supervisor | Role::Administrator)
    };
    let own: Vec<_> = principal.subject.grants.iter().filter(answers).collect();
    if own.is_empty() {
        return Err(Problem::forbidden("the audit log is read by supervisors and administrators of a district"));
    }
    let communities: Vec<String> = own.iter().flat_map(|g| g.communities.iter().cloned().map(String::from)).collect();
    let filter = filter.into_inner();
    if filter.cursor.as_ref().is_some_and(|c| uuid::Uuid::parse_str(c).is_err()) {
        return Err(Problem::invalid("query_invalid", "`cursor`: not a cursor of a page before").field("cursor"));
    }
    let shared = app.clone();
    let page = app.run(move |conn| -> Result<Page, Problem> {
        let page = audit::page(conn, &filter, Some(&communities))?
            .ok_or_else(|| Problem::invalid("query_invalid", "`limit`: use 1 to 500").field("limit"))?;
        let detail = serde_json::json!({ "rows": page.items.len() });
        Act::new(&principal.origin(), "audit.read", "audit").detail(detail).record(
            conn,
            shared.now_ms(),
            &shared.entropy,
        )?;
        Ok(page)
    });
    Ok(web::Json(page.await?))
}
