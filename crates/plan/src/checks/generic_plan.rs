//! Was a plan made for no value in particular, and is wrong for the value that came?
//!
//! Fields: `$1`, … in the conditions of a scan, which EXPLAIN prints only of a plan that knew no values (`GetCachedPlan()`
//! in plancache.c makes one after five executions when its cost is not above theirs, or under `plan_cache_mode =
//! force_generic_plan`); its rows against those estimated; and `$1 IS NULL OR …`, which only a plan for the value can
//! leave out. What an InitPlan or SubPlan returns is printed alike before 17 and is told apart by its name.

use model::{Severity, Snapshot};

use super::row_misestimate::begins_at;
use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::{Node, Plan};
use crate::render::{count, factor};

pub(super) const CHECK: Check = Check {
    id: "generic-plan",
    title: "plan was made for no value in particular",
    explains: &[
        ("row-misestimate", Place::Line),
        ("nested-loop-gone-wrong", Place::Line),
        ("seq-scan-reads-too-much", Place::Same),
        ("filter-after-index", Place::Same),
        ("wrong-index-for-order-by", Place::Line),
        ("hash-spill", Place::Line),
        ("useless-memoize", Place::Line),
    ],
    remedy: Remedy::CustomPlan,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.executed() && (n.relation.is_some() || n.index.is_some())) {
        let conditions: Vec<&str> = node.conditions().map(|(_, text)| text).collect();
        let parameters = parameters(plan, node);
        if parameters.is_empty() {
            continue;
        }
        let names = parameters.join(", ");
        // The table stands at the node above.
        let heap = plan.ancestors(node).find(|a| a.is("Bitmap Heap Scan") && node.is("Bitmap Index Scan"));
        let shown = heap.unwrap_or(node);
        let off = begins_at(plan, node, thresholds);
        let optional = parameters.iter().any(|p| conditions.iter().any(|c| is_optional(c, p)));
        let thrown_away = node.rows_removed() >= thresholds.removed_min_rows
            && node.rows_removed() > thresholds.removed_per_row * node.rows();
        let summary = if optional && thrown_away {
            format!(
                "a plan for any value of {names} cannot leave \"{names} IS NULL OR …\" out: {} of {} rows of {} were thrown \
                 away",
                count(node.rows_removed()),
                count(node.rows_removed() + node.rows()),
                subject(shown)
            )
        } else if let Some(off) = off.filter(|_| could_be_found(node, database)) {
            format!(
                "plan for any value of {names} expected {} rows from {} and got {}, {} {}",
                count(node.planned_rows()),
                subject(shown),
                count(node.rows()),
                factor(off),
                if node.rows() > node.planned_rows() { "as many" } else { "fewer" }
            )
        } else {
            continue;
        };
        // Every node above was chosen on the strength of this number.
        let weight = plan.own_weight(node) + plan.ancestors(node).map(|a| plan.own_weight(a)).sum::<f64>();
        let mut diagnosis = Diagnosis::new(
            shown,
            Severity::Warning,
            summary,
            "A generic plan assumes an average value. A value that is far more or far less frequent, a partial index and a \
             condition that drops out for NULL need a plan for the value: PREPARE, PL/pgSQL and most drivers change to the \
             generic plan after five executions if it seems no dearer, and plan_cache_mode = force_generic_plan forces it.",
        )
        .weighing(weight)
        .with("parameters", names)
        .with("estimated rows", count(node.planned_rows()))
        .with("actual rows", count(node.rows()))
        .with("conditions", conditions.join("; "));
        if let Some(values) = plan.extra.get("Query Parameters").and_then(serde_json::Value::as_str) {
            diagnosis = diagnosis.with("values", values);
        }
        found.push(diagnosis);
    }
    found
}

/// The parameters of the statement in the conditions of a node.
pub(super) fn parameters(plan: &Plan, node: &Node) -> Vec<String> {
    let mut parameters: Vec<String> = node.conditions().flat_map(|(_, text)| numbered(text)).collect();
    if !parameters.is_empty() {
        let own = own_parameters(plan);
        parameters.retain(|p| !own.contains(p));
        parameters.sort();
        parameters.dedup();
    }
    parameters
}

