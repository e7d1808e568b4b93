//! The only crate that talks to a user's server: where it is, how to reach it, what it can do, what
//! it holds. It reads; it never changes anything.
//!
//! - [`Target`] and [`Session`]: connection strings, TLS, timeouts, poolers.

#![warn(missing_docs)]

mod conninfo;
mod error;
mod passfile;
mod pooler;
mod service;
mod session;
mod target;
mod tls;

pub use error::Error;
pub use session::{CancelToken, Notice, SearchPath, Session, SessionOptions};
pub use target::{Environment, SslMode, Target};
pub use tokio_postgres;
