//! Cases: list, file, history, and what a desk of the hall writes into them.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::authority::Place;
use sync_core::case::CaseState;
use sync_core::edit::{Draft, Edit};
use sync_core::error::EditError;
use sync_core::event::EventKind;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::reference::numbers;
use sync_core::rules::{Obligation, obligations};
use sync_core::shape::DocumentKind;
use sync_core::sync::server::describe;
use utoipa::ToSchema;

use super::audit::{looked, narrowed};
use super::extract::Principal;
use super::guard;
use super::problem::Problem;
use crate::accounts::users;
use crate::app::App;
use crate::audit::Act;
use crate::db::{AnyConnection, DbError};
use crate::journal::{self, Line};
use crate::masking::{self, Sight};
use crate::merge::{self, MergeError};
use crate::queries::{self, CaseFilter, CaseSummary, Page, QueryError};

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/cases", web::get().to(list))
        .route("/cases", web::post().to(create))
        .route("/cases/{id}", web::get().to(file))
        .route("/cases/{id}/history", web::get().to(history))
        .route("/cases/{id}/edits", web::post().to(edit));
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let QueryError::Invalid { field, problem } = &error;
        Problem::invalid("query_invalid", error.to_string()).field(*field).remedy(problem.clone())
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        let detail = error.to_string();
        match error {
            EditError::UnknownField { field, .. } => Problem::invalid("field_unknown", detail).field(field),
            EditError::InvalidValue { field, remedy, .. } => {
                Problem::invalid("field_invalid", detail).field(field).remedy(remedy)
            }
            EditError::NotFound { id, .. } => Problem::not_found(detail).field(id),
            EditError::NotAllowed { action, remedy, .. } => Problem::forbidden(detail).field(action).remedy(remedy),
            EditError::Moot { kind, reason } => {
                Problem::conflict("event_moot", detail).field(kind).remedy(format!("read the case again: {reason}"))
            }
            EditError::Document(e) => Problem::invalid("document_refused", e.to_string()),
        }
    }
}

impl From<MergeError> for Problem {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::NotFound => Problem::not_found("there is no such document, or you may not see it"),
            MergeError::Edit(e) => e.into(),
            MergeError::Db(e) => e.into(),
        }
    }
}

/// The document of a path, if the asker may see it.
pub(crate) fn visible(
    conn: &mut AnyConnection,
    principal: &Principal,
    id: DocumentId,
    kind: DocumentKind,
) -> Result<Place, Problem> {
    let hidden = || Problem::not_found(format!("there is no such {}, or you may not see it", kind.as_str()));
    let row = journal::document_row(conn, id)?.ok_or_else(hidden)?;
    let place = row.place()?;
    if place.kind == kind && principal.subject.may_read(&place) { Ok(place) } else { Err(hidden()) }
}

/// Writes down that somebody reads a document, before the answer leaves.
pub(crate) fn read(
    conn: &mut AnyConnection,
    app: &App,
    principal: &Principal,
    action: &'static str,
    place: &Place,
) -> Result<(), DbError> {
    let act = Act::new(&principal.origin(), action, place.document).community(&place.community);
    act.record(conn, app.now_ms(), &app.entropy)
}

/// The words that are looked for, if any. A number is not looked for by an address, where it would stay.
pub(super) fn searched(filter: &CaseFilter) -> Result<Option<String>, Problem> {
    let words = filter.q.clone().filter(|q| !q.trim().is_empty());
    if words.as_ref().is_some_and(|q| !numbers(q).is_empty()) {
        return Err(Problem::invalid("query_invalid", "`q` holds an identity or phone number")
            .field("q")
            .remedy("ask POST /v1/persons/search, so that the number does not stand in an address"));
    }
    Ok(words)
}

/// Cases that the asker may see.
#[utoipa::path(get, path = "/v1/cases", tag = "cases", params(CaseFilter),
    responses((status = 200, body = Page<CaseSummary>), (status = 400, description = "A parameter is at fault")), security(("bearer" = [])))]
pub async fn list(
    principal: Principal,
    filter: web::Query<CaseFilter>,
    app: web::Data<App>,
) -> Result<web::Json<Page<CaseSummary>>, Problem> {
    let now_ms = app.now_ms();
    let filter = filter.into_inner();
    let words = searched(&filter)?;
    if words.is_some() {
        guard::count_by(&app, &app.guard.search, &principal.user.0)?;
    }
    let shared = app.clone();
    let page = app.run(move |conn| -> Result<_, DbError> {
        let page = queries::case_page(conn, &principal.subject, &filter, now_ms)?;
        if let Ok(page) = &page {
            let action = if words.is_some() { "case.search" } else { "case.list" };
            let mut detail = json!({ "filter": narrowed(&filter), "found": page.items.len() });
            // The words may be a name: only their keyed hash is kept.
            if let (Some(words), Some(key), Some(map)) = (words, &shared.law.numbers, detail.as_object_mut()) {
                map.insert("words".into(), key.mac("words", &words).into());
            }
            looked(conn, &shared, &principal.origin(), (action, "cases"), detail)?;
        }
        Ok(page)
    });
    Ok(web::Json(page.await??))
}

