//! Where do the time, the rows and the buffers of an execution plan go, and why?
//!
//! Source: PostgreSQL manual, "Using EXPLAIN", and `src/backend/commands/explain.c` of 13 to 18.
//! Pure: JSON in, [`Plan`], findings and text out. Nothing here talks to a server.
//!
//! - [`Plan`] is the parsed and normalised plan; `README.md` tells how self time is attributed.
//! - [`input`] finds plans in files, pastes and logs, in JSON and in text format.
//! - [`checks`] holds one file per diagnosis and the registry [`checks::CHECKS`].
//! - [`remedy`] says what to do about what was found.
//! - [`diff`] tells what changed between two plans of one statement.
//! - [`render`] makes the readable tree and the shape by which two plans are compared.

mod attribution;
pub mod checks;
pub mod diff;
mod distinct;
mod error;
pub mod expression;
mod facts;
pub mod input;
mod node;
mod parse;
pub mod remedy;
pub mod render;
mod usage;
mod writes;

pub use checks::Thresholds;
pub use error::PlanError;
pub use facts::qualify;
pub use node::{
    Actual, HashAggUsage, HashUsage, Jit, LockWait, MemoizeUsage, Node, Plan, Relationship, SortUsage,
    Trigger, Worker,
};
pub use usage::Usage;
