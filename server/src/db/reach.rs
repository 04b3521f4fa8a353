//! Reaching a database: one connection to the one that the address means, and words for why there is none. They name the place and give
//! the driver's reason, never a password.

use diesel::r2d2::{ManageConnection, R2D2Connection as _};
use diesel::{Connection as _, ConnectionError, PgConnection, SqliteConnection};

use super::AnyConnection;

/// How the pool says that it waited in vain, before the reason if it has one.
const WAITED: &str = "timed out waiting for connection";

/// Makes the connections of a pool.
#[derive(Debug)]
pub struct Manager {
    target: Target,
}

/// Which database is meant.
#[derive(Clone)]
pub(super) enum Target {
    /// `postgres://...`
    Postgres(String),
    /// A file, as diesel wants it.
    Sqlite(String),
}

/// An address may hold a password.
impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place())
    }
}

impl Target {
    /// Where it is: host and port, or the file.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite(file) => file.strip_prefix("sqlite://").unwrap_or(file).to_owned(),
            Self::Postgres(url) => match host(url) {
                "" => "the host of its parameters, or this machine".to_owned(),
                host => host.to_owned(),
            },
        }
    }

    /// Why there is no connection, in one line: where, and the reason of driver or pool.
    pub(super) fn unreachable(&self, pool: &str) -> String {
        let reason = pool.strip_prefix(WAITED).map_or(pool, |rest| rest.trim_start_matches(": "));
        let reason = if reason.is_empty() { "no answer in time" } else { reason };
        if matches!(self, Self::Postgres(url) if is_misread(url)) {
            // The driver would quote half a password.
            return format!(
                "{}: write special characters of name and password as %40 for `@`, %2F for `/`",
                self.place()
            );
        }
        let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}: {}", self.place(), self.without_secrets(&line))
    }

    /// libpq quotes what it cannot read of an address.
    fn without_secrets(&self, text: &str) -> String {
        let Self::Postgres(url) = self else { return text.to_owned() };
        secrets(url).fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    fn connect(&self) -> Result<AnyConnection, ConnectionError> {
        match self {
            Self::Postgres(url) => PgConnection::establish(url).map(AnyConnection::Postgres),
            Self::Sqlite(file) => SqliteConnection::establish(file).map(AnyConnection::Sqlite),
        }
    }
}

/// What stands behind the scheme, and of it what stands before the last `@`.
fn parts(url: &str) -> (&str, Option<&str>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    (rest, rest.rsplit_once('@').map(|(account, _)| account))
}

/// Host and port; nothing where it cannot be told from what may be secret.
fn host(url: &str) -> &str {
    let (rest, account) = parts(url);
    let before_parameters = rest.split('?').next().unwrap_or_default();
    match (before_parameters.rsplit_once('@'), account) {
        (Some((_, host)), _) => host.split('/').next().unwrap_or_default(),
        (None, Some(_)) => "",
        (None, None) => before_parameters.split('/').next().unwrap_or_default(),
    }
}

/// Whether signs stand in name or password that have a meaning in an address: it is read otherwise than it was meant.
fn is_misread(url: &str) -> bool {
    let before_parameters = parts(url).0.split('?').next().unwrap_or_default();
    let account = before_parameters.rsplit_once('@').map_or("", |(account, _)| account);
    account.contains(['/', '@', '#', '['])
}

/// The passwords in an address: before the host, or among the parameters.
fn secrets(url: &str) -> impl Iterator<Item = &str> {
    let before = parts(url).1.and_then(|account| account.split_once(':')).map(|(_, password)| password);
    let among = url.split(['?', '&']).filter_map(|p| p.split_once("password=")).map(|(_, password)| password);
    before.into_iter().chain(among).filter(|secret| !secret.is_empty())
}

impl Manager {
    pub(super) fn new(target: Target) -> Self {
        Self { target }
    }
}

/// As diesel's own, which tries one kind of database after the other and tells of neither why not.
impl ManageConnection for Manager {
    type Connection = AnyConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<AnyConnection, Self::Error> {
        self.target.connect().map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), Self::Error> {
        conn.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_reach_a_database_is_told_where_and_why_and_no_password() {
        let told = |url: &str, pool: &str| Target::Postgres(url.into()).unreachable(pool);
        assert_eq!(
            told("postgres://u:s3cret@db:5432/f?x=1", "timed out waiting for connection: Connection refused\n\tIs it?"),
            "db:5432: Connection refused Is it?"
        );
        assert_eq!(told("postgres://db/f", "timed out waiting for connection"), "db: no answer in time");
        assert_eq!(told("postgres://u:s3%zz@db/f", "invalid token: \"s3%zz\""), "db: invalid token: \"***\"");
        let misread = told("postgres://u:s3/cr@t@db:1/f", "no host \"u:s3\"");
        assert!(misread.starts_with("db:1: ") && misread.contains("%2F") && !misread.contains("s3"), "{misread}");
        assert!(!told("postgres://db/f?password=s3@cret", "\"s3@cret\"").contains("cret"));
        assert!(!told("postgres:///f?user=a&password=s3cret", "no \"s3cret\"").contains("s3cret"));
        assert_eq!(Target::Sqlite("sqlite://a/b.db".into()).unreachable("no"), "a/b.db: no");
    }
}
