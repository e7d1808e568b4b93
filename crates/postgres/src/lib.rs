//! The only crate that talks to a user's server: where it is, how to reach it, what it can do, what
//! it holds. It reads; it never changes anything.
//!
//! - [`Target`] and [`Session`]: connection strings, TLS, timeouts, poolers.

#![warn(missing_docs)]

pub mod catalog;
pub mod catalog_query;
mod conninfo;
mod error;
mod passfile;
mod password_mask;
mod pooler;
mod schema_dump;
mod service;
mod session;
pub mod snapshot;
pub mod snapshot_file;
pub mod statistics;
mod target;
mod tls;

pub use error::Error;
pub use catalog::CATALOG_QUERIES;
pub use session::{CancelToken, Notice, SearchPath, Session, SessionOptions};
pub use snapshot::SnapshotOptions;
pub use statistics::statements;
pub use target::{Environment, SslMode, Target};
pub use tokio_postgres;
