//! The configuration: a file, then the environment, then flags; each overrides what came before it.

mod check;

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use sync_core::sync::orders::PhonePolicy;

/// Every setting with its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port.
    pub listen: String,
    /// `postgres://...`, `sqlite:PATH` or a path.
    pub database: String,
    /// Threads that answer requests.
    pub workers: usize,
    /// How long an access token is good, minutes.
    pub access_minutes: i64,
    /// How long a session lasts after it was last refreshed, days.
    pub refresh_days: i64,
    /// How long a session lasts after the sign-in, days, however often it is refreshed.
    pub session_days: i64,
    /// Who shows this as a bearer token may read the figures from elsewhere than this machine.
    pub metrics_token: Option<String>,
    /// The certificate chain (PEM): with it and `tls_key` the server speaks TLS.
    pub tls_cert: Option<String>,
    /// The certificate's private key (PEM).
    pub tls_key: Option<String>,
    /// A proxy in front speaks TLS with everybody who comes: browsers are told to come in no other way.
    pub behind_tls: bool,
    /// How often the scheduler looks for what is due, ms.
    pub scheduler_interval_ms: u64,
    /// Proxies whose word about a client's address is believed: addresses or blocks.
    pub trusted_proxies: Vec<String>,
    /// The header in which they give it: `x-forwarded-for` or `forwarded`.
    pub proxy_header: String,
    /// Phones that may begin a sync, and open a live stream, in a second; 0: no limit.
    pub sync_rate_per_second: u32,
    /// How many of them at once.
    pub sync_burst: u32,
    /// Phones whose moment to come back is remembered.
    pub sync_queue_max: usize,
    /// Sync requests answered at the same time.
    pub sync_in_flight_max: usize,
    /// Sync requests of one phone in a second, over 40 seconds; 0: no limit.
    pub sync_device_per_second: u32,
    /// The same of one account, on however many phones.
    pub sync_account_per_second: u32,
    /// The same of one address, with however many phones behind it.
    pub sync_address_per_second: u32,
    /// Sign-ins from one address in a minute; 0: no limit.
    pub login_per_minute: u32,
    /// Sign-ins of one account from one phone or address in a minute; 0: no limit.
    pub login_account_per_minute: u32,
    /// Refreshed tokens of one phone or session in a minute; 0: no limit.
    pub refresh_per_minute: u32,
    /// The same from one address, where no old token tells whose it is.
    pub refresh_address_per_minute: u32,
    /// Phones that one account registers in an hour; 0: no limit.
    pub register_per_hour: u32,
    /// Requests without a valid token from one address in a minute; 0: no limit.
    pub strangers_per_minute: u32,
    /// Requests of one account in a minute that no other limit counts; 0: no limit.
    pub requests_per_minute: u32,
    /// Pages and what belongs to them from one address in a minute; 0: no limit.
    pub pages_per_minute: u32,
    /// Searches of one account in a minute, by words or by a number; 0: no limit.
    pub search_per_minute: u32,
    /// How often one account has masked numbers shown in a minute; 0: no limit.
    pub reveal_per_minute: u32,
    /// The longest time for one request, body included, s.
    pub request_seconds: u64,
    /// How often live streams look for what other processes committed, ms; what this one commits is told at once.
    pub live_poll_ms: u64,
    /// How often a silent live stream shows that it stands, s.
    pub live_heartbeat_seconds: u64,
    /// When the reader of a live stream comes back after a break, ms; phones add chance.
    pub live_retry_ms: u64,
    /// Live streams open at once in this process.
    pub live_streams_max: usize,
    /// How long requests in flight may take when the server stops, s.
    pub shutdown_seconds: u64,
    /// Closed records that have not changed for so many days are not handed to a phone that is new to them.
    pub history_days: i64,
    /// After how many days without a change closed records leave the phones; 0: never.
    pub phone_closed_days: u32,
    /// How long nobody may touch a phone before it locks, minutes.
    pub lock_idle_minutes: i64,
    /// After how many wrong PINs in a row a phone destroys what it holds; 0 for never.
    pub lock_wipe_after_tries: u32,
    /// Hours without a contact after which a phone counts as silent while its holder has a role; 0: never.
    pub silent_hours: i64,
    /// Minutes by which a phone's clock may be wrong before somebody is told; 0: any number.
    pub clock_minutes: i64,
    /// How often the phones are looked over, s; 0: never.
    pub replication_watch_seconds: u64,
    /// A retention rule file instead of the shipped one.
    pub retention: Option<String>,
    /// How often it is looked whether the day's retention has been applied, s; 0: only by `fengqiao retention apply`.
    pub retention_watch_seconds: u64,
    /// `text` or `json`.
    pub log_format: String,
    /// A filter such as `info,actix_server=warn`.
    pub log_filter: String,
    /// A rule file instead of the shipped one.
    pub rules: Option<String>,
    /// Calendar files beside the shipped ones.
    pub calendars: Vec<String>,
    /// Where the contents of attachments lie: a folder, or `s3://BUCKET/PREFIX`. Empty: a folder beside the SQLite file, or
    /// `fengqiao-objects` in the working folder. Several processes need one that all of them see.
    pub objects: String,
    /// The address of an S3 service other than Amazon's.
    pub objects_endpoint: String,
    /// The region of the bucket.
    pub objects_region: String,
    /// The account at the S3 service. Empty: what the `AWS_` variables of the environment say.
    pub objects_access_key: String,
    /// Its secret; never shown.
    pub objects_secret_key: Secret,
    /// The largest attachment, bytes.
    pub attachment_bytes_max: u64,
    /// What all attachments of one document may hold, bytes.
    pub attachment_document_bytes_max: u64,
    /// What one person may upload within a day, bytes.
    pub attachment_user_day_bytes_max: u64,
    /// What all attachments may hold, bytes; 0: no limit.
    pub attachment_total_bytes_max: u64,
    /// How long an upload that does not go on is kept, hours.
    pub attachment_upload_hours: i64,
    /// How long a content stays that no document refers to, days.
    pub attachment_grace_days: i64,
    /// After a restore: how long no content is collected while phones are expected that have not handed in what they hold, days.
    pub attachment_hold_days: i64,
    /// How often what is no longer needed is collected, minutes; 0: only by `fengqiao attachments gc`.
    pub attachment_gc_minutes: u64,
}

