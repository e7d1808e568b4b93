//! What should be done: changes with their gain, their price, and the candidates that lost.

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::lock::LockLevel;
use crate::units::{Bytes, Millis};

/// How sure pgwright is of a promised gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The estimate rests on missing or stale statistics, or on another major version.
    Low,
    /// The planner agrees, but typical values had to be guessed.
    Medium,
    /// The planner agrees on fresh statistics and typical values.
    High,
}

/// What a recommendation does to one statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementEffect {
    /// The `queryid` of `pg_stat_statements`.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// Calls in the snapshot.
    pub calls: i64,
    /// Measured mean execution time before.
    pub mean_ms: Millis,
    /// Planner cost before, summed over the plans of its typical values and averaged.
    pub cost_before: f64,
    /// Planner cost after all changes of this recommendation are made, those ranked before included.
    pub cost_after: f64,
    /// Expected mean execution time after: the measured mean scaled by the cost ratio.
    pub expected_ms: Millis,
    /// EXPLAIN (FORMAT JSON) before, of one typical execution.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub plan_before: serde_json::Value,
    /// EXPLAIN (FORMAT JSON) after, of the same execution.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub plan_after: serde_json::Value,
    /// The statement with typical values in place of its parameters.
    #[serde(default)]
    pub example: String,
}

impl StatementEffect {
    /// Expected mean execution time before the changes, those ranked before made: the measured mean where nothing
    /// ranked before changes the statement.
    pub fn before_ms(&self) -> Millis {
        if self.cost_after > 0.0 {
            // The measured mean scaled by the cost ratio, like the time after.
            Millis(self.expected_ms.0 * self.cost_before / self.cost_after)
        } else {
            self.mean_ms
        }
    }

    /// Whether changes that are ranked before make the statement faster than it was measured.
    pub fn is_faster_before(&self) -> bool {
        self.before_ms().0 < 0.99 * self.mean_ms.0
    }
}

/// What is gained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Benefit {
    /// Execution time saved, in milliseconds per hour of the workload that was observed.
    pub saved_ms_per_hour: f64,
    /// Share of all observed execution time that is saved, 0 to 1.
    pub share_of_total: f64,
    /// Workload cost before this recommendation, those ranked before it made.
    pub cost_before: f64,
    /// Workload cost after it.
    pub cost_after: f64,
}

/// What it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// Estimated size on disk; negative sizes do not exist, a drop has 0 here and a gain in `freed`.
    pub bytes: Bytes,
    /// Space given back.
    pub freed: Bytes,
    /// Extra work per hour for inserts, updates and deletes, in planner cost units.
    pub write_cost_per_hour: f64,
    /// Updates per hour that would no longer be HOT.
    pub hot_updates_lost_per_hour: f64,
    /// Estimated time to make the change.
    pub build_ms: Millis,
}

/// A candidate that was considered and not recommended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// What was considered, as SQL.
    pub candidate: String,
    /// Why not, in a sentence.
    pub reason: String,
}

/// Something worth doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Stable between runs: a short hash of the changes, for `apply ID`.
    pub id: String,
    /// One line: what to do.
    pub title: String,
    /// Keys of the findings that it resolves.
    pub resolves: Vec<String>,
    /// The changes in order.
    pub changes: Vec<Change>,
    /// The SQL that would be run, one statement per line of the list.
    pub sql: Vec<String>,
    /// The SQL that undoes it.
    pub undo_sql: Vec<String>,
    /// What is gained.
    pub benefit: Benefit,
    /// What it costs.
    pub price: Price,
    /// The strongest lock and, in words, for how long.
    pub lock: LockLevel,
    /// For how long the lock is held and whom it stops, in a sentence.
    pub lock_duration: String,
    /// Whether `undo` restores the former state exactly.
    pub reversible: bool,
    /// How sure it is.
    pub confidence: Confidence,
    /// Why, in sentences that can be argued with.
    pub rationale: String,
    /// How it will be verified after it was applied.
    pub verification: String,
    /// The statements it helps (or hurts), the largest effect first.
    pub statements: Vec<StatementEffect>,
    /// Candidates for the same statements that lost against it.
    pub rejected: Vec<Rejected>,
}
