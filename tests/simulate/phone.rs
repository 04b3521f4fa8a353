//! A phone of a run: the product's own, on a real encrypted store. It can die at any step of a write, and be restored from a copy
//! of its store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sync_core::document::ChangeHash;
use sync_core::ids::{BundleId, DeviceId, DocumentId, UserId};
use sync_core::phone::Phone;
use uuid::Uuid;

use super::clock::SimHost;
use super::server::hashes;

const KEY: [u8; 32] = [7; 32];

/// One phone.
pub struct SimPhone {
    /// What the story calls it.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// Its clocks and randomness.
    pub host: Arc<SimHost>,
    /// Its session with the server.
    pub session: Option<Uuid>,
    /// It was told that it is revoked.
    pub shut_out: bool,
    /// It has destroyed everything, and the server has not heard of it yet: as which device, and the word to send.
    pub owed: Option<(DeviceId, Vec<u8>)>,
    wiped: bool,
    path: PathBuf,
    backup: Option<PathBuf>,
    grave: Option<PathBuf>,
    phone: Option<Phone>,
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// Copies a store as it lies on the disk at this moment: what a sudden death leaves.
fn copy(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
    let _ = std::fs::remove_file(beside(to, "-wal"));
    if beside(from, "-wal").exists() {
        std::fs::copy(beside(from, "-wal"), beside(to, "-wal")).unwrap();
    }
}

/// Makes a folder what another one is.
fn copy_folder(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let Ok(files) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).unwrap();
    for file in files.map(Result::unwrap) {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn remove(path: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(path, ending));
    }
}

impl SimPhone {
    /// A new phone.
    pub fn new(dir: &Path, name: &str, user: UserId, host: SimHost) -> Self {
        let mut phone = Self {
            name: name.to_owned(),
            user,
            host: Arc::new(host),
            session: None,
            shut_out: false,
            owed: None,
            wiped: false,
            path: dir.join(format!("phone-{name}")),
            backup: None,
            grave: None,
            phone: None,
        };
        phone.open();
        phone
    }

    fn open(&mut self) {
        self.phone = Some(Phone::open(&self.path, &KEY, self.host.clone()).unwrap());
    }

    /// Destroys everything, as it was ordered; what is left is an empty phone of nobody. Gives whether the store is still there.
    pub fn destroy(&mut self, order: BundleId) -> bool {
        let device = self.core().identity().unwrap().unwrap().device;
        self.core().destroy(Some(order)).unwrap();
        self.phone = None;
        let left =
            self.path.exists() || beside(&self.path, "-wal").exists() || beside(&self.path, ".attachments").exists();
        let note = Phone::wipe_note(&self.path).unwrap().unwrap();
        self.owed = Some((device, note.confirmation.unwrap()));
        Phone::wipe_note_done(&self.path).unwrap();
        (self.backup, self.grave, self.session) = (None, None, None);
        (self.wiped, self.shut_out) = (true, true);
        self.path = beside(&self.path, ".after");
        self.open();
        left
    }

    /// Whether it has destroyed everything.
    pub fn is_wiped(&self) -> bool {
        self.wiped
    }

    /// Whether anything of a record can still be read on it.
    pub fn holds(&self, id: DocumentId) -> bool {
        let conn = self.inside();
        ["documents WHERE id", "snapshots WHERE document", "tails WHERE document", "list WHERE document"].iter().any(
            |at| {
                let sql = format!("SELECT EXISTS (SELECT 1 FROM {at} = ?1)");
                conn.query_row(&sql, [id.to_string()], |r| r.get::<_, bool>(0)).unwrap()
            },
        )
    }

    /// The phone library.
    pub fn core(&self) -> &Phone {
        self.phone.as_ref().unwrap()
    }

    /// Dies now, with nothing closed, and starts again on what lies on the disk.
    pub fn die(&mut self) {
        let grave = beside(&self.path, ".died");
        copy(&self.path, &grave);
        self.grave = Some(grave);
        self.revive();
    }

    /// Starts again after a death. Whoever still holds a session of the dead phone lets go of it first: its last connection would
    /// clear away the log of the living one.
    pub fn revive(&mut self) {
        let Some(grave) = self.grave.take() else { return };
        self.phone = None;
        remove(&self.path);
        copy(&grave, &self.path);
        remove(&grave);
        self.open();
    }

