//! Does a sequential scan read a table to keep next to nothing of it?
//!
//! Fields: `Rows Removed by Filter`, `Actual Rows`, the node's own shared and local buffers. An index on
//! the filtered columns would read the kept rows only. Tables of under a megabyte are left alone: for
//! them a sequential scan is the best there is.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::{Node, Plan};
use crate::render::{count, percent};

pub(super) const CHECK: Check = Check {
    id: "seq-scan-reads-too-much",
    title: "sequential scan keeps few of the rows that it reads",
    explains: &[],
    remedy: Remedy::Index, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let scans = plan.nodes.iter().filter(|n| reads_too_much(plan, n, thresholds));
    scans.map(|node| {
        let (kept, removed) = (node.rows(), node.rows_removed());
        let name = subject(node);
        Diagnosis::new(
            node,
            Severity::Warning,
            format!("sequential scan of {name} keeps {} of {} rows", count(kept), count(kept + removed)),
            "Every page of the table was read to keep a small share of its rows. An index whose first column is \
             in the filter with = (or whose predicate is the filter) reads the kept rows only.",
        )
        .weighing(plan.own_weight(node))
        .with("filter", node.filter.as_deref().unwrap_or_default())
        .with("rows removed", count(removed))
        .with("removed share", percent(removed / (removed + kept)))
        .with("pages", count(node.own.usage.pages() as f64))
    })
    .collect()
}

/// Whether a node is a sequential scan that an index could spare; shared by the checks that know why
/// an existing index could not serve.
pub(super) fn reads_too_much(plan: &Plan, node: &Node, thresholds: &Thresholds) -> bool {
    let (kept, removed) = (node.rows(), node.rows_removed());
    let large = if plan.has_buffers {
        node.own.usage.pages() > thresholds.seq_scan_min_pages
    } else {
        removed > thresholds.seq_scan_min_rows
    };
    node.is("Seq Scan") && large && removed > thresholds.seq_scan_removed_share * (removed + kept)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_rare_value_without_an_index() {
        assert_found(&CHECK, MAJORS, "seq_scan_filter", "Seq Scan");
        assert_found(&CHECK, MAJORS, "without_buffers", "Seq Scan");
    }

    #[test]
    fn a_scan_that_keeps_most_rows_or_an_index_scan() {
        assert_silent(&CHECK, MAJORS, "hash_join");
        assert_silent(&CHECK, MAJORS, "index_scan");
    }
}
