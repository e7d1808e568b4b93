//! Is a foreign key or check constraint NOT VALID?
//!
//! New rows obey it, old ones may not: the planner does not rely on it, and a restore of a dump may fail.
//! `VALIDATE CONSTRAINT` reads the table without stopping anybody. Constraints that are NOT ENFORCED (18) are so on
//! purpose and left alone.

use model::snapshot::ConstraintKind;
use model::{LockLevel, Severity, quote_identifier};

use super::{Check, constraint_ref};
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "unvalidated-constraint",
    title: "constraint that is NOT VALID",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found = Vec::new();
    for constraint in &facts.snapshot.constraints {
        let Some(relation) = facts.tables.relation(&constraint.table).filter(|r| r.extension.is_none()) else {
            continue;
        };
        if constraint.validated || constraint.definition.ends_with("NOT ENFORCED") {
            continue;
        }
        let kind = match constraint.kind {
            ConstraintKind::ForeignKey => "foreign key",
            _ => "check constraint",
        };
        let name = quote_identifier(&constraint.name);
        let other = if constraint.kind == ConstraintKind::ForeignKey {
            " and ROW SHARE on the referenced table"
        } else {
            ""
        };
        found.push(
            CHECK
                .finding(
                    constraint_ref(constraint),
                    format!("{kind} {name} on {} is not valid", constraint.table),
                    "Rows from before it was added were never checked. Rows that break it make the statement fail and have \
                     to be mended first.",
                )
                .mended_by(Remedy::sql(
                    vec![format!("ALTER TABLE {} VALIDATE CONSTRAINT {name}", constraint.table)],
                    LockLevel::ShareUpdateExclusive,
                    format!(
                        "SHARE UPDATE EXCLUSIVE{other} while the table is read once, about {}: reads and writes go on.",
                        remedy::scan_ms(relation)
                    ),
                )),
        );
    }
    found
}
