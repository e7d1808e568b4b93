//! Is a constraint validated in the transaction that adds it?
//!
//! `NOT VALID` keeps the strong lock short, but a lock is held until the end of the transaction: validated in the same one,
//! the reading happens under it all the same.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "validate-in-transaction",
    title: "constraint that is validated in the transaction that adds it",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::Validate { name } } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    if step.is_new(&table) || !step.state.unvalidated.contains(&(table.clone(), name.clone())) {
        return Vec::new();
    }
    let quoted = quote_identifier(name);
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Scan),
        format!("constraint {quoted} on {table} is validated under the lock that adding it took"),
        "Commit before it is validated.",
    );
    vec![found.mended_by(instead(
        vec!["COMMIT".into(), format!("ALTER TABLE {table} VALIDATE CONSTRAINT {quoted}")],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE while the table is read: reads and writes go on.",
    ))]
}
