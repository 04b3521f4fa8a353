//! Commands for erasure by law. The operator's machine knows no second person: who asked and who decided stand in the audit log.

use clap::{Args, Subcommand};
use serde_json::json;
use sync_core::ids::DocumentId;

use super::operate::{looked, noted};
use super::{Failure, open, say};
use crate::app::App;
use crate::audit::Origin;
use crate::config::Config;
use crate::erasure::{self, ErasureError, Wish};

#[derive(Subcommand)]
pub(super) enum EraseCommand {
    /// Ask that a party be erased from a case: its entry, its statements, its name and numbers in the texts.
    Person {
        /// The case.
        document: DocumentId,
        /// The party's id.
        party: String,
        #[command(flatten)]
        why: Why,
    },
    /// Ask that a whole case or patrol record be erased.
    Case {
        /// The document.
        document: DocumentId,
        #[command(flatten)]
        why: Why,
    },
    /// Ask that an attachment be erased from a document.
    Attachment {
        /// The document.
        document: DocumentId,
        /// The hash of its content.
        hash: String,
        #[command(flatten)]
        why: Why,
    },
    /// List what was asked and decided, one JSON object each.
    List,
    /// Erase what somebody asked for. It cannot be taken back.
    Approve {
        /// The erasure.
        id: String,
    },
    /// Do not erase it.
    Decline {
        /// The erasure.
        id: String,
    },
    /// Look for what is left of an erased document; ends with 1 if something is, or a phone has not confirmed.
    Verify {
        /// The document that was erased.
        document: DocumentId,
        /// A word that stood in it, looked for in every table and, on SQLite, in the database's files. Can be given several times.
        #[arg(long)]
        word: Vec<String>,
    },
    /// Make the database's files forget what its tables no longer hold (VACUUM).
    Scrub,
}

#[derive(Args)]
pub(super) struct Why {
    /// Why: 8 to 500 characters, without numbers of persons. It stays in the audit log.
    #[arg(long)]
    reason: String,
}

fn at_fault(error: ErasureError) -> Failure {
    match error {
        ErasureError::Db(_) | ErasureError::Objects(_) | ErasureError::Remake(_) => Failure::from(error),
        ErasureError::Reason(e) => Failure::input(format!("{e}: {}", e.remedy())),
        other => Failure::input(other),
    }
}

pub(super) fn run(config: Config, command: EraseCommand) -> Result<(), Failure> {
    let app = open(config)?;
    let ask = |kind: &str, document, part: String, why: Why| {
        let wish = Wish { kind: kind.into(), document, part, reason: why.reason };
        let asked = app
            .db
            .transaction(|conn| erasure::ask(conn, &app.context(), &Origin::operator(), &wish))
            .map_err(at_fault)?;
        say(&format!("asked; erase it with `fengqiao erase approve {}`", asked.id))
    };
    match command {
        EraseCommand::Person { document, party, why } => ask("person", document, party, why),
        EraseCommand::Case { document, why } => ask("case", document, String::new(), why),
        EraseCommand::Attachment { document, hash, why } => ask("attachment", document, hash, why),
        EraseCommand::List => {
            let all = erasure::list(&mut *app.db.get()?, None)?;
            looked(&app.db, "erasure.list", "erasures", json!({ "found": all.len() }))?;
            all.iter().try_for_each(|e| say(&serde_json::to_string(e)?))
        }
        EraseCommand::Approve { id } => decide(&app, &id, true),
        EraseCommand::Decline { id } => decide(&app, &id, false),
        EraseCommand::Verify { document, word } => {
            looked(&app.db, "erasure.proof", document, json!({ "words": word.len() }))?;
            let proof = runtime()?.block_on(erasure::prove(&app, document, word)).map_err(at_fault)?;
            say(&serde_json::to_string_pretty(&proof)?)?;
            if proof.is_complete() { Ok(()) } else { Err(Failure::from("the erasure is not complete")) }
        }
        EraseCommand::Scrub => {
            noted(&app.db, "erasure.scrub", "tables")?;
            Ok(erasure::scrub(&app.db)?)
        }
    }
}

fn decide(app: &App, id: &str, approve: bool) -> Result<(), Failure> {
    let decide = |conn: &mut _| erasure::decide(conn, &app.context(), &Origin::operator(), id, approve, true);
    let successor = app.db.transaction(decide).map_err(at_fault)?;
    if !approve {
        return say("declined");
    }
    erasure::scrub(&app.db)?;
    runtime()?.block_on(erasure::contents::clear(app)).map_err(|e| {
        Failure::from(format!(
            "erased; contents could not be deleted from the store: {e}. The next collection tries again"
        ))
    })?;
    match successor {
        Some(successor) => say(&format!("erased; what is left is {successor}")),
        None => say("erased"),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
