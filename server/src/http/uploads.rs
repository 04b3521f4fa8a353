//! Uploads by the tus protocol, version 1.0 (core, creation, checksum, expiration, termination): a phone goes on where the network
//! broke off, and nothing of a content counts before all of it is here and is what its name says.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use sync_core::attachments::is_content_hash;

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::objects::ObjectsError;
use crate::objects::content::ContentError;
use crate::objects::uploads::{self, Announced, Upload, UploadError, Uploader};

const VERSION: &str = "1.0.0";
const MEDIA_TYPE: &str = "application/offset+octet-stream";
/// What is sent with a checksum is held in memory until it is checked.
const CHECKED_BYTES_MAX: usize = 8 << 20;
const METADATA_BYTES_MAX: usize = 4_096;
const SECONDS_A_DAY: u32 = 86_400;

/// Adds this room's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    use actix_web::http::Method;
    config
        .service(
            web::resource("/uploads").route(web::method(Method::OPTIONS).to(options)).route(web::post().to(create)),
        )
        .service(
            web::resource("/uploads/{id}")
                .route(web::head().to(state))
                .route(web::patch().to(send))
                .route(web::delete().to(end))
                .route(web::post().to(overridden)),
        );
}

impl From<ObjectsError> for Problem {
    fn from(error: ObjectsError) -> Self {
        match error {
            ObjectsError::Db(e) => e.into(),
            ObjectsError::Full => full(),
            error => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the store of attachments");
                Self::unavailable("objects_unavailable", "the store of attachments cannot be used now")
                    .remedy("try again later")
            }
        }
    }
}

fn full() -> Problem {
    Problem::storage_full("the server has no room for more attachments")
        .remedy("ask the operator for room; the attachment stays on the phone meanwhile")
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        use sync_core::attachments::MediaError;
        let refused = StatusCode::UNPROCESSABLE_ENTITY;
        let detail = error.to_string();
        match error {
            ContentError::Hash { .. } => Self::new(refused, "attachment_hash_mismatch", detail)
                .field("hash")
                .remedy("upload the file anew; the record names the SHA-256 of its bytes"),
            ContentError::Notes { location: true } => Self::new(refused, "attachment_has_location", detail)
                .remedy("take the notes of the camera out of the file, then attach it anew: its hash changes"),
            ContentError::Notes { location: false } => Self::new(refused, "attachment_has_notes", detail)
                .remedy("take the notes of the camera out of the file, then attach it anew: its hash changes"),
            ContentError::Media(MediaError::Located) => Self::new(refused, "attachment_has_location", detail),
            ContentError::Media(MediaError::Unknown) => {
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "attachment_type_refused", detail)
                    .remedy("attach a JPEG, PNG, WebP, PDF or M4A file")
            }
            ContentError::Media(_) | ContentError::Picture(_) => Self::new(refused, "attachment_broken", detail),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let detail = error.to_string();
        match error {
            UploadError::NotReferredTo => Self::new(StatusCode::FORBIDDEN, "attachment_not_referred_to", detail)
                .field("Upload-Metadata")
                .remedy("sync the record that the attachment is entered in first"),
            UploadError::NotFound => Self::not_found(detail),
            UploadError::Ended => {
                Self::new(StatusCode::GONE, "upload_ended", detail).remedy("begin it anew at /v1/uploads")
            }
            UploadError::Offset { .. } => Self::conflict("upload_offset", detail)
                .field("Upload-Offset")
                .remedy("ask with HEAD where it stands, and go on there"),
            UploadError::TooLarge(_) => Self::too_large(detail).field("Upload-Length"),
            UploadError::DocumentQuota { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "attachment_quota_document", detail)
                    .remedy("attach fewer or smaller files to this record")
            }
            UploadError::DayQuota { .. } => Self::new(StatusCode::TOO_MANY_REQUESTS, "attachment_quota_day", detail)
                .retry_after_s(SECONDS_A_DAY / 24)
                .remedy("the rest goes on within a day"),
            UploadError::TooManyOpen => Self::new(StatusCode::TOO_MANY_REQUESTS, "uploads_too_many", detail)
                .retry_after_s(60)
                .remedy("finish those first"),
            UploadError::TotalQuota => full(),
            UploadError::Content(e) => e.into(),
            UploadError::Objects(e) => e.into(),
            UploadError::Db(e) => e.into(),
        }
    }
}

impl Uploader {
    pub(super) fn of(principal: Principal) -> Self {
        Self { user: principal.user, device: principal.device, subject: principal.subject }
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|v| v.to_str().ok())
}

fn wrong(name: &'static str, problem: impl Into<String>) -> Problem {
    Problem::invalid("field_invalid", problem).field(name)
}

fn speaks_tus(request: &HttpRequest) -> Result<(), Problem> {
    if header(request, "Tus-Resumable") == Some(VERSION) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus_version", "this server speaks version 1.0.0 of tus")
        .field("Tus-Resumable")
        .remedy("send `Tus-Resumable: 1.0.0`"))
}

