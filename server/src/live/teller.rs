//! What one stream says to its reader, as server-sent events. It speaks of nothing that the reader may not see, and every event
//! that carries an id names all that was told up to it, so that a reader who comes back with it is told the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sync_core::authority::{Place, Subject};
use sync_core::ids::{AreaCode, JournalId};
use sync_core::role::Role;

use super::{DeviceChange, Growth, Notice};

/// The longest `Last-Event-ID` that is read, in bytes.
const ID_BYTES_MAX: usize = 24 * 1024;

/// What a reader wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Only that journals have grown: a phone asks for the rest by itself.
    Heads,
    /// Which records, too, and what concerns those who look after people: a page that shows lists.
    All,
}

/// How far a reader has been told, as the id of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId {
    /// The journal that the positions belong to.
    pub journal: JournalId,
    /// The last position told, by community.
    pub told: BTreeMap<AreaCode, i64>,
}

impl EventId {
    /// Reads what a reader sent back; what is no id of ours is as good as none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > ID_BYTES_MAX {
            return None;
        }
        let mut parts = text.trim().split(';');
        let journal = parts.next()?.parse().ok()?;
        let told = parts.filter(|p| !p.is_empty()).map(|part| {
            let (code, position) = part.split_once('=')?;
            Some((AreaCode::new(code).ok()?, position.parse::<i64>().ok().filter(|p| *p >= 0)?))
        });
        Some(Self { journal, told: told.collect::<Option<_>>()? })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.journal)?;
        self.told.iter().try_for_each(|(code, position)| write!(f, ";{code}={position}"))
    }
}

/// What one stream has told and may tell.
pub struct Teller {
    subject: Subject,
    wish: Wish,
    id: EventId,
}

fn event(out: &mut String, id: Option<&EventId>, name: &str, data: &Value) {
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    // JSON holds no line break, so that it is always one line of data.
    let _ = write!(out, "event: {name}\ndata: {data}\n\n");
}

impl Teller {
    /// A stream of somebody that has told nothing.
    pub fn new(subject: Subject, wish: Wish, journal: JournalId) -> Self {
        Self { subject, wish, id: EventId { journal, told: BTreeMap::new() } }
    }

    /// The first words: when to come back after a break, and what the stream is about.
    pub fn hello(&mut self, retry_ms: u64, came_back: bool) -> String {
        let mut out = format!("retry: {retry_ms}\n\n");
        if came_back && self.wish == Wish::All && self.overseer() {
            // Phones have no journal; whoever shows a list of them reads it again.
            event(&mut out, None, "devices", &json!({}));
        }
        let data = json!({ "journal": self.id.journal.to_string() });
        event(&mut out, Some(&self.id), "hello", &data);
        out
    }

    /// Tells where a community stands. `before` is what the reader was told earlier, `places` what was changed since.
    pub fn catch_up(&mut self, growth: &Growth, before: Option<i64>) -> String {
        let mut out = String::new();
        match before {
            Some(before) if before == growth.head => {
                self.id.told.insert(growth.community.clone(), growth.head);
            }
            Some(before) if before < growth.head => {
                self.id.told.insert(growth.community.clone(), before);
                self.grown(&mut out, growth);
            }
            // Told nothing yet, or more than there is: he compares the head with his own.
            _ => {
                self.id.told.insert(growth.community.clone(), growth.head);
                self.head(&mut out, &growth.community, growth.head);
            }
        }
        out
    }

    /// Tells how many refused changes wait, to those who decide about them.
    pub fn waiting(&self, community: &AreaCode, waiting: i64) -> String {
        let mut out = String::new();
        let decides = |g: &sync_core::authority::Grant| g.role == Role::Supervisor && g.communities.contains(community);
        if self.wish == Wish::All && self.subject.grants.iter().any(decides) {
            event(&mut out, None, "quarantine", &json!({ "community": community, "waiting": waiting }));
        }
        out
    }

    /// A notice in words; empty when it does not concern the reader.
    pub fn tell(&mut self, notice: &Notice) -> String {
        let mut out = String::new();
        match notice {
            Notice::Beat => out.push_str(":\n\n"),
            Notice::Grown(growth) => self.grown(&mut out, growth),
            Notice::Quarantine(community, waiting) => out = self.waiting(community, *waiting),
            Notice::Device(change) => {
                if self.wish == Wish::All && self.oversees(change) {
                    event(&mut out, None, "device", &json!({ "device": change.device }));
                }
            }
            Notice::Judged(subject) => {
                if **subject != self.subject {
                    self.subject = Subject::clone(subject);
                    let readable = self.subject.communities();
                    self.id.told.retain(|community, _| readable.contains(community));
                    event(&mut out, Some(&self.id), "rights", &json!({}));
                }
            }
        }
        out
    }

    fn overseer(&self) -> bool {
        self.subject.grants.iter().any(|g| matches!(g.role, Role::Administrator | Role::Supervisor))
    }

    fn oversees(&self, change: &DeviceChange) -> bool {
        let overseeing = |g: &&sync_core::authority::Grant| matches!(g.role, Role::Administrator | Role::Supervisor);
        self.subject.grants.iter().filter(overseeing).any(|g| change.areas.contains(g.area.as_str()))
    }

    fn grown(&mut self, out: &mut String, growth: &Growth) {
        let Growth { community, head, places } = growth;
        if self.id.told.get(community).is_some_and(|told| told >= head)
            || !self.subject.communities().contains(community)
        {
            return;
        }
        self.id.told.insert(community.clone(), *head);
        match places {
            Some(places) => {
                let seen: Vec<&Place> = places.iter().filter(|p| self.subject.may_read(p)).collect();
                // What he may not see is not worth a request; the position is passed over with the next event.
                if seen.is_empty() {
                    return;
                }
                if self.wish == Wish::All {
                    for place in seen {
                        let data = json!({ "community": community, "document": place.document });
                        event(out, None, place.kind.as_str(), &data);
                    }
                }
            }
            None if self.wish == Wish::All => event(out, None, "many", &json!({ "community": community })),
            None => {}
        }
        self.head(out, community, *head);
    }

    fn head(&self, out: &mut String, community: &AreaCode, head: i64) {
        let data = json!({ "community": community, "head": head });
        event(out, Some(&self.id), "head", &data);
    }
}
