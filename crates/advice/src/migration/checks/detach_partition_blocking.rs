//! Is a partition detached while reads and writes wait?
//!
//! `DETACH PARTITION` takes ACCESS EXCLUSIVE on the partitioned table. `CONCURRENTLY` (14 and later) waits for running
//! queries instead; it cannot run in a transaction, and not while there is a DEFAULT partition.

use model::{LockLevel, Severity};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "detach-partition-blocking",
    title: "partition that is detached under a lock on its table",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::Detach { partition, concurrently: false } } = step.action else {
        return Vec::new();
    };
    let (table, partition) = (step.name(table), step.name(partition));
    if step.is_new(&table) {
        return Vec::new();
    }
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Instant),
        format!("detaching {partition} locks {table}"),
        "CONCURRENTLY waits for the queries that run and stops nobody.",
    );
    let children = step.facts.tables.children(&table);
    let default = children.iter().any(|c| c.partition_bound.as_deref() == Some("DEFAULT"));
    if default || step.major() < 14 {
        return vec![found.with("note", "CONCURRENTLY is not possible before 14, nor while there is a DEFAULT partition; set lock_timeout")];
    }
    vec![found.mended_by(instead(
        vec![format!("ALTER TABLE {table} DETACH PARTITION {partition} CONCURRENTLY")],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE on the partitioned table: reads and writes go on. Outside of a transaction; if it is \
         interrupted, DETACH PARTITION … FINALIZE completes it.",
    ))]
}
