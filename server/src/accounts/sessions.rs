//! Sessions: one family of refresh tokens each. A token is replaced at every use; the one before stays valid until its successor
//! is used, because a stairwell loses answers; one that is older than that has been copied, and ends the family.

use diesel::prelude::*;
use sha2::{Digest, Sha256};
use sync_core::ids::{DeviceId, Entropy, UserId};
use sync_core::sync::bundle::verify;
use uuid::Uuid;

use super::devices;
use crate::db::tables::{sessions, spent_tokens};
use crate::db::{AnyConnection, DbError};

/// What a device signs to show that a refresh token is in its own hands, followed by the token.
pub const PROOF_DOMAIN: &[u8] = b"fengqiao-refresh:";

#[derive(Debug, Clone, Queryable)]
struct Row {
    id: String,
    user_id: String,
    device_id: Option<String>,
    current_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    created_ms: i64,
    expires_ms: i64,
    revoked_ms: Option<i64>,
}

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Days after its last refresh.
    pub idle_days: i64,
    /// Days after the sign-in, however often it is refreshed.
    pub whole_days: i64,
}

impl Lifetime {
    fn end_ms(&self, opened_ms: i64, now_ms: i64) -> i64 {
        let after = |ms: i64, days: i64| ms.saturating_add(days.saturating_mul(86_400_000));
        after(now_ms, self.idle_days).min(after(opened_ms, self.whole_days))
    }
}

/// A session that has just been opened or refreshed.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its id.
    pub session: Uuid,
    /// Whose.
    pub user: UserId,
    /// The device it is bound to.
    pub device: Option<DeviceId>,
    /// The refresh token, shown once.
    pub refresh_token: String,
}

/// Why a refresh token is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Unknown, expired or revoked.
    #[error("the session has ended; sign in again")]
    Ended,
    /// Used twice: the family is revoked.
    #[error("this token was used before; the session was closed for safety, sign in again")]
    Reused,
    /// The device did not prove that it holds its key.
    #[error("`proof` is not this device's signature of the token")]
    BadProof,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for RefreshError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

fn fresh_token(entropy: &dyn Entropy) -> String {
    use base64::Engine as _;
    let mut secret = [0; 32];
    entropy.fill(&mut secret);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret)
}

/// Opens a session.
pub fn open(
    conn: &mut AnyConnection,
    user: UserId,
    device: Option<DeviceId>,
    now_ms: i64,
    lifetime: &Lifetime,
    entropy: &dyn Entropy,
) -> Result<Opened, DbError> {
    let session = UserId::from_parts(now_ms, entropy.ten()).0;
    let refresh_token = fresh_token(entropy);
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(session.to_string()),
            sessions::user_id.eq(user.to_string()),
            sessions::device_id.eq(device.map(|d| d.to_string())),
            sessions::current_hash.eq(hash(&refresh_token)),
            sessions::created_ms.eq(now_ms),
            sessions::expires_ms.eq(lifetime.end_ms(now_ms, now_ms)),
        ))
        .execute(conn)?;
    Ok(Opened { session, user, device, refresh_token })
}

/// A session that a browser shows its token for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The session.
    pub session: Uuid,
    /// Whose.
    pub user: UserId,
    /// When it ends unless it is used again, ms UTC.
    pub expires_ms: i64,
}

/// The session of a token that a browser keeps in a cookie; it lives on as long as it is used. The token is not replaced: script cannot
/// read it, and pages are asked for several at a time. A session that is bound to a phone is none for a browser.
pub fn shown(
    conn: &mut AnyConnection,
    token: &str,
    now_ms: i64,
    lifetime: &Lifetime,
) -> Result<Option<Shown>, DbError> {
    let found = sessions::table.filter(sessions::current_hash.eq(hash(token))).first::<Row>(conn).optional()?;
    let stands = |r: &Row| r.revoked_ms.is_none() && r.expires_ms > now_ms && r.device_id.is_none();
    let Some(row) = found.filter(stands) else { return Ok(None) };
    let broken = || DbError::Row(format!("session {}", row.id));
    let session = Uuid::parse_str(&row.id).map_err(|_| broken())?;
    let user = row.user_id.parse().map_err(|_| broken())?;
    let later_ms = lifetime.end_ms(row.created_ms, now_ms);
    // Not with every page: an hour more or less does not matter to anybody.
    if later_ms > row.expires_ms.saturating_add(3_600_000) {
        diesel::update(sessions::table.find(&row.id)).set(sessions::expires_ms.eq(later_ms)).execute(conn)?;
    }
    Ok(Some(Shown { session, user, expires_ms: later_ms.max(row.expires_ms) }))
}

