//! Benchmarks that anyone can run: `cargo run --release -p tests --bin bench -- NAME [--json]`. They measure and print; they judge
//! nothing.

mod idle_sync;
mod morning_sync;
mod push;

use std::process::ExitCode;

const USAGE: &str = "\
bench push      [--runs N] [--json]   one push of a case file, acknowledged durably, against its parts
bench idle-sync [--documents N,N] [--json]   requests and bytes of a sync with nothing to say
bench morning-sync [--store sqlite|postgres] [--devices N] [--cases N] [--json]   a hundred phones come back at once";

/// What the command line asks for.
struct Options {
    runs: usize,
    documents: Vec<usize>,
    devices: usize,
    cases: usize,
    postgres: bool,
    json: bool,
}

fn options(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        runs: 200,
        documents: vec![10, 1_000, 10_000],
        devices: 100,
        cases: 20,
        postgres: false,
        json: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--runs" | "--devices" | "--cases" => {
                let n = value()?.parse().map_err(|_| format!("`{argument}` is a number from 1"))?;
                match argument.as_str() {
                    "--runs" => options.runs = n,
                    "--devices" => options.devices = n,
                    _ => options.cases = n,
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
                options.documents = numbers.map_err(|_| "`--documents` is a list such as 10,1000".to_owned())?;
            }
            other => return Err(format!("`{other}` is no option")),
        }
    }
    if options.runs == 0 || options.documents.is_empty() || options.devices < 2 || options.cases == 0 {
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
        "push" => push::run(options.runs),
        "idle-sync" => idle_sync::run(&options.documents),
        "morning-sync" => {
            let (devices, cases, postgres) = (options.devices, options.cases, options.postgres);
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
