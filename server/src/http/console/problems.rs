//! Problems that a browser meets, whoever in the program told them: a page in the site's layout and in the reader's language, with a way
//! back. What asks as a program is answered as one.

use actix_web::body::{BoxBody, to_bytes};
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use askama::Template;

use super::gate::{self, Visitor};
use super::page::{self, Frame, Told};
use super::words::Words;
use crate::app::App;
use crate::http::problem::{MEDIA_TYPE, Problem, ProblemBody};

/// The rooms of the pages, by how their paths begin.
const ROOMS: [&str; 6] = ["today", "cases", "patrols", "hazards", "quarantine", "phones"];

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    told: Told,
    /// Where to go on, with what is said there.
    ways: Vec<(String, String)>,
}

/// The room that a path lies in.
fn room(path: &str) -> Option<&'static str> {
    let first = path.trim_start_matches('/').split(['/', '?', '.']).next().unwrap_or_default();
    ROOMS.into_iter().find(|room| *room == first)
}

fn made(
    body: &ProblemBody,
    status: StatusCode,
    wait: Option<String>,
    (w, visitor, path): (Words, Option<Visitor>, &str),
    now_ms: i64,
) -> Result<HttpResponse, Problem> {
    let here = room(path).filter(|_| visitor.is_some());
    let mut ways = Vec::new();
    match (here, &visitor) {
        (_, None) => ways.push(("/sign-in".to_owned(), w.t("sign-in"))),
        // The list itself is no way back from what is wrong with it.
        (Some(room), _) if room != "today" && path.trim_start_matches('/') != room => {
            ways.push((format!("/{room}"), w.of_code("nav", room)));
            ways.push(("/today".to_owned(), w.t("nav-today")));
        }
        _ => ways.push(("/today".to_owned(), w.t("nav-today"))),
    }
    // What is read again is asked again: the switch of the language stays on an address that can be read.
    let frame =
        Frame { w, title: w.t("error-title"), here: here.unwrap_or(""), visitor, path: path.to_owned(), now_ms };
    page::answer_as(&ProblemPage { frame, told: page::told_body(body, wait, w), ways }, status)
}

/// A problem as a page, for whoever is known to ask.
pub(super) fn page(problem: &Problem, visitor: Option<Visitor>, request: &HttpRequest) -> HttpResponse {
    let now_ms = request.app_data::<web::Data<App>>().map_or(0, |app| app.now_ms());
    let asked = address(request);
    let wait = problem.retry_after().map(|s| s.to_string());
    let made = made(&problem.body(), problem.status_code(), wait, (Words::of(request), visitor, &asked), now_ms);
    let mut answer = made.unwrap_or_else(|p| p.error_response());
    page::keep(&mut answer, problem.error_response().headers());
    answer
}

/// What a reader may ask for again: an address that only takes forms is no place to return to.
fn address(request: &HttpRequest) -> String {
    if request.method() == actix_web::http::Method::GET {
        request.uri().path_and_query().map_or_else(|| "/today".into(), ToString::to_string)
    } else {
        room(request.path()).map_or_else(|| "/today".into(), |room| format!("/{room}"))
    }
}

/// Whether this is a problem that a person sees in a browser.
fn is_for_people(response: &ServiceResponse<BoxBody>) -> bool {
    let request = response.request();
    let text = |name| request.headers().get(name).and_then(|v: &actix_web::http::header::HeaderValue| v.to_str().ok());
    let told = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    told.is_some_and(|t| t.starts_with(MEDIA_TYPE))
        && !request.path().starts_with("/v1/")
        && text(ACCEPT).is_some_and(|accept| accept.contains("text/html"))
}

/// Puts a page in the place of a problem that a browser would show as it is.
pub(in crate::http) async fn for_people(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if !is_for_people(&response) {
        return response;
    }
    let (request, response) = response.into_parts();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = to_bytes(response.into_body()).await.unwrap_or_default();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Problem::of_status(status).body());
    let known = request.extensions().get::<Visitor>().cloned();
    let visitor = match known {
        Some(visitor) => Some(visitor),
        // Whoever cannot be looked up now reads the page as a stranger.
        None => gate::visitor(&request).await.unwrap_or_default(),
    };
    let now_ms = request.app_data::<web::Data<App>>().map_or(0, |app| app.now_ms());
    let wait = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let asked = address(&request);
    let made = made(&body, status, wait, (Words::of(&request), visitor, &asked), now_ms);
    let mut answer = made.unwrap_or_else(|p| p.error_response());
    page::keep(&mut answer, &headers);
    ServiceResponse::new(request, answer)
}

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn a_problem_knows_the_room_that_it_was_met_in() {
        assert_eq!(room("/cases/x/changes?at=1"), Some("cases"));
        assert_eq!(room("/cases.csv?q=1"), Some("cases"));
        assert_eq!(room("/nothing"), None);
        assert_eq!(room("/"), None);
    }
}
