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
use sha2::{Digest, Sha256};

use super::extract::bearer;
use super::problem::Problem;
use crate::accounts::keys::Claims;
use crate::app::App;
use crate::guard::admission::Answer;
use crate::guard::limits::{Limit, Standing};
use crate::guard::{Door, counted};

/// When to come back to a server that answers as many syncs as it can.
const IN_FLIGHT_S: u32 = 2;

/// The longest time over which those are spread who are sent away from one address, s.
const ADDRESS_SPREAD_S_MAX: u32 = 60;

/// Stands with a request that was admitted before anything of it was read.
#[derive(Debug, Clone, Copy)]
struct LetIn;

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
    let known = bearer(request.request()).ok().and_then(|token| app.known_claims(&token));
    request.extensions_mut().insert(ClientAddress(address));
    let claims = known.as_ref().filter(|c| !c.has_expired(app.now_ms()));
    if let Some(claims) = claims {
        request.extensions_mut().insert(claims.clone());
    }
    let patient = claims.is_some();
    // As the router reads it: `/v1/%73ync` is the sync, too.
    let path = request.match_info().as_str().to_owned();
    let method = request.method().clone();
    let standing = count(&app, &method, &path, address, known.as_ref());
    if let Some((standing, wait_s)) = standing.and_then(|s| Some((s, s.wait_s?))) {
        app.metrics.put_off.with_label_values(&[standing.name]).inc();
        return Ok(request.into_response(too_many(standing, wait_s).error_response()));
    }
    let door = match path.as_str() {
        "/v1/sync" => Some(Door::Sync),
        // The fresh token and the sync that it is for are one visit: who was let in for the one is let in for the other.
        "/v1/auth/refresh" => Some(Door::Sync),
        "/v1/events" => Some(Door::Events),
        _ => None,
    };
    if let (Some(door), Some(claims)) = (door, &known) {
        if let Answer::Wait { seconds } = app.guard.admit(door, claims.holder()) {
            app.metrics.put_off.with_label_values(&["admission"]).inc();
            return Ok(request.into_response(busy(seconds).error_response()));
        }
        request.extensions_mut().insert(LetIn);
    }
    let door = door.filter(|_| path == "/v1/sync");
    let _turn = match door {
        Some(Door::Sync) => match app.guard.in_flight.try_acquire() {
            Ok(turn) => Some(turn),
            Err(_) => {
                app.metrics.put_off.with_label_values(&["in_flight"]).inc();
                let problem = busy(IN_FLIGHT_S).retry_after_spread(IN_FLIGHT_S, IN_FLIGHT_S);
                return Ok(request.into_response(problem.error_response()));
            }
        },
        _ => None,
    };
    // What was begun in the database is finished and stays; only the answer is not waited for.
    let limit = Duration::from_secs(app.config.request_seconds.max(1));
    // A photo takes as long as a stairwell makes it take; what has come of it is kept.
    let patient = patient && path.starts_with("/v1/uploads");
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

/// What somebody is told who came too often.
fn too_many(standing: Standing, wait_s: u32) -> Problem {
    let detail = format!("more requests than the limit `{}` allows", standing.name);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
        .retry_after_spread(wait_s, spread_s(&standing))
        .remedy("wait as long as `Retry-After` says")
        .standing(standing)
}

/// Behind one address there may be a whole hall: those who are sent away from it come back one after the other.
fn spread_s(standing: &Standing) -> u32 {
    if standing.shared { u32::try_from(standing.window_s).unwrap_or(u32::MAX).min(ADDRESS_SPREAD_S_MAX) } else { 0 }
}

/// Counts a request of somebody by a limit that only what stands in the request can name.
pub(super) fn count_by(app: &App, limit: &Limit, key: &impl std::hash::Hash) -> Result<(), Problem> {
    let Some((standing, wait_s)) = limit.count(key).and_then(|s| Some((s, s.wait_s?))) else { return Ok(()) };
    app.metrics.put_off.with_label_values(&[standing.name]).inc();
    Err(too_many(standing, wait_s))
}

/// Lets in whom no token of ours names, by whatever names him in his request. Such people wait among themselves: whoever makes up
/// names holds up nobody who has a token to show.
pub(super) fn let_in(app: &App, request: &HttpRequest, named: &[&[u8]]) -> Result<(), Problem> {
    if request.extensions().contains::<LetIn>() {
        return Ok(());
    }
    let mut digest = Sha256::new();
    for name in named {
        digest.update(u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(name);
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = <[u8; 32]>::from(digest.finalize());
    let who = uuid::Uuid::from_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
    match app.guard.admit(Door::Unknown, who) {
        Answer::Admitted => Ok(()),
        Answer::Wait { seconds } => {
            app.metrics.put_off.with_label_values(&["admission"]).inc();
            Err(busy(seconds))
        }
    }
}

/// Counts a request by every limit that it falls under. Whoever shows a token that this server signed is counted as himself, everybody
/// else by his address. Gives the limit that he has broken, else the one of which the least is left.
fn count(app: &App, method: &Method, path: &str, address: IpAddr, known: Option<&Claims>) -> Option<Standing> {
    let (guard, address) = (&app.guard, counted(address));
    let found = match (path, known) {
        ("/v1/auth/login", _) => [guard.login.count(&address), None, None],
        ("/sign-in", _) if method == Method::POST => [guard.login.count(&address), None, None],
        ("/v1/auth/refresh", Some(claims)) => [guard.refresh.count(&claims.holder()), None, None],
        ("/v1/auth/refresh" | "/v1/last-word", _) => [guard.refresh_address.count(&address), None, None],
        ("/v1/sync", Some(claims)) => [
            guard.sync.count(&claims.holder()),
            guard.sync_account.count(&claims.sub.0),
            guard.sync_address.count(&address),
        ],
        ("/v1/devices", Some(claims)) if method == Method::POST => {
            [guard.register.count(&claims.sub.0), guard.requests.count(&claims.sub.0), None]
        }
        (_, Some(claims)) => [guard.requests.count(&claims.sub.0), None, None],
        ("/healthz" | "/readyz" | "/metrics", None) => [None, None, None],
        (path, None) if path.starts_with("/v1/") => [guard.strangers.count(&address), None, None],
        (_, None) => [guard.pages.count(&address), None, None],
    };
    found.into_iter().flatten().min_by_key(|s| (std::cmp::Reverse(s.wait_s), s.left))
}

/// Says how the asker stands. An answer that names the limit that was broken says so itself.
fn tell<B>(response: &mut ServiceResponse<B>, standing: Option<Standing>) {
    for (name, value) in standing.iter().flat_map(Standing::headers) {
        let name = HeaderName::from_static(name);
        if let Ok(value) = HeaderValue::from_str(&value)
            && !response.headers().contains_key(&name)
        {
            response.headers_mut().insert(name, value);
        }
    }
}
