//! Benchmarks that anyone can run: `cargo run --release -p tests --bin bench -- push|idle-sync [--json]`. Each compares within one
//! run, because machines are noisy: quote its ratios and medians, not single times.

mod idle_sync;
mod push;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|a| a == "--json");
    let number = |name: &str, default: usize| {
        let value = args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
        value.and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let result = match args.first().map(String::as_str) {
        Some("push") => push::run(number("--runs", 300)),
        Some("idle-sync") => idle_sync::run(number("--most", 10_000)),
        _ => {
            eprintln!("usage: bench push [--runs N] [--json] | bench idle-sync [--most N] [--json]");
            return ExitCode::from(2);
        }
    };
    if json {
        println!("{result}");
    } else {
        println!("{}", serde_json::to_string_pretty(&result).unwrap_or_default());
    }
    ExitCode::SUCCESS
}

/// The median and the 99th percentile of times in microseconds.
fn spread(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = times.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        (times[index] * 10.0).round() / 10.0
    };
    (at(0.5), at(0.99))
}
