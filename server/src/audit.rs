//! The audit log: who read personal data and who did what to the system. A row is written in the transaction of its act, or before
//! the answer of its read leaves: what cannot be audited does not happen. Rows hold ids, counts and a reason, nothing personal.

mod chain;
mod checkpoint;
mod list;

use diesel::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use sync_core::ids::{DeviceId, DocumentId, Entropy, UserId};
use utoipa::ToSchema;

use crate::db::tables::audit;
use crate::db::{AnyConnection, DbError};

pub use chain::{Bad, Report, prune, seal, seal_regularly, verify};
pub use checkpoint::{Checkpoint, CheckpointError, checkpoint};
pub use list::{Filter, Page, page};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, ToSchema)]
#[diesel(table_name = audit)]
pub struct Row {
    /// Its id, in the order of writing.
    pub id: String,
    /// Its place in the chain; none for the second until it is sealed.
    pub seq: Option<i64>,
    /// When, ms UTC of the server.
    pub at_ms: i64,
    /// Who; the nil id is the server or its operator.
    pub actor: String,
    /// On which phone.
    pub device: Option<String>,
    /// From which address, or `cli:` and a login of the machine.
    pub origin: String,
    /// What: `case.read`, `device.revoke`.
    pub action: String,
    /// To what: an id.
    pub object: String,
    /// The community concerned.
    pub community: Option<String>,
    /// Why, in the words of who did it.
    pub reason: String,
    /// JSON: counts and ids.
    pub detail: String,
    /// Over the row before and this one.
    #[serde(skip)]
    pub hash: Option<Vec<u8>>,
}

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The account; the nil id for the server and its operator.
    pub user: UserId,
    /// The phone.
    pub device: Option<DeviceId>,
    /// An address, or `cli:` and a login.
    pub from: String,
}

impl Origin {
    /// The operator at a command line of the machine. The login is what the environment says.
    pub fn operator() -> Self {
        let login = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".into());
        let login: String = login.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
        Self { user: UserId::SYSTEM, device: None, from: format!("cli:{login}") }
    }

    /// The server by itself.
    pub fn server() -> Self {
        Self { user: UserId::SYSTEM, device: None, from: "server".into() }
    }
}

/// One act to be written down.
#[derive(Debug, Clone)]
pub struct Act {
    origin: Origin,
    action: &'static str,
    object: String,
    community: Option<String>,
    reason: String,
    detail: Value,
}

impl Act {
    /// An act of somebody on something. `action` is two words with a dot, `object` an id.
    pub fn new(origin: &Origin, action: &'static str, object: impl ToString) -> Self {
        Self {
            origin: origin.clone(),
            action,
            object: object.to_string(),
            community: None,
            reason: String::new(),
            detail: json!({}),
        }
    }

    /// In which community.
    #[must_use]
    pub fn community(mut self, code: impl ToString) -> Self {
        self.community = Some(code.to_string());
        self
    }

    /// Why.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    /// Counts and ids, as a JSON object.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// Writes it down. It stands with the transaction that it is written in.
    pub fn record(self, conn: &mut AnyConnection, now_ms: i64, entropy: &dyn Entropy) -> Result<(), DbError> {
        // NUL cannot be stored by PostgreSQL, and an act must not fail over a character of its reason.
        let clean = |text: String| text.replace('\0', "\u{fffd}");
        let row = Row {
            id: DocumentId::from_parts(now_ms, entropy.ten()).to_string(),
            seq: None,
            at_ms: now_ms,
            actor: self.origin.user.to_string(),
            device: self.origin.device.map(|d| d.to_string()),
            origin: clean(self.origin.from),
            action: self.action.to_owned(),
            object: clean(self.object),
            community: self.community,
            reason: clean(self.reason),
            detail: clean(self.detail.to_string()),
            hash: None,
        };
        diesel::insert_into(audit::table).values(&row).execute(conn)?;
        Ok(())
    }
}

/// Documents in little room: their ids without hyphens, one after the other.
pub fn compact(ids: impl IntoIterator<Item = DocumentId>) -> String {
    ids.into_iter().map(|id| id.0.simple().to_string()).collect::<Vec<_>>().join(" ")
}
