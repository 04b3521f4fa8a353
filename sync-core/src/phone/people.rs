//! One phone, several people one after another: each has a store of his own under a key of his own, and is a device of his own to the
//! server. What one has not sent stays his, signed by his key; what one holds, another's store cannot even name.

use std::path::{Path, PathBuf};

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::PhoneError;
use crate::store::{Store, StoreError, meta_json, set_meta_json};

const PEOPLE: &str = "people";

/// Somebody who has signed in on this phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The server.
    pub server: String,
    /// What he types.
    pub login: String,
    /// What people call him.
    pub name: String,
}

/// The people of one phone. The list itself is encrypted under the host's key.
pub struct People {
    index: Store,
    dir: PathBuf,
    key: [u8; 32],
}

impl People {
    /// Opens a folder, or begins one. `key` comes from the platform's key store.
    pub fn open(dir: &Path, key: &[u8; 32]) -> Result<Self, PhoneError> {
        std::fs::create_dir_all(dir).map_err(|e| StoreError::Io(e.to_string()))?;
        let index = Store::open(&dir.join("people"), &derive(key, b"index", "", ""))?;
        Ok(Self { index, dir: dir.to_owned(), key: *key })
    }

    /// Who has signed in here, in the order of their first time.
    pub fn all(&self) -> Result<Vec<Person>, PhoneError> {
        self.index.read(|c| Ok(meta_json(c, PEOPLE)?.unwrap_or_default()))
    }

    /// Notes that somebody has signed in.
    pub fn note(&self, person: &Person) -> Result<(), PhoneError> {
        self.index.write(|tx| -> Result<(), PhoneError> {
            let mut people: Vec<Person> = meta_json(tx, PEOPLE)?.unwrap_or_default();
            match people.iter_mut().find(|p| p.server == person.server && p.login == person.login) {
                Some(known) => known.clone_from(person),
                None => people.push(person.clone()),
            }
            Ok(set_meta_json(tx, PEOPLE, &people)?)
        })
    }

    /// Where a person's store lies, and the key that opens it. The name of the file tells nobody whose it is.
    pub fn store_of(&self, server: &str, login: &str) -> (PathBuf, [u8; 32]) {
        let name: String =
            derive(&self.key, b"file", server, login).iter().take(16).map(|b| format!("{b:02x}")).collect();
        (self.dir.join(name), derive(&self.key, b"store", server, login))
    }
}

fn derive(key: &[u8; 32], purpose: &[u8], server: &str, login: &str) -> [u8; 32] {
    // A key shorter than a block is padded with zeros: that is how HMAC is defined.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    for part in [b"fengqiao-person-v1".as_slice(), purpose, server.as_bytes(), login.as_bytes()] {
        mac.update(&u64::try_from(part.len()).unwrap_or_default().to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
