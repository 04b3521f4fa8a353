//! Phones: registering one's own, seeing and revoking those that one looks after.

use std::collections::HashMap;

use actix_web::web;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::ids::DeviceId;
use sync_core::sync::relay::RelayKeys;
use utoipa::ToSchema;

use super::audit::looked;
use super::auth::{TokensView, lifetime, tokens};
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::accounts::devices::Device;
use crate::accounts::{devices, roster, sessions};
use crate::app::App;
use crate::areas::Tree;
use crate::audit::Act;
use crate::db::AnyConnection;
use crate::{plain, relay};

const NAME_CHARS_MAX: usize = 64;

/// A phone to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// What its holder calls it.
    pub name: String,
    /// Base64 of its Ed25519 key, 32 bytes.
    pub public_key: String,
}

/// What a phone needs to know after it was registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct RegisteredView {
    /// Its identity.
    pub id: String,
    /// The identity of the server's journal.
    pub journal: String,
    /// Base64 of the keys by which the server's time tokens can be verified, the one in use first.
    pub token_keys: Vec<String>,
    /// The keys with which the phone seals what others carry for it, and believes what they bring back.
    pub relay: RelayKeysView,
    /// A session that is bound to the phone; use it from now on.
    pub session: TokensView,
}

/// The server's public keys for relay.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelayKeysView {
    /// Base64; tells these keys from others. The phone names it when it syncs.
    pub mark: String,
    /// Base64 of the key that parcels are sealed to.
    pub seal_key: String,
    /// Base64 of the keys by which receipts and certificates are verified, the one in use first.
    pub verify_keys: Vec<String>,
    /// Base64 of the phone's certificate, which it shows to phones that it meets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl RelayKeysView {
    fn new(keys: &RelayKeys, certificate: Option<&[u8]>) -> Self {
        Self {
            mark: STANDARD.encode(&keys.mark),
            seal_key: STANDARD.encode(&keys.seal),
            verify_keys: keys.verify.iter().map(|k| STANDARD.encode(k)).collect(),
            certificate: certificate.map(|c| STANDARD.encode(c)),
        }
    }
}

/// A phone as those see it who look after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceView {
    /// Its identity.
    pub id: String,
    /// The account that registered it.
    pub user: String,
    /// Its holder's name.
    pub user_name: String,
    /// What its holder calls it.
    pub name: String,
    /// When it was registered, ms UTC.
    pub registered_ms: i64,
    /// When it was revoked, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<i64>,
    /// Its last sync, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<i64>,
    /// Its wall clock less the server's, at the last sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// Changes it still had to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Version of its library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Phones.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevicesView {
    /// By registration, oldest first.
    pub items: Vec<DeviceView>,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/devices").route(web::post().to(register)).route(web::get().to(list)))
        .service(web::resource("/devices/{id}/revoke").route(web::post().to(revoke)));
}

fn public_key(text: &str) -> Result<[u8; 32], Problem> {
    let wrong = |detail: &str| {
        Problem::invalid("field_invalid", detail)
            .field("public_key")
            .remedy("send 32 bytes of an Ed25519 key in base64")
    };
    let bytes = STANDARD.decode(text).map_err(|_| wrong("`public_key` is not base64"))?;
    let key = <[u8; 32]>::try_from(bytes).map_err(|_| wrong("`public_key` has not 32 bytes"))?;
    match VerifyingKey::from_bytes(&key) {
        Ok(point) if !point.is_weak() => Ok(key),
        _ => Err(wrong("`public_key` is no usable Ed25519 key")),
    }
}