/// Whether a session still stands.
pub fn stands(conn: &mut AnyConnection, session: Uuid) -> Result<bool, DbError> {
    let revoked: Option<Option<i64>> =
        sessions::table.find(session.to_string()).select(sessions::revoked_ms).first(conn).optional()?;
    Ok(matches!(revoked, Some(None)))
}

/// Replaces a refresh token. An error that must be remembered ([`RefreshError::Reused`]) is given as `Ok(Err(..))`, so that the
/// transaction is kept.
pub fn refresh(
    conn: &mut AnyConnection,
    token: &str,
    proof: Option<&[u8]>,
    now_ms: i64,
    lifetime: &Lifetime,
    entropy: &dyn Entropy,
) -> Result<Result<Opened, RefreshError>, RefreshError> {
    let presented = hash(token);
    let shown = || sessions::current_hash.eq(hash(token)).or(sessions::previous_hash.eq(Some(hash(token))));
    // Locked before it is read: the same token may be sent twice at once.
    diesel::update(sessions::table.filter(shown())).set(sessions::revoked_ms.eq(sessions::revoked_ms)).execute(conn)?;
    let found = sessions::table.filter(shown()).first::<Row>(conn).optional()?;
    let Some(row) = found else {
        let spent: Option<String> =
            spent_tokens::table.find(&presented).select(spent_tokens::session_id).first(conn).optional()?;
        let Some(session) = spent else { return Ok(Err(RefreshError::Ended)) };
        diesel::update(sessions::table.find(session)).set(sessions::revoked_ms.eq(Some(now_ms))).execute(conn)?;
        return Ok(Err(RefreshError::Reused));
    };
    if row.revoked_ms.is_some() || row.expires_ms <= now_ms {
        return Ok(Err(RefreshError::Ended));
    }
    let device: Option<DeviceId> = row.device_id.as_deref().and_then(|d| d.parse().ok());
    if let Some(device) = device {
        let known = devices::find(conn, device)?.filter(|d| d.revoked_ms.is_none());
        let key = known.and_then(|d| d.key()).ok_or(RefreshError::Ended)?;
        if !proof.is_some_and(|p| verify(&key, PROOF_DOMAIN, token.as_bytes(), p)) {
            return Ok(Err(RefreshError::BadProof));
        }
    }
    let refresh_token = fresh_token(entropy);
    let previous = if presented == row.current_hash {
        // The successor is used: what came before it is spent.
        if let Some(spent) = row.previous_hash {
            diesel::insert_into(spent_tokens::table)
                .values((spent_tokens::hash.eq(spent), spent_tokens::session_id.eq(&row.id)))
                .execute(conn)?;
        }
        row.current_hash
    } else {
        // The answer with the successor was lost; whoever shows that successor now did not get it from us.
        diesel::insert_into(spent_tokens::table)
            .values((spent_tokens::hash.eq(row.current_hash), spent_tokens::session_id.eq(&row.id)))
            .execute(conn)?;
        presented
    };
    diesel::update(sessions::table.find(&row.id))
        .set((
            sessions::current_hash.eq(hash(&refresh_token)),
            sessions::previous_hash.eq(Some(previous)),
            sessions::expires_ms.eq(lifetime.end_ms(row.created_ms, now_ms)),
        ))
        .execute(conn)?;
    let user = row.user_id.parse().map_err(|_| DbError::Row(format!("session {}", row.id)))?;
    let session = Uuid::parse_str(&row.id).map_err(|_| DbError::Row(format!("session {}", row.id)))?;
    Ok(Ok(Opened { session, user, device, refresh_token }))
}

/// Ends a session.
pub fn revoke(conn: &mut AnyConnection, session: Uuid, now_ms: i64) -> Result<(), DbError> {
    diesel::update(sessions::table.find(session.to_string()))
        .set(sessions::revoked_ms.eq(Some(now_ms)))
        .execute(conn)?;
    Ok(())
}

/// Ends every session of a device.
pub fn revoke_device(conn: &mut AnyConnection, device: DeviceId, now_ms: i64) -> Result<(), DbError> {
    diesel::update(sessions::table.filter(sessions::device_id.eq(Some(device.to_string()))))
        .set(sessions::revoked_ms.eq(Some(now_ms)))
        .execute(conn)?;
    Ok(())
}
