//! The only crate that talks to a user's server: where it is, how to reach it, what it can do, what
//! it holds. It reads; it never changes anything.
//!
//! - [`Target`] and [`Session`]: connection strings, TLS, timeouts, poolers.
//! - [`Capabilities`]: what the server and the role allow.
//! - [`snapshot`] and [`snapshot_file`]: everything that advice needs, as a value and as a file.
//! - [`statements`]: the counters of `pg_stat_statements` alone.
//! - [`explain()`]: plans, in a transaction that cannot write.
//! - [`checksum`]: whether two statements give the same rows, without fetching them.
//! - [`sample`]: some rows of a table, within bounds.
//! - [`hypopg`]: what statements would cost with other indexes, where the server has HypoPG.
//! - [`metrics`]: what a server counts, under the names that it is published by.
//! - [`catalog`], [`statistics`] and [`catalog_query!`]: the declared queries, one file of SQL each.

pub mod capabilities;
pub mod catalog;
pub mod catalog_query;
pub mod checksum;
mod conninfo;
mod error;
pub mod explain;
pub mod hypopg;
pub mod looking;
pub mod metrics;
mod passfile;
mod password_mask;
mod pooler;
pub mod sample;
mod schema_dump;
mod service;
mod session;
pub mod snapshot;
pub mod snapshot_file;
pub mod statistics;
mod target;
pub mod text_order;
mod tls;

pub use capabilities::Capabilities;
pub use catalog::CATALOG_QUERIES;
pub use checksum::{BagChecksum, ChecksumOptions, bag_checksums};
pub use error::Error;
pub use explain::{ExplainOptions, explain};
pub use hypopg::{HypoPg, HypoPgOptions};
pub use metrics::METRIC_QUERIES;
pub use session::{CancelToken, Notice, SearchPath, Session, SessionOptions};
pub use snapshot::SnapshotOptions;
pub use statistics::statements;
pub use target::{Environment, SslMode, Target};
pub use tokio_postgres;
