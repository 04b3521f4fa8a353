//! Phones of a test: the real phone library with a real encrypted store, on a host whose clocks the test can turn.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use fengqiao_mobile::PhoneLibrary;
use server::clock::{DemoClock, SystemEntropy};
use sync_core::edit::{Draft, Edit};
use sync_core::event::{Body, EventKind};
use sync_core::ids::{AreaCode, DocumentId, Entropy};
use sync_core::phone::Phone;
use sync_core::shape::DocumentKind;
use sync_core::time::{Clock, PhoneClock};

use crate::World;

/// The clocks of a phone.
pub struct TestHost {
    clock: Arc<DemoClock>,
    /// How far its wall clock is wrong, ms.
    pub wrong_ms: AtomicI64,
    boot: AtomicU64,
}

impl TestHost {
    /// A phone whose clocks are right.
    pub fn new(clock: Arc<DemoClock>) -> Self {
        Self { clock, wrong_ms: AtomicI64::new(0), boot: AtomicU64::new(1) }
    }

    /// Turns the wall clock.
    pub fn turn_clock(&self, ms: i64) {
        self.wrong_ms.store(ms, Ordering::Relaxed);
    }

    /// Restarts the phone: the monotonic clock begins anew.
    pub fn reboot(&self) {
        self.boot.fetch_add(1, Ordering::Relaxed);
    }
}

impl Clock for TestHost {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms() + self.wrong_ms.load(Ordering::Relaxed)
    }
}

impl PhoneClock for TestHost {
    fn monotonic_ms(&self) -> i64 {
        self.clock.now_ms()
    }
    fn boot(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }
}

impl Entropy for TestHost {
    fn fill(&self, buffer: &mut [u8]) {
        SystemEntropy.fill(buffer);
    }
}

/// One phone.
pub struct TestPhone {
    /// The library.
    pub library: Arc<PhoneLibrary>,
    /// Its clocks.
    pub host: Arc<TestHost>,
    /// Where its store lies.
    pub path: PathBuf,
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Sets a field.
pub fn set(path: &str, value: impl Into<serde_json::Value>) -> Edit {
    Edit::SetField { path: path.into(), value: value.into() }
}

/// Gives a text its wording.
pub fn write(name: &str, wording: &str) -> Edit {
    Edit::SetText { name: name.into(), wording: wording.into() }
}

/// Adds an event.
pub fn event(kind: EventKind, body: serde_json::Value) -> Edit {
    let body: Body = serde_json::from_value(body).unwrap();
    Edit::AddEvent { kind, body }
}

/// A patrol of the first grid of 碧眼 on which so many fire passages were found blocked.
pub fn patrol_with_hazards(phone: &TestPhone, hazards: usize) -> DocumentId {
    let edits = vec![set("place.grid", "GM-BIYAN-01"), set("place.building", "GM-BIYAN-SL17-5")];
    let draft = Draft { kind: DocumentKind::Patrol, community: AreaCode::new("GM-BIYAN").unwrap(), edits };
    let patrol = phone.core().create(&draft).unwrap();
    for n in 1..=hazards {
        let fields =
            [("kind".to_owned(), "fire_passage".into()), ("note".to_owned(), format!("{n}楼楼道堆放杂物").into())];
        phone.edit(patrol, &[Edit::AddItem { collection: "hazards".into(), fields: fields.into(), text: None }]);
    }
    patrol
}

impl TestPhone {
    /// Opens a new phone and signs in.
    pub fn signed_in(world: &World, login: &str) -> Self {
        Self::with_password(world, login, &World::password(login))
    }

    /// Opens a new phone and signs in with a password that is not the demo's.
    pub fn with_password(world: &World, login: &str, password: &str) -> Self {
        let host = Arc::new(TestHost::new(world.clock.clone()));
        let path = world.dir.path().join(format!("phone-{}", uuid::Uuid::new_v4().simple()));
        let library = PhoneLibrary::open_with(&path, &[7; 32], host.clone()).unwrap();
        let phone = Self { library, host, path };
        phone.library.log_in(world.url(), login.into(), password.into(), format!("{login} phone"), None).unwrap();
        phone
    }

    /// Signs in again: the server has moved, or the session was over.
    pub fn sign_in_again(&self, world: &World, login: &str) {
        let (url, password) = (world.url(), World::password(login));
        self.library.log_in(url, login.into(), password, format!("{login} phone"), None).unwrap();
    }

    /// Copies the store aside with the count beside it, as a backup of the whole phone does.
    pub fn back_up(&self) {
        self.inside().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        std::fs::copy(&self.path, beside(&self.path, ".backup")).unwrap();
        std::fs::copy(beside(&self.path, ".opened"), beside(&self.path, ".backup.opened")).unwrap();
    }

    /// The phone as it was when it was backed up: nothing tells it that it is an older one.
    pub fn restored(self) -> Self {
        let Self { library, host, path } = self;
        drop(library);
        for rest in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&path, rest));
        }
        std::fs::copy(beside(&path, ".backup"), &path).unwrap();
        std::fs::copy(beside(&path, ".backup.opened"), beside(&path, ".opened")).unwrap();
        let library = PhoneLibrary::open_with(&path, &[7; 32], host.clone()).unwrap();
        Self { library, host, path }
    }

    /// The phone's core.
    pub fn core(&self) -> &Phone {
        self.library.core()
    }

    /// The store, seen from outside the phone.
    pub fn inside(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(&self.path).unwrap();
        conn.execute_batch(&format!("PRAGMA key = \"x'{}'\"; PRAGMA busy_timeout = 1000;", "07".repeat(32))).unwrap();
        conn
    }

    /// Syncs to the end.
    pub fn sync(&self) {
        self.library.sync(None, None).unwrap();
    }

    /// One request of a sync and its answer.
    pub fn exchange(&self, world: &World, request: &[u8]) -> Vec<u8> {
        let response = ureq::post(format!("{}/v1/sync", world.url()))
            .header("Authorization", self.library.authorization_header().unwrap())
            .header("Content-Type", sync_core::sync::wire::MEDIA_TYPE)
            .send(request);
        response.unwrap().body_mut().read_to_vec().unwrap()
    }

    /// Reports a case in a building of the first grid of 碧眼.
    pub fn report(&self, story: &str) -> DocumentId {
        self.report_with(vec![write("narrative", story)])
    }

    /// Reports a case with these edits beside its place.
    pub fn report_with(&self, mut edits: Vec<Edit>) -> DocumentId {
        edits.insert(0, set("place.grid", "GM-BIYAN-01"));
        edits.insert(1, set("place.building", "GM-BIYAN-SL17-5"));
        let community = AreaCode::new("GM-BIYAN").unwrap();
        self.core().create(&Draft { kind: DocumentKind::Case, community, edits }).unwrap()
    }

    /// Reports a case of another community.
    pub fn report_elsewhere(&self, community: &str, grid: &str, story: &str) -> DocumentId {
        let (community, edits) =
            (AreaCode::new(community).unwrap(), vec![set("place.grid", grid), write("narrative", story)]);
        self.core().create(&Draft { kind: DocumentKind::Case, community, edits }).unwrap()
    }

    /// Edits a document.
    pub fn edit(&self, id: DocumentId, edits: &[Edit]) {
        self.core().edit(id, edits).unwrap();
    }

    /// Adds an event.
    pub fn event(&self, id: DocumentId, kind: EventKind, body: serde_json::Value) {
        self.edit(id, &[event(kind, body)]);
    }

    /// The state of a case here.
    pub fn case(&self, id: DocumentId) -> sync_core::case::CaseState {
        self.core().case(id).unwrap()
    }
}
