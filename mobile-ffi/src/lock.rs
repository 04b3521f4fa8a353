//! The lock of the phone, thinly: PIN, locking and unlocking.

use crate::error::Result;
use crate::library::PhoneLibrary;

/// How the lock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct LockView {
    /// Whether a PIN is set.
    pub has_pin: bool,
    /// Whether reading and writing is refused now.
    pub locked: bool,
    /// How long the next try must wait, ms.
    pub wait_ms: u64,
    /// How long nobody may touch the phone before it locks, ms.
    pub idle_ms: u64,
}

#[uniffi::export]
impl PhoneLibrary {
    /// Sets the PIN (6 to 64 characters), or replaces it: then the one before must be shown, unless the person has just logged in with
    /// the password. From now on the phone locks itself when nobody touches it. Takes a tenth of a second on purpose.
    #[uniffi::method(default(current = None))]
    pub fn set_pin(&self, pin: String, current: Option<String>) -> Result<()> {
        Ok(self.phone.set_pin(&pin, current.as_deref())?)
    }

    /// Does away with the PIN, which must be shown.
    pub fn clear_pin(&self, current: String) -> Result<()> {
        Ok(self.phone.clear_pin(&current)?)
    }

    /// Locks at once, such as when the app goes to the background. Without a PIN nothing happens.
    pub fn lock(&self) {
        self.phone.lock();
    }

    /// Unlocks with the PIN; needs no network.
    pub fn unlock(&self, pin: String) -> Result<()> {
        Ok(self.phone.unlock(&pin)?)
    }

    /// How the lock stands.
    pub fn lock_state(&self) -> Result<LockView> {
        let state = self.phone.lock_state()?;
        let ms = |ms: i64| u64::try_from(ms).unwrap_or_default();
        Ok(LockView {
            has_pin: state.has_pin,
            locked: state.locked,
            wait_ms: ms(state.wait_ms),
            idle_ms: ms(state.idle_ms),
        })
    }
}