/// One case file as it is now.
#[derive(Serialize, ToSchema)]
pub struct CaseFile {
    /// The folded state: what is, what happened, what is in conflict.
    #[schema(value_type = Object)]
    pub(crate) state: CaseState,
    /// What is or was due, by the rules, as of now.
    #[schema(value_type = Vec<Object>)]
    pub(crate) obligations: Vec<Obligation>,
    /// Events that the asker may write now.
    #[schema(value_type = Vec<String>)]
    pub(crate) allowed_events: Vec<EventKind>,
    /// Whether the asker may have masked numbers shown (`/v1/cases/{id}/reveal`).
    pub(crate) may_reveal: bool,
    /// Other cases of the same building on the same day: perhaps the same dispute.
    pub(crate) possible_duplicates: Vec<PossibleDuplicate>,
}

/// Another case that may tell the same dispute.
#[derive(Serialize, ToSchema)]
pub struct PossibleDuplicate {
    /// Which.
    pub(crate) id: String,
    /// Its title.
    pub(crate) title: String,
}

/// One case file.
#[utoipa::path(get, path = "/v1/cases/{id}", tag = "cases", params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = CaseFile), (status = 404, description = "No such case")), security(("bearer" = [])))]
pub async fn file(
    principal: Principal,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<web::Json<CaseFile>, Problem> {
    let id = id.into_inner();
    let shared = app.clone();
    let file = app
        .run(move |conn| -> Result<_, Problem> {
            let place = visible(conn, &principal, id, DocumentKind::Case)?;
            let document = journal::load(conn, id)?.ok_or_else(|| Problem::not_found("there is no such case"))?;
            let state = sync_core::fold::folded_case(&document);
            let sight = Sight::of(&principal.subject, &place);
            read(conn, &shared, &principal, "case.read", &place)?;
            let may = |kind: &EventKind| principal.subject.role_for(*kind, &place).is_some();
            let kinds = sync_core::event::VOCABULARY.iter().map(|s| s.kind).filter(may);
            Ok(CaseFile {
                obligations: obligations(&state, &shared.law.rules, &shared.law.calendar, shared.now_ms()),
                allowed_events: kinds.filter(|k| sync_core::fold::would_stand(&state, *k)).collect(),
                possible_duplicates: queries::possible_duplicates(conn, &principal.subject, &id.to_string())?
                    .into_iter()
                    .map(|c| PossibleDuplicate { id: c.id, title: c.title })
                    .collect(),
                may_reveal: sight.may_reveal,
                state: sight.masked(state.as_ref())?,
            })
        })
        .await?;
    Ok(web::Json(file))
}

/// One change in the history of a document.
#[derive(Serialize, ToSchema)]
pub struct HistoryEntry {
    /// Its position in the community's journal.
    pub(crate) position: i64,
    /// Identity of the change.
    pub(crate) hash: String,
    /// Who signed; the nil id is the server.
    pub(crate) author: String,
    /// What people call the author.
    pub(crate) author_name: Option<String>,
    /// On which device; none at a desk.
    pub(crate) device: Option<String>,
    /// When its author says it was written, ms UTC.
    pub(crate) written_ms: i64,
    /// It cannot have been written before this, ms UTC.
    pub(crate) earliest_ms: i64,
    /// It cannot have been written after this, ms UTC.
    pub(crate) latest_ms: i64,
    /// server, anchored or claimed.
    pub(crate) basis: String,
    /// When it arrived, ms UTC.
    pub(crate) received_ms: i64,
    /// What it did, one line each.
    pub(crate) what: Vec<String>,
}

pub(super) fn history_of(
    conn: &mut AnyConnection,
    id: DocumentId,
    sight: &Sight,
) -> Result<Vec<HistoryEntry>, Problem> {
    let Some(document) = journal::load(conn, id)? else { return Ok(Vec::new()) };
    let lines = journal::lines(conn, id)?;
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    for line in &lines {
        if !names.contains_key(&line.author) {
            let user = line.author.parse().ok().map(|user| users::by_id(conn, user)).transpose()?.flatten();
            names.insert(line.author.clone(), user.map(|u| u.name));
        }
    }
    let entry = |line: Line| {
        let hash = line.change_hash();
        let touches = hash.and_then(|hash| document.did(hash)).unwrap_or_default();
        HistoryEntry {
            position: line.position,
            hash: hash.map(|h| h.to_hex()).unwrap_or_default(),
            author_name: names.get(&line.author).cloned().flatten(),
            author: line.author,
            device: line.device,
            written_ms: line.written_ms,
            earliest_ms: line.earliest_ms,
            latest_ms: line.latest_ms,
            basis: line.basis,
            received_ms: line.received_ms,
            what: touches.iter().map(|t| sight.line(&describe(t))).collect(),
        }
    };
    Ok(lines.into_iter().map(entry).collect())
}

/// Who wrote what in a case, when it was written and when it arrived.
#[utoipa::path(get, path = "/v1/cases/{id}/history", tag = "cases", params(("id" = String, Path, description = "The document")),
    responses((status = 200, body = Vec<HistoryEntry>), (status = 404, description = "No such case")), security(("bearer" = [])))]
