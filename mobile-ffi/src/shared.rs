//! One phone that several people use one after another. Each has a store of his own under a key of his own and is a device of his own to
//! the server; whoever is not in front of the screen is shut out, and what he had not sent still travels, as his.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sync_core::phone::{People, Person, PhoneHost};

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::host::{HostClock, SystemHost};
use crate::library::PhoneLibrary;
use crate::policy::TransferPolicy;
use crate::transport::ConnectOptions;

/// Somebody who has signed in on this phone.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct PersonView {
    /// The server.
    pub server_url: String,
    /// What he types.
    pub login: String,
    /// What people call him.
    pub name: String,
    /// Changes of his that no server has acknowledged.
    pub unsent: u64,
    /// Attachments of his that are still to be sent.
    pub attachments_waiting: u64,
    /// Whether his PIN opens his records without a network.
    pub has_pin: bool,
}

/// What became of what somebody else had left unsent.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct LeftoverView {
    /// Whose.
    pub login: String,
    /// Still unsent.
    pub unsent: u64,
    /// Attachments that still wait.
    pub attachments_waiting: u64,
    /// Why it did not go; nothing when it did.
    pub problem: Option<String>,
}

/// A phone with the stores of all who use it.
#[derive(uniffi::Object)]
pub struct SharedPhone {
    people: People,
    host: Arc<dyn PhoneHost>,
    open: Mutex<BTreeMap<PathBuf, Arc<PhoneLibrary>>>,
    options: Mutex<ConnectOptions>,
}

#[uniffi::export]
impl SharedPhone {
    /// Opens the folder with everybody's store, or begins one. `key` is 32 secret bytes from the platform's key store; each person's
    /// key is derived from it.
    #[uniffi::constructor(default(clock = None))]
    pub fn open(dir: String, key: Vec<u8>, clock: Option<Arc<dyn HostClock>>) -> Result<Arc<Self>> {
        let key = <[u8; 32]>::try_from(key.as_slice()).map_err(|_| {
            PhoneLibError::invalid("key", format!("it has {} bytes", key.len()), "pass 32 bytes of the key store")
        })?;
        Self::open_with(Path::new(&dir), &key, Arc::new(SystemHost::new(clock)))
    }

    /// How the server is reached from now on.
    pub fn set_connect_options(&self, options: ConnectOptions) {
        self.stores().values().for_each(|library| library.set_connect_options(options.clone()));
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// Who has signed in here, for a list to choose from. Nothing of their records.
    pub fn people(&self) -> Result<Vec<PersonView>> {
        let mut views = Vec::new();
        for Person { server, login, name } in self.people.all()? {
            let known = self.store(&server, &login).and_then(|library| {
                let (status, state) = (library.core().status()?, library.core().lock_state()?);
                Ok((status, state.has_pin))
            });
            let (status, has_pin) = match known {
                Ok(known) => known,
                Err(PhoneLibError::Wiped) => continue,
                Err(e) => return Err(e),
            };
            let (unsent, attachments_waiting) = (status.pending, status.attachments.waiting);
            views.push(PersonView { server_url: server, login, name, unsent, attachments_waiting, has_pin });
        }
        Ok(views)
    }

    /// Hands the phone to who signs in now: his store is opened or made, everybody else is shut out. Needs the network.
    #[uniffi::method(default(cancel = None))]
    pub fn sign_in(
        &self,
        server_url: String,
        login: String,
        password: String,
        device_name: String,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<Arc<PhoneLibrary>> {
        let server_url = server_url.trim().trim_end_matches('/').to_owned();
        let library = self.store(&server_url, &login)?;
        let identity = library.log_in(server_url.clone(), login.clone(), password, device_name, cancel)?;
        self.people.note(&Person { server: server_url, login, name: identity.name })?;
        self.shut_others(&library);
        Ok(library)
    }

    /// Hands the phone back, without a network, to somebody who has set a PIN.
    pub fn resume(&self, server_url: String, login: String, pin: String) -> Result<Arc<PhoneLibrary>> {
        let server_url = server_url.trim().trim_end_matches('/').to_owned();
        let known = self.people.all()?.into_iter().any(|p| p.server == server_url && p.login == login);
        if !known {
            return Err(PhoneLibError::not_found("person", login));
        }
        let library = self.store(&server_url, &login)?;
        if !library.core().lock_state()?.has_pin {
            return Err(PhoneLibError::NotAllowed {
                action: "open these records".to_owned(),
                remedy: "no PIN is set; sign in with the password".to_owned(),
            });
        }
        library.core().unlock(&pin)?;
        self.shut_others(&library);
        Ok(library)
    }

    /// Sends what others have left unsent on this phone, as theirs, and carries out what their phones are ordered. With a policy their
    /// attachments too, each by its owner's own session; `bytes_max` holds for each of them. Shows nothing of it.
    #[uniffi::method(default(policy = None, cancel = None))]
    pub fn sync_others(
        &self,
        policy: Option<TransferPolicy>,
        cancel: Option<Arc<CancelToken>>,
    ) -> Result<Vec<LeftoverView>> {
        let mut views = Vec::new();
        for Person { server, login, .. } in self.people.all()? {
            let library = match self.store(&server, &login) {
                Ok(library) => library,
                Err(PhoneLibError::Wiped) => continue,
                Err(e) => return Err(e),
            };
            // Who is in front of the screen syncs by himself; who was wiped has nothing left.
            if library.core().lock_state().map_or(true, |state| !state.locked) {
                continue;
            }
            let mut problem = library.sync(None, cancel.clone()).err();
            // A record that was left out holds up no photos but its own.
            if matches!(problem, None | Some(PhoneLibError::SyncIncomplete { .. }))
                && let Some(policy) = policy.filter(|_| library.core().attachments_waiting().is_ok_and(|n| n > 0))
            {
                problem = library.transfer_attachments(policy, None, cancel.clone()).err().or(problem);
            }
            let left = library.core().status();
            let (unsent, attachments_waiting) = left.map(|s| (s.pending, s.attachments.waiting)).unwrap_or_default();
            let problem = problem.map(|e| e.to_string());
            views.push(LeftoverView { login, unsent, attachments_waiting, problem });
        }
        Ok(views)
    }
}

impl SharedPhone {
    /// Opens it under a host of one's own.
    pub fn open_with(dir: &Path, key: &[u8; 32], host: Arc<dyn PhoneHost>) -> Result<Arc<Self>> {
        let people = People::open(dir, key)?;
        Ok(Arc::new(Self { people, host, open: Mutex::default(), options: Mutex::default() }))
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<PhoneLibrary>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A person's store, shut until he has shown who he is.
    fn store(&self, server: &str, login: &str) -> Result<Arc<PhoneLibrary>> {
        let (path, key) = self.people.store_of(server, login);
        let mut open = self.stores();
        if let Some(library) = open.get(&path) {
            return Ok(Arc::clone(library));
        }
        let library = PhoneLibrary::open_with(&path, &key, Arc::clone(&self.host))?;
        library.core().shut();
        library.set_connect_options(self.options.lock().unwrap_or_else(PoisonError::into_inner).clone());
        open.insert(path, Arc::clone(&library));
        Ok(library)
    }

    fn shut_others(&self, front: &Arc<PhoneLibrary>) {
        for library in self.stores().values().filter(|l| !Arc::ptr_eq(l, front)) {
            library.core().shut();
        }
    }
}
