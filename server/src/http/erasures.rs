//! Erasure by law over HTTP: a supervisor asks, another one decides, and anybody of them sees how far it has come.

use actix_web::http::StatusCode;
use actix_web::web;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::ids::DocumentId;
use sync_core::role::Role;
use utoipa::ToSchema;

use super::audit::looked;
use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::Act;
use crate::db::DbError;
use crate::erasure::{self, Erasure, ErasureError, Proof, Wish};
use crate::journal;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/erasures").route(web::get().to(list)).route(web::post().to(ask)))
        .service(web::resource("/erasures/{id}/decide").route(web::post().to(decide)))
        .service(web::resource("/erasures/{id}/proof").route(web::get().to(proof)).route(web::post().to(prove)));
}

impl From<ErasureError> for Problem {
    fn from(error: ErasureError) -> Self {
        let detail = error.to_string();
        match error {
            ErasureError::NotFound(_) => Self::not_found(detail),
            ErasureError::Reason(e) => e.into(),
            ErasureError::Kind(_) => Self::invalid("field_invalid", detail).field("kind"),
            ErasureError::SamePerson => Self::forbidden(detail).remedy("ask another supervisor of the community"),
            ErasureError::Decided => Self::conflict("erasure_decided", detail),
            ErasureError::Remake(e) => Self::internal(&e),
            ErasureError::Objects(e) => e.into(),
            ErasureError::Db(e) => e.into(),
        }
    }
}

/// What shall be erased.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureRequest {
    /// person, case or attachment.
    kind: String,
    /// The document.
    #[schema(value_type = String)]
    document: DocumentId,
    /// The party's id, or the attachment's hash; left out for a whole case.
    #[serde(default)]
    part: String,
    /// 8 to 500 characters, without numbers of persons.
    reason: String,
}

/// A decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whether it is erased. It cannot be taken back.
    approve: bool,
}

/// What came of a decision.
#[derive(Serialize, ToSchema)]
pub struct Decided {
    /// The document made of what was left.
    #[schema(value_type = Option<String>)]
    successor: Option<DocumentId>,
}

/// Erasures.
#[derive(Serialize, ToSchema)]
pub struct Erasures {
    /// Last asked first.
    items: Vec<Erasure>,
}

fn hidden() -> Problem {
    Problem::not_found("there is no such erasure, or you may not see it")
}

/// Erasures of the communities that the asker supervises.
#[utoipa::path(get, path = "/v1/erasures", tag = "erasure",
    responses((status = 200, body = Erasures), (status = 403, body = ProblemBody)), security(("bearer" = [])))]
pub(super) async fn list(app: web::Data<App>, principal: Principal) -> Result<web::Json<Erasures>, Problem> {
    principal.must_hold(&[Role::Supervisor])?;
    let held = principal.subject.grants.iter().filter(|g| g.role == Role::Supervisor);
    let codes: Vec<String> = held.flat_map(|g| g.communities.iter().cloned().map(String::from)).collect();
    let shared = app.clone();
    let items = app.run(move |conn| -> Result<Vec<Erasure>, DbError> {
        let items = erasure::list(conn, Some(&codes))?;
        let detail = json!({ "found": items.len() });
        looked(conn, &shared, &principal.origin(), ("erasure.list", "erasures"), detail)?;
        Ok(items)
    });
    let items = items.await?;
    Ok(web::Json(Erasures { items }))
}

/// Asks that a person, an attachment or a whole document be erased. Nothing is erased until another supervisor has decided.
#[utoipa::path(post, path = "/v1/erasures", tag = "erasure", request_body = ErasureRequest,
    responses((status = 201, body = Erasure), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)), security(("bearer" = [])))]
pub(super) async fn ask(
    app: web::Data<App>,
    principal: Principal,
    body: web::Json<ErasureRequest>,
) -> Result<(web::Json<Erasure>, StatusCode), Problem> {
    principal.must_hold(&[Role::Supervisor])?;
    let ErasureRequest { kind, document, part, reason } = body.into_inner();
    let wish = Wish { kind, document, part, reason };
    let shared = app.clone();
    let asked = app.transact(move |conn| -> Result<Erasure, Problem> {
        let row = journal::document_row(conn, document)?;
        if !row.is_some_and(|r| erasure::may(&principal.subject, &r.community)) {
            return Err(Problem::not_found("there is no such document, or you may not see it"));
        }
        Ok(erasure::ask(conn, &shared.context(), &principal.origin(), &wish)?)
    });
    Ok((web::Json(asked.await?), StatusCode::CREATED))
}

