//! How long do statements take, and what do they wait for? From samples of `pg_stat_activity` and counts of calls;
//! `README.md` tells how.
//!
//! Pure: samples in, figures out. Source: PostgreSQL manual, "The Cumulative Statistics System" (`pg_stat_activity`:
//! `query_start`, `state_change`, `query_id`, `wait_event`).

mod estimate;
mod sampler;

pub use estimate::{Calls, Estimate, Percentiles, Place, Quantile, Waited, estimate};
pub use sampler::{Activity, Logging, Observed, Sample, Sampler, UserStatement};
