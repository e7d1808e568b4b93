//! Is a column a timestamp without time zone?
//!
//! `timestamp` is what a clock on some wall showed: comparing it with `now()` goes by the session's `TimeZone`, and the
//! hour that a change of clocks repeats is there twice. `timestamptz` is a moment and takes the same 8 bytes.
//! Source: PostgreSQL manual, "Date/Time Types", and the wiki's "Don't Do This".

use model::{Severity, quote_identifier};

use super::{Check, column_ref};
use crate::schema::facts::column_name;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "timestamp-without-zone",
    title: "timestamp without time zone",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for relation in facts.designed() {
        for column in relation.columns.iter().filter(|c| {
            c.base_type.schema == "pg_catalog" && c.base_type.name == "timestamp"
        }) {
            let finding = CHECK.finding(
                column_ref(&relation.name, &column.name),
                format!("column {} is a timestamp without time zone", column_name(&relation.name, &column.name)),
                "Which moment it means depends on who reads it. timestamptz means one moment everywhere. Ask first in \
                 which zone the values were written; the statement takes them for UTC.",
            );
            let name = quote_identifier(&column.name);
            let sql = format!(
                "ALTER TABLE {} ALTER COLUMN {name} TYPE timestamptz USING {name} AT TIME ZONE 'UTC'",
                relation.name
            );
            let mut remedy = Remedy::rewrite(vec![sql], relation);
            remedy.lock_duration.push_str(
                " Without USING, in a session with TimeZone = 'UTC', nothing is written anew (12 and later) and the \
                 lock is short.",
            );
            found.push(finding.mended_by(remedy));
        }
    }
    found
}
