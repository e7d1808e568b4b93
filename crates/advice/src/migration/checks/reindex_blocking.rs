//! Is an index built anew while others wait?
//!
//! `REINDEX` holds SHARE on the table and ACCESS EXCLUSIVE on the index: writes wait, and so do reads that would use the
//! index, even to plan. `CONCURRENTLY` stops nobody; it cannot run in a transaction.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, Reindexed, TableChange, WrittenName};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "reindex-blocking",
    title: "index that is built anew or moved while others wait",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    match step.action {
        Action::MoveIndex { index, to } => return moved(step, index, to).into_iter().collect(),
        // An index may be called a table here.
        Action::AlterTable { table, change: TableChange::Rewrite { what: "SET TABLESPACE", to: Some(to) } }
            if step.facts.snapshot.index(&step.name(table)).is_some() =>
        {
            return moved(step, table, to).into_iter().collect();
        }
        _ => {}
    }
    let Action::Reindex { of, name, concurrently: false } = step.action else { return Vec::new() };
    let (what, name) = match (of, name) {
        (Reindexed::Index, Some(index)) => ("INDEX", step.name(index)),
        (Reindexed::Table, Some(table)) => ("TABLE", step.name(table)),
        (of, name) => {
            let database = &step.facts.snapshot.server.database;
            return vec![of_many(step, *of, &quote_identifier(name.as_ref().map_or(database, |n| &n.name)))];
        }
    };
    let index = step.facts.snapshot.index(&name);
    let table = match (of, index) {
        (Reindexed::Index, Some(index)) => index.definition.table.clone(),
        _ => name.clone(),
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
    vec![found.mended_by(instead(
        vec![format!("REINDEX {what} CONCURRENTLY {name}")],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE while the table is read twice: reads and writes go on. Outside of a transaction.",
    ))]
}

/// `ALTER INDEX … SET TABLESPACE`.
fn moved(step: &Step<'_>, index: &WrittenName, to: &str) -> Option<LintFinding> {
    let name = step.name(index);
    let known = step.facts.snapshot.index(&name);
    let table = known.map_or(&name, |index| &index.definition.table);
    // Of a partitioned index only what partitions get that are made later.
    if step.is_new(table) || step.is_new(&name) || step.is_partitioned(table) {
        return None;
    }
    let of = if known.is_some() { format!(" of {table}") } else { String::new() };
    let mut found = step.finding(
        &CHECK,
        table,
        (LockLevel::AccessExclusive, Held::Instant),
        format!("ALTER INDEX … SET TABLESPACE copies {name}{of} under ACCESS EXCLUSIVE on it"),
        "Every statement that plans a query of its table or writes to it opens the index, and waits until all of it is copied.",
    );
    if let Some(index) = known {
        found = found.with("index to copy", index.bytes);
    }
    if step.major() < 14 {
        return Some(found);
    }
    Some(found.mended_by(instead(
        vec![format!("REINDEX (TABLESPACE {}) INDEX CONCURRENTLY {name}", quote_identifier(to))],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE while the index is built in its new place: reads and writes go on. Outside of a transaction.",
    )))
}

/// The tables of a schema, of the database or of its catalog, one after the other.
fn of_many(step: &Step<'_>, of: Reindexed, name: &str) -> LintFinding {
    let (what, which) = match of {
        Reindexed::Schema => ("SCHEMA", "of the schema"),
        Reindexed::System => ("SYSTEM", "of the system catalog, which every session reads,"),
        _ => ("DATABASE", "of the database"),
    };
    let found = step
        .remark(
            &CHECK,
            &format!("{} {name}", what.to_lowercase()),
            format!("REINDEX {what} {name} stops writes to one table after the other, and reads that would use its indexes"),
            &format!(
                "It holds SHARE on each table {which} while its indexes are built, and ACCESS EXCLUSIVE on the index, which \
                 planning a query of the table waits for."
            ),
        )
        .with("lock", LockLevel::Share);
    if of == Reindexed::System {
        return found;
    }
    found.mended_by(instead(
        vec![format!("REINDEX {what} CONCURRENTLY {name}")],
        LockLevel::ShareUpdateExclusive,
        "SHARE UPDATE EXCLUSIVE while each table is read twice: reads and writes go on. Outside of a transaction.",
    ))
}
