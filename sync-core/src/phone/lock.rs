//! The lock: after a while without a touch, or when it is asked for, nothing is read or written until the person shows the PIN. Wrong tries
//! are counted before they are judged, and waited for by a clock that nobody can turn: neither killing the app nor turning the clock nor
//! restarting the phone helps. Syncing goes on behind the lock and shows nothing.

use std::sync::{MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use super::{Phone, PhoneError, PhoneHost, purge};
use crate::document::Document;
use crate::store::{Store, StoreError, meta, meta_json, set_meta_json};
use crate::sync::orders::PhonePolicy;

const PIN: &str = "pin";
const TRIES: &str = "pin_tries";
/// The shortest PIN, in characters.
pub const PIN_CHARS_MIN: usize = 6;
/// The longest.
pub const PIN_CHARS_MAX: usize = 64;
/// Wrong tries that cost no waiting.
const TRIES_FREE: u32 = 3;
const WAIT_FIRST_MS: i64 = 5_000;
const WAIT_MS_MAX: i64 = 60 * 60 * 1000;
/// What one try costs whoever guesses: 19 MiB and two passes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

#[derive(Serialize, Deserialize)]
struct StoredPin {
    salt: [u8; 16],
    hash: [u8; 32],
    memory_kib: u32,
    passes: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Tries {
    wrong: u32,
    /// Since when the waiting counts: a boot of the phone, and its monotonic clock.
    since: Option<(u64, i64)>,
}

/// Whether somebody is let in; kept in memory only, so that a store that is opened anew is locked.
pub(super) struct Gate {
    pinned: bool,
    open: bool,
    /// The password was shown: a new PIN may be set without the old one.
    proved: bool,
    /// When it was last touched: boot and monotonic clock.
    touched: (u64, i64),
    idle_ms: i64,
}

/// How the lock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockState {
    /// Whether a PIN is set.
    pub has_pin: bool,
    /// Whether reading and writing is refused now.
    pub locked: bool,
    /// How long the next try must wait, ms.
    pub wait_ms: i64,
    /// How long nobody may touch the phone before it locks, ms.
    pub idle_ms: i64,
}

impl Gate {
    pub(super) fn of(store: &Store, host: &dyn PhoneHost) -> Result<Self, StoreError> {
        store.read(|conn| {
            let pinned = meta(conn, PIN)?.is_some();
            let touched = (host.boot(), host.monotonic_ms());
            Ok(Self { pinned, open: !pinned, proved: false, touched, idle_ms: purge::policy(conn)?.idle_ms })
        })
    }

    /// Whether it is open now; closes when nobody has touched it for too long.
    fn look(&mut self, (boot, now_ms): (u64, i64)) -> bool {
        let (touched_boot, touched_ms) = self.touched;
        let idle = boot != touched_boot || now_ms < touched_ms || now_ms.saturating_sub(touched_ms) >= self.idle_ms;
        if self.pinned && idle {
            (self.open, self.proved) = (false, false);
        }
        self.open
    }
}

/// How long to wait after so many wrong tries, ms.
fn wait_after(wrong: u32) -> i64 {
    if wrong < TRIES_FREE {
        return 0;
    }
    // Doubling twenty times is far beyond the longest wait.
    (WAIT_FIRST_MS << (wrong - TRIES_FREE).min(20)).min(WAIT_MS_MAX)
}

fn digest(pin: &str, salt: &[u8; 16], memory_kib: u32, passes: u32) -> Result<[u8; 32], PhoneError> {
    let failed = |e: argon2::Error| PhoneError::Store(StoreError::Damaged(format!("PIN: {e}")));
    let params = Params::new(memory_kib, passes, 1, Some(32)).map_err(failed)?;
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(pin.as_bytes(), salt, &mut hash)
        .map_err(failed)?;
    Ok(hash)
}

impl Tries {
    /// How long is still to be waited. A restart of the phone begins the waiting anew.
    fn left_ms(&mut self, (boot, now_ms): (u64, i64)) -> i64 {
        let wait = wait_after(self.wrong);
        if wait == 0 {
            return 0;
        }
        match self.since {
            Some((since_boot, since_ms)) if since_boot == boot && since_ms <= now_ms => {
                wait.saturating_sub(now_ms - since_ms).max(0)
            }
            _ => {
                self.since = Some((boot, now_ms));
                wait
            }
        }
    }
}

impl Phone {
    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> (u64, i64) {
        (self.0.host.boot(), self.0.host.monotonic_ms())
    }

    /// Lets a read or an edit in, and counts it as a touch.
    pub(super) fn admit(&self) -> Result<(), PhoneError> {
        let now = self.tick();
        let mut gate = self.gate();
        if !gate.look(now) {
            self.0.opened.clear();
            return Err(PhoneError::Locked);
        }
        gate.touched = now;
        Ok(())
    }

    /// How the lock stands.
    pub fn lock_state(&self) -> Result<LockState, PhoneError> {
        let now = self.tick();
        let mut tries: Tries =
            self.0.store.read(|c| meta_json(c, TRIES).map_err(PhoneError::from))?.unwrap_or_default();
        let mut gate = self.gate();
        let locked = !gate.look(now);
        Ok(LockState { has_pin: gate.pinned, locked, wait_ms: tries.left_ms(now), idle_ms: gate.idle_ms })
    }

    /// Sets the PIN, or replaces it: then the one before must be shown. From now on the phone locks itself.
    pub fn set_pin(&self, pin: &str, current: Option<&str>) -> Result<(), PhoneError> {
        self.admit()?;
        let chars = pin.chars().count();
        let first = pin.chars().next();
        if !(PIN_CHARS_MIN..=PIN_CHARS_MAX).contains(&chars) || pin.chars().all(|c| Some(c) == first) {
            return Err(PhoneError::PinInvalid);
        }
        if !self.gate().proved {
            self.prove(current)?;
        }
        let mut salt = [0; 16];
        self.0.host.fill(&mut salt);
        let hash = digest(pin, &salt, MEMORY_KIB, PASSES)?;
        let stored = StoredPin { salt, hash, memory_kib: MEMORY_KIB, passes: PASSES };
        self.0.store.write(|tx| set_meta_json(tx, PIN, &stored))?;
        let now = self.tick();
        let mut gate = self.gate();
        (gate.pinned, gate.open, gate.proved, gate.touched) = (true, true, false, now);
        Ok(())
    }

    /// Does away with the PIN, which must be shown: the phone no longer locks itself.
    pub fn clear_pin(&self, current: &str) -> Result<(), PhoneError> {
        self.prove(Some(current))?;
        self.0.store.write(|tx| -> Result<(), StoreError> {
            tx.execute("DELETE FROM meta WHERE name IN (?1, ?2)", (PIN, TRIES))?;
            Ok(())
        })?;
        let mut gate = self.gate();
        (gate.pinned, gate.open) = (false, true);
        Ok(())
    }

    /// Locks at once. Without a PIN there is nothing that would unlock it, and nothing happens.
    pub fn lock(&self) {
        let mut gate = self.gate();
        gate.open = gate.open && !gate.pinned;
        gate.proved = false;
        if !gate.open {
            self.0.opened.clear();
        }
    }

    /// Unlocks with the PIN. A wrong one is counted, and costs a wait that doubles.
    pub fn unlock(&self, pin: &str) -> Result<(), PhoneError> {
        if !self.gate().pinned {
            return self.admit();
        }
        self.prove(Some(pin))?;
        let now = self.tick();
        let mut gate = self.gate();
        (gate.open, gate.touched) = (true, now);
        Ok(())
    }

    /// Shuts a phone that another person takes over, PIN or not; the owner's PIN or password opens it.
    pub fn shut(&self) {
        let mut gate = self.gate();
        (gate.open, gate.proved) = (false, false);
        self.0.opened.clear();
    }

    /// Keeps a file open in memory, as long as the phone is not locked.
    pub(super) fn keep_open(&self, document: Document, bytes: u64) {
        let gate = self.gate();
        if gate.open {
            self.0.opened.put(document, usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Keeps a file open that was open before something came in for it.
    pub(super) fn still_open(&self, document: Document, bytes: u64) {
        if self.0.opened.holds(document.meta().id) {
            self.keep_open(document, bytes);
        }
    }

    /// Lets in who has just shown his password to the server; wrong PINs are forgiven, and a forgotten one can be replaced.
    pub fn admit_by_password(&self) -> Result<(), PhoneError> {
        self.0.store.write(|tx| set_meta_json(tx, TRIES, &Tries::default()))?;
        let now = self.tick();
        let mut gate = self.gate();
        (gate.open, gate.proved, gate.touched) = (true, true, now);
        Ok(())
    }

    /// Keeps to the policy as it stands now.
    pub(super) fn policy_changed(&self) -> Result<(), PhoneError> {
        let policy = self.0.store.read(|c| purge::policy(c).map_err(PhoneError::from))?;
        self.gate().idle_ms = policy.idle_ms;
        Ok(())
    }

    /// Checks a PIN against the one that is set, if one is.
    fn prove(&self, pin: Option<&str>) -> Result<(), PhoneError> {
        let Some(stored) = self.0.store.read(|c| meta_json::<StoredPin>(c, PIN).map_err(PhoneError::from))? else {
            return Ok(());
        };
        let now = self.tick();
        let counted = self.0.store.write(|tx| -> Result<Result<(u32, PhonePolicy), i64>, PhoneError> {
            let mut tries: Tries = meta_json(tx, TRIES)?.unwrap_or_default();
            let left_ms = tries.left_ms(now);
            if left_ms == 0 {
                tries.wrong = tries.wrong.saturating_add(1);
                tries.since = Some(now);
            }
            set_meta_json(tx, TRIES, &tries)?;
            Ok(if left_ms > 0 { Err(left_ms) } else { Ok((tries.wrong, purge::policy(tx)?)) })
        })?;
        let (wrong, policy) = counted.map_err(|after_ms| PhoneError::PinWait { after_ms })?;
        let shown = digest(pin.unwrap_or_default(), &stored.salt, stored.memory_kib, stored.passes)?;
        // All bytes are looked at, so that the time tells nothing.
        if shown.iter().zip(stored.hash).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0 {
            return Ok(self.0.store.write(|tx| set_meta_json(tx, TRIES, &Tries::default()))?);
        }
        if policy.wipe_after_tries.is_some_and(|n| wrong >= n) {
            self.destroy(None)?;
            return Err(PhoneError::Wiped);
        }
        Err(PhoneError::PinWrong { after_ms: wait_after(wrong) })
    }
}
