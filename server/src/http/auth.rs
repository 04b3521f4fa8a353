//! Signing in and out, and fresh tokens. An answer never tells whether a login exists.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sync_core::authority::Subject;
use sync_core::ids::{DeviceId, UserId};
use sync_core::role::AreaKind;
use utoipa::ToSchema;
use uuid::Uuid;

use super::extract::Principal;
use super::guard::{self, client_address};
use super::problem::{Problem, ProblemBody};
use crate::accounts::lockout::{self, Attempt};
use crate::accounts::sessions::{Lifetime, Opened, RefreshError};
use crate::accounts::{devices, grants, password, sessions, users};
use crate::app::App;
use crate::audit::{Act, Origin};
use crate::db::{AnyConnection, DbError};
use crate::guard::counted;

const PASSWORD_BYTES_MAX: usize = 1_024;
const TOKEN_BYTES_MAX: usize = 256;
/// The longest wait for one's turn to have a password checked.
const TURN_MAX: Duration = Duration::from_secs(20);

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The account's login.
    pub login: String,
    /// Its password.
    pub password: String,
    /// The registered phone that the session shall be bound to.
    #[serde(default)]
    pub device: Option<String>,
    /// Base64 of the Ed25519 signature, by the device's key, of `fengqiao-login:`, the device's id, a line feed, the login, a line
    /// feed, and the password. A phone that gives it is not slowed down by what strangers guess.
    #[serde(default)]
    pub proof: Option<String>,
}

/// A refresh token to be replaced.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The newest refresh token.
    pub refresh_token: String,
    /// Base64 of the Ed25519 signature, by the device's key, of `fengqiao-refresh:` followed by the token. Required when the session
    /// is bound to a device.
    #[serde(default)]
    pub proof: Option<String>,
}

/// Fresh tokens, and whose they are.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokensView {
    /// To be sent as `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: &'static str,
    /// When the access token expires, ms UTC of the server.
    pub expires_ms: i64,
    /// The server's time, ms UTC.
    pub now_ms: i64,
    /// Replaces the access token when it expires; good for one use.
    pub refresh_token: String,
    /// The device that the session is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Whose they are.
    pub user: MeView,
}

/// An account as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeView {
    /// Its identity.
    pub id: String,
    /// What its owner types.
    pub login: String,
    /// What people call him.
    pub name: String,
    /// The roles held now.
    pub roles: Vec<RoleView>,
}

/// A role in an area.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleView {
    /// The role.
    pub role: &'static str,
    /// The area's code.
    pub area: String,
    /// The area's kind.
    pub area_kind: &'static str,
    /// The community that the area is or lies in; none for a street or district.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community: Option<String>,
    /// The communities that the area lies in or covers.
    pub communities: Vec<String>,
}

/// Open to everybody.
pub(super) fn open_routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/auth/login").route(web::post().to(login)))
        .service(web::resource("/auth/refresh").route(web::post().to(refresh)));
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/auth/logout").route(web::post().to(logout)))
        .service(web::resource("/me").route(web::get().to(me)));
}

impl MeView {
    pub(super) fn new(id: UserId, login: String, name: String, subject: &Subject) -> Self {
        let roles = subject.grants.iter().map(|g| {
            let communities: Vec<String> = g.communities.iter().map(ToString::to_string).collect();
            let one = matches!(g.kind, AreaKind::Community | AreaKind::Grid | AreaKind::Building);
            RoleView {
                role: g.role.as_str(),
                area: g.area.to_string(),
                area_kind: g.kind.as_str(),
                community: communities.first().filter(|_| one).cloned(),
                communities,
            }
        });
        Self { id: id.to_string(), login, name, roles: roles.collect() }
    }
}

