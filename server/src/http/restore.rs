//! How far a restored server has come with being supplied again, for those who run it. Reading it is written down: it lists people's
//! phones.

use actix_web::web;
use sync_core::role::{AreaKind, Role};

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::Act;
use crate::db::AnyConnection;
use crate::restore::{self, RestoreStatus};

/// Adds this room's routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/restore").route(web::get().to(status)));
}

/// From what this journal began, what phones brought back, and what each still holds.
#[utoipa::path(get, path = "/v1/restore", tag = "restore",
    responses((status = 200, body = RestoreStatus), (status = 401, body = ProblemBody), (status = 403, body = ProblemBody)),
    security(("bearer" = [])))]
pub(super) async fn status(app: web::Data<App>, principal: Principal) -> Result<web::Json<RestoreStatus>, Problem> {
    let answers = |g: &sync_core::authority::Grant| {
        g.kind == AreaKind::District && matches!(g.role, Role::Supervisor | Role::Administrator)
    };
    if !principal.subject.grants.iter().any(answers) {
        return Err(Problem::forbidden("this is read by supervisors and administrators of a district"));
    }
    let shared = app.clone();
    let status = app.run(move |conn: &mut AnyConnection| -> Result<RestoreStatus, Problem> {
        let status = restore::status(conn, shared.journal)?;
        let detail = serde_json::json!({ "phones": status.phones.len() });
        let act = Act::new(&principal.origin(), "restore.read", "restore").detail(detail);
        act.record(conn, shared.now_ms(), &shared.entropy)?;
        Ok(status)
    });
    Ok(web::Json(status.await?))
}
