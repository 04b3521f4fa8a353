//! `fengqiao replication`: how far the phones are in step.

use serde_json::json;

use super::operate::looked;
use super::{Failure, open, say};
use crate::accounts::roster;
use crate::app::App;
use crate::areas::Tree;
use crate::config::Config;
use crate::plain::cell;
use crate::replication::{self, Bounds, DeviceHealth, State};

#[derive(clap::Args)]
pub(super) struct ReplicationArgs {
    /// Only phones of people who work in this area or below it.
    #[arg(long, value_name = "CODE")]
    area: Option<String>,
    /// Only phones in this state: revoked, never, silent, refused, behind, clock or ok.
    #[arg(long, value_parser = |word: &str| State::parse(word).ok_or("no such state"))]
    state: Option<State>,
    /// One JSON object a phone and, last, one with how many stand in each state.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: Config, args: &ReplicationArgs) -> Result<(), Failure> {
    let app = open(config)?;
    let mut conn = app.db.get()?;
    let tree = Tree::load(&mut conn)?;
    if let Some(area) = args.area.as_deref().filter(|area| tree.get(area).is_none()) {
        return Err(Failure::input(format!("there is no area `{area}`")));
    }
    let here = |tree: &Tree, member: &roster::Member| {
        args.area.as_deref().is_none_or(|area| member.areas.iter().any(|a| tree.contains(area, a)))
    };
    let mut rows = replication::all(&mut conn, &Bounds::of(&app.config), app.now_ms(), here)?;
    rows.sort_by_key(|r| r.last_seen_ms);
    let states = replication::tally(&rows);
    rows.retain(|r| args.state.is_none_or(|s| r.states.contains(&s)));
    drop(conn);
    let state = args.state.map(|s| s.as_str());
    let filter = json!({ "area": args.area, "state": state });
    looked(&app.db, "replication.list", "devices", json!({ "filter": filter, "found": rows.len() }))?;
    if args.json {
        rows.iter().try_for_each(|row| say(&serde_json::to_string(row)?))?;
        return say(&json!({ "states": states }).to_string());
    }
    say("last contact (h)  unsent  photos  refused  clock (s)  storage (MB)  version       state           phone")?;
    rows.iter().try_for_each(|row| say(&line(&app, row)))?;
    let told: Vec<String> = states.iter().filter(|(_, n)| **n > 0).map(|(state, n)| format!("{n} {state}")).collect();
    say(&told.join(", "))
}

fn line(app: &App, row: &DeviceHealth) -> String {
    let or_dash = |n: Option<String>| n.unwrap_or_else(|| "-".to_owned());
    let tenth = |n: i64, unit: i64| format!("{}.{}", n / unit, (n % unit).abs() * 10 / unit);
    let states: Vec<&str> = row.states.iter().map(|s| s.as_str()).collect();
    format!(
        "{:>16}  {:>6}  {:>6}  {:>7}  {:>9}  {:>12}  {:<12}  {:<14}  {} {} ({})",
        or_dash(row.last_seen_ms.map(|ms| tenth(app.now_ms().saturating_sub(ms), 3_600_000))),
        or_dash(row.backlog.map(|n| n.to_string())),
        row.attachments_missing,
        row.refused,
        or_dash(row.clock_offset_ms.map(|ms| tenth(ms, 1_000))),
        or_dash(row.storage_bytes.map(|n| tenth(n, 1 << 20))),
        or_dash(row.version.as_deref().map(|v| cell(v).chars().take(12).collect())),
        states.join("+"),
        cell(&row.user_name),
        cell(&row.name),
        row.device,
    )
}
