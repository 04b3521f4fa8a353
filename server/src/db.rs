//! The database: SQLite beside the process, or PostgreSQL. One code path; diesel is named only below this module.

mod conn;
mod reach;
pub mod tables;

pub(crate) use conn::insert_all;
pub use conn::{AnyConnection, Database, DbError, PoolSizes, PooledConnection};
pub use reach::Manager;
