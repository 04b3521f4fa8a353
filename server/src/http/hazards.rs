//! Hazards that were found on patrols: the list over all of them.

use actix_web::web;
use serde_json::json;

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::Act;
use crate::queries::{self, HazardFilter, HazardSummary, Page};

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/hazards", web::get().to(list));
}

/// Hazards that the asker may see.
#[utoipa::path(get, path = "/v1/hazards", tag = "patrols", params(HazardFilter),
    responses((status = 200, body = Page<HazardSummary>), (status = 400, body = ProblemBody)), security(("bearer" = [])))]
pub async fn list(
    principal: Principal,
    filter: web::Query<HazardFilter>,
    app: web::Data<App>,
) -> Result<web::Json<Page<HazardSummary>>, Problem> {
    let (filter, shared) = (filter.into_inner(), app.clone());
    let page = app.run(move |conn| -> Result<_, Problem> {
        let page = queries::hazard_page(conn, &principal.subject, &filter, shared.now_ms())??;
        let act = Act::new(&principal.origin(), "hazard.list", "hazards");
        act.detail(json!({ "rows": page.items.len() })).record(conn, shared.now_ms(), &shared.entropy)?;
        Ok(page)
    });
    Ok(web::Json(page.await?))
}
