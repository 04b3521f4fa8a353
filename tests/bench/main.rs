//! Benchmarks that anyone can run: `cargo run --release -p tests --bin bench -- NAME [--json]`. They measure and print; they judge
//! nothing.

mod console;
mod growth;
mod idle_sync;
mod initial_sync;
mod morning_sync;
mod push;
mod trickle;

use std::process::ExitCode;

const USAGE: &str = "\
bench push      [--runs N] [--json]   one push of a case file, acknowledged durably, against its parts
bench idle-sync [--documents N,N] [--json]   requests and bytes of a sync with nothing to say
bench initial-sync [--documents N,N] [--store sqlite|postgres] [--json]   a new phone gets everything
bench console   [--cases N] [--store sqlite|postgres] [--json]   the hall's pages among so many cases (100000)
bench growth    [--documents N,N] [--store sqlite|postgres] [--json]   one file that holds so many changes already
bench trickle   [--runs N] [--store sqlite|postgres] [--json]   edits one by one: to the acknowledgement, to a second phone
bench morning-sync [--store sqlite|postgres] [--devices N] [--cases N] [--json]   a hundred phones come back at once";

/// What the command line asks for.
struct Options {
    runs: Option<usize>,
    documents: Option<Vec<usize>>,
    devices: usize,
    cases: Option<usize>,
    postgres: bool,
    json: bool,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { runs: None, documents: None, devices: 100, cases: None, postgres: false, json: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--runs" | "--devices" | "--cases" => {
                let n = value()?.parse().map_err(|_| format!("`{argument}` is a number from 1"))?;
                match argument.as_str() {
                    "--runs" => options.runs = Some(n),
                    "--devices" => options.devices = n,
                    _ => options.cases = Some(n),
                }
            }
            "--store" => {
                options.postgres = match value()?.as_str() {
                    "sqlite" => false,
                    "postgres" => true,
                    other => return Err(format!("`--store` is sqlite or postgres, not `{other}`")),
                }
            }
            "--documents" => {
                let numbers: Result<Vec<usize>, _> = value()?.split(',').map(str::parse).collect();
                let numbers = numbers.map_err(|_| "`--documents` is a list such as 10,1000".to_owned())?;
                options.documents = Some(numbers);
            }
            other => return Err(format!("`{other}` is no option")),
        }
    }
    let nothing = options.runs == Some(0) || options.documents.as_ref().is_some_and(Vec::is_empty);
    if nothing || options.devices < 2 || options.cases == Some(0) {
        return Err("there is nothing to measure".to_owned());
    }
    Ok(options)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // The phone of `initial-sync` in a process of its own.
    if let ("pull-once", [url, store]) = (name.as_str(), rest) {
        println!("{}", initial_sync::pull_once(url, store));
        return ExitCode::SUCCESS;
    }
    let options = match options(rest) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if cfg!(debug_assertions) {
        eprintln!("a debug build: the figures say little; add --release");
    }
    let summary = match name.as_str() {
        "push" => push::run(options.runs.unwrap_or(200)),
        "idle-sync" => idle_sync::run(&options.documents.unwrap_or_else(|| vec![10, 1_000, 10_000])),
        "initial-sync" => {
            initial_sync::run(&options.documents.unwrap_or_else(|| vec![2_000, 10_000]), options.postgres)
        }
        "console" => console::run(options.cases.unwrap_or(100_000), options.postgres),
        "growth" => growth::run(&options.documents.unwrap_or_else(|| vec![100, 1_000, 5_000]), options.postgres),
        "trickle" => trickle::run(options.runs.unwrap_or(1_000), options.postgres),
        "morning-sync" => {
            let (devices, cases, postgres) = (options.devices, options.cases.unwrap_or(20), options.postgres);
            morning_sync::run(&morning_sync::Size { devices, cases, postgres })
        }
        other => {
            eprintln!("there is no benchmark `{other}`\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if options.json {
        println!("{summary}");
    }
    ExitCode::SUCCESS
}
