//! Is an index built anew while others wait?
//!
//! `REINDEX` holds SHARE on the table and ACCESS EXCLUSIVE on the index: writes wait, and so do reads that would use the
//! index, even to plan. `CONCURRENTLY` stops nobody; it cannot run in a transaction.

use model::{LockLevel, QualifiedName, Severity};
use sql::{Action, Reindexed};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "reindex-blocking",
    title: "index that is built anew while others wait",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Reindex { of, name, concurrently: false } = step.action else { return Vec::new() };
    let name = name.as_ref().map(|n| step.name(n));
    let table = match (of, &name) {
        (Reindexed::Index, Some(index)) => step
            .facts
            .snapshot
            .index(index)
            .map_or_else(|| index.clone(), |i| i.definition.table.clone()),
        (Reindexed::Table, Some(table)) => table.clone(),
        _ => QualifiedName::new("public", "(every table)"),
    };
    if step.is_new(&table) {
        return Vec::new();
    }
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::Share, Held::Build),
        format!("REINDEX on {table} stops writes, and reads that would use the index"),
        "The index itself is under ACCESS EXCLUSIVE, which planning a query of the table waits for.",
    );
    let what = match of {
        Reindexed::Index => "INDEX",
        Reindexed::Table => "TABLE",
        Reindexed::Everything => return vec![found],
    };
    let Some(name) = name else { return vec![found] };
    vec![found.mended_by(instead(
        vec![format!("REINDEX {what} CONCURRENTLY {name}")],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on. Outside of a transaction.",
    ))]
}
