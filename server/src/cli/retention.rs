//! Commands for retention rules.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, open, say};
use crate::audit::{self, Origin};
use crate::config::Config;
use crate::erasure::ErasureError;
use crate::retention::{self, Rules};

#[derive(Subcommand)]
pub(super) enum RetentionCommand {
    /// Say what is due.
    Report {
        /// A rule file in place of the shipped one.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
    /// Delete technical rows that are due, and put closed case files forward for erasure.
    Apply {
        /// A rule file in place of the shipped one.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(config: Config, command: RetentionCommand) -> Result<(), Failure> {
    let (file, act) = match command {
        RetentionCommand::Report { rules } => (rules, false),
        RetentionCommand::Apply { rules, dry_run } => (rules, !dry_run),
    };
    let rules = rules(file.as_deref())?;
    let app = open(config)?;
    let due = if act {
        // Only sealed rows can be deleted from the audit log.
        audit::seal(&app.db)?;
        let apply = |conn: &mut _| -> Result<_, ErasureError> {
            retention::apply(conn, &app.context(), &Origin::operator(), &rules)
        };
        app.db.transaction(apply)?
    } else {
        retention::report(&mut *app.db.get()?, &rules, app.now_ms())?
    };
    say(&serde_json::to_string_pretty(&due)?)
}

fn rules(file: Option<&Path>) -> Result<Rules, Failure> {
    let Some(file) = file else { return Rules::parse(schema::RETENTION).map_err(Failure::input) };
    let at_fault = |e: &dyn std::fmt::Display| Failure::input(format!("{}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| at_fault(&e))?;
    Rules::parse(&text).map_err(|e| at_fault(&e))
}
