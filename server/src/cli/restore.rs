//! Commands for a server that was lost: restoring a backup, and watching how phones supply it again.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use sync_core::ids::JournalId;
use sync_core::time::Clock as _;

use super::{Failure, open, say};
use crate::audit::{Act, Origin};
use crate::backup::BackupError;
use crate::clock::{SystemClock, SystemEntropy};
use crate::config::Config;
use crate::db::Database;
use crate::plain::cell;
use crate::restore::{self, PhoneState, RestoreStatus};

#[derive(Subcommand)]
pub(super) enum RestoreCommand {
    /// Tell from which backup this server began, what came back since, and phone by phone what is still to come.
    Status {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Take a journal for that of a life of this server which the backup does not know, because it was lost before a backup was
    /// made: what phones can prove of it is taken too.
    Know {
        /// Its identity, as a refused phone names it.
        journal: String,
    },
}

/// What `fengqiao restore` is asked: a file to restore, or something about a restore.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Asked {
    /// The file to read. One that is named like a command needs its folder: `./status`.
    #[arg(required = true)]
    file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<RestoreCommand>,
}

pub(super) fn run(config: Config, asked: Asked) -> Result<(), Failure> {
    match (asked.command, asked.file) {
        (Some(RestoreCommand::Status { json }), _) => status(config, json),
        (Some(RestoreCommand::Know { journal }), _) => know(config, &journal),
        (None, Some(file)) => restore_file(&config, &file),
        (None, None) => Err(Failure::input("name the backup to restore")),
    }
}

fn restore_file(config: &Config, file: &Path) -> Result<(), Failure> {
    let law = crate::app::law(config)?;
    let db = Database::open(&config.database)?;
    db.migrate()?;
    let records =
        crate::backup::restore(&db, &law, file, SystemClock.now_ms(), &SystemEntropy).map_err(|e| match e {
            BackupError::Db(e) => Failure::from(e),
            e => Failure::input(e),
        })?;
    say(&format!(
        "{records} records restored; the journal has a new identity, and phones will hand in again what is missing: \
         `fengqiao restore status` tells how far they are. \
         What the store of attachments still holds is found again by itself; `fengqiao attachments verify` tells what is missing"
    ))
}

fn know(config: Config, journal: &str) -> Result<(), Failure> {
    let id: JournalId =
        journal.parse().map_err(|_| Failure::input(format!("`{journal}` is not the identity of a journal")))?;
    let app = open(config)?;
    let fresh = app.db.transaction(|conn| -> Result<bool, crate::db::DbError> {
        let fresh = restore::know(conn, id)?;
        Act::new(&Origin::operator(), "restore.know", id).record(conn, app.now_ms(), &app.entropy)?;
        Ok(fresh)
    })?;
    say(if fresh { "known from now on; phones hand in what is of it with their next sync" } else { "it was known" })
}

fn status(config: Config, json: bool) -> Result<(), Failure> {
    let app = open(config)?;
    let status = app.db.transaction(|conn| -> Result<RestoreStatus, crate::db::DbError> {
        Act::new(&Origin::operator(), "restore.read", "restore").record(conn, app.now_ms(), &app.entropy)?;
        restore::status(conn, app.journal)
    })?;
    if json {
        return say(&serde_json::to_string(&status)?);
    }
    let Some(restored) = &status.restored else {
        return say(&format!("journal {}: never restored", status.journal));
    };
    let time = |ms: i64| sync_core::calendar::beijing_text(ms);
    say(&format!(
        "journal {}\nrestored {} from a backup whose newest entry is of {} ({} documents, {} changes, journal {})",
        status.journal,
        time(restored.restored_ms),
        time(restored.backup_ms),
        restored.documents,
        restored.changes,
        restored.former_journal,
    ))?;
    say(&format!(
        "brought back: {} changes in {} documents; now {} documents, {} changes; attachments: {} named, {} missing, {} of them lost{}",
        status.resupplied_changes,
        status.resupplied_documents,
        status.documents,
        status.changes,
        status.attachments,
        status.attachments_missing,
        status.attachments_lost,
        if status.attachments_looked { "" } else { "; the store is still being looked through" },
    ))?;
    for person in &status.people_lost {
        let name = cell(person.name.as_deref().unwrap_or("somebody"));
        say(&format!("{name} wrote and has no account: `fengqiao user add LOGIN --name {name} --id {}`", person.id))?;
    }
    for phone in &status.phones {
        let state = match phone.state {
            PhoneState::NotSeen => "not seen since".to_owned(),
            PhoneState::UnderWay => format!("under way, {} documents open", phone.open_documents),
            PhoneState::Done => format!("done {}", phone.done_ms.map(time).unwrap_or_default()),
        };
        let mut line = format!("{} ({}, {}): {state}", cell(&phone.user), cell(&phone.name), phone.device);
        line.push_str(&format!("; brought back {} changes in {} documents", phone.changes, phone.documents));
        for (code, n) in &phone.lacking {
            line.push_str(&format!("; {n} documents not taken: {code}"));
        }
        say(&line)?;
    }
    Ok(())
}
