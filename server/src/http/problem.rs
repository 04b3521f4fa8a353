//! Errors as the outside sees them (RFC 9457). Each has a stable code that programs can switch on and message files can translate;
//! what went wrong inside is logged, never sent.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};
use sync_core::ids::Entropy as _;
use utoipa::ToSchema;

use crate::accounts::keys::TokenError;
use crate::accounts::sessions::RefreshError;
use crate::accounts::users::UserError;
use crate::clock::SystemEntropy;
use crate::db::DbError;
use crate::guard::limits::Standing;

/// The media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";
const TYPE_PREFIX: &str = "urn:fengqiao:problem:";

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<String>,
    remedy: Option<String>,
    retry_after_s: Option<u32>,
    /// The limit that was broken.
    standing: Option<Box<Standing>>,
}

/// A problem as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:fengqiao:problem:` and a stable code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here.
    pub detail: String,
    /// Which field is to blame, when one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What would help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Problem {
    /// Any problem. `code` is snake case and never changes its meaning.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), field: None, remedy: None, retry_after_s: None, standing: None }
    }

    /// 400: the request is at fault.
    pub fn invalid(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: who asks is not known.
    pub fn unauthorised(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// 403: who asks may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such thing, or who asks may not know of it.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 409: the state of things forbids it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: too much at once.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// 503: later may help, after a time that is not the same for all who are told so.
    pub fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after_spread(5, 10)
    }

    /// 507: there is no room to write it down.
    pub fn storage_full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail)
    }

    /// 500: our fault. The error is logged here, and not told.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; the operator's log says why")
    }

    /// Names the field that is to blame.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says what would help.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Asks the caller to wait.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Names the limit that was broken, for the headers.
    #[must_use]
    pub fn standing(mut self, standing: Standing) -> Self {
        self.standing = Some(Box::new(standing));
        self
    }

    /// After how many seconds it may be tried again, where that is said.
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Asks the caller to wait so long, and up to `spread` seconds more by chance: those who are sent away at the same moment shall not
    /// come back at the same moment.
    #[must_use]
    pub fn retry_after_spread(self, seconds: u32, spread: u32) -> Self {
        let mut chance = [0; 4];
        SystemEntropy.fill(&mut chance);
        let more = u32::from_le_bytes(chance) % spread.saturating_add(1);
        self.retry_after_s(seconds.saturating_add(more))
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The problem as it is sent.
    pub fn body(&self) -> ProblemBody {
        let words = self.code.replace('_', " ");
        let mut letters = words.chars();
        let title = letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters).collect();
        ProblemBody {
            kind: format!("{TYPE_PREFIX}{}", self.code),
            title,
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            field: self.field.clone(),
            remedy: self.remedy.clone(),
        }
    }

    /// What stands for a bare status that some other part of the web framework gave.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(status, "method_not_allowed", "this address does not know the method")
            }
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the body is larger than this server accepts"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::new(status, "unsupported_media_type", "this address does not read that media type")
            }
            status if status.is_server_error() => Self::new(status, "internal", "the server failed"),
            status => Self::new(status, "bad_request", "the request cannot be read"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((CONTENT_TYPE, MEDIA_TYPE));
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        for header in self.standing.iter().flat_map(|s| s.headers()) {
            response.insert_header(header);
        }
        if self.status == StatusCode::REQUEST_TIMEOUT {
            // The rest of its body would be taken for the next request.
            response.force_close();
        }
        response.body(serde_json::to_string(&self.body()).unwrap_or_default())
    }
}

/// The code for a disk that fails.
pub(crate) const DATABASE_FAILED: &str = "database_failed";

/// The database is full: what was committed before stands, what was asked for now does not.
pub(crate) fn no_room() -> Problem {
    Problem::storage_full("the server has no room to write; nothing of this request was kept")
        .remedy("tell the operator; keep it and send it again later")
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unreachable(_) => {
                tracing::error!(%error, "the database cannot be reached");
                Self::unavailable("database_unavailable", "the database cannot be reached").remedy("try again later")
            }
            error if error.is_full() => {
                tracing::error!(%error, "the database has no room");
                no_room()
            }
            error if error.is_failed_disk() => {
                tracing::error!(%error, "the disk of the database failed");
                Self::unavailable(DATABASE_FAILED, "the disk of the database failed").remedy("tell the operator")
            }
            error if error.is_race() => {
                tracing::warn!(%error, "two requests met");
                Self::unavailable("try_again", "another request changed the same thing at the same moment")
                    .retry_after_spread(1, 2)
                    .remedy("send it again")
            }
            DbError::Query(diesel::result::Error::DatabaseError(_, told)) if told.message().contains("0x00") => {
                Self::invalid("field_invalid", "a text of the request holds a NUL character").remedy("leave it out")
            }
            other => Self::internal(&other),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let code = match error {
            TokenError::Invalid => "token_invalid",
            TokenError::Expired => "token_expired",
        };
        Self::unauthorised(code, error.to_string())
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        let code = match error {
            RefreshError::Ended => "session_ended",
            RefreshError::Reused => "token_reused",
            RefreshError::BadProof => {
                return Self::unauthorised("proof_invalid", error.to_string())
                    .field("proof")
                    .remedy("sign `fengqiao-refresh:` and the token with the device's key");
            }
            RefreshError::Db(error) => return error.into(),
        };
        Self::unauthorised(code, error.to_string()).remedy("sign in again")
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::LoginTaken(_) => Self::conflict("login_taken", error.to_string()).field("login"),
            UserError::Invalid { field, problem } => Self::invalid("field_invalid", problem).field(field),
            UserError::Db(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_rfc_9457_wants_it() {
        let problem = Problem::invalid("login_taken", "somebody has it").field("login").remedy("choose another");
        let json = serde_json::to_value(problem.body()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:fengqiao:problem:login_taken", "title": "Login taken", "status": 400,
                "detail": "somebody has it", "field": "login", "remedy": "choose another"
            })
        );
        assert_eq!(problem.error_response().headers().get(CONTENT_TYPE).unwrap(), MEDIA_TYPE);
    }

    #[test]
    fn what_failed_inside_is_not_told_outside() {
        let problem = Problem::from(DbError::Row("secret".into()));
        assert!(!problem.body().detail.contains("secret"));
    }
}
