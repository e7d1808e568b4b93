//! Is a table or view dropped that programs may still ask for?
//!
//! Every statement that names it fails from that moment, and a table's data is not to be had back. A table takes ACCESS
//! EXCLUSIVE, on the tables that its foreign keys reference as well, and with CASCADE whatever depends on it goes too: foreign
//! keys of other tables, which are locked for it. DROP SCHEMA … CASCADE drops all that is in it. Scans and
//! writes in the counters say whether it is in use.

use model::{LockLevel, QualifiedName, Severity, quote_identifier};
use sql::{Action, Dropped};

use super::Check;
use crate::migration::step::{Held, Step};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "drop-table",
    title: "table or view that is dropped",
    severity: Severity::Warning,
    run,
};

/// The tables and views of schemas that go with all that is in them.
fn with_schemas(step: &Step<'_>, schemas: &[sql::WrittenName]) -> Vec<LintFinding> {
    let dropped = |schema: &String| schemas.iter().any(|s| s.name == *schema);
    let relations = &step.facts.snapshot.relations;
    relations
        .iter()
        .filter(|r| dropped(&r.name.schema) && r.partition_bound.is_none() && step.relation(&r.name).is_some())
        .map(|r| {
            let found = step.finding(
                &CHECK,
                &r.name,
                (LockLevel::AccessExclusive, Held::Instant),
                format!("{} is dropped with its schema", r.name),
                "CASCADE drops all that is in the schema and what depends on it. Statements that name any of it fail from then \
                 on, and the data is not to be had back.",
            );
            step.with_foreign_keys(found, &r.name, None, |other| dropped(&other.schema))
        })
        .collect()
}

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::Drop { kind, names, cascade, if_exists, .. } = step.action else { return Vec::new() };
    let what = match kind {
        Dropped::Table => "table",
        Dropped::View => "view",
        Dropped::MaterializedView => "materialized view",
        Dropped::Schema if *cascade => return with_schemas(step, names),
        Dropped::Database => {
            let name = names.first().map(|n| quote_identifier(&n.name)).unwrap_or_default();
            return vec![step.remark(
                &CHECK,
                &format!("database {name}"),
                format!("database {name} is dropped with all that is in it"),
                "The data is not to be had back, and a migration has no business with it: leave it to whoever made the database.",
            )];
        }
        Dropped::Index | Dropped::Schema | Dropped::Other => return Vec::new(),
    };
    // What is not there is not dropped; views are not in a snapshot's list.
    let absent = |n: &QualifiedName| {
        let listed = *kind != Dropped::View && !step.facts.snapshot.relations.is_empty();
        *if_exists && listed && step.relation(n).is_none()
    };
    let names: Vec<QualifiedName> =
        names.iter().map(|n| step.name(n)).filter(|n| !step.is_new(n) && !absent(n)).collect();
    names
        .iter()
        .map(|name| {
            let cascade = if *cascade { " CASCADE drops what depends on it as well." } else { "" };
            let found = step.finding(
                &CHECK,
                name,
                (LockLevel::AccessExclusive, Held::Instant),
                format!("{what} {name} is dropped"),
                &format!("Statements that name it fail from then on. Release a program that does not use it first.{cascade}"),
            );
            let found = step.with_foreign_keys(found, name, None, |other| names.contains(other));
            match step.relation(name).and_then(|r| r.activity.as_ref()) {
                Some(a) => found
                    .with("scans since the counters were reset", a.seq_scan + a.idx_scan)
                    .with("rows written since", a.n_tup_ins + a.n_tup_upd + a.n_tup_del),
                None => found,
            }
        })
        .collect()
}
