//! Does a function around a column keep an index from being used?
//!
//! Fields: a Seq Scan that reads too much, or an index that is read in whole, with `function(…column…)` compared with a value in its filter.

use model::Snapshot;

use super::arithmetic_blocks_index::compared;
use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::expression::{Wrapping, wrapped_columns};
use crate::node::Plan;

pub(super) const CHECK: Check = Check {
    id: "function-blocks-index",
    title: "function around a column keeps an index from being used",
    explains: &[
        ("seq-scan-reads-too-much", Place::Same),
        ("filter-after-index", Place::Same),
        ("row-misestimate", Place::Same),
    ],
    remedy: Remedy::Index, run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    compared(
        (plan, thresholds, database),
        |_, filter| {
            wrapped_columns(filter).into_iter().find_map(|w| match w {
                Wrapping::Call { function, column, .. } => Some((format!("the result of {function}"), column)),
                Wrapping::Cast { .. } | Wrapping::Operator { .. } => None,
            })
        },
        "An index on the column does not hold the function's results. Index the expression if the function is \
         immutable, or move the work to the other side: a half-open range instead of date_trunc or extract.",
    )
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
    fn a_wrapped_column_of_an_index_that_is_read_in_whole() {
        for major in MAJORS {
            let plan = fixture(&format!("{major}/function_on_index_scan"));
            assert!(plan.nodes.iter().any(|n| n.is_index_scan() && n.index_cond.is_none()));
            let findings = super::super::run(&plan, &Thresholds::default());
            let checks: Vec<&str> = findings.iter().map(|f| f.check.as_str()).collect();
            assert_eq!(checks[0], "function-blocks-index", "{major}: {checks:?}");
            assert!(!checks.contains(&"filter-after-index"), "{major}: {checks:?}");
        }
    }

    #[test]
    fn a_bare_column() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");assert_silent(&CHECK, MAJORS, "cast_blocks_index");
    }
}
