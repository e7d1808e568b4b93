//! Does a subquery run once for every row?
//!
//! Fields: `Parent Relationship` = `SubPlan` and its loops. A hashed SubPlan runs once.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::node::{Plan, Relationship};
use crate::render::{count, milliseconds};

pub(super) const CHECK: Check = Check {
    id: "correlated-subplan",
    title: "subquery runs once per row",
    explains: &[
        ("seq-scan-reads-too-much", Place::Below),
        ("filter-after-index", Place::Below),
        ("filter-after-index", Place::Same),
        ("seq-scan-reads-too-much", Place::Same),
    ],
    remedy: Remedy::Rewrite, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter(|n| n.relationship == Relationship::SubPlan && n.loops() > thresholds.subplan_min_loops)
        .map(|node| {
            let each = node.actual.and_then(|a| a.total_ms).map_or("unknown".into(), milliseconds);
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("subquery ran {} times, once for each row", count(node.loops())),
                "It depends on the row of the outer query. The same can be had with one pass by joining a grouped \
                 subquery (count needs coalesce) or with LATERAL; if it must stay, an index on the correlated \
                 column makes each run cheap.",
            )
            .weighing(plan.subtree_weight(node))
            .with("loops", count(node.loops()))
            .with("time per loop", each)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn an_aggregate_for_each_row() {
        assert_found(&CHECK, MAJORS, "correlated_subplan", "Aggregate");
    }

    #[test]
    fn a_hashed_subplan_runs_once() {
        assert_silent(&CHECK, MAJORS, "hashed_subplan");
        assert_silent(&CHECK, MAJORS, "init_plan");
    }
}
