//! How far the phones are in step, for the people who run the system: what each told of itself at its last contact, what of it waits
//! here, and an alert when one has been silent for too long or its clock is wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use diesel::dsl::count_star;
use diesel::prelude::*;
use serde::Serialize;
use sync_core::ids::{DeviceId, Entropy};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::devices::{self, Device};
use crate::accounts::roster;
use crate::app::App;
use crate::areas::Tree;
use crate::config::Config;
use crate::db::tables::{device_orders, devices as phones, quarantine, replication_alerts, settings};
use crate::db::{AnyConnection, DbError};
use crate::objects::uploads;

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// How a phone stands. More than one may hold at a time, except `ok`, `never` and `revoked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was revoked: nothing more is expected of it.
    Revoked,
    /// It was registered and has never synced.
    Never,
    /// Its last contact is longer ago than `silent_hours`, and its holder has a role.
    Silent,
    /// Changes of it wait in the quarantine.
    Refused,
    /// It had something unsent or in doubt at its last contact, or there was more to fetch.
    Behind,
    /// Its wall clock is wrong by more than `clock_minutes`.
    Clock,
    /// None of these.
    Ok,
}

impl State {
    /// Every state, in the order of how much it matters.
    pub const ALL: [Self; 7] =
        [Self::Revoked, Self::Never, Self::Silent, Self::Refused, Self::Behind, Self::Clock, Self::Ok];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Never => "never",
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Behind => "behind",
            Self::Clock => "clock",
            Self::Ok => "ok",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// One phone.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeviceHealth {
    /// Its identity.
    pub device: String,
    /// What its holder calls it.
    pub name: String,
    /// The account that registered it.
    pub user: String,
    /// Its holder's name.
    pub user_name: String,
    /// Codes of the areas that its holder works in.
    pub areas: Vec<String>,
    /// How it stands.
    pub states: Vec<State>,
    /// When it was registered, ms UTC.
    pub registered_ms: i64,
    /// When it was revoked, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<i64>,
    /// Its last sync, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<i64>,
    /// When a sync of it last came to an end with nothing unsent, nothing in doubt and nothing more to fetch, ms UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_ms: Option<i64>,
    /// Changes it still had to send at its last contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Documents that it compared with the server at its last contact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubts: Option<i64>,
    /// Its wall clock less the server's, at its last contact, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_ms: Option<i64>,
    /// Version of its library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Bytes that its records, index and attachments take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_bytes: Option<i64>,
    /// Bytes that are free for them, if its host knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_free_bytes: Option<i64>,
    /// Changes of it that wait in the quarantine.
    pub refused: i64,
    /// Attachments that its holder entered into records and whose contents have not arrived: on this phone or another of his.
    pub attachments_missing: i64,
    /// Orders to purge or wipe that it has not confirmed.
    pub orders: i64,
    /// Alerts that stand.
    pub alerts: Vec<AlertView>,
}

/// Something that somebody must see to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AlertView {
    /// `silent` or `clock`.
    pub kind: State,
    /// When it was raised, ms UTC.
    pub raised_ms: i64,
}

/// What counts as too long and too wrong.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    silent_ms: Option<i64>,
    clock_ms: Option<i64>,
}

impl Bounds {
    /// As configured; 0 is never.
    pub fn of(config: &Config) -> Self {
        let some = |n: i64, unit: i64| Some(n.saturating_mul(unit)).filter(|ms| *ms > 0);
        Self { silent_ms: some(config.silent_hours, HOUR_MS), clock_ms: some(config.clock_minutes, MINUTE_MS) }
    }

    /// Nobody waits for the phone of somebody who has no role; one that never synced counts from its registration.
    fn is_silent(&self, device: &Device, works: bool, now_ms: i64) -> bool {
        let since = device.last_seen_ms.unwrap_or(device.registered_ms);
        works && device.revoked_ms.is_none() && self.silent_ms.is_some_and(|ms| now_ms.saturating_sub(since) > ms)
    }

    fn is_wrong(&self, device: &Device) -> bool {
        let offset = device.clock_offset_ms.unwrap_or_default().saturating_abs();
        device.revoked_ms.is_none() && self.clock_ms.is_some_and(|ms| offset > ms)
    }
}

