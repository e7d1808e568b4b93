//! What became worse since the baseline, and what is only noise?
//!
//! Measured on 20 queries that were repeated: milliseconds spread by 63 to 127 % (588 % at worst), buffers,
//! rows and the plan not at all. So a statement is *worse* when a counter that does not jitter says so
//! (buffers, temporary files, rows per call, a new plan that reads more), or when its mean grew by more than
//! its own scatter explains. A mean that grew within its scatter makes it *suspect*, which is shown and
//! does not fail a check.
//!
//! The scatter is judged by the standard error of the difference of two means (Welch): with deviations s
//! and calls n it is √(s₁²/n₁ + s₂²/n₂), and a difference of `noise_sigma` of these is taken for real.

use std::collections::BTreeMap;

use model::{Millis, snapshot::Statement};
use serde::{Deserialize, Serialize};

use super::figures::{StatementFigures, is_own};

/// What a baseline keeps of a statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementProfile {
    /// The `queryid` of `pg_stat_statements`.
    pub queryid: i64,
    /// The normalised text. A statement whose `queryid` is new (another major, another search_path) is
    /// found by it.
    pub query: String,
    /// Whether a client sent it.
    pub toplevel: bool,
    /// Calls that the figures rest on.
    pub calls: i64,
    /// Mean execution time.
    pub mean_ms: Millis,
    /// Standard deviation, where known.
    pub stddev_ms: Option<Millis>,
    /// Rows per call.
    pub rows_per_call: f64,
    /// Shared buffers touched per call, in the cache or not.
    pub buffers_per_call: f64,
    /// Pages of temporary files read and written per call.
    pub temp_blocks_per_call: f64,
    /// `plan::render::shape_hash` of its plan with typical values, where it was planned.
    #[serde(default)]
    pub plan_shape: Option<String>,
}

impl From<&StatementFigures> for StatementProfile {
    fn from(s: &StatementFigures) -> Self {
        Self {
            queryid: s.queryid,
            query: s.query.clone(),
            toplevel: s.toplevel,
            calls: s.calls,
            mean_ms: s.mean_exec_time,
            stddev_ms: s.stddev_exec_time,
            rows_per_call: s.per_call(s.rows),
            buffers_per_call: s.per_call(s.shared_blks_hit.saturating_add(s.shared_blks_read)),
            temp_blocks_per_call: s.per_call(s.temp_blocks()),
            plan_shape: None,
        }
    }
}

impl From<&Statement> for StatementProfile {
    fn from(s: &Statement) -> Self {
        Self::from(&StatementFigures::from(s))
    }
}

/// When a difference counts. Each metric must pass its relative *and* its absolute threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompareThresholds {
    /// Calls needed on both sides to judge a statement. 5.
    pub min_calls: i64,
    /// Growth of mean time, 0.5 being 50 %. 0.5.
    pub mean_growth: f64,
    /// … and at least this many milliseconds. 1.
    pub mean_min_ms: f64,
    /// … and this many standard errors, where deviations are known; 0 takes every growth for real. 3.
    pub noise_sigma: f64,
    /// Growth of buffers per call. 0.5.
    pub buffers_growth: f64,
    /// … and at least this many. 10.
    pub buffers_min: f64,
    /// Growth of temporary pages per call. 0.5.
    pub temp_growth: f64,
    /// … and at least this many; 128 are a megabyte. 128.
    pub temp_min: f64,
    /// Growth of rows per call. 0.5.
    pub rows_growth: f64,
    /// … and at least this many. 100.
    pub rows_min: f64,
    /// A new plan is worse when it touches more buffers per call by this share. 0.1.
    pub new_plan_buffers_growth: f64,
}

impl Default for CompareThresholds {
    fn default() -> Self {
        Self {
            min_calls: 5,
            mean_growth: 0.5,
            mean_min_ms: 1.0,
            noise_sigma: 3.0,
            buffers_growth: 0.5,
            buffers_min: 10.0,
            temp_growth: 0.5,
            temp_min: 128.0,
            rows_growth: 0.5,
            rows_min: 100.0,
            new_plan_buffers_growth: 0.1,
        }
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean execution time in milliseconds.
    MeanMs,
    /// Shared buffers touched per call.
    BuffersPerCall,
    /// Temporary pages per call.
    TempPerCall,
    /// Rows per call.
    RowsPerCall,
    /// The shape of the plan; `before` and `after` are 0 and 1.
    PlanShape,
}

/// What is to be thought of a statement, or of one difference. Ordered: the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It became better by as much as would count as worse the other way round.
    Better,
    /// No difference that counts.
    Same,
    /// It grew, but within its scatter, or in a way that need not be bad.
    Suspect,
    /// It became worse.
    Worse,
}

