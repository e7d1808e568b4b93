//! What did a server do over time? Readings of its counters become intervals that count nothing twice ([`Recorder`]),
//! `apply` keeps them in schema `pgwright`, and a [`Reader`] answers what is asked of them.
//!
//! - [`level`]: how finely, and from which tables a window of time is put together.
//! - [`latency`]: the histograms of sampled executions, as they are kept.
//! - [`series`]: the figures of the server that are kept beside those of statements.
//!
//! This crate reads the store and never writes to it.

mod interval;
pub mod latency;
pub mod level;
mod reading;
mod recording;
pub mod series;
mod status;

pub use interval::{
    Interval, PlanSeen, Resume, Seen, SeriesName, SetBack, StatementDelta, StatementName, Value, WaitName,
};
pub use latency::Latency;
pub use level::{Extent, Extents, Level, Piece, Window};
pub use reading::{
    Error, Figures, Line, Overview, Point, Reader, Series, Sort, Source, Spent, StatementBucket,
    StatementChange, StatementHistory, StatementKey, StatementPlan, StatementUser, StatementWait, Statements,
    WaitBucket, WaitChange, Waits,
};
pub use recording::{Limits, Reading, Recorder, StatementsReading};
pub use status::{Kept, Status};
