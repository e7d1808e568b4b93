//! Was a nested loop chosen for a few rows and run for many?
//!
//! Fields: loops of the inner side, actual against planned rows of the outer side, and an inner Seq Scan that
//! is read again for every outer row.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, subject, Thresholds};
use crate::node::{Plan, Relationship};
use crate::render::{count, factor};

pub(super) const CHECK: Check = Check {
    id: "nested-loop-gone-wrong",
    title: "nested loop runs its inner side too often",
    explains: &[("seq-scan-reads-too-much", Place::Below), ("late-join-filter", Place::Same)],
    remedy: Remedy::Index, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("Nested Loop")) {
        let (Some(outer), Some(inner)) =
            (plan.child(node, Relationship::Outer), plan.child(node, Relationship::Inner))
        else {
            continue;
        };
        let off = outer.rows_range().0 / outer.planned_rows().max(1.0);
        let weight = plan.own_weight(node) + plan.subtree_weight(inner);
        let loops = count(inner.loops());
        // A table of a few pages is read again for nothing.
        let rescans = node.loops() > 0.0
            && inner.loops() > node.loops()
            && inner.own.usage.pages() > thresholds.seq_scan_min_pages;
        let diagnosis = if inner.is("Seq Scan") && rescans {
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("nested loop read all of {} {loops} times", subject(inner)),
                "For each row of the outer side the whole inner table was read. An index on the join column of the \
                 inner table turns each of these scans into a look-up; an equality condition allows a hash join.",
            )
        } else if inner.loops() > thresholds.nested_loop_min_loops && off > thresholds.nested_loop_outer_factor {
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("nested loop ran its inner side {loops} times, {} as often as planned", factor(off)),
                "A nested loop is right for few outer rows; the planner expected few and got many. Better statistics \
                 of the outer side let it choose a hash or merge join.",
            )
        } else {
            continue;
        };
        let condition = inner.index_cond.as_deref().or(inner.filter.as_deref()).or(node.join_filter.as_deref());
        found.push(
            diagnosis
                .weighing(weight)
                .with("inner loops", loops)
                .with("outer rows", count(outer.rows()))
                .with("outer rows estimated", count(outer.planned_rows()))
                .with("inner condition", condition.unwrap_or("none")),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn many_rows_where_few_were_expected() {
        assert_found(&CHECK, MAJORS, "nested_loop_misestimate", "Nested Loop");
    }

    #[test]
    fn an_inner_table_that_is_read_again_and_again() {
        assert_found(&CHECK, MAJORS, "nested_loop_inner_seq_scan", "Nested Loop");
    }

    #[test]
    fn a_nested_loop_as_planned() {
        assert_silent(&CHECK, MAJORS, "lateral_function_scan");
        assert_silent(&CHECK, MAJORS, "never_executed");
    }
}
