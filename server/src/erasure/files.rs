//! Looking for words in the database's own files while the database is open.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use memchr::memmem::Finder;

/// How much of a file is held at a time, bytes.
const CHUNK: usize = 1024 * 1024;

/// Files that were looked into, with what tells them apart. They stay open until the program ends: a process that closes any descriptor of
/// a file lets go of every lock that it holds on it, SQLite's own among them (POSIX; "How To Corrupt An SQLite Database File", 2.2).
/// Another program would then take the database for closed and remove its log.
static LOOKED_INTO: Mutex<Vec<(Identity, File)>> = Mutex::new(Vec::new());

type Identity = (u64, u64);

#[cfg(unix)]
fn identity(path: &str) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map(|m| (m.dev(), m.ino()))
}

#[cfg(not(unix))]
fn identity(path: &str) -> io::Result<Identity> {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    std::fs::metadata(path).map(|_| (0, BuildHasherDefault::<DefaultHasher>::default().hash_one(path)))
}

/// Which of these words a file holds, in their order; `None` where there is no such file.
pub(super) fn holds(path: &str, words: &[&str]) -> io::Result<Option<Vec<bool>>> {
    let identity = match identity(path) {
        Ok(identity) => identity,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut open = LOOKED_INTO.lock().unwrap_or_else(PoisonError::into_inner);
    if !open.iter().any(|(known, _)| *known == identity) {
        open.push((identity, File::open(path)?));
    }
    let Some((_, file)) = open.iter_mut().find(|(known, _)| *known == identity) else { return Ok(None) };
    file.seek(SeekFrom::Start(0))?;
    search(file, words).map(Some)
}

fn search(mut file: impl Read, words: &[&str]) -> io::Result<Vec<bool>> {
    let finders: Vec<Finder<'_>> = words.iter().map(Finder::new).collect();
    let mut found = vec![false; words.len()];
    // What a word may begin with at the end of one piece stays in front of the next.
    let overlap = words.iter().map(|w| w.len()).max().unwrap_or(0).saturating_sub(1);
    let mut piece: Vec<u8> = Vec::with_capacity(CHUNK + overlap);
    loop {
        let read = file.by_ref().take(u64::try_from(CHUNK).unwrap_or(u64::MAX)).read_to_end(&mut piece)?;
        if read == 0 {
            return Ok(found);
        }
        for (finder, found) in finders.iter().zip(&mut found) {
            *found |= finder.find(&piece).is_some();
        }
        piece.drain(..piece.len().saturating_sub(overlap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_also_where_two_pieces_of_a_file_meet() {
        let mut file = vec![b'.'; CHUNK - 4];
        file.extend("紫色雨棚".bytes());
        file.extend(vec![b'.'; CHUNK]);
        assert_eq!(search(file.as_slice(), &["紫色雨棚", "雨棚漏水"]).unwrap(), [true, false]);
    }
}
