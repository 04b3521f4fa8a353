//! What stands between the network and everything else: who asks from where, how often he may, and who is let in when many come at
//! once. All of it is decided before a body is read or the database is touched, in memory of bounded size, by each process for
//! itself.

pub mod address;
pub mod admission;
pub mod limits;
pub mod steady;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use sync_core::time::Clock;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::config::Config;
use address::{AddressError, Proxies};
use admission::{Answer, Room};
use limits::{Limit, Quota};
use steady::Steady;

/// Seconds of its rate that a phone, a person or an address may sync without a pause: a first sync is many requests.
const SYNC_BURST_S: u32 = 40;

/// The guard of one process.
pub struct Guard {
    steady: Arc<Steady>,
    /// Whom to believe about the address of a client.
    pub proxies: Proxies,
    /// Signing in, by address.
    pub login: Limit,
    /// Signing in, by account together with where it is tried from: a phone that has proved to be the account's own, else an address.
    /// By the account alone anybody could use up what its owner is allowed.
    pub login_account: Limit,
    /// Fresh tokens, by the phone or session that shows its old one.
    pub refresh: Limit,
    /// Fresh tokens for who shows none, and last words; by address.
    pub refresh_address: Limit,
    /// Registering phones, by account.
    pub register: Limit,
    /// Requests under `/v1` without a token of this server, by address.
    pub strangers: Limit,
    /// Sync requests, by device.
    pub sync: Limit,
    /// Sync requests, by account.
    pub sync_account: Limit,
    /// Sync requests, by address.
    pub sync_address: Limit,
    /// Everything else, by account.
    pub requests: Limit,
    /// Pages and what belongs to them, by address.
    pub pages: Limit,
    /// Searches by words and numbers, by account.
    pub search: Limit,
    /// Masked numbers shown, by account.
    pub reveal: Limit,
    syncs: Mutex<Room>,
    streams: Mutex<Room>,
    unknown: Mutex<Room>,
    /// Sync requests that are being answered.
    pub in_flight: Semaphore,
}

/// What somebody wants to be admitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /v1/sync`, and the fresh token for it.
    Sync,
    /// Signing in, and fresh tokens for who shows none that this server signed.
    Unknown,
    /// `GET /v1/events`.
    Events,
}

impl Guard {
    /// A guard by these settings.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, AddressError> {
        let steady = Arc::new(Steady::new(clock));
        let limit = |name, quota: Option<Quota>| Limit::new(name, quota, Arc::clone(&steady));
        let room = || Mutex::new(Room::new(config.sync_rate_per_second, config.sync_burst, config.sync_queue_max));
        Ok(Self {
            proxies: Proxies::new(&config.trusted_proxies, &config.proxy_header)?,
            // Behind one address there may be ten thousand phones.
            login: limit("login", Quota::per_minute(config.login_per_minute, 10)).of_addresses(),
            login_account: limit("login_account", Quota::per_minute(config.login_account_per_minute, 1)),
            refresh: limit("refresh", Quota::per_minute(config.refresh_per_minute, 1)),
            refresh_address: limit("refresh_address", Quota::per_minute(config.refresh_address_per_minute, 2))
                .of_addresses(),
            register: limit("register", Quota::per_hour(config.register_per_hour)),
            strangers: limit("strangers", Quota::per_minute(config.strangers_per_minute, 1)).of_addresses(),
            sync: limit("sync", Quota::per_second(config.sync_device_per_second, SYNC_BURST_S)),
            sync_account: limit("sync_account", Quota::per_second(config.sync_account_per_second, SYNC_BURST_S)),
            sync_address: limit("sync_address", Quota::per_second(config.sync_address_per_second, SYNC_BURST_S))
                .of_addresses(),
            requests: limit("requests", Quota::per_minute(config.requests_per_minute, 1)),
            pages: limit("pages", Quota::per_minute(config.pages_per_minute, 1)).of_addresses(),
            search: limit("search", Quota::per_minute(config.search_per_minute, 1)),
            reveal: limit("reveal", Quota::per_minute(config.reveal_per_minute, 1)),
            syncs: room(),
            streams: room(),
            unknown: room(),
            in_flight: Semaphore::new(config.sync_in_flight_max.max(1)),
            steady,
        })
    }

    /// Whether somebody is let in now, or when he shall come back. `who` is his device, else his session.
    pub fn admit(&self, door: Door, who: Uuid) -> Answer {
        let room = match door {
            Door::Sync => &self.syncs,
            Door::Events => &self.streams,
            Door::Unknown => &self.unknown,
        };
        room.lock().unwrap_or_else(PoisonError::into_inner).ask(who, self.steady.now_us())
    }
}

/// The address by which a client is counted: an IPv6 client has a whole /64 to itself.
pub fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}
