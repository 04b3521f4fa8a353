//! Commands for accounts. A password comes from a file, the environment or standard input, never from an argument that others can
//! read in the list of processes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use sync_core::ids::{AreaCode, Entropy as _, IdError, UserId};
use sync_core::role::Role;

use super::operate::looked;
use super::{Failure, open, say};
use crate::accounts::{roster, users};
use crate::areas;
use crate::audit::{Act, Origin};
use crate::config::Config;
use crate::db::AnyConnection;
use crate::plain::cell;

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
    /// Charge somebody with a role in an area from now on.
    Assign {
        /// His login.
        login: String,
        /// A role and the code of its area, such as `grid_worker@BY-01`.
        #[arg(value_name = "ROLE@AREA")]
        role: String,
    },
    /// End a role in an area. What was written while it lasted is still accepted.
    Unassign {
        /// His login.
        login: String,
        /// A role and the code of its area, such as `grid_worker@BY-01`.
        #[arg(value_name = "ROLE@AREA")]
        role: String,
    },
    /// Hand an area from one person to another at one moment.
    Reassign {
        /// A role and the code of its area, such as `grid_worker@BY-01`.
        #[arg(value_name = "ROLE@AREA")]
        role: String,
        /// The login of who has it.
        #[arg(long)]
        from: String,
        /// The login of who gets it.
        #[arg(long)]
        to: String,
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
    /// The identity that the account had on a server that was lost, as `fengqiao restore status` tells it: his phone goes on with it.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
    /// A file whose first line is the password. Otherwise the variable FENGQIAO_PASSWORD, otherwise a line from standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(super) fn user(config: Config, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(config, &args),
        UserCommand::List => list(config),
        UserCommand::Disable { login } => disable(config, &login),
        UserCommand::Assign { login, role } => assign(config, &login, &role),
        UserCommand::Unassign { login, role } => unassign(config, &login, &role),
        UserCommand::Reassign { role, from, to } => reassign(config, &role, &from, &to),
    }
}

fn known(conn: &mut AnyConnection, login: &str) -> Result<UserId, Failure> {
    let unknown = || Failure::input(format!("there is no account `{login}`; see `fengqiao user list`"));
    let user = users::by_login(conn, login)?.filter(|u| u.active).ok_or_else(unknown)?;
    user.id.parse().map_err(|e: IdError| Failure::from(e))
}

fn known_area(conn: &mut AnyConnection, area: &AreaCode) -> Result<(), Failure> {
    match areas::find(conn, area.as_str())? {
        Some(_) => Ok(()),
        None => Err(Failure::input(format!("the area `{area}` is not known; import it first"))),
    }
}

fn assign(config: Config, login: &str, text: &str) -> Result<(), Failure> {
    let (role, area) = role(text)?;
    let app = open(config)?;
    app.db.transaction(|conn| -> Result<(), Failure> {
        known_area(conn, &area)?;
        let user = known(conn, login)?;
        users::assign(conn, user, role, &area, app.now_ms(), &app.entropy)?;
        let act = Act::new(&Origin::operator(), "user.assign", user).detail(json!({"role": text}));
        Ok(act.record(conn, app.now_ms(), &app.entropy)?)
    })?;
    say(&format!("{login} is {text} from now on"))
}

fn not_held(login: &str, text: &str) -> Failure {
    Failure::input(format!("{login} is not {text} now; see `fengqiao user list`"))
}

fn unassign(config: Config, login: &str, text: &str) -> Result<(), Failure> {
    let (role, area) = role(text)?;
    let app = open(config)?;
    app.db.transaction(|conn| -> Result<(), Failure> {
        let user = known(conn, login)?;
        let ended = users::unassign(conn, user, role, &area, app.now_ms())?;
        ended.then_some(()).ok_or_else(|| not_held(login, text))?;
        let act = Act::new(&Origin::operator(), "user.unassign", user).detail(json!({"role": text}));
        Ok(act.record(conn, app.now_ms(), &app.entropy)?)
    })?;
    say(&format!("{login} is no longer {text}"))
}

fn reassign(config: Config, text: &str, from: &str, to: &str) -> Result<(), Failure> {
    let (role, area) = role(text)?;
    let app = open(config)?;
    app.db.transaction(|conn| -> Result<(), Failure> {
        let (giver, taker) = (known(conn, from)?, known(conn, to)?);
        if giver == taker {
            return Err(Failure::input("an area is handed on to somebody else"));
        }
        let done = users::hand_on(conn, (role, &area), (giver, taker), app.now_ms(), &app.entropy)?;
        done.then_some(()).ok_or_else(|| not_held(from, text))?;
        let act =
            Act::new(&Origin::operator(), "area.reassign", &area).detail(json!({"role": text, "from": from, "to": to}));
        Ok(act.record(conn, app.now_ms(), &app.entropy)?)
    })?;
    say(&format!("{text}: {to} instead of {from} from now on"))
}

fn add(config: Config, args: &AddArgs) -> Result<(), Failure> {
    let roles = args.roles.iter().map(|text| role(text)).collect::<Result<Vec<_>, _>>()?;
    let id = args.id.as_deref().map(str::parse::<UserId>).transpose().map_err(|e: IdError| Failure::input(e))?;
    let password = password(args.password_file.as_deref())?;
    let app = open(config)?;
    let now_ms = app.now_ms();
    app.db.transaction(|conn| -> Result<(), Failure> {
        let id = id.unwrap_or_else(|| UserId::from_parts(now_ms, app.entropy.ten()));
        let id = users::add_as(conn, id, (&args.login, &args.name, &password), now_ms).map_err(|e| match e {
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
    looked(&app.db, "user.list", "users", json!({ "found": members.len() }))?;
    members.into_iter().try_for_each(|member| {
        let roles: Vec<_> = member.roles.iter().map(|(role, area)| format!("{}@{area}", role.as_str())).collect();
        let state = if member.user.active { "active" } else { "closed" };
        let (login, name) = (cell(&member.user.login), cell(&member.user.name));
        say(&format!("{login}\t{name}\t{state}\t{}", roles.join(" ")))
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