fn states(device: &Device, works: bool, refused: i64, bounds: &Bounds, now_ms: i64) -> Vec<State> {
    if device.revoked_ms.is_some() {
        return vec![State::Revoked];
    }
    let unfinished = device.backlog.unwrap_or_default() > 0 || device.complete_ms < device.last_seen_ms;
    let held = [
        (State::Never, device.last_seen_ms.is_none()),
        (State::Silent, bounds.is_silent(device, works, now_ms)),
        (State::Refused, refused > 0),
        (State::Behind, device.last_seen_ms.is_some() && unfinished),
        (State::Clock, bounds.is_wrong(device)),
    ];
    let held: Vec<State> = held.into_iter().filter(|(_, holds)| *holds).map(|(state, _)| state).collect();
    if held.is_empty() { vec![State::Ok] } else { held }
}

/// Every phone whose holder is `seen`, by registration.
pub fn all(
    conn: &mut AnyConnection,
    bounds: &Bounds,
    now_ms: i64,
    seen: impl Fn(&Tree, &roster::Member) -> bool,
) -> Result<Vec<DeviceHealth>, DbError> {
    let tree = Tree::load(conn)?;
    let members: HashMap<String, roster::Member> = roster::at(conn, now_ms)?
        .into_iter()
        .filter(|member| seen(&tree, member))
        .map(|member| (member.user.id.clone(), member))
        .collect();
    let waiting = quarantine::table.filter(quarantine::state.eq("waiting")).group_by(quarantine::device);
    let refused: HashMap<String, i64> =
        waiting.select((quarantine::device, count_star())).load::<(String, i64)>(conn)?.into_iter().collect();
    let open = device_orders::table.filter(device_orders::confirmed_ms.is_null()).group_by(device_orders::device);
    let orders: HashMap<String, i64> =
        open.select((device_orders::device, count_star())).load::<(String, i64)>(conn)?.into_iter().collect();
    let mut alerts: HashMap<String, Vec<AlertView>> = HashMap::new();
    for (device, kind, raised_ms) in standing(conn)? {
        alerts.entry(device).or_default().extend(State::parse(&kind).map(|kind| AlertView { kind, raised_ms }));
    }
    let missing: HashMap<String, i64> = uploads::missing_by_user(conn)?.into_iter().collect();
    let mut out = Vec::new();
    for device in devices::all(conn)? {
        let Some(member) = members.get(&device.user_id) else { continue };
        let refused = refused.get(&device.id).copied().unwrap_or_default();
        let works = member.user.active && !member.roles.is_empty();
        out.push(DeviceHealth {
            states: states(&device, works, refused, bounds, now_ms),
            refused,
            attachments_missing: missing.get(&device.user_id).copied().unwrap_or_default(),
            orders: orders.get(&device.id).copied().unwrap_or_default(),
            alerts: alerts.remove(&device.id).unwrap_or_default(),
            user_name: member.user.name.clone(),
            areas: member.areas.clone(),
            device: device.id,
            name: device.name,
            user: device.user_id,
            registered_ms: device.registered_ms,
            revoked_ms: device.revoked_ms,
            last_seen_ms: device.last_seen_ms,
            complete_ms: device.complete_ms,
            backlog: device.backlog,
            doubts: device.doubts,
            clock_offset_ms: device.clock_offset_ms,
            version: device.version,
            storage_bytes: device.storage_bytes,
            storage_free_bytes: device.storage_free_bytes,
        });
    }
    Ok(out)
}

/// How many phones stand in each state.
pub fn tally(rows: &[DeviceHealth]) -> BTreeMap<&'static str, u64> {
    let mut tally: BTreeMap<&'static str, u64> = State::ALL.into_iter().map(|s| (s.as_str(), 0)).collect();
    for state in rows.iter().flat_map(|r| &r.states) {
        *tally.entry(state.as_str()).or_default() += 1;
    }
    tally
}

fn standing(conn: &mut AnyConnection) -> Result<Vec<(String, String, i64)>, DbError> {
    Ok(replication_alerts::table
        .filter(replication_alerts::closed_ms.is_null())
        .order((replication_alerts::raised_ms, replication_alerts::id))
        .select((replication_alerts::device, replication_alerts::kind, replication_alerts::raised_ms))
        .load(conn)?)
}

/// What one round of watching did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Alerts raised.
    pub raised: u64,
    /// Alerts closed, because what they told of is over.
    pub closed: u64,
}

