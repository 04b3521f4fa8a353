//! What must hold when everything has healed: nothing acknowledged or typed is lost, everybody who may see a record sees the same,
//! the tables are what the journal says, and nobody wrote without a right.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use server::db::tables;
use server::journal::{self, Entry};
use sync_core::document::{ChangeHash, Document};
use sync_core::event::EventKind;
use sync_core::fold::{fold_case, fold_patrol};
use sync_core::ids::{DocumentId, UserId};
use sync_core::shape::DocumentKind;

use super::network::Ending;
use super::world::World;

/// Rounds after which a healed world must be at rest.
const ROUNDS_MAX: usize = 24;

impl World {
    /// Heals everything and lets everybody sync until nothing moves any more.
    pub fn drain(&mut self) {
        self.calm = true;
        self.tell("everything heals".to_owned());
        self.late_requests();
        self.fetch_all_back();
        for _ in 0..ROUNDS_MAX {
            let before = self.server.kept();
            let mut moved = false;
            for who in 0..self.phones.len() {
                let ending = self.sync(who);
                moved |= !matches!(ending, Ending::Complete(false) | Ending::ShutOut | Ending::Failed(_));
                if self.phones[who].session.is_none() && !self.phones[who].shut_out {
                    moved = true;
                }
            }
            self.scheduler();
            if !moved && before == self.server.kept() {
                return self.drain_photos();
            }
        }
        self.report.undrained += 1;
        self.wrong(format!("nothing comes to rest within {ROUNDS_MAX} rounds after healing"));
    }

    /// What a phone has let go comes back, so that it can be compared.
    fn fetch_all_back(&mut self) {
        let all = self.documents();
        for who in 0..self.phones.len() {
            for id in self.away(who, &all) {
                self.phones[who].core().fetch(id).unwrap();
            }
        }
    }

    /// Checks everything.
    pub fn check(&mut self) {
        self.nothing_is_lost();
        self.everybody_sees_the_same();
        self.the_tables_are_what_the_journal_says();
        self.nobody_wrote_without_a_right();
        self.each_obligation_was_acted_on_once();
        self.nobody_holds_what_is_not_his();
        self.erased_is_nowhere();
        self.no_photo_is_lost();
    }

    fn nothing_is_lost(&mut self) {
        let kept = self.kept();
        // What was erased by law is nowhere, and shall be.
        let lost: Vec<ChangeHash> =
            self.acknowledged.difference(&kept).filter(|h| !self.destroyed.contains(h)).copied().collect();
        for hash in &lost {
            self.report.lost += 1;
            self.wrong(format!("{hash} was acknowledged and is neither in the journal nor in quarantine"));
        }
        let unsent: Vec<BTreeSet<ChangeHash>> = self.phones.iter().map(super::phone::SimPhone::unsent).collect();
        let refused: Vec<BTreeSet<ChangeHash>> = self.phones.iter().map(super::phone::SimPhone::refused).collect();
        let held: Vec<BTreeSet<ChangeHash>> = self.phones.iter().map(super::phone::SimPhone::held).collect();
        let mut wrong = Vec::new();
        for (hash, typed) in &self.typed {
            let who = typed.phone;
            // What came too late for a record that was erased stays with its author's phone alone, and goes when that is wiped.
            let late = self.once_erased.contains(&typed.document) && self.phones[who].is_wiped();
            let is_done = late || self.destroyed.contains(hash) || self.remade.contains(hash);
            if is_done || kept.contains(hash) || refused[who].contains(hash) || lost.contains(hash) {
                continue;
            }
            if self.phones[who].shut_out && held[who].contains(hash) {
                continue;
            }
            if self.excused.contains(hash) {
                self.report.died_with_disks += 1;
                continue;
            }
            let (name, document) = (&self.phones[who].name, typed.document);
            if unsent[who].contains(hash) {
                self.report.undrained += 1;
                wrong.push(format!("{hash} of {document} stays unsent on {name}"));
            } else {
                self.report.lost += 1;
                let copy = if held[who].contains(hash) { ", though the phone holds it" } else { "" };
                wrong.push(format!("{hash} of {document}, typed on {name}, is nowhere{copy}"));
            }
        }
        wrong.into_iter().for_each(|w| self.wrong(w));
    }

    fn everybody_sees_the_same(&mut self) {
        let mut wrong = Vec::new();
        for id in self.documents() {
            let mut conn = self.server.app().db.get().unwrap();
            let document = journal::load(&mut conn, id).unwrap().unwrap();
            let place = journal::document_row(&mut conn, id).unwrap().unwrap().place().unwrap();
            let state = fold(&document);
            for phone in self.phones.iter().filter(|p| !p.shut_out) {
                if !self.server.subject(phone.user).may_read(&place) {
                    continue;
                }
                match phone.core().document(id) {
                    Ok(replica) if fold(&replica) == state && replica.heads() == document.heads() => {}
                    Ok(replica) => {
                        let what = differences(&replica, &document);
                        wrong.push(format!("{} shows another {id} than the server: {what}", phone.name));
                    }
                    Err(e) => wrong.push(format!("{} lacks {id}: {e}", phone.name)),
                }
            }
        }
        self.report.diverged += u64::try_from(wrong.len()).unwrap();
        wrong.into_iter().for_each(|w| self.wrong(w));
    }

