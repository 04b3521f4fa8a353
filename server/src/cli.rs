//! The command line: reads arguments, calls one function of the library, says what came of it. Exit codes: 0 done, 2 the arguments
//! or a file are at fault, 1 anything else failed. Nothing secret is ever printed.

mod accounts;
mod attachments;
mod audit;
mod erase;
mod journal;
mod operate;
mod quarantine;
mod relay;
mod replication;
mod restore;
mod retention;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::app::{App, AppError};
use crate::clock::SystemClock;
use crate::config::{Config, Flags};
use crate::plain;

#[derive(Parser)]
#[command(name = "fengqiao", version, about = "The hall's server of Fengqiao", max_term_width = 100)]
struct Cli {
    /// A TOML file with settings; `fengqiao.toml` in this folder is read when it is there.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it is told to end.
    Serve {
        /// Bring the schema of a PostgreSQL database up to date first; an SQLite file always is.
        #[arg(long)]
        migrate: bool,
    },
    /// Bring the database's schema up to date.
    Migrate,
    /// Load areas from a CSV file, or areas and people from a TOML file.
    Import {
        /// The file; CSV when its name ends so.
        file: PathBuf,
    },
    /// Accounts.
    #[command(subcommand)]
    User(accounts::UserCommand),
    /// Changes that were refused and kept.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// The keys that the server signs with.
    #[command(subcommand)]
    Keys(operate::KeysCommand),
    /// Parcels that phones could not send themselves.
    #[command(subcommand)]
    Relay(relay::RelayCommand),
    /// The contents of attachments.
    #[command(subcommand)]
    Attachments(attachments::AttachmentsCommand),
    /// How far the phones are in step.
    Replication(replication::ReplicationArgs),
    /// How long what is kept.
    #[command(subcommand)]
    Retention(retention::RetentionCommand),
    /// Erasure by law.
    #[command(subcommand)]
    Erase(erase::EraseCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The journal: moving what is old into files.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Recompute every table from the journal.
    Rebuild {
        /// Only compare; end with 1 if a table differs.
        #[arg(long)]
        check: bool,
    },
    /// Write accounts, keys, journal and quarantine to one file, beside running servers.
    Backup {
        /// The file to write; never over an existing one unless told to.
        file: PathBuf,
        /// Write over the file if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Read a backup into an empty database. The journal gets a new identity, so that phones offer again what may be missing.
    Restore(restore::Asked),
    /// Replay the case of the seed article with several phones, then keep serving.
    Demo(DemoArgs),
    /// Print the settings in effect, secrets masked.
    Config,
    /// Print the description of the API.
    Openapi,
}

/// How the demo is run.
#[derive(clap::Args, Debug, Clone)]
pub struct DemoArgs {
    /// End after the replay instead of serving on.
    #[arg(long)]
    pub exit: bool,
    /// One JSON object a step and, last, one summary object.
    #[arg(long)]
    pub json: bool,
    /// Use the configured database instead of a temporary file; it must be new.
    #[arg(long)]
    pub keep_database: bool,
}

/// What runs the demo: it opens phones, which this library does not know.
pub type Demo = fn(&DemoArgs, Config) -> Result<(), Box<dyn Error + Send + Sync>>;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments or a file are at fault.
    Input(Box<dyn Error + Send + Sync>),
    /// Anything else.
    Other(Box<dyn Error + Send + Sync>),
}

impl Failure {
    pub(crate) fn input(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Input(error.into())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Runs the program.
pub fn main(demo: Demo) -> ExitCode {
    // A wrong argument makes clap explain itself and end with 2.
    let cli = Cli::parse();
    match run(cli, demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Input(error)) => told(&*error, 2),
        Err(Failure::Other(error)) => told(&*error, 1),
    }
}

fn run(cli: Cli, demo: Demo) -> Result<(), Failure> {
    let mut config = Config::load(cli.config.as_deref(), &cli.flags).map_err(Failure::input)?;
    if matches!(cli.command, Command::Demo(_)) && cli.flags.log_filter.is_none() {
        // The story is for reading; what the server logs meanwhile is not.
        config.log_filter = "error".into();
    }
    crate::logging::begin(&config);
    match cli.command {
        Command::Serve { migrate } => operate::serve(config, migrate),
        Command::Migrate => operate::migrate(&config),
        Command::Import { file } => operate::import(config, &file),
        Command::User(command) => accounts::user(config, command),
        Command::Quarantine(command) => quarantine::run(config, command),
        Command::Keys(command) => operate::keys(config, &command),
        Command::Relay(command) => relay::relay(config, &command),
        Command::Attachments(command) => attachments::attachments(config, &command),
        Command::Replication(args) => replication::run(config, &args),
        Command::Retention(command) => retention::run(config, command),
        Command::Erase(command) => erase::run(config, command),
        Command::Audit(command) => audit::run(config, command),
        Command::Journal(command) => journal::run(config, &command),
        Command::Rebuild { check } => operate::rebuild(config, check),
        Command::Backup { file, force } => operate::backup(config, &file, force),
        Command::Restore(asked) => restore::run(config, asked),
        Command::Demo(args) => operate::demo(config, &args, demo),
        Command::Config => say(config.shown().trim_end()),
        Command::Openapi => say(&crate::http::openapi::json()?),
    }
}

/// The database of a command that needs it migrated.
pub(crate) fn open(config: Config) -> Result<App, AppError> {
    App::open(config, Arc::new(SystemClock), false)
}

/// Prints a line, with nothing in it that steers a terminal. A reader that has gone away (`| head`) is no error.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{}", plain::lines(text)) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn told(error: &(dyn Error + 'static), code: u8) -> ExitCode {
    let mut text = format!("fengqiao: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Many an error says what it is because of.
        if !text.contains(&error.to_string()) {
            text.push_str(&format!("; because: {error}"));
        }
        cause = error.source();
    }
    text.push('\n');
    // There is nobody left to tell when this fails too.
    let _ = std::io::stderr().lock().write_all(plain::lines(&text).as_bytes());
    ExitCode::from(code)
}
