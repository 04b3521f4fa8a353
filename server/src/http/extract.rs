//! Who asks. Every request is judged by what holds in the database now, so that a closed account, a revoked device or an ended
//! session ends at once, not when its token expires.

use std::future::{Ready, ready};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, ResponseError, web};
use sync_core::authority::Subject;
use sync_core::ids::{DeviceId, UserId};
use sync_core::role::Role;
use uuid::Uuid;

use super::guard::client_address;
use super::problem::Problem;
use crate::accounts::keys::Claims;
use crate::accounts::{devices, grants, sessions, users};
use crate::app::App;
use crate::audit::Origin;
use crate::db::AnyConnection;

/// Who asks, and what he may do now.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// What its owner types.
    pub login: String,
    /// What people call him.
    pub name: String,
    /// The session that the token belongs to.
    pub session: Uuid,
    /// When the access token expires, ms UTC.
    pub expires_ms: i64,
    /// The device that the session is bound to.
    pub device: Option<DeviceId>,
    /// The roles held now.
    pub subject: Subject,
    /// The address that the request came from.
    pub address: String,
}

impl Principal {
    /// Who acts and from where, for the audit log.
    pub fn origin(&self) -> Origin {
        Origin { user: self.user, device: self.device, from: self.address.clone() }
    }

    /// Refuses who holds none of these roles anywhere.
    pub fn must_hold(&self, roles: &[Role]) -> Result<(), Problem> {
        if self.subject.grants.iter().any(|g| roles.contains(&g.role)) {
            return Ok(());
        }
        let names: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
        Err(Problem::forbidden(format!("this needs one of the roles {}", names.join(", "))))
    }

    /// The device, where only a registered phone may ask.
    pub fn must_be_device(&self) -> Result<DeviceId, Problem> {
        self.device.ok_or_else(|| {
            Problem::new(
                actix_web::http::StatusCode::FORBIDDEN,
                "device_required",
                "only a registered phone may ask this",
            )
            .remedy("register the phone at /v1/devices and use the session that it gives")
        })
    }

    /// Judges a token by what holds now.
    pub fn of_token(app: &App, conn: &mut AnyConnection, token: &str) -> Result<Self, Problem> {
        let claims = app.check_token(conn, token)??;
        Self::of_claims(app, conn, claims)
    }

    fn of_claims(app: &App, conn: &mut AnyConnection, claims: Claims) -> Result<Self, Problem> {
        let ended = || Problem::unauthorised("session_ended", "the session has ended").remedy("sign in again");
        if !sessions::stands(conn, claims.sid)? {
            return Err(ended());
        }
        let user = users::by_id(conn, claims.sub)?.filter(|u| u.active).ok_or_else(ended)?;
        if let Some(device) = claims.dev
            && devices::find(conn, device)?.is_none_or(|d| d.revoked_ms.is_some())
        {
            return Err(Problem::unauthorised("device_revoked", "this phone was revoked")
                .remedy("ask an administrator, then register the phone anew"));
        }
        let subject = grants::now(conn, claims.sub, app.now_ms())?;
        Ok(Self {
            user: claims.sub,
            login: user.login,
            name: user.name,
            session: claims.sid,
            expires_ms: claims.exp.saturating_mul(1_000),
            device: claims.dev,
            subject,
            address: String::new(),
        })
    }
}

fn missing() -> Problem {
    Problem::unauthorised("token_missing", "no access token was sent")
        .remedy("sign in at /v1/auth/login and send `Authorization: Bearer TOKEN`")
}

pub(super) fn bearer(request: &HttpRequest) -> Result<String, Problem> {
    let header = request.headers().get(AUTHORIZATION).ok_or_else(missing)?.to_str().map_err(|_| missing())?;
    let (scheme, token) = header.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim().to_owned()) } else { Err(missing()) }
}

impl Principal {
    /// Judges the session of a browser by what holds now; `None` when it has ended.
    pub(super) fn of_browser(app: &App, conn: &mut AnyConnection, token: &str) -> Result<Option<Self>, Problem> {
        let now_ms = app.now_ms();
        let Some(shown) = sessions::shown(conn, token, now_ms, &super::auth::lifetime(app))? else { return Ok(None) };
        let Some(user) = users::by_id(conn, shown.user)?.filter(|u| u.active) else { return Ok(None) };
        Ok(Some(Self {
            user: shown.user,
            login: user.login,
            name: user.name,
            session: shown.session,
            expires_ms: shown.expires_ms,
            device: None,
            subject: grants::now(conn, shown.user, now_ms)?,
            address: String::new(),
        }))
    }

    async fn of_request(request: &HttpRequest) -> Result<Self, Problem> {
        let token = bearer(request)?;
        let app = request.app_data::<web::Data<App>>().cloned();
        let app = app.ok_or_else(|| Problem::internal(&"the application is not attached"))?;
        let inner = app.clone();
        // The guard has looked at the token already, if it could with the keys at hand; those may have been retired since they were read.
        let known = request.extensions().get::<Claims>().cloned().filter(|_| !app.access_keys_are_old());
        let found = app.run(move |conn| match known {
            Some(claims) => Self::of_claims(&inner, conn, claims),
            None => Self::of_token(&inner, conn, &token),
        });
        let mut principal = found.await?;
        principal.address = client_address(request).to_string();
        Ok(principal)
    }
}

/// Lets only those in whom the server knows, before anything else of their request is read. An address that does not exist is
/// no secret.
pub(super) async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    if request.match_pattern().is_some() {
        match Principal::of_request(request.request()).await {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
            }
            Err(problem) => return Ok(request.into_response(problem.error_response()).map_into_right_body()),
        }
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

impl FromRequest for Principal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // A route that asks for it and stands outside `authenticate` is a mistake of ours; it lets nobody in.
        let known = request.extensions().get::<Self>().cloned();
        ready(known.ok_or_else(|| Problem::internal(&"the route is not behind authentication")))
    }
}
