//! Does a SECURITY DEFINER function trust the caller's search_path?
//!
//! It runs as its owner and finds tables, functions and operators by the `search_path` of whoever calls it, who can
//! put an object of the same name in front. With a path of its own, `pg_temp` has to come last, because it is searched
//! first for tables when it is not named. Source: PostgreSQL manual, "Writing SECURITY DEFINER Functions Safely".

use model::schema::DefinerFunction;
use model::{ObjectRef, Severity, quote_identifier};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "definer-search-path",
    title: "SECURITY DEFINER function that trusts the caller's search_path",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.snapshot.schema.definer_functions.iter().filter_map(judge).collect()
}

fn judge(function: &DefinerFunction) -> Option<LintFinding> {
    let kind = if function.procedure { "procedure" } else { "function" };
    let call = format!("{}({})", function.name, function.arguments);
    let schema = quote_identifier(&function.name.schema);
    let (summary, severity, path) = match &function.search_path {
        None => {
            let severity = if function.owner_is_superuser && function.public { Severity::Error } else { Severity::Warning };
            (format!("{kind} {call} runs as its owner under the caller's search_path"), severity,
             format!("pg_catalog, {schema}, pg_temp"))
        }
        // Nothing but pg_catalog, so everything else is written with its schema.
        Some(path) if ["", "\"\"", "''", "pg_catalog"].contains(&path.trim()) => return None,
        Some(path) => {
            let parts: Vec<&str> = path.split(',').map(str::trim).collect();
            if parts.last().is_some_and(|last| last.trim_matches('"') == "pg_temp") {
                return None;
            }
            let kept: Vec<&str> = parts.into_iter().filter(|p| p.trim_matches('"') != "pg_temp").collect();
            (
                format!("the search_path of {kind} {call} does not end with pg_temp"),
                Severity::Info,
                format!("{}, pg_temp", kept.join(", ")),
            )
        }
    };
    Some(
        CHECK
            .finding(
                ObjectRef::Function { name: function.name.clone(), arguments: function.arguments.clone() },
                summary,
                "Whoever may call it can make it use tables, functions or operators of their own, with the owner's rights.",
            )
            .severity(severity)
            .with("owner", quote_identifier(&function.owner))
            .with("owner is superuser", function.owner_is_superuser)
            .with("everybody may call it", function.public)
            .mended_by(Remedy::without_lock(
                vec![format!("ALTER {} {call} SET search_path = {path}", kind.to_uppercase())],
                "No table is locked. Test the function: what it finds by other schemas has to be added to the path.",
            )),
    )
}
