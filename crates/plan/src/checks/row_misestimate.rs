//! Where does a wrong row estimate begin?
//!
//! Fields: `Actual Rows` against `Plan Rows`, both times `Actual Loops`. Errors multiply on their way up,
//! so only the lowest node that is far off while all its inputs are nearly right is reported. Not counted:
//! fewer rows than planned where something above stopped asking (LIMIT, EXISTS, semi and merge joins),
//! more rows on the inner side of a merge join (rows read again are counted again), the smallest estimate
//! there is (1 row), and what may be rounding: before 18 rows per loop are printed as whole numbers.

use model::Severity;

use super::{Check, Diagnosis, Place, Remedy, Run, subject, Thresholds};
use crate::node::{Node, Plan, Relationship};
use crate::render::{count, factor};

pub(super) const CHECK: Check = Check {
    id: "row-misestimate",
    title: "row estimate is far off, and begins here",
    explains: &[
        ("nested-loop-gone-wrong", Place::Line),
        ("hash-spill", Place::Line),
        ("useless-memoize", Place::Line),
    ],
    remedy: Remedy::Statistics, run: Run::Plan(run),
};

fn run(plan: &Plan, thresholds: &Thresholds) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in &plan.nodes {
        let Some(off) = begins_at(plan, node, thresholds) else { continue };
        let direction = if node.rows() > node.planned_rows() { "fewer" } else { "more" };
        let conditions: Vec<_> = node.conditions().map(|(name, text)| format!("{name}: {text}")).collect();
        // Every node above was chosen on the strength of this number.
        let weight = plan.own_weight(node) + plan.ancestors(node).map(|a| plan.own_weight(a)).sum::<f64>();
        found.push(
            Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "planner expected {} times {direction} rows from {}: {} instead of {}",
                    factor(off).trim_end_matches('×'),
                    subject(node),
                    count(node.planned_rows()),
                    count(node.rows())
                ),
                "The inputs of this node were estimated well, so the error begins here, and every choice above rests \
                 on it. ANALYZE helps when statistics are old; CREATE STATISTICS when several columns of one table \
                 depend on each other; a higher statistics target when the value is rare.",
            )
            .weighing(weight)
            .with("estimated rows", count(node.planned_rows()))
            .with("actual rows", count(node.rows()))
            .with("conditions", conditions.join("; ")),
        );
    }
    found
}

/// By which factor the estimate of a node is off, if that begins at it.
pub(super) fn begins_at(plan: &Plan, node: &Node, thresholds: &Thresholds) -> Option<f64> {
    let off = misestimate(plan, node);
    let difference = (node.rows() - node.planned_rows()).abs();
    let inputs_right = plan
        .children(node)
        .filter(|c| !matches!(c.relationship, Relationship::SubPlan) && !c.relationship.is_deferred())
        .chain(plan.cte_of(node))
        .all(|c| raw_factor(c) < thresholds.misestimate_child_factor);
    let counts = off >= thresholds.misestimate_factor && difference >= thresholds.misestimate_min_rows && inputs_right;
    counts.then_some(off)
}

/// By which factor the estimate is surely wrong; 1 where that cannot be told.
fn misestimate(plan: &Plan, node: &Node) -> f64 {
    let plumbing = matches!(
        node.node_type.as_str(),
        "BitmapAnd" | "BitmapOr" | "ModifyTable" | "Limit" | "Hash" | "Materialize" | "Memoize" | "WorkTable Scan"
    );
    if !node.executed() || plumbing {
        return 1.0;
    }
    let planned = node.planned_rows().max(1.0);
    let (least, most) = node.rows_range();
    if least > planned {
        let reread = node.relationship == Relationship::Inner
            && plan.parent(node).is_some_and(|p| p.is("Merge Join"));
        return if reread { 1.0 } else { least / planned };
    }
    if most < planned && node.plan_rows > 1.0 && !plan.may_stop_early(node) {
        return planned / most.max(1.0);
    }
    1.0
}

/// The factor as printed, without excuses: an input that stopped early is no proof of a good estimate.
fn raw_factor(node: &Node) -> f64 {
    if !node.executed() || matches!(node.node_type.as_str(), "BitmapAnd" | "BitmapOr") {
        return 1.0;
    }
    let (a, e) = (node.rows().max(1.0), node.planned_rows().max(1.0));
    (a / e).max(e / a)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn two_columns_that_depend_on_each_other() {
        assert_found(&CHECK, MAJORS, "misestimate", "Seq Scan");
    }

    #[test]
    fn its_consequences_are_evidence_and_not_findings() {
        for major in MAJORS {
            let plan = fixture(&format!("{major}/nested_loop_misestimate"));
            let findings = super::super::run(&plan, &Thresholds::default());
            let checks: Vec<_> = findings.iter().map(|f| f.check.as_str()).collect();
            assert!(checks.contains(&"row-misestimate"), "{major}: {checks:?}");
            assert!(!checks.contains(&"nested-loop-gone-wrong"), "{major}: {checks:?}");
            let cause = findings.iter().find(|f| f.check == "row-misestimate").unwrap();
            assert!(
                cause.evidence.iter().any(|e| e.name == "leads to" && e.value.starts_with("nested-loop-gone-wrong")),
                "{major}: {cause:?}"
            );
        }
    }

    #[test]
    fn rows_that_nobody_asked_for() {
        for silent in ["recursive_union", "order_by_index", "keyset", "never_executed", "index_scan", "lateral_function_scan"] {
            assert_silent(&CHECK, MAJORS, silent);
        }
    }
}
