//! Cancelling a call from another thread. A cancelled token stays cancelled; whoever waits under it wakes at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{PhoneLibError, Result};

type Waker = Box<dyn Fn() + Send>;

/// Lets the host cancel a sync or a login from any thread. Make a new one for each call.
#[derive(Default, uniffi::Object)]
pub struct CancelToken {
    cancelled: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

#[uniffi::export]
impl CancelToken {
    /// A token that is not cancelled.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Cancels the calls that were given this token. They return `Cancelled`; nothing that was committed is undone.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        for wake in self.wakers().drain(..) {
            wake();
        }
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

impl CancelToken {
    fn wakers(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if it was cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(PhoneLibError::Cancelled) } else { Ok(()) }
    }

    /// Sends `signal` when it is cancelled, at once if it is already. Earlier wakers are forgotten: one call waits at a time.
    pub(crate) fn on_cancel<T: Clone + Send + 'static>(&self, to: Sender<T>, signal: T) {
        let mut wakers = self.wakers();
        wakers.clear();
        if self.is_cancelled() {
            drop(to.send(signal));
        } else {
            wakers.push(Box::new(move || drop(to.send(signal.clone()))));
        }
    }
}
