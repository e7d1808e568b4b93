//! What happened between two readings of `pg_stat_statements`?
//!
//! Source: PostgreSQL manual, "pg_stat_statements", and pg_stat_statements.c: `pgss_store()` (Welford's
//! method for mean and variance), `entry_dealloc()` (the least used entries are thrown out when `max` is
//! reached), `entry_reset()`.
//!
//! Counters are subtracted. What cannot be subtracted exactly:
//!
//! - *mean*: exact, the difference of total time over the difference of calls;
//! - *standard deviation*: exact but for rounding. The sum of squared deviations of two parts is the sum
//!   of theirs plus n1·n2/n·(mean1 − mean2)², which is solved for the second part;
//! - *maximum*: known if it grew (the new one happened in between) or if counting began in between;
//!   unknown otherwise. *Minimum*: the same, if it fell.
//!
//! Counters can begin again: the extension was reset, or one entry was (`stats_reset`, `stats_since`, or a
//! counter that went down). Then what the later reading holds is the part since. Entries can be gone.
//! Every such case is a [`Gap`], because a profile with a hole must say so.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::snapshot::{Statement, StatementsInfo};
use model::{Bytes, Millis};
use serde::{Deserialize, Serialize};

use super::figures::StatementFigures;

/// Something that the two readings together do not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "gap")]
pub enum Gap {
    /// All counters began again: only what happened since then is known.
    Reset {
        /// When, if the extension says (since its version 1.9).
        at: Option<DateTime<Utc>>,
    },
    /// The counters of one statement began again.
    Restarted {
        /// The statement.
        queryid: i64,
        /// Since when, if the extension says (since its version 1.11).
        since: Option<DateTime<Utc>>,
    },
    /// A statement that was there before is not there any more; its calls in between are unknown.
    Gone {
        /// The statement.
        queryid: i64,
        /// Its text.
        query: String,
    },
    /// Entries were thrown out because `pg_stat_statements.max` was reached, this many times. A statement
    /// may have come and gone unseen, or have come back with counters that began again.
    Evictions {
        /// How often room was made; each time some 5 % of the entries go.
        times: i64,
        /// `pg_stat_statements.max`.
        max: i64,
    },
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |t: &Option<DateTime<Utc>>| {
            t.map_or(String::new(), |t| format!(" at {}", t.format("%Y-%m-%d %H:%M:%S UTC")))
        };
        match self {
            Self::Reset { at } => {
                write!(f, "all counters were reset{}; earlier calls are not included", time(at))
            }
            Self::Restarted { queryid, since } => {
                write!(
                    f,
                    "counters of statement {queryid} began again{}; earlier calls are not included",
                    time(since)
                )
            }
            Self::Gone { queryid, .. } => {
                write!(f, "statement {queryid} is no longer tracked; its calls are unknown")
            }
            Self::Evictions { times, max } => {
                write!(
                    f,
                    "entries were evicted {times} times because pg_stat_statements.max ({max}) was reached"
                )
            }
        }
    }
}

/// What happened between two readings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Statements that ran in between, the one with the most execution time first.
    pub statements: Vec<StatementFigures>,
    /// What is missing. Empty means that the figures are complete.
    pub gaps: Vec<Gap>,
}

