//! Syncing: carrying the core's requests to the server and its answers back, until there is nothing left to say. Whatever cuts it
//! off, what was answered is kept, and the next sync goes on from there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sync_core::phone::SyncProgress;
use sync_core::sync::pace::{Errand, Outcome};
use sync_core::sync::wire::MEDIA_TYPE;
use ureq::http::Method;

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;
use crate::transport::{BUSY_MS, BUSY_MS_MAX, Call, Reply, retry_after_ms};

/// What the server learns as the version of this phone.
const VERSION: &str = concat!("fengqiao-mobile/", env!("CARGO_PKG_VERSION"));
/// The path of the sync endpoint.
const PATH: &str = "/v1/sync";

/// Is told how a sync goes on. Called on the thread that syncs, with no lock held; what it throws is ignored.
#[uniffi::export(with_foreign)]
pub trait SyncListener: Send + Sync {
    /// One request was answered and its answer is stored.
    fn on_progress(&self, progress: SyncReport) -> Result<()>;
}

/// What a sync did, so far or in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, uniffi::Record)]
pub struct SyncReport {
    /// Requests made.
    pub requests: u32,
    /// Bytes sent, bodies only.
    pub bytes_sent: u64,
    /// Bytes received, bodies only.
    pub bytes_received: u64,
    /// Changes of this phone that the server acknowledged.
    pub sent: u64,
    /// Changes of others that came in.
    pub received: u64,
    /// Changes of this phone that the server refused; see `refused_changes`.
    pub refused: u64,
    /// Changes still to be sent.
    pub unsent: u64,
    /// Parcels of others that the server has answered.
    pub relayed: u64,
    /// Records forgotten because the person may no longer see them.
    pub purged: u64,
}

impl SyncReport {
    fn add(&mut self, request: &[u8], response: &[u8], progress: &SyncProgress) {
        let bytes = |body: &[u8]| u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.requests = self.requests.saturating_add(1);
        self.bytes_sent = self.bytes_sent.saturating_add(bytes(request));
        self.bytes_received = self.bytes_received.saturating_add(bytes(response));
        self.sent = self.sent.saturating_add(progress.sent);
        self.received = self.received.saturating_add(progress.received);
        self.refused = self.refused.saturating_add(progress.refused);
        self.unsent = progress.pending;
        self.relayed = self.relayed.saturating_add(progress.relayed);
        self.purged = self.purged.saturating_add(progress.purged);
    }
}

/// Where and how a host's own transport must send the requests of a `SyncSession`.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct SyncEndpoint {
    /// Where to `POST`.
    pub url: String,
    /// The `Content-Type` of the request, which the answer must have too.
    pub media_type: String,
}

/// A sync whose bytes the host carries itself. One at a time on a phone; dropping it ends it.
#[derive(uniffi::Object)]
pub struct SyncSession {
    session: Mutex<sync_core::phone::SyncSession>,
    _busy: Busy,
}

#[uniffi::export]
impl SyncSession {
    /// The next request; nothing when the sync is done. When a request was lost on the way, ask for it again here.
    pub fn next_request(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.session.lock().unwrap_or_else(PoisonError::into_inner).next_request()?)
    }

    /// Notes that the last request has not reached the server, or that its answer was no success: what it carried is told as
    /// `OnlyHere` again instead of `OnItsWay`.
    pub fn not_sent(&self) -> Result<()> {
        Ok(self.session.lock().unwrap_or_else(PoisonError::into_inner).not_sent()?)
    }

    /// Stores what the server answered.
    pub fn apply_response(&self, bytes: Vec<u8>) -> Result<()> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).apply_response(&bytes)?;
        Ok(())
    }
}

/// Holds the one seat for a sync.
pub(crate) struct Busy(Arc<AtomicBool>);

