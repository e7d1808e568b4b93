//! Is a table bound to no other by a foreign key?
//!
//! In a database that uses foreign keys at all, a table that neither references nor is referenced is often one whose
//! key was forgotten. Asked only where the schema has foreign keys; partitions are judged as their table.

use std::collections::BTreeSet;

use model::Severity;
use model::snapshot::RelationKind;

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "unlinked-table",
    title: "table that no foreign key binds to another",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut linked = BTreeSet::new();
    let mut schemas = BTreeSet::new();
    for (constraint, target) in facts.foreign_keys() {
        linked.extend([&constraint.table, &target.table]);
        schemas.extend([&constraint.table.schema, &target.table.schema]);
    }
    facts
        .designed()
        .filter(|r| matches!(r.kind, RelationKind::Table | RelationKind::PartitionedTable))
        .filter(|r| schemas.contains(&r.name.schema) && !linked.contains(&r.name))
        .map(|r| {
            CHECK.finding(
                relation_ref(&r.name),
                format!("no foreign key binds table {} to another", r.name),
                "Other tables of the schema are bound by foreign keys. If its rows belong to rows of another table, a \
                 foreign key (NOT VALID, then VALIDATE) keeps them from being orphaned.",
            )
        })
        .collect()
}
