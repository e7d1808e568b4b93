//! Which statements cost the most?
//!
//! Source: PostgreSQL manual, "pg_stat_statements". Shares are of the time of top-level statements: with
//! `track = all` the time of a statement inside a function is in its caller's already, so a sum over
//! all would count it twice.

use model::snapshot::Statement;
use model::{Bytes, Millis};
use serde::{Deserialize, Serialize};

use super::figures::{StatementFigures, is_own};

/// By what to order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Execution time in all.
    #[default]
    Total,
    /// Execution time per call.
    Mean,
    /// The longest execution.
    Max,
    /// The number of calls.
    Calls,
    /// Rows in all.
    Rows,
    /// Pages that were not in shared buffers.
    Reads,
    /// Temporary files.
    Temp,
    /// Write-ahead log.
    Wal,
}

impl Sort {
    /// Every order, for help texts and tests.
    pub const ALL: &[Self] =
        &[Self::Total, Self::Mean, Self::Max, Self::Calls, Self::Rows, Self::Reads, Self::Temp, Self::Wal];

    fn key(self, s: &StatementFigures) -> f64 {
        match self {
            Self::Total => s.total_exec_time.0,
            Self::Mean => s.mean_exec_time.0,
            // Where the maximum is unknown the mean is the least that it can be.
            Self::Max => s.max_exec_time.unwrap_or(s.mean_exec_time).0,
            Self::Calls => s.calls as f64,
            Self::Rows => s.rows as f64,
            Self::Reads => s.shared_blks_read as f64,
            Self::Temp => s.temp_blocks() as f64,
            Self::Wal => s.wal_bytes.0 as f64,
        }
    }
}

/// A line of the profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedStatement {
    /// 1 for the first.
    pub rank: usize,
    /// The `queryid` of `pg_stat_statements`.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// Whether a client sent it; `false` for a statement inside a function.
    pub toplevel: bool,
    /// Executions.
    pub calls: i64,
    /// Execution time in all.
    pub total_ms: Millis,
    /// Share of the execution time of all top-level statements, 0 to 1.
    pub share_of_time: f64,
    /// Mean execution time.
    pub mean_ms: Millis,
    /// Shortest execution, where known.
    pub min_ms: Option<Millis>,
    /// Longest execution, where known.
    pub max_ms: Option<Millis>,
    /// Standard deviation of the population, where known.
    pub stddev_ms: Option<Millis>,
    /// Planning time in all; 0 without `pg_stat_statements.track_planning`.
    pub plan_ms: Millis,
    /// Rows returned or changed.
    pub rows: i64,
    /// Rows per call.
    pub rows_per_call: f64,
    /// Shared-buffer hits as a share of all accesses; `None` when it touched nothing.
    pub cache_hit_ratio: Option<f64>,
    /// Shared buffers touched per call, in the cache or not.
    pub buffers_per_call: f64,
    /// Temporary files read and written.
    pub temp_bytes: Bytes,
    /// Write-ahead log written.
    pub wal_bytes: Bytes,
    /// Time reading and writing data files; 0 without `track_io_timing`.
    pub io_ms: Millis,
}

/// Orders statements and keeps the first `limit`. Pgwright's own are left out, of the shares too.
pub fn rank(statements: &[Statement], sort: Sort, limit: usize) -> Vec<RankedStatement> {
    let figures: Vec<_> = statements.iter().map(StatementFigures::from).collect();
    rank_figures(&figures, sort, limit)
}

/// [`rank`] for the statements of an interval.
pub fn rank_figures(statements: &[StatementFigures], sort: Sort, limit: usize) -> Vec<RankedStatement> {
    let mut others: Vec<&StatementFigures> = statements.iter().filter(|s| !is_own(&s.query)).collect();
    let all: f64 = others.iter().filter(|s| s.toplevel).map(|s| s.total_exec_time.0).sum();
    // Equal statements keep the same order on every run.
    others.sort_by(|a, b| {
        let by_time = b.total_exec_time.0.total_cmp(&a.total_exec_time.0);
        sort.key(b).total_cmp(&sort.key(a)).then(by_time).then(a.queryid.cmp(&b.queryid))
    });
    let lines = others.into_iter().take(limit).enumerate();
    lines
        .map(|(i, s)| RankedStatement {
            rank: i + 1,
            queryid: s.queryid,
            query: s.query.clone(),
            toplevel: s.toplevel,
            calls: s.calls,
            total_ms: s.total_exec_time,
            share_of_time: if all > 0.0 { (s.total_exec_time.0 / all).min(1.0) } else { 0.0 },
            mean_ms: s.mean_exec_time,
            min_ms: s.min_exec_time,
            max_ms: s.max_exec_time,
            stddev_ms: s.stddev_exec_time,
            plan_ms: s.total_plan_time,
            rows: s.rows,
            rows_per_call: s.per_call(s.rows),
            cache_hit_ratio: s.cache_hit_ratio(),
            buffers_per_call: s.per_call(s.shared_blks_hit.saturating_add(s.shared_blks_read)),
            temp_bytes: Bytes::from_pages(u64::try_from(s.temp_blocks()).unwrap_or(0)),
            wal_bytes: s.wal_bytes,
            io_ms: Millis(s.blk_read_time.0 + s.blk_write_time.0),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(queryid: i64, calls: i64, total: f64) -> Statement {
        Statement {
            queryid,
            query: format!("select {queryid}"),
            toplevel: true,
            calls,
            total_exec_time: Millis(total),
            mean_exec_time: Millis(total / calls as f64),
            max_exec_time: Millis(total),
            rows: calls * 2,
            shared_blks_hit: 30,
            shared_blks_read: 10,
            temp_blks_written: queryid,
            ..Statement::default()
        }
    }

    fn order(statements: &[Statement], sort: Sort) -> Vec<i64> {
        rank(statements, sort, 10).into_iter().map(|s| s.queryid).collect()
    }

    #[test]
    fn the_order_is_the_one_asked_for() {
        let all = [statement(1, 10, 100.0), statement(2, 1, 50.0), statement(3, 1000, 80.0)];
        assert_eq!(order(&all, Sort::Total), [1, 3, 2]);
        assert_eq!(order(&all, Sort::Mean), [2, 1, 3]);
        assert_eq!(order(&all, Sort::Calls), [3, 1, 2]);
        assert_eq!(order(&all, Sort::Temp), [3, 2, 1]);
        assert_eq!(rank(&all, Sort::Total, 2).len(), 2);
        let mut reversed = all.clone();
        reversed.reverse();
        for sort in Sort::ALL {
            assert_eq!(order(&all, *sort), order(&reversed, *sort), "{sort:?} depends on the input's order");
        }
    }

    #[test]
    fn shares_are_of_top_level_time_without_pgwright() {
        let nested = Statement { toplevel: false, ..statement(2, 1, 60.0) };
        let own = Statement { query: "SELECT /* pgwright:x */ 1".into(), ..statement(3, 1, 900.0) };
        let ranked = rank(&[statement(1, 10, 100.0), nested, own], Sort::Total, 10);
        assert_eq!(ranked.len(), 2);
        assert_eq!(ranked[0].share_of_time, 1.0);
        assert_eq!(ranked[1].share_of_time, 0.6);
        assert_eq!(ranked[0].cache_hit_ratio, Some(0.75));
        assert_eq!(ranked[0].buffers_per_call, 4.0);
        assert_eq!(ranked[0].temp_bytes, Bytes(8192));
    }
}
