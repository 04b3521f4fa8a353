//! The end of a phone that is ordered to: after its last words it destroys keys and data. Beside the destroyed store a note remains
//! with the signed confirmation, which holds nothing of the records; it stays until the server has it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Phone, PhoneError};
use crate::ids::BundleId;
use crate::store::{StoreError, meta_json, set_meta_json};
use crate::sync::orders::{LastWord, SignedLastWord};
use crate::sync::wire::{self, WireError};

const SERVER: &str = "server";

/// What remains of a wiped phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WipeNote {
    /// The server that waits for the confirmation.
    pub server: Option<String>,
    /// The signed confirmation as it is sent; nothing when nobody had ordered it.
    pub confirmation: Option<Vec<u8>>,
}

fn broken(e: WireError) -> PhoneError {
    PhoneError::Protocol(e.to_string())
}

fn io(e: std::io::Error) -> PhoneError {
    PhoneError::Store(StoreError::Io(e.to_string()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl Phone {
    /// Notes which server this phone belongs to: it must find it also when there is no session any more.
    pub fn server_put(&self, url: &str) -> Result<(), PhoneError> {
        self.0.store.write(|tx| Ok(set_meta_json(tx, SERVER, &url)?))
    }

    /// The server that this phone belongs to.
    pub fn server_get(&self) -> Result<Option<String>, PhoneError> {
        self.0.store.read(|c| Ok(meta_json(c, SERVER)?))
    }

    /// Where the store lies.
    pub fn store_path(&self) -> &Path {
        self.0.store.path()
    }

    /// Destroys keys and data. `order` is the server's, to be confirmed to it. Nothing can be read or written afterwards.
    pub fn destroy(&self, order: Option<BundleId>) -> Result<(), PhoneError> {
        let confirmation = match order {
            Some(order) => {
                let device = self.0.store.read(Self::enrolment)?.device;
                let word = LastWord { wiped: Some(order), ..LastWord::of(device) };
                let signed = SignedLastWord::seal(&word, &self.0.key).map_err(broken)?;
                Some(wire::encode(&signed).map_err(broken)?)
            }
            None => None,
        };
        let note = WipeNote { server: self.server_get()?, confirmation };
        let path = self.0.store.path();
        // The note comes first: from then on every opening of the store goes on destroying it.
        let mut file = File::create(beside(path, ".wiped")).map_err(io)?;
        let text = serde_json::to_vec(&note).map_err(|e| PhoneError::Protocol(e.to_string()))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
        self.0.store.end()?;
        self.shut();
        erase(path)
    }

    /// What remains of a wiped phone at this path; nothing if none was.
    pub fn wipe_note(path: &Path) -> Result<Option<WipeNote>, PhoneError> {
        match std::fs::read(beside(path, ".wiped")) {
            Ok(text) => {
                erase(path)?;
                // A note that was cut off by a crash confirms nothing; it still says what to do.
                Ok(Some(serde_json::from_slice(&text).unwrap_or(WipeNote { server: None, confirmation: None })))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(io(e)),
        }
    }

    /// Forgets the note: the server has the confirmation, or there is none to give. A new store can be made at this path.
    pub fn wipe_note_done(path: &Path) -> Result<(), PhoneError> {
        match std::fs::remove_file(beside(path, ".wiped")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(e)),
            _ => Ok(()),
        }
    }
}

/// Overwrites and removes the files of a store. The first bytes go first: without the salt in them the key opens nothing.
fn erase(path: &Path) -> Result<(), PhoneError> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm"), beside(path, ".opened")] {
        match OpenOptions::new().write(true).open(&file) {
            Ok(mut open) => {
                let mut left = open.metadata().map_err(io)?.len();
                let zeros = [0; 64 * 1024];
                while left > 0 {
                    let n = usize::try_from(left).unwrap_or(zeros.len()).min(zeros.len());
                    open.write_all(zeros.get(..n).unwrap_or_default()).map_err(io)?;
                    left -= u64::try_from(n).unwrap_or(left);
                }
                open.sync_all().map_err(io)?;
                open.set_len(0).and_then(|()| open.sync_all()).map_err(io)?;
                std::fs::remove_file(&file).map_err(io)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(io(e)),
        }
    }
    // What lies in the folder beside it is encrypted under a key that was in the store.
    match std::fs::remove_dir_all(beside(path, ".attachments")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io(e)),
        _ => Ok(()),
    }
}
