//! Does planning take longer than execution?
//!
//! Fields: `Planning Time`, `Execution Time`.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::milliseconds;

pub(super) const CHECK: Check =
    Check { id: "planning-dominates", title: "planning takes longer than execution", explains: &[], remedy: Remedy::Prepare, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let (Some(root), Some(planning), Some(execution)) = (plan.root(), plan.planning_ms, plan.execution_ms) else {
        return Vec::new();
    };
    if planning < thresholds.planning_min_ms || planning <= thresholds.planning_factor * execution {
        return Vec::new();
    }
    vec![
        Diagnosis::new(
            root,
            Severity::Info,
            format!("planning took {}, execution {}", milliseconds(planning), milliseconds(execution)),
            "Prepare the statement and execute it often, so that a generic plan is kept. Many joins, partitions or \
             indexes make planning slow, and the first statement of a session has to read the catalog.",
        )
        .weighing(planning)
        .with("planning", milliseconds(planning))
        .with("execution", milliseconds(execution)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn eight_joins_for_one_row() {
        for major in MAJORS {
            let plan = fixture(&format!("{major}/planning_dominates"));
            assert_eq!(nodes(&CHECK, &plan), [0], "{major}");
        }
    }

    #[test]
    fn a_statement_that_works_longer_than_it_is_planned() {
        assert_silent(&CHECK, MAJORS, "sort_on_disk");
    }
}
