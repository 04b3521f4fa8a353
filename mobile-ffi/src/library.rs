//! The one object of the library: an open store. Thin: what it does is done in `sync-core`; here it gets names and plain records.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use sync_core::ids::DocumentId;
use sync_core::phone::{Phone, PhoneHost};
use sync_core::shape::DocumentKind;

use crate::error::{PhoneLibError, Result};
use crate::host::{HostClock, SystemHost};
use crate::live::LiveSeat;
use crate::transport::{ConnectOptions, Http};
use crate::view::{
    CaseView, DocumentStatusView, ListFilterInput, ObligationView, PatrolView, RefusedChangeView, RowView, StatusView,
};

/// An open store: the records of one person on one phone.
#[derive(uniffi::Object)]
pub struct PhoneLibrary {
    pub(crate) phone: Phone,
    pub(crate) host: Arc<dyn PhoneHost>,
    /// One login, logout or refresh at a time.
    pub(crate) account: Mutex<()>,
    /// One sync at a time.
    pub(crate) syncing: Arc<AtomicBool>,
    /// One run of transfers at a time.
    pub(crate) transferring: Mutex<()>,
    /// One attachment at a time that somebody waits for.
    pub(crate) fetching: Mutex<()>,
    pub(crate) live: LiveSeat,
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    options: ConnectOptions,
    client: Option<(String, Http)>,
}

#[uniffi::export]
impl PhoneLibrary {
    /// Opens the store at this path, or creates it. `key` is 32 secret bytes from the platform's key store; the same every time.
    /// `clock` replaces the system's clocks.
    #[uniffi::constructor(default(clock = None))]
    pub fn open(path: String, key: Vec<u8>, clock: Option<Arc<dyn HostClock>>) -> Result<Arc<Self>> {
        let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| {
            PhoneLibError::invalid("key", format!("it has {} bytes", key.len()), "pass 32 bytes of the key store")
        })?;
        Self::open_with(Path::new(&path), &key, Arc::new(SystemHost::new(clock)))
    }

    /// Tells the library in which installation it lives: bytes that the app makes once and keeps where no backup reaches. Call it
    /// after `open`. `true`: the store came out of a backup, and goes on so that nothing it writes clashes with what it wrote before.
    pub fn installed(&self, mark: Vec<u8>) -> Result<bool> {
        Ok(self.phone.installed(&mark)?)
    }

    /// How the server is reached from now on.
    pub fn set_connect_options(&self, options: ConnectOptions) {
        *self.connection() = Connection { options, client: None };
    }

    /// Case files that fit the filter, by last change, newest first.
    pub fn list_cases(&self, filter: ListFilterInput) -> Result<Vec<RowView>> {
        self.list(DocumentKind::Case, filter)
    }

    /// Patrol records that fit the filter, by last change, newest first.
    pub fn list_patrols(&self, filter: ListFilterInput) -> Result<Vec<RowView>> {
        self.list(DocumentKind::Patrol, filter)
    }

    /// Cases and patrols in which all of these words occur; two characters are enough.
    #[uniffi::method(default(limit = 50))]
    pub fn search(&self, text: String, limit: u32) -> Result<Vec<RowView>> {
        Ok(self.phone.search(&text, limit)?.iter().map(RowView::from).collect())
    }

    /// One case file.
    pub fn read_case(&self, id: String) -> Result<CaseView> {
        let state = self.phone.case(document_id("case", &id)?).map_err(PhoneLibError::about("case", &id))?;
        Ok(CaseView::from(&state))
    }

    /// One patrol record.
    pub fn read_patrol(&self, id: String) -> Result<PatrolView> {
        let state = self.phone.patrol(document_id("patrol", &id)?).map_err(PhoneLibError::about("patrol", &id))?;
        Ok(PatrolView::from(&state))
    }

    /// What is or was due in a case: its countdowns, in the order of the rules.
    pub fn obligations(&self, id: String) -> Result<Vec<ObligationView>> {
        let due = self.phone.obligations(document_id("case", &id)?).map_err(PhoneLibError::about("case", &id))?;
        Ok(due.iter().map(ObligationView::from).collect())
    }

    /// The kinds of event that the person may write there now and that would have an effect.
    pub fn allowed_events(&self, id: String) -> Result<Vec<String>> {
        let kinds = self.phone.allowed_events(document_id("record", &id)?);
        let kinds = kinds.map_err(PhoneLibError::about("record", &id))?;
        Ok(kinds.iter().map(ToString::to_string).collect())
    }

    /// What the server refused: it is in quarantine there, its text is here.
    pub fn refused_changes(&self) -> Result<Vec<RefusedChangeView>> {
        Ok(self.phone.refused()?.iter().map(RefusedChangeView::from).collect())
    }

    /// Drops a refused change that was decided about, when the person has read it. Gives whether it did: one that waits is kept.
    pub fn discard_refused(&self, hash: String) -> Result<bool> {
        let refused = self.phone.refused()?.into_iter().find(|r| r.hash.to_hex() == hash);
        Ok(refused.map(|r| self.phone.discard_refused(&r.hash)).transpose()?.unwrap_or(false))
    }

    /// How far this phone is in step with the server.
    pub fn status(&self) -> Result<StatusView> {
        Ok(StatusView::from(&self.phone.status()?))
    }

    /// Where a record is: only on this phone, or on the server too.
    pub fn document_status(&self, id: String) -> Result<DocumentStatusView> {
        let status = self.phone.document_status(document_id("record", &id)?);
        Ok(status.map_err(PhoneLibError::about("record", &id))?.into())
    }
}

impl PhoneLibrary {
    /// Opens a store under a host of one's own: a demonstration or simulation with its own time and randomness.
    pub fn open_with(path: &Path, key: &[u8; 32], host: Arc<dyn PhoneHost>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            phone: Phone::open(path, key, Arc::clone(&host))?,
            host,
            account: Mutex::new(()),
            syncing: Arc::default(),
            transferring: Mutex::default(),
            fetching: Mutex::default(),
            live: LiveSeat::default(),
            connection: Mutex::default(),
        }))
    }

    /// The phone of the core beneath, for programs in Rust.
    pub fn core(&self) -> &Phone {
        &self.phone
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the server is reached.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        self.connection().options.clone()
    }

    /// The client of a server; connections are kept between calls.
    pub(crate) fn client(&self, server_url: &str) -> Result<Http> {
        let mut connection = self.connection();
        if let Some((_, http)) = connection.client.as_ref().filter(|(url, _)| url == server_url) {
            return Ok(http.clone());
        }
        let http = Http::new(server_url, &connection.options)?;
        connection.client = Some((server_url.to_owned(), http.clone()));
        Ok(http)
    }

    fn list(&self, kind: DocumentKind, filter: ListFilterInput) -> Result<Vec<RowView>> {
        Ok(self.phone.list(kind, &filter.into_core()?)?.iter().map(RowView::from).collect())
    }
}

/// Reads an id as the host passes it. What is no id names nothing on this phone.
pub(crate) fn document_id(what: &str, id: &str) -> Result<DocumentId> {
    id.parse().map_err(|_| PhoneLibError::not_found(what, id.chars().take(80).collect::<String>()))
}
