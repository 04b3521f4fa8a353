//! The folder beside the phone's store in which contents lie encrypted, piece by piece, so that a stretch can be read without the
//! rest. A content is there whole or not at all; what a cut download has brought lies apart until its hash is proved.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use crate::ids::Entropy;
use crate::store::StoreError;

/// One piece in clear.
pub const PIECE_BYTES: u64 = 64 * 1024;
const NONCE_BYTES: u64 = 24;
const SEALED_BYTES: u64 = PIECE_BYTES + NONCE_BYTES + 16;

/// The folder, and the key of what lies in it.
pub struct Vault {
    folder: PathBuf,
    cipher: XChaCha20Poly1305,
    /// Held while something is written and entered, and while what nobody has entered is deleted.
    pub(crate) turn: std::sync::Mutex<()>,
}

fn io(e: &std::io::Error) -> StoreError {
    match e.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::DiskFull,
        _ => StoreError::Io(e.to_string()),
    }
}

fn damaged(hash: &str) -> StoreError {
    StoreError::Damaged(format!("attachment {hash}"))
}

/// What a piece belongs to: it can stand at no other place, and in no other content.
fn belongs(hash: &str, index: u64, total: u64) -> Vec<u8> {
    [hash.as_bytes(), &index.to_be_bytes(), &total.to_be_bytes()].concat()
}

fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Vault {
    /// The vault of a store.
    pub fn beside(store: &Path, key: &[u8; 32]) -> Self {
        let mut name = store.file_name().unwrap_or_default().to_os_string();
        name.push(".attachments");
        Self {
            folder: store.with_file_name(name),
            cipher: XChaCha20Poly1305::new(key.into()),
            turn: std::sync::Mutex::default(),
        }
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.folder.join(hash)
    }

    fn part(&self, hash: &str) -> PathBuf {
        self.folder.join(format!("{hash}.part"))
    }

    fn seal(&self, piece: &[u8], aad: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, StoreError> {
        // Drawn at random for each piece: 24 bytes never meet again.
        let mut nonce = [0; 24];
        entropy.fill(&mut nonce);
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), Payload { msg: piece, aad });
        let sealed = sealed.map_err(|_| StoreError::Io("an attachment could not be encrypted".into()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn write(
        &self,
        to: &mut impl Write,
        hash: &str,
        from: u64,
        total: u64,
        bytes: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<(), StoreError> {
        let pieces = bytes.chunks(usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX));
        for (index, piece) in (from / PIECE_BYTES..).zip(pieces) {
            let sealed = self.seal(piece, &belongs(hash, index, total), entropy)?;
            to.write_all(&sealed).map_err(|e| io(&e))?;
        }
        Ok(())
    }

    /// Keeps a content; when this returns it is on the disk, whole.
    pub fn put(&self, hash: &str, bytes: &[u8], entropy: &dyn Entropy) -> Result<(), StoreError> {
        fs::create_dir_all(&self.folder).map_err(|e| io(&e))?;
        let mut nonce = [0; 8];
        entropy.fill(&mut nonce);
        let temporary = self.folder.join(format!("{hash}.{:016x}.new", u64::from_be_bytes(nonce)));
        let written = (|| {
            let mut file = File::create(&temporary).map_err(|e| io(&e))?;
            self.write(&mut file, hash, 0, length(bytes.len()), bytes, entropy)?;
            file.sync_all().map_err(|e| io(&e))?;
            self.settle(&temporary, hash)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn settle(&self, from: &Path, hash: &str) -> Result<(), StoreError> {
        fs::rename(from, self.path(hash)).map_err(|e| io(&e))?;
        // The name is on the disk only when the folder is.
        #[cfg(unix)]
        File::open(&self.folder).and_then(|f| f.sync_all()).map_err(|e| io(&e))?;
        Ok(())
    }

    /// A stretch of a content of `total` bytes.
    pub fn read(&self, hash: &str, total: u64, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let mut file = File::open(self.path(hash)).map_err(|e| io(&e))?;
        self.read_from(&mut file, hash, total, from, to.min(total))
    }

    fn read_from(&self, file: &mut File, hash: &str, total: u64, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let (first, end) = (from / PIECE_BYTES, to.div_ceil(PIECE_BYTES));
        file.seek(SeekFrom::Start(first * SEALED_BYTES)).map_err(|e| io(&e))?;
        let mut clear = Vec::new();
        for index in first..end {
            let mut sealed = Vec::new();
            Read::by_ref(file).take(SEALED_BYTES).read_to_end(&mut sealed).map_err(|e| io(&e))?;
            let (nonce, body) = sealed.split_at_checked(24).ok_or_else(|| damaged(hash))?;
            let nonce = XNonce::try_from(nonce).map_err(|_| damaged(hash))?;
            let aad = belongs(hash, index, total);
            let piece = self.cipher.decrypt(&nonce, Payload { msg: body, aad: &aad }).map_err(|_| damaged(hash))?;
            clear.extend(piece);
        }
        let skip = usize::try_from(from - first * PIECE_BYTES).unwrap_or(usize::MAX);
        let wanted = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let stretch = clear.get(skip..).and_then(|c| c.get(..wanted)).ok_or_else(|| damaged(hash))?;
        Ok(stretch.to_vec())
    }

    /// All of a content, its hash checked.
    pub fn read_whole(&self, hash: &str, total: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.read(hash, total, 0, total)?;
        if super::content_hash(&bytes) == hash { Ok(bytes) } else { Err(damaged(hash)) }
    }

    /// How much of a content a download has brought so far: whole pieces only.
    pub fn arrived(&self, hash: &str) -> u64 {
        fs::metadata(self.part(hash)).map_or(0, |m| m.len() / SEALED_BYTES * PIECE_BYTES)
    }

    /// Adds what has arrived at `at`, which must be where the download stands. What ends within a piece before the end of the content is
    /// left out: it is fetched again with the rest of its piece. Gives where the download stands now.
    pub fn add(&self, hash: &str, total: u64, at: u64, bytes: &[u8], entropy: &dyn Entropy) -> Result<u64, StoreError> {
        let end = at + length(bytes.len());
        let keep = if end >= total { total } else { end / PIECE_BYTES * PIECE_BYTES };
        let kept = usize::try_from(keep.saturating_sub(at)).ok().and_then(|n| bytes.get(..n)).unwrap_or_default();
        fs::create_dir_all(&self.folder).map_err(|e| io(&e))?;
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(self.part(hash)).map_err(|e| io(&e))?;
        let place = at / PIECE_BYTES * SEALED_BYTES;
        // A piece that was torn by a crash is written over.
        file.set_len(place).map_err(|e| io(&e))?;
        file.seek(SeekFrom::Start(place)).map_err(|e| io(&e))?;
        self.write(&mut file, hash, at, total, kept, entropy)?;
        file.sync_all().map_err(|e| io(&e))?;
        Ok(at + length(kept.len()))
    }

    /// Proves what has arrived and makes it the content; false, and nothing is left of it, if it is not what its name says.
    pub fn complete(&self, hash: &str, total: u64) -> Result<bool, StoreError> {
        let mut file = File::open(self.part(hash)).map_err(|e| io(&e))?;
        let mut digest = Sha256::new();
        let mut at = 0;
        while at < total {
            let to = total.min(at + PIECE_BYTES);
            digest.update(self.read_from(&mut file, hash, total, at, to)?);
            at = to;
        }
        let found: String = digest.finalize().iter().map(|b| format!("{b:02x}")).collect();
        if found != hash {
            fs::remove_file(self.part(hash)).map_err(|e| io(&e))?;
            return Ok(false);
        }
        self.settle(&self.part(hash), hash)?;
        Ok(true)
    }

    /// Deletes a content; what is gone already is no error.
    pub fn remove(&self, hash: &str) -> Result<(), StoreError> {
        for path in [self.path(hash), self.part(hash)] {
            match fs::remove_file(path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io(&e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The names of everything that lies here, whatever it is.
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io(&e)),
        };
        Ok(entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect())
    }

    /// Deletes something by the name under which it lies here.
    pub fn discard(&self, name: &str) -> Result<(), StoreError> {
        fs::remove_file(self.folder.join(name)).map_err(|e| io(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachments::content_hash;

    struct Counting(std::sync::atomic::AtomicU64);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            buffer.iter_mut().zip(n.to_be_bytes().iter().cycle()).for_each(|(b, n)| *b = *n);
        }
    }

    fn vault() -> (tempfile::TempDir, Vault, Counting) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::beside(&dir.path().join("store"), &[7; 32]);
        (dir, vault, Counting(1.into()))
    }

    fn content(n: usize) -> (Vec<u8>, String) {
        let bytes: Vec<u8> = (0..n).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
        let hash = content_hash(&bytes);
        (bytes, hash)
    }

    #[test]
    fn a_content_is_read_whole_or_in_stretches_and_lies_encrypted() {
        let (dir, vault, entropy) = vault();
        for n in [1, 65_535, 65_536, 65_537, 200_000] {
            let (bytes, hash) = content(n);
            vault.put(&hash, &bytes, &entropy).unwrap();
            let total = u64::try_from(n).unwrap();
            assert_eq!(vault.read_whole(&hash, total).unwrap(), bytes);
            for (from, to) in [(0, 1), (n - 1, n), (n / 3, n / 2), (0, n)] {
                let stretch =
                    vault.read(&hash, total, u64::try_from(from).unwrap(), u64::try_from(to).unwrap()).unwrap();
                assert_eq!(stretch, bytes[from..to], "{n}: {from}..{to}");
            }
            let raw = fs::read(dir.path().join("store.attachments").join(&hash)).unwrap();
            assert!(n < 100 || !raw.windows(40).any(|w| w == &bytes[..40]), "nothing of it lies in clear");
        }
    }

    #[test]
    fn an_altered_exchanged_or_cut_file_is_damage_and_never_other_bytes() {
        let (dir, vault, entropy) = vault();
        let (bytes, hash) = content(150_000);
        vault.put(&hash, &bytes, &entropy).unwrap();
        let path = dir.path().join("store.attachments").join(&hash);
        let raw = fs::read(&path).unwrap();
        let (one, two) = raw.split_at(65_576);
        let exchanged = [&two[..65_576], one, &two[65_576..]].concat();
        let mut altered = raw.clone();
        altered[70_000] ^= 1;
        for wrong in [&raw[..raw.len() - 1], &raw[..65_576], &[], &altered, &exchanged] {
            fs::write(&path, wrong).unwrap();
            assert!(matches!(vault.read_whole(&hash, 150_000), Err(StoreError::Damaged(_))));
        }
        let other = Vault::beside(&dir.path().join("store"), &[8; 32]);
        fs::write(&path, &raw).unwrap();
        assert!(matches!(other.read_whole(&hash, 150_000), Err(StoreError::Damaged(_))), "another key");
    }

    #[test]
    fn a_download_goes_on_at_a_whole_piece_and_counts_only_when_its_hash_is_proved() {
        let (dir, vault, entropy) = vault();
        let (bytes, hash) = content(200_000);
        assert_eq!(vault.arrived(&hash), 0);
        assert_eq!(vault.add(&hash, 200_000, 0, &bytes[..100_000], &entropy).unwrap(), 65_536);
        assert_eq!(vault.arrived(&hash), 65_536);
        // A crash tore the piece that was being written.
        let part = dir.path().join("store.attachments").join(format!("{hash}.part"));
        let torn = [fs::read(&part).unwrap(), vec![9; 5_000]].concat();
        fs::write(&part, torn).unwrap();
        assert_eq!(vault.arrived(&hash), 65_536);
        assert!(vault.read_whole(&hash, 200_000).is_err(), "it is not there before all of it is");
        assert_eq!(vault.add(&hash, 200_000, 65_536, &bytes[65_536..], &entropy).unwrap(), 200_000);
        assert!(vault.complete(&hash, 200_000).unwrap());
        assert_eq!(vault.read_whole(&hash, 200_000).unwrap(), bytes);
        let wrong = content_hash(b"other");
        vault.add(&wrong, 200_000, 0, &bytes, &entropy).unwrap();
        assert!(!vault.complete(&wrong, 200_000).unwrap());
        assert_eq!((vault.arrived(&wrong), vault.names().unwrap().len()), (0, 1));
    }
}
