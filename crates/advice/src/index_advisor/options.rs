//! What bounds the advice, who watches it, and who may stop it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Bytes;

use crate::typical_values::ObservedValues;

/// What makes a statement weigh more than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeighBy {
    /// Its measured execution time; planner costs only say what share of it an index saves.
    #[default]
    Time,
    /// Calls times planner cost, for workloads that were never measured and to compare with advisors that
    /// know nothing else.
    PlannerCost,
}

/// How far the search is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in words.
    pub phase: &'static str,
    /// Steps of it that are done.
    pub done: usize,
    /// Steps that it has.
    pub total: usize,
    /// Planner calls so far.
    pub planner_calls: u64,
}

/// Who is told of progress.
type Listener = Arc<dyn Fn(&Progress) + Send + Sync>;

/// A hand on the search from outside: it may watch and may stop. A stopped search answers with the best
/// set that it has until then.
#[derive(Clone, Default)]
pub struct Control {
    stop: Arc<AtomicBool>,
    listener: Option<Listener>,
}

impl Control {
    /// A control that tells someone of progress.
    pub fn new(listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self { stop: Arc::default(), listener: Some(Arc::new(listener)) }
    }

    /// Ends the search at its next step.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether the search shall end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, progress: &Progress) {
        if let Some(listener) = &self.listener {
            listener(progress);
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}

/// What bounds the advice.
#[derive(Clone, Debug)]
pub struct Options {
    /// What makes a statement weigh more than another.
    pub weigh_by: WeighBy,
    /// The most that all new indexes together may weigh.
    pub max_bytes: Option<Bytes>,
    /// The most new indexes.
    pub max_count: Option<usize>,
    /// The most that upkeep of all new indexes may add to the time of the statements that write, as a share
    /// of it.
    pub max_write_overhead: Option<f64>,
    /// How many times as long as today any statement may be expected to take with the set (`mending.rs`); `None` leaves
    /// that to the proof after the change.
    pub max_slowdown: Option<f64>,
    /// Budgets for which the best set is told too, beside the one that is recommended.
    pub budgets: Vec<Bytes>,
    /// The share of the time that each index must save to be worth a line. Of which time is told by
    /// `yardstick_ms`: somewhat less than what all indexes can save.
    pub min_share: f64,
    /// The share of the time that remains with all recommended indexes which one must save that makes hardly
    /// any difference to the statements it helps. The more of a statement's time it saves, the less must this
    /// be: a statement that becomes ten times faster is worth an index for its own sake, one that becomes a
    /// tenth faster only if the server spends much of its time on it.
    pub min_share_of_rest: f64,
    /// The share of its cost that an index must save at least one statement: less is lost in the noise.
    pub min_speedup: f64,
    /// The share of the same time that indexes as large as the whole database would have to save for their
    /// bytes alone.
    pub database_size_worth: f64,
    /// The share of the same time that indexes which double the work of all inserts and updates would have to save for
    /// that alone, in a workload of nothing but writes: how fast rows can come in is a good of its own.
    pub write_worth: f64,
    /// The share of the same time that each has to save for being one more: people look after it.
    pub index_worth: f64,
    /// The most key columns.
    pub max_key_columns: usize,
    /// The most `INCLUDE` columns.
    pub max_include_columns: usize,
    /// The most bytes of `INCLUDE` columns per row.
    pub max_include_width: i32,
    /// Tables below this many pages get no index.
    pub min_table_pages: i64,
    /// The share of NULLs from which an index leaves them out.
    pub min_null_fraction: f64,
    /// The largest share of rows that the predicate of a partial index may keep.
    pub max_partial_fraction: f64,
    /// The correlation of a column with the order of the table from which BRIN is tried.
    pub min_brin_correlation: f64,
    /// The size in pages from which BRIN is tried.
    pub min_brin_pages: i64,
    /// The most merged candidates.
    pub max_merged: usize,
    /// The most candidates that are tried one by one.
    pub max_pool: usize,
    /// Values that statements were seen with, by `queryid`: from a log, from auto_explain or from
    /// `pg_stat_activity`. They take the place of values from statistics and allow partial indexes on
    /// values.
    pub observed_values: BTreeMap<i64, Vec<ObservedValues>>,
    /// Who is told of progress, and who may stop the search.
    pub control: Control,
}

/// The number of equally heavy statements that the default shares are made for.
const USUAL_STATEMENTS: f64 = 25.0;

/// The part of the smallest shares that is left under a budget of bytes.
const WITHIN_BUDGET: f64 = 0.1;

impl Options {
    /// The same with the smallest shares made for a workload, whose statements could save so much time each.
    ///
    /// Where that is spread over thousands of statements, none of them is a large share of it. What counts is the
    /// number of equal statements over which it would be as spread, the exponential of its entropy: a few heavy
    /// statements do not hide how many others there are, and thousands of negligible ones do not add to it.
    ///
    /// Whoever gives a budget of bytes has said what bytes are worth: within it they are free.
    pub(super) fn for_workload(&self, could_save: &[f64]) -> Self {
        let sum: f64 = could_save.iter().filter(|ms| **ms > 0.0).sum();
        let entropy: f64 =
            could_save.iter().filter(|ms| **ms > 0.0).map(|ms| -ms / sum * (ms / sum).ln()).sum();
        let mut scale = (USUAL_STATEMENTS / entropy.exp()).min(1.0);
        let mut database_size_worth = self.database_size_worth;
        if self.max_bytes.is_some() {
            scale *= WITHIN_BUDGET;
            database_size_worth = 0.0;
        }
        Self {
            min_share: self.min_share * scale,
            min_share_of_rest: self.min_share_of_rest * scale,
            index_worth: self.index_worth * scale,
            database_size_worth,
            ..self.clone()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            weigh_by: WeighBy::Time,
            max_bytes: None,
            max_count: None,
            max_write_overhead: None,
            max_slowdown: Some(1.2),
            budgets: Vec::new(),
            min_share: 0.001,
            min_share_of_rest: 0.02,
            min_speedup: 0.08,
            database_size_worth: 0.05,
            write_worth: 1.0,
            index_worth: 0.001,
            max_key_columns: 4,
            max_include_columns: 6,
            max_include_width: 100,
            min_table_pages: 10,
            min_null_fraction: 0.3,
            max_partial_fraction: 0.4,
            min_brin_correlation: 0.9,
            min_brin_pages: 4_096,
            max_merged: 300,
            max_pool: 400,
            observed_values: BTreeMap::new(),
            control: Control::default(),
        }
    }
}