    fn the_tables_are_what_the_journal_says(&mut self) {
        let app = self.server.app();
        let found = server::rebuild::rebuild(&app.db, &app.law, false).unwrap();
        if !found.is_clean() {
            self.report.diverged += 1;
            self.wrong(format!("a rebuild finds other rows: {found:?}"));
        }
    }

    fn nobody_wrote_without_a_right(&mut self) {
        let entries: Vec<Entry> = {
            let mut conn = self.server.app().db.get().unwrap();
            let all = tables::journal::table.filter(tables::journal::device.is_not_null());
            all.order((tables::journal::community, tables::journal::position)).load(&mut *conn).unwrap()
        };
        let mut wrong = Vec::new();
        for entry in entries.iter().filter(|e| self.erased.iter().all(|id| id.to_string() != e.document)) {
            let hash = entry.change_hash().unwrap();
            let author: UserId = entry.author.parse().unwrap();
            let said = match self.typed.get(&hash) {
                // What a supervisor let in stands under the name of him who had sent it; a forger can only have sent it as his own.
                _ if self.forged.contains(&hash) => {
                    let answered_for = self.answered_for.get(&hash) == Some(&entry.author);
                    (!answered_for || author != self.hostile.user()).then_some("is forged")
                }
                None => Some("was typed by nobody"),
                Some(typed) if self.phones[typed.phone].user != author => Some("stands under another author"),
                Some(_) if self.answered_for.contains_key(&hash) => None,
                Some(_) if !self.judged.contains(&hash) && !self.had_a_right(entry, author) => {
                    Some("was written without a role there")
                }
                Some(_) => None,
            };
            let whose = format!("in the journal under {author}, {} {}", entry.basis, entry.received_ms);
            wrong.extend(said.map(|said| format!("{hash} of {} {said}: {whose}", entry.document)));
        }
        self.report.unauthorised += u64::try_from(wrong.len()).unwrap();
        wrong.into_iter().for_each(|w| self.wrong(w));
    }

    /// Whether its author held any role in the community when it can have been written, and its phone was not revoked.
    fn had_a_right(&self, entry: &Entry, author: UserId) -> bool {
        let (from, to) = match entry.basis.as_str() {
            "anchored" => (entry.earliest_ms, entry.latest_ms),
            _ => (entry.received_ms, entry.received_ms),
        };
        let grants = self.server.subject_ever(author).grants;
        let held = grants
            .iter()
            .any(|g| g.communities.iter().any(|c| c.as_str() == entry.community) && g.held_between(from, to));
        let device = entry.device.as_deref().and_then(|d| d.parse().ok()).and_then(|device| {
            server::accounts::devices::find(&mut self.server.app().db.get().unwrap(), device).unwrap()
        });
        let revoked_ms = device.and_then(|d| d.revoked_ms);
        held && revoked_ms.is_none_or(|revoked| entry.received_ms < revoked || to < revoked)
    }

    fn each_obligation_was_acted_on_once(&mut self) {
        let mut wrong = Vec::new();
        for id in self.documents() {
            let document = journal::load(&mut self.server.app().db.get().unwrap(), id).unwrap().unwrap();
            wrong.extend(twice(id, &document, 1 + self.server.lost.len()));
        }
        self.report.diverged += u64::try_from(wrong.len()).unwrap();
        wrong.into_iter().for_each(|w| self.wrong(w));
    }
}

/// What the server wrote more often for one obligation than it had lives: what the lost one did comes back from phones after the next
/// one has done it too.
fn twice(id: DocumentId, document: &Document, lives: usize) -> Vec<String> {
    let mut acts: BTreeMap<String, usize> = BTreeMap::new();
    for event in document.events().values().filter(|e| e.by.user == UserId::SYSTEM) {
        if matches!(event.kind, EventKind::Escalation | EventKind::Reminder) {
            let of = |name| event.text(name).unwrap_or_default().to_owned();
            *acts.entry(format!("{} by {} for {}", event.kind, of("rule"), of("trigger"))).or_default() += 1;
        }
    }
    acts.into_iter().filter(|(_, n)| *n > lives).map(|(act, n)| format!("{id}: {n} times {act}")).collect()
}

/// Which changes one has and the other lacks; none, when only what was made of them differs.
fn differences(replica: &Document, document: &Document) -> String {
    let hashes = |d: &Document| d.history().iter().map(|c| c.hash).collect::<BTreeSet<ChangeHash>>();
    let (here, there) = (hashes(replica), hashes(document));
    let only = |a: &BTreeSet<ChangeHash>, b: &BTreeSet<ChangeHash>| {
        a.difference(b).map(|hash| hash.to_string()).collect::<Vec<_>>().join(", ")
    };
    format!("only the phone has [{}], only the server has [{}]", only(&here, &there), only(&there, &here))
}

/// The folded state, byte by byte.
fn fold(document: &Document) -> Vec<u8> {
    match document.meta().kind {
        DocumentKind::Case => serde_json::to_vec(&fold_case(document)).unwrap(),
        DocumentKind::Patrol => serde_json::to_vec(&fold_patrol(document)).unwrap(),
    }
}
