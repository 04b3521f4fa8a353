//! What a setting may be. A value that could not be meant is refused before anything is opened: it would begin a server that refuses
//! everybody, or fails at a moment that nobody connects with it.

use tracing_subscriber::EnvFilter;

use super::Config;

/// A century, days: nothing here is meant to outlast it, and it fits every reckoning in ms.
const DAYS_MAX: i128 = 36_500;
/// A day, s.
const DAY_SECONDS: i128 = 86_400;
/// More than any store holds, bytes.
const BYTES_MAX: i128 = 1 << 60;
/// More at once than one process can serve.
const AT_ONCE_MAX: i128 = 10_000_000;

/// One number and what it may be.
struct Bound {
    name: &'static str,
    least: i128,
    most: i128,
    read: fn(&Config) -> i128,
}

/// Whatever is too large to be told apart is too large.
fn whole(n: impl TryInto<i128>) -> i128 {
    n.try_into().unwrap_or(i128::MAX)
}

macro_rules! bounds {
    ($($name:ident: $least:expr, $most:expr;)*) => {
        &[$(Bound { name: stringify!($name), least: $least, most: $most, read: |c| whole(c.$name) }),*]
    };
}

/// Every number that is not good whatever it is. 0 is allowed where it means `never` or `no limit`.
const BOUNDS: &[Bound] = bounds! {
    workers: 1, 1_024;
    access_minutes: 1, 10_080;
    refresh_days: 1, 3_650;
    session_days: 1, 3_650;
    scheduler_interval_ms: 1, DAY_SECONDS * 1_000;
    sync_queue_max: 0, AT_ONCE_MAX;
    sync_in_flight_max: 1, AT_ONCE_MAX;
    request_seconds: 1, DAY_SECONDS;
    live_poll_ms: 10, DAY_SECONDS * 1_000;
    live_heartbeat_seconds: 1, 50;
    live_retry_ms: 0, DAY_SECONDS * 1_000;
    live_streams_max: 0, AT_ONCE_MAX;
    shutdown_seconds: 0, DAY_SECONDS;
    history_days: 0, DAYS_MAX;
    phone_closed_days: 0, DAYS_MAX;
    lock_idle_minutes: 1, 10_080;
    silent_hours: 0, DAYS_MAX * 24;
    clock_minutes: 0, DAYS_MAX * 1_440;
    replication_watch_seconds: 0, DAY_SECONDS;
    retention_watch_seconds: 0, DAY_SECONDS;
    attachment_bytes_max: 1, BYTES_MAX;
    attachment_document_bytes_max: 1, BYTES_MAX;
    attachment_user_day_bytes_max: 1, BYTES_MAX;
    attachment_total_bytes_max: 0, BYTES_MAX;
    attachment_upload_hours: 1, DAYS_MAX * 24;
    attachment_grace_days: 0, DAYS_MAX;
    attachment_hold_days: 0, DAYS_MAX;
    attachment_gc_minutes: 0, DAYS_MAX * 1_440;
};

/// What a number may be, in words; nothing for what is no number, or good whatever it is.
pub(super) fn allowed(name: &str) -> Option<String> {
    let bound = BOUNDS.iter().find(|b| b.name == name)?;
    Some(format!("give `{name}` a whole number from {} to {}", bound.least, bound.most))
}

/// What is wrong with the settings, each with what would do.
pub(super) fn faults(config: &Config) -> Vec<String> {
    let beyond = BOUNDS.iter().filter(|b| !(b.least..=b.most).contains(&(b.read)(config)));
    let mut faults: Vec<String> =
        beyond.map(|b| format!("`{}` is {}; use {} to {}", b.name, (b.read)(config), b.least, b.most)).collect();
    if !matches!(config.log_format.as_str(), "text" | "json") {
        faults.push(format!("`log_format` is `{}`; use `text` or `json`", config.log_format));
    }
    if let Err(error) = EnvFilter::try_new(&config.log_filter) {
        let told = "use levels such as `info,actix_server=warn`";
        faults.push(format!("`log_filter` is `{}`: {error}; {told}", config.log_filter));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_they_may_be() {
        assert_eq!(faults(&Config::default()), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_named_with_what_would_do() {
        let config = Config { workers: 0, access_minutes: i64::MAX, log_format: "xml".into(), ..Config::default() };
        let told = faults(&config);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|t| t == "`workers` is 0; use 1 to 1024"), "{told:?}");
        assert!(told.iter().any(|t| t.contains("`access_minutes`") && t.contains("1 to 10080")), "{told:?}");
    }
}
