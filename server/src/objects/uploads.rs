//! Uploads: announced, continued from wherever they broke off, by whichever process, and put together when all is there. A content
//! exists from the moment its row does; before that nobody can read anything of it.

mod rows;

use bytes::{Bytes, BytesMut};
use sync_core::authority::Subject;
use sync_core::ids::{DeviceId, DocumentId, Entropy as _, UserId};
use uuid::Uuid;

use super::content::{self, ContentError};
use super::refs::{self, Standing};
use super::{ObjectsError, proofs, transact, verify};
use crate::app::App;
use crate::db::{AnyConnection, DbError};

pub use rows::{State, Stored, Upload, is_stored, readable_in, stored};
pub(crate) use rows::{contents, end, missing_by_user, referred_to, store, touch, under_way};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Uploads of one person under way at the same time.
const OPEN_MAX: i64 = 200;

/// Why an upload was not begun or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Nobody has entered such an attachment, or not where this person may see it.
    #[error("no record that you may see refers to this attachment")]
    NotReferredTo,
    /// There is no such upload, or it is another person's.
    #[error("there is no such upload")]
    NotFound,
    /// It was given up, refused or has expired.
    #[error("the upload has ended")]
    Ended,
    /// Another offset was expected.
    #[error("the upload stands at byte {at}, not {asked}")]
    Offset {
        /// Where it stands.
        at: u64,
        /// What was sent.
        asked: u64,
    },
    /// Larger than allowed, or than announced.
    #[error("{0}")]
    TooLarge(String),
    /// A quota is used up for good.
    #[error("the attachments of this record would hold more than {max} bytes")]
    DocumentQuota {
        /// The most allowed.
        max: u64,
    },
    /// A quota is used up for now.
    #[error("you would have uploaded more than {max} bytes within a day")]
    DayQuota {
        /// The most allowed.
        max: u64,
    },
    /// So many at once.
    #[error("{OPEN_MAX} uploads are under way already")]
    TooManyOpen,
    /// The server holds as much as it may.
    #[error("the server holds as many attachments as it may")]
    TotalQuota,
    /// What arrived cannot become a content; the upload was discarded.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The store failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for UploadError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

/// Who uploads.
#[derive(Debug, Clone)]
pub struct Uploader {
    /// The person.
    pub user: UserId,
    /// On which phone; none at a desk.
    pub device: Option<DeviceId>,
    /// What he may do now.
    pub subject: Subject,
}

/// What is announced.
#[derive(Debug, Clone)]
pub struct Announced {
    /// The document that refers to it.
    pub document: DocumentId,
    /// Its name: SHA-256 in hexadecimal.
    pub hash: String,
    /// Its size in bytes.
    pub length: u64,
}

/// The key of a content: its name, and what makes this storing of it different from any other.
fn content_key(hash: &str, nonce: Uuid) -> String {
    format!("objects/{}/{hash}/{}", hash.get(..2).unwrap_or_default(), nonce.simple())
}

/// The folder of everything that is stored of a content.
pub(super) fn content_folder(hash: &str) -> String {
    format!("objects/{}/{hash}", hash.get(..2).unwrap_or_default())
}

fn allowed(conn: &mut AnyConnection, who: &Uploader, document: DocumentId, hash: &str) -> Result<(), UploadError> {
    match refs::standing(conn, &who.subject, who.user, document, hash)? {
        Standing::Reader | Standing::Author => Ok(()),
        Standing::Decider | Standing::None => Err(UploadError::NotReferredTo),
    }
}

/// Begins an upload, goes on with one of the same person that stands open, or says at once that all is here.
pub async fn create(app: &App, who: &Uploader, what: &Announced) -> Result<Upload, UploadError> {
    let max = app.config.attachment_bytes_max;
    if what.length > max {
        return Err(UploadError::TooLarge(format!("{} bytes; an attachment has at most {max}", what.length)));
    }
    let (asker, told) = (who.clone(), what.clone());
    transact(&app.db, move |conn| allowed(conn, &asker, told.document, &told.hash)).await?;
    let here = may_leave_out(app, who, what).await?;
    let (asker, told, config) = (who.clone(), what.clone(), app.config.clone());
    let (now_ms, id) = (app.now_ms(), Uuid::from_bytes(app.entropy.sixteen()).simple().to_string());
    transact(&app.db, move |conn| {
        let length = i64::try_from(told.length).unwrap_or(i64::MAX);
        let mut upload = Upload {
            id,
            hash: told.hash.clone(),
            document: told.document.to_string(),
            user_id: asker.user.to_string(),
            device: asker.device.map(|d| d.to_string()),
            length,
            received: 0,
            state: State::OPEN.into(),
            created_ms: now_ms,
            expires_ms: now_ms + config.attachment_upload_hours * HOUR_MS,
        };
        if here {
            upload.received = length;
            upload.state = State::HERE.into();
            upload.expires_ms = now_ms + HOUR_MS;
            rows::insert(conn, &upload)?;
            return Ok(upload);
        }
        if let Some(standing) = rows::resumable(conn, &upload, now_ms)? {
            return Ok(standing);
        }
        quotas(conn, &config, &upload, now_ms)?;
        rows::insert(conn, &upload)?;
        Ok(upload)
    })
    .await
}

