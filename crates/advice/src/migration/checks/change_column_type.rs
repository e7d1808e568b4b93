//! Does another type for a column write the table anew?
//!
//! Most do, under ACCESS EXCLUSIVE, and every index on the column is built again. Not those that keep the bytes: a longer
//! or unlimited `varchar`, `varchar` to `text`, a wider `numeric` of the same scale, `cidr` to `inet`, a higher precision
//! of a time; `timestamp` to `timestamptz` in a session with TimeZone UTC. Source: PostgreSQL manual, "ALTER TABLE",
//! `ATColumnChangeRequiresRewrite`.

use model::{LockLevel, Severity, quote_identifier};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "change-column-type",
    title: "change of type that writes the table anew",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::SetType { column, to, using } } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let name = quote_identifier(column);
    let from = step.column_type(&table, column);
    let plain = using.as_deref().is_none_or(|u| u == name || u == format!("{name}::{to}"));
    if let (Some(from), true) = (from, plain)
        && keeps_bytes(from, to)
    {
        return Vec::new();
    }
    let from = from.unwrap_or("its type");
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Rewrite),
        format!("changing column {name} of {table} from {from} to {to} writes the table anew"),
        "Without the lock: a new column, a trigger that fills it, the old rows in batches, then a swap of the names in one \
         short transaction.",
    );
    let new = quote_identifier(&format!("{column}_new"));
    let old = quote_identifier(&format!("{column}_old"));
    vec![found.mended_by(instead(
        vec![
            format!("ALTER TABLE {table} ADD COLUMN {new} {to}"),
            format!("-- a trigger BEFORE INSERT OR UPDATE that sets {new} from {name}; then fill the old rows in batches"),
            "-- indexes on the new column CONCURRENTLY; then, in one transaction with lock_timeout:".into(),
            format!("ALTER TABLE {table} RENAME COLUMN {name} TO {old}"),
            format!("ALTER TABLE {table} RENAME COLUMN {new} TO {name}"),
        ],
        LockLevel::AccessExclusive,
        "ACCESS EXCLUSIVE for an instant each. The old column is dropped when nothing reads it.",
    ))]
}

/// `name(a, b)` as name and numbers.
fn parts(type_name: &str) -> (String, Vec<u32>) {
    match type_name.split_once('(') {
        Some((name, rest)) => {
            let (numbers, after) = rest.split_once(')').unwrap_or((rest, ""));
            let numbers = numbers.split(',').filter_map(|n| n.trim().parse().ok()).collect();
            (format!("{}{after}", name.trim()), numbers)
        }
        None => (type_name.to_owned(), Vec::new()),
    }
}

fn keeps_bytes(from: &str, to: &str) -> bool {
    if from == to {
        return true;
    }
    let ((from, old), (to, new)) = (parts(from), parts(to));
    let string = |t: &str| matches!(t, "character varying" | "varchar" | "text");
    let wider = |old: &[u32], new: &[u32]| match (old, new) {
        (_, []) => true,
        ([old], [new]) => new >= old,
        _ => false,
    };
    match (from.as_str(), to.as_str()) {
        ("cidr", "inet") => true,
        (a, b) if string(a) && string(b) => wider(&old, &new),
        ("numeric", "numeric" | "decimal") => match (old.as_slice(), new.as_slice()) {
            (_, []) => true,
            ([p], [q]) => q >= p,
            ([p, s], [q, t]) => q >= p && s == t,
            _ => false,
        },
        ("bit varying", "bit varying") => wider(&old, &new),
        (a, b) if a == b && (a.starts_with("time") || a.starts_with("interval")) => wider(&old, &new),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::keeps_bytes;

    #[test]
    fn what_keeps_the_bytes() {
        for (from, to, expected) in [
            ("character varying(40)", "character varying(80)", true),
            ("character varying(40)", "character varying(20)", false),
            ("character varying(40)", "character varying", true),
            ("character varying", "text", true),
            ("text", "character varying(20)", false),
            ("character(10)", "text", false),
            ("numeric(10,2)", "numeric(12, 2)", true),
            ("numeric(10,2)", "numeric(12, 4)", false),
            ("numeric(10,2)", "numeric", true),
            ("integer", "bigint", false),
            ("integer", "integer", true),
            ("cidr", "inet", true),
            ("inet", "cidr", false),
            ("timestamp(3) without time zone", "timestamp without time zone", true),
            ("timestamp without time zone", "timestamp with time zone", false),
        ] {
            assert_eq!(keeps_bytes(from, to), expected, "{from} to {to}");
        }
    }
}
