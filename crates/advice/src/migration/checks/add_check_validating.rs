//! Is a check constraint added and validated in one?
//!
//! `ADD CONSTRAINT … CHECK` reads the whole table under ACCESS EXCLUSIVE. `NOT VALID` adds it in an instant, for new
//! rows; `VALIDATE CONSTRAINT` reads the table afterwards and stops nobody.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, ConstraintKind, NewConstraint, TableChange};

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
    let (table, change) = match step.action {
        Action::AlterTable { table, change } => (table, change),
        _ => return Vec::new(),
    };
    let added: Vec<&NewConstraint> = match change {
        TableChange::AddConstraint(constraint) => vec![constraint],
        // One of a new column asks every row as well.
        TableChange::AddColumn(column) => column.constraints.iter().collect(),
        _ => return Vec::new(),
    };
    let validates = |c: &&&NewConstraint| c.kind == ConstraintKind::Check && !c.not_valid;
    let table = step.name(table);
    let Some(constraint) = added.iter().find(validates).filter(|_| !step.is_new(&table)) else {
        return Vec::new();
    };
    let name = constraint_name(constraint.name.as_ref(), &table, &[], "check");
    let expression = constraint.expression.as_deref().unwrap_or("true");
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Scan),
        format!("check constraint on {table} is validated under ACCESS EXCLUSIVE"),
        "NOT VALID first, of a new column after it was added, then VALIDATE in a transaction of its own.",
    );
    let mut steps = vec![
        format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({expression}) NOT VALID"),
        format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"),
    ];
    if let TableChange::AddColumn(column) = change {
        let default = column.default.as_ref().map(|d| format!(" DEFAULT {d}")).unwrap_or_default();
        let name = quote_identifier(&column.name);
        steps.insert(0, format!("ALTER TABLE {table} ADD COLUMN {name} {}{default}", column.type_name));
    }
    vec![found.mended_by(instead(
        steps,
        LockLevel::AccessExclusive,
        "ACCESS EXCLUSIVE for an instant, then SHARE UPDATE EXCLUSIVE while the table is read: reads and writes go on.",
    ))]
}