/// The answer to a session that was just opened or refreshed.
pub(super) fn tokens(app: &App, conn: &mut AnyConnection, opened: Opened) -> Result<TokensView, Problem> {
    let user = users::by_id(conn, opened.user)?.filter(|u| u.active).ok_or(RefreshError::Ended)?;
    let now_ms = app.now_ms();
    let minutes = app.config.access_minutes;
    let keys = app.access_keys(conn)?;
    let (access_token, expires_ms) =
        keys.issue(opened.user, opened.session, opened.device, now_ms, minutes, &app.entropy)?;
    let subject = grants::now(conn, opened.user, now_ms)?;
    Ok(TokensView {
        access_token,
        token_type: "Bearer",
        expires_ms,
        now_ms,
        refresh_token: opened.refresh_token,
        device: opened.device.map(|d| d.to_string()),
        user: MeView::new(opened.user, user.login, user.name, &subject),
    })
}

/// How long sessions last here.
pub(super) fn lifetime(app: &App) -> Lifetime {
    Lifetime { idle_days: app.config.refresh_days, whole_days: app.config.session_days }
}

fn signature(proof: Option<String>) -> Result<Option<Vec<u8>>, Problem> {
    let wrong = |e| Problem::invalid("field_invalid", format!("`proof` is not base64: {e}")).field("proof");
    proof.map(|text| STANDARD.decode(text).map_err(wrong)).transpose()
}

fn slowed(wait_ms: i64) -> Problem {
    let seconds = u32::try_from(wait_ms.saturating_add(999) / 1_000).unwrap_or(u32::MAX);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "login_slowed", "too many wrong passwords came from where you are")
        .retry_after_s(seconds)
        .remedy("wait as long as `Retry-After` says; a phone that was registered to the account is not slowed down by others")
}

fn busy() -> Problem {
    Problem::unavailable("busy", "more people sign in at once than this server can check").remedy("try again")
}

/// Signs in.
#[utoipa::path(post, path = "/v1/auth/login", tag = "accounts", request_body = LoginRequest, security(()),
    responses((status = 200, body = TokensView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 429, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn login(
    app: web::Data<App>,
    request: HttpRequest,
    body: web::Json<LoginRequest>,
) -> Result<web::Json<TokensView>, Problem> {
    let LoginRequest { login, password, device, proof } = body.into_inner();
    let device: Option<DeviceId> = match device {
        Some(id) => Some(id.parse().map_err(|e| Problem::invalid("field_invalid", format!("{e}")).field("device"))?),
        None => None,
    };
    let proof = signature(proof)?;
    let opened = open_session(&app, &request, login, password, device, proof).await?;
    let inner = app.clone();
    Ok(web::Json(app.run(move |conn| tokens(&inner, conn, opened)).await?))
}

/// Opens a session for who knows the password; every guess is counted, and too many are slowed down.
pub(crate) async fn open_session(
    app: &web::Data<App>,
    request: &HttpRequest,
    login: String,
    password: String,
    device: Option<DeviceId>,
    proof: Option<Vec<u8>>,
) -> Result<Opened, Problem> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Problem::invalid("field_invalid", "a password has at most 1024 bytes").field("password"));
    }
    let address = client_address(request);
    let named = device.map(|d| d.to_string()).unwrap_or_default();
    guard::let_in(app, request, &[b"login", named.as_bytes(), login.as_bytes(), address.to_string().as_bytes()])?;
    // Hashing takes memory and a core: a few at a time, and no connection is held meanwhile. How the source stands is looked up in
    // turn, so that attempts sent all at once are counted one after the other.
    let turn = tokio::time::timeout(TURN_MAX, app.password_checks.acquire()).await;
    let turn = turn.map_err(|_| busy())?.map_err(|e| Problem::internal(&e))?;
    let now_ms = app.now_ms();
    let message = device.map(|device| lockout::proof_message(device, &login, &password));
    let (known, attempt, source) = app
        .run(move |conn| -> Result<_, DbError> {
            let known = users::by_login(conn, &login)?;
            let phone = match (device, message, proof) {
                (Some(device), Some(message), Some(proof)) => {
                    lockout::is_own_phone(conn, known.as_ref(), device, &message, &proof)?.then_some(device)
                }
                _ => None,
            };
            let attempt = Attempt::look(conn, &login, phone, address, now_ms)?;
            // By the account and where it is tried from: nobody uses up what its owner is allowed.
            let source = (login, phone.map(|d| d.0), phone.is_none().then(|| counted(address)));
            Ok((known, attempt, source))
        })
        .await?;
    guard::count_by(app, &app.guard.login_account, &source)?;
    let wait_ms = attempt.wait_ms(now_ms);
    if wait_ms > 0 {
        app.metrics.put_off.with_label_values(&["lock_out"]).inc();
        return Err(slowed(wait_ms));
    }
    let hash = known.as_ref().map(|u| u.password_hash.clone());
    let fits =
        web::block(move || password::verify(&password, hash.as_deref())).await.map_err(|e| Problem::internal(&e))?;
    let Some(user) = known.filter(|u| fits && u.active) else {
        app.transact(move |conn| attempt.failed(conn, now_ms)).await?;
        tracing::warn!(%address, "a sign-in failed");
        return Err(Problem::unauthorised(
            "login_failed",
            "the login or the password is wrong, or the account is closed",
        ));
    };
    drop(turn);
    let inner = app.clone();
    app.transact(move |conn| -> Result<Opened, Problem> {
        let id: UserId = user.id.parse().map_err(|_| DbError::Row(format!("user {}", user.id)))?;
        attempt.succeeded(conn, now_ms)?;
        if let Some(device) = device {
            let own = devices::find(conn, device)?.filter(|d| d.user_id == user.id && d.revoked_ms.is_none());
            if own.is_none() {
                return Err(Problem::unauthorised("device_unknown", "this phone is not registered to this account")
                    .field("device")
                    .remedy("sign in without it and register the phone anew"));
            }
        }
        let origin = Origin { user: id, device, from: address.to_string() };
        Act::new(&origin, "session.open", id).record(conn, inner.now_ms(), &inner.entropy)?;
        Ok(sessions::open(conn, id, device, inner.now_ms(), &lifetime(&inner), &inner.entropy)?)
    })
    .await
}

