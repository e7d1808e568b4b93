//! How patient is a run? Timeouts, tries and memory, with defaults that suit a busy server.

use std::sync::Arc;
use std::time::Duration;

use model::Millis;
use rand::Rng as _;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::cancellation::Cancellation;
use crate::event::{Event, OnEvent};
use crate::partition_archive::ObjectStorage;
use crate::store::Baseline;

/// What to do with a session of a dead run that still works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// Wait until it has finished: a build of hours is not thrown away.
    #[default]
    Wait,
    /// Cancel it and clean up.
    Cancel,
}

/// How a run behaves.
#[derive(Clone, Debug)]
pub struct ExecuteOptions {
    /// How long a statement may wait for its lock on the table. While it waits, others queue behind
    /// it, so this is short and there are several tries.
    pub lock_timeout: Duration,
    /// How long a concurrent build or drop may wait for transactions that are older than it. Nobody
    /// queues behind this wait, and giving up means to build again, so this is long.
    pub transaction_timeout: Duration,
    /// How long others may have to wait for what is locked while rows are moved out of a DEFAULT partition.
    pub max_lock: Duration,
    /// How often a statement is tried when its lock is not to be had or it was the victim of a
    /// deadlock.
    pub tries: u32,
    /// The pause after the first failed try; it doubles with each.
    pub backoff: Duration,
    /// The longest pause between tries.
    pub longest_backoff: Duration,
    /// How long the removal of a half-built index may wait for a lock before it is left to the next
    /// run.
    pub cleanup_timeout: Duration,
    /// How often the working session is looked at.
    pub poll: Duration,
    /// `maintenance_work_mem` for builds, in PostgreSQL's notation.
    pub maintenance_work_mem: Option<String>,
    /// What to do with a session of a dead run that still works.
    pub orphans: Orphans,
    /// The number of the run in the journal; a new one by default.
    pub run_id: Option<Uuid>,
    /// Why something is undone, in a sentence, for the journal.
    pub reason: Option<String>,
    /// How it was before, to be stored before the first change.
    pub before: Option<Arc<Baseline>>,
    /// How archives in buckets are reached.
    pub object_storage: ObjectStorage,
    /// The wish to stop.
    pub cancellation: Cancellation,
}

impl Default for ExecuteOptions {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(2),
            transaction_timeout: Duration::from_secs(3600),
            max_lock: Duration::from_millis(100),
            tries: 10,
            backoff: Duration::from_millis(100),
            longest_backoff: Duration::from_secs(10),
            cleanup_timeout: Duration::from_secs(10),
            poll: Duration::from_millis(500),
            maintenance_work_mem: None,
            orphans: Orphans::Wait,
            run_id: None,
            reason: None,
            before: None,
            object_storage: ObjectStorage::default(),
            cancellation: Cancellation::default(),
        }
    }
}

impl ExecuteOptions {
    /// The pause after a failed try (from 1): doubled each time, with half of it left to chance so
    /// that two who collided do not collide again.
    pub(crate) fn pause_after(&self, attempt: u32) -> Duration {
        pause(self.backoff, self.longest_backoff, attempt, rand::rng().random())
    }

    /// Whether a transaction that failed so at this try (from 1) is tried again: somebody else held a lock, and there
    /// are tries left.
    pub(crate) fn tries_again(&self, attempt: u32, code: Option<&SqlState>) -> bool {
        let held = [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED];
        code.is_some_and(|code| held.contains(code)) && self.has_tries_after(attempt)
    }

    /// Whether there are tries left after this one (from 1), and nobody has asked for a stop.
    pub(crate) fn has_tries_after(&self, attempt: u32) -> bool {
        attempt < self.tries && !self.cancellation.is_cancelled()
    }

    /// Tells of a try that failed and waits before the next.
    pub(crate) async fn back_off(
        &self,
        step_id: i64,
        attempt: u32,
        code: Option<&SqlState>,
        on_event: OnEvent<'_>,
    ) {
        let pause = self.pause_after(attempt);
        on_event(Event::Retrying {
            step_id,
            attempt,
            of: self.tries,
            sqlstate: code.map_or_else(String::new, |c| c.code().to_owned()),
            pause: Millis(pause.as_secs_f64() * 1000.0),
            blockers: Vec::new(),
        });
        tokio::time::sleep(pause).await;
    }
}

fn pause(first: Duration, longest: Duration, attempt: u32, chance: f64) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(longest).mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_leave_half_to_chance() {
        let ms = Duration::from_millis;
        let at = |attempt, chance| pause(ms(100), ms(10_000), attempt, chance);
        assert_eq!(at(1, 1.0), ms(100));
        assert_eq!(at(1, 0.0), ms(50));
        assert_eq!(at(4, 1.0), ms(800));
        assert_eq!(at(40, 1.0), ms(10_000));
        assert_eq!(at(u32::MAX, 0.0), ms(5_000));
    }
}
