//! Commands for retention rules.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::operate::looked;
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
    let app = open(config)?;
    let rules = match file {
        Some(file) => rules(&file)?,
        None => app.retention.clone(),
    };
    let due = if act {
        // Only sealed rows can be deleted from the audit log.
        audit::seal(&app.db)?;
        let apply = |conn: &mut _| -> Result<_, ErasureError> {
            retention::apply(conn, &app.context(), &Origin::operator(), &rules)
        };
        app.db.transaction(apply)?
    } else {
        let due = retention::report(&mut *app.db.get()?, &rules, app.now_ms())?;
        let cases: usize = due.iter().map(|d| d.cases.len()).sum();
        looked(&app.db, "retention.report", "retention", serde_json::json!({ "cases": cases }))?;
        due
    };
    say(&serde_json::to_string_pretty(&due)?)
}

fn rules(file: &Path) -> Result<Rules, Failure> {
    let at_fault = |e: &dyn std::fmt::Display| Failure::input(format!("{}: {e}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| at_fault(&e))?;
    Rules::parse(&text).map_err(|e| at_fault(&e))
}
