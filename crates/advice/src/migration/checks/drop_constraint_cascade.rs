//! Which foreign keys go with a key that is dropped with CASCADE?
//!
//! `DROP CONSTRAINT … CASCADE` of a primary key or of a unique constraint drops every foreign key that references it, and
//! takes ACCESS EXCLUSIVE on their tables and partitions as well. The rows that such a key would have refused come in from
//! then on.

use std::collections::BTreeSet;

use model::snapshot::ConstraintKind;
use model::{LockLevel, QualifiedName, Severity, quote_identifier};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "drop-constraint-cascade",
    title: "key that is dropped with the foreign keys that reference it",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::DropConstraint { name, cascade: true } } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    let constraints = step.facts.constraints(&table);
    let is_key = |kind| matches!(kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique);
    let Some(key) = constraints.iter().find(|c| c.name == *name && is_key(c.kind)) else { return Vec::new() };
    let columns = |list: &[String]| list.iter().cloned().collect::<BTreeSet<String>>();
    let wanted = columns(&key.columns);
    let referencing: Vec<_> = step
        .facts
        .foreign_keys()
        .filter(|(_, target)| target.table == table && columns(&target.columns) == wanted)
        .map(|(foreign, _)| foreign)
        .collect();
    if referencing.is_empty() {
        return Vec::new();
    }
    // Which of two keys of the same columns a foreign key was made with, a snapshot does not tell.
    let again = constraints.iter().any(|c| c.name != *name && is_key(c.kind) && columns(&c.columns) == wanted);
    let unsure =
        if again { " There is another key of the same columns: a foreign key that was made with that one stays." } else { "" };
    let tables: BTreeSet<&QualifiedName> = referencing.iter().map(|c| &c.table).filter(|t| **t != table).collect();
    let locked = tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let also = match tables.is_empty() {
        true => String::new(),
        false => format!("It takes ACCESS EXCLUSIVE on {locked} as well. "),
    };
    let gone: Vec<String> =
        referencing.iter().map(|c| format!("{} of {}", quote_identifier(&c.name), c.table)).collect();
    let mut found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Instant),
        format!("CASCADE drops {} with {} of {table}", gone.join(", "), quote_identifier(name)),
        &format!(
            "{also}From then on nothing refuses rows without a counterpart. Drop each foreign key in a statement of its own \
             first, so that one lock is held at a time and nothing goes that was not meant to.{unsure}"
        ),
    );
    found.finding.key.push_str(&format!(".{}", quote_identifier(name)));
    if !tables.is_empty() {
        found = found.with("also locked", locked);
    }
    vec![found.with("foreign keys that go with it", gone.join(", "))]
}
