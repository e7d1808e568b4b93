//! How does a snapshot's schema become an empty database of a server that pgwright started itself?
//!
//! The script of `pg_dump --schema-only` comes from somebody else, and its functions run on this machine. So
//! everything belongs to a role that is not a superuser, and statements that could reach beyond the database
//! are not run ([`restore()`]). The planner twin and the refuter stand on such databases.
//!
//! [`lexer`] splits scripts into statements and statements into tokens, and [`pipeline`] sends many
//! statements without waiting for each other's answers.

mod attach;
mod database;
mod error;
pub mod lexer;
pub mod pipeline;
mod restore;
mod server;
mod session;
pub mod settings;

pub use database::create_database;
pub use error::{Error, explain};
pub use restore::{ForeignKeys, Restored, restore};
pub use server::{Place, start_server};
pub use session::connect;
