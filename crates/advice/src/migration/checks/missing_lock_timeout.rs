//! May a statement wait for its lock for ever?
//!
//! A statement that waits for a strong lock stops everybody behind it, however short it would hold the lock: behind one
//! query of 20 seconds everybody waits 20 seconds. With `lock_timeout` it gives up and can be tried again. Told once for a
//! file, at the first statement that needs a strong lock.

use model::{LockLevel, Severity};
use sql::{Action, Dropped, Renamed, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "missing-lock-timeout",
    title: "strong lock without lock_timeout",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    if step.state.has_lock_timeout() || step.state.told_of_lock_timeout.get() {
        return Vec::new();
    }
    let Some((table, lock)) = strong_lock(step) else { return Vec::new() };
    if step.is_new(&table) {
        return Vec::new();
    }
    step.state.told_of_lock_timeout.set(true);
    let mut found = step.finding(
        &CHECK,
        &table,
        (lock, Held::Instant),
        format!("{lock} on {table} is waited for without lock_timeout"),
        "Set lock_timeout, and try again when it strikes.",
    );
    found.finding.key = format!("{}:{}", CHECK.id, step.file);
    vec![found.mended_by(instead(
        vec!["SET lock_timeout = '2s'".into()],
        LockLevel::AccessShare,
        "At the beginning of the file. A statement that is not granted its lock in that time fails and changes nothing.",
    ))]
}

fn strong_lock(step: &Step<'_>) -> Option<(model::QualifiedName, LockLevel)> {
    let exclusive = LockLevel::AccessExclusive;
    Some(match step.action {
        Action::AlterTable { table, change } => match change {
            TableChange::Validate { .. } | TableChange::Parameters | TableChange::Attach { .. } => return None,
            TableChange::Detach { concurrently: true, .. } => return None,
            TableChange::AddConstraint(c) if c.kind == sql::ConstraintKind::ForeignKey => {
                (step.name(table), LockLevel::ShareRowExclusive)
            }
            _ => (step.name(table), exclusive),
        },
        Action::CreateIndex(index) if !index.concurrently => (step.name(&index.table), LockLevel::Share),
        Action::Rename { table, what: Renamed::Relation | Renamed::Column(_) | Renamed::Schema, .. } => (step.name(table), exclusive),
        Action::Drop { kind: Dropped::Table | Dropped::MaterializedView, names, .. } => {
            (step.name(names.first()?), exclusive)
        }
        Action::Drop { kind: Dropped::Index, names, concurrently: false, .. } => {
            let index = step.name(names.first()?);
            (step.facts.snapshot.index(&index)?.definition.table.clone(), exclusive)
        }
        Action::MoveIndex { index, .. } => {
            (step.facts.snapshot.index(&step.name(index))?.definition.table.clone(), exclusive)
        }
        Action::Truncate { tables, .. } => (step.name(tables.first()?), exclusive),
        Action::Lock { tables, mode } if *mode >= 5 => (step.name(tables.first()?), exclusive),
        Action::Vacuum { tables, full: true } => (step.name(tables.first()?), exclusive),
        Action::Cluster { table: Some(table) } => (step.name(table), exclusive),
        Action::CreateTable { partition_of: Some(parent), .. } => (step.name(parent), exclusive),
        Action::CreateTable { references, .. } => (step.name(references.first()?), LockLevel::ShareRowExclusive),
        Action::CreateTrigger { table } => (step.name(table), LockLevel::ShareRowExclusive),
        _ => return None,
    })
}
