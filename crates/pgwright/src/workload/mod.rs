//! How does a database feel to its clients? A workload is sent at a fixed rate, and waiting counts.
//!
//! Source: Tene, "How NOT to Measure Latency" (coordinated omission); Schroeder et al., "Open Versus
//! Closed". A client that waits for an answer before it sends the next request stops asking just
//! when the server is slow, and so hides it. Here requests arrive when the schedule says, and their
//! latency is counted from then.
//!
//! - [`WorkloadFile`]: statements, weights, parameters (docs/reference/workload-file.md).
//! - [`run`]: open loop at a rate, giving an [`Outcome`] of percentiles.
//! - [`ingest_rates`]: closed loop, how many rows per second go in, and what indexes take of it.

mod bind;
pub(crate) mod draw;
mod error;
mod file;
mod ingest;
mod ingest_rounds;
mod latency;
mod outcome;
mod parameter;
mod run;
mod schedule;
mod template;
#[cfg(test)]
mod tests;

pub use error::WorkloadError;
pub use file::{FileError, WorkloadFile};
pub use ingest::IngestOptions;
pub use ingest_rounds::{IngestOutcome, Rounds, ingest_rates};
pub use outcome::{Outcome, StatementOutcome};
pub use run::{Options, capacity, run};
pub use tokio_util::sync::CancellationToken;
