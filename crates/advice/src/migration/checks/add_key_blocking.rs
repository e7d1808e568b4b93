//! Is a primary key, a unique or an exclusion constraint added together with its index?
//!
//! The index is built under ACCESS EXCLUSIVE: reads and writes wait. Built CONCURRENTLY before, it is adopted in an
//! instant (`USING INDEX`). A primary key also sets its columns NOT NULL, which reads the table unless they are, or
//! unless a validated check says so. An exclusion constraint cannot adopt an index.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, ConstraintKind, NewConstraint, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, constraint_name, instead, list};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "add-key-blocking",
    title: "key whose index is built under a lock",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let (table, constraints): (_, Vec<&NewConstraint>) = match step.action {
        Action::AlterTable { table, change: TableChange::AddConstraint(constraint) } => (table, vec![constraint.as_ref()]),
        Action::AlterTable { table, change: TableChange::AddColumn(column) } => {
            (table, column.constraints.iter().collect())
        }
        _ => return Vec::new(),
    };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let kind = |c: &NewConstraint| match c.kind {
        ConstraintKind::PrimaryKey => Some("PRIMARY KEY"),
        ConstraintKind::Unique => Some("UNIQUE"),
        ConstraintKind::Exclusion => Some("EXCLUDE"),
        _ => None,
    };
    let keys = constraints.into_iter().filter(|c| c.using_index.is_none());
    keys.filter_map(|key| {
        let kind = kind(key)?;
        let found = step.finding(
            &CHECK,
            &table,
            (LockLevel::AccessExclusive, Held::Build),
            format!("{kind} on {table} builds its index under ACCESS EXCLUSIVE"),
            match key.kind {
                ConstraintKind::Exclusion => "There is no other way for an exclusion constraint: choose a quiet hour.",
                _ => "Build a unique index CONCURRENTLY, then adopt it.",
            },
        );
        if key.kind == ConstraintKind::Exclusion || step.is_partitioned(&table) {
            return Some(found);
        }
        let name = constraint_name(key.name.as_ref(), &table, &key.columns, if kind == "UNIQUE" { "key" } else { "pkey" });
        let index = quote_identifier(&format!("{}_building", table.name.chars().take(50).collect::<String>()));
        let mut sql = Vec::new();
        let relation = step.relation(&table);
        for column in key.columns.iter().filter(|_| kind == "PRIMARY KEY") {
            let known = relation.and_then(|r| r.column(column)).is_some_and(|c| c.not_null);
            if !known && !step.has_not_null_check(&table, column) {
                let (check, column) = (quote_identifier(&format!("{column}_not_null")), quote_identifier(column));
                sql.push(format!("ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID"));
                sql.push(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {check}"));
            }
        }
        sql.push(format!("CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table} ({})", list(&key.columns)));
        sql.push(format!("ALTER TABLE {table} ADD CONSTRAINT {name} {kind} USING INDEX {index}"));
        Some(found.mended_by(instead(
            sql,
            LockLevel::AccessExclusive,
            "SHARE UPDATE EXCLUSIVE while the index is built: reads and writes go on; then ACCESS EXCLUSIVE for an instant.",
        )))
    })
    .collect()
}
