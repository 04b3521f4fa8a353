//! What happens around every request: an id, a line in the log, the figures, headers that browsers want, and a problem in place of
//! a bare status. No line tells a query, a body or a token.

use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use sync_core::ids::Entropy as _;
use uuid::Uuid;

use super::console;
use super::problem::Problem;
use crate::app::App;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ALWAYS: [(HeaderName, &str); 2] =
    [(X_CONTENT_TYPE_OPTIONS, "nosniff"), (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin")];
const UNLESS_SAID: [(HeaderName, &str); 3] = [
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
];
const REQUEST_ID_CHARS_MAX: usize = 64;

pub(super) async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let began = Instant::now();
    let app = request.app_data::<web::Data<App>>().cloned();
    let id = request_id(&request, app.as_deref().map(|a| &**a));
    let method = request.method().to_string();
    let path = request.path().to_owned();
    let mut response = next.call(request).await?.map_into_boxed_body();

    let status = response.status();
    let bare = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    if bare && (status.is_client_error() || status.is_server_error()) {
        response = response.into_response(Problem::of_status(status).error_response());
    }
    response = console::for_people(response).await;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page, or what never changes, says otherwise for itself.
    for (name, value) in UNLESS_SAID {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if app.as_ref().is_some_and(|a| a.config.speaks_tls()) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }

    let seconds = began.elapsed().as_secs_f64();
    let route = response.request().match_pattern().unwrap_or_else(|| "unmatched".into());
    if let Some(app) = app {
        app.metrics.requests.with_label_values(&[method.as_str(), &route, status.as_str()]).inc();
        app.metrics.seconds.with_label_values(&[method.as_str(), &route]).observe(seconds);
    }
    tracing::info!(request = %id, %method, %path, status = status.as_u16(), ms = seconds * 1_000.0, "answered");
    Ok(response)
}

fn request_id(request: &ServiceRequest, app: Option<&App>) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let fits = |v: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&v.len()) && v.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    match (given.filter(fits), app) {
        (Some(given), _) => given.to_owned(),
        (None, Some(app)) => Uuid::from_bytes(app.entropy.sixteen()).simple().to_string(),
        (None, None) => Uuid::nil().simple().to_string(),
    }
}
