//! Does a function around a column keep an index from being used?
//!
//! Fields: a Seq Scan that reads too much, with `function(…column…)` compared with a value in its filter.

use model::{Severity, Snapshot};

use super::seq_scan_reads_too_much::reads_too_much;
use super::{Check, Diagnosis, Place, Remedy, Run, kept_from_use, subject, Thresholds};
use crate::expression::{Wrapping, wrapped_columns};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "function-blocks-index",
    title: "function around a column keeps an index from being used",
    explains: &[("seq-scan-reads-too-much", Place::Same), ("row-misestimate", Place::Same)],
    remedy: Remedy::Index, run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| reads_too_much(plan, n, thresholds)) {
        let Some(filter) = &node.filter else { continue };
        // One finding per node: the first wrapped column is named, the filter shows the others.
        let first = wrapped_columns(filter).into_iter().find(|w| matches!(w, Wrapping::Call { .. }));
        let Some(Wrapping::Call { function, column, .. }) = first else { continue };
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("filter on {} compares the result of {function}", subject(node)),
                "An index on the column does not hold the function's results. Index the expression if the function is \
                 immutable, or move the work to the other side: a half-open range instead of date_trunc or extract.",
            )
            .weighing(plan.own_weight(node))
            .with("filter", filter)
            .with("rows removed", count(node.rows_removed()))
            .with_all(kept_from_use(database, node, &column)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_wrapped_column() {
        assert_found(&CHECK, MAJORS, "function_blocks_index", "Seq Scan");
    }

    #[test]
    fn a_bare_column() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");assert_silent(&CHECK, MAJORS, "cast_blocks_index");
    }
}