fn number(request: &HttpRequest, name: &'static str) -> Result<u64, Problem> {
    let text = header(request, name).ok_or_else(|| wrong(name, format!("the header {name} is missing")))?;
    let digits = text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| wrong(name, format!("{name} is not a number of bytes")))
}

fn answer(mut response: HttpResponseBuilder, upload: &Upload) -> HttpResponseBuilder {
    response
        .insert_header(("Tus-Resumable", VERSION))
        .insert_header(("Upload-Offset", upload.received.to_string()))
        .insert_header(("Upload-Expires", httpdate(upload.expires_ms)));
    response
}

fn httpdate(ms: i64) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    actix_web::http::header::HttpDate::from(std::time::UNIX_EPOCH + since).to_string()
}

/// What this server can do of tus.
#[utoipa::path(options, path = "/v1/uploads", tag = "attachments",
    responses((status = 204, description = "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm")),
    security(("bearer" = [])))]
pub async fn options(_: Principal, app: web::Data<App>) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(("Tus-Resumable", VERSION))
        .insert_header(("Tus-Version", VERSION))
        .insert_header(("Tus-Extension", "creation,checksum,expiration,termination"))
        .insert_header(("Tus-Checksum-Algorithm", "sha256,sha1"))
        .insert_header(("Tus-Max-Size", app.config.attachment_bytes_max.to_string()))
        .finish()
}

/// `key base64,key base64`; what is not asked for is passed over.
fn announced(request: &HttpRequest) -> Result<Announced, Problem> {
    const NAME: &str = "Upload-Metadata";
    let text = header(request, NAME).unwrap_or_default();
    if text.len() > METADATA_BYTES_MAX {
        return Err(wrong(NAME, format!("it has at most {METADATA_BYTES_MAX} bytes")));
    }
    let value = |key: &str| {
        let pair = text.split(',').find_map(|pair| pair.trim().split_once(' ').filter(|(k, _)| *k == key));
        let bytes = pair.and_then(|(_, coded)| STANDARD.decode(coded.trim()).ok());
        bytes.and_then(|b| String::from_utf8(b).ok()).ok_or_else(|| {
            wrong(NAME, format!("`{key}` is missing or not base64"))
                .remedy("send `Upload-Metadata: document BASE64,hash BASE64`")
        })
    };
    let document = value("document")?.parse().map_err(|_| wrong(NAME, "`document` is not an id"))?;
    let hash = value("hash")?;
    if !is_content_hash(&hash) {
        return Err(wrong(NAME, "`hash` is not the SHA-256 of a content, 64 lower-case hexadecimal digits"));
    }
    let length = number(request, "Upload-Length")?;
    if length == 0 {
        return Err(wrong("Upload-Length", "an empty file cannot be attached"));
    }
    Ok(Announced { document, hash, length })
}

/// Announces an attachment that a record refers to. One that is here already is complete at once; one that was begun goes on.
#[utoipa::path(post, path = "/v1/uploads", tag = "attachments",
    params(("Upload-Length" = u64, Header, description = "Bytes"),
        ("Upload-Metadata" = String, Header, description = "`document BASE64(id),hash BASE64(sha-256 in hexadecimal)`")),
    responses((status = 201, description = "Location, Upload-Offset: equal to the length when the server has it already"),
        (status = 400, body = ProblemBody), (status = 403, body = ProblemBody), (status = 412, body = ProblemBody),
        (status = 413, body = ProblemBody), (status = 429, body = ProblemBody), (status = 507, body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn create(principal: Principal, request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    speaks_tus(&request)?;
    let what = announced(&request)?;
    let upload = uploads::create(&app, &Uploader::of(principal), &what).await?;
    Ok(answer(HttpResponse::Created(), &upload)
        .insert_header((LOCATION, format!("/v1/uploads/{}", upload.id)))
        .finish())
}

/// How far an upload has come.
#[utoipa::path(head, path = "/v1/uploads/{id}", tag = "attachments", params(("id" = String, Path, description = "The upload")),
    responses((status = 200, description = "Upload-Offset, Upload-Length, Upload-Expires"), (status = 404, description = "No such upload"),
        (status = 410, description = "It has ended"), (status = 422, description = "All has arrived and cannot be a content")),
    security(("bearer" = [])))]
pub async fn state(
    principal: Principal,
    request: HttpRequest,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    speaks_tus(&request)?;
    let upload = uploads::find(&app, &Uploader::of(principal), &id).await?;
    let length = upload.length.to_string();
    Ok(answer(HttpResponse::Ok(), &upload).insert_header(("Upload-Length", length)).finish())
}

enum Checksum {
    Sha256(Vec<u8>),
    Sha1(Vec<u8>),
}

