//! Did a parallel plan get fewer workers than it was made for?
//!
//! Fields: `Workers Launched` against `Workers Planned` of a Gather or Gather Merge.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;

pub(super) const CHECK: Check =
    Check { id: "workers-missing", title: "fewer parallel workers than planned", explains: &[], remedy: Remedy::Workers, run: Run::Plan(run) };

fn run(plan: &Plan, _: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter_map(|node| {
            let (planned, launched) = (node.workers_planned?, node.workers_launched?);
            if launched >= planned || !node.executed() {
                return None;
            }
            // The leader works too; with all workers the subtree would have taken about this much less.
            let missing = (planned - launched) as f64 / (planned as f64 + 1.0);
            Some(
                Diagnosis::new(
                    node,
                    Severity::Info,
                    format!("{launched} of {planned} planned workers were launched"),
                    "No slot was free: max_parallel_workers (or max_worker_processes) is reached when several \
                     statements run in parallel. The plan was made for more processes than it got.",
                )
                .weighing(plan.subtree_weight(node) * missing)
                .with("workers planned", planned)
                .with("workers launched", launched),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn no_worker_to_be_had() {
        assert_found(&CHECK, MAJORS, "workers_missing", "Gather");
    }

    #[test]
    fn all_workers_there() {
        assert_silent(&CHECK, MAJORS, "parallel_aggregate");
    }
}
