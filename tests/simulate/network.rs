//! Between phone and server: each request and each answer meets a fate. What the server says is written down here, whether it
//! arrives or not, and whom it delivers what is checked here.

use server::accounts::keys::Keys;
use server::http::sync::exchange;
use sha2::{Digest, Sha256};
use sync_core::authority::{Place, Subject};
use sync_core::document::ChangeHash;
use sync_core::ids::DeviceId;
use sync_core::phone::PhoneError;
use sync_core::sync::wire::{self, PushOutcome, SyncRequest, SyncResponse};
use uuid::Uuid;

use super::Sabotage;
use super::faults::Fault;
use super::server::Died;
use super::world::{Typed, World};

/// Requests after which a sync has come to nothing.
const REQUESTS_MAX: usize = 400;

/// A request that arrives later.
pub struct InFlight {
    due_ms: i64,
    token: String,
    bytes: Vec<u8>,
}

/// How a sync ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// It came to its end; whether anything moved.
    Complete(bool),
    /// The network or a death broke it off.
    Broken,
    /// The phone says that it does not come to an end, or cannot be understood.
    Failed(String),
    /// The server lets this phone in no more.
    ShutOut,
}

enum Served {
    Answer(Vec<u8>),
    Refused(&'static str),
    Died,
}

impl World {
    /// An access token for a session.
    pub fn token(&mut self, user: sync_core::ids::UserId, session: Uuid, device: DeviceId) -> String {
        let app = self.server.app();
        let keys: std::sync::Arc<Keys> = app.access_keys(&mut app.db.get().unwrap()).unwrap();
        let minutes = app.config.access_minutes;
        keys.issue(user, session, Some(device), app.now_ms(), minutes, &app.entropy).unwrap().0
    }

    /// One sync of a phone, from its first request to whatever ends it.
    pub fn sync(&mut self, who: usize) -> Ending {
        let name = self.phones[who].name.clone();
        if !self.sign_in(who) {
            self.tell(format!("{name} is shut out"));
            if self.options.deeds_per_mille > 0 {
                self.last_words(who);
            }
            return Ending::ShutOut;
        }
        let ending = self.rounds(who);
        // A session that is dropped lets go of the dead phone's files; then the phone may live again.
        self.phones[who].revive();
        self.keep_up(who);
        let unsent = self.phones[who].unsent().len();
        self.tell(format!("{name} syncs: {ending:?}, {unsent} unsent"));
        ending
    }

    fn rounds(&mut self, who: usize) -> Ending {
        let mut session = self.phones[who].core().sync_begin("simulator");
        let mut moved = false;
        for _ in 0..REQUESTS_MAX {
            let request = match session.next_request() {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ending::Complete(moved),
                Err(e) => return Ending::Failed(e.to_string()),
            };
            let identity = self.phones[who].core().identity().unwrap().unwrap();
            let Some(at) = self.phones[who].session else { return Ending::Broken };
            let token = self.token(identity.user, at, identity.device);
            let answer = match self.carry(&token, request) {
                Some(Served::Answer(bytes)) => bytes,
                Some(Served::Refused(code)) => {
                    self.tell(format!("the server answers {code}"));
                    self.phones[who].session = None;
                    return Ending::Broken;
                }
                Some(Served::Died) | None => return Ending::Broken,
            };
            let Some(answer) = self.bring(answer) else { return Ending::Broken };
            let dies = self.befalls(Fault::PhoneDiesWriting, 25);
            let steps =
                dies.then(|| 1 << self.dice.below(16)).map(|top| 1 + u32::try_from(self.dice.below(top)).unwrap());
            let Some(applied) = self.phones[who].dying(steps, |_| session.apply_response(&answer)) else {
                return Ending::Broken;
            };
            match applied {
                Ok(progress) => moved |= progress.sent + progress.received + progress.refused + progress.relayed > 0,
                Err(PhoneError::Protocol(_)) if !self.calm => return Ending::Broken,
                Err(e) => return Ending::Failed(e.to_string()),
            }
            if self.befalls(Fault::DuplicateAnswer, 20) {
                // Whatever it says to the second hearing, it must not do it harm.
                let _ = session.apply_response(&answer);
            }
        }
        Ending::Failed(format!("no end after {REQUESTS_MAX} requests"))
    }

    /// A request on its way to the server; `None`: nobody hears of it again.
    fn carry(&mut self, token: &str, bytes: Vec<u8>) -> Option<Served> {
        if self.befalls(Fault::LostRequest, 30) {
            return None;
        }
        if self.befalls(Fault::DelayedRequest, 30) {
            let due_ms = self.now_ms() + self.dice.between(1_000, 20 * 60_000);
            self.in_flight.push(InFlight { due_ms, token: token.to_owned(), bytes });
            return None;
        }
        if self.befalls(Fault::CutRequest, 15) {
            let len = self.dice.below(bytes.len());
            self.serve(token, &bytes[..len], None);
            return None;
        }
        if self.befalls(Fault::GarbledRequest, 15) {
            let mut garbled = bytes;
            for _ in 0..=self.dice.below(4) {
                let at = self.dice.below(garbled.len());
                garbled[at] ^= 1 << self.dice.below(8);
            }
            // The transport's own check would stop it; whatever gets through, nobody gets an answer to it.
            self.serve(token, &garbled, None);
            return None;
        }
        let fuse = self.befalls(Fault::ServerDiesWriting, 25).then(|| u32::try_from(self.dice.below(60)).unwrap());
        let snapshot =
            (self.options.sabotage == Some(Sabotage::Forget) && self.dice.chance(100)).then(|| self.server.snapshot());
        let served = self.serve(token, &bytes, fuse);
        if let Some(snapshot) = snapshot {
            self.server.forget(&snapshot);
        }
        if self.befalls(Fault::DuplicateRequest, 40) {
            if self.dice.chance(500) {
                self.serve(token, &bytes, None);
            } else {
                let due_ms = self.now_ms() + self.dice.between(1_000, 9 * 60_000);
                self.in_flight.push(InFlight { due_ms, token: token.to_owned(), bytes });
            }
        }
        Some(served)
    }

