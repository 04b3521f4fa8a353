//! What people do beside writing and syncing: a supervisor decides about refused changes, two phones meet, a phone makes room and
//! fetches back what it let go, a lost phone is wiped, a record is erased by law. Each is checked where it happens, and at the end.

use std::collections::{BTreeSet, VecDeque};

use diesel::prelude::*;
use server::accounts::{devices, sessions};
use server::audit::Origin;
use server::db::{AnyConnection, DbError, tables};
use server::erasure::{self, ErasureError, Wish};
use server::http::last_word;
use server::orders;
use server::quarantine::{self, DecisionError};
use sync_core::authority::Place;
use sync_core::document::ChangeHash;
use sync_core::ids::DocumentId;
use sync_core::phone::{LastStep, MeetState, Meeting, Phone, PhoneError};
use sync_core::sync::orders::LastAnswer;
use sync_core::sync::wire::{self, PushOutcome};

use super::faults::Fault;
use super::photos::wait;
use super::server::{Died, hashes};
use super::world::World;

/// Words after which a meeting has come to nothing.
const WORDS_MAX: usize = 2_000;
/// Rounds after which the last words of a phone have come to nothing.
const LAST_WORDS_MAX: usize = 60;

/// One side of a meeting.
struct Side {
    who: usize,
    meeting: Meeting,
    inbox: VecDeque<Vec<u8>>,
    /// What it came to on this side.
    over: String,
}

impl Side {
    fn of(who: usize, phone: &Phone) -> Result<Self, PhoneError> {
        Ok(Self { who, meeting: phone.meet_begin()?, inbox: VecDeque::new(), over: "is cut off".to_owned() })
    }
}

impl World {
    /// One of them.
    pub fn deed(&mut self) {
        let who = self.somebody();
        match self.dice.below(100) {
            0..=17 => self.decide(),
            18..=37 => self.meet(who),
            38..=57 => self.attach(who),
            58..=77 => self.transfer(who),
            78..=83 => self.look_at_photo(who),
            84..=88 => self.make_room(who),
            89..=93 => self.fetch_back(who),
            94..=96 => self.wipe(who),
            _ => self.erase(),
        }
    }

    /// Somebody whose phone is not destroyed.
    pub fn somebody(&mut self) -> usize {
        let living: Vec<usize> = (0..self.phones.len()).filter(|who| !self.phones[*who].is_wiped()).collect();
        *self.dice.pick(&living)
    }

    /// Counts what was done.
    pub fn did(&mut self, deed: &str) {
        *self.report.deeds.entry(deed.to_owned()).or_default() += 1;
    }

    /// The supervisor lets a refused change in, or keeps it out for good.
    fn decide(&mut self) {
        let waiting: Vec<String> = {
            let rows = tables::quarantine::table.filter(tables::quarantine::state.eq("waiting"));
            let rows = rows.order((tables::quarantine::received_ms, tables::quarantine::id));
            rows.select(tables::quarantine::id).load(&mut *self.server.app().db.get().unwrap()).unwrap()
        };
        if waiting.is_empty() {
            return;
        }
        let at = self.dice.below(waiting.len());
        let (id, accepts) = (waiting[at].clone(), self.dice.chance(600));
        let subject = self.server.subject(self.person("supervisor"));
        let fuse = self.befalls(Fault::ServerDiesWriting, 80).then(|| u32::try_from(self.dice.below(20)).unwrap());
        let work = |app: &server::app::App| {
            app.db.transaction(|conn| match accepts {
                true => quarantine::accept(conn, &app.context(), &subject, &id, None),
                false => quarantine::dismiss(conn, &app.context(), &subject, &id, Some("与事实不符。")),
            })
        };
        let verb = if accepts { "accepts" } else { "dismisses" };
        match self.server.dying(fuse, work) {
            Ok(Ok(decided)) => {
                self.tell(format!("the supervisor {verb} {} refused changes", decided.entries.len()));
                self.did(verb);
                if decided.state == "accepted" {
                    self.let_in(&decided.entries);
                }
            }
            Ok(Err(DecisionError::Db(e))) => self.wrong(format!("nobody can decide about a refused change: {e}")),
            Ok(Err(e)) => self.tell(format!("the supervisor {verb} a refused change and is told: {e}")),
            Err(Died) => self.tell("the server dies while the supervisor decides".to_owned()),
        }
    }

