//! What those who run the server ask: is it alive, can it work, what are its figures.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::extract::bearer;
use super::guard::client_address;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::db::DbError;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// `ok` or `ready`.
    pub status: &'static str,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/healthz").route(web::get().to(healthz)))
        .service(web::resource("/readyz").route(web::get().to(readyz)))
        .service(web::resource("/metrics").route(web::get().to(metrics)));
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()), responses((status = 200, body = HealthView)))]
pub(super) async fn healthz() -> web::Json<HealthView> {
    web::Json(HealthView { status: "ok" })
}

/// Whether the database answers and is migrated.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, body = HealthView), (status = 503, body = ProblemBody)))]
pub(super) async fn readyz(app: web::Data<App>) -> Result<web::Json<HealthView>, Problem> {
    let db = app.db.clone();
    let ready = web::block(move || db.ready()).await.map_err(|e| Problem::internal(&e))?;
    match ready {
        Ok(true) => Ok(web::Json(HealthView { status: "ready" })),
        Ok(false) => Err(Problem::unavailable("not_migrated", "the database has pending migrations")
            .remedy("run `fengqiao migrate`")),
        Err(error @ DbError::Unreachable(_)) => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "not ready");
            Err(Problem::unavailable("not_ready", "the database does not answer as it should"))
        }
    }
}

/// Figures for Prometheus: for this machine, or for who shows the token of the setting `metrics_token`.
#[utoipa::path(get, path = "/metrics", tag = "operation", security((), ("bearer" = [])),
    responses((status = 200, content_type = "text/plain", body = String), (status = 403, body = ProblemBody)))]
pub(super) async fn metrics(app: web::Data<App>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let shown = bearer(&request).ok();
    let same = |token: &String| shown.as_ref().is_some_and(|s| Sha256::digest(s) == Sha256::digest(token));
    if !client_address(&request).is_loopback() && !app.config.metrics_token.as_ref().is_some_and(same) {
        return Err(Problem::forbidden("the figures are shown to this machine only")
            .remedy("set `metrics_token`, and send it as `Authorization: Bearer TOKEN`"));
    }
    let (used, _) = app.db.usage();
    app.metrics.connections_in_use.set(i64::from(used));
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(app.metrics.text()))
}
