//! How does pgwright get a PostgreSQL server of its own? It starts one: found on this machine,
//! reachable by nobody else, and gone when its owner is gone.
//!
//! Source: PostgreSQL manual, "Server Setup and Operation" (initdb, starting and shutting down the
//! server, `postmaster.pid`) and "Client Authentication".
//!
//! ```no_run
//! # fn main() -> Result<(), cluster::Error> {
//! let search = cluster::Search { path: std::env::var_os("PATH"), ..Default::default() };
//! let binaries = cluster::Binaries::newest(&search)?;
//! let server = cluster::Server::start(&binaries, cluster::ServerOptions::default())?;
//! println!("{}", server.url("postgres"));
//! server.stop()?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything blocks, for a second at most; async code that minds uses `spawn_blocking`.

mod account;
mod binaries;
mod error;
mod initdb;
mod memory;
mod postmaster;
mod server;
mod watchdog;

pub use binaries::{Binaries, Search, client_major};
pub use error::Error;
pub use initdb::{Initdb, Template};
pub use memory::memory_dir;
pub use server::{LeftRunning, Server, ServerOptions};
