//! Reads PostgreSQL logs: which statements took how long, what failed, and what the server reported about itself.
//!
//! A log is read in blocks by one thread and counted by several ([`analyze`]); what a block adds up to is merged in the order of
//! the log, so that the answer does not depend on the number of threads. Memory depends on the number of different statements,
//! which is bounded, and not on the size of the log. Percentiles are those of a log-linear histogram per statement
//! ([`model::LatencyHistogram`]), and are withheld where there are too few executions.

mod analysis;
mod blocks;
mod entry;
mod error;
mod fingerprint;
mod format;
mod growth;
mod language;
mod message;
mod prefix;
mod report;
mod tally;

pub use analysis::{Filter, Input, Options, Sampled, analyze};
pub use entry::Severity;
pub use error::LogError;
pub use format::{Format, FormatName};
pub use growth::{GrowingLog, Grown};
pub use prefix::Prefix;
pub use report::{
    CheckpointReport, ConnectionReport, ErrorReport, Event, ExecutionReport, FileReport, HourReport,
    LatencyReport, LockReport, LoggedPlan, Report, StatementDurations, StatementExample, StatementReport,
    TemporaryReport, UpkeepReport,
};

/// The clock time of milliseconds since 1970 on the log's own clock: `2026-03-01 10:20:30`.
pub fn clock(time_ms: i64) -> String {
    entry::write_time(time_ms)
}

/// The normalised text of a statement, as statements are told apart: values as `$1`, lists of them as `$1 /*, ... */`.
pub fn normalize(statement: &str) -> String {
    let mut normalizer = fingerprint::Normalizer::default();
    String::from_utf8_lossy(normalizer.normalize(statement.as_bytes())).into_owned()
}
