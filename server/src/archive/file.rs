//! The file: one zstd frame of JSON lines. The first says what it is, each further one is an entry, the last counts them and holds the
//! SHA-256 of all lines before it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sync_core::document::Document;

use crate::db::DbError;
use crate::journal::Entry;

pub(super) const FORMAT: &str = "fengqiao-archive";
pub(super) const VERSION: u32 = 1;
/// A line holds one change, at most a quarter of a megabyte, in base64.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// Why an archive was not made, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The file system failed.
    #[error("{path}")]
    File {
        /// Which file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no sound archive.
    #[error("the file is no sound archive: {0}")]
    Broken(String),
    /// It is there already.
    #[error("{0} is there already; choose another name")]
    Exists(String),
    /// Only what is past can be archived.
    #[error("only what is past can be archived: give a day before today")]
    Future,
}

impl From<diesel::result::Error> for ArchiveError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(e.into())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) id: String,
    pub(super) made_ms: i64,
    pub(super) before_ms: i64,
}

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) community: String,
    pub(super) position: i64,
    pub(super) document: String,
    hash: String,
    author: String,
    device: Option<String>,
    written_ms: i64,
    received_ms: i64,
    change: String,
}

#[derive(Serialize, Deserialize)]
struct End {
    end: u64,
    sha256: String,
}

/// What a file was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The archive.
    pub id: String,
    /// Entries in it.
    pub entries: u64,
    /// SHA-256 of the file.
    pub sha256: String,
}

impl Line {
    pub(super) fn of(e: &Entry) -> Self {
        Self {
            community: e.community.clone(),
            position: e.position,
            document: e.document.clone(),
            hash: hex(&e.hash),
            author: e.author.clone(),
            device: e.device.clone(),
            written_ms: e.written_ms,
            received_ms: e.received_ms,
            change: STANDARD.encode(&e.bytes),
        }
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let broken = || ArchiveError::Broken(format!("position {} of {}", self.position, self.community));
        let bytes = STANDARD.decode(&self.change).map_err(|_| broken())?;
        let decoded = Document::decode(&bytes).map_err(|_| broken())?;
        if hex(&decoded.raw.hash.0) == self.hash { Ok(bytes) } else { Err(broken()) }
    }

    pub(super) fn hash(&self) -> Result<Vec<u8>, ArchiveError> {
        Ok(Document::decode(&self.bytes()?).map_err(|e| ArchiveError::Broken(e.to_string()))?.raw.hash.0.to_vec())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError {
    let path = path.display().to_string();
    move |source| ArchiveError::File { path, source }
}

pub(super) struct Writer {
    out: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    digest: Sha256,
    lines: u64,
    partial: PathBuf,
}

impl Writer {
    /// Begins beside the place where the file is to lie.
    pub(super) fn create(path: &Path, header: &Header) -> Result<Self, ArchiveError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = crate::backup::create_private(&partial).map_err(failed(&partial))?;
        let out = zstd::stream::write::Encoder::new(BufWriter::new(file), 9).map_err(failed(&partial))?;
        let mut writer = Self { out, digest: Sha256::new(), lines: 0, partial };
        writer.line(header)?;
        Ok(writer)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), ArchiveError> {
        let mut line = serde_json::to_vec(value).map_err(|e| ArchiveError::Broken(e.to_string()))?;
        line.push(b'\n');
        self.digest.update(&line);
        self.out.write_all(&line).map_err(failed(&self.partial))
    }

    pub(super) fn put(&mut self, line: &Line) -> Result<(), ArchiveError> {
        self.lines += 1;
        self.line(line)
    }

    /// Ends it, and puts it in its place once it is on the disk.
    pub(super) fn finish(mut self, path: &Path) -> Result<(), ArchiveError> {
        let end = End { end: self.lines, sha256: hex(&self.digest.clone().finalize()) };
        self.line(&end)?;
        let out = self.out.finish().map_err(failed(&self.partial))?;
        let file = out.into_inner().map_err(|e| failed(&self.partial)(e.into_error()))?;
        file.sync_all().map_err(failed(&self.partial))?;
        std::fs::rename(&self.partial, path).map_err(failed(path))?;
        // The name, too, must outlive a power cut before the journal lets go of anything.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed(folder))
    }
}

pub(super) struct Reader {
    from: BufReader<zstd::stream::read::Decoder<'static, BufReader<File>>>,
    path: PathBuf,
    header: Header,
    digest: Sha256,
    lines: u64,
    is_over: bool,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(failed(path))?;
        let from = zstd::stream::read::Decoder::new(file).map_err(failed(path))?;
        let header = Header { format: String::new(), version: 0, id: String::new(), made_ms: 0, before_ms: 0 };
        let from = BufReader::new(from);
        let mut reader = Self { from, path: path.to_owned(), header, digest: Sha256::new(), lines: 0, is_over: false };
        let first = reader.raw()?;
        let header: Result<Header, _> = serde_json::from_slice(&first);
        reader.header = header.map_err(|_| ArchiveError::Broken("it does not begin like one".into()))?;
        if reader.header.format != FORMAT || reader.header.version != VERSION {
            return Err(ArchiveError::Broken("it is of another kind or version".into()));
        }
        reader.digest.update(&first);
        Ok(reader)
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    fn raw(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut line = Vec::new();
        let read = self.from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(|e| ArchiveError::Broken(format!("it cannot be read on: {e}")))?;
        if line.last() == Some(&b'\n') {
            return Ok(line);
        }
        Err(ArchiveError::Broken(format!("{} ends in the middle", self.path.display())))
    }

    /// The next entry; `None` at the end, which must fit all that was read.
    pub(super) fn line(&mut self) -> Result<Option<Line>, ArchiveError> {
        if self.is_over {
            return Ok(None);
        }
        let raw = self.raw()?;
        if let Ok(line) = serde_json::from_slice::<Line>(&raw) {
            self.digest.update(&raw);
            self.lines += 1;
            return Ok(Some(line));
        }
        let end: Result<End, _> = serde_json::from_slice(&raw);
        let end = end.map_err(|_| ArchiveError::Broken(format!("line {}", self.lines + 2)))?;
        if end.end != self.lines || end.sha256 != hex(&self.digest.clone().finalize()) {
            return Err(ArchiveError::Broken("its content does not fit its checksum".into()));
        }
        let mut behind = [0];
        if self.from.read(&mut behind).map_err(failed(&self.path))? > 0 {
            return Err(ArchiveError::Broken("something follows its end".into()));
        }
        self.is_over = true;
        Ok(None)
    }
}

/// Reads a file to its end: every line, every change against its hash, the checksum.
pub fn verify(path: &Path) -> Result<Checked, ArchiveError> {
    let mut reader = Reader::open(path)?;
    let mut entries = 0;
    while let Some(line) = reader.line()? {
        line.bytes()?;
        entries += 1;
    }
    let mut digest = Sha256::new();
    let mut file = File::open(path).map_err(failed(path))?;
    std::io::copy(&mut file, &mut digest).map_err(failed(path))?;
    Ok(Checked { id: reader.header.id, entries, sha256: hex(&digest.finalize()) })
}
