//! Watching what a phone writes while it writes it: for those who test what a sudden death leaves. Nothing of the product asks.

use super::{Phone, PhoneError};

impl Phone {
    /// Calls back at every step that the engine takes; `true` breaks the write off. See [`crate::store::Store::watch_writes`].
    pub fn watch_writes(&self, step: impl FnMut() -> bool + Send + 'static) -> Result<(), PhoneError> {
        Ok(self.0.store.watch_writes(step)?)
    }

    /// Lets the store grow to so many pages and no further. See [`crate::store::Store::limit_pages`].
    pub fn limit_pages(&self, pages: u32) -> Result<(), PhoneError> {
        Ok(self.0.store.limit_pages(pages)?)
    }
}
