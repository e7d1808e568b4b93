//! Are there policies on a table whose row security is off, so that they have no effect?
//!
//! `CREATE POLICY` says nothing when row security is not enabled, and every row is visible to whoever may read the table.
//! Source: PostgreSQL manual, "Row Security Policies".

use model::{ObjectRef, Severity, quote_identifier};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "policy-without-row-security",
    title: "policies without effect",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let mut found: Vec<LintFinding> = Vec::new();
    for policy in &facts.snapshot.schema.policies {
        let table = &policy.table;
        let enabled = facts.tables.relation(table).is_none_or(|r| r.row_security);
        let object = ObjectRef::Relation { name: table.clone() };
        if enabled || found.iter().any(|f| f.finding.object == object) {
            continue;
        }
        let of_table = facts.snapshot.schema.policies.iter().filter(|p| p.table == *table);
        let names: Vec<String> = of_table.map(|p| quote_identifier(&p.name)).collect();
        found.push(
            CHECK
                .finding(
                    object,
                    format!("row security of {table} is off: its policies have no effect"),
                    "Whoever may read the table sees all of its rows. Enabled, every role but the owner and superusers sees what \
                     the policies let it see, and nothing where no policy is for it: try the application's roles first.",
                )
                .with("policies", names.join(", "))
                .mended_by(Remedy::instant(vec![format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")])),
        );
    }
    found
}
