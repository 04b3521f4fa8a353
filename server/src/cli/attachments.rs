//! Commands about the contents of attachments: what is there, whether it is whole, what is no longer needed.

use clap::Subcommand;
use serde::Serialize;

use super::operate::noted;
use super::{Failure, open, say};
use crate::app::App;
use crate::config::Config;
use crate::objects::{ObjectsError, gc, transact, uploads, verify};

#[derive(Subcommand)]
pub(super) enum AttachmentsCommand {
    /// Tell where contents lie, how many there are, and what is under way.
    Status,
    /// Compare documents, database and store; end with 1 if something that was here is lost.
    Verify {
        /// Read every content and check its hash.
        #[arg(long)]
        deep: bool,
        /// Forget what is lost, so that phones that still hold it supply it again.
        #[arg(long)]
        repair: bool,
    },
    /// Collect expired uploads and what no document refers to. Runs by itself while a server runs.
    Gc {
        /// Only say what would be collected.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Serialize)]
struct Status {
    store: String,
    contents: u64,
    bytes: u64,
    referred_to: u64,
    missing: u64,
    uploads_open: u64,
    uploads_open_bytes: u64,
}

pub(super) fn attachments(config: Config, command: &AttachmentsCommand) -> Result<(), Failure> {
    let app = open(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match command {
        AttachmentsCommand::Status => {
            noted(&app.db, "attachments.status", "attachments")?;
            say(&serde_json::to_string_pretty(&runtime.block_on(status(&app))?)?)
        }
        AttachmentsCommand::Verify { deep, repair } => {
            noted(&app.db, if *repair { "attachments.repair" } else { "attachments.verify" }, "attachments")?;
            let report = runtime.block_on(verify::verify(&app, *deep, *repair))?;
            say(&serde_json::to_string_pretty(&report)?)?;
            if report.is_clean() || *repair {
                return Ok(());
            }
            Err(Failure::from("contents are lost; `--repair` makes phones supply them again"))
        }
        AttachmentsCommand::Gc { dry_run } => {
            if !dry_run {
                noted(&app.db, "attachments.collect", "attachments")?;
            }
            say(&serde_json::to_string_pretty(&runtime.block_on(gc::collect(&app, *dry_run))?)?)
        }
    }
}

async fn status(app: &App) -> Result<Status, ObjectsError> {
    let (store, now_ms) = (app.objects.place(), app.now_ms());
    transact(&app.db, move |conn| {
        let (contents, bytes) = uploads::contents(conn)?;
        let (referred_to, missing) = uploads::referred_to(conn)?;
        let (uploads_open, uploads_open_bytes) = uploads::under_way(conn, now_ms)?;
        Ok(Status { store, contents, bytes, referred_to, missing, uploads_open, uploads_open_bytes })
    })
    .await
}