pub async fn history(
    principal: Principal,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<web::Json<Vec<HistoryEntry>>, Problem> {
    let id = id.into_inner();
    let shared = app.clone();
    let entries = app
        .run(move |conn| -> Result<_, Problem> {
            let place = visible(conn, &principal, id, DocumentKind::Case)?;
            read(conn, &shared, &principal, "case.history", &place)?;
            history_of(conn, id, &Sight::of(&principal.subject, &place))
        })
        .await?;
    Ok(web::Json(entries))
}

/// Edits that one request may hold, also of one that makes a case.
const EDITS_MAX: usize = 200;

/// The edits, if there are not too many.
fn not_too_many(edits: Vec<Edit>) -> Result<Vec<Edit>, Problem> {
    if edits.len() > EDITS_MAX {
        let detail = format!("{} edits in one request; the limit is {EDITS_MAX}", edits.len());
        return Err(Problem::invalid("field_invalid", detail).field("edits").remedy("send the rest afterwards"));
    }
    Ok(edits)
}

/// A new case, written at a desk.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseCreateRequest {
    /// The community.
    #[schema(value_type = String)]
    community: AreaCode,
    /// What it holds from the start.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    edits: Vec<Edit>,
}

/// What was made.
#[derive(Serialize, ToSchema)]
pub struct Made {
    /// The document.
    #[schema(value_type = String)]
    pub(super) id: DocumentId,
    /// Ids of items and events made, in order.
    pub(super) made: Vec<String>,
}

/// Makes a case at a desk.
#[utoipa::path(post, path = "/v1/cases", tag = "cases", request_body = CaseCreateRequest,
    responses((status = 201, body = Made), (status = 400, description = "A field is at fault"), (status = 403, description = "Not allowed")),
    security(("bearer" = [])))]
pub async fn create(
    principal: Principal,
    body: web::Json<CaseCreateRequest>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let CaseCreateRequest { community, edits } = body.into_inner();
    let edits = not_too_many(edits)?;
    let shared = app.clone();
    let id = app
        .transact(move |conn| -> Result<_, Problem> {
            let draft = Draft { kind: DocumentKind::Case, community, edits };
            Ok(merge::create(conn, &shared.context(), &draft, &principal.subject)?)
        })
        .await?;
    Ok(HttpResponse::Created()
        .insert_header(("Location", format!("/v1/cases/{id}")))
        .json(Made { id, made: Vec::new() }))
}

/// Edits of a case at a desk; all or nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// In order: `{"edit": "add_event", "kind": "accepted", "body": {}}` and the like.
    #[schema(value_type = Vec<Object>)]
    pub(crate) edits: Vec<Edit>,
}

impl EditRequest {
    /// The edits, if there are any and not too many.
    pub(super) fn checked(self) -> Result<Vec<Edit>, Problem> {
        if self.edits.is_empty() {
            return Err(Problem::invalid("field_invalid", "at least one edit in a request").field("edits"));
        }
        not_too_many(self.edits)
    }
}

/// Edits a case at a desk: fields, texts, parties, events.
#[utoipa::path(post, path = "/v1/cases/{id}/edits", tag = "cases", params(("id" = String, Path, description = "The document")),
    request_body = EditRequest,
    responses((status = 200, body = Made), (status = 400, description = "A field is at fault"), (status = 403, description = "Not allowed"),
        (status = 404, description = "No such case"), (status = 409, description = "The event makes no sense now")),
    security(("bearer" = [])))]
pub async fn edit(
    principal: Principal,
    id: web::Path<DocumentId>,
    body: web::Json<EditRequest>,
    app: web::Data<App>,
) -> Result<web::Json<Made>, Problem> {
    let id = id.into_inner();
    let edits = body.into_inner().checked()?;
    let shared = app.clone();
    let made = app
        .transact(move |conn| -> Result<_, Problem> {
            let edits = match journal::load(conn, id)? {
                Some(document) => masking::restore(&document, &edits),
                None => edits,
            };
            Ok(merge::edits(conn, &shared.context(), id, &edits, Some(&principal.subject))?.made)
        })
        .await?;
    Ok(web::Json(Made { id, made }))
}
