//! Carries a run of transfers over the network: at the speed that its policy allows, and behind whatever is written meanwhile.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use sync_core::phone::{TransferReply, TransferRequest, TransferSession};
use sync_core::sync::pace::Errand;
use ureq::http::Method;

use crate::attachments::{TransferListener, TransferReport};
use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;
use crate::transport::{Call, Reply};

impl PhoneLibrary {
    pub(crate) fn carry(
        &self,
        mut session: TransferSession,
        listener: Option<Arc<dyn TransferListener>>,
        cancel: Option<&Arc<CancelToken>>,
    ) -> Result<TransferReport> {
        loop {
            if let Some(cancel) = cancel {
                cancel.check()?;
            }
            self.text_first(&mut session, cancel)?;
            let Some(request) = session.next_request()? else { return Ok(session.progress().into()) };
            let reply = self.ask_authorized(&request, cancel)?;
            if matches!(reply.status, 300..=399 | 401 | 429 | 500..=506 | 508..) {
                // Nothing of this is about one attachment.
                reply.accepted()?;
                return Err(PhoneLibError::protocol("an answer that is none"));
            }
            let progress = session.apply_response(&TransferReply {
                status: reply.status,
                location: reply.location,
                offset: reply.upload_offset,
                body: reply.body,
            })?;
            if let Some(listener) = &listener {
                drop(listener.on_transfer(progress.into()));
            }
            self.pause(&mut session, cancel)?;
        }
    }

    /// Syncs when something was written since text went last.
    fn text_first(&self, session: &mut TransferSession, cancel: Option<&Arc<CancelToken>>) -> Result<()> {
        if !session.text_waits()? {
            return Ok(());
        }
        match self.sync(None, cancel.cloned()) {
            // What the server cannot take now is kept, and does not ask again in this run.
            Ok(_) | Err(PhoneLibError::SyncIncomplete { .. } | PhoneLibError::Protocol { .. }) => {
                Ok(session.text_went()?)
            }
            // It goes with that one, or is asked about again before the next piece.
            Err(PhoneLibError::AlreadySyncing) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Waits as long as the policy's speed asks for; what is written meanwhile goes at once.
    fn pause(&self, session: &mut TransferSession, cancel: Option<&Arc<CancelToken>>) -> Result<()> {
        let until = Instant::now() + Duration::from_millis(session.pause_ms());
        if session.pause_ms() == 0 {
            return Ok(());
        }
        let (to, woken) = mpsc::channel();
        let written = to.clone();
        let subscription = self.phone.subscribe(Box::new(move |notice| {
            if !notice.from_sync {
                let _ = written.send(());
            }
        }));
        let waited = loop {
            // What was written before anybody listened has woken nobody.
            if let Err(e) = self.text_first(session, cancel) {
                break Err(e);
            }
            if let Some(cancel) = cancel {
                // A sync has listened to the token meanwhile.
                cancel.on_cancel(to.clone(), ());
            }
            match woken.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break Ok(()),
            }
            if let Some(Err(e)) = cancel.map(|c| c.check()) {
                break Err(e);
            }
        };
        self.phone.unsubscribe(subscription);
        waited
    }

    pub(crate) fn ask_authorized(&self, request: &TransferRequest, cancel: Option<&Arc<CancelToken>>) -> Result<Reply> {
        let method: Method = request.method.parse().map_err(|_| PhoneLibError::internal("no method"))?;
        let call = |token| Call {
            method: Method::clone(&method),
            path: request.path.clone().into(),
            headers: request.headers.clone(),
            media_type: request.media_type,
            token: Some(token),
            body: request.body.clone(),
        };
        self.asked(Errand::Transfer, call, cancel)
    }
}
