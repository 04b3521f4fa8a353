//! Commands for what was refused: reading and deciding it, in the name of an account that may.

use clap::Subcommand;
use diesel::Connection as _;
use serde_json::json;
use sync_core::authority::Subject;

use super::{Failure, open, say};
use crate::accounts::{grants, users};
use crate::app::App;
use crate::audit::{Act, Origin};
use crate::config::Config;
use crate::db::{AnyConnection, DbError};
use crate::quarantine::{self, Decided, DecisionError};
use crate::queries::{self, QuarantineFilter};

#[derive(Subcommand)]
pub(super) enum QuarantineCommand {
    /// List refused changes, one JSON object a line.
    List {
        /// The login of a supervisor.
        #[arg(long = "as", value_name = "LOGIN")]
        login: String,
        /// waiting, accepted or dismissed.
        #[arg(long)]
        state: Option<String>,
        /// Only those that somebody decided (true), or only those that wait (false).
        #[arg(long)]
        decided: Option<bool>,
        /// Who wrote it: the account, its login, or part of the name.
        #[arg(long)]
        author: Option<String>,
        /// Why it was refused: a code such as `not_allowed`.
        #[arg(long)]
        code: Option<String>,
        /// What must occur in what was said of the refusal.
        #[arg(long)]
        detail: Option<String>,
        /// What must occur in the reason of the decision.
        #[arg(long)]
        reason: Option<String>,
        /// What must occur in the preview.
        #[arg(long)]
        text: Option<String>,
        /// Arrived at or after this: `2019-05-17` or `2019-05-17T09:30`, Beijing time.
        #[arg(long, value_parser = beijing)]
        from: Option<i64>,
        /// Arrived before this.
        #[arg(long, value_parser = beijing)]
        to: Option<i64>,
    },
    /// Show one.
    Show {
        /// Its id.
        id: String,
        /// The login of a supervisor.
        #[arg(long = "as", value_name = "LOGIN")]
        login: String,
    },
    /// Let one in, with what hangs together with it.
    Accept(Decision),
    /// Dismiss one, with what builds on it.
    Dismiss(Decision),
}

#[derive(clap::Args)]
pub(super) struct Decision {
    /// Its id.
    id: String,
    /// The login of a supervisor.
    #[arg(long = "as", value_name = "LOGIN")]
    login: String,
    /// Why: the author reads it. Required for dismissing.
    #[arg(long)]
    reason: Option<String>,
}

/// A day or a minute, Beijing time, as ms UTC.
fn beijing(text: &str) -> Result<i64, String> {
    sync_core::calendar::beijing_from_text(text).ok_or_else(|| "use 2019-05-17 or 2019-05-17T09:30".to_owned())
}

fn subject(app: &App, conn: &mut AnyConnection, login: &str) -> Result<Subject, Failure> {
    let user = users::by_login(conn, login)?.filter(|u| u.active);
    let user = user.ok_or_else(|| Failure::input(format!("there is no account `{login}`")))?;
    let id = user.id.parse().map_err(|_| Failure::input(format!("the account `{login}` is damaged")))?;
    Ok(grants::now(conn, id, app.now_ms())?)
}

/// Writes down that somebody reads what was refused, before it is shown.
fn noted(app: &App, conn: &mut AnyConnection, action: &'static str, object: &str, login: &str) -> Result<(), DbError> {
    let act = Act::new(&Origin::operator(), action, object).detail(json!({ "as": login }));
    conn.transaction(|conn| act.record(conn, app.now_ms(), &app.entropy))
}

/// What the asker can mend ends with 2.
fn told(error: DecisionError) -> Failure {
    match error {
        DecisionError::Db(error) => Failure::from(error),
        other => Failure::input(other),
    }
}

pub(super) fn run(config: Config, command: QuarantineCommand) -> Result<(), Failure> {
    let app = open(config)?;
    match command {
        QuarantineCommand::List { login, state, decided, author, code, detail, reason, text, from, to } => {
            let mut filter = QuarantineFilter {
                state,
                decided,
                author,
                code,
                detail,
                reason,
                text,
                received_from: from,
                received_to: to,
                limit: Some(queries::PAGE_MAX),
                ..Default::default()
            };
            let mut conn = app.db.get()?;
            let communities = quarantine::communities(&subject(&app, &mut conn, &login)?);
            noted(&app, &mut conn, "quarantine.list", "quarantine", &login)?;
            loop {
                let page = queries::quarantine_page(&mut conn, &communities, &filter)?.map_err(Failure::input)?;
                page.items.iter().try_for_each(|row| say(&serde_json::to_string(row)?))?;
                filter.cursor = page.next;
                if filter.cursor.is_none() {
                    return Ok(());
                }
            }
        }
        QuarantineCommand::Show { id, login } => {
            let mut conn = app.db.get()?;
            let communities = quarantine::communities(&subject(&app, &mut conn, &login)?);
            let row = queries::quarantine_entry(&mut conn, &communities, &id)?;
            let row = row.ok_or_else(|| Failure::input(DecisionError::NotFound))?;
            noted(&app, &mut conn, "quarantine.read", &id, &login)?;
            say(&serde_json::to_string_pretty(&row)?)
        }
        QuarantineCommand::Accept(decision) => decide(&app, &decision, true),
        QuarantineCommand::Dismiss(decision) => decide(&app, &decision, false),
    }
}

fn decide(app: &App, decision: &Decision, accept: bool) -> Result<(), Failure> {
    let decided = app.db.transaction(|conn| -> Result<Decided, Failure> {
        let subject = subject(app, conn, &decision.login)?;
        let (context, reason) = (app.context(), decision.reason.as_deref());
        let decide = if accept { quarantine::accept } else { quarantine::dismiss };
        let decided = decide(conn, &context, &subject, &decision.id, reason).map_err(told)?;
        let act = Act::new(&Origin::operator(), "quarantine.decide", &decision.id).reason(reason.unwrap_or_default());
        act.detail(json!({ "as": decision.login, "decided": decided })).record(conn, app.now_ms(), &app.entropy)?;
        Ok(decided)
    })?;
    say(&format!("{}: {}", decided.state, decided.entries.join(", ")))
}
