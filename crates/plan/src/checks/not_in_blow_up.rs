//! Is NOT IN compared row by row with a list that is too large to hash?
//!
//! Fields: a filter with `NOT (SubPlan n)` up to 16, `NOT (ANY (x = (SubPlan n).col1))` since 17, and a
//! Materialize as that SubPlan's root. The work is the product of both sides. Seen without `ANALYZE` too,
//! which matters because with it the statement may never end.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::expression::negates_subplan;
use crate::node::{Plan, Relationship};
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "not-in-blow-up",
    title: "NOT IN compares every pair of rows",
    explains: &[
        ("correlated-subplan", Place::Below),
        ("seq-scan-reads-too-much", Place::Same),
        ("temp-io", Place::Below),
        ("row-misestimate", Place::Same),
    ],
    remedy: Remedy::Rewrite, run: Run::Plan(run),
};

fn run(plan: &Plan, _: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in &plan.nodes {
        let Some(filter) = &node.filter else { continue };
        for subplan in plan.children(node) {
            let name = subplan.subplan_name.as_deref().unwrap_or_default();
            let unhashed = subplan.relationship == Relationship::SubPlan && subplan.is("Materialize");
            if !unhashed || !negates_subplan(filter, name) {
                continue;
            }
            let rows = if plan.analyzed { node.rows() + node.rows_removed() } else { node.plan_rows };
            found.push(
                Diagnosis::new(
                    node,
                    Severity::Warning,
                    format!(
                        "NOT IN compares {} rows with up to {} each",
                        count(rows),
                        count(subplan.plan_rows)
                    ),
                    "The list does not fit into work_mem, so it is searched from the start for every row. NOT EXISTS \
                     becomes an anti join; it means the same only if neither side can be NULL. More work_mem lets \
                     PostgreSQL hash the list.",
                )
                .weighing(plan.own_weight(node) + plan.subtree_weight(subplan))
                .with("filter", filter)
                .with("rows of the list", count(subplan.plan_rows)),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_list_beyond_work_mem() {
        assert_found(&CHECK, MAJORS, "not_in", "Seq Scan");
        assert_found(&CHECK, MAJORS, "not_in_estimated", "Seq Scan");
    }

    #[test]
    fn a_list_that_is_hashed() {
        assert_silent(&CHECK, MAJORS, "hashed_subplan");
    }
}
