//! The small HTTP client: one request, one bounded answer. It follows no redirects, keeps no cookies, sends a token to no host but
//! the one it was made for, and never holds a lock while it waits.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;
use sync_core::limits;
use ureq::http::{self, Request};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};

#[cfg(test)]
pub(crate) mod tests;

/// How the phone reaches the server.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ConnectOptions {
    /// Allow `http://` to hosts other than this machine. For test networks only: passwords travel in clear.
    #[uniffi(default = false)]
    pub allow_insecure: bool,
    /// Certificates (PEM) of the authority that signed the server's certificate, where it is not a public one.
    #[uniffi(default = None)]
    pub trusted_roots_pem: Option<String>,
    /// The longest wait for a connection, ms.
    #[uniffi(default = 10_000)]
    pub connect_ms_max: u32,
    /// The longest silence of the server while it answers, ms.
    #[uniffi(default = 20_000)]
    pub silence_ms_max: u32,
    /// The longest time for one request and its answer, ms.
    #[uniffi(default = 120_000)]
    pub request_ms_max: u32,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            allow_insecure: false,
            trusted_roots_pem: None,
            connect_ms_max: 10_000,
            silence_ms_max: 20_000,
            request_ms_max: 120_000,
        }
    }
}

/// How long to wait when a busy server does not say.
pub(crate) const BUSY_MS: u64 = 30_000;
/// The longest wait that a server may ask for.
pub(crate) const BUSY_MS_MAX: u64 = 3_600_000;

/// The longest silence of a stream, ms: a server shows every quarter of a minute that it stands.
const STREAM_SILENCE_MS: u32 = 50_000;

/// The media type of a stream of events.
const STREAM: &str = "text/event-stream";

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) path: Cow<'static, str>,
    /// Beside those that every request has.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) media_type: &'static str,
    pub(crate) token: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) location: Option<String>,
    pub(crate) upload_offset: Option<u64>,
    pub(crate) body: Vec<u8>,
}

/// What a server says when it refuses (RFC 9457).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
    field: Option<String>,
    remedy: Option<String>,
}

impl Problem {
    pub(crate) fn code(&self) -> &str {
        self.kind.strip_prefix("urn:fengqiao:problem:").unwrap_or(&self.kind)
    }
}

impl Reply {
    /// The problem that an answer other than 2xx describes; empty if it describes none.
    pub(crate) fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// How long a busy server asks to wait, ms; nothing when it does not.
    pub(crate) fn put_off_ms(&self) -> Option<u64> {
        matches!(self.status, 429 | 503).then(|| self.retry_after_ms.unwrap_or(BUSY_MS).min(BUSY_MS_MAX))
    }

    /// The answer if it is 2xx, else the error that it means. 401 is left to the caller's knowledge of who is logged in.
    pub(crate) fn accepted(self) -> Result<Self> {
        match self.status {
            200..=299 => return Ok(self),
            300..=399 => {
                let reason = "somebody on the way redirects requests; open a browser to sign in to this network";
                return Err(PhoneLibError::Offline { reason: reason.to_owned(), sent: false });
            }
            _ => {}
        }
        if let Some(after_ms) = self.put_off_ms() {
            return Err(PhoneLibError::TryLater { after_ms });
        }
        let problem = self.problem();
        let code = problem.code().to_owned();
        Err(match (self.status, code.as_str()) {
            (_, "login_failed") => PhoneLibError::BadCredentials,
            (_, "device_revoked") => PhoneLibError::Revoked,
            (401, _) => PhoneLibError::NotLoggedIn,
            (400 | 422, _) if problem.field.is_some() => PhoneLibError::InvalidInput {
                field: problem.field.unwrap_or_default(),
                problem: problem.detail,
                remedy: problem.remedy.unwrap_or_default(),
            },
            (status, _) => {
                let detail = if problem.detail.is_empty() { problem.title } else { problem.detail };
                PhoneLibError::Server { status, code, detail }
            }
        })
    }

