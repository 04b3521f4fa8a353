//! One test binary: two cores link once. Runs on SQLite, and on PostgreSQL when `FENGQIAO_TEST_POSTGRES` names a cluster.

mod access;
mod admission;
mod attachments;
mod audit;
mod authority_coverage;
mod bad_input;
mod erasure;
mod hand;
mod headers;
mod http;
mod live;
mod lock_out;
mod masking;
mod operations;
mod properties;
mod quarantine;
mod rate_limit;
mod relay;
mod restore;
mod retention;
mod road;
mod secrets;
mod simulator;
mod status;
mod tidy;
mod tls;
