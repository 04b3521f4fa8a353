//! One test binary: two cores link once. Runs on SQLite, and on PostgreSQL when `FENGQIAO_TEST_POSTGRES` names a cluster.

mod bad_input;
mod hand;
mod operations;
mod properties;
mod road;
