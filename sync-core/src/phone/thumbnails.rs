//! Small pictures on the phone: kept encrypted within a quota of their own, so that a list has something to show without a network.
//! What is needed least gives way; nothing is lost by it, each can be fetched again.

use std::sync::PoisonError;

use rusqlite::Connection;

use super::{Phone, PhoneError, storage};
use crate::attachments::is_content_hash;
use crate::ids::DocumentId;
use crate::limits;
use crate::store::thumbnails::{self as rows, ThumbnailRow};
use crate::store::{StoreError, documents, meta_json, set_meta_json};

const QUOTA: &str = "thumbnail_quota";
/// Whether the pictures of every record that was here before they were noted have been noted.
const NOTED: &str = "pictures_noted";
/// Records whose pictures are noted in one transaction.
const NOTED_AT_ONCE: usize = 50;

/// A picture to be asked for, and its place in the order of need.
pub(super) struct Wanted {
    pub(super) document: DocumentId,
    pub(super) hash: String,
    pub(super) rank: usize,
}

fn quota(conn: &Connection) -> Result<u64, StoreError> {
    Ok(meta_json(conn, QUOTA)?.unwrap_or(limits::THUMBNAIL_QUOTA_BYTES))
}

/// What the server gave as a small picture; anything else is not kept.
pub(super) fn is_small_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.len() <= limits::THUMBNAIL_BYTES_MAX
}