    /// An answer on its way back.
    fn bring(&mut self, answer: Vec<u8>) -> Option<Vec<u8>> {
        if self.befalls(Fault::ServerDiesAnswering, 15) {
            self.server.restart();
            return None;
        }
        if self.befalls(Fault::LostAnswer, 40) {
            return None;
        }
        if self.befalls(Fault::CutAnswer, 15) {
            let len = self.dice.below(answer.len());
            return Some(answer[..len].to_vec());
        }
        if self.befalls(Fault::GarbledAnswer, 15) {
            let mut garbled = answer;
            let at = self.dice.below(garbled.len());
            garbled[at] ^= 1 << self.dice.below(8);
            // What still reads, the transport's own check has stopped.
            return wire::decode::<SyncResponse>(&garbled).is_err().then_some(garbled);
        }
        Some(answer)
    }

    /// Delivers what is due by now; all of it once there are no faults any more.
    pub fn late_requests(&mut self) {
        let (now_ms, calm) = (self.now_ms(), self.calm);
        let mut due: Vec<InFlight> = self.in_flight.extract_if(.., |r| calm || r.due_ms <= now_ms).collect();
        due.sort_by_key(|r| r.due_ms);
        for late in due {
            self.serve(&late.token, &late.bytes, None);
        }
    }

    /// The server takes a request, and everything that it says is written down.
    fn serve(&mut self, token: &str, bytes: &[u8], fuse: Option<u32>) -> Served {
        let mut principal = match self.server.principal(token) {
            Ok(principal) => principal,
            Err(problem) => return Served::Refused(problem.code()),
        };
        let Some(device) = principal.device else { return Served::Refused("device_required") };
        let subject = principal.subject.clone();
        if self.options.sabotage == Some(Sabotage::Peek) {
            principal.subject.grants = self.server.subject(self.person("supervisor")).grants;
        }
        self.report.syncs += 1;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let before = self.answered.contains(&digest).then(|| self.server.kept());
        let answer = match self.server.dying(fuse, |app| exchange(app, &principal, device, bytes)) {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => return Served::Refused(problem.code()),
            Err(Died) => {
                self.tell("the server dies".to_owned());
                return Served::Died;
            }
        };
        if before.is_some_and(|before| before != self.server.kept()) {
            self.report.diverged += 1;
            self.wrong("a request that came again changed what the server keeps".to_owned());
        }
        self.write_down(&subject, digest, bytes, &answer);
        Served::Answer(answer)
    }

    fn write_down(&mut self, subject: &Subject, digest: [u8; 32], bytes: &[u8], answer: &[u8]) {
        let response: SyncResponse = wire::decode(answer).unwrap();
        let request: SyncRequest = wire::decode(bytes).unwrap();
        let needs = |o: &PushOutcome| matches!(o, PushOutcome::Need(_));
        let settled: Vec<ChangeHash> = response.results.iter().filter(|r| !needs(&r.outcome)).map(|r| r.hash).collect();
        let carries = request.relay.as_ref().is_some_and(|r| !r.parcels.is_empty());
        if settled.len() == response.results.len() && response.refused.is_empty() && !carries {
            self.answered.insert(digest);
        }
        self.acknowledged.extend(settled);
        for delivery in &response.deliveries {
            let app = self.server.app();
            let document = server::journal::load(&mut app.db.get().unwrap(), delivery.document).unwrap();
            if document.is_none_or(|d| !subject.may_read(&Place::of(&d))) {
                self.report.unauthorised += 1;
                self.wrong(format!("{} was given document {} without a right", subject.user, delivery.document));
            }
        }
    }

    /// A request of the phone by hand.
    pub fn serve_by_hand(&mut self, token: &str, request: &SyncRequest) -> Option<SyncResponse> {
        match self.serve(token, &wire::encode(request).unwrap(), None) {
            Served::Answer(bytes) => Some(wire::decode(&bytes).unwrap()),
            _ => None,
        }
    }

    /// After a death a phone may hold what nobody was told of: it was typed all the same.
    fn keep_up(&mut self, who: usize) {
        // Written again by a phone that was restored: typed all the same, where the former was, and in its place.
        for (hash, former) in self.phones[who].remade() {
            let Some(document) = self.typed.get(&former).map(|t| t.document) else { continue };
            self.typed.entry(hash).or_insert(Typed { phone: who, document });
            self.remade.insert(former);
        }
        let unknown: Vec<_> = self.phones[who].unsent().into_iter().filter(|h| !self.typed.contains_key(h)).collect();
        for hash in unknown {
            self.wrong(format!("{} wants to send {hash}, which nobody typed on it", self.phones[who].name));
            self.report.diverged += 1;
        }
    }
}
