//! One test binary: two cores link once. Runs on SQLite, and on PostgreSQL when `FENGQIAO_TEST_POSTGRES` names a cluster.

mod attachments;
mod audit;
mod authority_coverage;
mod bad_input;
mod hand;
mod http;
mod live;
mod masking;
mod operations;
mod properties;
mod relay;
mod road;
mod tidy;