    /// Reads a JSON answer.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|e| PhoneLibError::protocol(format!("not the expected JSON: {e}")))
    }
}

/// An answer that goes on, or one that says why not.
pub(crate) enum Streamed {
    Open(ureq::BodyReader<'static>),
    Refused(Reply),
}

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    agent: ureq::Agent,
    /// For answers that have no end.
    streams: ureq::Agent,
    base: String,
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Http {
    /// A client of the server at this address, `https://host[:port][/path]`.
    pub(crate) fn new(server_url: &str, options: &ConnectOptions) -> Result<Self> {
        let wrong =
            |problem: &str| PhoneLibError::invalid("server_url", problem, "give https://host or https://host:port");
        let base = server_url.trim().trim_end_matches('/').to_owned();
        let uri: http::Uri = base.parse().map_err(|_| wrong("it is not an address"))?;
        let host = uri.host().filter(|h| !h.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let local = is_loopback(host);
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if local || options.allow_insecure => {}
            Some("http") => return Err(wrong("http is not protected")),
            _ => return Err(wrong("it does not begin with https://")),
        }
        if uri.query().is_some() || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(wrong("it carries more than a host and a path"));
        }
        let ms = |n: u32| Some(Duration::from_millis(u64::from(n.max(1))));
        let tls = tls(options)?;
        let agent = |silence_ms: u32, request_ms: Option<u32>| {
            let mut config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(concat!("fengqiao-mobile/", env!("CARGO_PKG_VERSION")))
                .tls_config(tls.clone())
                .timeout_connect(ms(options.connect_ms_max))
                .timeout_per_read(ms(silence_ms))
                .timeout_per_write(ms(options.silence_ms_max))
                .timeout_global(request_ms.and_then(ms));
            if local {
                config = config.proxy(None);
            }
            config.build().new_agent()
        };
        Ok(Self {
            agent: agent(options.silence_ms_max, Some(options.request_ms_max)),
            streams: agent(STREAM_SILENCE_MS, None),
            base,
        })
    }

    /// Sends a request and waits for the answer, or until it is cancelled.
    pub(crate) fn send(&self, call: Call, cancel: Option<&Arc<CancelToken>>) -> Result<Reply> {
        let Some(cancel) = cancel else { return self.run(call, None) };
        cancel.check()?;
        // A socket cannot be woken; so the request waits on a thread of its own, and a cancelled one is left to its timeouts.
        let (to, from) = mpsc::channel();
        cancel.on_cancel(to.clone(), None);
        let (http, watched) = (self.clone(), Arc::clone(cancel));
        std::thread::Builder::new()
            .name("fengqiao-request".to_owned())
            .spawn(move || drop(to.send(Some(http.run(call, Some(&watched))))))
            .map_err(|e| PhoneLibError::internal(format!("no thread could be started: {e}")))?;
        match from.recv() {
            Ok(Some(reply)) => {
                cancel.check()?;
                reply
            }
            Ok(None) => Err(PhoneLibError::Cancelled),
            Err(_) => Err(PhoneLibError::internal("the request's thread ended without an answer")),
        }
    }

