//! Are all rows of a large table changed by one statement?
//!
//! Every changed row is locked until the end, writes of others to it wait, the old versions stay as bloat until VACUUM, and
//! replicas fall behind. In batches of some thousands, each in a transaction of its own, none of that hurts. Told for
//! UPDATE and DELETE of tables with more than 100,000 rows, with a WHERE only as a note.

use model::{LockLevel, Severity};
use sql::Action;

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "unbatched-change",
    title: "UPDATE or DELETE of a large table at once",
    severity: Severity::Warning,
    run,
};

const MANY_ROWS: f64 = 100_000.0;

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Change { table, deletes, restricted } = step.action else { return Vec::new() };
    let table = step.name(table);
    let rows = step.relation(&table).map(|r| step.facts.rows(r));
    // A table that is not known may be large.
    if step.is_new(&table) || rows.is_some_and(|r| r < MANY_ROWS) || (rows.is_none() && *restricted) {
        return Vec::new();
    }
    let verb = if *deletes { "DELETE" } else { "UPDATE" };
    let what = if *restricted { "may change many rows" } else { "changes every row" };
    let mut found = step.finding(
        &CHECK,
        &table,
        (LockLevel::RowExclusive, if *restricted { Held::Scan } else { Held::Rewrite }),
        format!("{verb} {what} of {table} in one transaction"),
        "Each row stays locked until the end, and its old version stays until VACUUM.",
    );
    if *restricted {
        found.finding.severity = Severity::Info;
    }
    let batch = if *deletes {
        format!("DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE … LIMIT 5000))")
    } else {
        format!("UPDATE {table} SET … WHERE <key> BETWEEN <from> AND <from + 5000>")
    };
    vec![found.mended_by(instead(
        vec!["-- again and again, each in a transaction of its own, until no row is changed".into(), batch],
        LockLevel::RowExclusive,
        "ROW EXCLUSIVE; the rows of one batch are locked for an instant.",
    ))]
}
