//! Does an operator around columns keep an index from being used?
//!
//! Fields: a Seq Scan that reads too much, with `(column ->> 'key')`, `(column || column)`, `(column % value)` or a calculation
//! of several columns compared with a value in its filter. What can be calculated on the other side is
//! `arithmetic-blocks-index`.

use model::{Severity, Snapshot};

use super::arithmetic_blocks_index::is_arithmetic;
use super::seq_scan_reads_too_much::reads_too_much;
use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, kept_from_use, subject};
use crate::expression::{Wrapping, wrapped_columns};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "operator-blocks-index",
    title: "operator around columns keeps an index from being used",
    explains: &[("seq-scan-reads-too-much", Place::Same), ("row-misestimate", Place::Same)],
    remedy: Remedy::Index,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| reads_too_much(plan, n, thresholds)) {
        let Some(filter) = &node.filter else { continue };
        let other = |w: &Wrapping| matches!(w, Wrapping::Operator { .. }) && !is_arithmetic(w);
        let Some(wrapping) = wrapped_columns(filter).into_iter().find(other) else { continue };
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("filter on {} compares {}", subject(node), wrapping.text()),
                "An index on a column holds the column and not the operator's results. Index the expression as it is written \
                 here, if its operators are immutable; a document also by its containment, doc @> '{\"key\": \"value\"}' with \
                 a GIN index.",
            )
            .weighing(plan.own_weight(node))
            .with("filter", filter)
            .with("rows removed", count(node.rows_removed()))
            .with_all(kept_from_use(database, node, wrapping.column())),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn columns_that_are_put_together() {
        assert_found(&CHECK, MAJORS, "operator_blocks_index", "Seq Scan");
    }

    #[test]
    fn other_wrappings_and_bare_columns() {
        for fixture in ["seq_scan_filter", "function_blocks_index", "cast_blocks_index", "arithmetic_blocks_index"] {
            assert_silent(&CHECK, MAJORS, fixture);
        }
    }
}
