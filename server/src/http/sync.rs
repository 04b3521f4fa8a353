//! `POST /v1/sync`: the one request by which a phone hands in what it made and receives what it lacks. Answered only after
//! everything it acknowledges is durable.

use std::collections::BTreeSet;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use sync_core::document::ChangeHash;
use sync_core::ids::{AreaCode, DeviceId, DocumentId};
use sync_core::limits;
use sync_core::sync::orders::Orders;
use sync_core::sync::pledge::{PledgeNote, Resupplied};
use sync_core::sync::relay::ParcelAnswer;
use sync_core::sync::server::scope;
use sync_core::sync::wire::{
    self, MEDIA_TYPE, PROTOCOL_VERSION, PushOutcome, PushResult, SyncRequest, SyncResponse, WireError,
};
use sync_core::sync::{pledge, token};

use super::extract::Principal;
use super::problem::Problem;
use crate::accounts::devices;
use crate::app::App;
use crate::audit::{self, Act};
use crate::db::{AnyConnection, DbError};
use crate::objects::lost;
use crate::{bundles, erasure, feed, orders, quarantine, relay, restore};

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/sync").app_data(web::PayloadConfig::new(limits::WIRE_BYTES_MAX)).route(web::post().to(sync)),
    );
}

impl From<WireError> for Problem {
    fn from(error: WireError) -> Self {
        match error {
            WireError::TooLarge { .. } => {
                Problem::too_large(error.to_string()).remedy("send fewer bundles in one request")
            }
            WireError::Version { .. } => Problem::invalid("protocol_version", error.to_string())
                .field("v")
                .remedy("update the app, or the server first"),
            WireError::NotCompressed | WireError::Malformed(_) => Problem::invalid("sync_malformed", error.to_string()),
        }
    }
}

/// Hands in bundles and receives what the phone lacks.
#[utoipa::path(post, path = "/v1/sync", tag = "sync",
    request_body(content = Vec<u8>, content_type = "application/vnd.fengqiao.sync", description = "SyncRequest: CBOR in one zstd frame"),
    responses((status = 200, content_type = "application/vnd.fengqiao.sync", description = "SyncResponse: CBOR in one zstd frame", body = Vec<u8>),
        (status = 400, description = "Not a message of this protocol"), (status = 403, description = "Not a registered phone"),
        (status = 413, description = "Too large")),
    security(("bearer" = [])))]
pub async fn sync(
    principal: Principal,
    request: HttpRequest,
    body: Result<web::Bytes, actix_web::Error>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let told = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if told != MEDIA_TYPE {
        return Err(Problem::new(
            actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body is not a sync request by its header",
        )
        .remedy(format!("send `Content-Type: {MEDIA_TYPE}`")));
    }
    let device = principal.must_be_device()?;
    let body = body.map_err(|e| match e.as_response_error().status_code() {
        actix_web::http::StatusCode::PAYLOAD_TOO_LARGE => WireError::TooLarge { max: limits::WIRE_BYTES_MAX }.into(),
        _ => Problem::invalid("sync_malformed", "the body broke off"),
    })?;
    let shared = app.clone();
    let response = web::block(move || exchange(&shared, &principal, device, &body));
    let bytes = response.await.map_err(|e| Problem::internal(&e))?.map_err(|p| app.told(p))?;
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE).body(bytes))
}

/// What the endpoint does below HTTP: the bytes of a request in, those of the answer out. What the answer acknowledges is durable.
pub fn exchange(app: &App, principal: &Principal, device: DeviceId, body: &[u8]) -> Result<Vec<u8>, Problem> {
    let request: SyncRequest = wire::decode(body)?;
    request.check()?;
    if request.device != device {
        return Err(Problem::forbidden("the request names another device than the session").field("d"));
    }
    let read = bundles::read(&request.bundles);
    // What is carried for others is settled by itself, parcel by parcel: none of it can hold up the carrier.
    let parcels = request.relay.as_ref().map(|r| r.parcels.as_slice()).unwrap_or_default();
    let relayed = relay::take_all(app, parcels, device)?;
    let resupplied = restore::take(app, device, request.resupply.as_ref())?;
    // With nothing to write no community is locked; what the phone told of itself is committed along with what it sent.
    let heard = |conn: &mut AnyConnection| -> Result<SyncResponse, Problem> {
        let carried = (relayed.clone(), resupplied.clone());
        let answer = answer(app, conn, principal, device, &request, &read, carried)?;
        let more = answer.more || !answer.wanted.is_empty();
        let contact = devices::Contact { health: &request.health, doubts: request.doubts.len(), more };
        devices::seen(conn, device, &contact, app.now_ms())?;
        restore::note_progress(conn, app, device, &request, &answer)?;
        delivered(app, conn, principal, &answer)?;
        Ok(answer)
    };
    let answer = if read.is_empty() { heard(&mut *app.db.get()?)? } else { app.db.transaction(heard)? };
    count(app, &answer.results);
    Ok(wire::encode(&answer)?)
}

/// Writes down which documents a phone is given, before it is given them.
fn delivered(app: &App, conn: &mut AnyConnection, principal: &Principal, answer: &SyncResponse) -> Result<(), DbError> {
    let documents: BTreeSet<_> = answer.deliveries.iter().map(|d| d.document).collect();
    if documents.is_empty() {
        return Ok(());
    }
    let detail = serde_json::json!({ "count": documents.len(), "documents": audit::compact(documents) });
    let act = Act::new(&principal.origin(), "sync.deliver", "sync").detail(detail);
    act.record(conn, answer.now_ms, &app.entropy)
}