impl Phone {
    /// A small picture that lies here; needs no network.
    pub fn thumbnail(&self, hash: &str, points: u32) -> Result<Option<Vec<u8>>, PhoneError> {
        self.admit()?;
        let Some(row) = self.0.store.read(|c| rows::find(c, hash, points))? else { return Ok(None) };
        match self.0.vault.read(&row.name(), row.bytes, 0, row.bytes) {
            Ok(bytes) => {
                let now_ms = self.0.host.now_ms();
                self.0.store.write(|tx| rows::used(tx, hash, points, now_ms))?;
                Ok(Some(bytes))
            }
            // Lost or damaged on the disk: it is fetched again.
            Err(StoreError::Damaged(_) | StoreError::Io(_)) => {
                self.drop_thumbnail(&row)?;
                Ok(None)
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Keeps a small picture that was asked for; others that are needed less give way to it. Gives whether it did: where room is
    /// short it is only shown.
    pub fn keep_thumbnail(
        &self,
        document: DocumentId,
        hash: &str,
        points: u32,
        bytes: &[u8],
    ) -> Result<bool, PhoneError> {
        self.admit()?;
        if !is_content_hash(hash) {
            return Err(PhoneError::NotFound);
        }
        if !is_small_jpeg(bytes) {
            return Err(PhoneError::Protocol("what the server sent is no small picture".into()));
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let fits =
            self.0.store.read(|c| Ok::<_, StoreError>(size <= quota(c)? && storage::short(c, size)?.is_none()))?;
        if fits {
            self.store_thumbnail(document, hash, points, bytes, true)?;
        }
        Ok(fits)
    }

    /// How many bytes small pictures may take on this phone; 0: none is kept.
    pub fn set_thumbnail_quota(&self, bytes: u64) -> Result<(), PhoneError> {
        self.0.store.write(|tx| set_meta_json(tx, QUOTA, &bytes))?;
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.give_way(None)
    }

    pub(super) fn store_thumbnail(
        &self,
        document: DocumentId,
        hash: &str,
        points: u32,
        bytes: &[u8],
        is_asked_for: bool,
    ) -> Result<(), PhoneError> {
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let row = ThumbnailRow { hash: hash.to_owned(), points, bytes: size, used_ms: self.0.host.now_ms() };
        self.0.vault.put(&row.name(), bytes, &*self.0.host)?;
        self.0.store.write(|tx| rows::keep(tx, document, &row))?;
        self.give_way(is_asked_for.then_some(&row))
    }

    /// Lets go of what is needed least until the rest fits the quota; not of this one. The vault's turn is taken.
    fn give_way(&self, kept: Option<&ThumbnailRow>) -> Result<(), PhoneError> {
        let (mut over, held) = self.0.store.read(|c| -> Result<_, StoreError> {
            let over = rows::held(c)?.0.saturating_sub(quota(c)?);
            Ok((over, if over > 0 { rows::by_least_need(c)? } else { Vec::new() }))
        })?;
        for (_, row) in held {
            if over == 0 {
                break;
            }
            if kept.is_none_or(|k| k.name() != row.name()) {
                over = over.saturating_sub(row.bytes);
                self.drop_in_turn(&row)?;
            }
        }
        Ok(())
    }

    /// Frees at least so many bytes, if there are so many; gives how many it freed.
    pub(super) fn free_thumbnails(&self, bytes: u64) -> Result<u64, PhoneError> {
        let mut freed = 0_u64;
        let held = if bytes > 0 { self.0.store.read(rows::by_least_need)? } else { Vec::new() };
        for (_, row) in held {
            if freed >= bytes {
                break;
            }
            self.drop_thumbnail(&row)?;
            freed = freed.saturating_add(row.bytes);
        }
        Ok(freed)
    }

    pub(super) fn drop_thumbnail(&self, row: &ThumbnailRow) -> Result<(), PhoneError> {
        let _turn = self.0.vault.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_in_turn(row)
    }

    /// First the row, then the file, as everywhere.
    fn drop_in_turn(&self, row: &ThumbnailRow) -> Result<(), PhoneError> {
        self.0.store.write(|tx| rows::drop_row(tx, &row.hash, row.points))?;
        Ok(self.0.vault.remove(&row.name())?)
    }

    /// What is to be fetched before anybody asks, as much as one run may ask for; nothing where room is tight.
    pub(super) fn thumbnails_wanted(&self, points: u32) -> Result<Vec<Wanted>, PhoneError> {
        self.note_pictures()?;
        let now_ms = self.0.host.now_ms();
        self.0.store.read(|c| {
            let (_, left) = storage::used_and_left(c)?;
            if left.is_some_and(|left| left < limits::STORAGE_TIGHT_BYTES) {
                return Ok(Vec::new());
            }
            let mut wanted = Vec::new();
            for (rank, (document, hash)) in rows::in_need(c)?.into_iter().enumerate() {
                if wanted.len() >= limits::THUMBNAILS_AT_ONCE {
                    break;
                }
                if rows::is_wanted(c, &hash, points, now_ms)? {
                    wanted.push(Wanted { document, hash, rank });
                }
            }
            Ok(wanted)
        })
    }

    /// Whether one more fits the quota, as far as one can tell from those that lie here, or something that is needed less lies here.
    pub(super) fn thumbnail_fits(&self, rank: usize) -> Result<bool, PhoneError> {
        self.0.store.read(|c| {
            let ((held, count), quota) = (rows::held(c)?, quota(c)?);
            if quota > 0 && held.saturating_add(held.checked_div(count).unwrap_or(0)) <= quota {
                return Ok(true);
            }
            Ok(rows::by_least_need(c)?.first().is_some_and(|(least, _)| *least > rank))
        })
    }

    /// Notes the pictures of records that were here before this was done with every change.
    fn note_pictures(&self) -> Result<(), PhoneError> {
        if self.0.store.read(|c| meta_json(c, NOTED))?.unwrap_or(false) {
            return Ok(());
        }
        let ids = self.0.store.read(documents::ids)?;
        for some in ids.chunks(NOTED_AT_ONCE) {
            self.0.store.write(|tx| -> Result<(), StoreError> {
                for id in some {
                    if let Some(stored) = documents::load_readable(tx, *id)? {
                        rows::note(tx, &stored.document)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(self.0.store.write(|tx| set_meta_json(tx, NOTED, &true))?)
    }
}
