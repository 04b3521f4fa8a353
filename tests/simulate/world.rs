//! The world of a run: the people, their phones, the server, what was typed and what was acknowledged, and the story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use server::accounts::{devices, grants, sessions};
use server::db::{AnyConnection, DbError};
use sync_core::authority::Grant;
use sync_core::calendar::beijing_ms;
use sync_core::document::ChangeHash;
use sync_core::ids::{DocumentId, UserId};
use sync_core::phone::Enrolment;
use sync_core::role::Role;
use sync_core::time::Clock;
use tempfile::TempDir;

use super::clock::{SimHost, VirtualClock};
use super::dice::{Dice, SeededEntropy};
use super::network::InFlight;
use super::phone::SimPhone;
use super::photos::Photo;
use super::report::{Report, Trace};
use super::server::SimServer;
use super::{Options, hostile::Hostile};

/// How long sessions last: longer than a run.
pub const SESSION: sessions::Lifetime = sessions::Lifetime { idle_days: 400, whole_days: 400 };

/// Somebody with an account.
pub struct Person {
    /// What he types.
    pub login: &'static str,
    /// The account.
    pub user: UserId,
    /// Whether grids are given to him and taken from him.
    pub moves: bool,
}

/// A change that a phone has said it keeps.
pub struct Typed {
    /// On which phone.
    pub phone: usize,
    /// In which document.
    pub document: DocumentId,
}

/// The world.
pub struct World {
    /// What was asked for.
    pub options: Options,
    /// All chance.
    pub dice: Dice,
    /// The time.
    pub clock: Arc<VirtualClock>,
    /// The server.
    pub server: SimServer,
    /// The phones; one that is revoked stays.
    pub phones: Vec<SimPhone>,
    /// The people.
    pub people: Vec<Person>,
    /// The phone by hand.
    pub hostile: Hostile,
    /// What was typed.
    pub typed: BTreeMap<ChangeHash, Typed>,
    /// What a restored phone wrote again: it lives on as what was typed in its place.
    pub remade: BTreeSet<ChangeHash>,
    /// What the server has acknowledged or said that it keeps.
    pub acknowledged: BTreeSet<ChangeHash>,
    /// What a disaster took with every copy.
    pub excused: BTreeSet<ChangeHash>,
    /// What stood in the journal of a life of the server that was lost, or stood there until it was erased: judged then, and not again when
    /// it comes back.
    pub judged: BTreeSet<ChangeHash>,
    /// What lost lives of the server kept, in the journal or in quarantine, and of which record.
    pub kept_before: BTreeMap<ChangeHash, DocumentId>,
    /// Roles that lost lives of the server gave to people: their phones hold certificates for these.
    pub rights_before: Vec<(UserId, Grant)>,
    /// What a supervisor has let in, with the account that had sent it.
    pub answered_for: BTreeMap<ChangeHash, String>,
    /// Photos by their hashes.
    pub photos: BTreeMap<String, Photo>,
    /// Records that the server knows to be erased.
    pub erased: BTreeSet<DocumentId>,
    /// The same and those whose erasure a restored server has forgotten.
    pub once_erased: BTreeSet<DocumentId>,
    /// What went with them.
    pub destroyed: BTreeSet<ChangeHash>,
    /// What nobody had the right to write.
    pub forged: BTreeSet<ChangeHash>,
    /// Requests that arrive later.
    pub in_flight: Vec<InFlight>,
    /// Digests of requests that this journal has answered for good.
    pub answered: BTreeSet<[u8; 32]>,
    /// No faults any more.
    pub calm: bool,
    /// The story.
    pub trace: Trace,
    /// The counts.
    pub report: Report,
    /// When it began, ms UTC.
    pub start_ms: i64,
    dir: TempDir,
}

