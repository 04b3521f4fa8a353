//! What people do: they create cases and patrols, edit what they hold, write texts and events, carry each other's parcels, work at
//! desks, and sync.

use server::journal;
use server::merge::MergeError;
use sync_core::document::ChangeHash;
use sync_core::edit::{Draft, Edit};
use sync_core::ids::{AreaCode, DocumentId, UserId};
use sync_core::phone::PhoneError;
use sync_core::relay::Container;
use sync_core::role::AreaKind;
use sync_core::shape::DocumentKind;

use super::faults::Fault;
use super::server::Died;
use super::world::{Typed, World};
use crate::phones::{set, write};
use crate::scribble;

impl World {
    /// One action of somebody.
    pub fn act(&mut self) {
        if self.options.deeds_per_mille > 0 && self.dice.chance(self.options.deeds_per_mille) {
            return self.deed();
        }
        let who = self.somebody();
        match self.dice.below(100) {
            0..=11 => self.create(who),
            12..=56 => self.edit(who),
            57..=82 => {
                self.sync(who);
            }
            83..=88 => self.relay(who),
            89..=95 => self.desk(),
            _ => self.scheduler(),
        }
    }

    /// Creates a case or a patrol where its author is charged with something.
    fn create(&mut self, who: usize) {
        let grants = self.phones[who].core().identity().unwrap().unwrap().grants;
        if grants.is_empty() {
            return;
        }
        let grant = self.dice.pick(&grants).clone();
        let community: AreaCode = self.dice.pick(&grant.communities).clone();
        let kind = if self.dice.chance(250) { DocumentKind::Patrol } else { DocumentKind::Case };
        let mut edits: Vec<Edit> = match grant.kind {
            AreaKind::Grid => vec![set("place.grid", grant.area.as_str())],
            AreaKind::Building => vec![set("place.building", grant.area.as_str())],
            _ if community.as_str() == "GM-BIYAN" => vec![set("place.grid", "GM-BIYAN-01")],
            _ => vec![set("place.grid", "GM-BAIHUA-01")],
        };
        let text = if kind == DocumentKind::Patrol { "notes" } else { "narrative" };
        edits.push(write(text, "二十三名工人聚集在门口，要求支付工资。"));
        let draft = Draft { kind, community, edits };
        self.typing(who, None, move |phone| {
            let id = phone.create(&draft)?;
            Ok((id, phone.document(id)?.changes().first().map(|c| c.hash)))
        });
    }

    /// Edits something that the phone holds.
    fn edit(&mut self, who: usize) {
        let held = self.phones[who].core().documents().unwrap();
        if held.is_empty() {
            return self.create(who);
        }
        // Some records are on everybody's desk: there people meet.
        let id = if self.dice.chance(500) { held[held.len() - 1] } else { *self.dice.pick(&held) };
        let document = self.phones[who].core().document(id).unwrap();
        let edits = scribble::edits(&document, self.dice.six());
        self.typing(who, Some(id), move |phone| Ok((id, phone.edit(id, &edits)?.change.map(|c| c.hash))));
    }

    /// Lets somebody write something; his phone may die over it. What it says that it keeps is written down.
    pub fn typing(
        &mut self,
        who: usize,
        edited: Option<DocumentId>,
        work: impl FnOnce(&sync_core::phone::Phone) -> Result<(DocumentId, Option<ChangeHash>), PhoneError>,
    ) {
        let name = self.phones[who].name.clone();
        let dies = self.befalls(Fault::PhoneDiesWriting, 20);
        let steps = dies.then(|| 1 << self.dice.below(14)).map(|top| 1 + u32::try_from(self.dice.below(top)).unwrap());
        let before = self.phones[who].unsent();
        match self.phones[who].dying(steps, work) {
            Some(Ok((document, Some(hash)))) => {
                let what = if edited.is_some() { "edits" } else { "creates" };
                self.typed.insert(hash, Typed { phone: who, document });
                self.report.edits += 1;
                self.tell(format!("{name} {what} {document}: {hash}"));
            }
            Some(Ok((_, None))) => {}
            Some(Err(PhoneError::Edit(refused))) => self.tell(format!("{name} is told: {refused}")),
            Some(Err(e)) => self.wrong(format!("{name} cannot write: {e}")),
            None => {
                self.phones[who].revive();
                self.tell(format!("{name} dies while it writes"));
                // It may have kept the words and died before it could say so.
                for (hash, document) in self.phones[who].unsent_of() {
                    if !before.contains(&hash) {
                        self.typed.entry(hash).or_insert(Typed { phone: who, document });
                    }
                }
            }
        }
        if self.befalls(Fault::PhoneDies, 15) {
            self.phones[who].die();
            self.tell(format!("{name} dies"));
        }
    }

