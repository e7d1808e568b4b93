//! Is row security on for a table that has no policy, so that nobody but its owner sees a row?
//!
//! Without a policy the default is to deny: reads find nothing and writes fail. That can be meant, for a table that only its
//! owner and functions of the owner use. Source: PostgreSQL manual, "Row Security Policies".

use model::{ObjectRef, Severity};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "row-security-without-policy",
    title: "row security without a policy",
    severity: Severity::Info,
    on: true,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let has_policy = |name: &model::QualifiedName| facts.snapshot.schema.policies.iter().any(|p| p.table == *name);
    let closed = facts.snapshot.relations.iter().filter(|r| r.row_security && r.extension.is_none() && !has_policy(&r.name));
    closed
        .map(|relation| {
            let table = &relation.name;
            CHECK
                .finding(
                    ObjectRef::Relation { name: table.clone() },
                    format!("row security of {table} is on and it has no policy"),
                    "All roles but its owner and superusers see no row of it, and cannot insert one. If that is meant, suppress \
                     this finding; else make the policy that is missing.",
                )
                .mended_by(Remedy::instant(vec![format!(
                    "-- for example: CREATE POLICY readable ON {table} FOR SELECT USING (owner = current_user)"
                )]))
        })
        .collect()
}
