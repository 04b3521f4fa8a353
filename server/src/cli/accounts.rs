//! Commands for accounts. A password comes from a file, the environment or standard input, never from an argument that others can
//! read in the list of processes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use sync_core::ids::AreaCode;
use sync_core::role::Role;

use super::{Failure, open, say};
use crate::accounts::{roster, users};
use crate::areas;
use crate::audit::{Act, Origin};
use crate::config::Config;

/// Where a password may stand when no file is named.
const PASSWORD_VARIABLE: &str = "FENGQIAO_PASSWORD";

#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Make an account.
    Add(AddArgs),
    /// List the accounts and what each is charged with.
    List,
    /// Close an account; what it wrote stays.
    Disable {
        /// Its login.
        login: String,
    },
}

#[derive(Args)]
pub(super) struct AddArgs {
    /// What its owner will type.
    login: String,
    /// What people call him.
    #[arg(long)]
    name: String,
    /// A role and the code of its area, such as `mediator@BY`; may be given several times.
    #[arg(long = "role", value_name = "ROLE@AREA")]
    roles: Vec<String>,
    /// A file whose first line is the password. Otherwise the variable FENGQIAO_PASSWORD, otherwise a line from standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) fn user(config: Config, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(config, &args),
        UserCommand::List => list(config),
        UserCommand::Disable { login } => disable(config, &login),
    }
}

fn add(config: Config, args: &AddArgs) -> Result<(), Failure> {
    let roles = args.roles.iter().map(|text| role(text)).collect::<Result<Vec<_>, _>>()?;
    let password = password(args.password_file.as_deref())?;
    let app = open(config)?;
    let now_ms = app.now_ms();
    app.db.transaction(|conn| -> Result<(), Failure> {
        let id = users::add(conn, &args.login, &args.name, &password, now_ms, &app.entropy).map_err(|e| match e {
            users::UserError::Db(e) => Failure::from(e),
            e => Failure::input(e),
        })?;
        for (role, area) in &roles {
            if areas::find(conn, area.as_str())?.is_none() {
                return Err(Failure::input(format!("the area `{area}` is not known; import it first")));
            }
            users::assign(conn, id, *role, area, now_ms, &app.entropy)?;
        }
        let act = Act::new(&Origin::operator(), "user.create", id).detail(json!({ "roles": args.roles }));
        Ok(act.record(conn, now_ms, &app.entropy)?)
    })?;
    say(&format!("account {} made", args.login))
}

fn list(config: Config) -> Result<(), Failure> {
    let app = open(config)?;
    let members = roster::at(&mut *app.db.get()?, app.now_ms())?;
    members.into_iter().try_for_each(|member| {
        let roles: Vec<_> = member.roles.iter().map(|(role, area)| format!("{}@{area}", role.as_str())).collect();
        let state = if member.user.active { "active" } else { "closed" };
        say(&format!("{}\t{}\t{state}\t{}", member.user.login, member.user.name, roles.join(" ")))
    })
}

fn disable(config: Config, login: &str) -> Result<(), Failure> {
    let app = open(config)?;
    let closed = app.db.transaction(|conn| -> Result<bool, crate::db::DbError> {
        let Some(user) = users::by_login(conn, login)? else { return Ok(false) };
        users::disable(conn, login)?;
        Act::new(&Origin::operator(), "user.disable", user.id).record(conn, app.now_ms(), &app.entropy)?;
        Ok(true)
    })?;
    if closed {
        say(&format!("account {login} closed"))
    } else {
        Err(Failure::input(format!("there is no account `{login}`; see `fengqiao user list`")))
    }
}

fn role(text: &str) -> Result<(Role, AreaCode), Failure> {
    let (role, area) = text
        .split_once('@')
        .ok_or_else(|| Failure::input(format!("`{text}` is no role in an area; write it as mediator@BY")))?;
    let known = Role::parse(role).ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|r| r.as_str()).collect();
        Failure::input(format!("`{role}` is no role; use one of {}", names.join(", ")))
    })?;
    Ok((known, AreaCode::new(area).map_err(Failure::input)?))
}

fn password(file: Option<&Path>) -> Result<String, Failure> {
    let text = match (file, std::env::var(PASSWORD_VARIABLE)) {
        (Some(file), _) => {
            std::fs::read_to_string(file).map_err(|e| Failure::input(format!("{}: {e}", file.display())))?
        }
        (None, Ok(password)) => password,
        (None, Err(_)) => {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                let mut screen = std::io::stderr();
                // Without the prompt the command only looks idle.
                let _ = write!(screen, "password (it will be visible): ").and_then(|()| screen.flush());
            }
            let mut line = String::new();
            stdin.lock().read_line(&mut line).map_err(Failure::input)?;
            line
        }
    };
    let first = text.lines().next().unwrap_or_default();
    if first.is_empty() {
        Err(Failure::input("the password is empty; give one of at least 8 characters"))
    } else {
        Ok(first.to_owned())
    }
}
