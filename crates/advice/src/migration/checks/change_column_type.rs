//! Does another type for a column write the table anew?
//!
//! Most do, under ACCESS EXCLUSIVE, and every index on the column is built again. Not those that keep the bytes: a longer
//! or unlimited `varchar`, `varchar` to `text`, a wider `numeric` of the same scale, `cidr` to `inet`, a higher precision
//! of a time. `text` and `citext`, and `timestamp` and `timestamptz` in a session with TimeZone UTC, keep the table and
//! build the indexes on the column again. Source: PostgreSQL manual, "ALTER TABLE", `ATColumnChangeRequiresRewrite`,
//! `TimestampTimestampTzRequiresRewrite`.

use model::{KeyTarget, LockLevel, QualifiedName, Severity, quote_identifier};
use sql::{Action, TableChange};

use super::Check;
use crate::migration::step::{Held, Step, instead, is_utc};
use crate::schema::LintFinding;

pub(super) const CHECK: Check = Check {
    id: "change-column-type",
    title: "change of type that writes the table anew",
    severity: Severity::Warning,
    run,
};

fn run(step: &Step<'_>) -> Vec<LintFinding> {
    let Action::AlterTable { table, change: TableChange::SetType { column, to, using, collation } } = step.action else {
        return Vec::new();
    };
    let table = step.name(table);
    if step.is_new(&table) {
        return Vec::new();
    }
    let name = quote_identifier(column);
    let from = step.column_type(&table, column);
    let plain = using.as_deref().is_none_or(|u| u == name || u == format!("{name}::{to}"));
    let mut zone = String::new();
    if let (Some(from), true) = (from, plain) {
        match kept(&under(step, from, true), &under(step, to, false)) {
            Kept::All => return collated(step, &table, column, to, collation.as_deref()),
            Kept::Table => return indexes_built(step, &table, column, &format!("from {from} to {to}")),
            Kept::InUtc => {
                let changed = format!("from {from} to {to}");
                match (step.state.time_zone(), step.server_zone()) {
                    (Some(set), _) if is_utc(set) => return indexes_built(step, &table, column, &changed),
                    (Some(set), _) => zone = format!("The migration sets TimeZone to {set}. "),
                    (None, Some(server)) if is_utc(server) => {
                        let mut found = step.finding(
                            &CHECK,
                            &table,
                            (LockLevel::AccessExclusive, Held::Instant),
                            format!(
                                "changing column {name} of {table} {changed} writes the table anew unless TimeZone is UTC"
                            ),
                            &format!(
                                "The server gives sessions TimeZone {server}, and in such a session the table stays as it is. A \
                                 role, a database or a client may set another: SET TimeZone = 'UTC' at the beginning makes \
                                 sure."
                            ),
                        );
                        found.finding.severity = Severity::Info;
                        let mut all = indexes_built(step, &table, column, &changed);
                        all.insert(0, found);
                        return all;
                    }
                    (None, Some(server)) => zone = format!("The server gives sessions TimeZone {server}. "),
                    (None, None) => {}
                }
                zone.push_str(
                    "In a session with TimeZone UTC the table stays as it is; the zone says which moment an old value was, so \
                     that is the same only where the values are UTC. ",
                );
            }
            Kept::Nothing => {}
        }
    }
    let from = from.unwrap_or("its type");
    let found = step.finding(
        &CHECK,
        &table,
        (LockLevel::AccessExclusive, Held::Rewrite),
        format!("changing column {name} of {table} from {from} to {to} writes the table anew"),
        &format!(
            "{zone}Without the lock: a new column, a trigger that fills it, the old rows in batches, then a swap of the names \
             in one short transaction."
        ),
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

/// Under another collation an index has another order, and is built again; without `COLLATE` it is that of the type.
/// Source: `CheckIndexCompatible()` in indexcmds.c.
fn collated(step: &Step<'_>, table: &QualifiedName, column: &str, to: &str, collation: Option<&str>) -> Vec<LintFinding> {
    let known = step.relation(table).and_then(|relation| relation.column(column));
    let Some(known) = known.filter(|_| step.domain(to).is_none()) else { return Vec::new() };
    let now = known.collation.as_ref().map_or("default", |name| name.name.as_str());
    let then = collation.unwrap_or("default");
    if now == then {
        return Vec::new();
    }
    let changed = format!("from collation {} to {}", quote_identifier(now), quote_identifier(then));
    indexes_built(step, table, column, &changed)
}

/// The table stays, and its indexes on the column do not: their operator class is another.
fn indexes_built(step: &Step<'_>, table: &QualifiedName, column: &str, changed: &str) -> Vec<LintFinding> {
    let on_column = |i: &&model::snapshot::Index| {
        i.definition.keys.iter().any(|k| matches!(&k.target, KeyTarget::Column(c) if c == column))
    };
    let indexes: Vec<String> =
        step.facts.tables.indexes(table).filter(on_column).map(|i| i.name.to_string()).collect();
    if indexes.is_empty() {
        return Vec::new();
    }
    let found = step.finding(
        &CHECK,
        table,
        (LockLevel::AccessExclusive, Held::Build),
        format!(
            "changing column {} of {table} {changed} builds {} again",
            quote_identifier(column),
            indexes.join(", ")
        ),
        "The table itself stays as it is. Drop the index before, and create it CONCURRENTLY afterwards, where statements can \
         do without it meanwhile.",
    );
    vec![found]
}

/// The type that a domain keeps its values as. One with a constraint is a type of its own to a column that becomes
/// it: every value is asked, which writes the table.
fn under(step: &Step<'_>, type_name: &str, from: bool) -> String {
    match step.domain(type_name) {
        Some(domain) if from || !domain.constrained => domain.type_name.clone(),
        _ => type_name.to_owned(),
    }
}

/// `name(a, b)` as name and numbers.
fn parts(type_name: &str) -> (String, Vec<u32>) {
    let (name, numbers) = match type_name.split_once('(') {
        Some((name, rest)) => {
            let (numbers, after) = rest.split_once(')').unwrap_or((rest, ""));
            let numbers = numbers.split(',').filter_map(|n| n.trim().parse().ok()).collect();
            (format!("{}{after}", name.trim()), numbers)
        }
        None => (type_name.to_owned(), Vec::new()),
    };
    let name = match name.as_str() {
        "timestamptz" => "timestamp with time zone",
        "timestamp" => "timestamp without time zone",
        "timetz" => "time with time zone",
        "time" => "time without time zone",
        "varbit" => "bit varying",
        // An extension's type has the schema that it was created in.
        name if name.ends_with(".citext") => "citext",
        name => name,
    };
    (name.to_owned(), numbers)
}

/// What a change of type leaves as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// The table and its indexes.
    All,
    /// The table.
    Table,
    /// The table, where the session's TimeZone is UTC.
    InUtc,
}

fn kept(from: &str, to: &str) -> Kept {
    if from == to {
        return Kept::All;
    }
    let ((from, old), (to, new)) = (parts(from), parts(to));
    let string = |t: &str| matches!(t, "character varying" | "varchar" | "text");
    let stamp = |t: &str| t.starts_with("timestamp with");
    let wider = |old: &[u32], new: &[u32]| match (old, new) {
        (_, []) => true,
        ([old], [new]) => new >= old,
        _ => false,
    };
    let (kept, keeps) = match (from.as_str(), to.as_str()) {
        ("cidr", "inet") => (Kept::All, true),
        (a, b) if string(a) && string(b) => (Kept::All, wider(&old, &new)),
        (a, "citext") => (Kept::Table, string(a)),
        ("citext", b) => (Kept::Table, string(b) && new.is_empty()),
        ("numeric", "numeric" | "decimal") => (
            Kept::All,
            match (old.as_slice(), new.as_slice()) {
                (_, []) => true,
                ([p], [q]) => q >= p,
                ([p, s], [q, t]) => q >= p && s == t,
                _ => false,
            },
        ),
        ("bit varying", "bit varying") => (Kept::All, wider(&old, &new)),
        (a, b) if a == b && (a.starts_with("time") || a.starts_with("interval")) => (Kept::All, wider(&old, &new)),
        (a, b) if stamp(a) && stamp(b) => (Kept::InUtc, wider(&old, &new)),
        (a, b) => (Kept::All, a == b && old == new),
    };
    if keeps { kept } else { Kept::Nothing }
}

#[cfg(test)]
mod tests {
    use super::{Kept, kept};

    #[test]
    fn what_keeps_the_bytes() {
        for (from, to, expected) in [
            ("character varying(40)", "character varying(80)", Kept::All),
            ("character varying(40)", "character varying(20)", Kept::Nothing),
            ("character varying(40)", "character varying", Kept::All),
            ("character varying", "text", Kept::All),
            ("text", "character varying(20)", Kept::Nothing),
            ("character(10)", "text", Kept::Nothing),
            ("numeric(10,2)", "numeric(12, 2)", Kept::All),
            ("numeric(10,2)", "numeric(12, 4)", Kept::Nothing),
            ("numeric(10,2)", "numeric", Kept::All),
            ("integer", "bigint", Kept::Nothing),
            ("integer", "integer", Kept::All),
            ("cidr", "inet", Kept::All),
            ("inet", "cidr", Kept::Nothing),
            ("timestamp(3) without time zone", "timestamp without time zone", Kept::All),
            ("timestamp without time zone", "timestamp with time zone", Kept::InUtc),
            ("timestamp with time zone", "timestamptz", Kept::All),
            ("timestamp with time zone", "timestamp", Kept::InUtc),
            ("timestamp(3) with time zone", "timestamp without time zone", Kept::InUtc),
            ("timestamp(3) with time zone", "timestamp(2) without time zone", Kept::Nothing),
            ("timestamp without time zone", "date", Kept::Nothing),
            ("citext", "text", Kept::Table),
            ("public.citext", "character varying", Kept::Table),
            ("citext", "character varying(9)", Kept::Nothing),
            ("character varying(9)", "citext", Kept::Table),
            ("character(9)", "citext", Kept::Nothing),
        ] {
            assert_eq!(kept(from, to), expected, "{from} to {to}");
        }
    }
}