/// One metric that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What was compared.
    pub metric: Metric,
    /// In the baseline.
    pub before: f64,
    /// Now.
    pub after: f64,
    /// What to think of it.
    pub verdict: Verdict,
    /// Why, in a few words.
    pub reason: String,
}

/// A statement set against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementComparison {
    /// Its `queryid` now.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// Calls in the baseline.
    pub calls_before: i64,
    /// Calls now.
    pub calls_after: i64,
    /// Mean time in the baseline.
    pub mean_before: Millis,
    /// Mean time now.
    pub mean_after: Millis,
    /// The worst verdict of its differences; `Better` when some are better and none is worse or suspect.
    pub verdict: Verdict,
    /// The metrics that differ; those that are the same are left out.
    pub differences: Vec<Difference>,
}

/// What changed since the baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Statements that became worse, the one that costs most time in all first.
    pub worse: Vec<StatementComparison>,
    /// Statements to keep an eye on; they fail no check.
    pub suspect: Vec<StatementComparison>,
    /// Statements that became better, the one that saves most time first.
    pub better: Vec<StatementComparison>,
    /// How many statements are as they were.
    pub same: usize,
    /// Statements with too few calls on one side to say anything, by `queryid`.
    pub too_few_calls: Vec<i64>,
    /// Statements that the baseline does not know.
    pub new: Vec<StatementProfile>,
    /// Statements of the baseline that did not run now.
    pub gone: Vec<StatementProfile>,
}

impl Comparison {
    /// Whether a check should fail (`baseline compare` then exits 1).
    pub fn is_worse(&self) -> bool {
        !self.worse.is_empty()
    }
}

/// Sets statements against a baseline. Pgwright's own are left out.
pub fn compare(
    baseline: &[StatementProfile],
    now: &[StatementProfile],
    thresholds: &CompareThresholds,
) -> Comparison {
    let mut comparison = Comparison::default();
    let mut left: BTreeMap<(i64, bool), &StatementProfile> =
        baseline.iter().filter(|s| !is_own(&s.query)).map(|s| ((s.queryid, s.toplevel), s)).collect();
    let mut unmatched = Vec::new();
    let mut pairs = Vec::new();
    for after in now.iter().filter(|s| !is_own(&s.query)) {
        match left.remove(&(after.queryid, after.toplevel)) {
            Some(before) => pairs.push((before, after)),
            None => unmatched.push(after),
        }
    }
    // Only then by text, so that an id that matches is never lost to a text that does.
    for after in unmatched {
        let same_text = left
            .iter()
            .find(|(key, b)| b.query == after.query && key.1 == after.toplevel)
            .map(|(key, _)| *key);
        match same_text.and_then(|key| left.remove(&key)) {
            Some(before) => pairs.push((before, after)),
            None => comparison.new.push(after.clone()),
        }
    }
    comparison.gone = left.into_values().cloned().collect();
    for (before, after) in pairs {
        if before.calls < thresholds.min_calls || after.calls < thresholds.min_calls {
            comparison.too_few_calls.push(after.queryid);
            continue;
        }
        let compared = compare_statement(before, after, thresholds);
        match compared.verdict {
            Verdict::Worse => comparison.worse.push(compared),
            Verdict::Suspect => comparison.suspect.push(compared),
            Verdict::Better => comparison.better.push(compared),
            Verdict::Same => comparison.same += 1,
        }
    }
    let cost = |c: &StatementComparison| (c.mean_after.0 - c.mean_before.0) * c.calls_after as f64;
    let dearest_first = |a: &StatementComparison, b: &StatementComparison| {
        cost(b).total_cmp(&cost(a)).then(a.queryid.cmp(&b.queryid))
    };
    comparison.worse.sort_by(dearest_first);
    comparison.suspect.sort_by(dearest_first);
    comparison.better.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.queryid.cmp(&b.queryid)));
    comparison.too_few_calls.sort_unstable();
    comparison.new.sort_by_key(|s| s.queryid);
    comparison
}