/// A setting that is never shown: not by `config`, not in a log.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// What it is.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8017".into(),
            database: "fengqiao.db".into(),
            workers: 2,
            access_minutes: 10,
            refresh_days: 30,
            session_days: 180,
            metrics_token: None,
            tls_cert: None,
            tls_key: None,
            behind_tls: false,
            scheduler_interval_ms: 1_000,
            trusted_proxies: Vec::new(),
            proxy_header: "x-forwarded-for".into(),
            sync_rate_per_second: 100,
            sync_burst: 300,
            sync_queue_max: 50_000,
            sync_in_flight_max: 256,
            sync_device_per_second: 50,
            sync_account_per_second: 200,
            sync_address_per_second: 1_000,
            login_per_minute: 1_200,
            login_account_per_minute: 30,
            refresh_per_minute: 30,
            // Ten thousand phones behind one address, each of which is sent away once.
            refresh_address_per_minute: 12_000,
            register_per_hour: 20,
            strangers_per_minute: 600,
            requests_per_minute: 3_000,
            pages_per_minute: 6_000,
            search_per_minute: 60,
            reveal_per_minute: 20,
            request_seconds: 120,
            live_poll_ms: 500,
            live_heartbeat_seconds: 15,
            live_retry_ms: 5_000,
            live_streams_max: 20_000,
            shutdown_seconds: 30,
            history_days: 180,
            phone_closed_days: 90,
            lock_idle_minutes: 5,
            lock_wipe_after_tries: 0,
            // Longer than a weekend: who rests on Saturday and Sunday is not missed.
            silent_hours: 72,
            clock_minutes: 10,
            replication_watch_seconds: 60,
            retention: None,
            retention_watch_seconds: 600,
            log_format: "text".into(),
            log_filter: "info".into(),
            rules: None,
            calendars: Vec::new(),
            objects: String::new(),
            objects_endpoint: String::new(),
            objects_region: "us-east-1".into(),
            objects_access_key: String::new(),
            objects_secret_key: Secret::default(),
            attachment_bytes_max: 20 << 20,
            attachment_document_bytes_max: 400 << 20,
            attachment_user_day_bytes_max: 2 << 30,
            attachment_total_bytes_max: 0,
            attachment_upload_hours: 72,
            attachment_grace_days: 30,
            attachment_hold_days: 180,
            attachment_gc_minutes: 60,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

/// What flags say; absent ones leave the setting alone.
#[derive(Debug, Clone, Default, Serialize, clap::Args)]
pub struct Flags {
    /// Address and port to listen on.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// postgres://... or the path of an SQLite file.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// How often the scheduler looks for what is due, ms.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_interval_ms: Option<u64>,
    /// text or json.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// A filter such as info,actix_server=warn.
    #[arg(long, global = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_filter: Option<String>,
}