fn count(app: &App, results: &[PushResult]) {
    let of = |kind: fn(&PushOutcome) -> bool| {
        u64::try_from(results.iter().filter(|r| kind(&r.outcome)).count()).unwrap_or_default()
    };
    app.metrics.changes_accepted.inc_by(of(|o| matches!(o, PushOutcome::Accepted(_))));
    app.metrics
        .changes_quarantined
        .inc_by(of(|o| matches!(o, PushOutcome::Quarantined(..) | PushOutcome::Unreadable(..))));
}

fn answer(
    app: &App,
    conn: &mut AnyConnection,
    principal: &Principal,
    device: DeviceId,
    request: &SyncRequest,
    read: &[bundles::Read],
    (relayed, resupplied): (Vec<ParcelAnswer>, Vec<Resupplied>),
) -> Result<SyncResponse, Problem> {
    let context = app.context();
    let (now_ms, identity) = (context.now_ms, context.journal);
    let time_keys = app.time_keys(conn)?;
    let sent = (request.bundles.as_slice(), read);
    let (results, refused) = bundles::take_all(conn, &context, sent, &time_keys.public(), device, false)?;
    let stands = |r: &&PushResult| matches!(r.outcome, PushOutcome::Accepted(_) | PushOutcome::Duplicate);
    let sent: BTreeSet<ChangeHash> = results.iter().filter(stands).map(|r| r.hash).collect();
    // Cursors of another journal mean nothing here.
    let cursors = if request.journal == Some(identity) { request.cursors.as_slice() } else { &[] };
    if let Some(confirmed) = &request.confirmed {
        orders::confirm(conn, device, confirmed, now_ms)?;
        orders::forget_served(conn, device, confirmed)?;
        erasure::confirmed(conn, device, confirmed, now_ms)?;
    }
    let mut holding: Vec<AreaCode> = request.cursors.iter().map(|c| c.community.clone()).collect();
    if app.restored && request.journal != Some(identity) {
        // It may hold what this server lacks: nothing goes as a whole, every document is compared first.
        holding.clear();
    }
    let pushed: Vec<DocumentId> = results.iter().map(|r: &PushResult| r.document).collect();
    let asker = feed::Asker {
        device,
        subject: &principal.subject,
        cursors,
        holding: &holding,
        doubts: &request.doubts,
        restored: app.restored,
        unproven: request.resupply.as_ref().map(|r| r.unproven.as_slice()).unwrap_or_default(),
        pushed: &pushed,
        sent: &sent,
        history_from_ms: now_ms.saturating_sub(app.config.history_ms()),
    };
    let mut feed = feed::collect(conn, &asker)?;
    let spoken_of = [pushed, feed.wanted.iter().map(|w| w.document).collect()].concat();
    let standing = std::mem::take(&mut feed.standing);
    let (erased, more_erased) = erasure::orders(conn, device, (cursors, &feed.cursors), &spoken_of, now_ms)?;
    feed.wanted.retain(|w| !erased.contains(&w.document));
    orders::purge(conn, device, &feed.purge, now_ms, &app.entropy)?;
    let (mut purge, more_purges) = orders::open_purges(conn, device, &principal.subject, &feed.purge)?;
    purge.documents.extend(&erased);
    let kept = request.confirmed.as_ref().and_then(|c| c.policy).unwrap_or_default();
    let policy = Some(app.config.phone_policy()).filter(|p| *p != kept);
    let losses = lost::losses(conn)?;
    let orders = Orders { communities: purge.communities, policy, erased, losses };
    let key = time_keys.current().ok_or_else(|| Problem::internal(&"there is no key for time tokens"))?;
    // The person's roles are told whenever the phone shows that it knows other ones, fewer or more.
    let communities = principal.subject.communities();
    let known_scope = request.cursors.len() == communities.len()
        && communities.iter().all(|c| {
            let scope = scope(&principal.subject, c);
            request.cursors.iter().any(|k| k.community == *c && k.scope == scope)
        });
    let mut response = SyncResponse {
        version: PROTOCOL_VERSION,
        journal: identity,
        now_ms,
        token: wire::Bytes::from(token::issue(key, device, now_ms)?),
        results,
        refused,
        deliveries: feed.deliveries,
        wanted: feed.wanted,
        purge: purge.documents,
        orders: Some(orders).filter(|o| *o != Orders::default()),
        unanswered: feed.unanswered,
        decisions: quarantine::decisions(conn, device, &request.undecided)?,
        cursors: feed.cursors,
        grants: (!known_scope).then(|| principal.subject.grants.clone()),
        more: feed.more || more_purges || more_erased,
        relay: relay::news(app, conn, principal, request.relay.as_ref(), !known_scope, relayed)?,
        pledge: None,
        resupplied,
    };
    response.pledge = pledge(app, conn, request, &standing, &response)?;
    Ok(response)
}

/// The server's word for what an answer acknowledges and delivers; none for one that does neither.
fn pledge(
    app: &App,
    conn: &mut AnyConnection,
    request: &SyncRequest,
    standing: &[bool],
    response: &SyncResponse,
) -> Result<Option<PledgeNote>, Problem> {
    let standing = pledge::bits(standing.iter().copied());
    let doubts = request.doubts.iter().map(|d| (d.document, d.heads.as_slice()));
    let list = pledge::list(&pledge::pledged(response, &standing, doubts));
    if list.is_empty() {
        return Ok(None);
    }
    let keys = app.relay_keys(conn)?;
    let key = keys.current().ok_or_else(|| Problem::internal(&"there is no key for relay"))?;
    let signature = pledge::sign(key, response.journal, response.now_ms, &list);
    Ok(Some(PledgeNote { signature, standing }))
}
