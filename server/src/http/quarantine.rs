//! What was refused and kept: reading it, letting it in, dismissing it. Only for those who supervise its community.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::role::Role;
use utoipa::ToSchema;

use super::audit::{looked, narrowed};
use super::extract::Principal;
use super::guard;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::Act;
use crate::db::{AnyConnection, DbError};
use crate::merge::Context;
use crate::quarantine::{self as decisions, Decided, DecisionError};
use crate::queries::{self, Page, QuarantineFilter, QuarantineRow};

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/quarantine", web::get().to(list))
        .route("/quarantine/{id}", web::get().to(entry))
        .route("/quarantine/{id}/bytes", web::get().to(bytes))
        .route("/quarantine/{id}/accept", web::post().to(accept))
        .route("/quarantine/{id}/dismiss", web::post().to(dismiss));
}

/// A decision.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionRequest {
    /// Why: the author reads it. Required for dismissing.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// One refused change, with those that would be decided together with it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuarantineEntry {
    /// The change.
    #[serde(flatten)]
    pub(crate) row: QuarantineRow,
    /// What it builds on and what builds on it, as far as it waits, too, in the order in which it was written: the same decision is theirs.
    pub(crate) together: Vec<QuarantineRow>,
}

impl From<DecisionError> for Problem {
    fn from(error: DecisionError) -> Self {
        let told = error.to_string();
        match error {
            DecisionError::NotFound => Self::not_found(told),
            DecisionError::Decided(_) => Self::conflict("already_decided", told).remedy("read the entry again"),
            DecisionError::OwnWork => Self::forbidden(told),
            DecisionError::Reason(_) => {
                Self::invalid("field_invalid", told).field("reason").remedy("1 to 1000 characters")
            }
            DecisionError::NotAcceptable { .. } => Self::conflict("not_acceptable", told).remedy("dismiss it"),
            DecisionError::DoesNotFit(_) => {
                Self::conflict("does_not_fit", told).remedy("enter by hand what it says, then dismiss it")
            }
            DecisionError::Db(error) => error.into(),
        }
    }
}

fn supervisor(principal: &Principal) -> Result<Vec<String>, Problem> {
    principal.must_hold(&[Role::Supervisor])?;
    Ok(decisions::communities(&principal.subject))
}

fn hidden() -> Problem {
    DecisionError::NotFound.into()
}

/// Refused changes of the communities that the asker supervises, last arrived first.
#[utoipa::path(get, path = "/v1/quarantine", tag = "quarantine", params(QuarantineFilter),
    responses((status = 200, body = Page<QuarantineRow>), (status = 400, body = ProblemBody)), security(("bearer" = [])))]
pub async fn list(
    principal: Principal,
    filter: web::Query<QuarantineFilter>,
    app: web::Data<App>,
) -> Result<web::Json<Page<QuarantineRow>>, Problem> {
    let (filter, communities) = (filter.into_inner(), supervisor(&principal)?);
    if filter.text.as_ref().is_some_and(|t| !t.trim().is_empty()) {
        guard::count_by(&app, &app.guard.search, &principal.user.0)?;
    }
    let shared = app.clone();
    let page = app.run(move |conn| -> Result<_, Problem> {
        let page = queries::quarantine_page(conn, &communities, &filter)??;
        let detail = json!({ "filter": narrowed(&filter), "found": page.items.len() });
        looked(conn, &shared, &principal.origin(), ("quarantine.list", "quarantine"), detail)?;
        Ok(page)
    });
    Ok(web::Json(page.await?))
}

type Reading<T> = fn(&mut AnyConnection, &[String], &str) -> Result<Option<T>, DbError>;

/// An entry with those that hang together with it.
fn whole(conn: &mut AnyConnection, communities: &[String], id: &str) -> Result<Option<QuarantineEntry>, DbError> {
    let Some(row) = queries::quarantine_entry(conn, communities, id)? else { return Ok(None) };
    let others = decisions::together(conn, id)?;
    Ok(Some(QuarantineEntry { row, together: queries::quarantine_entries(conn, communities, &others)? }))
}

