//! `cargo run --release -p tests --bin simulate -- --seeds N [--seed S] [--days D] [--twice] [--without FAULT,..] [--json]`: lives
//! through seeds and prints one object last; ends with 1 when anything that must hold did not.

use std::process::ExitCode;
use std::time::Instant;

use tests::simulate::faults::{FAULTS, Fault};
use tests::simulate::report::Report;
use tests::simulate::{Options, Outcome, run};

const USAGE: &str = "\
simulate [--seeds N] [--seed S] [--days D] [--twice] [--with FAULT,..] [--without FAULT,..] [--only FAULT,..] [--story] [--json]
  --seeds N    how many seeds, from S on (20)
  --seed S     the first seed (1)
  --days D     virtual days of each (3)
  --twice      lives through every seed twice and compares the stories
  --with       kinds of fault that are left out otherwise, because they find what is known to be missing
  --without    kinds of fault that do not happen; --only: all others do not
  --story      prints the whole story of each seed
  --json       prints only the object";

struct Asked {
    options: Options,
    seeds: u64,
    twice: bool,
    story: bool,
    json: bool,
}

fn asked(arguments: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { options: Options::new(1), seeds: 20, twice: false, story: false, json: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("`{argument}` needs a value"));
        let number = |text: &String| text.parse::<u64>().map_err(|_| format!("`{argument}` is a number"));
        match argument.as_str() {
            "--seeds" => asked.seeds = number(value()?)?,
            "--seed" => asked.options.seed = number(value()?)?,
            "--days" => {
                let days = u32::try_from(number(value()?)?).ok().filter(|d| (1..=365).contains(d));
                asked.options.days = days.ok_or("`--days` is a number from 1 to 365")?;
            }
            "--without" => asked.options.without.extend(faults(value()?)?),
            "--with" => {
                for fault in faults(value()?)? {
                    asked.options.without.remove(&fault);
                }
            }
            "--only" => {
                let only = faults(value()?)?;
                asked.options.without = FAULTS.iter().map(|(f, _)| *f).filter(|f| !only.contains(f)).collect();
            }
            "--twice" => asked.twice = true,
            "--story" => asked.story = true,
            "--json" => asked.json = true,
            other => return Err(format!("`{other}` is no option")),
        }
    }
    Ok(asked)
}

fn faults(list: &str) -> Result<Vec<Fault>, String> {
    let read = |name: &str| {
        let names: Vec<_> = FAULTS.iter().map(|(_, name)| *name).collect();
        Fault::parse(name).ok_or_else(|| format!("`{name}` is no kind of fault; there are {}", names.join(", ")))
    };
    list.split(',').filter(|name| !name.is_empty()).map(read).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = match asked(&arguments) {
        Ok(asked) => asked,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut total = Report::default();
    for seed in (0..asked.seeds).map(|n| asked.options.seed.wrapping_add(n)) {
        let options = Options { seed, ..asked.options.clone() };
        let begun = Instant::now();
        let Outcome { mut report, story } = run(&options);
        if asked.twice && run(&options).report.trace != report.trace {
            report.unrepeatable += 1;
            report.wrong.push(format!("seed {seed}: the second run told another story"));
        }
        if asked.story || !report.is_clean() {
            eprintln!("the story of seed {seed}:");
            let from = if asked.story { 0 } else { story.len().saturating_sub(400) };
            story.iter().skip(from).for_each(|line| eprintln!("  {line}"));
        }
        if !asked.json {
            println!(
                "seed {seed}: {} edits, {} syncs, {} faults, lost {}, diverged {}, unauthorised {}, undrained {}, {} ms, {}",
                report.edits,
                report.syncs,
                report.faults,
                report.lost,
                report.diverged,
                report.unauthorised,
                report.undrained,
                begun.elapsed().as_millis(),
                &report.trace[..16],
            );
        }
        total.add(&report);
    }
    println!("{}", serde_json::to_string(&total).unwrap_or_default());
    if total.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