    /// Hands what is unsent to somebody else's phone.
    fn relay(&mut self, from: usize) {
        let to = self.somebody();
        let (giver, carrier) = (self.phones[from].name.clone(), self.phones[to].name.clone());
        let receipts = self.dice.chance(400);
        let parcels: Vec<Container> = if receipts {
            self.phones[from].core().relay_receipts().unwrap().into_iter().collect()
        } else {
            let mut all = self.phones[from].core().relay_export().unwrap_or_default();
            all.extend(self.phones[from].core().relay_onward().unwrap());
            all
        };
        let file: Vec<u8> = parcels.iter().flat_map(|p| p.bytes().to_vec()).collect();
        if file.is_empty() || from == to {
            return;
        }
        let taken = self.phones[to].core().relay_import(&file).map_err(|e| e.to_string());
        self.tell(format!("{giver} hands {} containers to {carrier}: {taken:?}", parcels.len()));
    }

    /// Somebody at a desk edits a record.
    fn desk(&mut self) {
        let login = *self.dice.pick(&["receptionist", "supervisor"]);
        let user = self.person(login);
        let held = self.documents();
        if held.is_empty() {
            return;
        }
        let id = *self.dice.pick(&held);
        let subject = self.server.subject(user);
        let document = journal::load(&mut self.server.app().db.get().unwrap(), id).unwrap().unwrap();
        let edits = scribble::edits(&document, self.dice.six());
        let fuse = self.befalls(Fault::ServerDiesWriting, 60).then(|| u32::try_from(self.dice.below(20)).unwrap());
        let work = |app: &server::app::App| {
            app.db.transaction(|conn| server::merge::edits(conn, &app.context(), id, &edits, Some(&subject)))
        };
        let done = match self.server.dying(fuse, work) {
            Ok(Ok(_)) => {
                self.desk_wrote(id, user);
                "is told that it is kept".to_owned()
            }
            Ok(Err(MergeError::Db(e))) => return self.wrong(format!("the desk cannot write: {e}")),
            Ok(Err(e)) => e.to_string(),
            Err(Died) => "sees the server die".to_owned(),
        };
        self.tell(format!("{login} edits {id} at a desk: {done}"));
    }

    fn desk_wrote(&mut self, id: DocumentId, user: UserId) {
        let entries = journal::of_document(&mut self.server.app().db.get().unwrap(), id).unwrap();
        let own = entries.iter().filter(|e| e.device.is_none() && e.author == user.to_string());
        self.acknowledged.extend(own.filter_map(journal::Entry::change_hash));
    }

    /// The server raises what is overdue.
    pub fn scheduler(&mut self) {
        let fuse = self.befalls(Fault::ServerDiesWriting, 60).then(|| u32::try_from(self.dice.below(40)).unwrap());
        match self.server.dying(fuse, server::escalation::run) {
            Ok(round) => self.tell(format!("{:?}", round.unwrap())),
            Err(Died) => self.tell("the server dies raising what is overdue".to_owned()),
        }
    }

    /// The documents of the server.
    pub fn documents(&self) -> Vec<DocumentId> {
        use diesel::prelude::*;
        use server::db::tables::documents::dsl;
        let mut conn = self.server.app().db.get().unwrap();
        let ids: Vec<String> = dsl::documents.select(dsl::id).order(dsl::id).load(&mut *conn).unwrap();
        ids.iter().map(|id| id.parse().unwrap()).collect()
    }
}
