//! Is a table or column renamed that programs ask for?
//!
//! The old name is gone at once: the program that runs fails until the new one is released, and the new one fails until
//! then. A view of the old name, or both columns for a while, lets both run.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, Renamed};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check =
    Check { id: "rename", title: "table or column that is renamed", severity: Severity::Warning, run };

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Rename { table, what, to } = step.action else { return Vec::new() };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let new = quote_identifier(to);
    let lock = (LockLevel::AccessExclusive, Held::Instant);
    vec![match what {
        Renamed::Other => return Vec::new(),
        Renamed::Column(column) => {
            let old = quote_identifier(column);
            let mut found = step.finding(
                &CHECK,
                &table,
                lock,
                format!("column {old} of {table} is renamed to {new}"),
                "Programs that use the old name fail at once. Add the new column beside it, write both, move readers over, drop \
                 the old one.",
            );
            found.finding.key.push_str(&format!(".{old}"));
            found
        }
        Renamed::Schema => step
            .finding(
                &CHECK,
                &table,
                lock,
                format!("{table} goes to schema {new}"),
                "Programs that name it with its schema, or whose search_path lacks the new one, fail at once, unless a view takes \
                 its place in the same transaction.",
            )
            .mended_by(instead(
                vec![
                    "BEGIN".into(),
                    format!("ALTER TABLE {table} SET SCHEMA {new}"),
                    format!("CREATE VIEW {table} AS SELECT * FROM {new}.{}", quote_identifier(&table.name)),
                    "COMMIT".into(),
                ],
                LockLevel::AccessExclusive,
                "ACCESS EXCLUSIVE for an instant. The view takes INSERT, UPDATE and DELETE as well; drop it when nothing uses \
                 the old name.",
            )),
        Renamed::Relation => {
            let schema = quote_identifier(&table.schema);
            step.finding(
                &CHECK,
                &table,
                lock,
                format!("{table} is renamed to {new}"),
                "Programs that use the old name fail at once, unless a view takes its place in the same transaction.",
            )
            .mended_by(instead(
                vec![
                    "BEGIN".into(),
                    format!("ALTER TABLE {table} RENAME TO {new}"),
                    format!("CREATE VIEW {table} AS SELECT * FROM {schema}.{new}"),
                    "COMMIT".into(),
                ],
                LockLevel::AccessExclusive,
                "ACCESS EXCLUSIVE for an instant. The view takes INSERT, UPDATE and DELETE as well; drop it when nothing uses \
                 the old name.",
            ))
        }
    }]
}
