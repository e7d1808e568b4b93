//! Do the parts sum to the whole?

use plan::{Plan, Relationship, Usage};

use crate::{fixture, fixtures};

#[test]
fn own_buffers_sum_exactly_to_the_root() {
    for (name, text) in fixtures() {
        let plan: Plan = text.parse().unwrap();
        let sum = plan.nodes.iter().fold(Usage::default(), |sum, n| sum.plus(&n.own.usage));
        let root = plan.nodes[0].usage.plus(&plan.outside);
        // EXPLAIN rounds each I/O time to a microsecond by itself; whole counters have no excuse.
        let slack = plan.nodes.len() as u64;
        let without_times = |u: &Usage| Usage {
            shared_read_us: 0,
            shared_write_us: 0,
            local_read_us: 0,
            local_write_us: 0,
            temp_read_us: 0,
            temp_write_us: 0,
            ..*u
        };
        assert_eq!(without_times(&sum), without_times(&root), "{name}");
        assert!(sum.shared_read_us.abs_diff(root.shared_read_us) <= slack, "{name}");
        assert!(sum.temp_read_us.abs_diff(root.temp_read_us) <= slack, "{name}");
        assert!(sum.temp_write_us.abs_diff(root.temp_write_us) <= slack, "{name}");
    }
}

#[test]
fn own_times_and_costs_sum_to_the_root() {
    for (name, text) in fixtures() {
        let plan: Plan = text.parse().unwrap();
        let root = &plan.nodes[0];
        let cost: f64 = plan.nodes.iter().map(|n| n.own.cost).sum();
        assert!((cost - root.total_cost).abs() < 1e-6 * root.total_cost.max(1.0), "{name}: {cost}");
        assert_eq!(
            plan.timed(),
            plan.analyzed && !name.ends_with("timing_off") && !name.ends_with("costs_off"),
            "{name}"
        );
        if !plan.timed() {
            continue;
        }
        let actual = root.actual.unwrap();
        let measured = actual.total_ms.unwrap() * actual.loops;
        let sum: f64 = plan.nodes.iter().map(|n| n.own.ms.unwrap()).sum();
        assert!(
            (sum - measured - plan.outside_ms).abs() < 1e-6 * measured.max(1.0),
            "{name}: {sum} of {measured}"
        );
        assert!(plan.nodes.iter().all(|n| n.own.ms.unwrap() >= 0.0), "{name}");
        assert!(sum <= plan.execution_ms.unwrap() + 0.01, "{name}: {sum}");
    }
}

/// Only what a data-modifying WITH query does after the main query is outside of every node.
#[test]
fn nothing_is_outside_but_a_data_modifying_with_query() {
    for (name, text) in fixtures() {
        let plan: Plan = text.parse().unwrap();
        let expected = name.ends_with("/data_modifying_cte");
        assert_eq!(!plan.outside.is_zero(), expected, "{name}: {:?}", plan.outside);
        // Below a hundredth it is rounding: a time per loop has three decimals.
        let share = plan.outside_ms / plan.total_weight().max(1e-9);
        assert_eq!(share > 0.01, expected, "{name}: {} ms", plan.outside_ms);
    }
}

#[test]
fn a_with_query_is_charged_once_however_often_it_is_read() {
    for major in [15, 17, 18] {
        let plan = fixture(&format!("{major}/cte_twice"));
        let readers: Vec<_> = plan.nodes.iter().filter(|n| n.is("CTE Scan")).collect();
        assert!(readers.len() >= 4, "{major}");
        // The readers' inclusive buffers hold those of the WITH queries; their own are none.
        assert!(readers.iter().any(|n| n.usage.pages() > 0), "{major}");
        assert!(readers.iter().all(|n| n.own.usage.pages() == 0), "{major}");
        let scan = plan.nodes.iter().find(|n| n.is("Seq Scan")).unwrap();
        assert_eq!(scan.own.usage.pages(), plan.nodes[0].usage.pages(), "{major}");
    }
}

#[test]
fn an_init_plan_is_taken_from_the_node_that_needs_it() {
    for major in [15, 17, 18] {
        let plan = fixture(&format!("{major}/init_plan"));
        let user = plan.nodes.iter().find(|n| n.filter.is_some()).unwrap();
        let init: u64 = plan
            .nodes
            .iter()
            .filter(|n| n.relationship == Relationship::InitPlan && n.parent == Some(0))
            .map(|n| n.usage.pages())
            .sum();
        assert!(init > 0, "{major}");
        assert_eq!(user.own.usage.pages(), user.usage.pages() - init, "{major}");
    }
}

#[test]
fn parallel_processes_run_side_by_side() {
    for major in [15, 17, 18] {
        let plan = fixture(&format!("{major}/parallel_aggregate"));
        let scan = plan.nodes.iter().find(|n| n.is("Seq Scan")).unwrap();
        let actual = scan.actual.unwrap();
        let per_process = actual.total_ms.unwrap() * actual.loops / 3.0;
        assert_eq!(actual.loops, 3.0, "{major}: the leader and two workers");
        assert!((scan.total_ms.unwrap() - per_process).abs() < 1e-9, "{major}");
        assert!((scan.rows() - 60_000.0).abs() <= 1.5, "{major}: {}", scan.rows());
    }
}

/// Q17 of TPC-H without indexes: the planner expects fewer executions of the subplan than the join has rows.
#[test]
fn what_runs_once_costs_what_it_says_beside_a_subplan() {
    let node = |kind: &str, relation: &str, cost: f64, rows: u32| {
        serde_json::json!({"Node Type": kind, "Parent Relationship": relation, "Startup Cost": 0.0, "Total Cost": cost,
            "Plan Rows": rows, "Plan Width": 4})
    };
    let mut subplan = node("Seq Scan", "SubPlan", 172_000.0, 31);
    subplan["Subplan Name"] = "SubPlan 1".into();
    let mut join = node("Hash Join", "Outer", 2_071_000.0, 1990);
    join["Plans"] = serde_json::json!([
        node("Seq Scan", "Outer", 172_500.0, 6_000_000),
        node("Hash", "Inner", 7_100.0, 199),
        subplan
    ]);
    join.as_object_mut().unwrap().remove("Parent Relationship");
    let plan: Plan = serde_json::json!([{ "Plan": join }]).to_string().parse().unwrap();
    let own: Vec<f64> = plan.nodes.iter().map(|n| n.own.cost.round()).collect();
    assert_eq!(own, [0.0, 172_500.0, 7_100.0, 2_071_000.0 - 172_500.0 - 7_100.0]);
}