    /// Does something during which the phone dies after so many steps of writing, if it comes that far. `None`: it died, and waits
    /// for [`SimPhone::revive`].
    pub fn dying<T>(&mut self, steps: Option<u32>, work: impl FnOnce(&Phone) -> T) -> Option<T> {
        let Some(mut left) = steps else { return Some(work(self.core())) };
        let grave = beside(&self.path, ".died");
        let died = Arc::new(AtomicBool::new(false));
        let (path, to, dead) = (self.path.clone(), grave.clone(), died.clone());
        let step = move || {
            if !dead.load(Ordering::Relaxed) && left > 0 {
                left -= 1;
                return false;
            }
            if !dead.swap(true, Ordering::Relaxed) {
                copy(&path, &to);
            }
            true
        };
        self.core().watch_writes(step).unwrap();
        let done = work(self.core());
        if died.load(Ordering::Relaxed) {
            self.grave = Some(grave);
            return None;
        }
        self.core().watch_writes(|| false).unwrap();
        Some(done)
    }

    /// Copies the store aside, with the count beside it.
    pub fn back_up(&mut self) {
        let to = beside(&self.path, ".backup");
        copy(&self.path, &to);
        std::fs::copy(beside(&self.path, ".opened"), beside(&to, ".opened")).unwrap();
        copy_folder(&beside(&self.path, ".attachments"), &beside(&to, ".attachments"));
        self.backup = Some(to);
    }

    /// Puts the copy back, if there is one; `whole`: with all that lay beside it, so that nothing tells the phone of it.
    pub fn restore(&mut self, whole: bool) -> bool {
        let Some(from) = self.backup.clone() else { return false };
        self.phone = None;
        remove(&self.path);
        copy(&from, &self.path);
        copy_folder(&beside(&from, ".attachments"), &beside(&self.path, ".attachments"));
        if whole {
            std::fs::copy(beside(&from, ".opened"), beside(&self.path, ".opened")).unwrap();
        }
        self.open();
        true
    }

    /// What it wrote again under another actor: the new change with the former.
    pub fn remade(&self) -> Vec<(ChangeHash, ChangeHash)> {
        let conn = self.inside();
        let mut statement = conn.prepare("SELECT hash, former FROM remade").unwrap();
        let rows = statement.query_map([], |r| Ok((ChangeHash(r.get(0)?), ChangeHash(r.get(1)?)))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The store, seen from outside the phone.
    fn inside(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(&self.path).unwrap();
        let hex: String = KEY.iter().map(|b| format!("{b:02x}")).collect();
        conn.execute_batch(&format!("PRAGMA key = \"x'{hex}'\"; PRAGMA busy_timeout = 1000;")).unwrap();
        conn
    }

    /// Sabotage: forgets what is unsent.
    pub fn drop_unsent(&mut self) {
        self.inside().execute("DELETE FROM outbox", []).unwrap();
    }

    fn column(&self, sql: &str) -> BTreeSet<ChangeHash> {
        let conn = self.inside();
        let mut statement = conn.prepare(sql).unwrap();
        let rows: Result<Vec<Vec<u8>>, _> = statement.query_map([], |r| r.get(0)).unwrap().collect();
        hashes(rows.unwrap())
    }

    /// What it made and nobody has acknowledged.
    pub fn unsent(&self) -> BTreeSet<ChangeHash> {
        self.unsent_of().into_iter().map(|(hash, _)| hash).collect()
    }

    /// The same with the documents.
    pub fn unsent_of(&self) -> Vec<(ChangeHash, DocumentId)> {
        let conn = self.inside();
        let mut statement = conn.prepare("SELECT hash, document FROM outbox").unwrap();
        let rows = statement.query_map([], |r| Ok((ChangeHash(r.get(0)?), r.get::<_, String>(1)?))).unwrap();
        rows.map(Result::unwrap).map(|(hash, id)| (hash, id.parse().unwrap())).collect()
    }

    /// What was refused and is kept here with words.
    pub fn refused(&self) -> BTreeSet<ChangeHash> {
        self.column("SELECT hash FROM refused WHERE length(words) > 0")
    }

    /// Every change of which this phone holds a copy.
    pub fn held(&self) -> BTreeSet<ChangeHash> {
        let mut held = self.unsent();
        held.extend(self.refused());
        for id in self.core().documents().unwrap() {
            if let Ok(document) = self.core().document(id) {
                held.extend(document.changes().into_iter().map(|c| c.hash));
            }
        }
        held
    }
}
