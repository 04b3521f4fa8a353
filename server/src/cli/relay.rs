//! Commands for relay: handing in files that phones exported, and looking at what could not be opened.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use sync_core::limits;
use sync_core::relay::{Container, RelayError};
use sync_core::sync::relay::ParcelOutcome;

use super::{Failure, open, say};
use crate::audit::Origin;
use crate::config::Config;
use crate::http::relay::ParcelView;
use crate::relay;

#[derive(Subcommand)]
pub(super) enum RelayCommand {
    /// Hand in relay files: parcels, or the text of their QR codes, one in a line. Prints one JSON object a parcel.
    Import {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Where to write the receipts to be taken back; never over an existing file.
        #[arg(long, value_name = "OUT")]
        receipts: Option<PathBuf>,
    },
    /// List the parcels that could not be opened, last first.
    Refused,
}

/// The largest file that is read: as many of the largest parcels as a phone carries.
const FILE_BYTES_MAX: usize = limits::CARRIED_BYTES_MAX * 2;

pub(super) fn relay(config: Config, command: &RelayCommand) -> Result<(), Failure> {
    match command {
        RelayCommand::Import { files, receipts } => import(config, files, receipts.as_deref()),
        RelayCommand::Refused => {
            let app = open(config)?;
            let refused = relay::refused_parcels(&mut *app.db.get()?)?;
            refused.iter().try_for_each(|parcel| say(&serde_json::to_string(parcel)?))
        }
    }
}

/// All files are read and checked before anything is handed in.
fn import(config: Config, files: &[PathBuf], receipts: Option<&Path>) -> Result<(), Failure> {
    let mut parcels = Vec::new();
    for file in files {
        parcels.extend(read(file).map_err(|e| Failure::input(format!("{}: {e}", file.display())))?);
    }
    if let Some(out) = receipts.filter(|out| out.exists()) {
        return Err(Failure::input(format!("{} exists; name another file for the receipts", out.display())));
    }
    let app = open(config)?;
    let mut settled = Vec::new();
    let mut refused = 0;
    for parcel in &parcels {
        let one = relay::take(&app, parcel.bytes(), &Origin::operator())?;
        refused += usize::from(matches!(one.answer.outcome, ParcelOutcome::Refused(..)));
        say(&serde_json::to_string(&ParcelView::from(&one))?)?;
        settled.push(one);
    }
    if let (Some(out), Some(container)) = (receipts, relay::receipts(&app, &settled)?) {
        std::fs::write(out, container.bytes())?;
    }
    if refused > 0 {
        return Err(Failure::from(format!("{refused} of {} parcels were refused", parcels.len())));
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<Container>, Box<dyn std::error::Error + Send + Sync>> {
    let size = std::fs::metadata(file)?.len();
    if size > u64::try_from(FILE_BYTES_MAX)? {
        return Err(RelayError::TooLarge { max: FILE_BYTES_MAX, what: "bytes" }.into());
    }
    Ok(Container::parse_file(&std::fs::read(file)?)?)
}
