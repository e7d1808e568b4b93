//! Is a table emptied?
//!
//! `TRUNCATE` takes ACCESS EXCLUSIVE, and the rows are not to be had back once it is committed. CASCADE empties every table
//! that references it as well, without asking.

use model::{LockLevel, Severity};
use sql::Action;

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check =
    Check { id: "truncate", title: "table that is emptied", severity: Severity::Warning, run };

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Truncate { tables, cascade } = step.action else { return Vec::new() };
    let tables = tables.iter().map(|t| step.name(t)).filter(|t| !step.is_new(t));
    tables
        .map(|table| {
            let referencing: Vec<String> = step
                .facts
                .foreign_keys()
                .filter(|(key, target)| target.table == table && key.table != table)
                .map(|(key, _)| key.table.to_string())
                .collect();
            let found = step.finding(
                &CHECK,
                &table,
                (LockLevel::AccessExclusive, Held::Instant),
                format!("TRUNCATE empties {table}"),
                if *cascade { "CASCADE empties every table that references it as well." } else { "" },
            );
            match (*cascade, referencing.is_empty()) {
                (true, false) => {
                    let mut found = found.with("emptied as well", referencing.join(", "));
                    found.finding.severity = Severity::Error;
                    found
                }
                (false, false) => found.with("refused, because of foreign keys of", referencing.join(", ")),
                _ => found,
            }
        })
        .collect()
}
