//! A phone whose store is an older copy of itself: it must not write again under actors that were further already. It is noticed
//! by a counter that lies beside the store, by a mark that the host keeps where no backup reaches, and at the latest by the server.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::Transaction;

use super::{Phone, PhoneError};
use crate::ids::Entropy;
use crate::store::{Store, StoreError, documents, meta, meta_json, set_meta, set_meta_json};

const OPENED: &str = "opened";
const INSTALL: &str = "install";

fn counter(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".opened");
    PathBuf::from(name)
}

/// Under new actors from now on, in every record and for every new one.
fn new_actors(tx: &Transaction<'_>, entropy: &(impl Entropy + ?Sized)) -> Result<(), StoreError> {
    set_meta(tx, "actor", &entropy.sixteen())?;
    for id in documents::ids(tx)? {
        tx.prepare_cached("UPDATE documents SET actor = ?2 WHERE id = ?1")?
            .execute((id.to_string(), entropy.sixteen()))?;
    }
    Ok(())
}

/// Counts how often the store was opened, in it and beside it. A store that is behind the count beside it is an older copy.
pub(super) fn opened(store: &Store, path: &Path, entropy: &(impl Entropy + ?Sized)) -> Result<(), PhoneError> {
    let file = counter(path);
    let beside: u64 = match std::fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(e) if e.kind() == ErrorKind::NotFound => 0,
        Err(e) => return Err(StoreError::Io(e.to_string()).into()),
    };
    let count = store.write(|tx| -> Result<u64, StoreError> {
        let inside: u64 = meta_json(tx, OPENED)?.unwrap_or(0);
        if beside > inside {
            new_actors(tx, entropy)?;
        }
        let count = inside.max(beside).saturating_add(1);
        set_meta_json(tx, OPENED, &count)?;
        Ok(count)
    })?;
    // In this order: a phone that dies in between is ahead of its count, which says nothing; behind it, it would seem restored.
    let fresh = file.with_extension("opened-new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&fresh, count.to_string())?;
        std::fs::rename(&fresh, &file)
    };
    write().map_err(|e| StoreError::Io(e.to_string()).into())
}

impl Phone {
    /// Tells the phone in which installation it lives: a mark that the host makes once, and keeps where no backup reaches. When it
    /// is another one than the store knows, the store came out of a backup, and goes on under new actors. Gives whether it was.
    pub fn installed(&self, mark: &[u8]) -> Result<bool, PhoneError> {
        self.0.store.write(|tx| -> Result<bool, PhoneError> {
            let known = meta(tx, INSTALL)?;
            let restored = known.is_some_and(|k| k != mark);
            if restored {
                self.take_new_actors(tx)?;
            }
            set_meta(tx, INSTALL, mark)?;
            Ok(restored)
        })
    }

    /// Goes on under new actors, in every record and for every new one.
    pub(super) fn take_new_actors(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        new_actors(tx, &*self.0.host)
    }
}
