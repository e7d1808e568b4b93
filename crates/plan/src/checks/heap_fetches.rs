//! Does an index-only scan visit the table after all?
//!
//! Fields: `Heap Fetches` (of all loops) against the rows that the index returned. A page whose bit in the
//! visibility map is not set must be looked at; VACUUM sets it.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, subject, Thresholds};
use crate::node::Plan;
use crate::render::{count, percent};

pub(super) const CHECK: Check =
    Check { id: "heap-fetches", title: "index-only scan visits the table", explains: &[], remedy: Remedy::Vacuum, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter_map(|node| {
            let fetches = node.heap_fetches?;
            let seen = (node.rows() + node.rows_removed()).max(1.0);
            if !node.is("Index Only Scan")
                || fetches < thresholds.heap_fetch_min
                || fetches / seen <= thresholds.heap_fetch_share
            {
                return None;
            }
            let share = percent((fetches / seen).min(1.0));
            Some(
                Diagnosis::new(
                    node,
                    Severity::Warning,
                    format!("index-only scan of {} looked {share} of its rows up in the table", subject(node)),
                    "The visibility map does not say that these pages are visible to all, because they changed \
                     after the last VACUUM. VACUUM the table, and let autovacuum come earlier if this comes back; \
                     a transaction that is open for long keeps the map from being set.",
                )
                .weighing(plan.own_weight(node))
                .with("heap fetches", count(fetches))
                .with("rows", count(seen)),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_table_that_was_updated_after_vacuum() {
        assert_found(&CHECK, MAJORS, "index_only_heap_fetches", "Index Only Scan");
    }

    #[test]
    fn a_vacuumed_table() {
        assert_silent(&CHECK, MAJORS, "index_only_clean");
    }
}