    fn run(&self, call: Call, cancel: Option<&CancelToken>) -> Result<Reply> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.base, call.path))
            .header("accept", format!("{}, application/json, application/problem+json", call.media_type));
        if !call.body.is_empty() {
            request = request.header("content-type", call.media_type);
        }
        if let Some(token) = &call.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(call.body).map_err(|e| PhoneLibError::internal(format!("bad request: {e}")))?;
        reply(self.agent.run(request).map_err(failed)?, cancel)
    }

    /// Asks for an answer that goes on.
    pub(crate) fn stream(&self, path: &str, token: &str, last_id: Option<&str>) -> Result<Streamed> {
        let mut request = Request::builder()
            .method(http::Method::GET)
            .uri(format!("{}{path}", self.base))
            .header("accept", format!("{STREAM}, application/problem+json"))
            .header("authorization", format!("Bearer {token}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let request = request.body(()).map_err(|e| PhoneLibError::internal(format!("bad request: {e}")))?;
        let response = self.streams.run(request).map_err(failed)?;
        let told = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        if response.status().as_u16() == 200 && told.starts_with(STREAM) {
            return Ok(Streamed::Open(response.into_body().into_reader()));
        }
        reply(response, None).map(Streamed::Refused)
    }
}

/// Reads an answer to its end.
fn reply(response: http::Response<ureq::Body>, cancel: Option<&CancelToken>) -> Result<Reply> {
    let status = response.status().as_u16();
    let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().trim();
    let media_type = text("content-type").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let retry_after_ms = retry_after_ms(text("retry-after"), text("date"));
    let location = Some(text("location").to_owned()).filter(|l| !l.is_empty());
    let upload_offset = text("upload-offset").parse().ok();
    let body = read_bounded(response.into_body().into_reader(), cancel)?;
    Ok(Reply { status, media_type, retry_after_ms, location, upload_offset, body })
}

/// How long `Retry-After` asks to wait: seconds, or a date beside the date of the answer; this phone's own clock may be wrong.
pub(crate) fn retry_after_ms(retry_after: &str, date: &str) -> Option<u64> {
    if let Ok(seconds) = retry_after.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = httpdate::parse_http_date(retry_after).ok()?;
    let now = httpdate::parse_http_date(date).ok()?;
    u64::try_from(at.duration_since(now).unwrap_or_default().as_millis()).ok()
}

fn read_bounded(mut from: impl Read, cancel: Option<&CancelToken>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(cancel) = cancel {
            cancel.check()?;
        }
        let n = from.read(&mut piece).map_err(|e| failed(ureq::Error::from(e)))?;
        body.extend_from_slice(piece.get(..n).unwrap_or_default());
        if body.len() > limits::WIRE_BYTES_MAX {
            return Err(PhoneLibError::protocol(format!("it exceeds {} bytes", limits::WIRE_BYTES_MAX)));
        }
        if n == 0 {
            return Ok(body);
        }
    }
}

fn tls(options: &ConnectOptions) -> Result<TlsConfig> {
    let Some(pem) = &options.trusted_roots_pem else { return Ok(TlsConfig::default()) };
    let mut roots = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| bad_roots(&e.to_string()))? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(bad_roots("there is no certificate in it"));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build())
}

fn bad_roots(problem: &str) -> PhoneLibError {
    PhoneLibError::invalid("trusted_roots_pem", problem, "give the authority's certificates in PEM form")
}

fn failed(e: ureq::Error) -> PhoneLibError {
    use ureq::Error as E;
    match e {
        E::Tls(_) | E::Pem(_) | E::Rustls(_) | E::RequireHttpsOnly(_) | E::TlsRequired => {
            PhoneLibError::Untrusted { reason: e.to_string() }
        }
        E::Http(_) | E::Protocol(_) | E::LargeResponseHeader(_, _) | E::BodyExceedsLimit(_) => {
            PhoneLibError::protocol(e.to_string())
        }
        // A handshake that fails shows as an error of the stream that carries it.
        E::Io(io) if io.to_string().contains("certificate") => PhoneLibError::Untrusted { reason: io.to_string() },
        other => PhoneLibError::Offline { reason: other.to_string(), sent: may_have_arrived(&other) },
    }
}

/// Whether the server may have got the request, although no answer came.
fn may_have_arrived(e: &ureq::Error) -> bool {
    use std::io::ErrorKind as K;
    match e {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => false,
        ureq::Error::Timeout(at) => !matches!(at, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        ureq::Error::Io(io) => !matches!(
            io.kind(),
            K::ConnectionRefused | K::NetworkUnreachable | K::HostUnreachable | K::AddrNotAvailable
        ),
        _ => true,
    }
}