impl Busy {
    fn take(seat: &Arc<AtomicBool>) -> Result<Self> {
        if seat.swap(true, Ordering::SeqCst) {
            return Err(PhoneLibError::AlreadySyncing);
        }
        Ok(Self(Arc::clone(seat)))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[uniffi::export]
impl PhoneLibrary {
    /// Syncs with the server: sends what was made here, receives what is new. Blocks; run it off the main thread. Reading and
    /// writing go on meanwhile.
    #[uniffi::method(default(listener = None, cancel = None))]
    pub fn sync(
        &self,
        listener: Option<Arc<dyn SyncListener>>,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<SyncReport> {
        let _busy = Busy::take(&self.syncing)?;
        self.may_ask(Errand::Sync)?;
        let synced = self.server_url().and_then(|_| self.rounds(listener, cancel.clone()));
        let synced = match synced {
            // The session is gone: perhaps the phone was revoked. What it has not sent it may still hand in.
            Err(why @ (PhoneLibError::NotLoggedIn | PhoneLibError::Revoked)) => {
                Err(self.after_refusal(why, cancel.as_ref()))
            }
            other => other,
        };
        if matches!(synced, Err(PhoneLibError::Wiped)) {
            return synced;
        }
        if let Some(outcome) = outcome(&synced) {
            self.phone.sync_attempted(outcome)?;
        }
        synced
    }

    /// How long until the next sync is due, ms: at once when something is unsent or new, later after failures, and never before a
    /// busy server has asked for it. For a host with a scheduler of its own; `events_wait` waits by itself.
    pub fn next_sync_ms(&self) -> Result<u64> {
        Ok(u64::try_from(self.phone.next_sync_ms()?).unwrap_or_default())
    }

    /// Notes that the server answered 429 or 503 to a host's own transport: the `Retry-After` and `Date` of the answer.
    pub fn sync_put_off(&self, retry_after: String, date: String) -> Result<()> {
        let after_ms = retry_after_ms(&retry_after, &date).unwrap_or(BUSY_MS).min(BUSY_MS_MAX);
        Ok(self.phone.sync_attempted(Outcome::Later(i64::try_from(after_ms).unwrap_or(i64::MAX)))?)
    }

    /// Begins a sync whose bytes the host carries itself.
    pub fn sync_session(&self) -> Result<Arc<SyncSession>> {
        let busy = Busy::take(&self.syncing)?;
        self.may_ask(Errand::Sync)?;
        let session = self.phone.sync_begin(VERSION);
        Ok(Arc::new(SyncSession { session: Mutex::new(session), _busy: busy }))
    }

    /// Where the requests of a `SyncSession` go.
    pub fn sync_endpoint(&self) -> Result<SyncEndpoint> {
        Ok(SyncEndpoint { url: format!("{}{PATH}", self.server_url()?), media_type: MEDIA_TYPE.to_owned() })
    }
}

/// What an attempt says about the server; nothing when it did not come to that. What a busy server asks for was noted when it was
/// said.
fn outcome(synced: &Result<SyncReport>) -> Option<Outcome> {
    match synced {
        Ok(_) => Some(Outcome::Done),
        Err(
            PhoneLibError::Offline { .. }
            | PhoneLibError::Untrusted { .. }
            | PhoneLibError::Server { .. }
            | PhoneLibError::SyncIncomplete { .. }
            | PhoneLibError::Protocol { .. },
        ) => Some(Outcome::Failed),
        Err(_) => None,
    }
}

/// Whether the server may have taken what a request carried, although it was not answered as it should be.
fn may_have_been_taken(e: &PhoneLibError) -> bool {
    match e {
        PhoneLibError::Offline { sent, .. } => *sent,
        // 5xx: the failure may have come after the commit.
        PhoneLibError::Server { status, .. } => *status >= 500,
        PhoneLibError::TryLater { .. }
        | PhoneLibError::NotLoggedIn
        | PhoneLibError::Revoked
        | PhoneLibError::BadCredentials
        | PhoneLibError::Untrusted { .. }
        | PhoneLibError::InvalidInput { .. } => false,
        _ => true,
    }
}

impl PhoneLibrary {
    fn rounds(&self, listener: Option<Arc<dyn SyncListener>>, cancel: Option<Arc<CancelToken>>) -> Result<SyncReport> {
        let mut session = self.phone.sync_begin(VERSION);
        let mut report = SyncReport::default();
        loop {
            if let Some(cancel) = &cancel {
                cancel.check()?;
            }
            let Some(request) = session.next_request()? else { return Ok(report) };
            let call = |token| Call {
                method: Method::POST,
                path: PATH.into(),
                headers: Vec::new(),
                media_type: MEDIA_TYPE,
                token: Some(token),
                body: request.clone(),
            };
            let reply = self.asked(Errand::Sync, call, cancel.as_ref()).and_then(Reply::accepted);
            if reply.as_ref().is_err_and(|e| !may_have_been_taken(e)) {
                session.not_sent()?;
            }
            let reply = reply?;
            if reply.media_type != MEDIA_TYPE {
                let reason = format!("the answer is `{}`, not a sync response", reply.media_type);
                return Err(PhoneLibError::protocol(reason));
            }
            let progress = session.apply_response(&reply.body)?;
            report.add(&request, &reply.body, &progress);
            if let Some(listener) = &listener {
                drop(listener.on_progress(report));
            }
        }
    }
}
