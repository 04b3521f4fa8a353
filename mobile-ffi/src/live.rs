//! Listening for what is new: one open stream of server-sent events, read by a thread of its own. A stream that breaks is opened
//! again after a time of this phone's own choosing; what was missed meanwhile shows in where the journals stand.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sync_core::phone::Phone;
use sync_core::sync::events::{StreamEvent, StreamReader};
use sync_core::sync::pace::{Errand, backoff_ms};

use crate::cancel::CancelToken;
use crate::error::{PhoneLibError, Result};
use crate::library::PhoneLibrary;

const PATH: &str = "/v1/events?only=head";
/// The first wait after a break, ms, when the server names none.
const RETRY_MS: u64 = 5_000;
const RETRY_MS_MAX: u64 = 60_000;

/// What waiting for events brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct LiveView {
    /// It is time to call `sync`.
    pub sync_due: bool,
    /// The stream stands, so that news is heard at once.
    pub connected: bool,
}

/// What the thread of a stream tells.
#[derive(Debug, Clone)]
enum Told {
    Opened(u64),
    Event(u64, StreamEvent),
    /// It broke off, or could not be opened.
    Ended {
        line: u64,
        error: Option<PhoneLibError>,
        last_id: Option<String>,
        retry_ms: Option<u64>,
    },
    Cancelled,
}

/// The stream of a phone; `None` in `closed` while there is none.
pub(crate) struct Live {
    to: Sender<Told>,
    from: Receiver<Told>,
    line: u64,
    closed: Option<Arc<AtomicBool>>,
    connected: bool,
    failures: u32,
    again_at: Instant,
    last_id: Option<String>,
    retry_ms: u64,
}

impl Default for Live {
    fn default() -> Self {
        let (to, from) = mpsc::channel();
        Self {
            to,
            from,
            line: 0,
            closed: None,
            connected: false,
            failures: 0,
            again_at: Instant::now(),
            last_id: None,
            retry_ms: RETRY_MS,
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.close();
    }
}

fn ms(ms: impl TryInto<u64>) -> Duration {
    Duration::from_millis(ms.try_into().unwrap_or_default())
}

impl Live {
    /// Lets go of the stream; its thread ends with the next thing that it reads.
    fn close(&mut self) {
        if let Some(closed) = self.closed.take() {
            closed.store(true, Ordering::SeqCst);
        }
        self.connected = false;
    }

