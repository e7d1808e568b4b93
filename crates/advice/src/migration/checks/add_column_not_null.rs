//! Is a NOT NULL column added to a table that has rows, without a default?
//!
//! The rows that are there would be NULL, so the statement fails; on an empty table it passes, which is why it passes
//! in tests. Programs that insert without the column fail from then on.

use model::Severity;
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "add-column-not-null",
    title: "NOT NULL column without a default",
    severity: Severity::Error,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::AddColumn(column) } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    let filled = column.default.is_some() || column.numbered || column.stored;
    // Only what is known to be empty is.
    let empty = step.relation(&table).is_some_and(|r| step.facts.rows(r) == 0.0 && r.pages == 0 && r.reltuples >= 0.0);
    if !column.not_null || filled || step.is_new(&table) || empty {
        return Vec::new();
    }
    let (name, kind) = (model::quote_identifier(&column.name), &column.type_name);
    let found = step.remark(
        &CHECK,
        &table,
        format!("column {name} of {table} is NOT NULL and has no default"),
        "The statement fails when the table has rows. Add the column without NOT NULL, let programs write it, fill the \
         rows that are there in batches, then set NOT NULL by way of a validated check.",
    );
    let check = model::quote_identifier(&format!("{}_not_null", column.name));
    vec![found.mended_by(instead(
        vec![
            format!("ALTER TABLE {table} ADD COLUMN {name} {kind}"),
            "-- fill it in batches".into(),
            format!("ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({name} IS NOT NULL) NOT VALID"),
            format!("ALTER TABLE {table} VALIDATE CONSTRAINT {check}"),
            format!("ALTER TABLE {table} ALTER COLUMN {name} SET NOT NULL"),
            format!("ALTER TABLE {table} DROP CONSTRAINT {check}"),
        ],
        model::LockLevel::AccessExclusive,
        "ACCESS EXCLUSIVE for an instant each; VALIDATE reads the table under SHARE UPDATE EXCLUSIVE.",
    ))]
}