fn compare_statement(
    before: &StatementProfile,
    after: &StatementProfile,
    t: &CompareThresholds,
) -> StatementComparison {
    let mut differences = Vec::new();
    let mut add = |metric, (before, after): (f64, f64), verdict, reason: &str| {
        differences.push(Difference { metric, before, after, verdict, reason: reason.into() });
    };

    let buffers = (before.buffers_per_call, after.buffers_per_call);
    match direction(buffers, t.buffers_growth, t.buffers_min) {
        1 => add(Metric::BuffersPerCall, buffers, Verdict::Worse, "touches more pages"),
        -1 => add(Metric::BuffersPerCall, buffers, Verdict::Better, "touches fewer pages"),
        _ => {}
    }
    let temp = (before.temp_blocks_per_call, after.temp_blocks_per_call);
    match direction(temp, t.temp_growth, t.temp_min) {
        1 => add(Metric::TempPerCall, temp, Verdict::Worse, "writes more temporary files"),
        -1 => add(Metric::TempPerCall, temp, Verdict::Better, "writes fewer temporary files"),
        _ => {}
    }
    let rows = (before.rows_per_call, after.rows_per_call);
    match direction(rows, t.rows_growth, t.rows_min) {
        // More rows are more work, but not the plan's fault: data or parameters changed.
        1 => add(Metric::RowsPerCall, rows, Verdict::Suspect, "returns more rows"),
        -1 => add(Metric::RowsPerCall, rows, Verdict::Suspect, "returns fewer rows"),
        _ => {}
    }
    let mean = (before.mean_ms.0, after.mean_ms.0);
    let slower = direction(mean, t.mean_growth, t.mean_min_ms);
    match (slower, beyond_scatter(before, after, t.noise_sigma)) {
        (1, true) => add(Metric::MeanMs, mean, Verdict::Worse, "takes longer, beyond its scatter"),
        (1, false) => add(Metric::MeanMs, mean, Verdict::Suspect, "takes longer, within its scatter"),
        (-1, true) => add(Metric::MeanMs, mean, Verdict::Better, "takes less time"),
        _ => {}
    }
    if let (Some(old), Some(new)) = (&before.plan_shape, &after.plan_shape)
        && old != new
    {
        let reads_more =
            buffers.1 > buffers.0 * (1.0 + t.new_plan_buffers_growth) && buffers.1 - buffers.0 >= 1.0;
        let (verdict, reason) = if reads_more || slower == 1 {
            (Verdict::Worse, "has a new plan that does more")
        } else if slower == -1 || buffers.1 < buffers.0 {
            (Verdict::Better, "has a new plan that does less")
        } else {
            (Verdict::Suspect, "has a new plan")
        };
        add(Metric::PlanShape, (0.0, 1.0), verdict, reason);
    }

    let worst = differences.iter().map(|d| d.verdict).max().unwrap_or(Verdict::Same);
    StatementComparison {
        queryid: after.queryid,
        query: after.query.clone(),
        calls_before: before.calls,
        calls_after: after.calls,
        mean_before: before.mean_ms,
        mean_after: after.mean_ms,
        verdict: worst,
        differences,
    }
}

/// 1 when it grew beyond both thresholds, −1 when it would have the other way round, 0 otherwise.
fn direction((before, after): (f64, f64), growth: f64, least: f64) -> i8 {
    let grew = |from: f64, to: f64| to - from >= least && to - from >= from * growth && to > from;
    if grew(before, after) {
        1
    } else if grew(after, before) {
        -1
    } else {
        0
    }
}