    fn take(&mut self, told: Told, phone: &Phone, chance: u64) -> Result<()> {
        match told {
            Told::Opened(line) if line == self.line => {
                (self.connected, self.failures) = (true, 0);
                phone.server_reached()?;
            }
            Told::Event(line, event) if line == self.line => {
                phone.hear(&event)?;
            }
            Told::Ended { line, error, last_id, retry_ms } if line == self.line => {
                self.close();
                self.last_id = last_id.or(self.last_id.take());
                self.retry_ms = retry_ms.unwrap_or(self.retry_ms).min(RETRY_MS_MAX);
                self.failures = self.failures.saturating_add(1);
                let first_ms = i64::try_from(self.retry_ms).unwrap_or(i64::MAX);
                let mut wait_ms = backoff_ms(self.failures, first_ms, chance);
                match error {
                    Some(PhoneLibError::TryLater { after_ms }) => {
                        // What was asked for is kept with the chance that was added to it.
                        wait_ms = i64::try_from(after_ms).unwrap_or(i64::MAX).max(phone.forbidden_ms(Errand::Stream)?);
                    }
                    // There is no use in trying again until a person has done something.
                    Some(
                        error @ (PhoneLibError::NotLoggedIn
                        | PhoneLibError::Revoked
                        | PhoneLibError::Untrusted { .. }
                        | PhoneLibError::InvalidInput { .. }),
                    ) => return Err(error),
                    _ => {}
                }
                self.again_at = Instant::now() + ms(wait_ms);
            }
            _ => {}
        }
        Ok(())
    }
}

#[uniffi::export]
impl PhoneLibrary {
    /// Waits until it is time to sync, at most so long. Keeps a stream to the server open meanwhile and between calls, and opens it
    /// again when it breaks. Call it in a loop on a thread of its own, and `sync` whenever it says so.
    #[uniffi::method(default(cancel = None))]
    pub fn events_wait(self: Arc<Self>, wait_ms_max: u32, cancel: Option<Arc<CancelToken>>) -> Result<LiveView> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + ms(wait_ms_max);
        if let Some(cancel) = &cancel {
            cancel.on_cancel(live.to.clone(), Told::Cancelled);
        }
        loop {
            if let Some(cancel) = &cancel {
                cancel.check()?;
            }
            // What was told while nobody waited comes first.
            while let Ok(told) = live.from.try_recv() {
                live.take(told, &self.phone, self.chance())?;
            }
            let due_ms = self.phone.next_sync_ms()?;
            let now = Instant::now();
            if due_ms == 0 || now >= until {
                return Ok(LiveView { sync_due: due_ms == 0, connected: live.connected });
            }
            if live.closed.is_none() && live.again_at <= now {
                self.open_stream(&mut live)?;
            }
            let mut wake = until.min(now + ms(due_ms));
            if live.closed.is_none() {
                wake = wake.min(live.again_at);
            }
            match live.from.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(told) => live.take(told, &self.phone, self.chance())?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    /// Ends the stream that `events_wait` keeps open, such as when the app goes to the background.
    pub fn events_stop(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.close();
        live.again_at = Instant::now();
    }
}

impl PhoneLibrary {
    fn chance(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.host.sixteen();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn open_stream(self: &Arc<Self>, live: &mut Live) -> Result<()> {
        self.server_url()?;
        live.line += 1;
        let closed = Arc::new(AtomicBool::new(false));
        live.closed = Some(Arc::clone(&closed));
        let (line, to, last_id) = (live.line, live.to.clone(), live.last_id.clone());
        // Weak: a stream must not keep open a store that its app has let go of.
        let library = Arc::downgrade(self);
        let read = move || {
            let opened = match library.upgrade() {
                Some(library) => library.stream(PATH, last_id.as_deref()),
                None => return,
            };
            let ended = |error, reader: StreamReader| {
                let StreamReader { last_id, retry_ms, .. } = reader;
                drop(to.send(Told::Ended { line, error, last_id, retry_ms }));
            };
            match opened {
                Ok(body) => {
                    drop(to.send(Told::Opened(line)));
                    let mut reader = StreamReader::default();
                    let error = follow(body, &mut reader, &closed, |event| to.send(Told::Event(line, event)).is_ok());
                    ended(error, reader);
                }
                Err(error) => ended(Some(error), StreamReader::default()),
            }
        };
        let thread = std::thread::Builder::new().name("fengqiao-events".to_owned());
        thread.spawn(read).map_err(|e| PhoneLibError::internal(format!("no thread could be started: {e}")))?;
        Ok(())
    }
}

/// Reads a stream until it breaks or nobody listens any more.
fn follow(
    mut body: impl Read,
    reader: &mut StreamReader,
    closed: &AtomicBool,
    tell: impl Fn(StreamEvent) -> bool,
) -> Option<PhoneLibError> {
    let mut piece = [0; 4 * 1024];
    loop {
        let n = match body.read(&mut piece) {
            Ok(0) => return None,
            Ok(n) => n,
            Err(e) => return Some(PhoneLibError::Offline { reason: e.to_string(), sent: true }),
        };
        if closed.load(Ordering::SeqCst) {
            return None;
        }
        match reader.feed(piece.get(..n).unwrap_or_default()) {
            Ok(events) => {
                if !events.into_iter().all(&tell) {
                    return None;
                }
            }
            Err(e) => return Some(PhoneLibError::protocol(e.to_string())),
        }
    }
}

/// One stream at a time.
pub(crate) type LiveSeat = Mutex<Live>;
