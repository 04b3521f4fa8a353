//! Guessing passwords takes longer and longer, and never at somebody else's expense. Failures are counted for each account and
//! source: a phone that proves to hold its key, or an address. What strangers fail does not touch a source that the account knows;
//! to those that it does not know it leaves one attempt before they wait. A login that nobody has is counted like any other, so that
//! waiting tells nothing.
//!
//! Kept in the database: a restart gives a guesser no new attempts, and neither does another process. One write for a failure costs
//! less than the check of the password before it.

use std::net::IpAddr;

use diesel::prelude::*;
use sha2::{Digest, Sha256};
use sync_core::ids::DeviceId;
use sync_core::sync::bundle::verify;

use super::devices;
use super::users::User;
use crate::db::tables::login_sources;
use crate::db::{AnyConnection, DbError};
use crate::guard::counted;

/// What a phone signs to show that it is the one that asks to sign in, followed by its id, the login and the password, each on a
/// line. A copy of it is of use only to whoever knows the password.
pub const PROOF_DOMAIN: &[u8] = b"fengqiao-login:";

/// Failures before a source waits.
const FREE: i64 = 5;
/// The same for a source that the account does not know, while strangers guess.
const FREE_WHILE_GUESSED: i64 = 1;
/// Failures of strangers within [`STRANGERS_MS`] of each other that count as guessing.
const GUESSING: i64 = 20;
const STRANGERS_MS: i64 = 3_600_000;
/// The first wait, ms; it doubles with every further failure.
const WAIT_FIRST_MS: i64 = 2_000;
/// The same for a source that the account does not know, while strangers guess.
const WAIT_GUESSED_MS: i64 = 60_000;
const WAIT_MAX_MS: i64 = 15 * 60_000;
/// After this time without another failure nothing is held against a source, ms.
const FORGET_MS: i64 = 24 * 3_600_000;
/// For how long an address is known to an account after a success, ms.
const KNOWN_MS: i64 = 30 * 24 * 3_600_000;
/// Stands for all sources that the account does not know.
const STRANGERS: &str = "*";

/// Who tries to sign in, and from where.
#[derive(Debug, Clone)]
pub struct Attempt {
    account: String,
    source: String,
    /// True for a phone with its key, and for an address from which this account signed in lately.
    known: bool,
    failures: i64,
    failed_ms: i64,
    strangers: i64,
}

#[derive(Queryable, Default)]
struct Row {
    failures: i64,
    failed_ms: Option<i64>,
    succeeded_ms: Option<i64>,
}

impl Row {
    fn failures_since(&self, since_ms: i64) -> i64 {
        if self.failed_ms.is_some_and(|at| at >= since_ms) { self.failures } else { 0 }
    }
}

/// What a phone that names itself signs.
pub fn proof_message(device: DeviceId, login: &str, password: &str) -> Vec<u8> {
    format!("{device}\n{login}\n{password}").into_bytes()
}

/// Whether a phone that is registered to this account, and not revoked, has signed.
pub fn is_own_phone(
    conn: &mut AnyConnection,
    user: Option<&User>,
    device: DeviceId,
    message: &[u8],
    proof: &[u8],
) -> Result<bool, DbError> {
    let found = devices::find(conn, device)?.filter(|d| d.revoked_ms.is_none());
    let own = found.filter(|d| user.is_some_and(|u| u.id == d.user_id));
    Ok(own.and_then(|d| d.key()).is_some_and(|key| verify(&key, PROOF_DOMAIN, message, proof)))
}

