//! Did the planner work with statistics of another time?
//!
//! Fields: from the catalog, rows changed since ANALYZE against `reltuples`, and whether there are statistics
//! at all; and from the conditions, values that came since. Of a plan that was executed, only tables whose estimate was off are reported: old statistics
//! that are still right do no harm.

use model::snapshot::Relation;
use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds, subject};
use crate::facts;
use crate::node::{Node, Plan};
use crate::render::{count, percent};

pub(super) const CHECK: Check = Check {
    id: "stale-statistics",
    title: "statistics are missing or of another time",
    explains: &[("row-misestimate", Place::Line)],
    remedy: Remedy::Analyze,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let Some(database) = database else { return Vec::new() };
    let mut seen = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for node in &plan.nodes {
        let Some(relation) = facts::relation_of(database, node) else { continue };
        let Some((summary, evidence)) = stale(relation, node, thresholds) else { continue };
        let off = factor_off(node);
        let harmless = plan.analyzed && off < thresholds.misestimate_child_factor;
        if harmless || !seen.insert(&relation.name) {
            continue;
        }
        // Every node above was chosen on the strength of these statistics.
        let above: f64 = plan.ancestors(node).map(|a| plan.own_weight(a)).sum();
        let weight = plan.own_weight(node) + if plan.analyzed { above } else { 0.0 };
        let severity = if plan.analyzed { Severity::Warning } else { Severity::Info };
        let diagnosis = Diagnosis::new(
            node,
            severity,
            summary,
            "The planner estimates rows from statistics that ANALYZE collects. Autovacuum runs it after a tenth of a \
             table has changed, unless it cannot keep up; after a bulk load it has to be run by hand.",
        );
        found.push(diagnosis.weighing(weight).with("changed since ANALYZE", evidence));
    }
    found
}

/// What is wrong with the statistics of a table, and the figure that says so.
fn stale(relation: &Relation, node: &Node, thresholds: &Thresholds) -> Option<(String, String)> {
    let activity = relation.activity.as_ref()?;
    let name = subject(node);
    let has_statistics =
        relation.columns.iter().any(|c| c.statistics.is_some() || c.inherited_statistics.is_some());
    let analyzed = activity.last_analyze.or(activity.last_autoanalyze);
    if !has_statistics && analyzed.is_none() && relation.pages > 0 {
        return Some((format!("{name} was never analyzed"), "everything".into()));
    }
    let changed = relation.changed_since_analyze();
    let share = changed / relation.reltuples.max(1.0);
    if changed < thresholds.stale_min_rows {
        return None;
    }
    if share <= thresholds.stale_share {
        let value = new_value(relation, node, changed, thresholds)?;
        return Some((
            format!("{name} has rows with {value} that its statistics do not know"),
            format!("{} rows, {}", count(changed), percent(share)),
        ));
    }
    let shown = if share > 10.0 { format!("{:.0} times its rows", share) } else { percent(share) };
    let evidence = match analyzed {
        Some(at) => format!("{} rows, {shown}; last ANALYZE {}", count(changed), at.format("%Y-%m-%d %H:%M UTC")),
        None => format!("{} rows, {shown}", count(changed)),
    };
    Some((format!("{} rows of {name} changed since its statistics were collected", count(changed)), evidence))
}

/// A value that a condition asks for, that is in none of the statistics although they list every value that the column
/// had, and whose rows may all have come since: few changes can make an estimate wrong, if they are what is asked for.
fn new_value(relation: &Relation, node: &Node, changed: f64, thresholds: &Thresholds) -> Option<String> {
    let unexpected = node.rows() - node.planned_rows();
    if unexpected <= 0.0 || changed < unexpected || factor_off(node) < thresholds.misestimate_factor {
        return None;
    }
    for column in &relation.columns {
        let Some(statistics) = column.statistics.as_ref() else { continue };
        let common = statistics.common_values();
        let listed: f32 = common.iter().map(|(_, frequency)| frequency).sum();
        if listed + statistics.null_frac < ALL_LISTED {
            continue;
        }
        for (_, condition) in node.conditions() {
            let asked = literals(condition, &model::quote_identifier(&column.name));
            if let Some(value) = asked.into_iter().find(|v| common.iter().all(|(known, _)| known != v)) {
                return Some(format!("{} = {}", column.name, model::quote_literal(&value)));
            }
        }
    }
    None
}

