//! Was an index read in order, for a LIMIT, past rows that do not match?
//!
//! Fields: a Limit above an Index Scan without `Index Cond`, `Rows Removed by Filter`. The planner bets that
//! matching rows are spread evenly along the order, and loses when they stand at the other end.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, subject, Thresholds};
use crate::node::{Node, Plan, Relationship};
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "wrong-index-for-order-by",
    title: "index gives the order of a LIMIT and finds few matching rows",
    explains: &[("filter-after-index", Place::Same)],
    remedy: Remedy::Index, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter(|n| n.is_index_scan() && n.index_cond.is_none() && feeds_limit(plan, n))
        .filter(|n| n.rows_removed() >= thresholds.removed_min_rows)
        .filter(|n| n.rows_removed() > thresholds.removed_per_row * n.rows())
        .map(|node| {
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "index {} was read for its order past {} rows of {} to find {}",
                    node.index.as_deref().map(model::quote_identifier).unwrap_or_default(),
                    count(node.rows_removed()),
                    subject(node),
                    count(node.rows())
                ),
                "The index was chosen for its order, in the hope that matching rows would turn up soon. An index on \
                 the filtered columns followed by the ORDER BY columns gives both.",
            )
            .weighing(plan.own_weight(node))
            .with("filter", node.filter.as_deref().unwrap_or_default())
            .with("rows removed", count(node.rows_removed()))
        })
        .collect()
}

/// Whether rows go straight up, one by one, to a Limit.
fn feeds_limit(plan: &Plan, node: &Node) -> bool {
    let mut below = node;
    for above in plan.ancestors(node) {
        if above.is("Limit") {
            return true;
        }
        let streams = match above.node_type.as_str() {
            "Nested Loop" => below.relationship == Relationship::Outer,
            "Subquery Scan" | "LockRows" | "Result" | "Unique" | "Incremental Sort" | "Gather Merge"
            | "Merge Append" | "ProjectSet" => true,
            _ => false,
        };
        if !streams {
            return false;
        }
        below = above;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_rare_value_in_order_of_time() {
        assert_found(&CHECK, MAJORS, "order_by_wrong_index", "Index Scan");
        for major in MAJORS {
            let plan = fixture(&format!("{major}/order_by_wrong_index"));
            let findings = super::super::run(&plan, &Thresholds::default());
            assert!(findings.iter().all(|f| f.check != "filter-after-index"), "{findings:?}");
        }
    }

    #[test]
    fn the_right_index_for_the_order() {
        assert_silent(&CHECK, MAJORS, "order_by_index");
        assert_silent(&CHECK, MAJORS, "filter_after_index");
    }
}
