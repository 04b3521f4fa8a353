//! What all pages have in common: the frame, its headers, and problems told as pages.

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, REFERRER_POLICY};
use actix_web::{HttpResponse, ResponseError as _};
use askama::Template;
use sync_core::role::Role;

use super::gate::Visitor;
use super::words::Words;
use crate::http::problem::{Problem, ProblemBody};

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The frame around a page.
pub(super) struct Frame {
    /// The language.
    pub(super) w: Words,
    /// The title.
    pub(super) title: String,
    /// Which entry of the navigation is the current one.
    pub(super) here: &'static str,
    /// Who is signed in; none on the page for signing in.
    pub(super) visitor: Option<Visitor>,
    /// What the page was asked for with.
    pub(super) path: String,
    /// The server's time, ms UTC.
    pub(super) now_ms: i64,
}

impl Frame {
    /// The frame for a visitor.
    pub(super) fn new(visitor: &Visitor, here: &'static str, title: String, now_ms: i64) -> Self {
        Self { w: visitor.words, title, here, path: visitor.path.clone(), visitor: Some(visitor.clone()), now_ms }
    }

    /// Where the switch of the language leads.
    pub(super) fn other_language(&self) -> String {
        let to = if self.w.tag() == "en" { "zh" } else { "en" };
        format!("/language?to={to}&back={}", escaped(&self.path))
    }

    /// The roles held, with their areas.
    pub(super) fn roles(&self) -> String {
        let grants = self.visitor.iter().flat_map(|v| &v.principal.subject.grants);
        let named = grants.map(|g| format!("{} {}", self.w.of_code("role", g.role.as_str()), g.area));
        named.collect::<Vec<_>>().join(" · ")
    }

    /// The rooms that the visitor has something to do in. What he asks for all the same is refused there.
    pub(super) fn rooms(&self) -> Vec<&'static str> {
        let grants = || self.visitor.iter().flat_map(|v| &v.principal.subject.grants);
        let reads = grants().any(|g| g.role != Role::Administrator);
        let walks = grants().any(|g| !matches!(g.role, Role::Administrator | Role::BuildingCaptain));
        let decides = grants().any(|g| g.role == Role::Supervisor);
        let rooms = [
            ("today", true),
            ("cases", reads),
            ("patrols", walks),
            ("hazards", walks),
            ("quarantine", decides),
            ("phones", true),
        ];
        rooms.into_iter().filter(|(_, open)| *open).map(|(room, _)| room).collect()
    }

    /// Whether the page lies in this room.
    pub(super) fn is_here(&self, room: &str) -> bool {
        self.here == room
    }

    /// What every form carries.
    pub(super) fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |v| v.csrf.as_str())
    }
}

/// A text as part of a query.
pub(super) fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A page as an answer.
pub(super) fn answer(page: &impl Template) -> Result<HttpResponse, Problem> {
    answer_as(page, actix_web::http::StatusCode::OK)
}

/// A page as an answer with another status.
pub(super) fn answer_as(page: &impl Template, status: actix_web::http::StatusCode) -> Result<HttpResponse, Problem> {
    let text = page.render().map_err(|e| Problem::internal(&e))?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        // Without it a browser does not say from where a form comes.
        .insert_header((REFERRER_POLICY, "same-origin"))
        .body(text))
}

/// A page that tells a problem among what it shows: with the status and the headers of the problem.
pub(super) fn answer_to(page: &impl Template, problem: Option<&Problem>) -> Result<HttpResponse, Problem> {
    let Some(problem) = problem else { return answer(page) };
    let mut answer = answer_as(page, problem.status_code())?;
    keep(&mut answer, problem.error_response().headers());
    Ok(answer)
}

/// Takes the headers of a problem over, but for those that are of its text.
pub(super) fn keep(answer: &mut HttpResponse, headers: &HeaderMap) {
    for (name, value) in headers.iter().filter(|(name, _)| **name != CONTENT_TYPE && **name != CONTENT_LENGTH) {
        if !answer.headers().contains_key(name) {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
    }
}

/// A problem in words.
pub(super) struct Told {
    /// What is wrong.
    pub(super) text: String,
    /// Which field, as people call it.
    pub(super) field: Option<String>,
    /// Why, where that is known more exactly.
    pub(super) reason: Option<String>,
    /// What the program says of it, with what would help.
    pub(super) detail: String,
    /// Seconds after which it may be tried again, where that is known.
    pub(super) wait: Option<String>,
}

/// A problem in the words of a language.
pub(super) fn told(problem: &Problem, w: Words) -> Told {
    told_body(&problem.body(), problem.retry_after().map(|s| s.to_string()), w)
}

/// A problem as it was sent, in the words of a language. What has no words of its own is told by its status: never in another language.
pub(super) fn told_body(body: &ProblemBody, wait: Option<String>, w: Words) -> Told {
    let code = body.kind.rsplit(':').next().unwrap_or_default();
    let of_status = || w.find(&format!("problem-{}", body.status)).unwrap_or_else(|| w.t("problem-internal"));
    // What a problem says last is why an event has no effect.
    let moot = body.remedy.as_deref().filter(|_| code == "event_moot").and_then(|r| r.rsplit(": ").next());
    Told {
        text: w.find(&format!("problem-{code}")).unwrap_or_else(of_status),
        field: body.field.as_deref().and_then(|field| named(field, w)),
        reason: moot.and_then(|reason| w.find(&format!("moot-{reason}"))).or_else(|| why(body, w)),
        wait,
        detail: body.remedy.iter().fold(body.detail.clone(), |text, remedy| format!("{text} · {remedy}")),
    }
}

/// What people call a field; none for what has no word, such as an id. An action that is not allowed names its field in backticks.
fn named(field: &str, w: Words) -> Option<String> {
    let field = field.split('`').nth(1).unwrap_or(field).trim_start_matches("body.");
    let found = w.find(&format!("body-{field}")).or_else(|| w.find(&format!("event-{field}")));
    let found = found.or_else(|| w.find(field)).or_else(|| w.find(&format!("asked-{field}")));
    found.or_else(|| Some(w.field(field)).filter(|word| word != field))
}

/// Why a field was not accepted, where a person can do something about it: what the inside says, and the word for it.
const WHY: &[(&str, &str)] = &[
    ("it is missing", "why-missing"),
    ("not empty", "why-missing"),
    ("to 500 characters", "why-short"),
    ("identity or phone number", "why-number"),
    ("NUL character", "why-character"),
    ("whole number", "why-count"),
    ("whole fen", "why-amount"),
    ("milliseconds since", "why-moment"),
    ("too long", "why-long"),
    ("code of that table", "why-choice"),
    ("one of the roles", "why-role"),
    ("one of ", "why-choice"),
    ("an id (UUID)", "why-choice"),
    ("outside your areas", "why-area"),
    ("reserved to", "why-role"),
    ("not a cursor", "why-cursor"),
];

fn why(body: &ProblemBody, w: Words) -> Option<String> {
    let said = format!("{} {}", body.detail, body.remedy.as_deref().unwrap_or_default());
    WHY.iter().find(|(inside, _)| said.contains(inside)).map(|(_, key)| w.t(key))
}
