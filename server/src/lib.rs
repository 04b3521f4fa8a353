//! The hall's server: accounts, the sync endpoint, the journal and its projections, the scheduler. It does not know the phone; only
//! the program's `demo` command does.

pub mod accounts;
pub mod app;
pub mod archive;
pub mod areas;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod db;
pub mod erasure;
pub mod escalation;
pub mod feed;
pub mod guard;
pub mod http;
pub mod journal;
pub mod live;
pub mod logging;
pub mod masking;
pub mod merge;
pub mod metrics;
pub mod moves;
pub mod objects;
pub mod orders;
pub mod projection;
pub mod quarantine;
pub mod queries;
pub mod rebuild;
pub mod relay;
pub mod replication;
pub mod restore;
pub mod retention;
pub mod run;
pub mod scopes;
pub mod tls;
