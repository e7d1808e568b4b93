//! Does a cast around a column keep an index from being used?
//!
//! Fields: a Seq Scan that reads too much, with `(column)::type` compared with a value in its filter. Casts to
//! `text` are left out: EXPLAIN prints them for every `varchar` and they do no harm.

use model::Severity;

use super::seq_scan_reads_too_much::reads_too_much;
use super::{Check, Diagnosis, Place, Remedy, Run, subject, Thresholds};
use crate::expression::{Wrapping, wrapped_columns};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "cast-blocks-index",
    title: "cast around a column keeps an index from being used",
    explains: &[("seq-scan-reads-too-much", Place::Same), ("row-misestimate", Place::Same)],
    remedy: Remedy::Rewrite, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| reads_too_much(plan, n, thresholds)) {
        let Some(filter) = &node.filter else { continue };
        // One finding per node: the first wrapped column is named, the filter shows the others.
        let first = wrapped_columns(filter).into_iter().find(|w| matches!(w, Wrapping::Cast { .. }));
        let Some(Wrapping::Cast { column, to }) = first else { continue };
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("filter on {} compares {column} cast to {to}", subject(node)),
                "The index on the column holds the column and not the cast value. Compare the bare column with a value of its \
                 own type: pass an integer instead of a numeric, a half-open range of timestamps instead of a date. \
                 If the cast must stay and is immutable, index the expression.",
            )
            .weighing(plan.own_weight(node))
            .with("filter", filter)
            .with("rows removed", count(node.rows_removed())),
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
        assert_found(&CHECK, MAJORS, "cast_blocks_index", "Seq Scan");assert_found(&CHECK, MAJORS, "date_cast_blocks_index", "Seq Scan");
    }

    #[test]
    fn a_bare_column() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");assert_silent(&CHECK, MAJORS, "function_blocks_index");
    }
}
