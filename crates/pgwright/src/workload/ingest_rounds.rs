//! What do indexes cost the ingestion? The same rows go into databases that differ in their indexes, by
//! turns, and each turn is compared with that of its neighbor.
//!
//! Source: paired comparison, as in Georges, Buytaert, Eeckhout, "Statistically Rigorous Java Performance
//! Evaluation" (OOPSLA 2007) and Box, Hunter, Hunter, "Statistics for Experimenters" (blocking). A machine
//! that is shared changes its speed from second to second by more than an index costs, so a rate by itself
//! says little; the ratio of two turns that are neighbors in time leaves that out. A round is one short turn
//! of each database. The order of the turns goes through all rotations, forwards and backwards, so that no
//! database always runs in the wake of the same other one. The middle of the ratios counts, and their
//! quartiles say how sure it is.

use std::time::Duration;

use postgres::Target;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::WorkloadError;
use super::file::WorkloadFile;
use super::ingest::{IngestOptions, Ingestion, StatementTimes, Turn};
use super::outcome::rate;

/// How the turns are laid out.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// How long each database is written to before it counts. After a checkpoint the first change of each
    /// page logs the whole page; by then most pages have been changed.
    pub warm_up: Duration,
    /// How long one turn is.
    pub turn: Duration,
    /// How many rounds there are.
    pub count: usize,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { warm_up: Duration::from_secs(2), turn: Duration::from_secs(1), count: 12 }
    }
}

/// What went into one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestOutcome {
    /// Rows inserted and committed.
    pub rows: u64,
    /// Rows changed and committed.
    pub updates: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// How long the turns that counted took together.
    pub seconds: f64,
    /// Rows inserted per second: the middle of the turns.
    pub rows_per_second: f64,
    /// Rows inserted per second in each turn.
    pub turns: Vec<f64>,
    /// Rows per second as a share of those of the first database, round by round. The first has none.
    pub to_first: Option<Ratio>,
    /// Write-ahead log written by the whole server meanwhile, per row inserted. Unlike the rate it
    /// does not depend on how busy the machine is.
    pub wal_bytes_per_row: f64,
    /// Where the time of a session goes; `None` where `pg_stat_statements` cannot be read.
    pub time_per_row: Option<TimePerRow>,
}

/// Where the time of the writing sessions goes, for each inserted row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimePerRow {
    /// Execution of the `INSERT` in the server, in microseconds.
    pub insert_us: f64,
    /// Execution of the `UPDATE`s that come with a row, in microseconds.
    pub update_us: f64,
    /// Everything else, in microseconds: the client, the network, parsing, planning, commit.
    pub other_us: f64,
}

/// How two rates compare over several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The middle of the rounds.
    pub median: f64,
    /// A quarter of the rounds lies below.
    pub lower_quartile: f64,
    /// A quarter of the rounds lies above.
    pub upper_quartile: f64,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Ratio {
    /// Of ratios in any order; `None` when there are none.
    fn of(mut ratios: Vec<f64>) -> Option<Self> {
        ratios.retain(|ratio| ratio.is_finite());
        ratios.sort_by(f64::total_cmp);
        Some(Self {
            median: quantile(&ratios, 0.5)?,
            lower_quartile: quantile(&ratios, 0.25)?,
            upper_quartile: quantile(&ratios, 0.75)?,
            rounds: ratios.len(),
        })
    }
}

/// The quantile of sorted values, between the two that are nearest.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(at.floor() as usize)?, sorted.get(at.ceil() as usize)?);
    Some(below + (above - below) * at.fract())
}

/// Who has which turn in a round.
fn order(round: usize, arms: usize) -> impl Iterator<Item = usize> {
    let backwards = (round / arms.max(1)) % 2 == 1;
    (0..arms).map(move |turn| {
        let turn = if backwards { arms - 1 - turn } else { turn };
        (round + turn) % arms
    })
}

/// Measures how many rows per second the `[ingest]` section of a workload gets into each of the targets,
/// in rounds. The first target is what the others are compared with.
///
/// The rows are committed, since that is what costs. With `clean_up` they are deleted afterwards, which
/// leaves dead tuples to autovacuum, so a clone of the database is the better place to measure.
///
/// # Errors
/// [`WorkloadError`]; any failing statement ends the measurement, and rows that were committed before
/// are still cleaned up.
pub async fn ingest_rates(
    targets: &[&Target],
    file: &WorkloadFile,
    options: &IngestOptions,
    rounds: &Rounds,
    cancel: CancellationToken,
    progress: &(dyn Fn(Duration) + Sync),
) -> Result<Vec<IngestOutcome>, WorkloadError> {
    if rounds.count == 0 || rounds.turn.is_zero() || targets.is_empty() {
        return Err(WorkloadError::Options("ingestion needs a database, a round and a duration".into()));
    }
    let mut arms = Vec::new();
    for target in targets {
        arms.push(Ingestion::prepare(target, file, options, cancel.clone()).await?);
    }
    let measured = measure(&mut arms, rounds, &cancel, progress).await;
    if options.clean_up {
        for arm in &mut arms {
            arm.clean_up().await?;
        }
    }
    measured
}

