//! What a phone makes of a live event, and when it asks its server next.

use std::sync::PoisonError;

use serde::Deserialize;

use super::{Phone, PhoneError};
use crate::ids::{AreaCode, JournalId};
use crate::store::{documents, meta_json, outbox, set_meta_json};
use crate::sync::events::StreamEvent;
use crate::sync::pace::{Errand, Outcome, Pace};

const PACE: &str = "pace";

/// What an event means to this phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The server has something that this phone lacks.
    Behind,
    /// Nothing that this phone does not know.
    Known,
}

#[derive(Deserialize)]
struct Hello {
    journal: JournalId,
}

#[derive(Deserialize)]
struct Head {
    community: AreaCode,
    head: i64,
}

impl Phone {
    fn chance(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0.host.sixteen();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Takes note of an event of the live stream. One that cannot be read is passed over: the next sync asks anyway.
    pub fn hear(&self, event: &StreamEvent) -> Result<Heard, PhoneError> {
        let behind = self.0.store.read(|conn| -> Result<bool, PhoneError> {
            Ok(match event.name.as_str() {
                "hello" => match serde_json::from_str::<Hello>(&event.data) {
                    Ok(hello) => meta_json::<JournalId>(conn, "journal")? != Some(hello.journal),
                    Err(_) => false,
                },
                "head" => match serde_json::from_str::<Head>(&event.data) {
                    Ok(Head { community, head }) => {
                        let cursors = documents::cursors(conn)?;
                        let cursor = cursors.iter().find(|c| c.community == community.as_str());
                        cursor.is_none_or(|c| c.position < head || c.backfill.is_some())
                    }
                    Err(_) => false,
                },
                "rights" => true,
                _ => false,
            })
        })?;
        if !behind {
            return Ok(Heard::Known);
        }
        let now_ms = self.now_ms()?;
        self.change_pace(|pace, chance| pace.heard(now_ms, chance))?;
        Ok(Heard::Behind)
    }

    /// Notes what became of a sync.
    pub fn sync_attempted(&self, outcome: Outcome) -> Result<(), PhoneError> {
        let now_ms = self.now_ms()?;
        self.change_pace(|pace, chance| pace.attempted(outcome, now_ms, chance))
    }

    /// Notes that the server can be reached again: there is no reason to wait after earlier failures.
    pub fn server_reached(&self) -> Result<(), PhoneError> {
        self.change_pace(|pace, _| pace.reached())
    }

    /// How long until the next sync is due, ms; 0 when it is now.
    pub fn next_sync_ms(&self) -> Result<i64, PhoneError> {
        let now_ms = self.now_ms()?;
        let pace = self.pace(now_ms)?;
        self.0.store.read(|conn| {
            let done_ms = meta_json(conn, "last_complete_ms")?;
            // What was refused once and waits for its ground hurries nobody.
            Ok(pace.wait_ms(now_ms, outbox::holds_new(conn, None)?, done_ms))
        })
    }

    /// How long the server still asks not to be bothered with an errand, ms.
    pub fn forbidden_ms(&self, errand: Errand) -> Result<i64, PhoneError> {
        let now_ms = self.now_ms()?;
        Ok(self.pace(now_ms)?.forbidden_for_ms(errand, now_ms))
    }

    /// Notes that the server asked to come back for an errand after this time, ms.
    pub fn put_off(&self, errand: Errand, ms: i64) -> Result<(), PhoneError> {
        let now_ms = self.now_ms()?;
        self.change_pace(|pace, chance| pace.put_off(errand, ms, now_ms, chance))
    }

    /// Notes that the server did what an errand asked for.
    pub fn let_in(&self, errand: Errand) -> Result<(), PhoneError> {
        self.change_pace(|pace, _| pace.let_in(errand))
    }

    fn pace(&self, now_ms: i64) -> Result<Pace, PhoneError> {
        let mut held = self.0.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pace = match *held {
            Some(pace) => pace,
            None => self.0.store.read(|c| meta_json(c, PACE))?.unwrap_or_default(),
        };
        pace.look(now_ms);
        Ok(*held.insert(pace))
    }

    fn change_pace(&self, change: impl FnOnce(&mut Pace, u64)) -> Result<(), PhoneError> {
        let before = self.pace(self.now_ms()?)?;
        let mut pace = before;
        change(&mut pace, self.chance());
        if pace.kept() != before.kept() {
            self.0.store.write(|tx| set_meta_json(tx, PACE, &pace))?;
        }
        *self.0.pace.lock().unwrap_or_else(PoisonError::into_inner) = Some(pace);
        Ok(())
    }
}