/// Whether the means differ by more than the scatter of both explains; true where it is unknown.
fn beyond_scatter(before: &StatementProfile, after: &StatementProfile, sigma: f64) -> bool {
    let (Some(s1), Some(s2)) = (before.stddev_ms, after.stddev_ms) else { return true };
    let (n1, n2) = (before.calls.max(1) as f64, after.calls.max(1) as f64);
    let error = (s1.0.powi(2) / n1 + s2.0.powi(2) / n2).sqrt();
    (after.mean_ms.0 - before.mean_ms.0).abs() >= sigma * error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(mean: f64, stddev: f64, buffers: f64) -> StatementProfile {
        StatementProfile {
            queryid: 1,
            query: "select 1".into(),
            toplevel: true,
            calls: 100,
            mean_ms: Millis(mean),
            stddev_ms: Some(Millis(stddev)),
            rows_per_call: 10.0,
            buffers_per_call: buffers,
            temp_blocks_per_call: 0.0,
            plan_shape: Some("a".into()),
        }
    }

    fn verdict(before: StatementProfile, after: StatementProfile) -> (Verdict, Vec<Metric>) {
        let c = compare(&[before], &[after], &CompareThresholds::default());
        assert_eq!(c.is_worse(), !c.worse.is_empty());
        match c.worse.iter().chain(&c.suspect).chain(&c.better).next() {
            Some(s) => (s.verdict, s.differences.iter().map(|d| d.metric).collect()),
            None => (Verdict::Same, Vec::new()),
        }
    }

    #[test]
    fn the_same_is_the_same_and_small_growth_is_too() {
        assert_eq!(verdict(profile(10.0, 1.0, 100.0), profile(10.0, 1.0, 100.0)).0, Verdict::Same);
        // 40 % is under the threshold; 0.9 ms is, too, though it is nine times as long.
        assert_eq!(verdict(profile(10.0, 0.1, 100.0), profile(14.0, 0.1, 100.0)).0, Verdict::Same);
        assert_eq!(verdict(profile(0.1, 0.0, 100.0), profile(1.0, 0.0, 100.0)).0, Verdict::Same);
        assert_eq!(verdict(profile(10.0, 1.0, 2.0), profile(10.0, 1.0, 9.0)).0, Verdict::Same);
    }

    #[test]
    fn a_longer_mean_is_worse_only_beyond_its_scatter() {
        let slower = verdict(profile(10.0, 2.0, 100.0), profile(16.0, 3.0, 100.0));
        assert_eq!(slower, (Verdict::Worse, vec![Metric::MeanMs]));
        let noisy = verdict(profile(10.0, 40.0, 100.0), profile(16.0, 60.0, 100.0));
        assert_eq!(noisy, (Verdict::Suspect, vec![Metric::MeanMs]));
        let unknown = StatementProfile { stddev_ms: None, ..profile(16.0, 0.0, 100.0) };
        assert_eq!(verdict(profile(10.0, 40.0, 100.0), unknown).0, Verdict::Worse);
    }

    #[test]
    fn counters_without_noise_decide_alone() {
        let pages = verdict(profile(10.0, 5.0, 100.0), profile(10.5, 5.0, 400.0));
        assert_eq!(pages, (Verdict::Worse, vec![Metric::BuffersPerCall]));
        let spilled = StatementProfile { temp_blocks_per_call: 500.0, ..profile(10.0, 5.0, 100.0) };
        assert_eq!(verdict(profile(10.0, 5.0, 100.0), spilled), (Verdict::Worse, vec![Metric::TempPerCall]));
        let more = StatementProfile { rows_per_call: 900.0, ..profile(10.0, 5.0, 100.0) };
        assert_eq!(verdict(profile(10.0, 5.0, 100.0), more), (Verdict::Suspect, vec![Metric::RowsPerCall]));
    }

    #[test]
    fn a_new_plan_is_judged_by_what_it_does() {
        let new =
            |mean, buffers| StatementProfile { plan_shape: Some("b".into()), ..profile(mean, 1.0, buffers) };
        assert_eq!(verdict(profile(10.0, 1.0, 100.0), new(10.0, 115.0)).0, Verdict::Worse);
        assert_eq!(verdict(profile(10.0, 1.0, 100.0), new(10.0, 100.0)).0, Verdict::Suspect);
        assert_eq!(verdict(profile(10.0, 1.0, 100.0), new(1.0, 4.0)).0, Verdict::Better);
        let unplanned = StatementProfile { plan_shape: None, ..profile(10.0, 1.0, 100.0) };
        assert_eq!(verdict(profile(10.0, 1.0, 100.0), unplanned).0, Verdict::Same);
    }

    #[test]
    fn few_calls_new_and_gone_statements_are_not_judged() {
        let few = StatementProfile { calls: 4, ..profile(900.0, 1.0, 9e6) };
        let other = StatementProfile { queryid: 2, query: "select 2".into(), ..profile(1.0, 1.0, 1.0) };
        let c = compare(&[profile(1.0, 1.0, 1.0), other.clone()], &[few], &CompareThresholds::default());
        assert!(!c.is_worse() && c.suspect.is_empty() && c.better.is_empty());
        assert_eq!((c.too_few_calls, c.gone), (vec![1], vec![other.clone()]));
        let c = compare(&[], std::slice::from_ref(&other), &CompareThresholds::default());
        assert_eq!((c.new, c.worse.len()), (vec![other], 0));
    }

    #[test]
    fn a_statement_with_a_new_id_is_found_by_its_text() {
        let renamed = StatementProfile { queryid: 99, ..profile(50.0, 1.0, 100.0) };
        let c = compare(&[profile(10.0, 1.0, 100.0)], &[renamed], &CompareThresholds::default());
        assert_eq!(c.worse[0].queryid, 99);
        assert!(c.new.is_empty() && c.gone.is_empty());
    }

    #[test]
    fn the_dearest_comes_first() {
        let with = |queryid, mean, calls| StatementProfile {
            queryid,
            query: format!("select {queryid}"),
            calls,
            ..profile(mean, 0.1, 100.0)
        };
        let before = [with(1, 10.0, 100), with(2, 10.0, 100), with(3, 10.0, 100)];
        let now = [with(1, 20.0, 100), with(2, 16.0, 1000), with(3, 1.0, 100)];
        let c = compare(&before, &now, &CompareThresholds::default());
        assert_eq!(c.worse.iter().map(|s| s.queryid).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(c.better.iter().map(|s| s.queryid).collect::<Vec<_>>(), [3]);
    }
}
