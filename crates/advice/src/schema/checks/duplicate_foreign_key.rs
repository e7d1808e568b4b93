//! Do two foreign keys say the same?
//!
//! Same columns paired with the same columns of the same table, in whatever order. Every write is checked twice; where
//! their actions (`ON DELETE …`) differ, it is chance which comes first.

use std::collections::BTreeMap;

use model::quote_identifier;
use model::snapshot::Constraint;
use model::{LockLevel, QualifiedName, Severity};

use super::{Check, constraint_ref};
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "duplicate-foreign-key",
    title: "foreign key that another one repeats",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

type Meaning<'a> = (&'a QualifiedName, &'a QualifiedName, Vec<(&'a String, &'a String)>);

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut by_meaning: BTreeMap<Meaning<'_>, Vec<&Constraint>> = BTreeMap::new();
    for (constraint, target) in facts.foreign_keys() {
        let mut pairs: Vec<_> = constraint.columns.iter().zip(&target.columns).collect();
        pairs.sort();
        by_meaning.entry((&constraint.table, &target.table, pairs)).or_default().push(constraint);
    }
    let mut found = Vec::new();
    for ((table, referenced, _), mut same) in by_meaning {
        // The valid one stays, then the first by name.
        same.sort_by_key(|c| (!c.validated, &c.name));
        let Some((stays, others)) = same.split_first() else { continue };
        for other in others {
            let (kept, name) = (quote_identifier(&stays.name), quote_identifier(&other.name));
            let same_actions = actions(stays) == actions(other);
            let detail = if same_actions {
                "Every write is checked twice for the same."
            } else {
                "Every write is checked twice, and what happens when a referenced row goes away is decided by whichever \
                 comes first. Decide which action is meant."
            };
            found.push(
                CHECK
                    .finding(
                        constraint_ref(other),
                        format!("foreign key {name} on {table} repeats {kept}"),
                        detail,
                    )
                    .with("definition", &other.definition)
                    .with("the other's definition", &stays.definition)
                    .mended_by(Remedy::sql(
                        vec![format!("ALTER TABLE {table} DROP CONSTRAINT {name}")],
                        LockLevel::AccessExclusive,
                        format!(
                            "ACCESS EXCLUSIVE on {table} and on {referenced} for an instant, once running transactions on \
                             them have ended; set lock_timeout."
                        ),
                    )),
            );
        }
    }
    found
}

/// What stands after the referenced columns: match type and actions.
fn actions(constraint: &Constraint) -> &str {
    let definition = constraint.definition.trim_end_matches(" NOT VALID");
    definition.rsplit_once(')').map_or("", |(_, rest)| rest)
}