impl Config {
    /// Reads the configuration and checks it. A named file must exist; `fengqiao.toml` in the working folder is read if it is there.
    pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Self, ConfigError> {
        if let Some(file) = file.filter(|f| !f.is_file()) {
            return Err(ConfigError(format!("there is no file {}", file.display())));
        }
        let file = file.unwrap_or(Path::new("fengqiao.toml"));
        let read: Self = Figment::from(Serialized::defaults(Config::default()))
            .merge(Toml::file(file))
            // Two kinds of variables are no settings: the password of `user add`, and what tests are told.
            .merge(Env::prefixed("FENGQIAO_").filter(|name| name != "password" && !name.starts_with("test_")))
            .merge(Serialized::defaults(flags))
            .extract()
            .map_err(|e| {
                // A number that does not even fit where it is kept: who reads it has no use for the name of a type.
                let allowed = e.path.last().and_then(|name| check::allowed(name));
                ConfigError(allowed.map_or_else(|| e.to_string(), |allowed| format!("{e}; {allowed}")))
            })?;
        let faults = check::faults(&read);
        if faults.is_empty() { Ok(read) } else { Err(ConfigError(faults.join("; "))) }
    }

    /// Whether everybody comes by TLS, here or at a proxy in front.
    pub fn speaks_tls(&self) -> bool {
        self.tls_cert.is_some() || self.behind_tls
    }

    /// What phones are told about locking themselves and about closed records.
    pub fn phone_policy(&self) -> PhonePolicy {
        PhonePolicy {
            idle_ms: self.lock_idle_minutes.max(1).saturating_mul(60_000),
            wipe_after_tries: Some(self.lock_wipe_after_tries).filter(|n| *n > 0),
            closed_days: Some(self.phone_closed_days).filter(|n| *n > 0),
        }
    }

    /// For how long closed records are handed to a phone that is new to them, ms: never what it would let go at once.
    pub fn history_ms(&self) -> i64 {
        let days = match self.phone_closed_days {
            0 => self.history_days,
            days => self.history_days.min(i64::from(days)),
        };
        days.saturating_mul(86_400_000)
    }

    /// The configuration as TOML, the database's password masked.
    pub fn shown(&self) -> String {
        let metrics_token = self.metrics_token.as_ref().map(|_| "***".to_owned());
        let shown = Self { database: mask(&self.database), metrics_token, ..self.clone() };
        toml::to_string_pretty(&shown).unwrap_or_default()
    }
}

fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // Passwords may stand before the host or among the parameters.
    let rest = match rest.rsplit_once('@') {
        Some((account, host)) => format!("{}:***@{host}", account.split(':').next().unwrap_or_default()),
        None => rest.to_owned(),
    };
    let parts = rest.split('&').map(|p| match p.split_once("password=") {
        Some((before, _)) => format!("{before}password=***"),
        None => p.to_owned(),
    });
    format!("{scheme}://{}", parts.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        assert_eq!(mask("postgres://hall:secret@db/fengqiao"), "postgres://hall:***@db/fengqiao");
        assert_eq!(mask("postgres://db/f?user=a&password=secret&x=1"), "postgres://db/f?user=a&password=***&x=1");
        assert_eq!(mask("fengqiao.db"), "fengqiao.db");
    }

    #[test]
    fn the_secret_of_the_object_store_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.toml");
        std::fs::write(&file, "objects = \"s3://hall/a\"\nobjects_secret_key = \"maple-bridge\"\n").unwrap();
        let config = Config::load(Some(&file), &Flags::default()).unwrap();
        assert_eq!(config.objects_secret_key.reveal(), "maple-bridge");
        assert!(!config.shown().contains("maple-bridge") && !format!("{config:?}").contains("maple-bridge"));
    }

    #[test]
    fn flags_override_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\naccess_minutes = 5\n").unwrap();
        let flags = Flags { listen: Some("127.0.0.1:2".into()), ..Flags::default() };
        let config = Config::load(Some(&file), &flags).unwrap();
        assert_eq!((config.listen.as_str(), config.access_minutes), ("127.0.0.1:2", 5));
        std::fs::write(&file, "lissten = 1\n").unwrap();
        assert!(Config::load(Some(&file), &flags).unwrap_err().to_string().contains("lissten"));
    }
}