/// Whether the bytes need not be sent: they are here, and they were handed in for this record, or the person may read them anyway. Whoever
/// only knows their name is not told that they are here.
async fn may_leave_out(app: &App, who: &Uploader, what: &Announced) -> Result<bool, UploadError> {
    let proven = proofs::find(app, what.document, &what.hash).await?;
    if !proven {
        let (asker, hash) = (who.clone(), what.hash.clone());
        let reads = transact(&app.db, move |conn| -> Result<bool, UploadError> {
            Ok(proofs::reads_elsewhere(conn, (&asker.subject, asker.user), &hash)?)
        });
        if !reads.await? {
            return Ok(false);
        }
    }
    // Also bytes of which the database knows nothing any more: it was restored from a backup, the store was not.
    if verify::stands(app, &what.hash).await?.is_none() {
        return Ok(false);
    }
    if !proven {
        proofs::mark(app, what.document, &what.hash).await?;
        let (told, now_ms) = (what.clone(), app.now_ms());
        transact(&app.db, move |conn| proofs::note(conn, told.document, &told.hash, now_ms).map_err(UploadError::from))
            .await?;
    }
    Ok(true)
}

fn quotas(
    conn: &mut AnyConnection,
    config: &crate::config::Config,
    upload: &Upload,
    now_ms: i64,
) -> Result<(), UploadError> {
    let new = u64::try_from(upload.length).unwrap_or(u64::MAX);
    let beyond = |used: u64, max: u64| used.saturating_add(new) > max;
    if rows::open_of(conn, &upload.user_id, now_ms)? >= OPEN_MAX {
        return Err(UploadError::TooManyOpen);
    }
    let max = config.attachment_document_bytes_max;
    if beyond(rows::held_by_document(conn, &upload.document, now_ms)?, max) {
        return Err(UploadError::DocumentQuota { max });
    }
    let max = config.attachment_user_day_bytes_max;
    if beyond(rows::sent_by(conn, &upload.user_id, now_ms - DAY_MS)?, max) {
        return Err(UploadError::DayQuota { max });
    }
    let max = config.attachment_total_bytes_max;
    if max > 0 && beyond(rows::held_in_all(conn, now_ms)?, max) {
        return Err(UploadError::TotalQuota);
    }
    Ok(())
}

/// An upload of this person, as it stands. One of which everything has arrived is put together first, should that have been cut off.
pub async fn find(app: &App, who: &Uploader, id: &str) -> Result<Upload, UploadError> {
    let upload = own(app, who, id).await?;
    if upload.state == State::OPEN && upload.received == upload.length { finish(app, upload).await } else { Ok(upload) }
}

async fn own(app: &App, who: &Uploader, id: &str) -> Result<Upload, UploadError> {
    if Uuid::try_parse(id).is_err() {
        return Err(UploadError::NotFound);
    }
    let (asker, id, now_ms) = (who.clone(), id.to_owned(), app.now_ms());
    transact(&app.db, move |conn| {
        let upload = rows::find(conn, &id)?.filter(|u| u.user_id == asker.user.to_string());
        let upload = upload.ok_or(UploadError::NotFound)?;
        if upload.state == State::GONE || upload.expires_ms <= now_ms {
            return Err(UploadError::Ended);
        }
        // Rights may have gone meanwhile; whoever entered it keeps his.
        let document = upload.document.parse().map_err(|_| DbError::Row(format!("upload {id}")))?;
        allowed(conn, &asker, document, &upload.hash)?;
        Ok(upload)
    })
    .await
}

/// An upload that takes what arrives, piece by piece.
pub struct Receiver<'a> {
    app: &'a App,
    upload: Upload,
    waiting: BytesMut,
}

/// What is written to the store at once.
const PART_BYTES: usize = 1 << 20;

/// Takes up an upload at an offset.
pub async fn receive<'a>(app: &'a App, who: &Uploader, id: &str, offset: u64) -> Result<Receiver<'a>, UploadError> {
    let upload = own(app, who, id).await?;
    let at = u64::try_from(upload.received).unwrap_or_default();
    if at != offset {
        return Err(UploadError::Offset { at, asked: offset });
    }
    Ok(Receiver { app, upload, waiting: BytesMut::new() })
}

