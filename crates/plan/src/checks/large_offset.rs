//! Were rows made only to be skipped by OFFSET?
//!
//! Fields: rows of a Limit against those of its input.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::{Plan, Relationship};
use crate::render::count;

pub(super) const CHECK: Check = Check { id: "large-offset", title: "OFFSET skips many rows", explains: &[], remedy: Remedy::Rewrite, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("Limit")) {
        let Some(input) = plan.child(node, Relationship::Outer) else { continue };
        // Rows of both are averages per loop before 18: count what was surely skipped.
        let skipped = input.rows_range().0 - node.rows_range().1;
        if skipped < thresholds.offset_min_rows || skipped < thresholds.offset_factor * node.rows() {
            continue;
        }
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("OFFSET made {} rows and threw them away to return {}", count(skipped), count(node.rows())),
                "Every skipped row is read and sorted first, and the next page costs more than this one. Keyset \
                 pagination starts after the last row of the page before: WHERE (key) > (last key) ORDER BY key \
                 LIMIT n, with an index on a unique, NOT NULL key.",
            )
            .weighing(plan.subtree_weight(node))
            .with("rows skipped", count(skipped)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn page_two_thousand() {
        assert_found(&CHECK, MAJORS, "large_offset", "Limit");
    }

    #[test]
    fn the_same_page_by_key() {
        assert_silent(&CHECK, MAJORS, "keyset");
        assert_silent(&CHECK, MAJORS, "sort_in_memory");
    }
}
