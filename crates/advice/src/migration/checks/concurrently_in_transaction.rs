//! Is something to run CONCURRENTLY within a transaction?
//!
//! `CREATE INDEX CONCURRENTLY`, `DROP INDEX CONCURRENTLY`, `REINDEX CONCURRENTLY`, `DETACH PARTITION CONCURRENTLY` and
//! VACUUM make transactions of their own, so within one they fail. Many migration tools wrap each file in a transaction:
//! tell lint with `--single-transaction`, and the tool by its own option. REFRESH … CONCURRENTLY may stand in one.

use model::{QualifiedName, Severity};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::Step;
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "concurrently-in-transaction",
    title: "CONCURRENTLY within a transaction",
    severity: Severity::Error,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    if !step.state.in_transaction {
        return Vec::new();
    }
    let (what, subject): (&str, Option<QualifiedName>) = match step.action {
        Action::CreateIndex(index) if index.concurrently => ("CREATE INDEX CONCURRENTLY", Some(step.name(&index.table))),
        Action::Drop { concurrently: true, names, .. } => ("DROP INDEX CONCURRENTLY", names.first().map(|n| step.name(n))),
        Action::Reindex { concurrently: true, name, .. } => ("REINDEX CONCURRENTLY", name.as_ref().map(|n| step.name(n))),
        Action::AlterTable { change: TableChange::Detach { partition, concurrently: true }, .. } => {
            ("DETACH PARTITION CONCURRENTLY", Some(step.name(partition)))
        }
        Action::Vacuum { tables, .. } => ("VACUUM", tables.first().map(|n| step.name(n))),
        _ => return Vec::new(),
    };
    let subject = subject.unwrap_or_else(|| QualifiedName::new("public", what));
    vec![step.remark(
        &CHECK,
        &subject,
        format!("{what} cannot run within a transaction"),
        "The statement fails. Put it into a migration of its own that runs outside of a transaction.",
    )]
}
