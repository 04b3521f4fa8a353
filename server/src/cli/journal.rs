//! `fengqiao journal`: moving what is old into files, checking them, taking them back.

use std::path::PathBuf;

use clap::Subcommand;
use sync_core::calendar::{beijing_ms, beijing_text};

use super::operate::noted;
use super::{Failure, open, say};
use crate::archive::{self, ArchiveError};
use crate::config::Config;
use crate::plain::cell;

#[derive(Subcommand)]
pub(super) enum JournalCommand {
    /// Move what arrived before a day into a new file. What it says stays readable from the saved documents.
    Archive {
        /// A day, such as 2025-01-01, in Beijing.
        #[arg(long, value_parser = day)]
        before: i64,
        /// The file to write.
        #[arg(long)]
        to: PathBuf,
    },
    /// How much lies where, and what has to be struck from which file.
    Status {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check a file: every change, and the checksum.
    Verify {
        /// The file.
        file: PathBuf,
    },
    /// Give the journal back what a file holds and it lacks.
    Return {
        /// The file.
        file: PathBuf,
    },
    /// Write a file anew without the documents that were erased since.
    Strike {
        /// The file.
        file: PathBuf,
    },
}

fn day(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no day; write it as 2025-01-01");
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return Err(wrong()) };
    let number = |part: &str| part.parse::<i64>().map_err(|_| wrong());
    let ms = beijing_ms(number(year)?, number(month)?, number(day)?, 0, 0);
    // 30 February would be a day in March.
    if beijing_text(ms).starts_with(text) && text.len() == 10 { Ok(ms) } else { Err(wrong()) }
}

/// What the asker can mend ends with 2.
fn told(error: ArchiveError) -> Failure {
    match error {
        ArchiveError::Db(error) => Failure::from(error),
        other => Failure::input(other),
    }
}

pub(super) fn run(config: Config, command: &JournalCommand) -> Result<(), Failure> {
    if let JournalCommand::Verify { file } = command {
        return say(&serde_json::to_string(&archive::verify(file).map_err(told)?)?);
    }
    let app = open(config)?;
    let now_ms = app.now_ms();
    match command {
        JournalCommand::Archive { before, to } => {
            if to.exists() {
                return Err(told(ArchiveError::Exists(to.display().to_string())));
            }
            let made = archive::make(&app.db, to, *before, now_ms, &app.entropy).map_err(told)?;
            say(&serde_json::to_string(&made)?)
        }
        JournalCommand::Status { json } => {
            let status = archive::status(&mut *app.db.get()?)?;
            noted(&app.db, "journal.status", "journal")?;
            if *json {
                return say(&serde_json::to_string(&status)?);
            }
            say(&format!("{} entries, {} of them archived", status.entries, status.archived))?;
            for file in status.archives {
                say(&format!("{}  {}  {} entries  sha256 {}", file.id, cell(&file.name), file.entries, file.sha256))?;
                file.to_strike.iter().try_for_each(|d| say(&format!("  to strike: {d}")))?;
            }
            Ok(())
        }
        JournalCommand::Verify { .. } => Ok(()),
        JournalCommand::Return { file } => {
            let back = archive::give_back(&app.db, file, now_ms, &app.entropy).map_err(told)?;
            say(&format!("{back} entries have their bytes again"))
        }
        JournalCommand::Strike { file } => {
            let struck = archive::strike(&app.db, file, now_ms, &app.entropy).map_err(told)?;
            say(&format!("{struck} entries struck"))
        }
    }
}