impl Attempt {
    /// Looks up how a source stands with an account. `phone` has proved to be the account's own.
    pub fn look(
        conn: &mut AnyConnection,
        login: &str,
        phone: Option<DeviceId>,
        address: IpAddr,
        now_ms: i64,
    ) -> Result<Self, DbError> {
        let account: String = Sha256::digest(login.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        let source = match phone {
            Some(device) => format!("phone {device}"),
            None => format!("address {}", counted(address)),
        };
        let row = read(conn, &account, &source)?;
        let strangers = read(conn, &account, STRANGERS)?.failures_since(now_ms - STRANGERS_MS);
        let known = phone.is_some() || row.succeeded_ms.is_some_and(|at| at >= now_ms - KNOWN_MS);
        Ok(Self {
            account,
            source,
            known,
            failures: row.failures_since(now_ms - FORGET_MS),
            failed_ms: row.failed_ms.unwrap_or_default(),
            strangers,
        })
    }

    /// How long this source must wait before its next attempt, ms.
    pub fn wait_ms(&self, now_ms: i64) -> i64 {
        let guessed = !self.known && self.strangers >= GUESSING;
        let (free, first_ms) = if guessed { (FREE_WHILE_GUESSED, WAIT_GUESSED_MS) } else { (FREE, WAIT_FIRST_MS) };
        let over = self.failures - free;
        if over < 0 {
            return 0;
        }
        let wait_ms = first_ms.saturating_mul(1 << over.min(20)).min(WAIT_MAX_MS);
        self.failed_ms.saturating_add(wait_ms).saturating_sub(now_ms).clamp(0, WAIT_MAX_MS)
    }

    /// Notes that the password did not fit.
    pub fn failed(&self, conn: &mut AnyConnection, now_ms: i64) -> Result<(), DbError> {
        count(conn, &self.account, &self.source, now_ms, FORGET_MS)?;
        if !self.known {
            count(conn, &self.account, STRANGERS, now_ms, STRANGERS_MS)?;
        }
        Ok(())
    }

    /// Notes that it did: nothing is held against the source any more, and from now on the account knows it.
    pub fn succeeded(&self, conn: &mut AnyConnection, now_ms: i64) -> Result<(), DbError> {
        insert(conn, &self.account, &self.source)?;
        diesel::update(login_sources::table.find((&self.account, &self.source)))
            .set((login_sources::failures.eq(0), login_sources::succeeded_ms.eq(Some(now_ms))))
            .execute(conn)?;
        Ok(())
    }
}

fn read(conn: &mut AnyConnection, account: &str, source: &str) -> Result<Row, DbError> {
    let row = login_sources::table.find((account, source));
    let columns = (login_sources::failures, login_sources::failed_ms, login_sources::succeeded_ms);
    Ok(row.select(columns).first::<Row>(conn).optional()?.unwrap_or_default())
}

/// Makes the row if it is not there.
fn insert(conn: &mut AnyConnection, account: &str, source: &str) -> Result<(), DbError> {
    let values =
        (login_sources::account.eq(account), login_sources::source.eq(source), login_sources::failures.eq(0_i64));
    let insert = diesel::insert_into(login_sources::table).values(values).on_conflict_do_nothing();
    match conn {
        AnyConnection::Postgres(conn) => insert.execute(conn)?,
        AnyConnection::Sqlite(conn) => insert.execute(conn)?,
    };
    Ok(())
}

fn count(conn: &mut AnyConnection, account: &str, source: &str, now_ms: i64, forget_ms: i64) -> Result<(), DbError> {
    insert(conn, account, source)?;
    let row = || login_sources::table.find((account, source));
    diesel::update(row().filter(login_sources::failed_ms.lt(now_ms - forget_ms)))
        .set(login_sources::failures.eq(0))
        .execute(conn)?;
    diesel::update(row())
        .set((login_sources::failures.eq(login_sources::failures + 1), login_sources::failed_ms.eq(Some(now_ms))))
        .execute(conn)?;
    Ok(())
}

/// Forgets what is held against nobody any more; gives how many.
pub fn forget(conn: &mut AnyConnection, now_ms: i64) -> Result<usize, DbError> {
    let quiet = login_sources::failed_ms.is_null().or(login_sources::failed_ms.lt(now_ms - FORGET_MS));
    let strange = login_sources::succeeded_ms.is_null().or(login_sources::succeeded_ms.lt(now_ms - KNOWN_MS));
    Ok(diesel::delete(login_sources::table.filter(quiet).filter(strange)).execute(conn)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(known: bool, failures: i64, strangers: i64) -> i64 {
        let attempt =
            Attempt { account: "a".into(), source: "s".into(), known, failures, failed_ms: 1_000_000, strangers };
        attempt.wait_ms(1_000_000)
    }

    #[test]
    fn a_lock_out_grows_with_the_failures_of_its_source_and_has_an_end() {
        let waits: Vec<i64> = (3..9).map(|n| attempt(false, n, n)).collect();
        assert_eq!(waits, [0, 0, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(attempt(false, i64::MAX, 0), WAIT_MAX_MS);
    }

    #[test]
    fn a_lock_out_by_strangers_leaves_a_new_source_its_first_attempt_and_a_known_one_all_of_them() {
        assert_eq!([attempt(false, 0, 1_000), attempt(false, 1, 1_000)], [0, 60_000]);
        assert_eq!([attempt(true, 4, 1_000_000), attempt(true, 5, 1_000_000)], [0, 2_000]);
    }
}
