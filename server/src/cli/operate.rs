//! Commands of those who run the server.

use std::path::Path;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::{Demo, DemoArgs, Failure, open, say};
use crate::accounts::keys::{Keys, Purpose};
use crate::app::App;
use crate::areas;
use crate::audit::{Act, Origin};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::db::{AnyConnection, Database};
use sync_core::time::Clock as _;

/// The largest import file accepted.
const IMPORT_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key that is used from now on. What the old one signed stays good: access tokens until they expire, time tokens
    /// for ever.
    Rotate {
        /// Somebody has the old key: nothing that it signed is believed any more.
        #[arg(long)]
        at_once: bool,
        /// What the key signs.
        #[arg(long, value_enum, default_value = "access")]
        purpose: KeyPurpose,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum KeyPurpose {
    /// Access tokens.
    Access,
    /// Time tokens of phones.
    Time,
    /// Relay: phones seal to the new key after their next sync; the old one still opens.
    Relay,
}

pub(super) fn serve(config: Config, migrate: bool) -> Result<(), Failure> {
    let app = App::open(config, Arc::new(SystemClock), migrate)?;
    let running = crate::run::serve_app(Arc::new(app))?;
    tracing::info!(url = running.url(), "listening");
    Ok(running.until_signal()?)
}

/// The demo's people have passwords that everybody can read: they are let into no database that holds anybody else, or anything.
pub(super) fn demo(config: Config, args: &DemoArgs, demo: Demo) -> Result<(), Failure> {
    if args.keep_database && Database::open(&config.database)?.is_used()? {
        return Err(Failure::input(
            "--keep-database: the database holds accounts or records already; name a new one with --database, or leave the flag out",
        ));
    }
    Ok(demo(args, config)?)
}

pub(super) fn migrate(config: &Config) -> Result<(), Failure> {
    let db = Database::open(&config.database)?;
    let ran = db.migrate()?;
    let Some(last) = ran.last() else { return say("nothing to migrate") };
    noted(&db, "tables.migrate", last)?;
    ran.iter().try_for_each(|name| say(&format!("migrated {name}")))
}

pub(super) fn import(config: Config, file: &Path) -> Result<(), Failure> {
    let unreadable = |e: std::io::Error| Failure::input(format!("{}: {e}", file.display()));
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if size > IMPORT_BYTES_MAX {
        return Err(Failure::input(format!("{}: {size} bytes; an import file has at most 16 MiB", file.display())));
    }
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let at_fault = |e: areas::ImportError| match e {
        areas::ImportError::Db(e) => Failure::from(e),
        e => Failure::input(format!("{}: {e}", file.display())),
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let plan = areas::parse(&name, &bytes).map_err(at_fault)?;
    let app = open(config)?;
    let import = |conn: &mut AnyConnection| -> Result<areas::Imported, areas::ImportError> {
        let done = areas::import(conn, &plan, app.now_ms(), &app.entropy)?;
        let detail = json!({ "areas": done.areas_added, "users": done.users_added });
        let act = Act::new(&Origin::operator(), "areas.import", "areas").detail(detail);
        act.record(conn, app.now_ms(), &app.entropy)?;
        Ok(done)
    };
    let done = app.db.transaction(import).map_err(at_fault)?;
    say(&format!(
        "areas: {} added, {} known; accounts: {} added",
        done.areas_added, done.areas_known, done.users_added
    ))?;
    // The file gave these people no password; it is shown here once and stored nowhere.
    done.passwords.iter().try_for_each(|(login, password)| say(&format!("first password of {login}: {password}")))
}

pub(super) fn keys(config: Config, command: &KeysCommand) -> Result<(), Failure> {
    let KeysCommand::Rotate { purpose, at_once } = command;
    let purpose = match purpose {
        KeyPurpose::Access => Purpose::Access,
        KeyPurpose::Time => Purpose::Time,
        KeyPurpose::Relay => Purpose::Relay,
    };
    let keep_ms = match (at_once, purpose) {
        (true, Purpose::Relay) => {
            return Err(Failure::input(
                "what is sealed to a relay key can only be opened with it; it is never retired",
            ));
        }
        (true, _) => Some(0),
        (false, Purpose::Access) => Some(config.access_minutes.saturating_add(1).saturating_mul(60_000)),
        // A phone that was offline for months shows tokens of that time.
        (false, _) => None,
    };
    let app = open(config)?;
    let kid = app.db.transaction(|conn| -> Result<_, crate::db::DbError> {
        let kid = Keys::rotate(conn, purpose, app.now_ms(), keep_ms, &app.entropy)?;
        Act::new(&Origin::operator(), "keys.rotate", &kid).record(conn, app.now_ms(), &app.entropy)?;
        Ok(kid)
    })?;
    say(&format!("key {kid} is used from now on"))
}

pub(super) fn rebuild(config: Config, check: bool) -> Result<(), Failure> {
    let app = open(config)?;
    if !check {
        noted(&app.db, "tables.rebuild", "tables")?;
    }
    let report = crate::rebuild::rebuild(&app.db, &app.law, !check)?;
    say(&serde_json::to_string_pretty(&report)?)?;
    if check && !report.is_clean() {
        return Err(Failure::from("the tables differ from the journal; run `fengqiao rebuild`"));
    }
    Ok(())
}

/// Writes down what the operator does, when it is no transaction of its own.
pub(super) fn noted(db: &Database, action: &'static str, object: impl ToString) -> Result<(), Failure> {
    let act = Act::new(&Origin::operator(), action, object);
    Ok(db.transaction(|conn| act.record(conn, SystemClock.now_ms(), &crate::clock::SystemEntropy))?)
}

/// Writes down what the operator looks at, before it is shown, and how much of it.
pub(super) fn looked(
    db: &Database,
    action: &'static str,
    object: impl ToString,
    detail: serde_json::Value,
) -> Result<(), Failure> {
    let act = Act::new(&Origin::operator(), action, object).detail(detail);
    Ok(db.transaction(|conn| act.record(conn, SystemClock.now_ms(), &crate::clock::SystemEntropy))?)
}

pub(super) fn backup(config: Config, file: &Path, force: bool) -> Result<(), Failure> {
    if !force && file.exists() {
        let shown = file.display();
        return Err(Failure::input(format!("{shown} exists; name another file, or write over it with --force")));
    }
    let objects = crate::objects::Objects::open(&config)?.place();
    let db = Database::open(&config.database)?;
    if !db.ready()? {
        return Err(Failure::from("the database has pending migrations; run `fengqiao migrate`"));
    }
    // Before the file is made: it holds everything.
    noted(&db, "backup.make", file.file_name().unwrap_or_default().to_string_lossy())?;
    let records = crate::backup::backup(&db, file)?;
    say(&format!("{records} records in {}; copy the contents of attachments too: {objects}", file.display()))
}
