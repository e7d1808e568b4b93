//! Is a column dropped that programs may still ask for?
//!
//! From that moment every statement that names it fails, those of program versions that still run included; and with it
//! go the indexes, constraints and views (CASCADE) that use it. The data is not to be had back. Foreign keys of the column, and
//! those that reference it (CASCADE), take ACCESS EXCLUSIVE on the other table as well.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "drop-column",
    title: "column that is dropped",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::DropColumn { column } } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let name = quote_identifier(column);
    let uses = step
        .facts
        .analyses()
        .iter()
        .filter(|analysis| analysis.uses_of(&table).any(|used| used.columns.contains(column)))
        .count();
    let mut found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Instant),
        format!("column {name} of {table} is dropped"),
        "Statements that name it fail from then on. Release a program that does not use it first, and drop it in a later \
         migration.",
    );
    found.finding.key.push_str(&format!(".{name}"));
    let indexes: Vec<String> = step
        .facts
        .tables
        .indexes(&table)
        .filter(|i| {
            i.definition.include.contains(column)
                || i.definition.keys.iter().any(|k| matches!(&k.target, model::KeyTarget::Column(c) if c == column))
        })
        .map(|i| i.name.to_string())
        .collect();
    if !indexes.is_empty() {
        found = found.with("indexes that go with it", indexes.join(", "));
    }
    found = step.with_foreign_keys(found, &table, Some(column), |_| false);
    vec![if uses > 0 { found.with("statements of pg_stat_statements that use it", uses) } else { found }]
}
