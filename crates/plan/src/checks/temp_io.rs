//! Did a node write temporary files for another reason than sorting or hashing?
//!
//! Fields: the node's own `Temp Read Blocks` and `Temp Written Blocks`: a tuple store (WITH query,
//! Materialize, window, function result) beyond work_mem.

use model::{Bytes, Severity};

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::Plan;

pub(super) const CHECK: Check = Check { id: "temp-io", title: "temporary files are written", explains: &[], remedy: Remedy::WorkMem, run: Run::Plan(run) };

fn run(plan: &Plan, _: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter(|n| n.own.usage.temp_pages() > 0)
        .map(|node| {
            let (read, written) = (node.own.usage.temp_read, node.own.usage.temp_written);
            Diagnosis::new(
                node,
                Severity::Warning,
                format!("{} wrote {} of temporary files", subject(node), Bytes::from_pages(written)),
                "Its rows did not fit into work_mem and went to disk and back. Keep fewer rows or columns, or give \
                 this statement more work_mem with SET LOCAL.",
            )
            .weighing(plan.own_weight(node))
            .with("temporary written", Bytes::from_pages(written))
            .with("temporary read", Bytes::from_pages(read))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_with_query_beyond_work_mem() {
        assert_found(&CHECK, MAJORS, "cte_spill", "CTE Scan");
    }

    #[test]
    fn a_spilled_sort_or_hash_is_named_by_its_own_check() {
        for (major, name) in MAJORS.iter().flat_map(|m| ["sort_on_disk", "hash_spill"].map(|n| (m, n))) {
            let plan = fixture(&format!("{major}/{name}"));
            let findings = super::super::run(&plan, &Thresholds::default());
            assert!(findings.iter().all(|f| f.check != CHECK.id), "{major}/{name}: {findings:?}");
        }
    }

    #[test]
    fn a_with_query_in_memory() {
        assert_silent(&CHECK, MAJORS, "cte_twice");
    }
}
