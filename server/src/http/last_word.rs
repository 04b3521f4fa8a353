//! `POST /v1/last-word`: what a revoked phone still has to say. It has no session; the signature of its key stands for one. It hands in
//! what it had not sent, what it carries for others, and what a restored server has lost; it learns whether it must destroy everything,
//! and confirms that it has. Nothing of the records goes out to it.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use sync_core::ids::DocumentId;
use sync_core::limits;
use sync_core::sync::orders::{LastAnswer, SignedLastWord};
use sync_core::sync::wire::{self, Doubt, MEDIA_TYPE, WireError};

use super::guard::client_address;
use super::problem::Problem;
use crate::accounts::devices;
use crate::app::App;
use crate::audit::{Act, Origin};
use crate::db::{AnyConnection, DbError};
use crate::{bundles, erasure, journal, orders, restore};

/// Open to everybody: who speaks is known by his signature.
pub(super) fn open_routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/last-word")
            .app_data(web::PayloadConfig::new(limits::WIRE_BYTES_MAX))
            .route(web::post().to(last_word)),
    );
}

/// Hears the last word of a revoked phone.
#[utoipa::path(post, path = "/v1/last-word", tag = "sync", security(()),
    request_body(content = Vec<u8>, content_type = "application/vnd.fengqiao.sync", description = "SignedLastWord: CBOR in one zstd frame"),
    responses((status = 200, content_type = "application/vnd.fengqiao.sync", description = "LastAnswer: CBOR in one zstd frame", body = Vec<u8>),
        (status = 400, description = "Not a message of this protocol"), (status = 403, description = "Not signed by a registered phone"),
        (status = 409, description = "The phone is not revoked: it syncs"), (status = 413, description = "Too large"),
        (status = 415, description = "Another media type")))]
pub(super) async fn last_word(
    request: HttpRequest,
    body: Result<web::Bytes, actix_web::Error>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let told = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if told != MEDIA_TYPE {
        let status = actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported_media_type", "the body is not a last word by its header")
            .remedy(format!("send `Content-Type: {MEDIA_TYPE}`")));
    }
    let body = body.map_err(|e| match e.as_response_error().status_code() {
        actix_web::http::StatusCode::PAYLOAD_TOO_LARGE => WireError::TooLarge { max: limits::WIRE_BYTES_MAX }.into(),
        _ => Problem::invalid("sync_malformed", "the body broke off"),
    })?;
    let (inner, from) = (app.clone(), client_address(&request).to_string());
    let heard = web::block(move || hear(&inner, &from, &body))
        .await
        .map_err(|e| Problem::internal(&e))?
        .map_err(|p| app.told(p))?;
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE).body(heard))
}

/// What the endpoint does below HTTP for somebody at an address. What the answer acknowledges is durable.
pub fn hear(app: &App, from: &str, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let signed: SignedLastWord = wire::decode(body)?;
    let word = signed.read()?;
    let stranger = || {
        Problem::new(actix_web::http::StatusCode::FORBIDDEN, "bad_signature", "no registered phone has signed this")
            .remedy("sign the payload with the key of the phone that it names")
    };
    // Who has not signed costs nothing more than this.
    let device = devices::find(&mut *app.db.get()?, word.device)?.ok_or_else(stranger)?;
    if !device.key().is_some_and(|key| signed.is_signed_by(&key)) {
        return Err(stranger());
    }
    if device.revoked_ms.is_none() {
        return Err(Problem::conflict("device_not_revoked", "this phone is not revoked").remedy("sign in and sync"));
    }
    let read = bundles::read(&word.bundles);
    let resupplied = restore::take(app, word.device, word.resupply.as_ref())?;
    let answer = app.db.transaction(|conn: &mut AnyConnection| -> Result<LastAnswer, Problem> {
        let context = app.context();
        let keys = app.time_keys(conn)?.public();
        let sent = (word.bundles.as_slice(), read.as_slice());
        let (results, refused) = bundles::take_all(conn, &context, sent, &keys, word.device, word.last)?;
        if let Some(order) = word.wiped
            && orders::wiped(conn, word.device, order, context.now_ms)?
        {
            erasure::wiped(conn, word.device, context.now_ms)?;
            tracing::info!(device = %word.device, "device has destroyed its data");
            let user = device.user_id.parse().map_err(|_| DbError::Row(format!("device {}", word.device)))?;
            let origin = Origin { user, device: Some(word.device), from: from.to_owned() };
            let detail = serde_json::json!({ "order": order.to_string() });
            Act::new(&origin, "device.wiped", word.device).detail(detail).record(
                conn,
                context.now_ms,
                context.entropy,
            )?;
        }
        Ok(LastAnswer {
            now_ms: context.now_ms,
            results,
            refused,
            wipe: orders::open_wipe(conn, word.device)?,
            journal: Some(context.journal),
            lacking: lacking(app, conn, &word.doubts)?,
            resupplied: resupplied.clone(),
        })
    })?;
    Ok(wire::encode(&answer)?)
}

/// Of the records that a phone names those of which this server lacks something. Only after a restore can it lack what a phone holds of
/// others; what was erased by law it does not want back.
fn lacking(app: &App, conn: &mut AnyConnection, doubts: &[Doubt]) -> Result<Vec<DocumentId>, DbError> {
    let mut lacking = Vec::new();
    for doubt in doubts.iter().filter(|_| app.restored) {
        if erasure::of(conn, doubt.document)?.is_some() {
            continue;
        }
        let document = journal::load(conn, doubt.document)?;
        if document.is_none_or(|d| doubt.heads.iter().any(|head| !d.has(head))) {
            lacking.push(doubt.document);
        }
    }
    Ok(lacking)
}
