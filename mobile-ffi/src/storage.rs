//! Room on the phone, and records that left it because they were closed long ago.

use sync_core::phone::{Pressure, Room, StorageReport};

use crate::error::{PhoneLibError, Result};
use crate::library::{PhoneLibrary, document_id};

/// How tight the room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum StoragePressure {
    /// There is room.
    Easy,
    /// Less than 200 MB are left: time to call `free_up`.
    Tight,
    /// Less than 20 MB are left: photos are refused, and edits when the disk is full.
    Full,
}

/// What takes room, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct StorageView {
    /// Records, index and everything else in the store's file.
    pub records: u64,
    /// Empty pages of that file: they are filled before it grows.
    pub empty: u64,
    /// Contents of attachments.
    pub attachments: u64,
    /// Small pictures; all of them can be fetched again.
    pub thumbnails: u64,
    /// Of the records: what is carried for others.
    pub carried: u64,
    /// What `free_up` could give back of attachments: the server has them.
    pub freeable_attachments: u64,
    /// And of closed records.
    pub freeable_records: u64,
    /// What is left; nothing when the host has not told what there is.
    pub left: Option<u64>,
    /// How tight it is.
    pub pressure: StoragePressure,
}

impl From<StorageReport> for StorageView {
    fn from(r: StorageReport) -> Self {
        let pressure = match r.pressure {
            Pressure::Easy => StoragePressure::Easy,
            Pressure::Tight => StoragePressure::Tight,
            Pressure::Full => StoragePressure::Full,
        };
        Self {
            records: r.records,
            empty: r.empty,
            attachments: r.attachments,
            thumbnails: r.thumbnails,
            carried: r.carried,
            freeable_attachments: r.freeable_attachments,
            freeable_records: r.freeable_records,
            left: r.left,
            pressure,
        }
    }
}

#[uniffi::export]
impl PhoneLibrary {
    /// Asks for a record that is not here (`RecordAway`): it comes with the next sync if its owner may see it, and stays for a week at
    /// least.
    pub fn fetch_record(&self, id: String) -> Result<()> {
        self.phone.fetch(document_id("record", &id)?).map_err(PhoneLibError::about("record", &id))
    }

    /// Tells how many bytes the store and its attachments may take in all, and how many are free on the disk; nothing: unknown. Kept
    /// until it is told again. A file that does not fit is refused from then on (`NoRoom`), with 20 MB kept for text; what the server has
    /// gives way first.
    #[uniffi::method(default(limit = None, free = None))]
    pub fn set_storage_room(&self, limit: Option<u64>, free: Option<u64>) -> Result<()> {
        Ok(self.phone.set_storage_room(Room { limit, free })?)
    }

    /// What takes room, and how tight it is.
    pub fn storage(&self) -> Result<StorageView> {
        Ok(self.phone.storage()?.into())
    }

    /// Frees at least so many bytes if it can, and never what the server does not have: contents of attachments first, those that were
    /// not looked at for the longest time; then small pictures; then closed records, which leave their row in the list. Gives how many it freed.
    pub fn free_up(&self, bytes: u64) -> Result<u64> {
        Ok(self.phone.free_up(bytes)?)
    }
}
