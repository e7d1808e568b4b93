//! Is a check constraint added and validated in one?
//!
//! `ADD CONSTRAINT … CHECK` reads the whole table under ACCESS EXCLUSIVE. `NOT VALID` adds it in an instant, for new
//! rows; `VALIDATE CONSTRAINT` reads the table afterwards and stops nobody.

use model::{LockLevel, Severity};
use sql::{Action, ConstraintKind, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, constraint_name, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "add-check-validating",
    title: "check constraint that is validated at once",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::AddConstraint(constraint) } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    if constraint.kind != ConstraintKind::Check || constraint.not_valid || step.is_new(&table) {
        return Vec::new();
    }
    let name = constraint_name(constraint.name.as_ref(), &table, &[], "check");
    let expression = constraint.expression.as_deref().unwrap_or("true");
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Scan),
        format!("check constraint on {table} is validated under ACCESS EXCLUSIVE"),
        "NOT VALID first, then VALIDATE in a transaction of its own.",
    );
    vec![found.mended_by(instead(
        vec![
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({expression}) NOT VALID"),
            format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"),
        ],
        LockLevel::AccessExclusive,
        "ACCESS EXCLUSIVE for an instant, then SHARE UPDATE EXCLUSIVE while the table is read: reads and writes go on.",
    ))]
}
