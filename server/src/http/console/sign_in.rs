//! Signing in and out at a desk, and the choice of the language.

use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::gate::{self, Sent, Visitor};
use super::kept;
use super::page::{self, Frame, Told};
use super::see;
use super::words::{self, Words};
use crate::app::App;
use crate::http::auth;
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    next: String,
    login: String,
    told: Option<Told>,
}

/// Where to go afterwards.
#[derive(Deserialize)]
pub(super) struct NextQuery {
    #[serde(default)]
    next: String,
}

/// Only a path of this server.
fn local(path: &str) -> &str {
    // A browser reads `\` as `/`, and leaves out tabs and line breaks wherever they stand.
    let fits =
        path.starts_with('/') && !path.starts_with("//") && !path.contains(|c: char| c == '\\' || c.is_control());
    if fits { path } else { "/today" }
}

fn form(request: &HttpRequest, next: &str, login: &str, told: Option<Told>) -> SignIn {
    let w = Words::of(request);
    let path = format!("/sign-in?next={}", page::escaped(next));
    let frame = Frame { w, title: w.t("sign-in"), here: "", visitor: None, path, now_ms: 0 };
    SignIn { frame, next: local(next).to_owned(), login: login.to_owned(), told }
}

/// The form.
pub(super) async fn page(request: HttpRequest, query: web::Query<NextQuery>) -> Result<HttpResponse, Problem> {
    page::answer(&form(&request, &query.next, "", None))
}

/// Whether a form was sent from a page of this server: before there is a session, there is no token to compare.
pub(super) fn is_own(request: &HttpRequest) -> bool {
    let text = |name| request.headers().get(name).and_then(|v: &actix_web::http::header::HeaderValue| v.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, o)| o == host),
        (None, _) => request.headers().get("sec-fetch-site").is_none_or(|v| v == "same-origin"),
        (Some(_), None) => false,
    }
}

/// Opens a session, which the browser keeps in a cookie.
pub(super) async fn sign_in(app: web::Data<App>, request: HttpRequest, sent: Sent) -> Result<HttpResponse, Problem> {
    let of = |name: &str| sent.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
    let (login, next) = (of("login").trim().to_owned(), of("next").to_owned());
    let opened = if is_own(&request) {
        auth::open_session(&app, &request, login.clone(), of("password").to_owned(), None, None).await
    } else {
        Err(gate::foreign())
    };
    match opened {
        Ok(opened) => {
            let mut answer = match kept::waiting(&sent) {
                Some(kept) => kept::after(&request, local(&next), &kept, Ok(gate::csrf(&opened.refresh_token)))?,
                None => see(local(&next)),
            };
            answer
                .add_cookie(&gate::cookie(&app, gate::COOKIE, opened.refresh_token))
                .map_err(|e| Problem::internal(&e))?;
            Ok(answer)
        }
        Err(problem) => {
            if let Some(kept) = kept::waiting(&sent) {
                return kept::after(&request, local(&next), &kept, Err((problem, login)));
            }
            let told = page::told(&problem, Words::of(&request));
            page::answer_to(&form(&request, &next, &login, Some(told)), Some(&problem))
        }
    }
}

/// Ends the session.
pub(super) async fn sign_out(visitor: Visitor, app: web::Data<App>, sent: Sent) -> Result<HttpResponse, Problem> {
    visitor.must_own(&sent)?;
    auth::close_session(&app, visitor.principal).await?;
    let mut answer = see("/sign-in");
    let mut gone = gate::cookie(&app, gate::COOKIE, String::new());
    gone.make_removal();
    answer.add_cookie(&gone).map_err(|e| Problem::internal(&e))?;
    Ok(answer)
}

/// Which language, and where to go on.
#[derive(Deserialize)]
pub(super) struct LanguageQuery {
    to: String,
    #[serde(default)]
    back: String,
}

/// Keeps the language that was chosen.
pub(super) async fn language(app: web::Data<App>, query: web::Query<LanguageQuery>) -> Result<HttpResponse, Problem> {
    let to = match query.to.as_str() {
        "en" => "en",
        "zh" => "zh",
        _ => return Err(Problem::invalid("query_invalid", "`to` is zh or en").field("to")),
    };
    let mut answer = HttpResponse::build(StatusCode::SEE_OTHER);
    answer.insert_header(("Location", local(&query.back)));
    let mut kept = gate::cookie(&app, words::COOKIE, to.to_owned());
    kept.make_permanent();
    Ok(answer.cookie(kept).finish())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_sent_to_another_server_after_signing_in() {
        assert_eq!(local("/cases?q=a"), "/cases?q=a");
        for elsewhere in
            ["//evil.example", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "https://evil.example", ""]
        {
            assert_eq!(local(elsewhere), "/today", "{elsewhere:?}");
        }
    }
}
