//! Is a foreign key added and validated in one?
//!
//! `ADD FOREIGN KEY` looks up every row under SHARE ROW EXCLUSIVE on both tables: writes to both wait. `NOT VALID` adds
//! it in an instant; `VALIDATE CONSTRAINT` looks the rows up afterwards and stops nobody. On a partitioned table NOT
//! VALID is possible since 18.

use model::{LockLevel, Severity};
use sql::{Action, ConstraintKind, NewConstraint, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, constraint_name, instead, list};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "add-foreign-key-validating",
    title: "foreign key that is validated at once",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let (table, constraints): (_, Vec<&NewConstraint>) = match step.action {
        Action::AlterTable { table, change: TableChange::AddConstraint(constraint) } => (table, vec![constraint.as_ref()]),
        // A column without a default is NULL everywhere, and NULLs are not looked up.
        Action::AlterTable { table, change: TableChange::AddColumn(column) } if column.default.is_some() => {
            (table, column.constraints.iter().collect())
        }
        _ => return Vec::new(),
    };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let keys = constraints.into_iter().filter(|c| c.kind == ConstraintKind::ForeignKey && !c.not_valid);
    keys.map(|key| {
        let target = key.references.as_ref().map(|r| step.name(r));
        let referenced = target.as_ref().map_or_else(String::new, ToString::to_string);
        let found = step.finding(
            &CHECK,
            &table,
            (LockLevel::ShareRowExclusive, Held::Lookup),
            format!("foreign key from {table} to {referenced} is validated while writes to both wait"),
            &format!("The same lock is held on {referenced}. NOT VALID first, then VALIDATE in a transaction of its own."),
        );
        if step.is_partitioned(&table) && step.major() < 18 {
            return found.with("note", "a partitioned table takes NOT VALID since 18; add it to each partition before");
        }
        let name = constraint_name(key.name.as_ref(), &table, &key.columns, "fkey");
        let to = match key.referenced_columns.as_slice() {
            [] => referenced.clone(),
            columns => format!("{referenced} ({})", list(columns)),
        };
        found.mended_by(instead(
            vec![
                format!(
                    "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({}) REFERENCES {to} NOT VALID",
                    list(&key.columns)
                ),
                format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"),
            ],
            LockLevel::ShareRowExclusive,
            "SHARE ROW EXCLUSIVE on both tables for an instant, then SHARE UPDATE EXCLUSIVE and ROW SHARE while the rows are \
             looked up: reads and writes go on. Actions such as ON DELETE go into the first statement.",
        ))
    })
    .collect()
}
