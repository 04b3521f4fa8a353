//! Live streams: who listens, and what they are told. A stream is a hint and never the truth: it says that a journal has grown, and
//! whoever hears it asks for what is new as usual. Whoever reads too slowly is dropped, never waited for; he comes back with the id
//! of the last event that he saw and misses nothing.

pub mod look;
pub mod teller;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use sync_core::authority::{Place, Subject};
use sync_core::ids::{AreaCode, DeviceId, UserId};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::app::App;

/// Notices that one stream may be behind before it is dropped.
const BEHIND_MAX: usize = 64;
/// Streams of one account; a phone has one, a browser one for each page.
const USER_STREAMS_MAX: usize = 16;
/// Two rounds are at least this far apart, so that a busy server tells of many commits at once.
const ROUND_GAP: Duration = Duration::from_millis(5);

/// What every stream is told; each tells its reader only what he may know.
#[derive(Debug, Clone)]
pub enum Notice {
    /// The journal of a community has grown.
    Grown(Arc<Growth>),
    /// Refused changes wait for a decision in a community, so many now.
    Quarantine(AreaCode, i64),
    /// A phone was registered or revoked, or an alert about it was raised or closed.
    Device(Arc<DeviceChange>),
    /// What the reader may do is different now.
    Judged(Arc<Subject>),
    /// Nothing: shows both ends that the connection stands.
    Beat,
}

/// How far a journal has grown.
#[derive(Debug)]
pub struct Growth {
    /// The community.
    pub community: AreaCode,
    /// Its last position.
    pub head: i64,
    /// The documents that were changed; `None` when they were too many to name.
    pub places: Option<Vec<Place>>,
}

/// A phone that was registered or revoked.
#[derive(Debug)]
pub struct DeviceChange {
    /// The phone.
    pub device: String,
    /// The areas of its holder and those that they lie in.
    pub areas: BTreeSet<String>,
}

/// Who listens.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The account.
    pub user: UserId,
    /// The registered phone, if it is one.
    pub device: Option<DeviceId>,
    /// The session.
    pub session: Uuid,
    /// When the access token expires, ms UTC: no stream outlives the token that opened it.
    pub expires_ms: i64,
}

/// Why nobody more can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSeat {
    /// Every seat is taken.
    Full,
    /// The server is about to stop.
    Stopping,
}

struct Stream {
    listener: Listener,
    ended: Arc<AtomicBool>,
    out: mpsc::Sender<Notice>,
}

#[derive(Default)]
struct Streams {
    stopping: bool,
    /// Open connections, also those of streams that were dropped and whose reader has not noticed yet.
    seats: usize,
    next: u64,
    by_number: BTreeMap<u64, Stream>,
}

/// The streams of one process.
#[derive(Default)]
pub struct Live {
    streams: Mutex<Streams>,
}

/// One seat among the listeners; given back when dropped.
pub struct Subscription {
    live: Arc<Live>,
    number: u64,
    ended: Arc<AtomicBool>,
    notices: mpsc::Receiver<Notice>,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat. A phone that comes back takes the place of its own stream, which may hang on a connection that died; an
    /// account with too many loses its oldest.
    pub fn listen(self: &Arc<Self>, listener: Listener, seats_max: usize) -> Result<Subscription, NoSeat> {
        let mut streams = self.lock();
        if streams.stopping {
            return Err(NoSeat::Stopping);
        }
        let same = |s: &Stream| listener.device.is_some() && s.listener.device == listener.device;
        let own = |s: &Stream| s.listener.user == listener.user;
        streams.end(|s| same(s));
        while streams.by_number.values().filter(|s| own(s)).count() >= USER_STREAMS_MAX {
            let oldest = streams.by_number.iter().find(|(_, s)| own(s)).map(|(n, _)| *n);
            let Some(stream) = oldest.and_then(|n| streams.by_number.remove(&n)) else { break };
            stream.ended.store(true, Ordering::SeqCst);
        }
        if streams.seats >= seats_max {
            return Err(NoSeat::Full);
        }
        streams.seats += 1;
        streams.next += 1;
        let (number, ended) = (streams.next, Arc::new(AtomicBool::new(false)));
        let (out, notices) = mpsc::channel(BEHIND_MAX);
        streams.by_number.insert(number, Stream { listener, ended: Arc::clone(&ended), out });
        Ok(Subscription { live: Arc::clone(self), number, ended, notices })
    }

    /// How many listen.
    pub fn count(&self) -> usize {
        self.lock().by_number.len()
    }

    /// Tells everybody; whoever is too far behind loses his stream.
    pub fn tell(&self, notice: &Notice) {
        self.lock().end(|s| s.out.try_send(notice.clone()).is_err());
    }

