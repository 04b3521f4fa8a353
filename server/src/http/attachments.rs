//! Reading attachments: whole or from where a download broke off, as thumbnails, and whether the server holds them at all. Nothing
//! is served as what somebody says it is, and nothing can act in the page that shows it.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sync_core::attachments::{MediaType, is_content_hash};
use sync_core::ids::DocumentId;
use utoipa::{IntoParams, ToSchema};

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::audit::Act;
use crate::objects::refs::{self, Standing};
use crate::objects::thumbnails::{self, SIZES, ThumbnailError};
use crate::objects::uploads::{Stored, Uploader};
use crate::objects::verify::{self, Where};
use crate::objects::{lost, proofs};

/// Contents that one question may name.
const ASKED_MAX: usize = 500;

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/attachments/missing", web::post().to(missing))
        .route("/attachments/{hash}", web::get().to(download))
        .route("/attachments/{hash}/thumbnail", web::get().to(thumbnail));
}

/// In which record.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct In {
    /// The record that refers to the attachment.
    #[param(value_type = String)]
    pub(crate) document: DocumentId,
}

/// In which record, and how large.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Sized {
    /// The record that refers to the attachment.
    #[param(value_type = String)]
    pub(crate) document: DocumentId,
    /// The longer side in points: 160, 320 or 640.
    #[serde(default = "default_size")]
    #[param(value_type = u32)]
    pub(crate) size: u32,
}

fn default_size() -> u32 {
    320
}

impl From<ThumbnailError> for Problem {
    fn from(error: ThumbnailError) -> Self {
        let detail = error.to_string();
        match error {
            ThumbnailError::NoPicture(_) => Self::not_found(detail),
            ThumbnailError::Broken(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "attachment_broken", detail),
            ThumbnailError::Missing => absent(),
            ThumbnailError::Objects(e) => e.into(),
        }
    }
}

fn hidden() -> Problem {
    Problem::not_found("there is no such attachment, or you may not see it")
}

/// Entered, and not here: on a phone still, or lost with a server's disk.
fn absent() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "attachment_missing", "the record names it, but its contents have not arrived")
        .remedy("ask again when the phone that took it has sent it")
}

async fn readable(app: &App, principal: &Principal, hash: &str, document: DocumentId) -> Result<Stored, Problem> {
    if !is_content_hash(hash) {
        return Err(hidden());
    }
    let (asker, name) = (principal.clone(), hash.to_owned());
    let (now_ms, entropy) = (app.now_ms(), app.entropy.clone());
    app.run(move |conn| -> Result<_, Problem> {
        let standing = refs::standing(conn, &asker.subject, asker.user, document, &name)?;
        if !matches!(standing, Standing::Reader | Standing::Decider) {
            return Err(hidden());
        }
        let act = Act::new(&asker.origin(), "attachment.read", document).detail(json!({ "attachment": name }));
        Ok(act.record(conn, now_ms, &*entropy)?)
    })
    .await?;
    // To name it is not to have it: until its bytes came for this very record it is as if nobody had sent it.
    if !proofs::find(app, document, hash).await? {
        return Err(absent());
    }
    verify::find(app, hash).await?.ok_or_else(absent)
}

fn guarded(status: StatusCode, etag: &str, media_type: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::ETAG, etag))
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::CACHE_CONTROL, "private, max-age=31536000, immutable"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        .insert_header(("Cross-Origin-Resource-Policy", "same-origin"));
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = text(headers, &header::IF_NONE_MATCH).unwrap_or_default();
    known == "*" || known.split(',').any(|e| e.trim().trim_start_matches("W/") == etag)
}

/// The stretch that is asked for; `None`: all of it.
fn range(headers: &HeaderMap, etag: &str, length: u64) -> Result<Option<std::ops::Range<u64>>, Problem> {
    let Some(asked) = text(headers, &header::RANGE).and_then(|r| r.strip_prefix("bytes=")) else { return Ok(None) };
    // Several stretches at once, or a stretch of something else, are answered with all of it, as the standard allows.
    if asked.contains(',') || text(headers, &header::IF_RANGE).is_some_and(|e| e != etag) {
        return Ok(None);
    }
    let Some((from, to)) = asked.split_once('-') else { return Ok(None) };
    let found = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => from..to.saturating_add(1).min(length),
        (Ok(from), Err(_)) if to.is_empty() => from..length,
        (Err(_), Ok(last)) if from.is_empty() && last > 0 => length.saturating_sub(last)..length,
        _ => return Ok(None),
    };
    if found.start >= length {
        let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_beyond_end", "it does not reach that far");
        return Err(problem.field("Range").remedy(format!("it has {length} bytes")));
    }
    Ok(Some(found))
}

