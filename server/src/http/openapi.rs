//! The description of the API, made from the code that answers it: each room's handlers carry their part.

use actix_web::{HttpResponse, web};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::Problem;
use super::{
    areas, assignments, attachments, audit, auth, cases, devices, erasures, events, halls, hazards, health, last_word,
    orders, patrols, persons, quarantine, relay, replication, restore, sync, today, uploads, users,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Fengqiao", description = "Grid patrols and disputes, offline first.", license(name = "MIT OR Apache-2.0")),
    paths(
        auth::login, auth::refresh, auth::logout, auth::me,
        devices::register, devices::list, devices::revoke, orders::list, orders::wipe,
        users::list, users::create,
        assignments::list, assignments::begin, assignments::end, assignments::reassign,
        areas::list,
        sync::sync, last_word::last_word,
        events::events,
        relay::upload,
        cases::list, cases::create, cases::file, cases::history, cases::edit,
        patrols::list, patrols::record, patrols::history, patrols::edit, hazards::list,
        halls::queue, halls::notifications, today::today,
        replication::list, replication::one,
        quarantine::list, quarantine::entry, quarantine::bytes, quarantine::accept, quarantine::dismiss,
        uploads::options, uploads::create, uploads::state, uploads::send, uploads::end,
        attachments::download, attachments::thumbnail, attachments::missing,
        audit::list,
        restore::status,
        persons::reveal, persons::reveal_patrol, persons::search,
        erasures::list, erasures::ask, erasures::decide, erasures::proof, erasures::prove,
        health::healthz, health::readyz, health::metrics,
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        openapi.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The description.
pub fn description() -> utoipa::openapi::OpenApi {
    Description::openapi()
}

/// The description as JSON.
pub fn json() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&description())
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/openapi.json").route(web::get().to(openapi)));
}

async fn openapi() -> Result<HttpResponse, Problem> {
    let text = json().map_err(|e| Problem::internal(&e))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}
