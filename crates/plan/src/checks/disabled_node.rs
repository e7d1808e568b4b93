//! Was a kind of node used although a setting forbids it?
//!
//! Fields: `Disabled` since 18; before, a cost of 1e10 and more before the first row. It means that `enable_…` is off and that
//! there was no other way. Of a sequential scan that reads a table for a few rows the settings that the plan lists say
//! whether it was allowed to use an index.

use model::Severity;

use super::seq_scan_reads_too_much::reads_too_much;
use super::{Check, Diagnosis, Remedy, Run, Thresholds, subject};
use crate::node::Plan;

/// The settings without which no index is used.
const INDEX_SETTINGS: &[&str] = &["enable_bitmapscan", "enable_indexonlyscan", "enable_indexscan"];

pub(super) const CHECK: Check =
    Check { id: "disabled-node", title: "node was used although switched off", explains: &[], remedy: Remedy::Enable, run: Run::Plan(run) };

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let off = |name: &&&str| plan.settings.get(**name).is_some_and(|value| value == "off");
    let off: Vec<&str> = INDEX_SETTINGS.iter().filter(off).copied().collect();
    let forbidden = plan.nodes.iter().filter(|n| !off.is_empty() && !n.disabled && reads_too_much(plan, n, thresholds));
    let forbidden = forbidden.map(|node| {
        let (verb, list) = (if off.len() == 1 { "is" } else { "are" }, off.join(", "));
        Diagnosis::new(
            node,
            Severity::Warning,
            format!("{} was read in whole while {list} {verb} off", subject(node)),
            "The setting keeps the planner from indexes that it might have used. Usually it was left off after an \
             experiment; look where it is set (the session, the role, the database, postgresql.conf).",
        )
        .weighing(plan.own_weight(node))
    });
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
        .chain(forbidden)
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
    fn a_sequential_scan_where_no_index_was_allowed() {
        for major in MAJORS {
            let mut plan = fixture(&format!("{major}/seq_scan_filter"));
            plan.settings.insert("enable_indexscan".into(), "off".into());
            let found = CHECK.diagnose(&plan, &Thresholds::default(), None);
            assert_eq!(found.len(), 1, "{major}");
            assert!(found[0].summary.ends_with("while enable_indexscan is off"), "{}", found[0].summary);
            // It comes before the index that is missing.
            let all = super::super::run(&plan, &Thresholds::default());
            assert_eq!(all[0].check, "disabled-node", "{all:#?}");
            plan.settings.insert("enable_indexscan".into(), "on".into());
            assert!(CHECK.diagnose(&plan, &Thresholds::default(), None).is_empty());
        }
    }

    #[test]
    fn what_costs_as_much_because_there_is_so_much_to_do() {
        let join = r#"{"Node Type": "Nested Loop", "Join Type": "Inner", "Startup Cost": 0.0, "Total Cost": 8e12, "Plan Rows": 9e14,
            "Plan Width": 8, "Plans": [
            {"Node Type": "Seq Scan", "Relation Name": "a", "Alias": "a", "Startup Cost": 0.0, "Total Cost": 900.0, "Plan Rows": 60000, "Plan Width": 4},
            {"Node Type": "Seq Scan", "Relation Name": "b", "Alias": "b", "Startup Cost": 0.0, "Total Cost": 900.0, "Plan Rows": 60000, "Plan Width": 4}]}"#;
        let sorted = format!(
            r#"[{{"Plan": {{"Node Type": "Sort", "Sort Key": ["a.x"], "Startup Cost": 9e12, "Total Cost": 9e12, "Plan Rows": 9e14,
            "Plan Width": 8, "Plans": [{join}]}}}}]"#
        );
        let plan: Plan = sorted.parse().unwrap();
        assert_eq!(nodes(&CHECK, &plan), Vec::<usize>::new());
        let switched_off = sorted.replace(r#""Startup Cost": 0.0, "Total Cost": 8e12"#, r#""Startup Cost": 1e10, "Total Cost": 8e12"#);
        assert_eq!(nodes(&CHECK, &switched_off.parse().unwrap()), [1]);
    }

    #[test]
    fn nothing_switched_off() {
        assert_silent(&CHECK, MAJORS, "seq_scan_filter");
        assert_silent(&CHECK, MAJORS, "filter_after_index");
    }
}
