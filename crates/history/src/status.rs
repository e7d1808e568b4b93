//! How is the keeping of history going? Written by who keeps it, read by who tells of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

/// What was kept so far, and what was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Whether the store took the last interval.
    pub up: bool,
    /// Intervals that were kept.
    pub intervals: u64,
    /// Intervals that wait for the store.
    pub waiting: usize,
    /// Intervals that were put together with another for want of room.
    pub joined: u64,
    /// Readings that nobody had time to take.
    pub readings_dropped: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Why the last one did.
    pub reason: Option<String>,
    /// Rows that were written, roll-ups among them.
    pub rows: u64,
    /// Buckets that were rolled up.
    pub rolled_up: u64,
    /// Partitions that were made.
    pub partitions_made: u64,
    /// Partitions that were dropped on age.
    pub partitions_dropped: u64,
    /// How long the last interval took to be kept, in seconds.
    pub seconds: f64,
    /// The end of the last interval that was kept.
    pub until: Option<DateTime<Utc>>,
}

/// The same, shared.
#[derive(Debug, Default)]
pub struct Status {
    kept: Mutex<Kept>,
}

impl Status {
    /// As it is now.
    pub fn now(&self) -> Kept {
        self.lock().clone()
    }

    /// Changes something.
    pub fn change(&self, change: impl FnOnce(&mut Kept)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
