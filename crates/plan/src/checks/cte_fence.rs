//! Does a materialized WITH query make rows that its reader throws away?
//!
//! Fields: `Rows Removed by Filter` of a CTE Scan. A condition does not pass into a WITH query that is
//! MATERIALIZED, read twice, or of PostgreSQL 11 and before.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check =
    Check { id: "cte-fence", title: "filter is applied after a WITH query", explains: &[("temp-io", super::Place::Same)], remedy: Remedy::Rewrite, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter(|n| n.is("CTE Scan") && n.rows_removed() >= thresholds.removed_min_rows)
        .filter(|n| n.rows_removed() > thresholds.removed_per_row * n.rows())
        .map(|node| {
            let cte = plan.cte_of(node).map_or(0.0, |c| plan.subtree_weight(c));
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "WITH query {} made {} rows of which {} were wanted",
                    subject(node),
                    count(node.rows() + node.rows_removed()),
                    count(node.rows())
                ),
                "The WITH query is computed whole and filtered afterwards. NOT MATERIALIZED (or a plain subquery) \
                 lets the condition reach the tables and their indexes; not when it is volatile or changes data.",
            )
            .weighing(plan.own_weight(node) + cte)
            .with("filter", node.filter.as_deref().unwrap_or_default())
            .with("rows removed", count(node.rows_removed()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn one_row_of_a_materialized_table() {
        assert_found(&CHECK, MAJORS, "cte_fence", "CTE Scan");
    }

    #[test]
    fn a_with_query_that_is_used_whole() {
        assert_silent(&CHECK, MAJORS, "cte_spill");
        assert_silent(&CHECK, MAJORS, "recursive_union");
    }
}
