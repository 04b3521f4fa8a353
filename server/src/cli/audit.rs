//! Commands for the audit log: list, verify, checkpoint.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Failure, open, say};
use crate::audit::{self, Act, Checkpoint, CheckpointError, Filter, Origin};
use crate::config::Config;
use crate::plain::cell;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// List rows, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// One JSON object a row.
        #[arg(long)]
        json: bool,
    },
    /// Check the chain; ends with 1 and names the first bad row if it is broken.
    Verify {
        /// A checkpoint that was held elsewhere; may be given several times.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
    },
    /// Print a signed checkpoint; keep it where those who run this server cannot reach it.
    Checkpoint,
}

pub(super) fn run(config: Config, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::List { filter, json } => list(config, &filter, json),
        AuditCommand::Verify { checkpoint } => verify(config, &checkpoint),
        AuditCommand::Checkpoint => {
            let app = open(config)?;
            say(&serde_json::to_string(&audit::checkpoint(&app.db, app.now_ms(), &app.entropy)?)?)
        }
    }
}

fn list(config: Config, filter: &Filter, json: bool) -> Result<(), Failure> {
    let app = open(config)?;
    audit::seal(&app.db)?;
    let page = app.db.transaction(|conn| -> Result<_, Failure> {
        let page = audit::page(conn, filter, None)?.ok_or_else(|| Failure::input("--limit: use 1 to 500"))?;
        let detail = serde_json::json!({ "rows": page.items.len() });
        Act::new(&Origin::operator(), "audit.read", "audit").detail(detail).record(conn, app.now_ms(), &app.entropy)?;
        Ok(page)
    })?;
    for row in &page.items {
        if json {
            say(&serde_json::to_string(row)?)?;
        } else {
            let seq = row.seq.map_or_else(|| "-".into(), |s| s.to_string());
            say(&format!(
                "{seq}\t{}\t{}\t{}\t{}\t{}\t{}",
                row.at_ms,
                cell(&row.actor),
                cell(&row.origin),
                cell(&row.action),
                cell(&row.object),
                cell(&row.reason)
            ))?;
        }
    }
    match page.next {
        Some(cursor) if !json => say(&format!("more: --cursor {cursor}")),
        _ => Ok(()),
    }
}

fn verify(config: Config, files: &[PathBuf]) -> Result<(), Failure> {
    let app = open(config)?;
    let mut checkpoints = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| Failure::input(format!("{}: {e}", file.display())))?;
        let read = Checkpoint::read(&mut *app.db.get()?, &text, app.now_ms(), &app.entropy).map_err(|e| match e {
            CheckpointError::Db(e) => Failure::from(e),
            e => Failure::input(format!("{}: {e}", file.display())),
        })?;
        checkpoints.push(read);
    }
    let report = audit::verify(&app.db, &checkpoints)?;
    say(&serde_json::to_string_pretty(&report)?)?;
    match report.bad {
        None => Ok(()),
        Some(bad) => Err(Failure::from(format!("the audit log is broken at row {}: {}", bad.seq, bad.what))),
    }
}
