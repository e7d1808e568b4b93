//! Did one parallel worker do most of the work?
//!
//! Fields: `Workers[]` of a node (printed with `VERBOSE`): the busiest against the mean. The leader's part is
//! what is left of the node's sum.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::{Node, Plan};
use crate::render::{factor, milliseconds};

pub(super) const CHECK: Check = Check { id: "worker-skew", title: "parallel work is uneven", explains: &[], remedy: Remedy::None, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for gather in plan.nodes.iter().filter(|n| matches!(n.node_type.as_str(), "Gather" | "Gather Merge")) {
        // The child of the Gather includes all that a process did.
        let Some(node) = plan.children(gather).find(|c| !c.relationship.is_deferred()) else { continue };
        let Some(times) = process_times(node) else { continue };
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let most = times.iter().copied().fold(0.0, f64::max);
        let uneven = most > thresholds.worker_skew * mean && most - mean >= thresholds.worker_skew_min_ms;
        if times.len() < 2 || !uneven {
            continue;
        }
        found.push(
            Diagnosis::new(
                node,
                Severity::Info,
                format!("busiest of {} processes worked {} as long as the mean", times.len(), factor(most / mean)),
                "The others waited for it. Inputs that one process must read alone (a partition or UNION branch \
                 without a parallel scan) cannot be shared; a table's parallel_workers setting or more even \
                 partitions help.",
            )
            .weighing(most - mean)
            .with("busiest process", milliseconds(most))
            .with("mean", milliseconds(mean)),
        );
    }
    found
}

/// Milliseconds of each process in a node.
fn process_times(node: &Node) -> Option<Vec<f64>> {
    let all = node.actual?.total_ms? * node.loops();
    let mut times = node.workers.iter().map(|w| Some(w.total_ms? * w.loops)).collect::<Option<Vec<f64>>>()?;
    let loops: f64 = node.workers.iter().map(|w| w.loops).sum();
    if node.loops() > loops {
        times.push((all - times.iter().sum::<f64>()).max(0.0));
    }
    (!times.is_empty()).then_some(times)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn one_process_reads_the_large_table_alone() {
        for major in MAJORS {
            let plan = fixture(&format!("{major}/worker_skew"));
            assert!(!nodes(&CHECK, &plan).is_empty(), "{major}");
        }
    }

    #[test]
    fn a_scan_that_is_shared() {
        assert_silent(&CHECK, MAJORS, "parallel_hash_join");
    }
}
