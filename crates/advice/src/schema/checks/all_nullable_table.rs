//! Is there a table all of whose columns may be NULL?
//!
//! A row that says nothing can be inserted, and no column can be relied on: inner joins lose rows, `NOT IN` gives
//! nothing, counts differ by column. Mostly NOT NULL was forgotten. Partitions are judged as their table.

use model::Severity;
use model::snapshot::RelationKind;

use super::{Check, relation_ref};
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "all-nullable-table",
    title: "no column is NOT NULL",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let tables = facts
        .designed()
        .filter(|r| matches!(r.kind, RelationKind::Table | RelationKind::PartitionedTable))
        // A child of plain inheritance has what its parent says.
        .filter(|r| r.parent.is_none() && !r.columns.is_empty() && r.columns.iter().all(|c| !c.not_null));
    tables
        .map(|r| {
            let never: Vec<&str> = r
                .columns
                .iter()
                .filter(|c| c.statistics.as_ref().is_some_and(|s| s.null_frac == 0.0))
                .map(|c| c.name.as_str())
                .collect();
            let finding = CHECK.finding(
                relation_ref(&r.name),
                format!("no column of table {} is NOT NULL", r.name),
                "Declare NOT NULL where a value is always there; the planner and readers can then rely on it. \
                 CHECK (column IS NOT NULL) NOT VALID, VALIDATE, SET NOT NULL does it without a long lock.",
            );
            match never.is_empty() {
                true => finding,
                false => finding.with("columns without a NULL in the statistics", never.join(", ")),
            }
        })
        .collect()
}
