//! Did a sort not fit into memory?
//!
//! Fields: `Sort Space Type` = `Disk` of a Sort, its workers, or the groups of an Incremental Sort.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::node::Plan;
use crate::render::kilobytes;

pub(super) const CHECK: Check = Check {
    id: "sort-on-disk",
    title: "sort spills to disk",
    explains: &[("temp-io", Place::Same)],
    remedy: Remedy::WorkMem, run: Run::Plan(run),
};

fn run(plan: &Plan, _: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter_map(|node| {
            let sort = node.sort.as_ref().filter(|s| s.disk_kb > 0)?;
            let diagnosis = Diagnosis::new(
                node,
                Severity::Warning,
                format!("sort of {} spilled {} to disk", node.sort_key.join(", "), kilobytes(sort.disk_kb)),
                "An index in this order needs no sort at all. Otherwise work_mem must exceed the size on disk, by \
                 about a half to twice, for the sort to stay in memory; SET LOCAL work_mem is enough for one \
                 statement.",
            );
            Some(
                diagnosis
                    .weighing(plan.own_weight(node))
                    .with("method", &sort.method)
                    .with("disk", kilobytes(sort.disk_kb)),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn more_rows_than_work_mem_holds() {
        assert_found(&CHECK, MAJORS, "sort_on_disk", "Sort");
        assert_found(&CHECK, MAJORS, "gather_merge", "Sort");
    }

    #[test]
    fn a_sort_in_memory() {
        assert_silent(&CHECK, MAJORS, "sort_in_memory");
        assert_silent(&CHECK, MAJORS, "incremental_sort");
    }
}
