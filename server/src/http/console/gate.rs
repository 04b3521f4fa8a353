//! Who looks at a page: the session of a browser in a cookie that no script reads, and the token that every form carries.

use std::future::{Ready, ready};
use std::pin::Pin;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::kept;
use super::page;
use super::problems;
use super::see;
use super::sign_in;
use super::words::Words;
use crate::app::App;
use crate::http::events::{self, EventsQuery};
use crate::http::extract::Principal;
use crate::http::guard::{self, client_address};
use crate::http::problem::Problem;

/// The name of the cookie.
pub(super) const COOKIE: &str = "fengqiao_session";

/// Who looks, in which language.
#[derive(Clone)]
pub(super) struct Visitor {
    /// Who.
    pub(super) principal: Principal,
    /// The language.
    pub(super) words: Words,
    /// What his forms carry.
    pub(super) csrf: String,
    /// The path and query that he asked for.
    pub(super) path: String,
}

/// The cookie of a session: for this server's own pages only, and gone with the browser's session on another machine's screen.
pub(super) fn cookie(app: &App, name: &'static str, value: String) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(app.config.speaks_tls())
        .finish()
}

/// What the forms of a session carry: whoever cannot read the cookie cannot know it.
pub(super) fn csrf(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("fengqiao-form:{token}")))
}

pub(super) async fn visitor(request: &HttpRequest) -> Result<Option<Visitor>, Problem> {
    let Some(token) = request.cookie(COOKIE).map(|c| c.value().to_owned()) else { return Ok(None) };
    let app = request.app_data::<web::Data<App>>().cloned();
    let app = app.ok_or_else(|| Problem::internal(&"the application is not attached"))?;
    let (inner, shown) = (app.clone(), token.clone());
    let found = app.run(move |conn| Principal::of_browser(&inner, conn, &shown)).await?;
    let path = request.uri().path_and_query().map_or_else(|| "/".into(), ToString::to_string);
    Ok(found.map(|mut principal| {
        principal.address = client_address(request).to_string();
        Visitor { principal, words: Words::of(request), csrf: csrf(&token), path }
    }))
}

/// Lets in whom the server knows, sends everybody else to sign in, and shows problems as pages.
pub(super) async fn known(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if request.match_pattern().is_none() {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    }
    match visitor(request.request()).await {
        Ok(Some(visitor)) => {
            let counted = |app: &web::Data<App>| guard::count_by(app, &app.guard.requests, &visitor.principal.user.0);
            if let Some(Err(problem)) = request.app_data::<web::Data<App>>().map(counted) {
                let answer = problems::page(&problem, Some(visitor), request.request());
                return Ok(request.into_response(answer));
            }
            request.extensions_mut().insert(visitor);
        }
        Ok(None) => {
            let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
            // What was typed before the session ended is not thrown away. What another site sends is.
            if request.method() == actix_web::http::Method::POST
                && sign_in::is_own(request.request())
                && let Ok(sent) = request.extract::<Sent>().await
                && sent.iter().any(|(name, _)| name != "csrf")
            {
                let kept = kept::sign_in(request.request(), &path, &sent);
                return Ok(request.into_response(kept.unwrap_or_else(|p| p.error_response())));
            }
            let next = if request.method() == actix_web::http::Method::GET { path } else { String::new() };
            return Ok(request.into_response(see(&format!("/sign-in?next={}", page::escaped(&next)))));
        }
        Err(problem) => {
            let answer = problems::page(&problem, None, request.request());
            return Ok(request.into_response(answer));
        }
    }
    let response = next.call(request).await?.map_into_boxed_body();
    let problem = response.response().error().and_then(|e| e.as_error::<Problem>()).cloned();
    Ok(match problem {
        Some(problem) => {
            let visitor = response.request().extensions().get::<Visitor>().cloned();
            let answer = problems::page(&problem, visitor, response.request());
            response.into_response(answer)
        }
        None => response,
    })
}

impl FromRequest for Visitor {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(known.ok_or_else(|| Problem::internal(&"the page is not behind the gate")))
    }
}

/// What a form sent: names and values, in order. It is read only with the token of the session.
pub(super) type Sent = web::Form<Vec<(String, String)>>;

/// A form that no page of this session sent.
pub(super) fn foreign() -> Problem {
    let status = actix_web::http::StatusCode::FORBIDDEN;
    Problem::new(status, "form_foreign", "the form does not carry the token of this session")
        .remedy("load the page again")
}

/// A form that carries the token of this session. One that does not comes back whole, to be looked at and sent once more.
pub(super) struct Owned(pub(super) Vec<(String, String)>);

impl FromRequest for Owned {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, sent) = (request.clone(), Sent::from_request(request, payload));
        Box::pin(async move {
            let sent = sent.await?.into_inner();
            let visitor = Visitor::extract(&request).await?;
            let app = web::Data::<App>::extract(&request).await?;
            match visitor.must_own(&sent) {
                Ok(()) => Ok(Self(sent)),
                Err(problem) => {
                    let page = kept::once_more(&visitor, &sent, &problem, &app)?;
                    Err(InternalError::from_response("a form of another session", page).into())
                }
            }
        })
    }
}

impl Visitor {
    /// Refuses a form that does not carry the token of this session.
    pub(super) fn must_own(&self, sent: &[(String, String)]) -> Result<(), Problem> {
        let shown = sent.iter().find(|(name, _)| name == "csrf").map_or("", |(_, v)| v.as_str());
        let same = shown.len() == self.csrf.len()
            && shown.bytes().zip(self.csrf.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0;
        if same { Ok(()) } else { Err(foreign()) }
    }
}

/// The live stream for a page: the same as for phones, by the cookie.
pub(super) async fn live(visitor: Visitor, app: web::Data<App>, request: HttpRequest) -> HttpResponse {
    let query = web::Query(EventsQuery { only: None });
    match events::events(app, visitor.principal, request, query).await {
        Ok(stream) => stream,
        Err(problem) => problem.error_response(),
    }
}
