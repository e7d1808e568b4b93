//! Was the time spent waiting for pages that were not in shared buffers?
//!
//! Fields: the node's own `Shared Read Blocks` against hits, and `I/O Read Time`, which is there only with
//! `track_io_timing`. A first run after a restart reads everything; a second run tells whether it stays.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::Plan;
use crate::render::{count, milliseconds, percent};

pub(super) const CHECK: Check = Check { id: "cold-cache", title: "pages had to be read", explains: &[], remedy: Remedy::None, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in &plan.nodes {
        let usage = node.own.usage;
        let share = usage.pages_read() as f64 / (usage.pages() as f64).max(1.0);
        if usage.pages_read() < thresholds.cold_min_pages || share <= thresholds.cold_share || usage.read_ms() <= 0.0 {
            continue;
        }
        found.push(
            Diagnosis::new(
                node,
                Severity::Info,
                format!("{} of the pages of {} had to be read", percent(share), subject(node)),
                "Run the statement again: if pages are still read, shared_buffers does not hold what it needs, or the \
                 plan touches more than it should. If not, the cache was cold and this run is not typical.",
            )
            .weighing(usage.read_ms().min(node.own.ms.unwrap_or(f64::MAX)))
            .with("pages read", count(usage.pages_read() as f64))
            .with("read time", milliseconds(usage.read_ms())),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_first_run_after_a_restart() {
        assert_found(&CHECK, MAJORS, "cold_cache", "Seq Scan");
    }

    #[test]
    fn pages_in_cache() {
        assert_silent(&CHECK, MAJORS, "sort_in_memory");
    }
}
