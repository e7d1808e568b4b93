//! Does a join make pairs that a filter then throws away?
//!
//! Fields: `Rows Removed by Join Filter` against the rows that the join returned.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check =
    Check { id: "late-join-filter", title: "join filter throws most pairs away", explains: &[], remedy: Remedy::Index, run: Run::Plan(run) };

/// The join finds its pairs by an equality.
const MATCHED: &str = "An equality finds the pairs, and the rest of the condition is tested on each of them. An OR \
                       over columns of both tables keeps it above the join: as a UNION of one statement for each side, \
                       each can begin with its own index; \"pgwright rewrite\" writes it out.";
/// It tries all pairs.
const UNMATCHED: &str = "The condition is tested on every pair of rows because nothing finds the matching ones: it is no \
                         equality of two columns that could be hashed or sorted, and no index serves it. Rewrite it so \
                         that one side of it is a bare, indexed column, or add an equality that bounds the pairs.";

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter(|n| n.is_join() && n.rows_removed_by_join() >= thresholds.removed_min_rows)
        .filter(|n| n.rows_removed_by_join() > thresholds.removed_per_row * n.rows())
        .map(|node| {
            let below: f64 = plan.children(node).filter(|c| c.loops() > node.loops()).map(|c| plan.subtree_weight(c)).sum();
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "join filter throws away {} pairs and keeps {}",
                    count(node.rows_removed_by_join()),
                    count(node.rows())
                ),
                match node.hash_cond.is_some() || node.merge_cond.is_some() {
                    true => MATCHED,
                    false => UNMATCHED,
                },
            )
            .weighing(plan.own_weight(node) + below)
            .with("join filter", node.join_filter.as_deref().unwrap_or_default())
            .with("pairs removed", count(node.rows_removed_by_join()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_join_on_an_expression() {
        assert_found(&CHECK, MAJORS, "late_join_filter", "Nested Loop");
    }

    #[test]
    fn a_hash_join_on_equality() {
        assert_silent(&CHECK, MAJORS, "hash_join");
    }
}
