//! Did a hash table not fit into memory?
//!
//! Fields: `Hash Batches` > 1 of a Hash (more than `Original Hash Batches`: it was underestimated),
//! `HashAgg Batches` > 1 or `Disk Usage` of a hashed Aggregate.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::{count, kilobytes};

pub(super) const CHECK: Check = Check {
    id: "hash-spill",
    title: "hash table spills to disk",
    explains: &[("temp-io", Place::Same), ("temp-io", Place::Near)],
    remedy: Remedy::WorkMem, run: Run::Plan(run),
};

fn run(plan: &Plan, _: &Thresholds) -> Vec<Diagnosis> {
    const DETAIL: &str = "The table was cut into batches that were written out and read back. More work_mem (or \
                          hash_mem_multiplier) keeps it in memory; fewer or narrower rows do as well.";
    let mut found = Vec::new();
    for node in &plan.nodes {
        if let Some(hash) = node.hash.filter(|h| h.batches > 1) {
            let grew = if hash.batches > hash.original_batches {
                format!(", {} planned", hash.original_batches)
            } else {
                String::new()
            };
            let join = plan.parent(node).map_or(0.0, |join| plan.own_weight(join));
            found.push(
                Diagnosis::new(
                    node,
                    Severity::Warning,
                    format!("hash table of a join was split into {} batches{grew}", hash.batches),
                    DETAIL,
                )
                .weighing(plan.own_weight(node) + join)
                .with("batches", hash.batches)
                .with("batches planned", hash.original_batches)
                .with("peak memory", kilobytes(hash.peak_memory_kb)),
            );
        }
        if let Some(agg) = node.hash_agg.filter(|a| a.batches > 1 || a.disk_kb > 0) {
            found.push(
                Diagnosis::new(
                    node,
                    Severity::Warning,
                    format!("hash aggregate of {} groups spilled {}", count(node.rows()), kilobytes(agg.disk_kb)),
                    DETAIL,
                )
                .weighing(plan.own_weight(node))
                .with("batches", agg.batches)
                .with("disk", kilobytes(agg.disk_kb))
                .with("peak memory", kilobytes(agg.peak_memory_kb)),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_join_and_an_aggregate_beyond_work_mem() {
        assert_found(&CHECK, MAJORS, "hash_spill", "Hash");
        assert_found(&CHECK, MAJORS, "hash_agg_spill", "Aggregate");
    }

    #[test]
    fn a_hash_join_in_memory() {
        assert_silent(&CHECK, MAJORS, "hash_join");
    }
}
