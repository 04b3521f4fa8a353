//! `POST /v1/relay`: a relay file handed in at a desk, by a person and not by a phone. It says what became of each parcel and
//! gives the receipts to take back.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sync_core::limits;
use sync_core::relay::parcel::MEDIA_TYPE;
use sync_core::relay::{Container, RelayError};
use sync_core::role::Role;
use sync_core::sync::relay::ParcelOutcome;
use utoipa::ToSchema;

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::relay::{self, BundleReport, Settled};

/// Who takes relay files at a desk.
const DESK: [Role; 4] = [Role::Receptionist, Role::MediationDirector, Role::StationHead, Role::Supervisor];

/// What became of a relay file.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelayView {
    /// Its parcels, in their order.
    pub items: Vec<ParcelView>,
    /// Base64 of a relay file with the server's receipts, to be taken back to where the parcels came from; absent when no parcel
    /// was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<String>,
}

/// What became of one parcel.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParcelView {
    /// Its identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parcel: Option<String>,
    /// `taken`, `waiting` (something in it builds on what is not here yet: hand it in again later) or `refused`.
    pub outcome: &'static str,
    /// Why it was refused: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it was refused, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What became of its bundles, in their order.
    pub bundles: Vec<BundleReport>,
}

impl From<&Settled> for ParcelView {
    fn from(settled: &Settled) -> Self {
        let (outcome, code, detail) = match &settled.answer.outcome {
            ParcelOutcome::Taken => ("taken", None, None),
            ParcelOutcome::Waiting => ("waiting", None, None),
            ParcelOutcome::Refused(code, detail) => ("refused", Some(code.clone()), Some(detail.clone())),
        };
        let parcel = settled.parcel.map(|p| p.to_string());
        Self { parcel, outcome, code, detail, bundles: settled.bundles.clone() }
    }
}

impl From<RelayError> for Problem {
    fn from(error: RelayError) -> Self {
        match error {
            RelayError::TooLarge { .. } => {
                Problem::too_large(error.to_string()).remedy("hand in fewer parcels at once")
            }
            _ => Problem::invalid(error.code(), error.to_string()),
        }
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource("/relay").app_data(web::PayloadConfig::new(limits::WIRE_BYTES_MAX)).route(web::post().to(upload)),
    );
}

/// Hands in a relay file: parcels one behind another, or the text of their QR frames, one in a line.
#[utoipa::path(post, path = "/v1/relay", tag = "sync",
    request_body(content = Vec<u8>, content_type = "application/vnd.fengqiao.relay", description = "A relay file"),
    responses((status = 200, body = RelayView), (status = 400, body = ProblemBody), (status = 401, body = ProblemBody),
        (status = 403, body = ProblemBody), (status = 413, body = ProblemBody), (status = 415, body = ProblemBody)))]
pub(super) async fn upload(
    principal: Principal,
    request: HttpRequest,
    body: Result<web::Bytes, actix_web::Error>,
    app: web::Data<App>,
) -> Result<web::Json<RelayView>, Problem> {
    principal.must_hold(&DESK)?;
    let told = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if told != MEDIA_TYPE {
        return Err(Problem::new(
            actix_web::http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body is not a relay file by its header",
        )
        .remedy(format!("send `Content-Type: {MEDIA_TYPE}`")));
    }
    let body = body.map_err(|e| match e.as_response_error().status_code() {
        actix_web::http::StatusCode::PAYLOAD_TOO_LARGE => {
            RelayError::TooLarge { max: limits::WIRE_BYTES_MAX, what: "bytes" }.into()
        }
        _ => Problem::invalid("parcel_truncated", "the body broke off"),
    })?;
    let shared = app.clone();
    let settled = web::block(move || -> Result<RelayView, Problem> {
        let parcels = Container::parse_file(&body)?;
        let by = principal.origin();
        let settled = parcels.iter().map(|p| relay::take(&shared, p.bytes(), &by)).collect::<Result<Vec<_>, _>>()?;
        let receipts = relay::receipts(&shared, &settled)?.map(|c| STANDARD.encode(c.bytes()));
        Ok(RelayView { items: settled.iter().map(ParcelView::from).collect(), receipts })
    });
    Ok(web::Json(settled.await.map_err(|e| Problem::internal(&e))?.map_err(|p| app.told(p))?))
}
