//! Can a plan that somebody made up do harm? It may be refused; it may not panic, hang or reach the
//! terminal with a control character.

use std::sync::LazyLock;

use model::ObjectRef;
use plan::{Plan, PlanError, Thresholds, checks, render};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::fixtures;

/// Read once: every case of a property picks one of them.
static FIXTURES: LazyLock<Vec<(String, String)>> = LazyLock::new(fixtures);

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[()':.\"a-zA-Z0-9= ]{0,40}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(
            json!([{"Node Type": "CTE Scan", "CTE Name": "x", "Actual Loops": 1e300, "Actual Rows": 1e308}])
        ),
        Just(json!([{"Parent Relationship": "InitPlan", "Subplan Name": "CTE x", "Total Cost": -5}])),
    ]
}

/// Changes one place that the numbers lead to.
fn mutate(value: &mut Value, path: &[u16], new: &Value) {
    let Some((step, rest)) = path.split_first() else {
        *value = new.clone();
        return;
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = usize::from(*step) % items.len();
            mutate(&mut items[at], rest, new);
        }
        Value::Object(map) if !map.is_empty() => {
            let at = usize::from(*step) % map.len();
            let key = map.keys().nth(at).unwrap().clone();
            if rest.is_empty() && step % 5 == 0 {
                map.remove(&key);
            } else {
                mutate(&mut map[&key], rest, new);
            }
        }
        other => *other = new.clone(),
    }
}

fn use_in_every_way(plan: &Plan, width: usize) {
    let findings = checks::run(plan, &Thresholds { min_share: 0.0, ..Thresholds::default() });
    for finding in &findings {
        let ObjectRef::PlanNode { node } = finding.object else { panic!("{finding:?}") };
        assert!(node < plan.nodes.len());
    }
    let tree = render::tree_with(plan, &findings, &render::Style { width, color: false });
    assert!(tree.chars().all(|c| c == '\n' || !c.is_control()), "{tree:?}");
    let remedies = plan::remedy::remedies(plan, &findings, None);
    let page =
        render::page(plan, &render::Page { findings: &findings, remedies: &remedies, ..Default::default() });
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
    let same = plan::diff::diff(plan, plan);
    assert!(same.same_shape && same.changes.is_empty(), "{:?}", same.changes);
    let shape = render::shape(plan);
    assert_eq!(shape.lines().count(), plan.nodes.len());
    assert!(shape.chars().all(|c| c == '\n' || !c.is_control()), "{shape:?}");
    assert_eq!(render::shape_hash(plan).len(), 16);
    for node in &plan.nodes {
        assert!(node.own.ms.is_none_or(|ms| ms >= 0.0) && node.own.cost >= 0.0, "{node:?}");
        plan.may_stop_early(node);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_plan_never_panics(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((prop::collection::vec(any::<u16>(), 2..16), value()), 1..8),
        width in 0_usize..300,
    ) {
        let all = &*FIXTURES;
        let (_, text) = &all[which.index(all.len())];
        let mut json: Value = serde_json::from_str(text).unwrap();
        for (path, new) in &changes {
            mutate(&mut json, path, new);
        }
        if let Ok(plan) = Plan::from_json(&json) {
            use_in_every_way(&plan, width);
        }
    }

    #[test]
    fn a_damaged_text_never_panics(
        which in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        noise in "\\PC{0,6}",
    ) {
        let all = &*FIXTURES;
        let (_, text) = &all[which.index(all.len())];
        let at = cut.index(text.len());
        if text.is_char_boundary(at) {
            let damaged = format!("{}{noise}{}", &text[..at], &text[at..]);
            if let Ok(plan) = damaged.parse::<Plan>() {
                use_in_every_way(&plan, 100);
            }
            prop_assert_eq!(text[..at].parse::<Plan>().is_err(), at < text.trim_end().len());
        }
    }
}

#[test]
fn what_is_no_plan_is_refused_with_a_reason() {
    let refused = |value: Value| Plan::from_json(&value).unwrap_err();
    assert!(matches!(refused(json!(["Utility Statement"])), PlanError::Utility));
    for value in [json!(null), json!([]), json!([1]), json!({}), json!({"Plan": 3}), json!("x")] {
        let error = refused(value);
        assert!(matches!(error, PlanError::NotExplain { .. }), "{error:?}");
        assert!(error.detail().is_some() && error.hint().is_some());
    }
    assert!(matches!("select 1".parse::<Plan>().unwrap_err(), PlanError::NotExplain { .. }));
    assert!(matches!("[{".parse::<Plan>().unwrap_err(), PlanError::Json(_)));
}

#[test]
fn a_plan_of_absurd_depth_is_refused_and_one_of_unusual_depth_is_read() {
    let deep = |levels: usize| {
        let mut node = json!({"Node Type": "Result", "Total Cost": 1.0});
        for _ in 0..levels {
            let mut parent = Map::new();
            parent.insert("Node Type".into(), "Result".into());
            parent.insert("Total Cost".into(), 2.0.into());
            parent.insert("Plans".into(), Value::Array(vec![node]));
            node = Value::Object(parent);
        }
        // `json!` would walk down the whole value by recursion.
        Value::Object(Map::from_iter([("Plan".to_owned(), node)]))
    };
    let plan = Plan::from_json(&deep(300)).unwrap();
    assert_eq!(plan.nodes.len(), 301);
    use_in_every_way(&plan, 80);
    assert!(matches!(Plan::from_json(&deep(2_500)), Err(PlanError::TooLarge { what: "levels", .. })));
}

#[test]
fn array_object_and_bare_node_are_the_same_plan() {
    for (name, text) in fixtures() {
        let array: Value = serde_json::from_str(&text).unwrap();
        let object = array[0].clone();
        let node = object["Plan"].clone();
        let plan = Plan::from_json(&array).unwrap();
        assert_eq!(plan, Plan::from_json(&object).unwrap(), "{name}");
        assert_eq!(plan.nodes, Plan::from_json(&node).unwrap().nodes, "{name}");
        // What was read survives being stored.
        let stored: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(render::shape_hash(&stored), render::shape_hash(&plan), "{name}");
    }
}

#[test]
fn hardly_a_key_of_a_real_plan_is_unknown() {
    let known = [
        "Async Capable",
        "Single Copy",
        "Hash Keys",
        "Grouping Sets",
        "Function Call",
        "Conflict Resolution",
        "Tuples Inserted",
        "Conflicting Tuples",
        "Full-sort Groups",
        "Pre-sorted Groups",
        "Cache Mode",
        "Window",
        "Storage",
        "Maximum Storage",
        "Params Evaluated",
        "Planned Partitions",
        "Conflict Arbiter Indexes",
        "Scan Direction",
        "Repeatable Seed",
        "Heap Blocks",
        "Peak Memory Usage",
        "Disk Usage",
        "Target Tables",
        "Remote SQL",
        "Relations",
        "Foreign Program",
        "Sampling Method",
        "Sampling Parameters",
        "TID Cond",
        "Tuples Updated",
        "Tuples Deleted",
        "Tuples Skipped",
        "Operation",
    ];
    for (name, text) in fixtures() {
        let plan: Plan = text.parse().unwrap();
        for node in &plan.nodes {
            for key in node.extra.keys() {
                assert!(known.contains(&key.as_str()), "{name} #{}: {key}", node.id);
            }
        }
        assert!(plan.extra.is_empty(), "{name}: {:?}", plan.extra);
    }
}
