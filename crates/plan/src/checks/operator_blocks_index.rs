//! Does an operator around columns keep an index from being used?
//!
//! Fields: a Seq Scan that reads too much, or an index that is read in whole, with `(column ->> 'key')`, `(column || column)`, `(column % value)` or a calculation
//! of several columns compared with a value in its filter. What can be calculated on the other side is
//! `arithmetic-blocks-index`.

use model::Snapshot;

use super::arithmetic_blocks_index::{compared, is_arithmetic, wrapping};
use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::expression::Wrapping;
use crate::node::Plan;

pub(super) const CHECK: Check = Check {
    id: "operator-blocks-index",
    title: "operator around columns keeps an index from being used",
    explains: &[
        ("seq-scan-reads-too-much", Place::Same),
        ("filter-after-index", Place::Same),
        ("row-misestimate", Place::Same),
    ],
    remedy: Remedy::Index,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    compared(
        (plan, thresholds, database),
        wrapping(|w| matches!(w, Wrapping::Operator { .. }) && !is_arithmetic(w)),
        "An index on a column holds the column and not the operator's results. Index the expression as it is written \
         here, if its operators are immutable; a document also by its containment, doc @> '{\"key\": \"value\"}' with \
         a GIN index.",
    )
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
