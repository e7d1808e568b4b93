//! Is a table written anew while nobody may read it?
//!
//! `VACUUM FULL`, `CLUSTER`, `SET TABLESPACE`, `SET LOGGED`, `SET UNLOGGED`, `SET ACCESS METHOD` and `SET EXPRESSION` hold
//! ACCESS EXCLUSIVE from beginning to end, and need the space of the table once more.

use model::snapshot::RelationKind;
use model::{LockLevel, QualifiedName, Severity, quote_identifier};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "rewrite-table",
    title: "table that is written anew under a lock",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let (what, tables): (&str, Vec<QualifiedName>) = match step.action {
        Action::Vacuum { tables, full: true } => ("VACUUM FULL", tables.iter().map(|t| step.name(t)).collect()),
        Action::Cluster { table } => ("CLUSTER", table.iter().map(|t| step.name(t)).collect()),
        Action::AlterTable { table, change: TableChange::Rewrite { what, .. } } => {
            let name = step.name(table);
            // An index may be called a table here; "reindex-blocking" tells of it.
            if step.facts.snapshot.index(&name).is_some() {
                return Vec::new();
            }
            (*what, vec![name])
        }
        Action::MoveAll { what, from } => return vec![all_moved(step, what, from)],
        _ => return Vec::new(),
    };
    if tables.is_empty() {
        let which = if what == "CLUSTER" { "every table that was clustered before" } else { "every table" };
        let found = step.remark(
            &CHECK,
            &which,
            format!("{what} writes {which} of the database anew under ACCESS EXCLUSIVE"),
            "It holds the lock on one table after the other while the table is written anew with its indexes: reads and \
             writes wait. pg_repack and pg_squeeze do the same with a lock at the end only.",
        );
        return vec![found.with("lock", LockLevel::AccessExclusive)];
    }
    let given = match step.action {
        Action::AlterTable { change: TableChange::Rewrite { to, .. }, .. } => to.as_deref(),
        _ => None,
    };
    // What is as it should be already stays as it is.
    let is_so = |table: &QualifiedName| match (what, step.relation(table)) {
        ("SET LOGGED", Some(relation)) => !relation.unlogged,
        ("SET UNLOGGED", Some(relation)) => relation.unlogged,
        // Of a partitioned table only what partitions get that are made later.
        ("SET ACCESS METHOD" | "SET TABLESPACE", Some(relation))
            if relation.kind == RelationKind::PartitionedTable =>
        {
            true
        }
        ("SET ACCESS METHOD", Some(relation)) => {
            let given = given.or_else(|| step.facts.snapshot.setting("default_table_access_method"));
            given.is_some() && relation.access_method.as_deref() == given
        }
        ("SET TABLESPACE", Some(relation)) => given.is_some() && relation.tablespace.as_deref() == given,
        _ => false,
    };
    let tables = tables.into_iter().filter(|t| !step.is_new(t) && !is_so(t));
    tables
        .map(|table| {
            step.finding(
                &CHECK,
                &table,
                (LockLevel::AccessExclusive, Held::Rewrite),
                format!("{what} writes {table} anew under ACCESS EXCLUSIVE"),
                match what {
                    "VACUUM FULL" | "CLUSTER" => "pg_repack and pg_squeeze do the same with a lock at the end only.",
                    _ => "Choose an hour in which it may stand still.",
                },
            )
        })
        .collect()
}

/// `ALTER TABLE ALL IN TABLESPACE … SET TABLESPACE`.
fn all_moved(step: &Step<'_>, what: &str, from: &str) -> LintFinding {
    let which = format!("every {} in tablespace {}", what.to_lowercase(), quote_identifier(from));
    let found = step.remark(
        &CHECK,
        &which,
        format!("ALTER {what} ALL IN TABLESPACE copies {which} under ACCESS EXCLUSIVE"),
        "All are locked in one transaction, and stay locked until the last one is copied. Move them one by one; indexes by \
         REINDEX (TABLESPACE …) INDEX CONCURRENTLY, tables by pg_repack with a tablespace.",
    );
    found.with("lock", LockLevel::AccessExclusive)
}