impl Delta {
    /// Subtracts an earlier reading from a later one. Statements are told apart by `queryid` and
    /// `toplevel`; a statement that did not run in between is left out.
    pub fn between(
        before: (&[Statement], Option<&StatementsInfo>),
        after: (&[Statement], Option<&StatementsInfo>),
    ) -> Self {
        let mut gaps = Vec::new();
        let reset = match (before.1, after.1) {
            (Some(b), Some(a)) => a.stats_reset != b.stats_reset && a.stats_reset.is_some(),
            _ => false,
        };
        if reset {
            gaps.push(Gap::Reset { at: after.1.and_then(|i| i.stats_reset) });
        }
        // A reset sets `dealloc` back to 0, so all that is there now happened since.
        let evictions = match (before.1, after.1) {
            (Some(b), Some(a)) if !reset => a.dealloc - b.dealloc,
            (_, Some(a)) if reset => a.dealloc,
            _ => 0,
        };
        if let (true, Some(info)) = (evictions > 0, after.1) {
            gaps.push(Gap::Evictions { times: evictions, max: info.max });
        }

        let key = |s: &Statement| (s.queryid, s.toplevel);
        let earlier: BTreeMap<_, _> =
            if reset { BTreeMap::new() } else { before.0.iter().map(|s| (key(s), s)).collect() };
        let later: BTreeMap<_, _> = after.0.iter().map(|s| (key(s), s)).collect();

        let mut statements = Vec::new();
        for (key, now) in &later {
            match earlier.get(key) {
                Some(then) if restarted(then, now) => {
                    gaps.push(Gap::Restarted { queryid: now.queryid, since: now.stats_since });
                    statements.push(StatementFigures::from(*now));
                }
                Some(then) => statements.push(subtract(then, now)),
                None => statements.push(StatementFigures::from(*now)),
            }
        }
        for (_, then) in earlier.iter().filter(|(key, _)| !later.contains_key(*key)) {
            gaps.push(Gap::Gone { queryid: then.queryid, query: then.query.clone() });
        }
        statements.retain(|s| s.calls > 0);
        statements.sort_by(|a, b| {
            b.total_exec_time.0.total_cmp(&a.total_exec_time.0).then(a.queryid.cmp(&b.queryid))
        });
        Self { statements, gaps }
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// Whether the later counters do not continue the earlier ones.
fn restarted(then: &Statement, now: &Statement) -> bool {
    let since_changed = match (then.stats_since, now.stats_since) {
        (Some(a), Some(b)) => a != b,
        _ => false,
    };
    since_changed
        || now.calls < then.calls
        || now.rows < then.rows
        // A sum of floating-point numbers grows; a hair less is the rounding of a text.
        || now.total_exec_time.0 < then.total_exec_time.0 - 1e-6 * then.total_exec_time.0.abs()
        || now.shared_blks_hit < then.shared_blks_hit
        || now.shared_blks_read < then.shared_blks_read
}

fn subtract(then: &Statement, now: &Statement) -> StatementFigures {
    let calls = now.calls - then.calls;
    let total = (now.total_exec_time.0 - then.total_exec_time.0).max(0.0);
    let mean = if calls > 0 { total / calls as f64 } else { 0.0 };
    // The extremes are there since counting began: all of it in between, or moved in between.
    let fresh = then.calls == 0;
    let grew = now.max_exec_time.0 > then.max_exec_time.0;
    let fell = now.min_exec_time.0 < then.min_exec_time.0;
    let less = |a: Millis, b: Millis| Millis((a.0 - b.0).max(0.0));
    StatementFigures {
        queryid: now.queryid,
        query: now.query.clone(),
        toplevel: now.toplevel,
        calls,
        total_plan_time: less(now.total_plan_time, then.total_plan_time),
        total_exec_time: Millis(total),
        mean_exec_time: Millis(mean),
        min_exec_time: (fresh || fell).then_some(now.min_exec_time),
        max_exec_time: (fresh || grew).then_some(now.max_exec_time),
        stddev_exec_time: stddev_between(then, now).map(Millis),
        rows: now.rows - then.rows,
        shared_blks_hit: now.shared_blks_hit - then.shared_blks_hit,
        shared_blks_read: now.shared_blks_read - then.shared_blks_read,
        shared_blks_dirtied: now.shared_blks_dirtied - then.shared_blks_dirtied,
        shared_blks_written: now.shared_blks_written - then.shared_blks_written,
        temp_blks_read: now.temp_blks_read - then.temp_blks_read,
        temp_blks_written: now.temp_blks_written - then.temp_blks_written,
        blk_read_time: less(now.blk_read_time, then.blk_read_time),
        blk_write_time: less(now.blk_write_time, then.blk_write_time),
        wal_records: now.wal_records - then.wal_records,
        wal_bytes: Bytes(now.wal_bytes.0.saturating_sub(then.wal_bytes.0)),
        stats_since: now.stats_since,
    }
}

/// The standard deviation of the calls in between; `None` when rounding has eaten it.
fn stddev_between(then: &Statement, now: &Statement) -> Option<f64> {
    let (n1, n) = (then.calls as f64, now.calls as f64);
    let n2 = n - n1;
    if n2 <= 0.0 {
        return None;
    }
    if n1 == 0.0 {
        return Some(now.stddev_exec_time.0);
    }
    let mean1 = then.total_exec_time.0 / n1;
    let mean2 = (now.total_exec_time.0 - then.total_exec_time.0) / n2;
    let squares = now.stddev_exec_time.0.powi(2) * n;
    let squares1 = then.stddev_exec_time.0.powi(2) * n1;
    let squares2 = squares - squares1 - n1 * n2 / n * (mean1 - mean2).powi(2);
    // The terms cancel: what is left may be of the size of their rounding errors, then it says nothing.
    let noise = 1e-9 * (squares + squares1);
    if squares2 < -noise || !squares2.is_finite() { None } else { Some((squares2.max(0.0) / n2).sqrt()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(hour: u32) -> DateTime<Utc> {
        format!("2024-05-05T{hour:02}:00:00Z").parse().unwrap()
    }

    fn info(dealloc: i64, reset_hour: u32) -> StatementsInfo {
        StatementsInfo {
            version: "1.10".into(),
            dealloc,
            stats_reset: Some(time(reset_hour)),
            max: 5000,
            track: "top".into(),
        }
    }

    /// A statement as pg_stat_statements would count these execution times.
    fn ran(queryid: i64, times: &[f64]) -> Statement {
        let n = times.len() as f64;
        let total: f64 = times.iter().sum();
        let mean = if times.is_empty() { 0.0 } else { total / n };
        let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n.max(1.0);
        Statement {
            queryid,
            query: format!("select {queryid}"),
            toplevel: true,
            calls: times.len() as i64,
            total_exec_time: Millis(total),
            mean_exec_time: Millis(mean),
            min_exec_time: Millis(times.iter().copied().fold(f64::INFINITY, f64::min)),
            max_exec_time: Millis(times.iter().copied().fold(0.0, f64::max)),
            stddev_exec_time: Millis(variance.sqrt()),
            rows: times.len() as i64 * 3,
            shared_blks_hit: times.len() as i64 * 7,
            ..Statement::default()
        }
    }

    fn delta(before: &[Statement], b: &StatementsInfo, after: &[Statement], a: &StatementsInfo) -> Delta {
        Delta::between((before, Some(b)), (after, Some(a)))
    }

    #[test]
    fn mean_and_deviation_of_the_interval_are_those_of_its_calls() {
        let (first, second) = ([1.0, 2.0, 3.0, 40.0], [10.0, 14.0, 12.0]);
        let all: Vec<f64> = first.iter().chain(&second).copied().collect();
        let d = delta(&[ran(1, &first)], &info(0, 1), &[ran(1, &all)], &info(0, 1));
        assert!(d.is_complete());
        let (s, truth) = (&d.statements[0], ran(1, &second));
        assert_eq!((s.calls, s.rows, s.shared_blks_hit), (3, 9, 21));
        assert!((s.mean_exec_time.0 - truth.mean_exec_time.0).abs() < 1e-9);
        assert!((s.stddev_exec_time.unwrap().0 - truth.stddev_exec_time.0).abs() < 1e-9);
        // The maximum of 40 may have been before or in between; the minimum as well.
        assert_eq!((s.max_exec_time, s.min_exec_time), (None, None));
    }

    #[test]
    fn an_extreme_that_moved_happened_in_between() {
        let d = delta(&[ran(1, &[5.0])], &info(0, 1), &[ran(1, &[5.0, 9.0, 2.0])], &info(0, 1));
        assert_eq!(d.statements[0].max_exec_time, Some(Millis(9.0)));
        assert_eq!(d.statements[0].min_exec_time, Some(Millis(2.0)));
    }

    #[test]
    fn a_deviation_of_nothing_is_not_made_up_by_rounding() {
        // A million equal calls, then ten equal calls of another length.
        let mut times = vec![0.1; 1_000_000];
        let before = ran(1, &times);
        times.extend([7.0; 10]);
        let d = delta(&[before], &info(0, 1), &[ran(1, &times)], &info(0, 1));
        assert!(d.statements[0].stddev_exec_time.is_none_or(|s| s.0 < 0.01), "{:?}", d.statements[0]);
    }

    #[test]
    fn new_statements_count_whole_and_idle_ones_not_at_all() {
        let (old, new) = (ran(1, &[5.0]), ran(2, &[4.0, 6.0]));
        let d = delta(std::slice::from_ref(&old), &info(0, 1), &[old.clone(), new], &info(0, 1));
        assert_eq!(d.statements.len(), 1);
        assert_eq!(d.statements[0].queryid, 2);
        assert_eq!(d.statements[0].max_exec_time, Some(Millis(6.0)));
        assert!(d.is_complete());
    }

    #[test]
    fn after_a_reset_only_the_rest_counts() {
        let d = delta(&[ran(1, &[5.0; 9])], &info(7, 1), &[ran(1, &[3.0; 20])], &info(0, 2));
        assert_eq!(d.statements[0].calls, 20);
        assert_eq!(d.gaps, [Gap::Reset { at: Some(time(2)) }]);
    }

    #[test]
    fn one_entry_that_began_again_is_named() {
        let smaller = delta(&[ran(1, &[5.0; 9])], &info(0, 1), &[ran(1, &[3.0; 2])], &info(0, 1));
        assert_eq!(smaller.statements[0].calls, 2);
        assert_eq!(smaller.gaps, [Gap::Restarted { queryid: 1, since: None }]);

        // It has more calls than before, but began later: 1.11 and above say so.
        let then = Statement { stats_since: Some(time(1)), ..ran(1, &[5.0; 9]) };
        let now = Statement { stats_since: Some(time(3)), ..ran(1, &[5.0; 12]) };
        let later = delta(&[then], &info(0, 1), &[now], &info(0, 1));
        assert_eq!(later.statements[0].calls, 12);
        assert_eq!(later.gaps, [Gap::Restarted { queryid: 1, since: Some(time(3)) }]);
    }

    #[test]
    fn evicted_entries_are_told_apart_from_idle_ones() {
        let d = delta(&[ran(1, &[5.0]), ran(2, &[5.0])], &info(3, 1), &[ran(2, &[5.0])], &info(5, 1));
        assert!(d.statements.is_empty());
        assert_eq!(
            d.gaps,
            [Gap::Evictions { times: 2, max: 5000 }, Gap::Gone { queryid: 1, query: "select 1".into() }]
        );
        assert!(d.gaps.iter().all(|g| !g.to_string().is_empty()));
    }

    #[test]
    fn the_same_statement_at_top_level_and_nested_is_two() {
        let nested = Statement { toplevel: false, ..ran(1, &[1.0]) };
        let nested_later = Statement { toplevel: false, ..ran(1, &[1.0, 1.0]) };
        let top = ran(1, &[5.0]);
        let d = delta(&[nested, top.clone()], &info(0, 1), &[nested_later, top], &info(0, 1));
        assert_eq!(d.statements.len(), 1);
        assert!(!d.statements[0].toplevel);
    }
}