/// Reads something of one entry, and writes down who did.
async fn read<T: Send + 'static>(
    principal: &Principal,
    app: &web::Data<App>,
    id: String,
    what: Reading<T>,
) -> Result<Option<T>, Problem> {
    let communities = supervisor(principal)?;
    let (shared, origin) = (app.clone(), principal.origin());
    app.run(move |conn| -> Result<_, DbError> {
        let found = what(conn, &communities, &id)?;
        if found.is_some() {
            Act::new(&origin, "quarantine.read", &id).record(conn, shared.now_ms(), &shared.entropy)?;
        }
        Ok(found)
    })
    .await
}

/// One refused change, and what would be decided together with it.
#[utoipa::path(get, path = "/v1/quarantine/{id}", tag = "quarantine", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, body = QuarantineEntry), (status = 404, description = "No such entry")), security(("bearer" = [])))]
pub async fn entry(
    principal: Principal,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<web::Json<QuarantineEntry>, Problem> {
    let found = read(&principal, &app, id.into_inner(), whole).await?;
    found.map(web::Json).ok_or_else(hidden)
}

/// The bytes of a refused change as they came.
#[utoipa::path(get, path = "/v1/quarantine/{id}/bytes", tag = "quarantine", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 404, description = "No such entry")),
    security(("bearer" = [])))]
pub async fn bytes(principal: Principal, id: web::Path<String>, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let found = read(&principal, &app, id.into_inner(), queries::quarantine_bytes).await?;
    let bytes = found.ok_or_else(hidden)?;
    Ok(HttpResponse::Ok().content_type("application/octet-stream").body(bytes))
}

type Decide = fn(
    &mut AnyConnection,
    &Context<'_>,
    &sync_core::authority::Subject,
    &str,
    Option<&str>,
) -> Result<Decided, DecisionError>;

async fn decide(
    decide: Decide,
    principal: Principal,
    id: String,
    request: DecisionRequest,
    app: web::Data<App>,
) -> Result<web::Json<Decided>, Problem> {
    supervisor(&principal)?;
    let shared = app.clone();
    let decided = app
        .transact(move |conn| -> Result<_, Problem> {
            let context = shared.context();
            let decided = decide(conn, &context, &principal.subject, &id, request.reason.as_deref())?;
            let act = Act::new(&principal.origin(), "quarantine.decide", &id);
            let act = act.reason(request.reason.as_deref().unwrap_or_default());
            act.detail(json!(decided)).record(conn, shared.now_ms(), &shared.entropy)?;
            Ok(decided)
        })
        .await?;
    Ok(web::Json(decided))
}

/// Lets a refused change in, under its author's name, with what it builds on and what builds on it.
#[utoipa::path(post, path = "/v1/quarantine/{id}/accept", tag = "quarantine", params(("id" = String, Path, description = "Its id")),
    request_body = DecisionRequest,
    responses((status = 200, body = Decided), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, description = "Decided otherwise, not sound, or it does not fit any more", body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn accept(
    principal: Principal,
    id: web::Path<String>,
    request: web::Json<DecisionRequest>,
    app: web::Data<App>,
) -> Result<web::Json<Decided>, Problem> {
    decide(decisions::accept, principal, id.into_inner(), request.into_inner(), app).await
}

/// Dismisses a refused change, with a reason that its author reads. It stays on record.
#[utoipa::path(post, path = "/v1/quarantine/{id}/dismiss", tag = "quarantine", params(("id" = String, Path, description = "Its id")),
    request_body = DecisionRequest,
    responses((status = 200, body = Decided), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, description = "Decided otherwise", body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn dismiss(
    principal: Principal,
    id: web::Path<String>,
    request: web::Json<DecisionRequest>,
    app: web::Data<App>,
) -> Result<web::Json<Decided>, Problem> {
    decide(decisions::dismiss, principal, id.into_inner(), request.into_inner(), app).await
}
