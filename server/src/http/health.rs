//! What those who run the server ask: is it alive, can it work, what are its figures.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

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
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = HealthView)))]
pub(super) async fn healthz() -> web::Json<HealthView> {
    web::Json(HealthView { status: "ok" })
}

/// Whether the database answers and is migrated.
#[utoipa::path(get, path = "/readyz", tag = "operation",
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

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(app: web::Data<App>) -> HttpResponse {
    let (used, _) = app.db.usage();
    app.metrics.connections_in_use.set(i64::from(used));
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(app.metrics.text())
}
