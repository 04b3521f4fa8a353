//! What goes wrong: the kinds of fault, how often each is drawn, and the disasters that happen between two actions of people.

use std::sync::atomic::Ordering;

use sync_core::role::Role;

use super::world::World;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request never arrives.
    LostRequest,
    /// A request arrives after its phone has given up, and after what it sent later.
    DelayedRequest,
    /// A request arrives twice, the second time perhaps much later.
    DuplicateRequest,
    /// The connection is cut in the middle of a request.
    CutRequest,
    /// Bytes of a request are garbled.
    GarbledRequest,
    /// The server has committed; its answer never arrives.
    LostAnswer,
    /// An answer is taken in twice.
    DuplicateAnswer,
    /// The connection is cut in the middle of an answer.
    CutAnswer,
    /// Bytes of an answer are garbled.
    GarbledAnswer,
    /// A phone dies at some step of a write.
    PhoneDiesWriting,
    /// A phone dies with nothing closed right after it said that an edit is kept.
    PhoneDies,
    /// A phone's store is an older copy of itself.
    PhoneRestored,
    /// The server dies before some statement that writes, its commit included.
    ServerDiesWriting,
    /// The server dies between its commit and its answer.
    ServerDiesAnswering,
    /// The server is stopped and started.
    ServerRestarted,
    /// The server's database is lost and a backup restored; the journal has another identity.
    ServerRestored,
    /// A phone's wall clock is turned by up to 400 days, forward or back.
    ClockTurned,
    /// A phone is restarted: its monotonic clock begins anew.
    Rebooted,
    /// A phone is revoked.
    Revoked,
    /// Areas change hands while phones are offline.
    Reassigned,
    /// A registered phone sends forged authors, actors, areas and signatures.
    Forged,
}

/// Every kind with its name on the command line.
pub const FAULTS: &[(Fault, &str)] = &[
    (Fault::LostRequest, "lost_request"),
    (Fault::DelayedRequest, "delayed_request"),
    (Fault::DuplicateRequest, "duplicate_request"),
    (Fault::CutRequest, "cut_request"),
    (Fault::GarbledRequest, "garbled_request"),
    (Fault::LostAnswer, "lost_answer"),
    (Fault::DuplicateAnswer, "duplicate_answer"),
    (Fault::CutAnswer, "cut_answer"),
    (Fault::GarbledAnswer, "garbled_answer"),
    (Fault::PhoneDiesWriting, "phone_dies_writing"),
    (Fault::PhoneDies, "phone_dies"),
    (Fault::PhoneRestored, "phone_restored"),
    (Fault::ServerDiesWriting, "server_dies_writing"),
    (Fault::ServerDiesAnswering, "server_dies_answering"),
    (Fault::ServerRestarted, "server_restarted"),
    (Fault::ServerRestored, "server_restored"),
    (Fault::ClockTurned, "clock_turned"),
    (Fault::Rebooted, "rebooted"),
    (Fault::Revoked, "revoked"),
    (Fault::Reassigned, "reassigned"),
    (Fault::Forged, "forged"),
];

/// Kinds that find what is known to be missing; they happen only when they are asked for. There are none today.
pub const GAPS: &[Fault] = &[];

impl Fault {
    /// Its name.
    pub fn name(self) -> &'static str {
        FAULTS.iter().find(|(f, _)| *f == self).map(|(_, name)| *name).unwrap()
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        FAULTS.iter().find(|(_, n)| *n == name).map(|(f, _)| *f)
    }
}

impl World {
    /// Throws for a fault; true if it happens now.
    pub fn befalls(&mut self, fault: Fault, per_mille: u32) -> bool {
        // Thrown also when it is switched off, so that switching one kind off leaves the others where they were.
        let happens = self.dice.chance(per_mille) && !self.calm && !self.options.without.contains(&fault);
        if happens {
            self.note(fault);
        }
        happens
    }

    /// Counts a fault.
    pub fn note(&mut self, fault: Fault) {
        self.report.faults += 1;
        *self.report.by_kind.entry(fault.name().to_owned()).or_default() += 1;
    }

