//! Patrol records: list, record, history.

use actix_web::web;
use serde::Serialize;
use serde_json::json;
use sync_core::edit::Edit;
use sync_core::error::EditError;
use sync_core::event::{EventKind, MootReason};
use sync_core::fold::fold_patrol;
use sync_core::ids::DocumentId;
use sync_core::patrol::PatrolState;
use sync_core::shape::DocumentKind;
use utoipa::ToSchema;

use super::audit::{looked, narrowed};
use super::cases::{EditRequest, HistoryEntry, Made, history_of, read, visible};
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::db::DbError;
use crate::journal;
use crate::masking::{self, Sight};
use crate::merge;
use crate::queries::{self, Page, PatrolFilter, PatrolSummary};

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/patrols", web::get().to(list))
        .route("/patrols/{id}", web::get().to(record))
        .route("/patrols/{id}/history", web::get().to(history))
        .route("/patrols/{id}/edits", web::post().to(edit));
}

/// Patrols that the asker may see.
#[utoipa::path(get, path = "/v1/patrols", tag = "patrols", params(PatrolFilter),
    responses((status = 200, body = Page<PatrolSummary>)), security(("bearer" = [])))]
pub async fn list(
    principal: Principal,
    filter: web::Query<PatrolFilter>,
    app: web::Data<App>,
) -> Result<web::Json<Page<PatrolSummary>>, Problem> {
    let (filter, shared) = (filter.into_inner(), app.clone());
    let page = app.run(move |conn| -> Result<_, DbError> {
        let page = queries::patrol_page(conn, &principal.subject, &filter)?;
        if let Ok(page) = &page {
            let detail = json!({ "filter": narrowed(&filter), "found": page.items.len() });
            looked(conn, &shared, &principal.origin(), ("patrol.list", "patrols"), detail)?;
        }
        Ok(page)
    });
    let page = page.await??;
    Ok(web::Json(page))
}

/// One patrol record.
#[derive(Serialize, ToSchema)]
pub struct PatrolRecord {
    /// The folded state.
    #[schema(value_type = Object)]
    pub(crate) state: PatrolState,
    /// Whether the asker may have masked numbers shown (`/v1/patrols/{id}/reveal`).
    pub(crate) may_reveal: bool,
}

/// One patrol record as it is now.
#[utoipa::path(get, path = "/v1/patrols/{id}", tag = "patrols", params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = PatrolRecord), (status = 404, description = "No such patrol")), security(("bearer" = [])))]
pub async fn record(
    principal: Principal,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<web::Json<PatrolRecord>, Problem> {
    let id = id.into_inner();
    let shared = app.clone();
    let record = app
        .run(move |conn| -> Result<_, Problem> {
            let place = visible(conn, &principal, id, DocumentKind::Patrol)?;
            read(conn, &shared, &principal, "patrol.read", &place)?;
            // From the document: the row shows no number to anybody.
            let document = journal::load(conn, id)?.ok_or_else(|| Problem::not_found("there is no such patrol"))?;
            let sight = Sight::of(&principal.subject, &place);
            Ok(PatrolRecord { may_reveal: sight.may_reveal, state: sight.masked(&fold_patrol(&document))? })
        })
        .await?;
    Ok(web::Json(record))
}

/// Who wrote what in a patrol record, when it was written and when it arrived.
#[utoipa::path(get, path = "/v1/patrols/{id}/history", tag = "patrols", params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = Vec<HistoryEntry>), (status = 404, description = "No such patrol")), security(("bearer" = [])))]
pub async fn history(
    principal: Principal,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<web::Json<Vec<HistoryEntry>>, Problem> {
    let id = id.into_inner();
    let shared = app.clone();
    let entries = app
        .run(move |conn| -> Result<_, Problem> {
            let place = visible(conn, &principal, id, DocumentKind::Patrol)?;
            read(conn, &shared, &principal, "patrol.history", &place)?;
            history_of(conn, id, &Sight::of(&principal.subject, &place))
        })
        .await?;
    Ok(web::Json(entries))
}

/// Refuses to note once more what has been noted, or to put right what nobody found: it would have no effect.
fn refuse_moot(state: &PatrolState, edits: &[Edit]) -> Result<(), EditError> {
    for edit in edits {
        let Edit::AddEvent { kind: kind @ EventKind::HazardRectified, body } = edit else { continue };
        let hazard = body.get("hazard").and_then(|v| v.as_str()).unwrap_or_default();
        let reason = if !state.hazards.contains_key(hazard) {
            MootReason::ReferenceMoot
        } else if state.hazards_rectified.iter().any(|done| done == hazard) {
            MootReason::AlreadyDone
        } else {
            continue;
        };
        return Err(EditError::Moot { kind: kind.to_string(), reason: reason.as_str().to_owned() });
    }
    Ok(())
}

/// Edits a patrol record at a desk: a hazard put right, a register that two people disagree on.
#[utoipa::path(post, path = "/v1/patrols/{id}/edits", tag = "patrols", params(("id" = String, Path, description = "The document")),
    request_body = EditRequest,
    responses((status = 200, body = Made), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, description = "The event makes no sense now", body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn edit(
    principal: Principal,
    id: web::Path<DocumentId>,
    body: web::Json<EditRequest>,
    app: web::Data<App>,
) -> Result<web::Json<Made>, Problem> {
    let (id, edits, shared) = (id.into_inner(), body.into_inner().checked()?, app.clone());
    let made = app
        .transact(move |conn| -> Result<_, Problem> {
            visible(conn, &principal, id, DocumentKind::Patrol)?;
            let document = journal::load(conn, id)?.ok_or_else(|| Problem::not_found("there is no such patrol"))?;
            refuse_moot(&fold_patrol(&document), &edits)?;
            let edits = masking::restore(&document, &edits);
            Ok(merge::edits(conn, &shared.context(), id, &edits, Some(&principal.subject))?.made)
        })
        .await?;
    Ok(web::Json(Made { id, made }))
}
