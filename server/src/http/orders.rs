//! Orders to phones, for those who look after them: to destroy everything on a lost one, and to see what each was ordered and has confirmed.

use actix_web::web;
use serde::Serialize;
use serde_json::json;
use sync_core::ids::DeviceId;
use utoipa::ToSchema;

use super::audit::looked;
use super::devices::holders;
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::accounts::{devices, sessions};
use crate::app::App;
use crate::audit::Act;
use crate::db::AnyConnection;
use crate::orders::{self, Order};

const SHOWN_MAX: i64 = 1_000;

/// One order to a phone.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrderView {
    /// `document` or `community`: purge it; `wipe`: destroy everything.
    pub kind: String,
    /// The document or community.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// When it was ordered, ms UTC.
    pub ordered_ms: i64,
    /// The account that ordered it; absent when it follows from rights or places.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered_by: Option<String>,
    /// When the phone confirmed that it is done, ms UTC; absent as long as it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_ms: Option<i64>,
}

/// Orders to a phone.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrdersView {
    /// Latest first, at most 1,000.
    pub items: Vec<OrderView>,
}

impl From<Order> for OrderView {
    fn from(o: Order) -> Self {
        let target = Some(o.target).filter(|t| !t.is_empty());
        let Order { kind, ordered_ms, ordered_by, confirmed_ms, .. } = o;
        Self { kind, target, ordered_ms, ordered_by, confirmed_ms }
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/devices/{id}/wipe").route(web::post().to(wipe)))
        .service(web::resource("/devices/{id}/orders").route(web::get().to(list)));
}

fn unknown() -> Problem {
    Problem::not_found("there is no such phone among those that you look after")
}

fn must_look_after(conn: &mut AnyConnection, principal: &Principal, id: DeviceId, now_ms: i64) -> Result<(), Problem> {
    let device = devices::find(conn, id)?.ok_or_else(unknown)?;
    if holders(conn, principal, now_ms)?.contains_key(&device.user_id) { Ok(()) } else { Err(unknown()) }
}

fn shown(conn: &mut AnyConnection, id: DeviceId) -> Result<OrdersView, Problem> {
    let items = orders::of_device(conn, id, SHOWN_MAX)?.into_iter().map(OrderView::from).collect();
    Ok(OrdersView { items })
}

/// What a phone was ordered, and what it has confirmed: one's own phone, or one of a person whom one looks after.
#[utoipa::path(get, path = "/v1/devices/{id}/orders", tag = "devices", params(("id" = String, Path, description = "The phone")),
    responses((status = 200, body = OrdersView), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn list(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
) -> Result<web::Json<OrdersView>, Problem> {
    let id: DeviceId = path.parse().map_err(|_| unknown())?;
    let now_ms = app.now_ms();
    let shared = app.clone();
    let seen = app.run(move |conn| -> Result<OrdersView, Problem> {
        must_look_after(conn, &principal, id, now_ms)?;
        let found = shown(conn, id)?;
        let detail = json!({ "found": found.items.len() });
        looked(conn, &shared, &principal.origin(), ("device.orders", &id.to_string()), detail)?;
        Ok(found)
    });
    Ok(web::Json(seen.await?))
}

/// Revokes a phone and orders it to destroy everything on it. At its next contact it hands in what it had not sent, which is judged like
/// everything from a revoked phone, then destroys its keys and data and confirms that it has.
#[utoipa::path(post, path = "/v1/devices/{id}/wipe", tag = "devices", params(("id" = String, Path, description = "The phone")),
    responses((status = 200, body = OrdersView), (status = 401, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn wipe(
    app: web::Data<App>,
    principal: Principal,
    path: web::Path<String>,
) -> Result<web::Json<OrdersView>, Problem> {
    let id: DeviceId = path.parse().map_err(|_| unknown())?;
    let inner = app.clone();
    let ordered = app.transact(move |conn| -> Result<OrdersView, Problem> {
        let now_ms = inner.now_ms();
        must_look_after(conn, &principal, id, now_ms)?;
        devices::revoke(conn, id, now_ms)?;
        sessions::revoke_device(conn, id, now_ms)?;
        orders::wipe(conn, id, principal.user, now_ms, &inner.entropy)?;
        Act::new(&principal.origin(), "device.wipe", id).record(conn, now_ms, &inner.entropy)?;
        shown(conn, id)
    });
    Ok(web::Json(ordered.await?))
}
