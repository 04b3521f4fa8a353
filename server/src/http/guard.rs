//! What happens to a request before anything of it is read: it is counted, put off when too many come at once, and given a limit
//! of time. A token is looked at only with the keys at hand; the database is not asked.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError, web};

use super::extract::bearer;
use super::problem::Problem;
use crate::accounts::keys::Claims;
use crate::app::App;
use crate::guard::admission::Answer;
use crate::guard::limits::Standing;
use crate::guard::{Door, counted};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// When to come back to a server that answers as many syncs as it can.
const IN_FLIGHT_S: u32 = 2;

/// The address of the client, by what trusted proxies say.
#[derive(Debug, Clone, Copy)]
struct ClientAddress(IpAddr);

/// Where a request comes from.
pub(super) fn client_address(request: &HttpRequest) -> IpAddr {
    request.extensions().get::<ClientAddress>().map_or(IpAddr::from([0, 0, 0, 0]), |a| a.0)
}

pub(super) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(app) = request.app_data::<web::Data<App>>().cloned() else {
        return Ok(request.into_response(Problem::internal(&"the application is not attached").error_response()));
    };
    let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |a| a.ip());
    let address = app.guard.proxies.client(peer, request.headers());
    let claims = bearer(request.request()).ok().and_then(|token| app.known_claims(&token));
    request.extensions_mut().insert(ClientAddress(address));
    if let Some(claims) = &claims {
        request.extensions_mut().insert(claims.clone());
    }
    // As the router reads it: `/v1/%73ync` is the sync, too.
    let path = request.match_info().as_str().to_owned();
    let method = request.method().clone();
    let standing = count(&app, &method, &path, address, claims.as_ref());
    if let Some(wait_s) = standing.and_then(|s| s.wait_s) {
        app.metrics.put_off.with_label_values(&[standing.map_or("", |s| s.name)]).inc();
        let problem =
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "more requests than are allowed")
                .retry_after_s(wait_s)
                .remedy("wait as long as `Retry-After` says");
        let mut response = request.into_response(problem.error_response());
        tell(&mut response, standing);
        return Ok(response);
    }
    let door = match path.as_str() {
        "/v1/sync" => Some(Door::Sync),
        "/v1/events" => Some(Door::Events),
        _ => None,
    };
    if let (Some(door), Some(claims)) = (door, &claims)
        && let Answer::Wait { seconds } = app.guard.admit(door, claims.dev.map_or(claims.sid, |d| d.0))
    {
        app.metrics.put_off.with_label_values(&["admission"]).inc();
        return Ok(request.into_response(busy(seconds).error_response()));
    }
    let _turn = match door {
        Some(Door::Sync) => match app.guard.in_flight.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_) => {
                app.metrics.put_off.with_label_values(&["in_flight"]).inc();
                return Ok(request.into_response(busy(IN_FLIGHT_S).error_response()));
            }
        },
        _ => None,
    };
    // What was begun in the database is finished and stays; only the answer is not waited for.
    let limit = Duration::from_secs(app.config.request_seconds.max(1));
    // A photo takes as long as a stairwell makes it take; what has come of it is kept.
    let patient = claims.is_some() && path.starts_with("/v1/uploads");
    let answering = next.call(request);
    let answered = if patient { Ok(answering.await) } else { tokio::time::timeout(limit, answering).await };
    let Ok(response) = answered else {
        tracing::warn!(%method, %path, "a request took too long");
        let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the request took too long");
        return Err(problem.remedy("send it again; send less at once").into());
    };
    let mut response = response?.map_into_boxed_body();
    tell(&mut response, standing);
    Ok(response)
}

fn busy(seconds: u32) -> Problem {
    Problem::unavailable("busy", "more phones ask at once than this server lets in")
        .retry_after_s(seconds)
        .remedy("wait as long as `Retry-After` says; nothing is lost meanwhile")
}

/// Counts a request where it is limited. Whoever shows a valid token is counted as himself, everybody else by his address.
fn count(app: &App, method: &Method, path: &str, address: IpAddr, claims: Option<&Claims>) -> Option<Standing> {
    let guard = &app.guard;
    match (path, claims) {
        ("/v1/auth/login", _) => guard.login.count(&counted(address)),
        ("/sign-in", _) if method == Method::POST => guard.login.count(&counted(address)),
        ("/v1/auth/refresh" | "/v1/last-word", _) => guard.refresh.count(&counted(address)),
        ("/v1/sync", Some(claims)) => guard.sync.count(&claims.dev.map_or(claims.sid, |d| d.0)),
        ("/v1/devices", Some(claims)) if method == Method::POST => guard.register.count(&claims.sub.0),
        (_, Some(_)) => None,
        (path, None) if path.starts_with("/v1/") => guard.strangers.count(&counted(address)),
        _ => None,
    }
}

/// Says how the asker stands, in the fields that the HTTP working group drafts for it.
fn tell<B>(response: &mut ServiceResponse<B>, standing: Option<Standing>) {
    let Some(Standing { name, burst, window_s, left, wait_s }) = standing else { return };
    let reset = wait_s.map(|t| format!(";t={t}")).unwrap_or_default();
    let values = [
        (RATE_LIMIT_POLICY, format!("\"{name}\";q={burst};w={window_s}")),
        (RATE_LIMIT, format!("\"{name}\";r={left}{reset}")),
    ];
    for (header, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(header, value);
        }
    }
}
