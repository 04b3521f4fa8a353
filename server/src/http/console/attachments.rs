//! What is attached to a case, for the file's page: the API's own answers, behind the browser's cookie.

use actix_web::{HttpRequest, HttpResponse, web};
use sync_core::ids::DocumentId;

use super::gate::Visitor;
use crate::app::App;
use crate::http::attachments::{self as api, In, Sized};
use crate::http::problem::Problem;

/// The contents, to be kept as a file.
pub(super) async fn contents(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<(DocumentId, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let (document, hash) = path.into_inner();
    api::download(visitor.principal, request, web::Path::from(hash), web::Query(In { document }), app).await
}

/// A small picture.
pub(super) async fn thumbnail(
    visitor: Visitor,
    request: HttpRequest,
    path: web::Path<(DocumentId, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let (document, hash) = path.into_inner();
    let sized = web::Query(Sized { document, size: SIZE });
    api::thumbnail(visitor.principal, request, web::Path::from(hash), sized, app).await
}

/// The longer side in points.
const SIZE: u32 = 320;
