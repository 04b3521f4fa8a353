//! Two phones that meet without a network: each gets what the other holds and it may see. Bytes in, bytes out; the host carries them.
//! Nothing of a meeting is kept before its end, and then all of it in one transaction; a peer that misbehaves ends it and changes
//! nothing.

mod give;
mod take;

use rusqlite::{Connection, Transaction};

use super::relay::KnownKeys;
use super::{ChangeNotice, Enrolment, Phone, PhoneError};
use crate::ids::{DeviceId, JournalId};
use crate::limits;
use crate::relay::certificate::Certificate;
use crate::relay::meet::{Channel, Gift, Greeting, Held, MeetError, Proving, Word};
use crate::store::{meta, meta_json, peers, set_meta, set_meta_json};

/// Who the other phone is, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeetPeer {
    /// The phone.
    pub device: DeviceId,
    /// Its holder's name.
    pub name: String,
    /// What he is charged with: roles and the codes of their areas.
    pub roles: Vec<(String, String)>,
    /// Whether the two have met before.
    pub known: bool,
}

/// What a meeting brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MeetReport {
    /// Changes given that stand in the journal.
    pub given: u64,
    /// Bundles given of which no server has spoken yet.
    pub given_bundles: u64,
    /// Changes that are new here.
    pub received: u64,
    /// Documents and bundles that were offered and not taken: not to be seen here, not applicable, or no room.
    pub left_out: u64,
}

/// How far a meeting has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeetState {
    /// The other has not shown yet who it is.
    Greeting,
    /// The other is known, and the two have never met: somebody must agree.
    Introduced(MeetPeer),
    /// The two are exchanging.
    Exchanging(MeetPeer),
    /// Everything was said, and what came is stored.
    Over(MeetReport),
}

enum Stage {
    Greeting(Box<Greeting>),
    Proving(Box<Proving>),
    Talking(Box<Talk>),
    Over(MeetReport),
    Failed,
}

struct Talk {
    channel: Channel,
    peer: Certificate,
    peer_bytes: Vec<u8>,
    known: bool,
    agreed: bool,
    said_done: bool,
    /// What the other holds, until we may answer it.
    theirs: Option<Vec<Held>>,
    gifts: Vec<Gift>,
    gift_bytes: usize,
    report: MeetReport,
}

/// A meeting under way. The messages of one phone must reach the other in order and whole.
pub struct Meeting {
    phone: Phone,
    stage: Stage,
    outgoing: Vec<Vec<u8>>,
}

/// Whether this phone takes part in meetings.
pub(super) fn allowed(conn: &Connection) -> Result<bool, PhoneError> {
    Ok(meta_json::<bool>(conn, "meets")?.unwrap_or(false))
}

/// The certificate of this phone, if it is of its server's journal and of its present holder.
pub(super) fn own_certificate(conn: &Connection) -> Result<Option<(Certificate, Vec<u8>)>, PhoneError> {
    let (Some(bytes), Some(keys)) = (meta(conn, "certificate")?, KnownKeys::load(conn)?) else { return Ok(None) };
    let who: Option<Enrolment> = meta_json(conn, "enrolment")?;
    let journal: Option<JournalId> = meta_json(conn, "journal")?;
    let certificate = Certificate::verified(&bytes, &keys.verify).filter(|c| {
        who.is_some_and(|w| w.device == c.device && w.user == c.user) && journal.is_none_or(|j| j == c.journal)
    });
    Ok(certificate.map(|c| (c, bytes)))
}

/// Keeps a new certificate of this phone.
pub(super) fn put_certificate(tx: &Transaction<'_>, bytes: &[u8]) -> Result<(), PhoneError> {
    Ok(set_meta(tx, "certificate", bytes)?)
}

impl Phone {
    /// Whether this phone takes part in meetings. Then its syncs also fetch the server's proofs of what it holds.
    pub fn meet_allow(&self, allowed: bool) -> Result<(), PhoneError> {
        self.0.store.write(|tx| Ok(set_meta_json(tx, "meets", &allowed)?))
    }

