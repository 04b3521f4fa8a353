//! Checkpoints: the server's signed word that the chain had come to this row with this hash. Worth something only where those who
//! could alter the database cannot reach it: on paper, at the district, in another system's log.

use serde::{Deserialize, Serialize};
use sync_core::ids::Entropy;
use sync_core::sync::bundle;
use sync_core::sync::wire::to_cbor;

use super::chain::{end, hex, unhex};
use crate::accounts::keys::{Keys, Purpose};
use crate::db::{AnyConnection, Database, DbError};

const DOMAIN: &[u8] = b"fengqiao-audit-checkpoint-v1";

/// One checkpoint, as it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The last sealed row.
    pub seq: i64,
    /// Its hash, hexadecimal.
    pub hash: String,
    /// When it was made, ms UTC.
    pub at_ms: i64,
    /// The key that signed, hexadecimal.
    pub key: String,
    /// Ed25519 over the domain `fengqiao-audit-checkpoint-v1` and the CBOR array of number, hash and time.
    pub signature: String,
}

/// Why a checkpoint does not count.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is no checkpoint.
    #[error("the file holds no checkpoint: {0}")]
    Unreadable(String),
    /// It was altered, or signed by another server.
    #[error(
        "the checkpoint's signature does not fit, or its key is none of this server's: it was altered, or made by another server"
    )]
    Forged,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

fn message(seq: i64, hash: &str, at_ms: i64) -> Result<Vec<u8>, DbError> {
    to_cbor(&(seq, hash, at_ms)).map_err(|e| DbError::Row(e.to_string()))
}

/// Seals what has come and signs where the chain stands.
pub fn checkpoint(db: &Database, now_ms: i64, entropy: &dyn Entropy) -> Result<Checkpoint, DbError> {
    super::seal(db)?;
    db.transaction(|conn| {
        let head = end(conn, "head")?;
        let keys = Keys::load(conn, Purpose::Audit, now_ms, entropy)?;
        let key = keys.current().ok_or_else(|| DbError::Row("no key for checkpoints".into()))?;
        let hash = hex(&head.hash);
        let signature = hex(&key.sign(DOMAIN, &message(head.seq, &hash, now_ms)?));
        Ok(Checkpoint { seq: head.seq, hash, at_ms: now_ms, key: hex(&key.public()), signature })
    })
}

impl Checkpoint {
    /// Reads a checkpoint and checks that this server signed it.
    pub fn read(
        conn: &mut AnyConnection,
        text: &str,
        now_ms: i64,
        entropy: &dyn Entropy,
    ) -> Result<Self, CheckpointError> {
        let read: Self = serde_json::from_str(text).map_err(|e| CheckpointError::Unreadable(e.to_string()))?;
        let known = Keys::load(conn, Purpose::Audit, now_ms, entropy)?.public();
        let message = message(read.seq, &read.hash, read.at_ms)?;
        let signature = unhex(&read.signature).ok_or(CheckpointError::Forged)?;
        let own = known.iter().any(|key| hex(key) == read.key && bundle::verify(key, DOMAIN, &message, &signature));
        if own { Ok(read) } else { Err(CheckpointError::Forged) }
    }
}