/// Decides an erasure that another person asked for.
#[utoipa::path(post, path = "/v1/erasures/{id}/decide", tag = "erasure", params(("id" = String, Path, description = "The erasure")),
    request_body = Decision,
    responses((status = 200, body = Decided), (status = 403, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)), security(("bearer" = [])))]
pub(super) async fn decide(
    app: web::Data<App>,
    principal: Principal,
    id: web::Path<String>,
    body: web::Json<Decision>,
) -> Result<web::Json<Decided>, Problem> {
    principal.must_hold(&[Role::Supervisor])?;
    let (id, approve) = (id.into_inner(), body.approve);
    let shared = app.clone();
    let successor = app
        .transact(move |conn| -> Result<_, Problem> {
            let asked = erasure::find(conn, &id)?.filter(|e| erasure::may(&principal.subject, &e.community));
            asked.ok_or_else(hidden)?;
            Ok(erasure::decide(conn, &shared.context(), &principal.origin(), &id, approve, false)?)
        })
        .await?;
    if approve {
        let db = app.db.clone();
        // It is erased; that the files forget it too may take a while and is made up for by the next erasure if it fails.
        if let Err(error) = web::block(move || erasure::scrub(&db)).await.map_err(|e| Problem::internal(&e))? {
            tracing::error!(%error, "the database's files could not be scrubbed; run `fengqiao erase scrub`");
        }
        if let Err(error) = erasure::contents::clear(&app).await {
            tracing::error!(%error, "contents could not be deleted from the store; the next collection tries again");
        }
    }
    Ok(web::Json(Decided { successor }))
}

/// Words to look for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProofRequest {
    /// At most 20 of at most 200 characters each. They are not written down anywhere.
    words: Vec<String>,
}

const WORDS_MAX: usize = 20;
const WORD_CHARS_MAX: usize = 200;

/// Every place that was looked through for what is left of an erased document, and phone by phone who has forgotten it.
#[utoipa::path(get, path = "/v1/erasures/{id}/proof", tag = "erasure", params(("id" = String, Path, description = "The erasure")),
    responses((status = 200, body = Proof), (status = 404, body = ProblemBody)), security(("bearer" = [])))]
pub(super) async fn proof(
    app: web::Data<App>,
    principal: Principal,
    id: web::Path<String>,
) -> Result<web::Json<Proof>, Problem> {
    proven(&app, &principal, id.into_inner(), Vec::new()).await
}

/// The same, and words that stood in the document are looked for everywhere. They travel in the body: addresses are written down by
/// proxies.
#[utoipa::path(post, path = "/v1/erasures/{id}/proof", tag = "erasure", params(("id" = String, Path, description = "The erasure")),
    request_body = ProofRequest,
    responses((status = 200, body = Proof), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)),
    security(("bearer" = [])))]
pub(super) async fn prove(
    app: web::Data<App>,
    principal: Principal,
    id: web::Path<String>,
    body: web::Json<ProofRequest>,
) -> Result<web::Json<Proof>, Problem> {
    let words = body.into_inner().words;
    if words.len() > WORDS_MAX || words.iter().any(|w| w.is_empty() || w.chars().count() > WORD_CHARS_MAX) {
        let problem = format!("at most {WORDS_MAX} words of 1 to {WORD_CHARS_MAX} characters");
        return Err(Problem::invalid("field_invalid", problem).field("words").remedy("look for fewer at once"));
    }
    proven(&app, &principal, id.into_inner(), words).await
}

async fn proven(app: &App, principal: &Principal, id: String, words: Vec<String>) -> Result<web::Json<Proof>, Problem> {
    principal.must_hold(&[Role::Supervisor])?;
    let (subject, origin, now_ms, entropy) =
        (principal.subject.clone(), principal.origin(), app.now_ms(), app.entropy.clone());
    let counted = words.len();
    let asked = app.run(move |conn| -> Result<Erasure, Problem> {
        let asked = erasure::find(conn, &id)?.filter(|e| erasure::may(&subject, &e.community));
        let asked = asked.ok_or_else(hidden)?;
        let detail = json!({ "erasure": id, "words": counted });
        Act::new(&origin, "erasure.proof", &asked.document).detail(detail).record(conn, now_ms, &*entropy)?;
        Ok(asked)
    });
    let asked = asked.await?;
    let document = asked.document.parse().map_err(|_| hidden())?;
    Ok(web::Json(erasure::prove(app, document, words).await?))
}
