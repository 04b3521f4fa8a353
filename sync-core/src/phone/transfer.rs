//! One run of transfers, as requests out and answers in: it knows nothing of HTTP clients or threads. The server's word decides where an
//! upload goes on; a download goes on behind its last whole piece. What stands in one attachment's way holds up no other.

mod ahead;
mod download;
mod policy;
mod text;

use std::collections::{BTreeSet, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::thumbnails::Wanted;
use super::{Phone, PhoneError, PhoneHost, dismissed};
use crate::attachments::vault::PIECE_BYTES;
use crate::ids::DocumentId;
use crate::store::attachments::{self as rows, FileRow, UploadRow};
use crate::store::{Store, StoreError, meta, meta_json, outbox, set_meta};

pub use policy::TransferPolicy;

/// How often one attachment may be tried in one run before it is left to the next.
const ATTEMPTS_MAX: u32 = 3;
/// Confirmations of another life of the journal that are asked about at once.
const PROVED_AT_ONCE: usize = 500;
const UPLOADS: &str = "/v1/uploads";
const JSON: &str = "application/json";
const PIECE: &str = "application/offset+octet-stream";

/// The key of the vault; drawn when the store is made, and kept in it.
pub(super) fn vault_key(store: &Store, host: &dyn PhoneHost) -> Result<[u8; 32], StoreError> {
    store.write(|tx| {
        if let Some(key) = meta(tx, "attachment_key")? {
            return <[u8; 32]>::try_from(key).map_err(|_| StoreError::Damaged("attachment key".into()));
        }
        let mut key = [0; 32];
        host.fill(&mut key);
        set_meta(tx, "attachment_key", &key)?;
        Ok(key)
    })
}

/// A request to be sent with the session's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// `POST`, `HEAD`, `PATCH`, `GET`.
    pub method: &'static str,
    /// On the server.
    pub path: String,
    /// The `Content-Type` of the body, or what is hoped for.
    pub media_type: &'static str,
    /// Beside the token.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Vec<u8>,
}

/// What the server answered. Redirects, 401, 429 and 503 are the transport's business.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransferReply {
    /// The HTTP status.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `Upload-Offset`.
    pub offset: Option<u64>,
    /// The body, at most a piece.
    pub body: Vec<u8>,
}

/// What a run has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransferProgress {
    /// Bytes of contents sent.
    pub bytes_sent: u64,
    /// Bytes of contents received.
    pub bytes_received: u64,
    /// Attachments that the server has since now.
    pub uploaded: u64,
    /// Attachments that came in.
    pub downloaded: u64,
    /// Small pictures that came in before anybody asked.
    pub thumbnails: u64,
    /// Attachments that the server does not want.
    pub refused: u64,
    /// Attachments made here that are still to be sent.
    pub waiting: u64,
}

enum Job {
    Prove(Vec<UploadRow>),
    Upload { row: UploadRow, is_checked: bool, attempts: u32 },
    Download { document: DocumentId, file: FileRow, attempts: u32 },
    Thumbnail(Wanted),
}

impl Job {
    /// Whether it uploads this content for this record.
    fn uploads(&self, (document, hash): &(DocumentId, String)) -> bool {
        matches!(self, Self::Upload { row, .. } if row.document == *document && row.hash == *hash)
    }
}

/// A run under way.
pub struct TransferSession {
    phone: Phone,
    policy: TransferPolicy,
    jobs: VecDeque<Job>,
    /// Uploads that this run has ended without having sent them.
    left: BTreeSet<(DocumentId, String)>,
    progress: TransferProgress,
    /// In which life the server was when this run began: its answers may be older than what a sync has learned since.
    life: Option<String>,
    /// The newest unsent text that was there when text went last, and when it was last looked for.
    text_seen: i64,
    text_found: i64,
    /// When the request under way was made, by the monotonic clock, and the bytes of contents in it.
    asked: (i64, u64),
    pause_ms: u64,
}

#[derive(Deserialize)]
struct Found {
    found: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    detail: String,
}

