//! The demo's phones: the real phone library, each with an encrypted store of its own, on the demo's clock.

use std::path::Path;
use std::sync::Arc;

use fengqiao_mobile::{PhoneLibrary, TransferPolicy};
use server::clock::{DemoClock, SystemEntropy};
use sync_core::document::ChangeHash;
use sync_core::edit::{Draft, Edit};
use sync_core::event::EventKind;
use sync_core::ids::{DocumentId, Entropy};
use sync_core::phone::Phone;
use sync_core::time::{Clock, PhoneClock};

use super::Fallible;

struct DemoHost(Arc<DemoClock>);

impl Clock for DemoHost {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }
}

impl PhoneClock for DemoHost {
    fn monotonic_ms(&self) -> i64 {
        self.0.now_ms()
    }
    fn boot(&self) -> u64 {
        1
    }
}

impl Entropy for DemoHost {
    fn fill(&self, buffer: &mut [u8]) {
        SystemEntropy.fill(buffer);
    }
}

/// One phone.
pub(super) struct DemoPhone {
    library: Arc<PhoneLibrary>,
    /// Every change ever made on it: what must not be lost.
    pub(super) made: Vec<(DocumentId, ChangeHash)>,
    /// Changes that the server acknowledged.
    pub(super) sent: u64,
}

impl DemoPhone {
    /// A new phone on which somebody signs in.
    pub(super) fn sign_in(
        dir: &Path,
        clock: Arc<DemoClock>,
        url: &str,
        (login, name, password): (&str, &str, &str),
    ) -> Fallible<Self> {
        let mut key = [0; 32];
        SystemEntropy.fill(&mut key);
        let library = PhoneLibrary::open_with(&dir.join(format!("phone-{login}.db")), &key, Arc::new(DemoHost(clock)))?;
        library.log_in(url.to_owned(), login.to_owned(), password.to_owned(), format!("{name}的手机"), None)?;
        Ok(Self { library, made: Vec::new(), sent: 0 })
    }

    pub(super) fn core(&self) -> &Phone {
        self.library.core()
    }

    /// Creates a document, offline.
    pub(super) fn create(&mut self, draft: &Draft) -> Fallible<DocumentId> {
        let id = self.core().create(draft)?;
        let first = self.core().document(id)?.history();
        self.made.extend(first.into_iter().map(|c| (id, c.hash)));
        Ok(id)
    }

    /// Edits a document, offline.
    pub(super) fn edit(&mut self, id: DocumentId, edits: &[Edit]) -> Fallible<Vec<String>> {
        let edited = self.core().edit(id, edits)?;
        self.made.extend(edited.change.map(|c| (id, c.hash)));
        Ok(edited.made)
    }

    /// Adds one event, offline.
    pub(super) fn event(&mut self, id: DocumentId, kind: EventKind, body: serde_json::Value) -> Fallible<()> {
        let body = serde_json::from_value(body)?;
        self.edit(id, &[Edit::AddEvent { kind, body }]).map(|_| ())
    }

    /// Attaches a photo, offline.
    pub(super) fn attach(&mut self, id: DocumentId, name: &str, photo: Vec<u8>) -> Fallible<()> {
        self.library.attach_photo(id.to_string(), name.to_owned(), photo)?;
        let last = self.core().document(id)?.history().pop();
        self.made.extend(last.map(|c| (id, c.hash)));
        Ok(())
    }

    /// Sends the photos that wait; gives how many the server has since.
    pub(super) fn send_photos(&mut self) -> Fallible<u64> {
        Ok(self.library.transfer_attachments(TransferPolicy::default(), None, None)?.uploaded)
    }

    /// Syncs to the end; gives how many changes were acknowledged.
    pub(super) fn sync(&mut self) -> Fallible<u64> {
        let report = self.library.sync(None, None)?;
        self.sent += report.sent;
        Ok(report.sent)
    }
}
