//! What was typed outlives a session that ended and a page that is too old: it is shown again beside the fields to sign in with, and
//! sent once more by the same press of a button as before. Nothing of it is done before that.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::gate::Visitor;
use super::page::{self, Frame, Told};
use super::words::Words;
use crate::app::App;
use crate::http::problem::Problem;

/// What marks a field that waits for its owner to sign in, among those of the form for signing in.
const WAITING: &str = "kept.";

struct Field {
    /// What people call it; none for what nobody typed.
    label: Option<String>,
    name: String,
    value: String,
}

#[derive(Template)]
#[template(path = "kept.html")]
struct Kept {
    frame: Frame,
    told: Option<Told>,
    /// Where it was sent to, and will be again.
    path: String,
    /// The token of the session, once there is one.
    csrf: Option<String>,
    login: String,
    fields: Vec<Field>,
}

/// A field that somebody typed into has a word in the message files; what only programs read has none.
fn label(name: &str, sent: &[(String, String)], w: Words) -> Option<String> {
    let path = sent.iter().find(|(n, _)| n == "path").map(|(_, v)| v.as_str());
    match name {
        "reason" => Some(w.t("reason")),
        "value" => path.map(|p| w.field(p)),
        _ => name.strip_prefix("body.").and_then(|field| w.find(&format!("body-{field}"))),
    }
}

fn fields(sent: &[(String, String)], prefix: &str, w: Words) -> Vec<Field> {
    let kept = sent.iter().filter(|(n, v)| n != "csrf" && !v.is_empty());
    let field = |(name, value): &(String, String)| Field {
        label: label(name, sent, w).filter(|_| uuid::Uuid::parse_str(value).is_err()),
        name: format!("{prefix}{name}"),
        value: value.clone(),
    };
    kept.map(field).collect()
}

/// The page for somebody who is signed in: what he sent did not carry the token of his session.
pub(super) fn once_more(
    visitor: &Visitor,
    sent: &[(String, String)],
    problem: &Problem,
    app: &App,
) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let page = Kept {
        frame: Frame { path: "/today".into(), ..Frame::new(visitor, "", w.t("kept-title"), app.now_ms()) },
        told: Some(page::told(problem, w)),
        path: visitor.path.clone(),
        csrf: Some(visitor.csrf.clone()),
        login: String::new(),
        fields: fields(sent, "", w),
    };
    page::answer_to(&page, Some(problem))
}

fn outside(request: &HttpRequest, path: &str) -> Kept {
    let w = Words::of(request);
    let frame = Frame { w, title: w.t("kept-title"), here: "", visitor: None, path: "/today".into(), now_ms: 0 };
    Kept { frame, told: None, path: path.to_owned(), csrf: None, login: String::new(), fields: Vec::new() }
}

/// The page for somebody whose session is over, with the fields to sign in.
pub(super) fn sign_in(request: &HttpRequest, path: &str, sent: &[(String, String)]) -> Result<HttpResponse, Problem> {
    let problem = Problem::unauthorised("session_ended", "the session is over").remedy("sign in again");
    let mut page = outside(request, path);
    page.told = Some(page::told(&problem, page.frame.w));
    page.fields = fields(sent, WAITING, page.frame.w);
    page::answer_as(&page, StatusCode::UNAUTHORIZED)
}

/// What waits in a form for signing in, if something does.
pub(super) fn waiting(sent: &[(String, String)]) -> Option<Vec<(String, String)>> {
    let kept = sent.iter().filter_map(|(n, v)| Some((n.strip_prefix(WAITING)?.to_owned(), v.clone())));
    Some(kept.collect::<Vec<_>>()).filter(|kept| !kept.is_empty())
}

/// The page after signing in, or after that failed, with what waits.
pub(super) fn after(
    request: &HttpRequest,
    path: &str,
    kept: &[(String, String)],
    signed_in: Result<String, (Problem, String)>,
) -> Result<HttpResponse, Problem> {
    let mut page = outside(request, path);
    let w = page.frame.w;
    page.fields = fields(kept, if signed_in.is_ok() { "" } else { WAITING }, w);
    match signed_in {
        Ok(csrf) => {
            page.csrf = Some(csrf);
            page::answer(&page)
        }
        Err((problem, login)) => {
            page.told = Some(page::told(&problem, w));
            page.login = login;
            page::answer_to(&page, Some(&problem))
        }
    }
}

/// Forms hold what people write: as much as the API takes in one request. What is larger is told in words.
pub(super) fn form_config(bytes_max: usize) -> web::FormConfig {
    web::FormConfig::default().limit(bytes_max).error_handler(|error, _| {
        use actix_web::error::UrlencodedError as E;
        match error {
            E::Overflow { .. } => Problem::too_large("the form holds more than this server accepts").into(),
            other => Problem::invalid("bad_request", other.to_string()).into(),
        }
    })
}
