//! How is history kept? An interval is one transaction, with one statement per table, so that a process that dies leaves
//! all of it or nothing; roll-ups follow in transactions of their own, each with the mark of how far it reaches.
//!
//! - [`HistoryWriter`]: one server's history in one store; a second writer of the same is refused.
//! - [`keep`]: takes readings, and goes on while the store is away.

mod clock;
mod keeping;
mod partitions;
mod plans;
mod roll_up;
mod writing;

use std::time::Duration;

use history::{Level, Limits};

pub use keeping::keep;
pub use writing::HistoryWriter;

/// For how long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Intervals as they were watched.
    pub raw: Duration,
    /// Minutes.
    pub minute: Duration,
    /// Hours, and days as well unless those are kept longer.
    pub hour: Duration,
    /// Days.
    pub day: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Retention {
    fn default() -> Self {
        Self { raw: 2 * DAY, minute: 30 * DAY, hour: 730 * DAY, day: 730 * DAY }
    }
}

impl Retention {
    /// The shortest that hours can be made of.
    pub const SHORTEST_RAW: Duration = Duration::from_secs(2 * 3600);

    /// For how long a level is kept.
    pub fn of(&self, level: Level) -> Duration {
        match level {
            Level::Raw => self.raw.max(Self::SHORTEST_RAW),
            Level::Minute => self.minute,
            // Days are made of hours.
            Level::Hour => self.hour.max(2 * DAY),
            Level::Day => self.day.max(self.hour),
        }
    }
}

/// How history is kept.
#[derive(Clone, Debug)]
pub struct HistoryOptions {
    /// The name of the server that is watched.
    pub source: String,
    /// How much of an interval is kept.
    pub limits: Limits,
    /// For how long.
    pub retention: Retention,
    /// How many intervals may wait for a store that is away, at least 2; beyond that neighbours are joined.
    pub waiting: usize,
}

impl HistoryOptions {
    /// The usual options for a server.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            limits: Limits::default(),
            retention: Retention::default(),
            waiting: 60,
        }
    }

    /// How many statements have rows of their own in a bucket of a level; the others are summed.
    pub(crate) fn statements(&self, level: Level) -> usize {
        match level {
            Level::Raw | Level::Hour => self.limits.statements,
            Level::Minute => self.limits.statements * 3 / 10,
            Level::Day => self.limits.statements * 2,
        }
    }
}
