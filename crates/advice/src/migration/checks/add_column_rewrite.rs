//! Does a new column write the whole table anew?
//!
//! A default that gives each row its own value does (`random()`, `gen_random_uuid()`, `clock_timestamp()`), and so do
//! `serial`, identity and stored generated columns, and a domain with a CHECK or NOT NULL. A constant, or a function that gives the same throughout a
//! statement (`now()`), is kept in the catalog (11 and later) and costs nothing.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, NewColumn, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::{LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "add-column-rewrite",
    title: "new column that writes the table anew",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::AddColumn(column) } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let name = quote_identifier(&column.name);
    let why = if column.stored {
        "it is generated and stored".to_owned()
    } else if column.numbered {
        "each row gets its number".to_owned()
    } else if let Some(call) = column.default_calls.iter().find(|c| sql::is_volatile(bare(c))) {
        format!("{call}() gives each row its own value")
    } else if let Some(call) = column.default_calls.iter().find(|c| sql::builtin(bare(c)).is_none()) {
        format!("{call}() may give each row its own value, unless it is declared STABLE or IMMUTABLE")
    } else if step.domain(&column.type_name).is_some_and(|domain| domain.constrained) {
        format!("its type {} is a domain with a constraint, which every row is asked", column.type_name)
    } else {
        return Vec::new();
    };
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Rewrite),
        format!("adding column {name} writes {table} anew, because {why}"),
        "Add the column empty, give it its default for rows to come, and fill those that are there in batches.",
    );
    vec![match remedy(&table.to_string(), &name, column) {
        Some(remedy) => found.mended_by(remedy),
        None => found,
    }]
}

fn bare(call: &str) -> &str {
    call.rsplit('.').next().unwrap_or(call)
}

fn remedy(table: &str, name: &str, column: &NewColumn) -> Option<Remedy> {
    let default = column.default.as_ref()?;
    Some(instead(
        vec![
            format!("ALTER TABLE {table} ADD COLUMN {name} {}", column.type_name),
            format!("ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default}"),
            format!("-- in batches: UPDATE {table} SET {name} = DEFAULT WHERE {name} IS NULL AND <next thousands of rows>"),
        ],
        LockLevel::AccessExclusive,
        "ACCESS EXCLUSIVE for an instant each.",
    ))
}
