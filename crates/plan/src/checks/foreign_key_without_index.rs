//! Does every deleted or updated row look for its references by reading a whole table?
//!
//! Fields: a ModifyTable that deletes or updates, and from the catalog the foreign keys that reference its table
//! and whose columns no index begins with. EXPLAIN does not show these look-ups: they are triggers.

use model::{Severity, Snapshot};

use super::{Check, Diagnosis, Place, Remedy, Run, Thresholds};
use crate::facts;
use crate::node::Plan;
use crate::render::{count, milliseconds};

pub(super) const CHECK: Check = Check {
    id: "foreign-key-without-index",
    title: "foreign key has no index on its referencing side",
    explains: &[("triggers-dominate", Place::Line)],
    remedy: Remedy::ForeignKeyIndex,
    run: Run::Database(run),
};

fn run(plan: &Plan, thresholds: &Thresholds, database: Option<&Snapshot>) -> Vec<Diagnosis> {
    let Some(database) = database else { return Vec::new() };
    let mut found = Vec::new();
    for node in plan.nodes.iter().filter(|n| n.is("ModifyTable") && n.operation.as_deref() != Some("Insert")) {
        let Some(table) = facts::relation_of(database, node) else { continue };
        let rows = crate::writes::rows(plan, node);
        for (constraint, referencing) in facts::unindexed_references(database, table) {
            let trigger =
                plan.triggers.iter().find(|t| t.constraint.as_deref() == Some(constraint.name.as_str()));
            // An update looks only when it changes the key; without a trigger that fired it did not.
            let updates = node.operation.as_deref() == Some("Update");
            let large = referencing.pages >= i64::try_from(thresholds.foreign_key_min_pages).unwrap_or(i64::MAX);
            if !large || ((updates || plan.analyzed) && trigger.is_none()) {
                continue;
            }
            let estimate = rows * referencing.pages as f64;
            let weight = match trigger.and_then(|t| t.time_ms) {
                Some(ms) => ms,
                None if plan.timed() => 0.0,
                None => estimate,
            };
            let columns: Vec<String> = constraint.columns.iter().map(|c| model::quote_identifier(c)).collect();
            let mut diagnosis = Diagnosis::new(
                node,
                Severity::Warning,
                format!(
                    "each of {} rows looks for its references in {} by reading all of it",
                    count(rows),
                    referencing.name
                ),
                "PostgreSQL indexes the referenced side of a foreign key only. For each deleted or updated row its \
                 trigger looks for rows that reference it: without an index on the referencing columns by a \
                 sequential scan.",
            )
            .weighing(weight)
            .with("foreign key", model::quote_identifier(&constraint.name))
            .with("referencing columns", format!("{} ({})", referencing.name, columns.join(", ")))
            .with("pages read per row", count(referencing.pages as f64));
            if let Some(ms) = trigger.and_then(|t| t.time_ms) {
                diagnosis = diagnosis.with("time of the trigger", milliseconds(ms));
            }
            found.push(diagnosis);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use model::QualifiedName;
    use model::snapshot::{Constraint, ConstraintKind, ForeignKeyTarget};

    use super::super::testing::*;
    use super::*;

    /// `children.parent_id` references `parents`.
    fn family(indexed: bool) -> Snapshot {
        let mut database = database("public", "parents");
        let mut children = database.relations[0].clone();
        children.name = QualifiedName::new("public", "children");
        children.pages = 40;
        database.relations.push(children);
        database.constraints.push(Constraint {
            name: "children_parent_id_fkey".into(),
            table: QualifiedName::new("public", "children"),
            kind: ConstraintKind::ForeignKey,
            columns: vec!["parent_id".into()],
            references: Some(ForeignKeyTarget {
                table: QualifiedName::new("public", "parents"),
                columns: vec!["id".into()],
                enforced_here: true,
            }),
            validated: true,
            definition: String::new(),
        });
        if indexed {
            database.indexes.push(index("public", "children", "children_parent_id_idx", &["parent_id", "id"]));
        }
        database
    }

    #[test]
    fn it_is_the_cause_of_a_trigger_that_takes_the_time() {
        for major in MAJORS {
            let plan = fixture(&format!("{major}/foreign_key_trigger"));
            let findings = super::super::run_on(&plan, &Thresholds::default(), Some(&family(false)));
            let checks: Vec<&str> = findings.iter().map(|f| f.check.as_str()).collect();
            assert!(checks.contains(&CHECK.id) && !checks.contains(&"triggers-dominate"), "{major}: {checks:?}");
            let with_index = super::super::run_on(&plan, &Thresholds::default(), Some(&family(true)));
            assert!(with_index.iter().all(|f| f.check != CHECK.id), "{major}");
        }
    }

    #[test]
    fn nothing_without_a_catalog() {
        assert_silent(&CHECK, MAJORS, "foreign_key_trigger");
    }
}