    /// Tells the streams of one account.
    pub fn tell_user(&self, user: UserId, notice: &Notice) {
        self.lock().end(|s| s.listener.user == user && s.out.try_send(notice.clone()).is_err());
    }

    /// Ends the streams of which this is true.
    pub fn end(&self, ended: impl Fn(&Listener) -> bool) {
        self.lock().end(|s| ended(&s.listener));
    }

    /// Who listens.
    pub fn listeners(&self) -> Vec<Listener> {
        self.lock().by_number.values().map(|s| s.listener.clone()).collect()
    }

    /// Ends every stream; no more are opened.
    pub fn stop(&self) {
        let mut streams = self.lock();
        streams.stopping = true;
        streams.end(|_| true);
    }
}

impl Streams {
    fn end(&mut self, ended: impl Fn(&Stream) -> bool) {
        self.by_number.retain(|_, stream| {
            let stays = !ended(stream);
            if !stays {
                // What still waits in its queue is not told any more; the closed queue wakes it.
                stream.ended.store(true, Ordering::SeqCst);
            }
            stays
        });
    }
}

impl Subscription {
    /// The next notice; `None` when the stream has ended.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        match self.notices.poll_recv(cx) {
            Poll::Ready(_) if self.ended.load(Ordering::SeqCst) => Poll::Ready(None),
            other => other,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut streams = self.live.lock();
        streams.seats = streams.seats.saturating_sub(1);
        streams.by_number.remove(&self.number);
    }
}

/// Looks at the database after every commit of this process, and else now and then for what other processes committed; tells the
/// streams. One path for both databases: what is told is what a query found, not what a writer said.
pub async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let every = Duration::from_millis(app.config.live_poll_ms.max(10));
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut beat = tokio::time::interval(Duration::from_secs(app.config.live_heartbeat_seconds.max(1)));
    let mut seen = None;
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            _ = beat.tick() => {
                app.live.tell(&Notice::Beat);
                continue;
            }
            () = app.db.committed() => {
                if app.live.count() == 0 {
                    continue;
                }
            }
            // Also while nobody listens: whoever begins to is told by name what changed since.
            _ = tick.tick() => {}
        }
        let inner = Arc::clone(&app);
        let before = seen.take();
        match tokio::task::spawn_blocking(move || look::round(&inner, before, every)).await {
            Ok(Ok(now)) => seen = Some(now),
            // With nothing seen, the next round tells every head anew.
            Ok(Err(error)) => tracing::warn!(%error, "live streams: the database was not read"),
            Err(error) => tracing::error!(%error, "live streams"),
        }
        tokio::time::sleep(ROUND_GAP).await;
    }
    app.live.stop();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(user: u128, device: Option<u128>) -> Listener {
        Listener {
            user: UserId(Uuid::from_u128(user)),
            device: device.map(|d| DeviceId(Uuid::from_u128(d))),
            session: Uuid::from_u128(user),
            expires_ms: i64::MAX,
        }
    }

    fn next(subscription: &mut Subscription) -> Option<Option<Notice>> {
        match subscription.poll_next(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(notice) => Some(notice),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_live_stream_that_is_not_read_is_dropped_and_holds_nobody_up() {
        let live = Arc::new(Live::default());
        let mut slow = live.listen(listener(1, None), 10).unwrap();
        let mut quick = live.listen(listener(2, None), 10).unwrap();
        for _ in 0..BEHIND_MAX + 1 {
            live.tell(&Notice::Beat);
            assert!(matches!(next(&mut quick), Some(Some(Notice::Beat))));
        }
        assert_eq!(live.count(), 1, "the slow one is gone");
        assert!(matches!(next(&mut slow), Some(None)), "and is not fed what had piled up");
    }

    #[test]
    fn a_phone_has_one_live_stream_an_account_sixteen_and_the_server_so_many_seats() {
        let live = Arc::new(Live::default());
        let mut first = live.listen(listener(1, Some(7)), 20).unwrap();
        let second = live.listen(listener(1, Some(7)), 20).unwrap();
        assert!(matches!(next(&mut first), Some(None)), "the phone came back: its old stream ends");
        let pages: Vec<_> = (0..18).map(|_| live.listen(listener(1, None), 20)).collect();
        assert_eq!(live.count(), USER_STREAMS_MAX);
        assert!(matches!(pages.last(), Some(Ok(_))), "eighteen pages, the phone and its lost stream fill twenty seats");
        assert_eq!(live.listen(listener(2, None), 20).err(), Some(NoSeat::Full));
        drop((first, second, pages));
        assert!(live.listen(listener(2, None), 20).is_ok(), "seats are given back");
        live.stop();
        assert_eq!(live.listen(listener(2, None), 20).err(), Some(NoSeat::Stopping));
    }
}
