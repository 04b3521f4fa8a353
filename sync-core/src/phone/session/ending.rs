//! How a sync ends. It is complete only when all that was due was acknowledged; what it had to leave out is told, and written down, by
//! record and with the reason.

use std::collections::BTreeMap;

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use crate::ids::DocumentId;
use crate::limits;
use crate::phone::{PhoneError, away};
use crate::store::{meta_json, outbox, set_meta_json};

/// Why a record is left out of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::phone) struct Why {
    /// A stable code.
    pub(super) code: String,
    /// In words.
    pub(super) detail: String,
}

impl Why {
    pub(in crate::phone) fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

/// A record that a sync has left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub document: DocumentId,
    /// A stable code: that of the server's refusal of a bundle, `need` (the server lacks what the changes build on), `unread` (what
    /// came in cannot be applied here) or `unknown` (the changes can no longer be told to belong to a record).
    pub code: String,
    /// Why, in words.
    pub detail: String,
    /// Changes of it that are still on this phone only.
    pub changes: u64,
}

/// A sync that came to its end without everything that was due. Nothing is lost: the next sync tries again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incomplete {
    /// Changes that are still on this phone only.
    pub changes: u64,
    /// Records left out.
    pub records: u64,
    /// The first of them, with why.
    pub left_out: Vec<LeftOut>,
}

impl std::fmt::Display for Incomplete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} records were left out, {} changes are still only here", self.records, self.changes)?;
        self.left_out
            .first()
            .map_or(Ok(()), |first| write!(f, "; {} ({}): {}", first.document, first.code, first.detail))
    }
}

/// The code of records of which the server lacks what unsent changes build on.
pub(super) const NEED: &str = "need";

/// Writes down how the sync ended; an error when it left something out.
pub(super) fn end(
    tx: &Transaction<'_>,
    left: &BTreeMap<DocumentId, Why>,
) -> Result<Result<(), Incomplete>, PhoneError> {
    let mut told = Incomplete { changes: outbox::count(tx, None)?, ..Incomplete::default() };
    for (document, why) in left {
        // Only what was refused once waits there: it is offered to a restored server again, and due when what it builds on is there.
        if why.code == NEED && !outbox::holds_new(tx, Some(*document))? {
            continue;
        }
        told.records += 1;
        if told.left_out.len() < limits::LEFT_OUT_TOLD_MAX {
            let changes = outbox::count(tx, Some(*document))?;
            let Why { code, detail } = why.clone();
            told.left_out.push(LeftOut { document: *document, code, detail, changes });
        }
    }
    if told.records > 0 {
        set_meta_json(tx, "incomplete", &Some(&told))?;
        return Ok(Err(told));
    }
    set_meta_json(tx, "incomplete", &None::<Incomplete>)?;
    if let Some(now) = meta_json::<i64>(tx, "server_ms")? {
        set_meta_json(tx, "last_complete_ms", &now)?;
        away::tidy(tx, now)?;
    }
    Ok(Ok(()))
}