impl Phone {
    /// Begins to send what was attached here, in the order of need; then, if the policy says so, to fetch small pictures.
    pub fn transfer_begin(&self, policy: TransferPolicy) -> Result<TransferSession, PhoneError> {
        self.place_contents()?;
        self.clear_left_behind()?;
        let mut session = TransferSession::new(self, policy)?;
        if policy.contents() {
            self.0.store.read(|c| -> Result<(), PhoneError> {
                if session.life.is_some() {
                    // All of them: what the server cannot speak of yet must not stand before what it can.
                    let unproved = rows::unproved(c)?;
                    session.jobs.extend(unproved.chunks(PROVED_AT_ONCE).map(|some| Job::Prove(some.to_vec())));
                }
                let due = rows::due(c)?.into_iter();
                session.jobs.extend(due.map(|row| Job::Upload { row, is_checked: false, attempts: 0 }));
                Ok(())
            })?;
        }
        if policy.thumbnails() {
            session.jobs.extend(self.thumbnails_wanted(policy.thumbnail_points)?.into_iter().map(Job::Thumbnail));
        }
        Ok(session)
    }

    /// Begins to fetch one attachment of a record, or to go on with it. Nothing is asked when it is here.
    pub fn fetch_begin(
        &self,
        document: DocumentId,
        hash: &str,
        policy: TransferPolicy,
    ) -> Result<TransferSession, PhoneError> {
        let entry = self.document(document)?.attachments().remove(hash).ok_or(PhoneError::NotFound)?;
        let mut session = TransferSession::new(self, policy)?;
        let is_here = self.0.store.read(|c| rows::file(c, hash))?.is_some();
        if !is_here && policy.contents() {
            self.make_room(entry.bytes)?;
            let file = FileRow { hash: hash.to_owned(), media_type: entry.media_type, bytes: entry.bytes };
            // Before anything of it lies here: whoever purges the record finds what there is of it.
            let now_ms = self.0.host.now_ms();
            self.0.store.write(|tx| rows::fetched(tx, document, &file, now_ms, None))?;
            session.jobs.push_back(Job::Download { document, file, attempts: 0 });
        }
        Ok(session)
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Nothing is sent anywhere but to the uploads of the server that was asked.
fn is_upload(location: &str) -> bool {
    let id = location.strip_prefix(UPLOADS).and_then(|rest| rest.strip_prefix('/'));
    id.is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

fn strange() -> PhoneError {
    PhoneError::Protocol("the server names no place for an upload".into())
}

impl TransferSession {
    fn new(phone: &Phone, policy: TransferPolicy) -> Result<Self, PhoneError> {
        let (newest, life) = phone.0.store.read(|c| Ok::<_, StoreError>((outbox::newest(c)?, rows::life(c)?)))?;
        Ok(Self {
            phone: phone.clone(),
            policy,
            jobs: VecDeque::new(),
            left: BTreeSet::new(),
            progress: TransferProgress { waiting: phone.attachments_waiting()?, ..TransferProgress::default() },
            text_seen: newest,
            text_found: newest,
            asked: (0, 0),
            pause_ms: 0,
            life,
        })
    }

    /// What was done so far.
    pub fn progress(&self) -> TransferProgress {
        self.progress
    }

    /// How long to wait before the next request, ms, so that the policy's speed is kept.
    pub fn pause_ms(&self) -> u64 {
        self.pause_ms
    }

    /// The next request, or `None` when there is nothing more that this run may do.
    pub fn next_request(&mut self) -> Result<Option<TransferRequest>, PhoneError> {
        if self.progress.bytes_sent + self.progress.bytes_received >= self.policy.bytes_max {
            self.jobs.clear();
        }
        self.leave_thumbnails_that_do_not_fit()?;
        let Some(job) = self.jobs.front() else { return Ok(None) };
        let request = self.request(job)?;
        let moved = if request.method == "PATCH" { length(&request.body) } else { 0 };
        self.asked = (self.phone.0.host.monotonic_ms(), moved);
        Ok(Some(request))
    }

    fn request(&self, job: &Job) -> Result<TransferRequest, PhoneError> {
        let tus = ("tus-resumable", "1.0.0".to_owned());
        Ok(match job {
            Job::Prove(asked) => {
                let named: Vec<_> =
                    asked.iter().map(|u| serde_json::json!({ "document": u.document, "hash": u.hash })).collect();
                let body = serde_json::json!({ "attachments": named }).to_string().into_bytes();
                let path = "/v1/attachments/missing".into();
                TransferRequest { method: "POST", path, media_type: JSON, headers: Vec::new(), body }
            }
            Job::Upload { row, is_checked, .. } => match &row.location {
                None => {
                    let coded = |text: &str| STANDARD.encode(text);
                    let metadata = format!("document {},hash {}", coded(&row.document.to_string()), coded(&row.hash));
                    let headers = vec![tus, ("upload-length", row.bytes.to_string()), ("upload-metadata", metadata)];
                    TransferRequest {
                        method: "POST",
                        path: UPLOADS.into(),
                        media_type: JSON,
                        headers,
                        body: Vec::new(),
                    }
                }
                Some(path) if !is_checked => TransferRequest {
                    method: "HEAD",
                    path: path.clone(),
                    media_type: JSON,
                    headers: vec![tus],
                    body: Vec::new(),
                },
                Some(path) => {
                    let to = row.bytes.min(row.sent + self.policy.piece_bytes());
                    let body = self.phone.0.vault.read(&row.hash, row.bytes, row.sent, to)?;
                    let checksum = format!("sha256 {}", STANDARD.encode(Sha256::digest(&body)));
                    let headers = vec![tus, ("upload-offset", row.sent.to_string()), ("upload-checksum", checksum)];
                    TransferRequest { method: "PATCH", path: path.clone(), media_type: PIECE, headers, body }
                }
            },
            Job::Download { document, file, .. } => {
                let from = self.phone.0.vault.arrived(&file.hash).min(file.bytes / PIECE_BYTES * PIECE_BYTES);
                let piece = self.policy.piece_bytes().max(PIECE_BYTES);
                let last = file.bytes.min(from + piece).saturating_sub(1);
                let headers =
                    vec![("range", format!("bytes={from}-{last}")), ("if-range", format!("\"{}\"", file.hash))];
                let path = format!("/v1/attachments/{}?document={document}", file.hash);
                TransferRequest { method: "GET", path, media_type: "*/*", headers, body: Vec::new() }
            }
            Job::Thumbnail(Wanted { document, hash, .. }) => {
                let size = self.policy.thumbnail_points;
                let path = format!("/v1/attachments/{hash}/thumbnail?document={document}&size={size}");
                TransferRequest { method: "GET", path, media_type: "image/jpeg", headers: Vec::new(), body: Vec::new() }
            }
        })
    }

    /// Takes the answer to the last request. What it brought is on the disk when this returns.
    pub fn apply_response(&mut self, reply: &TransferReply) -> Result<TransferProgress, PhoneError> {
        let received = self.progress.bytes_received;
        match self.jobs.pop_front() {
            None => {}
            Some(Job::Prove(asked)) => self.proved(&asked, reply)?,
            Some(Job::Upload { row, is_checked, attempts }) => {
                let key = (row.document, row.hash.clone());
                self.uploaded(row, is_checked, attempts, reply)?;
                if !self.jobs.front().is_some_and(|job| job.uploads(&key)) {
                    self.left.insert(key);
                }
            }
            Some(Job::Download { document, file, attempts }) => self.downloaded(document, file, attempts, reply)?,
            Some(Job::Thumbnail(wanted)) => self.thumbnail(&wanted, reply)?,
        }
        let (asked_ms, moved) = self.asked;
        let took_ms = self.phone.0.host.monotonic_ms().saturating_sub(asked_ms);
        self.pause_ms = self.policy.pause_ms(moved + self.progress.bytes_received - received, took_ms);
        self.progress.waiting = self.phone.attachments_waiting()?;
        Ok(self.progress)
    }

    /// A server that was restored from a backup is asked whether it still has what it confirmed; what it lost is sent again.
    fn proved(&mut self, asked: &[UploadRow], reply: &TransferReply) -> Result<(), PhoneError> {
        let Ok(answer) = serde_json::from_slice::<Found>(&reply.body) else { return Ok(()) };
        let phone = self.phone.clone();
        let lost = phone.0.store.write(|tx| -> Result<Vec<UploadRow>, PhoneError> {
            let mut lost = Vec::new();
            for (row, at) in asked.iter().zip(&answer.found) {
                match at.as_str() {
                    "here" => rows::confirmed(tx, row, row.server_ms, self.life.as_deref())?,
                    "missing" => {
                        rows::confirmed(tx, row, None, None)?;
                        lost.push(UploadRow { server_ms: None, location: None, sent: 0, ..row.clone() });
                    }
                    // The server does not know the record yet: asked again when it does.
                    _ => {}
                }
            }
            Ok(lost)
        })?;
        phone.clear_left_behind()?;
        self.jobs.extend(lost.into_iter().map(|row| Job::Upload { row, is_checked: false, attempts: 0 }));
        Ok(())
    }

    fn uploaded(
        &mut self,
        mut row: UploadRow,
        was_checked: bool,
        attempts: u32,
        reply: &TransferReply,
    ) -> Result<(), PhoneError> {
        let piece = row.bytes.min(row.sent + self.policy.piece_bytes()).saturating_sub(row.sent);
        let mut is_checked = true;
        let failed;
        match (reply.status, reply.offset) {
            (200..=299, Some(offset)) => {
                if row.location.is_some() && was_checked {
                    self.progress.bytes_sent += piece;
                }
                let before = row.sent;
                row.sent = offset.min(row.bytes);
                if row.location.is_none() {
                    let own = |l: &&String| is_upload(l);
                    row.location = Some(reply.location.as_ref().filter(own).ok_or_else(strange)?.clone());
                }
                if row.sent == row.bytes {
                    return self.confirm(&row);
                }
                // An offset that does not move would go on for ever.
                failed = was_checked && row.sent <= before;
            }
            (409, _) => (is_checked, failed) = (false, true),
            // The upload has ended: begin anew.
            (404 | 410, _) if row.location.is_some() => (row.location, row.sent, failed) = (None, 0, true),
            // These bytes came there altered.
            (460, _) => failed = true,
            // The record is not there, or not any more.
            (403 | 404, _) => return self.not_referred_to(&row),
            // The store of the server is full: later.
            (507, _) => return Ok(()),
            (400..=499, _) => return self.refuse(&row, reply),
            _ => failed = true,
        }
        let standing = row.clone();
        self.phone.0.store.write(|tx| rows::stands(tx, &standing))?;
        let attempts = attempts + u32::from(failed);
        if attempts < ATTEMPTS_MAX {
            self.jobs.push_front(Job::Upload { row, is_checked, attempts });
        }
        Ok(())
    }

    fn confirm(&mut self, row: &UploadRow) -> Result<(), PhoneError> {
        self.phone.0.store.write(|tx| -> Result<(), PhoneError> {
            let now_ms = meta_json::<i64>(tx, "server_ms")?.unwrap_or_else(|| self.phone.0.host.now_ms());
            Ok(rows::confirmed(tx, row, Some(now_ms), self.life.as_deref())?)
        })?;
        self.phone.clear_left_behind()?;
        self.progress.uploaded += 1;
        Ok(())
    }

    /// Tried again in the next run, unless this phone knows that no record will name it.
    fn not_referred_to(&mut self, row: &UploadRow) -> Result<(), PhoneError> {
        let phone = self.phone.clone();
        let refused = phone.0.store.write(|tx| -> Result<bool, PhoneError> {
            let Some((code, detail)) = dismissed::why(&phone, tx, row)? else { return Ok(false) };
            rows::refuse(tx, row, code, &detail)?;
            Ok(true)
        })?;
        self.progress.refused += u64::from(refused);
        Ok(())
    }

    fn refuse(&mut self, row: &UploadRow, reply: &TransferReply) -> Result<(), PhoneError> {
        let problem: Problem = serde_json::from_slice(&reply.body).unwrap_or_default();
        let code = problem.kind.rsplit(':').next().unwrap_or_default();
        let code = if code.is_empty() { format!("http_{}", reply.status) } else { code.to_owned() };
        self.phone.0.store.write(|tx| rows::refuse(tx, row, &code, &problem.detail))?;
        self.progress.refused += 1;
        Ok(())
    }
}
