//! Does SET NOT NULL read the table under a lock?
//!
//! It reads every row under ACCESS EXCLUSIVE, unless a valid check constraint says that the column is not NULL (12 and
//! later). 18 can also add a NOT NULL constraint as NOT VALID and validate it.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, ConstraintKind, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "set-not-null",
    title: "NOT NULL that is validated under a lock",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let (table, column) = match step.action {
        Action::AlterTable { table, change: TableChange::SetNotNull { column } } => (table, column),
        Action::AlterTable { table, change: TableChange::AddConstraint(c) }
            if c.kind == ConstraintKind::NotNull && !c.not_valid =>
        {
            match c.columns.first() {
                Some(column) => (table, column),
                None => return Vec::new(),
            }
        }
        _ => return Vec::new(),
    };
    let table = step.name(table);
    let already = step.relation(&table).and_then(|r| r.column(column)).is_some_and(|c| c.not_null);
    if step.is_new(&table) || already || step.has_not_null_check(&table, column) {
        return Vec::new();
    }
    let name = quote_identifier(column);
    let check = quote_identifier(&format!("{column}_not_null"));
    let mut found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Scan),
        format!("SET NOT NULL on column {name} of {table} reads the table under ACCESS EXCLUSIVE"),
        "A check constraint that was validated before saves the reading.",
    );
    found.finding.key.push_str(&format!(".{name}"));
    vec![found.mended_by(instead(
        vec![
            format!("ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID"),
            format!("ALTER TABLE {table} VALIDATE CONSTRAINT {check}"),
            format!("ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL"),
            format!("ALTER TABLE {table} DROP CONSTRAINT {check}"),
        ],
        LockLevel::AccessExclusive,
        "ACCESS EXCLUSIVE for an instant each; VALIDATE reads the table under SHARE UPDATE EXCLUSIVE: reads and writes go on.",
    ))]
}
