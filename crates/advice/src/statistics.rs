//! Which statistics would let the planner estimate truly? Columns that the workload compares or groups together and
//! whose estimate is off, columns with too little room for their common values, and index-only scans that visit the
//! table for want of a VACUUM.
//!
//! Source: PostgreSQL manual, "Extended Statistics", "How the Planner Uses Statistics" and "Index-Only Scans".
//! What statistics would mend is measured on a sample (`crates/trial`); this module says what is worth trying and
//! judges what was measured. Without a sample nothing of it is recommended: how columns depend on each other stands
//! nowhere in `pg_stats`.

mod column_sets;
mod index_only;
mod judgement;

use model::estimate::{Attempt, ColumnSet, Measured, NotMeasured, Trials};
use model::{Finding, Recommendation, Rejected, Snapshot};
use serde::{Deserialize, Serialize};

pub use self::column_sets::{Candidates, candidates, for_definition};
pub use self::index_only::{IndexOnlyScan, all_visible, index_only_scans};
pub use self::judgement::{Verdict, verdict};

/// A set of columns and what should be tried on it.
pub type Candidate = (ColumnSet, Vec<Attempt>);

/// What was found out about statistics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatisticsAdvice {
    /// What to do, the most time first.
    pub recommendations: Vec<Recommendation>,
    /// What was tried and is not recommended, with the reason.
    pub rejected: Vec<Rejected>,
    /// What was measured.
    pub measured: Vec<Measured>,
    /// What was not, with the reason.
    pub not_measured: Vec<NotMeasured>,
    /// Statements whose plan visits a table that an index could answer for.
    pub index_only: Vec<IndexOnlyScan>,
    /// What was seen.
    pub findings: Vec<Finding>,
}

/// Judges what was measured.
pub fn judge(snapshot: &Snapshot, trials: Trials) -> StatisticsAdvice {
    let mut advice = StatisticsAdvice::default();
    let mut names = judgement::Names::new(snapshot);
    let mut measured = trials.measured;
    measured.sort_by(|a, b| {
        b.set.total_ms.total_cmp(&a.set.total_ms).then_with(|| a.set.label().cmp(&b.set.label()))
    });
    for one in &measured {
        match verdict(one) {
            Verdict::Worth { tried } => {
                let recommendation = judgement::recommend(snapshot, one, &one.tried[tried], &mut names);
                // Two sets may want the same change of a column.
                if !advice.recommendations.iter().any(|r| r.id == recommendation.id) {
                    advice.recommendations.push(recommendation);
                }
                advice.rejected.extend(judgement::losers(one, tried));
            }
            Verdict::NotWorth { reason } => advice.rejected.push(Rejected {
                candidate: format!("statistics on {} of {}", one.set.label(), one.set.table),
                reason,
            }),
        }
    }
    advice.measured = measured;
    advice.not_measured = trials.not_measured;
    advice
}
