//! What happens while a conversion is under way? Told to a callback, before and after every transaction, which is
//! also how the tests kill it at each of its steps.

use std::sync::{Mutex, PoisonError};

use model::Millis;
use serde::Serialize;

use super::state::Step;
use crate::catalog::Blocker;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum ConversionEvent {
    /// A conversion that was interrupted is gone on with.
    Resumed {
        /// Its number.
        conversion_id: i64,
        /// Where it stands.
        step: Step,
    },
    /// A step begins.
    Began {
        /// Which.
        step: Step,
    },
    /// A step is done, and stored as done.
    Done {
        /// Which.
        step: Step,
        /// How long it took.
        elapsed: Millis,
    },
    /// A piece of the table has been copied.
    Copied {
        /// Rows so far, in this run.
        rows: i64,
        /// Pieces that are done.
        batches_done: usize,
        /// Pieces altogether.
        batches: usize,
        /// Rows per second, in this run.
        rows_per_second: f64,
        /// Seconds until the copy is done, at that speed.
        seconds_left: f64,
    },
    /// Copying pauses for a moment.
    Paused {
        /// Why, in a sentence.
        reason: String,
    },
    /// An index of a partition has been built.
    Built {
        /// How many are.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// Changes have been carried over.
    Drained {
        /// How many entries of the log.
        entries: i64,
    },
    /// Both tables hold the same.
    Verified {
        /// So many rows, without those that are being changed.
        rows: i64,
    },
    /// Transactions with older snapshots are waited for.
    Waiting {
        /// Their sessions.
        pids: Vec<i32>,
    },
    /// A lock was not to be had, or not for long enough; it will be tried again.
    Retrying {
        /// The try that failed, from 1.
        attempt: u32,
        /// How many tries there are.
        of: u32,
        /// The SQLSTATE.
        sqlstate: String,
        /// How long is waited before the next try.
        pause: Millis,
        /// Who was in the way.
        blockers: Vec<Blocker>,
    },
    /// Others were kept waiting for at most so long.
    Held {
        /// During which step.
        step: Step,
        /// From the request for the lock until the commit.
        time: Millis,
    },
    /// Something to know, in a sentence.
    Notice {
        /// The sentence.
        text: String,
    },
}

/// Who is told.
pub type OnConversionEvent<'a> = &'a mut (dyn FnMut(ConversionEvent) + Send);

/// Lets several sessions tell.
pub(crate) struct Teller<'a>(Mutex<OnConversionEvent<'a>>);

impl<'a> Teller<'a> {
    pub fn new(on_event: OnConversionEvent<'a>) -> Self {
        Self(Mutex::new(on_event))
    }

    pub fn tell(&self, event: ConversionEvent) {
        let mut on_event = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (*on_event)(event);
    }
}
