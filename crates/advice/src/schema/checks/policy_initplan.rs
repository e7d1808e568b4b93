//! Does a row-security policy call a function once per row that would do once per statement?
//!
//! `current_setting('app.user')` and functions such as `auth.uid()` give the same for every row of a statement, but as a
//! filter they are called for each. Within `(SELECT …)` the planner makes an InitPlan of them, which runs once. Calls
//! that take a column, or stand within a subquery already, are left alone.

use model::schema::Policy;
use model::{ObjectRef, Severity, quote_identifier};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "policy-initplan",
    title: "policy that calls a function for every row",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.snapshot.schema.policies.iter().filter_map(|policy| judge(facts, policy)).collect()
}

fn judge(facts: &Facts<'_>, policy: &Policy) -> Option<LintFinding> {
    let hoisted = |text: &Option<String>| text.as_deref().and_then(|t| sql::hoist_calls(t, &is_constant_call));
    let (using, check) = (hoisted(&policy.using), hoisted(&policy.check));
    let mut functions: Vec<String> =
        using.iter().chain(&check).flat_map(|h| h.functions.iter().cloned()).collect();
    functions.sort();
    functions.dedup();
    if functions.is_empty() {
        return None;
    }
    let rows = facts.tables.relation(&policy.table).map_or(0.0, |r| facts.rows(r));
    let (name, table) = (quote_identifier(&policy.name), &policy.table);
    let mut sql = format!("ALTER POLICY {name} ON {table}");
    if let Some(using) = using {
        sql.push_str(&format!(" USING ({})", using.sql));
    }
    if let Some(check) = check {
        sql.push_str(&format!(" WITH CHECK ({})", check.sql));
    }
    Some(
        CHECK
            .finding(
                ObjectRef::Policy { relation: table.clone(), name: policy.name.clone() },
                format!("policy {name} on {table} calls {} for every row", functions.join(", ")),
                "Within (SELECT …) the call is made once per statement, and an index on what it is compared with can be used.",
            )
            .severity(if rows >= 1_000.0 { Severity::Warning } else { Severity::Info })
            .with("rows of the table", format!("{rows:.0}"))
            .mended_by(Remedy::instant(vec![sql])),
    )
}

/// Functions that give the same throughout a statement.
fn is_constant_call(schema: Option<&str>, name: &str) -> bool {
    match schema {
        None | Some("pg_catalog") => name == "current_setting",
        Some("auth") => matches!(name, "uid" | "jwt" | "role" | "email"),
        Some(_) => false,
    }
}