/// A role in an area.
type Charge = (Role, &'static str);

/// Who there is, what he is charged with, and whether grids move between him and others.
const CAST: &[(&str, &[Charge], bool)] = &[
    ("he", &[(Role::GridWorker, "GM-BIYAN-01")], true),
    ("colleague", &[(Role::GridWorker, "GM-BIYAN-01"), (Role::GridWorker, "GM-BIYAN-02")], true),
    ("baihua", &[(Role::GridWorker, "GM-BAIHUA-01")], true),
    ("newcomer", &[], true),
    ("captain", &[(Role::BuildingCaptain, "GM-BIYAN-SL17-5")], false),
    ("station-head", &[(Role::StationHead, "GM-BIYAN")], false),
    ("receptionist", &[(Role::Receptionist, "GM-BIYAN")], false),
    ("supervisor", &[(Role::Supervisor, "440311001")], false),
    ("stranger", &[(Role::GridWorker, "GM-BAIHUA-01")], false),
];

/// Whose phones there are; one of them has two.
const PHONES: &[(&str, &str)] = &[
    ("he", "he"),
    ("he-2", "he"),
    ("colleague", "colleague"),
    ("baihua", "baihua"),
    ("newcomer", "newcomer"),
    ("captain", "captain"),
    ("station-head", "station-head"),
    ("supervisor", "supervisor"),
];

impl World {
    /// A world on a Monday morning.
    pub fn new(options: &Options, seed: u64) -> Self {
        // Memory, where there is a file system of it: a process that dies loses nothing that it has written, on either.
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let start_ms = beijing_ms(2026, 3, 2, 8, 0);
        let clock = Arc::new(VirtualClock::new(start_ms));
        let server = SimServer::new(dir.path(), clock.clone(), SeededEntropy::new(seed, 1));
        let mut people = Vec::new();
        for (login, roles, moves) in CAST {
            let user = server.add_user(login);
            for (role, area) in *roles {
                server.assign(user, *role, area);
            }
            people.push(Person { login, user, moves: *moves });
        }
        let stranger = people.iter().find(|p| p.login == "stranger").unwrap().user;
        let mut world = Self {
            options: options.clone(),
            dice: Dice::new(seed, 0),
            hostile: Hostile::new(stranger, SeededEntropy::new(seed, 2)),
            clock,
            server,
            phones: Vec::new(),
            people,
            typed: BTreeMap::new(),
            remade: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            excused: BTreeSet::new(),
            judged: BTreeSet::new(),
            kept_before: BTreeMap::new(),
            rights_before: Vec::new(),
            answered_for: BTreeMap::new(),
            photos: BTreeMap::new(),
            erased: BTreeSet::new(),
            once_erased: BTreeSet::new(),
            destroyed: BTreeSet::new(),
            forged: BTreeSet::new(),
            in_flight: Vec::new(),
            answered: BTreeSet::new(),
            calm: false,
            trace: Trace::default(),
            report: Report { seeds: 1, ..Report::default() },
            start_ms,
            dir,
        };
        for (name, login) in PHONES {
            let user = world.person(login);
            world.add_phone(name, user);
        }
        world
    }

    /// The account of a login.
    pub fn person(&self, login: &str) -> UserId {
        self.people.iter().find(|p| p.login == login).unwrap().user
    }

    /// Somebody signs in on a new phone.
    pub fn add_phone(&mut self, name: &str, user: UserId) {
        let stream = 100 + u64::try_from(self.phones.len()).unwrap();
        let host = SimHost::new(self.clock.clone(), SeededEntropy::new(self.dice.throw(), stream));
        let path = format!("{}-{name}", self.phones.len());
        let mut phone = SimPhone::new(self.dir.path(), &path, user, host);
        name.clone_into(&mut phone.name);
        self.phones.push(phone);
        let who = self.phones.len() - 1;
        assert!(self.sign_in(who), "a new phone is let in");
        if self.options.deeds_per_mille > 0 {
            self.phones[who].core().meet_allow(true).unwrap();
        }
        self.phones[who].back_up();
        self.tell(format!("{name} is signed in"));
    }

    /// Makes sure that a phone has a session, as the phone library does it; false when the server shuts it out.
    pub fn sign_in(&mut self, who: usize) -> bool {
        if self.phones[who].session.is_some() {
            return true;
        }
        if self.phones[who].is_wiped() {
            return false;
        }
        let (app, phone) = (self.server.app(), &self.phones[who]);
        let now_ms = self.clock.now_ms();
        let known = phone.core().identity().unwrap().map(|i| i.device);
        let work = |conn: &mut AnyConnection| -> Result<Option<_>, DbError> {
            let standing = match known {
                Some(device) => devices::find(conn, device)?.filter(|d| d.revoked_ms.is_none()).map(|_| device),
                None => None,
            };
            let device = match standing {
                Some(device) => device,
                None => {
                    let key = phone.core().device_public_key();
                    let new = devices::register(conn, phone.user, &phone.name, &key, now_ms, &app.entropy)?;
                    let Some(new) = new else { return Ok(None) };
                    new
                }
            };
            let opened = sessions::open(conn, phone.user, Some(device), now_ms, &SESSION, &app.entropy)?;
            let held = grants::now(conn, phone.user, now_ms)?.grants;
            let keys = server::relay::public_keys(app, conn)?;
            Ok(Some((device, opened.session, held, keys)))
        };
        let Some((device, session, grants, keys)) = app.db.transaction(work).unwrap() else {
            self.phones[who].shut_out = true;
            return false;
        };
        let name = self.phones[who].name.clone();
        let enrolment = Enrolment { device, user: self.phones[who].user, name: name.clone(), login: name, grants };
        self.phones[who].core().enrol(&enrolment).unwrap();
        self.phones[who].core().relay_keys_put(app.journal, &keys, None).unwrap();
        self.phones[who].session = Some(session);
        self.phones[who].shut_out = false;
        true
    }

    /// The time, ms UTC.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// What the server keeps, in the journal or in quarantine.
    pub fn kept(&self) -> BTreeSet<ChangeHash> {
        let (mut kept, aside) = self.server.kept();
        kept.extend(aside);
        kept
    }

    /// Goes on with the story.
    pub fn tell(&mut self, what: String) {
        let minutes = (self.now_ms() - self.start_ms) / 60_000;
        let line = format!("day {} {:02}:{:02} {what}", minutes / 1440 + 1, (8 + minutes / 60) % 24, minutes % 60);
        self.trace.tell(line);
    }

    /// Something is wrong: told, kept for the end, and counted by the caller.
    pub fn wrong(&mut self, what: String) {
        self.tell(format!("WRONG: {what}"));
        self.report.wrong.push(format!("seed {}: {what}", self.options.seed));
    }
}
