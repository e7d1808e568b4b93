//! Does one index scan descend the tree again and again?
//!
//! Fields: `Index Searches` (since 18) against loops. An array of values or a skip scan searches once for
//! each group of values; each search is a descent from the root.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check =
    Check { id: "many-index-searches", title: "index is searched many times per scan", explains: &[], remedy: Remedy::Index, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter_map(|node| {
            let searches = node.index_searches?;
            // A search that finds a row of its own is what an index is for.
            if searches / node.loops().max(1.0) <= thresholds.index_searches_per_loop
                || searches <= node.rows() + node.rows_removed()
            {
                return None;
            }
            let index = node.index.as_deref().map(model::quote_identifier).unwrap_or_default();
            Some(
                Diagnosis::new(
                    node,
                    Severity::Info,
                    format!("index {index} was searched {} times", count(searches)),
                    "Most searches found nothing. A skip scan does so when the skipped column has many values: an \
                     index that begins with the compared column is searched once.",
                )
                .weighing(plan.own_weight(node))
                .with("index searches", count(searches))
                .with("rows", count(node.rows())),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_skip_scan_over_many_values() {
        assert_found(&CHECK, &[18], "index_searches", "Index Only Scan");
    }

    #[test]
    fn one_search_or_no_such_counter() {
        assert_silent(&CHECK, MAJORS, "index_scan");
        assert_silent(&CHECK, &[15, 17], "index_searches");
    }
}
