//! Watching what a phone writes while it writes it: for those who test what a sudden death leaves. Nothing of the product asks.

use super::{Phone, PhoneError};

impl Phone {
    /// Calls back at every step that the engine takes; `true` breaks the write off. See [`crate::store::Store::watch_writes`].
    pub fn watch_writes(&self, step: impl FnMut() -> bool + Send + 'static) -> Result<(), PhoneError> {
        Ok(self.0.store.watch_writes(step)?)
    }
}
