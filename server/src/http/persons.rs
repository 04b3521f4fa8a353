//! Numbers of persons: a person's other cases found by a full number, and masked values shown one case at a time with a reason. Each
//! is written down before the answer leaves.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync_core::ids::DocumentId;
use sync_core::reference::normal_number;
use sync_core::role::Role;
use sync_core::shape::{DocumentKind, Holds};
use utoipa::ToSchema;

use super::cases::visible;
use super::extract::Principal;
use super::guard;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::Act;
use crate::journal;
use crate::masking::Sight;
use crate::queries::{self, CaseSummary};
use crate::reason::{self, ReasonError};

/// Fields that one request may have shown.
const FIELDS_MAX: usize = 20;
const SEARCHING: &[Role] =
    &[Role::StationHead, Role::Receptionist, Role::Mediator, Role::MediationDirector, Role::Supervisor];

/// Adds this room's routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/cases/{id}/reveal", web::post().to(reveal))
        .route("/patrols/{id}/reveal", web::post().to(reveal_patrol))
        .route("/persons/search", web::post().to(search));
}

/// What shall be shown, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealRequest {
    /// Registers or texts: `parties.ID.id_number`, `report.reporter_phone`, `narrative`.
    pub fields: Vec<String>,
    /// 8 to 500 characters, without numbers of persons.
    pub reason: String,
}

/// What was shown.
#[derive(Serialize, ToSchema)]
pub struct Revealed {
    /// The full values, by field.
    #[schema(value_type = Object)]
    pub values: BTreeMap<String, Value>,
}

impl From<ReasonError> for Problem {
    fn from(error: ReasonError) -> Self {
        Self::invalid("field_invalid", error.to_string()).field("reason").remedy(error.remedy())
    }
}

/// Shows masked values of one case. Who, what and why stands in the audit log before the answer leaves.
#[utoipa::path(post, path = "/v1/cases/{id}/reveal", tag = "cases", params(("id" = String, Path, description = "The document")),
    request_body = RevealRequest,
    responses((status = 200, body = Revealed), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)), security(("bearer" = [])))]
pub(crate) async fn reveal(
    principal: Principal,
    id: web::Path<DocumentId>,
    body: web::Json<Value>,
    app: web::Data<App>,
) -> Result<web::Json<Revealed>, Problem> {
    revealed((principal, DocumentKind::Case, id.into_inner()), body.into_inner(), app).await
}

/// Shows masked values of one patrol record. Who, what and why stands in the audit log before the answer leaves.
#[utoipa::path(post, path = "/v1/patrols/{id}/reveal", tag = "patrols", params(("id" = String, Path, description = "The document")),
    request_body = RevealRequest,
    responses((status = 200, body = Revealed), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody),
        (status = 404, body = ProblemBody)), security(("bearer" = [])))]
pub(crate) async fn reveal_patrol(
    principal: Principal,
    id: web::Path<DocumentId>,
    body: web::Json<Value>,
    app: web::Data<App>,
) -> Result<web::Json<Revealed>, Problem> {
    revealed((principal, DocumentKind::Patrol, id.into_inner()), body.into_inner(), app).await
}

async fn revealed(
    (principal, kind, id): (Principal, DocumentKind, DocumentId),
    body: Value,
    app: web::Data<App>,
) -> Result<web::Json<Revealed>, Problem> {
    guard::count_by(&app, &app.guard.reveal, &principal.user.0)?;
    let shared = app.clone();
    let revealed = app.transact(move |conn| -> Result<Revealed, Problem> {
        let place = visible(conn, &principal, id, kind)?;
        if !Sight::of(&principal.subject, &place).may_reveal {
            return Err(Problem::forbidden("your role does not have numbers shown")
                .remedy("ask the mediator, the reception or a supervisor of the community"));
        }
        let asked: RevealRequest =
            serde_json::from_value(body).map_err(|e| Problem::invalid("json_invalid", e.to_string()))?;
        let reason = reason::checked(&asked.reason)?;
        if asked.fields.is_empty() || asked.fields.len() > FIELDS_MAX {
            return Err(Problem::invalid("field_invalid", format!("1 to {FIELDS_MAX} fields")).field("fields"));
        }
        let gone = || Problem::not_found(format!("there is no such {}", kind.as_str()));
        let document = journal::load(conn, id)?.ok_or_else(gone)?;
        let mut values = BTreeMap::new();
        for field in asked.fields {
            let value = match document.text(&field) {
                Some(text) => Value::String(text),
                None if holds_text(kind, &field) => document.field(&field).unwrap_or(Value::Null),
                None => {
                    let name: String = field.chars().take(100).collect();
                    let detail = format!("a {} has no text `{name}`", kind.as_str());
                    return Err(Problem::invalid("field_unknown", detail).field("fields"));
                }
            };
            values.insert(field, value);
        }
        let detail = json!({ "fields": values.keys().collect::<Vec<_>>() });
        let action = if kind == DocumentKind::Case { "case.reveal" } else { "patrol.reveal" };
        Act::new(&principal.origin(), action, id).community(&place.community).reason(reason).detail(detail).record(
            conn,
            shared.now_ms(),
            &shared.entropy,
        )?;
        Ok(Revealed { values })
    });
    Ok(web::Json(revealed.await?))
}

/// Whether a document of this kind has a text register of this path.
fn holds_text(kind: DocumentKind, path: &str) -> bool {
    let shape = kind.shape();
    match path.split('.').collect::<Vec<_>>().as_slice() {
        [collection, id, name] => shape.collection(collection).is_some_and(|c| {
            uuid::Uuid::parse_str(id).is_ok() && c.fields.iter().any(|f| f.path == *name && f.holds == Holds::Text)
        }),
        _ => shape.field(path) == Some(Holds::Text),
    }
}

/// Whose cases are looked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonSearch {
    /// A full identity or phone number. It travels in the body, so that no log of addresses holds it.
    pub number: String,
}

/// Cases in which a number stands.
#[derive(Serialize, ToSchema)]
pub struct PersonCases {
    /// Those that the asker may see, last changed first.
    pub items: Vec<CaseSummary>,
}

/// The cases in which a full number stands, in a register or in a text: a repeated petition is recognised.
#[utoipa::path(post, path = "/v1/persons/search", tag = "cases", request_body = PersonSearch,
    responses((status = 200, body = PersonCases), (status = 400, body = ProblemBody), (status = 403, body = ProblemBody)),
    security(("bearer" = [])))]
pub(super) async fn search(
    principal: Principal,
    body: web::Json<PersonSearch>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    principal.must_hold(SEARCHING)?;
    guard::count_by(&app, &app.guard.search, &principal.user.0)?;
    let number = normal_number(&body.number);
    if !(5..=40).contains(&number.len()) {
        return Err(Problem::invalid("field_invalid", "`number` is a full identity or phone number").field("number"));
    }
    let shared = app.clone();
    let items = app.run(move |conn| -> Result<Vec<CaseSummary>, Problem> {
        let Some(key) = &shared.law.numbers else { return Ok(Vec::new()) };
        let term = key.number(&number);
        let items = queries::cases_with_number(conn, &principal.subject, &term)?;
        // The hash says whose cases were looked for to those who know the number, and to nobody else.
        let detail = json!({ "number": term, "found": items.len() });
        Act::new(&principal.origin(), "person.search", "cases").detail(detail).record(
            conn,
            shared.now_ms(),
            &shared.entropy,
        )?;
        Ok(items)
    });
    Ok(HttpResponse::Ok().json(PersonCases { items: items.await? }))
}