    /// What was let in stands in the journal now, under the name of him who had sent it.
    fn let_in(&mut self, entries: &[String]) {
        let rows: Vec<(Vec<u8>, String)> = tables::quarantine::table
            .filter(tables::quarantine::id.eq_any(entries))
            .select((tables::quarantine::hash, tables::quarantine::author))
            .load(&mut *self.server.app().db.get().unwrap())
            .unwrap();
        let journal = self.server.kept().0;
        for (hash, author) in rows {
            let hash = *hashes(vec![hash]).first().unwrap();
            if !journal.contains(&hash) {
                self.report.lost += 1;
                self.wrong(format!("{hash} was let in and is not in the journal"));
            }
            self.acknowledged.insert(hash);
            self.answered_for.insert(hash, author);
        }
    }

    /// Two phones meet without a network; one of them may walk away, or die, in the middle.
    fn meet(&mut self, one: usize) {
        let two = self.somebody();
        if one == two {
            return;
        }
        let names = format!("{} and {}", self.phones[one].name, self.phones[two].name);
        let before: BTreeSet<DocumentId> = self.phones[two].core().documents().unwrap().into_iter().collect();
        let ended = self.talk(one, two);
        for who in [one, two] {
            self.phones[who].revive();
        }
        match ended {
            Ok(told) => {
                self.did("meets");
                self.tell(format!("{names} meet: {told}"));
            }
            Err(PhoneError::Store(e)) => self.wrong(format!("{names} meet, and a store fails: {e}")),
            Err(e) => self.tell(format!("{names} do not meet: {e}")),
        }
        let mut subject = self.server.subject_ever(self.phones[two].user);
        // A restored server has forgotten who was charged with what; certificates have not.
        let before_it = self.rights_before.iter().filter(|(user, _)| *user == subject.user);
        subject.grants.extend(before_it.map(|(_, grant)| grant.clone()));
        for id in self.phones[two].core().documents().unwrap() {
            let document = self.phones[two].core().document(id).unwrap();
            if !before.contains(&id) && !subject.may_read(&Place::of(&document)) {
                self.report.unauthorised += 1;
                self.wrong(format!(
                    "{} was given {id} at a meeting without ever having had a right",
                    self.phones[two].name
                ));
            }
        }
    }

    fn talk(&mut self, one: usize, two: usize) -> Result<String, PhoneError> {
        let mut sides = [Side::of(one, self.phones[one].core())?, Side::of(two, self.phones[two].core())?];
        let walks_away = self.dice.chance(200).then(|| self.dice.below(10));
        for said in 0..WORDS_MAX {
            for side in 0..2 {
                let words = sides[side].meeting.outgoing();
                sides[1 - side].inbox.extend(words);
            }
            if walks_away == Some(said) {
                return Ok("one walks away".to_owned());
            }
            let Some(side) = sides.iter_mut().find(|s| !s.inbox.is_empty()) else { break };
            let words = side.inbox.pop_front().unwrap_or_default();
            let dies = self.befalls(Fault::PhoneDiesWriting, 20);
            let steps =
                dies.then(|| 1 << self.dice.below(14)).map(|top| 1 + u32::try_from(self.dice.below(top)).unwrap());
            let phone = &mut self.phones[side.who];
            let Some(state) = phone.dying(steps, |_| side.meeting.receive(&words)) else {
                return Ok(format!("{} dies", phone.name));
            };
            let mut state = state?;
            if matches!(&state, MeetState::Introduced(peer) if !peer.known) {
                state = side.meeting.agree()?;
            }
            if let MeetState::Over(report) = state {
                side.over = format!("gives {}+{}, takes {}", report.given, report.given_bundles, report.received);
            }
        }
        Ok(sides.map(|side| side.over).join("; "))
    }

    /// A phone lets go whatever the server has.
    fn make_room(&mut self, who: usize) {
        let bytes = u64::try_from(self.dice.below(200_000)).unwrap();
        let freed = self.phones[who].core().free_up(bytes);
        let name = self.phones[who].name.clone();
        match freed {
            Ok(freed) => {
                self.did("frees");
                self.tell(format!("{name} makes room: {freed} bytes"));
            }
            Err(e) => self.wrong(format!("{name} cannot make room: {e}")),
        }
    }

