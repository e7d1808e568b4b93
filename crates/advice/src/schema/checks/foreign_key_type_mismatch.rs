//! Does a column have another type than the key that it references?
//!
//! The check compares both in one type. Where the types share no family of operators, the referencing column is cast,
//! and no index on it is used. Where it is the narrower integer, it runs out before the key does. Source:
//! `ri_triggers.c`; domains are resolved to their base types.

use model::snapshot::{Column, Constraint, ForeignKeyTarget};
use model::{Severity, quote_identifier};

use super::{Check, constraint_ref, json_column};
use crate::schema::facts::{column_name, family};
use crate::schema::{Facts, LintFinding};

pub(super) const CHECK: Check = Check {
    id: "foreign-key-type-mismatch",
    title: "foreign key between columns of two types",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.foreign_keys().filter_map(|(key, target)| judge(facts, key, target)).collect()
}

fn judge(facts: &Facts<'_>, key: &Constraint, target: &ForeignKeyTarget) -> Option<LintFinding> {
    let relation = facts.tables.relation(&key.table)?;
    let referenced = facts.tables.relation(&target.table)?;
    let pairs = key.columns.iter().zip(&target.columns);
    let (column, wanted): (&Column, &Column) = pairs
        .filter_map(|(own, other)| Some((relation.column(own)?, referenced.column(other)?)))
        .find(|(own, other)| differ(own, other))?;
    let same_family = family(column) == family(wanted);
    let narrower = column.type_length > 0 && column.type_length < wanted.type_length;
    let (severity, detail) = match (same_family, narrower) {
        (true, true) => (
            Severity::Warning,
            "The narrower column runs out before the key does; then rows can no longer reference it.",
        ),
        (true, false) => (Severity::Info, "Indexes work all the same; the wider column takes more space than it needs."),
        (false, _) => (
            Severity::Warning,
            "The two are compared after a cast, so an index on the referencing column may not be used: deleting a \
             referenced row and joins read the whole table.",
        ),
    };
    let finding = CHECK
        .finding(
            constraint_ref(key),
            format!(
                "foreign key {} compares {} with {}",
                quote_identifier(&key.name),
                column.type_name,
                wanted.type_name
            ),
            detail,
        )
        .severity(severity)
        .with("column", column_name(&key.table, &column.name))
        .with("referenced column", column_name(&target.table, &wanted.name));
    Some(finding.mended_by(json_column::alter_type(relation, column, &wanted.type_name, None)))
}

/// `varchar` and `text` are the same to every operator; everything else that differs is told.
fn differ(one: &Column, other: &Column) -> bool {
    one.base_type != other.base_type && !(family(one) == "text" && family(other) == "text")
}