impl Receiver<'_> {
    /// How many bytes are still to come.
    pub fn left(&self) -> u64 {
        let waiting = i64::try_from(self.waiting.len()).unwrap_or(i64::MAX);
        u64::try_from(self.upload.length - self.upload.received - waiting).unwrap_or_default()
    }

    /// Takes the next bytes, in order.
    pub async fn take(&mut self, bytes: &Bytes) -> Result<(), UploadError> {
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > self.left() {
            return Err(UploadError::TooLarge("more bytes than were announced".into()));
        }
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= PART_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), UploadError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let bytes = self.waiting.split().freeze();
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let nonce = Uuid::from_bytes(self.app.entropy.sixteen()).simple();
        let key = format!("uploads/{}/{:012}-{nonce}", self.upload.id, self.upload.received);
        self.app.objects.put(&key, bytes).await?;
        let (id, at, object) = (self.upload.id.clone(), self.upload.received, key.clone());
        let expires_ms = self.app.now_ms() + self.app.config.attachment_upload_hours * HOUR_MS;
        let advanced = transact(&self.app.db, move |conn| {
            rows::advance(conn, &id, at, length, &object, expires_ms).map_err(UploadError::from)
        });
        if !advanced.await? {
            // Somebody else has written here meanwhile; what he wrote stands.
            self.app.objects.delete_all([key]).await;
            let asked = u64::try_from(self.upload.received).unwrap_or_default();
            let id = self.upload.id.clone();
            let now = transact(&self.app.db, move |conn| rows::find(conn, &id).map_err(UploadError::from)).await?;
            let now = now.filter(|u| u.state != State::GONE).ok_or(UploadError::Ended)?;
            return Err(UploadError::Offset { at: u64::try_from(now.received).unwrap_or_default(), asked });
        }
        self.upload.received += length;
        Ok(())
    }

    /// Keeps what has arrived; puts the content together when that is all.
    pub async fn finish(mut self) -> Result<Upload, UploadError> {
        self.write().await?;
        let all = self.upload.received == self.upload.length && self.upload.state == State::OPEN;
        if all { finish(self.app, self.upload).await } else { Ok(self.upload) }
    }
}

/// Gives an upload up; its bytes go.
pub async fn terminate(app: &App, who: &Uploader, id: &str) -> Result<(), UploadError> {
    let upload = own(app, who, id).await?;
    discard(app, &upload.id).await
}

/// Ends an upload. Its row stays a while: what was sent counts towards the day's quota.
async fn discard(app: &App, id: &str) -> Result<(), UploadError> {
    let (row, folder) = (id.to_owned(), format!("uploads/{id}"));
    transact(&app.db, move |conn| rows::end(conn, &row, State::GONE).map_err(UploadError::from)).await?;
    let keys = app.objects.list(&folder).await?.into_iter().map(|o| o.key);
    app.objects.delete_all(keys).await;
    Ok(())
}

/// Makes a content of an upload of which everything has arrived. Can be done again, and by two at once.
async fn finish(app: &App, mut upload: Upload) -> Result<Upload, UploadError> {
    let turn = app.objects.whole_files.acquire().await.map_err(|e| ObjectsError::Worker(e.to_string()))?;
    let id = upload.id.clone();
    let parts = transact(&app.db, move |conn| rows::parts(conn, &id).map_err(UploadError::from)).await?;
    let mut whole = BytesMut::with_capacity(usize::try_from(upload.length).unwrap_or_default());
    for object in parts {
        let part = app.objects.get(&object).await?.ok_or_else(|| DbError::Row(format!("part {object}")))?;
        whole.extend_from_slice(&part);
    }
    if i64::try_from(whole.len()) != Ok(upload.length) {
        // Somebody else has put it together meanwhile.
        let id = upload.id.clone();
        let now = transact(&app.db, move |conn| rows::find(conn, &id).map_err(UploadError::from)).await?;
        return now.filter(|u| u.state == State::DONE).ok_or(UploadError::Ended);
    }
    let (bytes, hash) = (whole.freeze(), upload.hash.clone());
    let judged = bytes.clone();
    let checked = tokio::task::spawn_blocking(move || content::check(&hash, &judged)).await;
    let media_type = match checked.map_err(|e| ObjectsError::Worker(e.to_string()))? {
        Ok(media_type) => media_type,
        Err(refused) => {
            discard(app, &upload.id).await?;
            return Err(refused.into());
        }
    };
    let document: DocumentId = upload.document.parse().map_err(|_| DbError::Row(format!("upload {}", upload.id)))?;
    let key = content_key(&upload.hash, Uuid::from_bytes(app.entropy.sixteen()));
    app.objects.put(&key, bytes).await?;
    proofs::mark(app, document, &upload.hash).await?;
    drop(turn);
    let row = stored(&upload.hash, &key, upload.length, media_type, app.now_ms());
    let id = upload.id.clone();
    // First the upload: one that was ended meanwhile, as when its record was erased, brings nothing in.
    let entered = transact(&app.db, move |conn| -> Result<Option<bool>, UploadError> {
        if rows::end(conn, &id, State::DONE)? == 0 && rows::find(conn, &id)?.is_none_or(|u| u.state != State::DONE) {
            return Ok(None);
        }
        let first = rows::store(conn, &row)?;
        proofs::note(conn, document, &row.hash, row.stored_ms)?;
        Ok(Some(first))
    });
    let entered = entered.await?;
    if entered != Some(true) {
        app.objects.delete_all([key]).await;
    }
    let keys = app.objects.list(&format!("uploads/{}", upload.id)).await?.into_iter().map(|o| o.key);
    app.objects.delete_all(keys).await;
    if entered.is_none() {
        proofs::unmark(app, document, &upload.hash).await?;
        return Err(UploadError::Ended);
    }
    upload.state = State::DONE.into();
    Ok(upload)
}
