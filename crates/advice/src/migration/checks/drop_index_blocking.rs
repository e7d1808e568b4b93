//! Is an index dropped while reads and writes wait?
//!
//! `DROP INDEX` takes ACCESS EXCLUSIVE on the table for an instant, but queues for it, and everybody behind it.
//! `CONCURRENTLY` waits for those who use the index instead.

use model::{LockLevel, Severity};
use sql::{Action, Dropped};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "drop-index-blocking",
    title: "index that is dropped under a lock on its table",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Drop { kind: Dropped::Index, names, concurrently: false, .. } = step.action else { return Vec::new() };
    let names = names.iter().map(|n| step.name(n)).filter(|n| !step.is_new(n));
    names
        .map(|name| {
            let table = step.facts.snapshot.index(&name).map(|i| i.definition.table.clone());
            let lock = (LockLevel::AccessExclusive, Held::Instant);
            let summary = format!("DROP INDEX {name} locks its table");
            let why = "CONCURRENTLY stops nobody.";
            // Where its table is not known: the index is locked as the table is.
            let mut found = step.finding(&CHECK, table.as_ref().unwrap_or(&name), lock, summary, why);
            found.finding.key = format!("{}:{}:{name}", CHECK.id, step.file);
            if table.is_some_and(|t| step.is_partitioned(&t)) {
                return found.with("note", "an index of a partitioned table cannot be dropped CONCURRENTLY; set lock_timeout");
            }
            found.mended_by(instead(
                vec![format!("DROP INDEX CONCURRENTLY {name}")],
                LockLevel::ShareUpdateExclusive,
                "SHARE UPDATE EXCLUSIVE until transactions that could use the index have ended: reads and writes go on. \
                 Outside of a transaction.",
            ))
        })
        .collect()
}
