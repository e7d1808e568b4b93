//! Was a kind of node used although a setting forbids it?
//!
//! Fields: `Disabled` since 18; before, a cost of 1e10 and more. It means that `enable_…` is off and that
//! there was no other way.

use model::Severity;

use super::{Check, Diagnosis, Remedy, Run, Thresholds};
use crate::node::Plan;

pub(super) const CHECK: Check =
    Check { id: "disabled-node", title: "node was used although switched off", explains: &[], remedy: Remedy::Enable, run: Run::Plan(run) };

fn run(plan: &Plan, _: &Thresholds) -> Vec<Diagnosis> {
    plan.nodes
        .iter()
        .filter(|n| n.disabled)
        .map(|node| {
            Diagnosis::new(
                node,
                Severity::Info,
                format!("{} was used although a setting switches it off", node.label()),
                "An enable_ setting forbids this kind of node and nothing else was possible. With the setting on, the \
                 planner compares honest costs; usually it was left off after an experiment.",
            )
            .weighing(plan.subtree_weight(node))
            .with("total cost", format!("{:.2}", node.total_cost))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_sequential_scan_that_had_to_be() {
        assert_found(&CHECK, MAJORS, "disabled_node", "Seq Scan");
    }

    #[test]
    fn nothing_switched_off() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");
        assert_silent(&CHECK, MAJORS, "filter_after_index");
    }
}
