//! What a revoked phone still does: hand in what it had not sent, wipe itself when it is ordered to, and confirm.

use std::path::Path;
use std::sync::Arc;

use sync_core::ids::BundleId;
use sync_core::phone::{LastStep, Phone};
use sync_core::sync::pace::Errand;
use sync_core::sync::wire::MEDIA_TYPE;
use ureq::http::Method;

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;
use crate::transport::{Call, ConnectOptions, Http};

const PATH: &str = "/v1/last-word";
/// More than the largest outbox needs.
const ROUNDS_MAX: u32 = 1_000;

fn call(body: Vec<u8>) -> Call {
    Call { method: Method::POST, path: PATH.into(), media_type: MEDIA_TYPE, token: None, headers: Vec::new(), body }
}

/// Sends the confirmation of a wiped phone, whose store lay at `path`. True when nothing is left to be confirmed: the path is free, and
/// the key can be deleted from the platform's key store.
#[uniffi::export]
pub fn wipe_confirm(path: String, options: ConnectOptions) -> Result<bool> {
    let path = Path::new(&path);
    let Some(note) = Phone::wipe_note(path)? else { return Ok(true) };
    if let (Some(server), Some(confirmation)) = (note.server, note.confirmation) {
        Http::new(&server, &options)?.send(call(confirmation), None)?.accepted()?;
    }
    Phone::wipe_note_done(path)?;
    Ok(true)
}

impl PhoneLibrary {
    /// What to tell a phone whose session was refused: it may have been revoked, or ordered to wipe itself. `why` when that cannot be
    /// found out or is not so.
    pub(crate) fn after_refusal(&self, why: PhoneLibError, cancel: Option<&Arc<CancelToken>>) -> PhoneLibError {
        match self.last_words(cancel) {
            Ok(None) => PhoneLibError::Revoked,
            Ok(Some(order)) => match self.phone.destroy(Some(order)) {
                Ok(()) => {
                    // Out of reach, the note stays: the host calls `wipe_confirm` when there is a network.
                    drop(self.confirm());
                    PhoneLibError::Wiped
                }
                Err(e) => e.into(),
            },
            Err(_) => why,
        }
    }

    fn last_words(&self, cancel: Option<&Arc<CancelToken>>) -> Result<Option<BundleId>> {
        let url = self.phone.server_get()?.ok_or(PhoneLibError::NotLoggedIn)?;
        let http = self.client(&url)?;
        let mut words = self.phone.last_words();
        for _ in 0..ROUNDS_MAX {
            self.may_ask(Errand::Sync)?;
            let reply = http.send(call(words.next_request()?), cancel)?;
            self.heed(Errand::Sync, &reply)?;
            let reply = reply.accepted()?;
            match words.apply_response(&reply.body)? {
                LastStep::Again => {}
                LastStep::Revoked => return Ok(None),
                LastStep::Wipe(order) => return Ok(Some(order)),
            }
        }
        Ok(None)
    }

    fn confirm(&self) -> Result<bool> {
        wipe_confirm(self.phone.store_path().display().to_string(), self.connect_options())
    }
}
