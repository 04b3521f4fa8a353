//! Under which actors this phone has ever written. An actor is never forgotten: what was written under it may have to be sent again,
//! in the name of the person who wrote it.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use crate::ids::{ActorId, DeviceId, UserId};

/// Whose an actor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Who writes under it.
    pub author: UserId,
    /// The device that this phone was to the server at that time.
    pub device: DeviceId,
}

/// Notes that somebody writes under an actor.
pub fn note(tx: &Transaction<'_>, actor: ActorId, owner: Owner) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO actors (actor, author, device) VALUES (?1, ?2, ?3)")?.execute((
        actor.0,
        owner.author.to_string(),
        owner.device.to_string(),
    ))?;
    Ok(())
}

/// Whose an actor is; `None` if it is not of this phone.
pub fn owner(conn: &Connection, actor: ActorId) -> Result<Option<Owner>, StoreError> {
    let row: Option<(String, String)> = conn
        .prepare_cached("SELECT author, device FROM actors WHERE actor = ?1")?
        .query_row([actor.0], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let damaged = || StoreError::Damaged(format!("actor {}", actor.to_hex()));
    row.map(|(author, device)| {
        Ok(Owner { author: author.parse().map_err(|_| damaged())?, device: device.parse().map_err(|_| damaged())? })
    })
    .transpose()
}
