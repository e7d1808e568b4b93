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
mod plans;

use model::estimate::{Attempt, ColumnSet, Measured, NotMeasured, Trials};
use model::{Finding, Recommendation, Rejected, Snapshot};
use serde::{Deserialize, Serialize};

use crate::workload::Workload;

pub use self::column_sets::{Candidates, candidates, for_definition};
pub use self::index_only::{IndexOnlyScan, all_visible, index_only_scans};
pub use self::judgement::{Verdict, verdict};
pub use self::plans::{PlanChange, Trial, add_plan_changes, trial_of_plans};

use self::judgement::Found;

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
    /// What becomes of the plans of the statements in question with what is recommended.
    #[serde(default)]
    pub plans: Vec<PlanChange>,
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
    let mut worth: Vec<Vec<Found<'_>>> = Vec::new();
    for one in &measured {
        match verdict(one) {
            Verdict::Worth { tried } => {
                advice.rejected.extend(judgement::losers(one, tried));
                let found = Found { measured: one, tried: &one.tried[tried] };
                // One object may hold several kinds, and two sets may want the same change of a column.
                match worth.iter_mut().find(|w| w[0].goes_with(&found)) {
                    Some(same) => same.push(found),
                    None => worth.push(vec![found]),
                }
            }
            Verdict::NotWorth { reason } => advice.rejected.push(Rejected {
                candidate: format!("statistics on {} of {}", one.set.label(), one.set.table),
                reason,
            }),
        }
    }
    let has_expression = |f: &Found<'_>| f.measured.set.members.iter().any(|m| m.column.is_none());
    let assumptions = match worth.iter().flatten().any(has_expression) {
        true => judgement::assumptions(&Workload::from_snapshot(snapshot, &Default::default())),
        false => Default::default(),
    };
    for found in &worth {
        advice.recommendations.push(judgement::recommend(snapshot, found, &assumptions, &mut names));
    }
    advice.measured = measured;
    advice.not_measured = trials.not_measured;
    advice
}
