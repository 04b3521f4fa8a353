//! The HTTP interface: thin rooms that read a request, call one function of the inside, and write an answer. No rule is decided here.

pub mod areas;
pub mod assignments;
pub mod attachments;
pub mod audit;
pub mod auth;
pub mod cases;
mod console;
pub mod devices;
pub mod erasures;
pub mod events;
pub mod extract;
mod guard;
pub mod halls;
pub mod hazards;
pub mod health;
pub mod last_word;
mod observe;
pub mod openapi;
pub mod orders;
pub mod patrols;
pub mod persons;
pub mod problem;
pub mod quarantine;
pub mod relay;
pub mod replication;
mod restore;
pub mod sync;
pub mod today;
pub mod uploads;
pub mod users;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::middleware::from_fn;
use actix_web::{Error, HttpRequest, web};
use sync_core::limits;

use crate::app::App;
pub use console::role_names;
use problem::Problem;

/// The largest JSON body accepted.
const JSON_BYTES_MAX: usize = 256 * 1024;

/// The web application of one process.
pub fn application(
    app: web::Data<App>,
) -> actix_web::App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    actix_web::App::new()
        .app_data(app)
        .app_data(web::JsonConfig::default().limit(JSON_BYTES_MAX).error_handler(json_problem))
        .app_data(web::PathConfig::default().error_handler(path_problem))
        .app_data(web::QueryConfig::default().error_handler(query_problem))
        .app_data(web::PayloadConfig::new(limits::WIRE_BYTES_MAX))
        .configure(routes)
        .wrap(from_fn(guard::guard))
        .wrap(from_fn(observe::observe))
}

/// Every route. A room adds its own in its `routes`.
fn routes(config: &mut web::ServiceConfig) {
    let known = web::scope("")
        .wrap(from_fn(extract::authenticate))
        .configure(auth::routes)
        .configure(devices::routes)
        .configure(users::routes)
        .configure(areas::routes)
        .configure(assignments::routes)
        .configure(orders::routes)
        .configure(sync::routes)
        .configure(events::routes)
        .configure(relay::routes)
        .configure(cases::routes)
        .configure(patrols::routes)
        .configure(hazards::routes)
        .configure(halls::routes)
        .configure(today::routes)
        .configure(quarantine::routes)
        .configure(replication::routes)
        .configure(uploads::routes)
        .configure(attachments::routes)
        .configure(audit::routes)
        .configure(restore::routes)
        .configure(persons::routes)
        .configure(erasures::routes);
    // What stands before `known` is open to everybody.
    config.configure(health::routes);
    config.service(
        web::scope("/v1")
            .configure(auth::open_routes)
            .configure(last_word::open_routes)
            .configure(openapi::routes)
            .service(known),
    );
    console::routes(config);
}

fn json_problem(error: JsonPayloadError, _: &HttpRequest) -> Error {
    let problem = match &error {
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            Problem::too_large("the body is larger than this server accepts")
        }
        JsonPayloadError::ContentType => Problem::new(
            actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body is not JSON by its header",
        )
        .remedy("send `Content-Type: application/json`"),
        JsonPayloadError::Deserialize(e) => unreadable("json_invalid", &e.to_string()),
        other => Problem::invalid("json_invalid", other.to_string()),
    };
    problem.into()
}

fn path_problem(error: PathError, _: &HttpRequest) -> Error {
    Problem::not_found(error.to_string()).into()
}

fn query_problem(error: QueryPayloadError, _: &HttpRequest) -> Error {
    match error {
        QueryPayloadError::Deserialize(e) => unreadable("query_invalid", &e.to_string()),
        other => Problem::invalid("query_invalid", other.to_string()),
    }
    .into()
}

/// What the reader of a request says of it. It names a field only where a field itself is missing, unknown or there twice; what else
/// stands in backticks is a value, or what was expected.
fn unreadable(code: &'static str, detail: &str) -> Problem {
    let problem = Problem::invalid(code, detail);
    let said = ["missing field `", "unknown field `", "duplicate field `"].iter().find_map(|s| detail.strip_prefix(s));
    match said.and_then(|rest| rest.split('`').next()) {
        Some(field) => problem.field(field),
        None => problem,
    }
}