    /// A phone asks for records that it let go, and for one that may be none of its business.
    fn fetch_back(&mut self, who: usize) {
        let all = self.documents();
        if all.is_empty() {
            return;
        }
        let mut asked: Vec<DocumentId> = self.away(who, &all);
        asked.push(*self.dice.pick(&all));
        for id in &asked {
            self.phones[who].core().fetch(*id).unwrap();
        }
        self.did("fetches");
        self.tell(format!("{} asks for {} records", self.phones[who].name, asked.len()));
        self.sync(who);
    }

    /// Which of these records a phone has let go.
    pub fn away(&self, who: usize, of: &[DocumentId]) -> Vec<DocumentId> {
        let is_away = |id: &DocumentId| matches!(self.phones[who].core().document(*id), Err(PhoneError::Away));
        of.iter().copied().filter(is_away).collect()
    }

    /// A lost phone is revoked and ordered to destroy everything; its owner gets another.
    fn wipe(&mut self, who: usize) {
        let Some(device) = self.phones[who].core().identity().unwrap().map(|i| i.device) else { return };
        let (now_ms, by) = (self.now_ms(), self.person("supervisor"));
        let app = self.server.app();
        let order = |conn: &mut AnyConnection| -> Result<bool, DbError> {
            if devices::find(conn, device)?.is_none() {
                return Ok(false);
            }
            devices::revoke(conn, device, now_ms)?;
            sessions::revoke_device(conn, device, now_ms)?;
            orders::wipe(conn, device, by, now_ms, &app.entropy)?;
            Ok(true)
        };
        if !app.db.transaction(order).unwrap() {
            return;
        }
        self.did("wipes");
        let (name, user) = (self.phones[who].name.clone(), self.phones[who].user);
        self.tell(format!("{name} is ordered to destroy everything"));
        self.add_phone(&format!("{name}+"), user);
    }

    /// What a phone says that is let in no more: what it had not sent; and if it is ordered to, it destroys everything and says so.
    pub fn last_words(&mut self, who: usize) {
        if self.phones[who].is_wiped() {
            return self.confirm_wipe(who);
        }
        if self.phones[who].core().identity().unwrap().is_none() {
            return;
        }
        let mut words = self.phones[who].core().last_words();
        let name = self.phones[who].name.clone();
        for _ in 0..LAST_WORDS_MAX {
            let request = words.next_request().unwrap();
            let Some(answer) = self.hear_last(&request) else { return };
            match words.apply_response(&answer).unwrap() {
                LastStep::Again => {}
                LastStep::Revoked => return self.tell(format!("{name} has said its last words")),
                LastStep::Wipe(order) => {
                    drop(words);
                    let left = self.phones[who].destroy(order);
                    self.tell(format!("{name} destroys everything"));
                    if left {
                        self.report.unauthorised += 1;
                        self.wrong(format!("{name} was wiped, and its store is still there"));
                    }
                    return self.confirm_wipe(who);
                }
            }
        }
        self.report.undrained += 1;
        self.wrong(format!("{name} does not come to an end with its last words"));
    }

    fn confirm_wipe(&mut self, who: usize) {
        let Some((device, confirmation)) = self.phones[who].owed.clone() else { return };
        if self.hear_last(&confirmation).is_none() {
            return;
        }
        self.phones[who].owed = None;
        let open = orders::open_wipe(&mut self.server.app().db.get().unwrap(), device).unwrap();
        if open.is_some() {
            self.report.undrained += 1;
            self.wrong(format!("{} has destroyed everything, and the server goes on waiting", self.phones[who].name));
        }
    }

    fn hear_last(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        if self.befalls(Fault::LostRequest, 60) {
            return None;
        }
        let fuse = self.befalls(Fault::ServerDiesWriting, 50).then(|| u32::try_from(self.dice.below(20)).unwrap());
        let answer = match self.server.dying(fuse, |app| last_word::hear(app, "simulator", request)) {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => {
                self.tell(format!("the server answers last words with {}", problem.code()));
                return None;
            }
            Err(Died) => {
                self.tell("the server dies".to_owned());
                return None;
            }
        };
        let heard: LastAnswer = wire::decode(&answer).unwrap();
        let settled = heard.results.iter().filter(|r| !matches!(r.outcome, PushOutcome::Need(_)));
        self.acknowledged.extend(settled.map(|r| r.hash));
        (!self.befalls(Fault::LostAnswer, 60)).then_some(answer)
    }