/// Registers a phone to who asks. The same key gives the same phone again, so that it can be repeated when an answer was lost.
#[utoipa::path(post, path = "/v1/devices", tag = "devices", request_body = DeviceRequest,
    responses((status = 201, body = RegisteredView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn register(
    app: web::Data<App>,
    principal: Principal,
    body: web::Json<DeviceRequest>,
) -> Result<(web::Json<RegisteredView>, actix_web::http::StatusCode), Problem> {
    let key = public_key(&body.public_key)?;
    let name = body.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX {
        return Err(Problem::invalid("field_invalid", "a name has 1 to 64 characters").field("name"));
    }
    if !plain::is_plain(&name) {
        let detail = "`name` holds characters that act on a screen instead of standing on it";
        return Err(Problem::invalid("field_invalid", detail).field("name").remedy(plain::REMEDY));
    }
    let inner = app.clone();
    let registered = app.transact(move |conn| -> Result<RegisteredView, Problem> {
        let (app, now_ms) = (&*inner, inner.now_ms());
        let id = devices::register(conn, principal.user, &name, &key, now_ms, &app.entropy)?.ok_or_else(|| {
            Problem::conflict("device_key_taken", "this key was registered before and cannot be used again")
                .field("public_key")
                .remedy("let the phone make a new key")
        })?;
        Act::new(&principal.origin(), "device.register", id).record(conn, now_ms, &app.entropy)?;
        let opened = sessions::open(conn, principal.user, Some(id), now_ms, &lifetime(app), &app.entropy)?;
        let token_keys = app.time_keys(conn)?.public().iter().map(|k| STANDARD.encode(k)).collect();
        let session = tokens(app, conn, opened)?;
        let holder = Principal { device: Some(id), ..principal };
        let certificate = relay::certificate(app, conn, &holder)?;
        let relay = RelayKeysView::new(&relay::public_keys(app, conn)?, certificate.as_ref().map(|c| c.as_slice()));
        Ok(RegisteredView { id: id.to_string(), journal: app.journal.to_string(), token_keys, relay, session })
    });
    Ok((web::Json(registered.await?), actix_web::http::StatusCode::CREATED))
}

/// One's own phones, and those of the people one looks after as administrator or supervisor.
#[utoipa::path(get, path = "/v1/devices", tag = "devices",
    responses((status = 200, body = DevicesView), (status = 401, body = ProblemBody)))]
pub(crate) async fn list(app: web::Data<App>, principal: Principal) -> Result<web::Json<DevicesView>, Problem> {
    let now_ms = app.now_ms();
    let shared = app.clone();
    let items = app.run(move |conn| -> Result<Vec<DeviceView>, Problem> {
        let holders = holders(conn, &principal, now_ms)?;
        let mut items = Vec::new();
        for device in devices::all(conn)? {
            if let Some(user_name) = holders.get(&device.user_id) {
                items.push(view(device, user_name.clone()));
            }
        }
        let detail = json!({ "found": items.len() });
        looked(conn, &shared, &principal.origin(), ("device.list", "devices"), detail)?;
        Ok(items)
    });
    Ok(web::Json(DevicesView { items: items.await? }))
}

/// Revokes a phone: its sessions end, and nothing that it signs from now on is accepted.
#[utoipa::path(post, path = "/v1/devices/{id}/revoke", tag = "devices", params(("id" = String, Path, description = "The phone")),
    responses((status = 200, body = DeviceView), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn revoke(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
) -> Result<web::Json<DeviceView>, Problem> {
    let unknown = || Problem::not_found("there is no such phone among those that you look after");
    let id: DeviceId = path.parse().map_err(|_| unknown())?;
    let now_ms = app.now_ms();
    let inner = app.clone();
    let revoked = app.transact(move |conn| -> Result<DeviceView, Problem> {
        let device = devices::find(conn, id)?.ok_or_else(unknown)?;
        let holders = holders(conn, &principal, now_ms)?;
        let user_name = holders.get(&device.user_id).ok_or_else(unknown)?.clone();
        if devices::revoke(conn, id, now_ms)? {
            tracing::info!(device = %id, by = %principal.user, "device revoked");
            Act::new(&principal.origin(), "device.revoke", id).record(conn, now_ms, &inner.entropy)?;
        }
        sessions::revoke_device(conn, id, now_ms)?;
        let device = devices::find(conn, id)?.ok_or_else(unknown)?;
        Ok(view(device, user_name))
    });
    Ok(web::Json(revoked.await?))
}

/// The names of the accounts whose phones somebody may see, by identity.
pub(super) fn holders(
    conn: &mut AnyConnection,
    principal: &Principal,
    now_ms: i64,
) -> Result<HashMap<String, String>, Problem> {
    let tree = Tree::load(conn)?;
    let seen = |member: &roster::Member| {
        member.user.id == principal.user.to_string()
            || member.areas.iter().any(|area| roster::looks_after(&principal.subject, &tree, area))
    };
    Ok(roster::at(conn, now_ms)?.into_iter().filter(seen).map(|m| (m.user.id, m.user.name)).collect())
}

fn view(device: Device, user_name: String) -> DeviceView {
    DeviceView {
        id: device.id,
        user: device.user_id,
        user_name,
        name: device.name,
        registered_ms: device.registered_ms,
        revoked_ms: device.revoked_ms,
        last_seen_ms: device.last_seen_ms,
        clock_offset_ms: device.clock_offset_ms,
        backlog: device.backlog,
        version: device.version,
    }
}
