//! Documents that were read a moment ago, kept open: whoever writes into a long file, or looks at it again, need not have it read from
//! the store each time. A kept document is given out only for the heads that the store names, and heads say everything that a document
//! holds: a transaction that was rolled back, another process that wrote, or another copy of the store can make it useless, never wrong.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{ChangeHash, Document};
use crate::ids::DocumentId;

/// Documents kept open, those used last; as many as fit into a number of stored bytes.
pub struct Opened {
    bytes_max: usize,
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    id: DocumentId,
    heads: Vec<ChangeHash>,
    bytes: usize,
    document: Document,
}

impl Opened {
    /// Keeps documents that take together at most so many bytes in the store. In memory they take several times as much.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::new(Vec::new()) }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The document as it is at these heads (sorted), if it is at hand.
    pub fn get(&self, id: DocumentId, heads: &[ChangeHash]) -> Option<Document> {
        let mut kept = self.kept();
        let at = kept.iter().position(|k| k.id == id && k.heads == heads)?;
        let used = kept.remove(at);
        let document = used.document.clone();
        kept.push(used);
        Some(document)
    }

    /// Keeps a document that the store has as it is, and that takes so many bytes there.
    pub fn put(&self, mut document: Document, bytes: usize) {
        document.mark_saved();
        let (id, heads) = (document.meta().id, document.heads());
        let mut kept = self.kept();
        kept.retain(|k| k.id != id);
        if bytes > self.bytes_max {
            return;
        }
        kept.push(Kept { id, heads, bytes, document });
        let mut together: usize = kept.iter().map(|k| k.bytes).sum();
        let mut over = 0;
        for k in kept.iter() {
            if together <= self.bytes_max {
                break;
            }
            together -= k.bytes;
            over += 1;
        }
        kept.drain(..over);
    }

    /// Whether a document is kept open, as it is or as it was.
    pub fn holds(&self, id: DocumentId) -> bool {
        self.kept().iter().any(|k| k.id == id)
    }

    /// Lets go of a document.
    pub fn forget(&self, id: DocumentId) {
        self.kept().retain(|k| k.id != id);
    }

    /// Lets go of all.
    pub fn clear(&self) {
        self.kept().clear();
    }
}