/// One attachment, or a stretch of it.
#[utoipa::path(get, path = "/v1/attachments/{hash}", tag = "attachments",
    params(("hash" = String, Path, description = "SHA-256 of the contents"), In,
        ("Range" = Option<String>, Header, description = "`bytes=FROM-TO`: go on where a download broke off")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 206, description = "The stretch"),
        (status = 304, description = "Known already"), (status = 404, body = ProblemBody), (status = 416, body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn download(
    principal: Principal,
    request: HttpRequest,
    hash: web::Path<String>,
    query: web::Query<In>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let row = readable(&app, &principal, &hash, query.document).await?;
    let etag = format!("\"{}\"", row.hash);
    let headers = request.headers();
    if is_known(headers, &etag) {
        return Ok(guarded(StatusCode::NOT_MODIFIED, &etag, &row.media_type).finish());
    }
    let length = u64::try_from(row.bytes).unwrap_or_default();
    let part = range(headers, &etag, length)?;
    let (status, stretch) = match &part {
        Some(stretch) => (StatusCode::PARTIAL_CONTENT, stretch.clone()),
        None => (StatusCode::OK, 0..length),
    };
    let Some(bytes) = app.objects.stream(&row.object, stretch.clone()).await? else {
        lost::lose(&app, &row).await?;
        return Err(absent());
    };
    let ending = MediaType::parse(&row.media_type).map_or("bin", MediaType::extension);
    let short: String = row.hash.chars().take(16).collect();
    let mut response = guarded(status, &etag, &row.media_type);
    response
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{short}.{ending}\"")));
    if part.is_some() {
        let told = format!("bytes {}-{}/{length}", stretch.start, stretch.end - 1);
        response.insert_header((header::CONTENT_RANGE, told));
    }
    Ok(response.no_chunking(stretch.end - stretch.start).streaming(bytes))
}

/// A small JPEG of a picture.
#[utoipa::path(get, path = "/v1/attachments/{hash}/thumbnail", tag = "attachments",
    params(("hash" = String, Path, description = "SHA-256 of the contents"), Sized),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn thumbnail(
    principal: Principal,
    request: HttpRequest,
    hash: web::Path<String>,
    query: web::Query<Sized>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    if !SIZES.contains(&query.size) {
        return Err(Problem::invalid("query_invalid", "a thumbnail has 160, 320 or 640 points").field("size"));
    }
    let row = readable(&app, &principal, &hash, query.document).await?;
    let etag = format!("\"{}-{}\"", row.hash, query.size);
    if is_known(request.headers(), &etag) {
        return Ok(guarded(StatusCode::NOT_MODIFIED, &etag, "image/jpeg").finish());
    }
    let made = thumbnails::thumbnail(&app, &row, query.size).await;
    if matches!(made, Err(ThumbnailError::Missing)) {
        lost::lose(&app, &row).await?;
    }
    let bytes = made?;
    Ok(guarded(StatusCode::OK, &etag, "image/jpeg").insert_header((header::CONTENT_DISPOSITION, "inline")).body(bytes))
}

/// Which attachments to look for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingRequest {
    /// At most 500.
    attachments: Vec<Named>,
}

/// An attachment of a record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The record.
    #[schema(value_type = String)]
    document: DocumentId,
    /// SHA-256 of the contents.
    hash: String,
}

/// Where they are, in the order of the question.
#[derive(Debug, Serialize, ToSchema)]
pub struct MissingView {
    /// One for each.
    found: Vec<Where>,
}

/// Whether the server holds what records refer to. A phone keeps a content until it is told that it is here.
#[utoipa::path(post, path = "/v1/attachments/missing", tag = "attachments", request_body = MissingRequest,
    responses((status = 200, body = MissingView), (status = 400, body = ProblemBody)), security(("bearer" = [])))]
pub async fn missing(
    principal: Principal,
    body: web::Json<MissingRequest>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let asked = body.into_inner().attachments;
    if asked.len() > ASKED_MAX {
        let problem = Problem::invalid("field_invalid", format!("at most {ASKED_MAX} in one question"));
        return Err(problem.field("attachments"));
    }
    if let Some(strange) = asked.iter().find(|n| !is_content_hash(&n.hash)) {
        let told: String = strange.hash.chars().take(80).collect();
        return Err(Problem::invalid("field_invalid", format!("`{told}` is no SHA-256")).field("hash"));
    }
    let asked = asked.into_iter().map(|n| (n.document, n.hash)).collect();
    let found = verify::locate(&app, &Uploader::of(principal), asked).await?;
    Ok(HttpResponse::Ok().json(MissingView { found }))
}
