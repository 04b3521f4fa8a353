//! `GET /v1/events`: a stream of server-sent events that says when there is something new to ask for, never what it is.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use sync_core::authority::Subject;
use sync_core::role::Role;
use utoipa::IntoParams;

use super::extract::Principal;
use super::problem::{Problem, ProblemBody};
use crate::app::App;
use crate::db::{AnyConnection, DbError};
use crate::journal;
use crate::live::teller::{EventId, Teller, Wish};
use crate::live::{Growth, Listener, NoSeat, Subscription, look};

/// The media type of the stream.
pub const MEDIA_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// When to come back to a server that stops or is full, s; each asker adds chance of his own.
const COME_BACK_S: u32 = 10;

/// What is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// `head`: only that journals have grown.
    pub only: Option<String>,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/events").route(web::get().to(events)));
}

/// A stream of what is new. It ends when the access token expires, the session ends, the reader is too slow or the server stops;
/// come back with `Last-Event-ID`.
#[utoipa::path(get, path = "/v1/events", tag = "live",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The last id that was seen")),
    responses((status = 200, content_type = "text/event-stream", description = "Server-sent events", body = String),
        (status = 400, body = ProblemBody), (status = 401, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(crate) async fn events(
    app: web::Data<App>,
    principal: Principal,
    request: HttpRequest,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, Problem> {
    let wish = match query.only.as_deref() {
        None => Wish::All,
        Some("head") => Wish::Heads,
        Some(_) => return Err(Problem::invalid("query_invalid", "`only` is `head`, or left out").field("only")),
    };
    let last = request.headers().get(LAST_EVENT_ID).and_then(|v| v.to_str().ok()).and_then(EventId::parse);
    let listener = Listener {
        user: principal.user,
        device: principal.device,
        session: principal.session,
        expires_ms: principal.expires_ms,
    };
    // First listen, then read: what happens in between is told twice rather than never.
    let subscription = app.live.listen(listener, app.config.live_streams_max).map_err(|why| match why {
        NoSeat::Full => Problem::unavailable("live_full", "as many streams are open as this server allows")
            .retry_after_spread(COME_BACK_S, COME_BACK_S)
            .remedy("come back later; syncing works meanwhile"),
        NoSeat::Stopping => {
            Problem::unavailable("stopping", "the server is about to stop").retry_after_spread(COME_BACK_S, COME_BACK_S)
        }
    })?;
    let (journal, retry_ms) = (app.journal, app.config.live_retry_ms);
    let begun = app.run(move |conn| begin(conn, principal.subject, wish, last, journal, retry_ms));
    let (teller, first) = begun.await?;
    let body = Events { subscription, teller, first: Some(first) };
    let mut response = HttpResponse::Ok();
    // A proxy that collects an answer before it passes it on would make the stream useless.
    response.insert_header((CONTENT_TYPE, MEDIA_TYPE)).insert_header(("X-Accel-Buffering", "no"));
    Ok(response.body(body))
}

fn begin(
    conn: &mut AnyConnection,
    subject: Subject,
    wish: Wish,
    last: Option<EventId>,
    identity: sync_core::ids::JournalId,
    retry_ms: u64,
) -> Result<(Teller, String), DbError> {
    let last = last.filter(|l| l.journal == identity);
    let communities = subject.communities();
    let decides = subject.grants.iter().filter(|g| g.role == Role::Supervisor);
    let decided: Vec<_> = decides.flat_map(|g| g.communities.iter().cloned()).collect();
    let mut teller = Teller::new(subject, wish, identity);
    let mut first = String::new();
    for community in communities {
        let Some(head) = journal::head(conn, &community)? else { continue };
        let before = last.as_ref().and_then(|l| l.told.get(&community).copied());
        let places = match before {
            Some(before) if before < head => look::changed(conn, &community, before, head)?,
            _ => None,
        };
        first.push_str(&teller.catch_up(&Growth { community, head, places }, before));
    }
    for community in decided {
        let waiting = look::waiting_in(conn, &community)?;
        if waiting > 0 {
            first.push_str(&teller.waiting(&community, waiting));
        }
    }
    let hello = teller.hello(retry_ms, last.is_some());
    first.push_str(&hello);
    Ok((teller, first))
}

/// The body of the answer: what a subscription brings, in the words of its teller.
struct Events {
    subscription: Subscription,
    teller: Teller,
    first: Option<String>,
}

impl MessageBody for Events {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(web::Bytes::from(first))));
        }
        loop {
            match self.subscription.poll_next(cx) {
                Poll::Ready(Some(notice)) => {
                    let told = self.teller.tell(&notice);
                    if !told.is_empty() {
                        return Poll::Ready(Some(Ok(web::Bytes::from(told))));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// The header of a stream, for those who look whether an answer is one.
pub fn is_stream(value: Option<&HeaderValue>) -> bool {
    value.is_some_and(|v| v.as_bytes().starts_with(MEDIA_TYPE.as_bytes()))
}