    /// Begins a meeting with a phone that the host has found.
    pub fn meet_begin(&self) -> Result<Meeting, PhoneError> {
        self.admit()?;
        let now_ms = self.now_ms()?;
        let (certificate, bytes) = self.0.store.read(|conn| -> Result<_, PhoneError> {
            if !allowed(conn)? {
                return Err(MeetError::NotAllowed.into());
            }
            let own = own_certificate(conn)?.filter(|(c, _)| c.holds(now_ms));
            own.ok_or_else(|| MeetError::NotCertified.into())
        })?;
        let (greeting, hello) = Greeting::new(certificate, &bytes, &*self.0.host)?;
        Ok(Meeting { phone: self.clone(), stage: Stage::Greeting(Box::new(greeting)), outgoing: vec![hello] })
    }

    /// Forgets that a phone was met: the next meeting with it is a first one. Gives whether it was known.
    pub fn meet_forget(&self, device: DeviceId) -> Result<bool, PhoneError> {
        self.0.store.write(|tx| Ok(peers::forget_met(tx, device)?))
    }
}

impl Meeting {
    /// The messages for the other phone, each given once, in order.
    pub fn outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }

    /// Takes a message of the other phone. After an error the meeting is over and has changed nothing.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<MeetState, PhoneError> {
        self.step(|meeting, stage| meeting.take(stage, bytes))
    }

    /// Somebody has agreed to the first meeting of these two.
    pub fn agree(&mut self) -> Result<MeetState, PhoneError> {
        self.step(|meeting, stage| match stage {
            Stage::Talking(mut talk) if !talk.agreed => {
                meeting.begin_exchange(&mut talk)?;
                Ok(Stage::Talking(talk))
            }
            _ => Err(MeetError::Ended.into()),
        })
    }

    fn step(
        &mut self,
        work: impl FnOnce(&mut Self, Stage) -> Result<Stage, PhoneError>,
    ) -> Result<MeetState, PhoneError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed);
        match work(self, stage) {
            Ok(stage) => {
                self.stage = stage;
                Ok(self.state())
            }
            Err(error) => {
                self.outgoing.clear();
                Err(error)
            }
        }
    }

    fn state(&self) -> MeetState {
        match &self.stage {
            Stage::Greeting(_) | Stage::Proving(_) | Stage::Failed => MeetState::Greeting,
            Stage::Over(report) => MeetState::Over(*report),
            Stage::Talking(talk) if talk.agreed => MeetState::Exchanging(talk.introduced()),
            Stage::Talking(talk) => MeetState::Introduced(talk.introduced()),
        }
    }

    fn take(&mut self, stage: Stage, bytes: &[u8]) -> Result<Stage, PhoneError> {
        let phone = self.phone.clone();
        let now_ms = phone.now_ms()?;
        match stage {
            Stage::Greeting(greeting) => {
                let (keys, journal) = phone.0.store.read(|conn| -> Result<_, PhoneError> {
                    let keys = KnownKeys::load(conn)?.map(|k| k.verify).unwrap_or_default();
                    Ok((keys, meta_json::<JournalId>(conn, "journal")?))
                })?;
                let (proving, proof) = greeting.receive(bytes, &keys, now_ms, &phone.0.key, &*phone.0.host)?;
                // After a restore of the server the two may mean different things by the same word.
                if journal != Some(proving.peer.journal) {
                    return Err(MeetError::OtherJournal.into());
                }
                self.outgoing.push(proof);
                Ok(Stage::Proving(Box::new(proving)))
            }
            Stage::Proving(proving) => {
                let (peer, peer_bytes) = (proving.peer.clone(), proving.peer_bytes.clone());
                let channel = proving.receive(bytes)?;
                let before = phone.0.store.read(|conn| Ok::<_, PhoneError>(peers::met(conn, peer.device)?))?;
                let keys = phone.0.store.read(|conn| Ok::<_, PhoneError>(KnownKeys::load(conn)?))?;
                let keys = keys.map(|k| k.verify).unwrap_or_default();
                // A phone that was given to somebody else, or has a new key, is met for the first time.
                let known = before.and_then(|b| Certificate::verified(&b, &keys));
                let known = known.is_some_and(|b| b.key == peer.key && b.user == peer.user);
                let mut talk = Box::new(Talk {
                    channel,
                    peer,
                    peer_bytes,
                    known,
                    agreed: false,
                    said_done: false,
                    theirs: None,
                    gifts: Vec::new(),
                    gift_bytes: 0,
                    report: MeetReport::default(),
                });
                if known {
                    self.begin_exchange(&mut talk)?;
                }
                Ok(Stage::Talking(talk))
            }
            Stage::Talking(talk) => self.hear(talk, bytes, now_ms),
            Stage::Over(_) | Stage::Failed => Err(MeetError::Ended.into()),
        }
    }

    fn begin_exchange(&mut self, talk: &mut Talk) -> Result<(), PhoneError> {
        talk.agreed = true;
        let held = give::held(&self.phone, &talk.peer)?;
        self.outgoing.push(talk.channel.say(&Word::Holds(held))?);
        match talk.theirs.take() {
            Some(theirs) => self.answer(talk, theirs),
            None => Ok(()),
        }
    }

    fn answer(&mut self, talk: &mut Talk, theirs: Vec<Held>) -> Result<(), PhoneError> {
        for gift in give::gifts(&self.phone, &talk.peer, theirs)? {
            let given: usize = gift.deliveries.iter().map(|d| d.changes.len()).sum();
            talk.report.given += u64::try_from(given).unwrap_or(0);
            talk.report.given_bundles += u64::try_from(gift.bundles.len()).unwrap_or(0);
            self.outgoing.push(talk.channel.say(&Word::Gives(gift))?);
        }
        self.outgoing.push(talk.channel.say(&Word::Done)?);
        talk.said_done = true;
        Ok(())
    }

    fn hear(&mut self, mut talk: Box<Talk>, bytes: &[u8], now_ms: i64) -> Result<Stage, PhoneError> {
        let word = talk.channel.hear(bytes)?;
        let out_of_turn = || PhoneError::from(MeetError::Malformed("out of turn".into()));
        match word {
            Word::Holds(held) => {
                if talk.said_done || talk.theirs.is_some() || held.len() > limits::MEET_DOCUMENTS_MAX {
                    return Err(out_of_turn());
                }
                if talk.agreed {
                    self.answer(&mut talk, held)?;
                } else {
                    talk.theirs = Some(held);
                }
                Ok(Stage::Talking(talk))
            }
            Word::Gives(gift) => {
                if !talk.agreed {
                    return Err(out_of_turn());
                }
                talk.gift_bytes = talk.gift_bytes.saturating_add(bytes.len());
                if talk.gift_bytes > limits::MEET_BYTES_MAX {
                    return Err(MeetError::TooLarge { max: limits::MEET_BYTES_MAX }.into());
                }
                talk.gifts.push(gift);
                Ok(Stage::Talking(talk))
            }
            Word::Done if talk.said_done => {
                let mut report = talk.report;
                let mut touched = Vec::new();
                self.phone.0.store.write(|tx| -> Result<(), PhoneError> {
                    take::take(&self.phone, tx, &talk.gifts, now_ms, &mut report, &mut touched)?;
                    Ok(peers::note_met(tx, talk.peer.device, &talk.peer_bytes, now_ms)?)
                })?;
                if !touched.is_empty() {
                    self.phone.0.notices.send(&ChangeNotice { documents: touched, from_sync: true });
                }
                Ok(Stage::Over(report))
            }
            Word::Done => Err(out_of_turn()),
        }
    }
}

impl Talk {
    fn introduced(&self) -> MeetPeer {
        let roles = self.peer.grants.iter().map(|g| (g.role.as_str().to_owned(), g.area.to_string()));
        MeetPeer { device: self.peer.device, name: self.peer.name.clone(), roles: roles.collect(), known: self.known }
    }
}
