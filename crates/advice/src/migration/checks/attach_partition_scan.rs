//! Does attaching a partition read it under a lock?
//!
//! `ATTACH PARTITION` takes SHARE UPDATE EXCLUSIVE on the partitioned table, but ACCESS EXCLUSIVE on the partition, and on
//! the DEFAULT partition, and reads both to see that the rows belong there. A valid CHECK that says so, NOT NULL of the
//! key included, saves the reading.

use model::snapshot::ConstraintKind;
use model::{LockLevel, Severity};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "attach-partition-scan",
    title: "partition that is read while it is attached",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::Attach { partition, default } } = step.action else {
        return Vec::new();
    };
    let (table, partition) = (step.name(table), step.name(partition));
    let mut found = Vec::new();
    let in_catalog = step.facts.constraints(&partition).iter().any(|c| c.kind == ConstraintKind::Check && c.validated);
    let in_migration = step.state.checks.iter().any(|(of, _, _, valid)| *of == partition && *valid);
    // Whether the check implies the bounds PostgreSQL will say; without any it cannot.
    if !in_catalog && !in_migration && !step.is_new(&partition) {
        found.push(step.finding(
            &CHECK,
            &partition,
            (LockLevel::AccessExclusive, Held::Scan),
            format!("attaching {partition} to {table} reads it under ACCESS EXCLUSIVE"),
            "Add a CHECK of its bounds and of NOT NULL as NOT VALID, validate it, attach, then drop the check.",
        ));
    }
    let children = step.facts.tables.children(&table);
    let other = children.iter().find(|c| c.partition_bound.as_deref() == Some("DEFAULT"));
    if let Some(other) = other.filter(|_| !default) {
        let guarded =
            step.facts.constraints(&other.name).iter().any(|c| c.kind == ConstraintKind::Check && c.validated);
        if !guarded {
            found.push(step.finding(
                &CHECK,
                &other.name,
                (LockLevel::AccessExclusive, Held::Scan),
                format!("attaching {partition} to {table} reads its DEFAULT partition {} under ACCESS EXCLUSIVE", other.name),
                "A valid CHECK on the DEFAULT partition that its rows lie outside of the new bounds saves the reading.",
            ));
        }
    }
    found
}