    /// A record is erased by law.
    pub fn erase(&mut self) {
        let held = self.documents();
        if held.is_empty() {
            return;
        }
        let id = *self.dice.pick(&held);
        let gone = self.everything_of(&BTreeSet::from([id]));
        let stood = self.server.kept().0;
        let wish = Wish {
            kind: "case".into(), document: id, part: String::new(), reason: "当事人依法要求删除".into()
        };
        let fuse = self.befalls(Fault::ServerDiesWriting, 150).then(|| u32::try_from(self.dice.below(40)).unwrap());
        let work = |app: &server::app::App| {
            app.db.transaction(|conn| -> Result<(), ErasureError> {
                let (context, operator) = (app.context(), Origin::server());
                let asked = erasure::ask(conn, &context, &operator, &wish)?;
                erasure::decide(conn, &context, &operator, &asked.id, true, true).map(|_| ())
            })
        };
        match self.server.dying(fuse, work) {
            Ok(Ok(())) => {
                self.did("erases");
                self.tell(format!("{id} is erased with {} changes", gone.len()));
                self.erased.insert(id);
                self.once_erased.insert(id);
                // A restored server that has forgotten the erasure gets back what was judged before it.
                self.judged.extend(gone.intersection(&stood));
                self.destroyed.extend(gone);
            }
            Ok(Err(e)) => self.wrong(format!("{id} cannot be erased: {e}")),
            Err(Died) => self.tell(format!("the server dies erasing {id}")),
        }
    }

    /// The changes of records, in the journal and in quarantine; and what lives of the server that were lost had of them, which may lie
    /// on phones only and goes there by the same order.
    fn everything_of(&self, ids: &BTreeSet<DocumentId>) -> BTreeSet<ChangeHash> {
        let kept = self.server.kept_of();
        kept.iter().chain(&self.kept_before).filter(|(_, id)| ids.contains(id)).map(|(hash, _)| *hash).collect()
    }

    /// After a restore: what the backup does not know to be erased is not erased, until somebody orders it again.
    pub fn recall_erasures(&mut self) {
        let known: Vec<String> = {
            let rows = tables::erased_documents::table.select(tables::erased_documents::document);
            rows.load(&mut *self.server.app().db.get().unwrap()).unwrap()
        };
        // A later backup knows of one that an earlier one, restored in between, did not.
        self.erased = self.once_erased.iter().filter(|id| known.contains(&id.to_string())).copied().collect();
        // What a life in between took in of such a record goes with it.
        let gone = self.everything_of(&self.erased);
        self.destroyed.extend(gone);
    }

    /// What was erased is nowhere: not on the server, and on no phone that the server can still reach.
    pub fn erased_is_nowhere(&mut self) {
        let mut wrong = Vec::new();
        // The store of contents is cleared behind the erasure, and by the collection where the server died in between.
        if let Err(e) = wait(erasure::contents::clear(self.server.app())) {
            wrong.push(format!("what was erased cannot be cleared from the store: {e}"));
        }
        for id in &self.erased {
            let proof = erasure::verify(&self.server.app().db, *id, &[], &[]).unwrap();
            wrong
                .extend(proof.found.iter().map(|f| format!("{id} was erased, and {} still holds {}", f.place, f.what)));
            for phone in self.phones.iter().filter(|p| !p.shut_out) {
                if phone.holds(*id) {
                    wrong.push(format!("{id} was erased, and {} still holds it", phone.name));
                }
            }
        }
        self.report.unauthorised += u64::try_from(wrong.len()).unwrap();
        wrong.into_iter().for_each(|w| self.wrong(w));
    }

    /// Nobody who is let in holds what he may not see any more.
    pub fn nobody_holds_what_is_not_his(&mut self) {
        let mut wrong = Vec::new();
        for phone in self.phones.iter().filter(|p| !p.shut_out) {
            let subject = self.server.subject(phone.user);
            for id in phone.core().documents().unwrap() {
                let row = server::journal::document_row(&mut self.server.app().db.get().unwrap(), id).unwrap();
                if row.is_some_and(|r| !subject.may_read(&r.place().unwrap())) {
                    wrong.push(format!("{} still holds {id}, which is not its owner's to see", phone.name));
                }
            }
        }
        self.report.unauthorised += u64::try_from(wrong.len()).unwrap();
        wrong.into_iter().for_each(|w| self.wrong(w));
    }
}