/// From this share of the rows on a list of common values has all that there are.
const ALL_LISTED: f32 = 0.99;

/// The constants that a column is compared with by `=` in a condition as EXPLAIN prints it: `(kind = 'a'::text)`,
/// `(t.n = 3)`, `((code)::text = 'x'::text)`.
fn literals(condition: &str, column: &str) -> Vec<String> {
    let mut found = Vec::new();
    for comparison in [format!("{column} = "), format!("{column})::text = ")] {
        for (at, _) in condition.match_indices(&comparison) {
            // Not the end of a longer name.
            if !condition[..at].ends_with(['(', '.']) {
                continue;
            }
            let rest = &condition[at + comparison.len()..];
            match rest.strip_prefix('\'') {
                Some(quoted) => found.extend(quoted_value(quoted)),
                None => {
                    let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || "-.".contains(*c)).collect();
                    found.extend((!number.is_empty()).then_some(number));
                }
            }
        }
    }
    found
}

/// The text up to the quote that ends it.
fn quoted_value(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\'' && rest.next_if_eq(&'\'').is_none() {
            return Some(value);
        }
        value.push(c);
    }
    None
}

/// By which factor the estimate of a node is off.
fn factor_off(node: &Node) -> f64 {
    if !node.executed() {
        return 1.0;
    }
    let (actual, planned) = (node.rows().max(1.0), node.planned_rows().max(1.0));
    (actual / planned).max(planned / actual)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn diagnosed(changed: i64) -> Vec<(usize, String)> {
        let plan = fixture("17/misestimate");
        let mut database = database("public", "runs");
        let relation = &mut database.relations[0];
        relation.reltuples = 60_000.0;
        if let Some(activity) = &mut relation.activity {
            activity.n_mod_since_analyze = changed;
        }
        let found = CHECK.diagnose(&plan, &Thresholds::default(), Some(&database));
        found.into_iter().map(|d| (d.node, d.summary)).collect()
    }

    #[test]
    fn a_table_that_changed_and_is_estimated_wrongly() {
        let found = diagnosed(30_000);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, "30,000 rows of public.runs changed since its statistics were collected");
    }

    #[test]
    fn a_table_that_hardly_changed_or_of_which_nothing_is_known() {
        assert!(diagnosed(900).is_empty());
        assert_silent(&CHECK, MAJORS, "misestimate");
    }

    #[test]
    fn changes_that_analyze_saw_and_that_were_counted_after_it() {
        let plan = fixture("17/misestimate");
        let mut database = database("public", "runs");
        let relation = &mut database.relations[0];
        (relation.reltuples, relation.relpages, relation.pages) = (60_000.0, 600, 600);
        for (live, expected) in [(120_000, 0), (60_000, 1)] {
            let activity = database.relations[0].activity.as_mut().unwrap();
            (activity.n_mod_since_analyze, activity.n_live_tup) = (60_000, live);
            let found = CHECK.diagnose(&plan, &Thresholds::default(), Some(&database));
            assert_eq!(found.len(), expected, "{live}");
        }
    }

    #[test]
    fn constants_are_read_as_explain_prints_them() {
        let condition = "((kind = 'it''s new'::text) AND ((code)::text = 'x'::text) AND (other_kind = 'no'::text))";
        assert_eq!(literals(condition, "kind"), ["it's new"]);
        assert_eq!(literals(condition, "code"), ["x"]);
        assert_eq!(literals("((r.n = 3) AND (r.nn = 4))", "n"), ["3"]);
        assert_eq!(literals("(kind = 'cut off", "kind"), Vec::<String>::new());
        assert_eq!(literals("(kind = other)", "kind"), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_estimate_is_its_consequence() {
        let plan = fixture("17/misestimate");
        let mut database = database("public", "runs");
        if let Some(activity) = &mut database.relations[0].activity {
            activity.n_mod_since_analyze = 50_000;
        }
        let findings = super::super::run_on(&plan, &Thresholds::default(), Some(&database));
        assert!(findings.iter().any(|f| f.check == "stale-statistics"), "{findings:?}");
        assert!(findings.iter().all(|f| f.check != "row-misestimate"), "{findings:?}");
    }
}
