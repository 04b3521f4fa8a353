//! Data, not code: migrations, code tables, rules and calendars as text. No dependencies, no logic.

/// Code tables (`reference/codes.toml`).
pub const CODES: &str = include_str!("../reference/codes.toml");
/// The default rule set (`reference/rules.toml`).
pub const RULES: &str = include_str!("../reference/rules.toml");
/// The State Council's yearly notices on rest days, one file a year.
pub const CALENDARS: &[&str] = &[
    include_str!("../reference/calendars/2019.json"),
    include_str!("../reference/calendars/2020.json"),
    include_str!("../reference/calendars/2021.json"),
    include_str!("../reference/calendars/2022.json"),
    include_str!("../reference/calendars/2023.json"),
    include_str!("../reference/calendars/2024.json"),
    include_str!("../reference/calendars/2025.json"),
    include_str!("../reference/calendars/2026.json"),
];
/// Migrations of the phone's store, in order.
pub const PHONE_MIGRATIONS: &[&str] = &[
    include_str!("../migrations/phone/0001_base/up.sql"),
    include_str!("../migrations/phone/0002_search/up.sql"),
    include_str!("../migrations/phone/0003_actors/up.sql"),
    include_str!("../migrations/phone/0004_relay/up.sql"),
    include_str!("../migrations/phone/0005_index/up.sql"),
    include_str!("../migrations/phone/0006_meet/up.sql"),
    include_str!("../migrations/phone/0007_attachments/up.sql"),
    include_str!("../migrations/phone/0008_purged/up.sql"),
    include_str!("../migrations/phone/0009_decisions/up.sql"),
    include_str!("../migrations/phone/0010_standing/up.sql"),
    include_str!("../migrations/phone/0011_tombstones/up.sql"),
    include_str!("../migrations/phone/0012_restore/up.sql"),
    include_str!("../migrations/phone/0013_away/up.sql"),
    include_str!("../migrations/phone/0014_tails/up.sql"),
    include_str!("../migrations/phone/0015_indexed/up.sql"),
    include_str!("../migrations/phone/0016_fetched/up.sql"),
    include_str!("../migrations/phone/0017_thumbnails/up.sql"),
    include_str!("../migrations/phone/0018_leaving/up.sql"),
    include_str!("../migrations/phone/0019_receipts/up.sql"),
    include_str!("../migrations/phone/0020_refused_again/up.sql"),
];
/// Areas and people of the demo, in the form of an import file.
pub const DEMO_IMPORT: &str = include_str!("../demo/import.toml");
/// What the pages say, in Chinese.
pub const CONSOLE_ZH: &str = include_str!("../messages/console.zh.ftl");
/// What the pages say, in English.
pub const CONSOLE_EN: &str = include_str!("../messages/console.en.ftl");
/// What the demo says, in both languages.
pub const DEMO_MESSAGES: &str = include_str!("../messages/demo.toml");

/// How long what is kept.
pub const RETENTION: &str = include_str!("../reference/retention.toml");