async fn measure(
    arms: &mut [Ingestion],
    rounds: &Rounds,
    cancel: &CancellationToken,
    progress: &(dyn Fn(Duration) + Sync),
) -> Result<Vec<IngestOutcome>, WorkloadError> {
    let mut elapsed = Duration::ZERO;
    let mut before = Vec::new();
    for arm in &mut *arms {
        if !rounds.warm_up.is_zero() {
            arm.turn(rounds.warm_up).await?;
        }
        before.push(arm.statement_times().await);
        elapsed += rounds.warm_up;
        progress(elapsed);
    }
    let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); arms.len()];
    for round in 0..rounds.count {
        for position in order(round, arms.len()) {
            if let (Some(arm), Some(turns)) = (arms.get_mut(position), turns.get_mut(position)) {
                turns.push(arm.turn(rounds.turn).await?);
            }
            elapsed += rounds.turn;
            progress(elapsed);
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    let mut outcomes = Vec::new();
    for ((arm, own), before) in arms.iter().zip(&turns).zip(before) {
        let times = before.zip(arm.statement_times().await);
        let first = turns.first().filter(|_| !outcomes.is_empty());
        outcomes.push(outcome(own, first.map(Vec::as_slice), times, arm.sessions()));
    }
    Ok(outcomes)
}

fn outcome(
    turns: &[Turn],
    first: Option<&[Turn]>,
    times: Option<(StatementTimes, StatementTimes)>,
    sessions: usize,
) -> IngestOutcome {
    let per_second = |turn: &Turn| rate(turn.rows, turn.seconds);
    let mut outcome = IngestOutcome::default();
    let mut wal_bytes = 0.0;
    for turn in turns {
        outcome.rows += turn.rows;
        outcome.updates += turn.updates;
        outcome.transactions += turn.transactions;
        outcome.seconds += turn.seconds;
        outcome.turns.push(per_second(turn));
        wal_bytes += turn.wal_bytes;
    }
    outcome.rows_per_second = Ratio::of(outcome.turns.clone()).map_or(0.0, |middle| middle.median);
    outcome.to_first = first.and_then(|first| {
        Ratio::of(turns.iter().zip(first).map(|(own, first)| per_second(own) / per_second(first)).collect())
    });
    if outcome.rows > 0 {
        let rows = outcome.rows as f64;
        outcome.wal_bytes_per_row = wal_bytes / rows;
        outcome.time_per_row = times.map(|(before, after)| {
            let insert_us = (after.insert_ms - before.insert_ms).max(0.0) * 1e3 / rows;
            let update_us = (after.update_ms - before.update_ms).max(0.0) * 1e3 / rows;
            let session_us = outcome.seconds * sessions as f64 * 1e6 / rows;
            TimePerRow { insert_us, update_us, other_us: (session_us - insert_us - update_us).max(0.0) }
        });
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_database_always_follows_the_same_other_one() {
        let orders: Vec<Vec<usize>> = (0..6).map(|round| order(round, 3).collect()).collect();
        assert_eq!(
            orders,
            [[0, 1, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0], [0, 2, 1], [1, 0, 2]],
            "all permutations of three, then again from the start"
        );
        assert_eq!(order(6, 3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(order(5, 1).collect::<Vec<_>>(), [0]);
        assert_eq!((0..3).flat_map(|round| order(round, 2)).collect::<Vec<_>>(), [0, 1, 1, 0, 1, 0]);
    }

    #[test]
    fn the_middle_and_the_quartiles_of_the_rounds() {
        let turn = |rows: u64, seconds: f64| Turn { rows, seconds, wal_bytes: 1_000.0, ..Turn::default() };
        // The machine is twice as fast in the third round, and one turn was disturbed.
        let first = [turn(100, 1.0), turn(100, 1.0), turn(200, 1.0), turn(100, 1.0), turn(100, 1.0)];
        let own = [turn(90, 1.0), turn(92, 1.0), turn(180, 1.0), turn(20, 1.0), turn(88, 1.0)];
        let times = (StatementTimes::default(), StatementTimes { insert_ms: 0.94, update_ms: 0.47 });
        let outcome = outcome(&own, Some(&first), Some(times), 2);
        assert_eq!(outcome.rows_per_second, 90.0);
        let ratio = outcome.to_first.unwrap();
        assert_eq!(
            (ratio.median, ratio.lower_quartile, ratio.upper_quartile, ratio.rounds),
            (0.9, 0.88, 0.9, 5)
        );
        let per_row = outcome.time_per_row.unwrap();
        assert!((per_row.insert_us - 2.0).abs() < 1e-9 && (per_row.update_us - 1.0).abs() < 1e-9);
        assert!((per_row.other_us - (10e6 / 470.0 - 3.0)).abs() < 1e-6);
        assert!((outcome.wal_bytes_per_row - 5_000.0 / 470.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_written_is_no_rate() {
        let outcome = outcome(&[Turn::default()], Some(&[Turn::default()]), None, 2);
        assert_eq!((outcome.rows_per_second, outcome.to_first), (0.0, None));
    }
}
