//! Does a migration lock a table by name?
//!
//! `LOCK TABLE` holds until the end of the transaction; without a mode it is ACCESS EXCLUSIVE, and nobody reads meanwhile.

use model::{LockLevel, Severity};
use sql::Action;

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check =
    Check { id: "lock-table", title: "table that is locked by name", severity: Severity::Warning, run };

/// The modes as `LOCKMODE` numbers them.
const MODES: [LockLevel; 8] = [
    LockLevel::AccessShare,
    LockLevel::RowShare,
    LockLevel::RowExclusive,
    LockLevel::ShareUpdateExclusive,
    LockLevel::Share,
    LockLevel::ShareRowExclusive,
    LockLevel::Exclusive,
    LockLevel::AccessExclusive,
];

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Lock { tables, mode } = step.action else { return Vec::new() };
    let mode = usize::try_from(*mode).ok().and_then(|m| m.checked_sub(1)).and_then(|m| MODES.get(m).copied());
    let mode = mode.unwrap_or(LockLevel::AccessExclusive);
    if !mode.blocks_writes() {
        return Vec::new();
    }
    let tables = tables.iter().map(|t| step.name(t)).filter(|t| !step.is_new(t));
    tables
        .map(|table| {
            step.finding(
                &CHECK,
                &table,
                (mode, Held::Instant),
                format!("{table} is locked in {mode} mode until the transaction ends"),
                "Everything that the transaction does then counts as time under the lock. Statements that need a lock take it.",
            )
        })
        .collect()
}
