//! Did a bitmap outgrow memory and forget which rows it meant?
//!
//! Fields: `Lossy Heap Blocks` against `Exact Heap Blocks`, `Rows Removed by Index Recheck`. A lossy page is
//! read whole and each of its rows is tested again.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::Plan;
use crate::render::{count, percent};

pub(super) const CHECK: Check =
    Check { id: "lossy-bitmap", title: "bitmap does not fit into work_mem", explains: &[], remedy: Remedy::WorkMem, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let share = |lossy: u64, exact: u64| lossy as f64 / (lossy as f64 + exact as f64).max(1.0);
    plan.nodes
        .iter()
        .filter(|n| n.lossy_heap_blocks > 0)
        .filter(|n| share(n.lossy_heap_blocks, n.exact_heap_blocks) > thresholds.lossy_share)
        .map(|node| {
            let (lossy, exact) = (node.lossy_heap_blocks, node.exact_heap_blocks);
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("bitmap of {} is lossy for {} of its pages", subject(node), percent(share(lossy, exact))),
                "The bitmap did not fit into work_mem and kept whole pages instead of rows, so every row of those \
                 pages was tested again. More work_mem keeps it exact; an index that finds fewer rows makes it small.",
            )
            .weighing(plan.own_weight(node))
            .with("lossy pages", count(lossy as f64))
            .with("exact pages", count(exact as f64))
            .with("rows removed by recheck", count(node.removed_by_index_recheck * node.loops()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_bitmap_of_a_third_of_the_table_in_64_kb() {
        assert_found(&CHECK, MAJORS, "bitmap_lossy", "Bitmap Heap Scan");
    }

    #[test]
    fn an_exact_bitmap() {
        assert_silent(&CHECK, MAJORS, "bitmap_exact");
    }
}