impl Checksum {
    fn of(request: &HttpRequest) -> Result<Option<Self>, Problem> {
        const NAME: &str = "Upload-Checksum";
        let Some(text) = header(request, NAME) else { return Ok(None) };
        let (algorithm, coded) = text.split_once(' ').unwrap_or_default();
        let digest = STANDARD.decode(coded.trim()).map_err(|_| wrong(NAME, "the checksum is not base64"))?;
        match algorithm {
            "sha256" => Ok(Some(Self::Sha256(digest))),
            "sha1" => Ok(Some(Self::Sha1(digest))),
            _ => Err(wrong(NAME, "the algorithm is neither sha256 nor sha1")),
        }
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha256(told) => told.as_slice() == &*Sha256::digest(bytes),
            Self::Sha1(told) => told.as_slice() == &*<sha1::Sha1 as sha1::Digest>::digest(bytes),
        }
    }
}

/// Sends the next bytes. What has arrived when the connection breaks is kept, unless a checksum was to be checked.
#[utoipa::path(patch, path = "/v1/uploads/{id}", tag = "attachments",
    params(("id" = String, Path, description = "The upload"), ("Upload-Offset" = u64, Header, description = "Where these bytes begin"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha256 BASE64` or `sha1 BASE64` of these bytes")),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "Upload-Offset"), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 410, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody), (status = 422, body = ProblemBody), (status = 460, body = ProblemBody), (status = 507, body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn send(
    principal: Principal,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    speaks_tus(&request)?;
    if header(&request, CONTENT_TYPE.as_str()) != Some(MEDIA_TYPE) {
        let detail = "the body is no part of an upload by its header";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
            .remedy(format!("send `Content-Type: {MEDIA_TYPE}`")));
    }
    let offset = number(&request, "Upload-Offset")?;
    let checksum = Checksum::of(&request)?;
    let who = Uploader::of(principal);
    // A task of its own: when the connection breaks this request is dropped, and what had arrived is to be kept all the same.
    let taking = actix_web::rt::spawn(take_in(app, who, id.into_inner(), offset, checksum, payload));
    taking.await.map_err(|e| Problem::internal(&e))?
}

async fn take_in(
    app: web::Data<App>,
    who: Uploader,
    id: String,
    offset: u64,
    checksum: Option<Checksum>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let mut receiver = uploads::receive(&app, &who, &id, offset).await?;
    let cut = match checksum {
        Some(checksum) => {
            let bytes = whole(payload, receiver.left()).await?;
            if !checksum.fits(&bytes) {
                return Err(Problem::new(status(460), "upload_checksum", "these bytes are not what was sent")
                    .field("Upload-Checksum")
                    .remedy("send them again"));
            }
            receiver.take(&bytes).await?;
            false
        }
        None => piece_by_piece(payload, &mut receiver).await?,
    };
    let upload = receiver.finish().await?;
    if cut {
        return Err(Problem::invalid("upload_cut", "the body broke off; what had arrived is kept"));
    }
    Ok(answer(HttpResponse::NoContent(), &upload).finish())
}

async fn piece_by_piece(mut payload: web::Payload, receiver: &mut uploads::Receiver<'_>) -> Result<bool, Problem> {
    while let Some(piece) = payload.next().await {
        match piece {
            Ok(bytes) => receiver.take(&bytes).await?,
            Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

async fn whole(mut payload: web::Payload, left: u64) -> Result<Bytes, Problem> {
    let max = usize::try_from(left).unwrap_or(usize::MAX).min(CHECKED_BYTES_MAX);
    let mut bytes = BytesMut::new();
    while let Some(piece) = payload.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| Problem::invalid("upload_cut", "the body broke off"))?);
        if bytes.len() > max {
            return Err(Problem::too_large(format!("at most {max} bytes here with one checksum")));
        }
    }
    Ok(bytes.freeze())
}

/// Gives an upload up.
#[utoipa::path(delete, path = "/v1/uploads/{id}", tag = "attachments", params(("id" = String, Path, description = "The upload")),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 410, body = ProblemBody), (status = 412, body = ProblemBody)),
    security(("bearer" = [])))]
pub async fn end(
    principal: Principal,
    request: HttpRequest,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    speaks_tus(&request)?;
    uploads::terminate(&app, &Uploader::of(principal), &id).await?;
    Ok(HttpResponse::NoContent().insert_header(("Tus-Resumable", VERSION)).finish())
}

/// `POST` with `X-HTTP-Method-Override`, for networks on the way that know only GET and POST.
async fn overridden(
    principal: Principal,
    request: HttpRequest,
    id: web::Path<String>,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    match header(&request, "X-HTTP-Method-Override") {
        Some("PATCH") => send(principal, request, id, payload, app).await,
        Some("DELETE") => end(principal, request, id, app).await,
        Some("HEAD") => state(principal, request, id, app).await,
        _ => Err(Problem::of_status(StatusCode::METHOD_NOT_ALLOWED)),
    }
}