/// Raises and closes alerts. However many servers run, each silence is told once: the index allows one standing alert of a kind.
pub fn watch(app: &App) -> Result<Watched, DbError> {
    let bounds = Bounds::of(&app.config);
    app.db.transaction(|conn| {
        // Of several servers one watches at a time: an update that changes nothing takes the row's lock.
        diesel::update(settings::table).set(settings::value.eq(settings::value)).execute(conn)?;
        // Not before: whoever waited would judge by an hour that is past.
        let now_ms = app.now_ms();
        let works: BTreeSet<String> = roster::at(conn, now_ms)?
            .into_iter()
            .filter(|m| m.user.active && !m.roles.is_empty())
            .map(|m| m.user.id)
            .collect();
        let all = devices::all(conn)?;
        let mut due: BTreeSet<(&str, &str)> = BTreeSet::new();
        for device in &all {
            if bounds.is_silent(device, works.contains(&device.user_id), now_ms) {
                due.insert((&device.id, State::Silent.as_str()));
            }
            if bounds.is_wrong(device) {
                due.insert((&device.id, State::Clock.as_str()));
            }
        }
        let mut watched = Watched::default();
        let mut told: BTreeSet<(String, String)> = BTreeSet::new();
        for (device, kind, _) in standing(conn)? {
            if due.contains(&(device.as_str(), kind.as_str())) {
                told.insert((device, kind));
                continue;
            }
            let over = replication_alerts::table
                .filter(replication_alerts::device.eq(&device))
                .filter(replication_alerts::kind.eq(&kind))
                .filter(replication_alerts::closed_ms.is_null());
            let closed = diesel::update(over).set(replication_alerts::closed_ms.eq(Some(now_ms))).execute(conn)?;
            if closed > 0 {
                tracing::info!(device, kind, "replication alert closed");
                watched.closed += 1;
            }
        }
        for (device, kind) in due {
            if told.contains(&(device.to_owned(), kind.to_owned())) {
                continue;
            }
            let id = Uuid::from_bytes(app.entropy.sixteen()).to_string();
            let row = (
                replication_alerts::id.eq(id),
                replication_alerts::device.eq(device),
                replication_alerts::kind.eq(kind),
                replication_alerts::raised_ms.eq(now_ms),
            );
            diesel::insert_into(replication_alerts::table).values(row).execute(conn)?;
            tracing::warn!(device, kind, "replication alert raised");
            watched.raised += 1;
        }
        let live: Vec<&Device> = all.iter().filter(|d| d.revoked_ms.is_none()).collect();
        let unsent: i64 = live.iter().map(|d| d.backlog.unwrap_or_default().max(0)).fold(0, i64::saturating_add);
        let waiting: i64 = quarantine::table.filter(quarantine::state.eq("waiting")).count().get_result(conn)?;
        let silent = standing(conn)?.iter().filter(|(_, kind, _)| kind == State::Silent.as_str()).count();
        app.metrics.devices_silent.set(i64::try_from(silent).unwrap_or(i64::MAX));
        app.metrics.devices_backlog.set(unsent);
        app.metrics.quarantine_waiting.set(waiting);
        Ok(watched)
    })
}

/// Watches until told to stop.
pub async fn schedule(app: Arc<App>, mut stop: tokio::sync::watch::Receiver<bool>) {
    let Some(every) = Some(app.config.replication_watch_seconds).filter(|s| *s > 0).map(Duration::from_secs) else {
        return;
    };
    loop {
        let worker = app.clone();
        match tokio::task::spawn_blocking(move || watch(&worker)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "replication"),
            Err(error) => tracing::error!(%error, "replication"),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.changed() => return,
        }
    }
}

/// The alerts of a phone that were raised and closed before, newest first, at most 50: kind, raised, closed.
pub fn history(conn: &mut AnyConnection, device: DeviceId) -> Result<Vec<(String, i64, Option<i64>)>, DbError> {
    Ok(replication_alerts::table
        .filter(replication_alerts::device.eq(device.to_string()))
        .order(replication_alerts::raised_ms.desc())
        .limit(50)
        .select((replication_alerts::kind, replication_alerts::raised_ms, replication_alerts::closed_ms))
        .load(conn)?)
}

/// Phones about which an alert was raised or closed since a moment.
pub fn changed_since(conn: &mut AnyConnection, since_ms: i64) -> Result<Vec<(String, String)>, DbError> {
    let changed = replication_alerts::raised_ms.ge(since_ms).or(replication_alerts::closed_ms.ge(since_ms));
    let ids: Vec<String> =
        replication_alerts::table.filter(changed).select(replication_alerts::device).distinct().load(conn)?;
    Ok(phones::table.filter(phones::id.eq_any(ids)).select((phones::id, phones::user_id)).load(conn)?)
}
