//! The database: SQLite beside the process, or PostgreSQL. One code path; diesel is named only below this module.

mod conn;
mod reach;
pub mod tables;

pub use conn::{AnyConnection, Database, DbError, PoolSizes, PooledConnection};
pub(crate) use conn::{file_of, insert_all};
pub use reach::Manager;
