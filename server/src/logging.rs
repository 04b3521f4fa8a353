//! Structured logs on standard error. Never a password, a token, or what a citizen told.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Begins to log as configured. A second call, as in tests, changes nothing.
pub fn begin(config: &Config) {
    let filter = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for eyes: in a file or a journal they are noise that hides words from searches.
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    let begun = match config.log_format.as_str() {
        "json" => lines.json().flatten_event(true).try_init(),
        _ => lines.try_init(),
    };
    // When somebody else listens already, theirs stays.
    drop(begun);
}
