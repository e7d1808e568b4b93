//! Is a partition made where it will stand?
//!
//! `CREATE TABLE … PARTITION OF` takes ACCESS EXCLUSIVE on the partitioned table: it queues behind every query of it, and
//! everybody queues behind it. Made apart and attached, it takes SHARE UPDATE EXCLUSIVE. A DEFAULT partition is read
//! either way.

use model::{LockLevel, Severity};
use sql::Action;

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "create-partition-of",
    title: "partition that is made under a lock on its table",
    severity: Severity::Info,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::CreateTable { table, partition_of: Some(parent), .. } = step.action else { return Vec::new() };
    let (table, parent) = (step.name(table), step.name(parent));
    if step.is_new(&parent) {
        return Vec::new();
    }
    let found = step.finding(
        &CHECK,
        &parent,
        (LockLevel::AccessExclusive, Held::Instant),
        format!("CREATE TABLE … PARTITION OF {parent} locks the partitioned table"),
        "Make the table apart, then attach it.",
    );
    vec![found.mended_by(instead(
        vec![
            format!("CREATE TABLE {table} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"),
            format!("ALTER TABLE {parent} ATTACH PARTITION {table} FOR VALUES …"),
        ],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE on the partitioned table for an instant: reads and writes go on.",
    ))]
}
