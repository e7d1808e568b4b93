//! Were partitions read that hold nothing, because the condition hides the partition key?
//!
//! Fields: an Append over scans of one partitioned table (aliases `t_1`, `t_2`, …), no `Subplans Removed`,
//! most of them without a row, and a filter with a function or cast around a column.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::expression::wrapped_columns;
use crate::node::{Node, Plan};
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "no-pruning",
    title: "partitions are read that a plain condition would leave out",
    explains: &[
        ("seq-scan-reads-too-much", Place::Below),
        ("arithmetic-blocks-index", Place::Below),
        ("cast-blocks-index", Place::Below),
        ("function-blocks-index", Place::Below),
        ("operator-blocks-index", Place::Below),
        ("row-misestimate", Place::Below),
        ("row-misestimate", Place::Same),
    ],
    remedy: Remedy::Rewrite, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("Append") || n.is("Merge Append")) {
        if node.subplans_removed.unwrap_or(0) > 0 || !plan.analyzed {
            continue;
        }
        let partitions: Vec<&Node> = plan.children(node).filter(|c| c.relation.is_some() && c.executed()).collect();
        let stems: std::collections::BTreeSet<&str> =
            partitions.iter().filter_map(|p| p.alias.as_deref().map(stem)).collect();
        let empty = partitions.iter().filter(|p| p.rows() == 0.0).count();
        let enough = partitions.len() >= thresholds.pruning_min_partitions
            && empty as f64 >= thresholds.pruning_empty_share * partitions.len() as f64;
        let wrapped = partitions.first().and_then(|p| p.filter.as_deref()).map(wrapped_columns).unwrap_or_default();
        let (Some(wrapping), true, 1) = (wrapped.first(), enough, stems.len()) else { continue };
        let weight = partitions.iter().map(|p| plan.subtree_weight(p)).sum();
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("{empty} of {} partitions were read and held nothing that was wanted", partitions.len()),
                "If the wrapped column is the partition key, PostgreSQL cannot tell which partitions to leave out: \
                 only the bare key is compared with the bounds. Write the condition as a half-open range, \
                 key >= from AND key < to.",
            )
            .weighing(weight)
            .with("wrapped column", wrapping.text())
            .with("partitions read", partitions.len())
            .with("rows removed", count(partitions.iter().map(|p| p.rows_removed()).sum())),
        );
    }
    found
}

/// The alias without the number that the planner gives to each partition.
fn stem(alias: &str) -> &str {
    alias.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_')
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_function_around_the_partition_key() {
        assert_found(&CHECK, MAJORS, "partitions_not_pruned", "Append");
    }

    #[test]
    fn pruned_when_planned_and_when_run() {
        assert_silent(&CHECK, MAJORS, "partitions_pruned");
        assert_silent(&CHECK, MAJORS, "partitions_pruned_at_run_time");
        assert_silent(&CHECK, MAJORS, "union_all");
    }
}