/// Whether a plan for the value could read the table in another way: not where the catalogue says that no index
/// begins with a column of the filter.
fn could_be_found(node: &Node, database: Option<&Snapshot>) -> bool {
    let Some(database) = database.filter(|_| node.is("Seq Scan")) else { return true };
    let Some(relation) = facts::relation_of(database, node) else { return true };
    let named = crate::remedy::named_columns(node);
    // Of many rows where few were expected the scan is right and what stands above is not.
    node.rows() > node.planned_rows()
        || database.indexes_of(&relation.name).any(|index| {
            index.valid
                && index.definition.keys.first().is_some_and(
                    |key| matches!(&key.target, model::KeyTarget::Column(name) if named.contains(name.as_str())),
                )
        })
}

/// `$1 IS NULL` as one side of an OR.
fn is_optional(condition: &str, parameter: &str) -> bool {
    let test = format!("({parameter} IS NULL)");
    let cast = format!("({parameter})::");
    let tested = condition.contains(&test)
        || condition.match_indices(&cast).any(|(at, _)| {
            condition[at..].find(" IS NULL").is_some_and(|end| !condition[at..at + end].contains([' ', '=']))
        });
    tested && condition.contains(" OR ")
}

/// `$1`, … that stand outside of quotation marks.
fn numbered(condition: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in condition.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => quote = Some(c),
            None if c == '$' && !(before.is_alphanumeric() || before == '_') => {
                let digits: String = condition[at + 1..].chars().take_while(char::is_ascii_digit).collect();
                if !digits.is_empty() && digits != "0" {
                    found.push(format!("${digits}"));
                }
            }
            None => {}
        }
        before = c;
    }
    found
}

/// What InitPlans and SubPlans of the plan return: `InitPlan 1 (returns $0,$1)`.
fn own_parameters(plan: &Plan) -> Vec<String> {
    let names = plan.nodes.iter().filter_map(|n| n.subplan_name.as_deref());
    names.filter_map(|name| name.split_once("(returns ")).flat_map(|(_, list)| numbered(list)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_value_far_from_the_average() {
        assert_found(&CHECK, MAJORS, "generic_plan_frequent", "Bitmap Heap Scan");
        assert_found(&CHECK, MAJORS, "generic_plan_rare", "Seq Scan");
        for major in MAJORS {
            for name in ["generic_plan_frequent", "generic_plan_rare", "generic_plan_optional"] {
                let plan = fixture(&format!("{major}/{name}"));
                let findings = super::super::run(&plan, &Thresholds::default());
                assert_eq!(findings[0].check, "generic-plan", "{major}/{name}: {findings:?}");
                assert!(findings.iter().all(|f| f.check != "row-misestimate"), "{major}/{name}: {findings:?}");
            }
        }
    }

    #[test]
    fn a_condition_that_drops_out_for_null() {
        assert_found(&CHECK, MAJORS, "generic_plan_optional", "Seq Scan");
    }

    #[test]
    fn a_generic_plan_that_is_right_and_a_plan_for_the_value() {
        assert_silent(&CHECK, MAJORS, "generic_plan_right");
        assert_silent(&CHECK, MAJORS, "misestimate");
        // Before 17 what an InitPlan returns is printed as a parameter is.
        assert_silent(&CHECK, MAJORS, "init_plan");
        assert_silent(&CHECK, MAJORS, "parallel_init_plan");
    }

    #[test]
    fn a_table_without_an_index_is_no_better_off_with_a_plan_for_the_value() {
        let plan = fixture("17/generic_plan_rare");
        let mut known = database("public", "runs");
        let diagnosed =
            |known: &Snapshot| CHECK.diagnose(&plan, &Thresholds::default(), Some(known)).len();
        assert_eq!(diagnosed(&known), 0);
        known.indexes.push(index("public", "runs", "runs_status_idx", &["status"]));
        assert_eq!(diagnosed(&known), 1);
    }

    #[test]
    fn parameters_are_told_from_texts() {
        assert_eq!(numbered("((a = $1) AND (b = '$2'::text) AND (c$3 = $12))"), ["$1", "$12"]);
        assert!(is_optional("(($1 IS NULL) OR (a = $1))", "$1"));
        assert!(is_optional("((($1)::integer IS NULL) OR (a = $1))", "$1"));
        assert!(!is_optional("((a IS NULL) OR (a = $1))", "$1"));
    }
}