/// Replaces a refresh token and gives a fresh access token. When an answer is lost, the same token can be sent again. Whoever sends his
/// old access token along, expired as it may be, is let in and counted as himself.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "accounts", request_body = RefreshRequest, security(()),
    responses((status = 200, body = TokensView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 429, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn refresh(
    app: web::Data<App>,
    request: HttpRequest,
    body: web::Json<RefreshRequest>,
) -> Result<web::Json<TokensView>, Problem> {
    let RefreshRequest { refresh_token, proof } = body.into_inner();
    if refresh_token.len() > TOKEN_BYTES_MAX {
        return Err(RefreshError::Ended.into());
    }
    let proof = signature(proof)?;
    guard::let_in(&app, &request, &[b"refresh", refresh_token.as_bytes()])?;
    let inner = app.clone();
    // The refusal of a token met twice must be kept, so that it is a value of the transaction and not its error.
    let done = app.transact(move |conn| -> Result<Result<TokensView, Problem>, Problem> {
        match sessions::refresh(
            conn,
            &refresh_token,
            proof.as_deref(),
            inner.now_ms(),
            &lifetime(&inner),
            &inner.entropy,
        )? {
            Ok(opened) => tokens(&inner, conn, opened).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        }
    });
    Ok(web::Json(done.await??))
}

/// Ends the session: its access token and its refresh tokens are refused from now on.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "accounts",
    responses((status = 204), (status = 401, body = ProblemBody)))]
pub(super) async fn logout(app: web::Data<App>, principal: Principal) -> Result<HttpResponse, Problem> {
    close_session(&app, principal).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends the session of who asks.
pub(crate) async fn close_session(app: &web::Data<App>, principal: Principal) -> Result<(), Problem> {
    let inner = app.clone();
    app.transact(move |conn| -> Result<(), Problem> {
        let (session, now_ms): (Uuid, i64) = (principal.session, inner.now_ms());
        Act::new(&principal.origin(), "session.close", principal.user).record(conn, now_ms, &inner.entropy)?;
        Ok(sessions::revoke(conn, session, now_ms)?)
    })
    .await
}

/// Who asks.
#[utoipa::path(get, path = "/v1/me", tag = "accounts",
    responses((status = 200, body = MeView), (status = 401, body = ProblemBody)))]
pub(super) async fn me(principal: Principal) -> web::Json<MeView> {
    web::Json(MeView::new(principal.user, principal.login, principal.name, &principal.subject))
}