    /// What happens to phones, server and people between two actions.
    pub fn disasters(&mut self) {
        let who = self.dice.below(self.phones.len());
        let name = self.phones[who].name.clone();
        if self.befalls(Fault::Rebooted, 10) {
            self.phones[who].host.reboot();
            self.tell(format!("{name} restarts"));
        }
        if self.befalls(Fault::ClockTurned, 8) {
            let days = self.dice.between(-400, 400);
            let right = self.dice.chance(300);
            let wrong_ms = if right { 0 } else { days * 86_400_000 + self.dice.between(-3_600_000, 3_600_000) };
            self.phones[who].host.wrong_ms.store(wrong_ms, Ordering::Relaxed);
            self.tell(format!("{name}: its clock is wrong by {wrong_ms} ms"));
        }
        if self.dice.chance(25) {
            self.phones[who].back_up();
            self.tell(format!("{name} is copied aside"));
        }
        if self.befalls(Fault::PhoneRestored, 5) {
            self.restore_phone(who);
        }
        if self.befalls(Fault::Revoked, 3) {
            self.revoke(who);
        }
        if self.befalls(Fault::Reassigned, 12) {
            self.reassign();
        }
        if self.befalls(Fault::Forged, 15) {
            self.attack();
        }
        if self.dice.chance(20) {
            self.server.back_up();
            self.tell("the server is backed up".to_owned());
        }
        if self.befalls(Fault::ServerRestarted, 8) {
            self.server.restart();
            self.tell("the server restarts".to_owned());
        }
        if self.befalls(Fault::ServerRestored, 4) {
            self.restore_server();
        }
    }

    fn restore_phone(&mut self, who: usize) {
        let whole = self.dice.chance(500);
        if !self.phones[who].restore(whole) {
            return;
        }
        let held = self.phones[who].held();
        let kept = self.kept();
        let mine = self.typed.iter().filter(|(_, t)| t.phone == who).map(|(hash, _)| *hash);
        let gone: Vec<_> = mine.filter(|h| !held.contains(h) && !kept.contains(h)).collect();
        self.tell(format!(
            "{} is restored from its copy; {} unsent changes die with its disk",
            self.phones[who].name,
            gone.len()
        ));
        self.excused.extend(gone);
        self.phones[who].session = None;
        self.excuse_photos();
    }

    fn restore_server(&mut self) {
        if self.server.backups.is_empty() {
            return;
        }
        let backup = self.dice.below(self.server.backups.len());
        self.judged.extend(self.server.kept().0);
        self.kept_before.extend(self.server.kept_of());
        let rights =
            self.people.iter().flat_map(|p| self.server.subject_ever(p.user).grants.into_iter().map(|g| (p.user, g)));
        let rights: Vec<_> = rights.collect();
        self.rights_before.extend(rights);
        self.server.restore(backup);
        let kept = self.kept();
        let held: Vec<_> = self.phones.iter().map(super::phone::SimPhone::held).collect();
        let gone: Vec<_> = self
            .typed
            .iter()
            .filter(|(hash, t)| !kept.contains(hash) && !held[t.phone].contains(hash))
            .map(|(hash, _)| *hash)
            .collect();
        self.tell(format!("the server is restored from backup {backup}; {} changes die with its disk", gone.len()));
        self.excused.extend(gone);
        self.recall_erasures();
        // What was typed on phones must come back; what was written at desks since is gone with the disk, as everybody was told.
        self.acknowledged.retain(|hash| kept.contains(hash));
        self.answered.clear();
        for phone in &mut self.phones {
            phone.session = None;
        }
        self.excuse_photos();
    }

    fn revoke(&mut self, who: usize) {
        let device = self.phones[who].core().identity().unwrap().map(|i| i.device);
        let Some(device) = device else { return };
        let now_ms = self.now_ms();
        let revoke = |conn: &mut server::db::AnyConnection| -> Result<(), server::db::DbError> {
            server::accounts::devices::revoke(conn, device, now_ms)?;
            server::accounts::sessions::revoke_device(conn, device, now_ms)
        };
        self.server.app().db.transaction(revoke).unwrap();
        self.tell(format!("{} is revoked", self.phones[who].name));
        let (name, user) = (format!("{}+", self.phones[who].name), self.phones[who].user);
        // Its owner gets another.
        self.add_phone(&name, user);
    }

    /// A grid passes from one worker to another.
    fn reassign(&mut self) {
        let area = *self.dice.pick(&["GM-BIYAN-01", "GM-BIYAN-02", "GM-BAIHUA-01"]);
        let workers: Vec<_> = self.people.iter().filter(|p| p.moves).map(|p| (p.login, p.user)).collect();
        let (from, to) = (*self.dice.pick(&workers), *self.dice.pick(&workers));
        let ended = self.server.unassign(from.1, Role::GridWorker, area);
        self.server.assign(to.1, Role::GridWorker, area);
        self.tell(format!("{area}: {} {}, {} begins", from.0, if ended { "ends" } else { "had not had it" }, to.0));
    }
}
