//! Keeps partitioned tables as their sets say: [`survey`] looks, [`run`] does.
//!
//! The catalog is read once for all sets; only sets whose DEFAULT holds rows, or whose key is a number, are asked more.
//! What is to be done is decided by `partitioning::planning`, a pure function. Each partition is made by one
//! transaction, which also writes the journal's row, so a death leaves either both or neither, and the next run goes on.

pub(crate) mod moving;
mod run;
pub mod schedule;
mod survey;
mod unread_default;

pub use run::{SetRun, SetRunStep, run};
pub use survey::{Survey, Surveyed, survey};
pub use unread_default::UnreadDefault;

pub(crate) use unread_default::LARGE_BYTES;
