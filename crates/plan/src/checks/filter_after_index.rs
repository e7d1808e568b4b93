//! Does an index find many rows that a filter then throws away?
//!
//! Fields: `Rows Removed by Filter` of an Index Scan, Index Only Scan or Bitmap Heap Scan against the rows
//! that it returned. The filtered column belongs into the index, or into its predicate.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::Plan;
use crate::render::count;

pub(super) const CHECK: Check = Check {
    id: "filter-after-index",
    title: "index finds rows that a filter throws away",
    explains: &[],
    remedy: Remedy::Index, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let scans = plan.nodes.iter().filter(|n| n.is_index_scan() || n.is("Bitmap Heap Scan"));
    scans
        .filter(|n| {
            n.rows_removed() >= thresholds.removed_min_rows
                && n.rows_removed() > thresholds.removed_per_row * n.rows()
        })
        .map(|node| {
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "filter on {} throws away {} rows that the index found and keeps {}",
                    subject(node),
                    count(node.rows_removed()),
                    count(node.rows())
                ),
                "The index leads to many rows that do not match the rest of the condition, and each is fetched from \
                 the table. A wider index with the filtered column, or a partial one with the filter as its \
                 predicate, finds the wanted rows at once.",
            )
            .weighing(plan.own_weight(node))
            .with("filter", node.filter.as_deref().unwrap_or_default())
            .with("index condition", node.index_cond.as_deref().or(node.recheck_cond.as_deref()).unwrap_or("none"))
            .with("rows removed", count(node.rows_removed()))
            .with("rows kept", count(node.rows()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_hot_key_with_a_second_condition() {
        assert_found(&CHECK, MAJORS, "filter_after_index", "Index Scan");
    }

    #[test]
    fn an_index_that_finds_what_is_wanted() {
        assert_silent(&CHECK, MAJORS, "index_scan");
        assert_silent(&CHECK, MAJORS, "bitmap_exact");
    }
}
