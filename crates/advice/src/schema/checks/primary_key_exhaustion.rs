//! Is an integer key about to run out of numbers?
//!
//! `smallint` ends at 32,767, `integer` at 2,147,483,647. How far it is, the sequence that feeds the column says, or
//! else the upper end of its histogram. After the end every INSERT fails, and making the column `bigint` writes the
//! table anew, so it is done while there is time.

use model::snapshot::{Column, Relation};
use model::{LockLevel, Severity, quote_identifier};

use super::{Check, column_ref};
use crate::schema::facts::{column_name, percent};
use crate::schema::{Facts, LintFinding, Remedy, remedy};

pub(super) const CHECK: Check = Check {
    id: "primary-key-exhaustion",
    title: "integer key that runs out of numbers",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: false,
    run,
};

/// The largest value of an integer type.
pub(super) fn integer_end(column: &Column) -> Option<i64> {
    match column.base_type.name.as_str() {
        "int2" => Some(i64::from(i16::MAX)),
        "int4" => Some(i64::from(i32::MAX)),
        "int8" => Some(i64::MAX),
        _ => None,
    }
}

/// How much of the way from `first` to `end` is gone at `last`.
pub(super) fn share_used(first: i64, last: i64, end: i64) -> f64 {
    let way = (i128::from(end) - i128::from(first)).unsigned_abs() as f64;
    let gone = (i128::from(last) - i128::from(first)).unsigned_abs() as f64;
    if way <= 0.0 { 1.0 } else { (gone / way).min(1.0) }
}

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.designed().filter_map(|relation| judge(facts, relation)).collect()
}

fn judge(facts: &Facts<'_>, relation: &Relation) -> Option<LintFinding> {
    let key = facts.primary_key(&relation.name)?;
    let [name] = key.columns.as_slice() else { return None };
    let column = relation.column(name)?;
    let end = integer_end(column).filter(|e| *e < i64::MAX)?;
    let (last, source) = last_value(facts, relation, column)?;
    // Whoever began at the smallest value has twice the way.
    let first = if last < 0 { -end - 1 } else { 0 };
    let used = share_used(first, last, end);
    if used < facts.thresholds.exhausted_share {
        return None;
    }
    let severity =
        if used >= facts.thresholds.exhausted_error_share { Severity::Error } else { Severity::Warning };
    let referencing: Vec<String> = facts
        .foreign_keys()
        .filter(|(_, target)| target.table == relation.name && target.columns == [name.clone()])
        .map(|(c, _)| column_name(&c.table, c.columns.first().map_or("", String::as_str)))
        .collect();
    let finding = CHECK
        .finding(
            column_ref(&relation.name, name),
            format!("{} of the numbers of key {} are used up", percent(used), column_name(&relation.name, name)),
            "When they are, every INSERT fails. ALTER COLUMN TYPE bigint writes the table anew under a lock; without one: a \
             new bigint column, a trigger that fills it, a back-fill in batches, a unique index CONCURRENTLY, then a swap \
             in one short transaction. Columns that reference the key follow first.",
        )
        .severity(severity)
        .with("type", &column.type_name)
        .with("last value", format!("{last} ({source})"))
        .with("end", end);
    let finding = match referencing.is_empty() {
        true => finding,
        false => finding.with("referenced by", referencing.join(", ")),
    };
    Some(finding.mended_by(Remedy::sql(
        vec![format!("ALTER TABLE {} ALTER COLUMN {} TYPE bigint", relation.name, quote_identifier(name))],
        LockLevel::AccessExclusive,
        format!(
            "ACCESS EXCLUSIVE while the table and its indexes are written anew, about {} at 250 MB and a million rows a second: reads and \
             writes wait.",
            remedy::rewrite_ms(relation)
        ),
    )))
}

fn last_value(facts: &Facts<'_>, relation: &Relation, column: &Column) -> Option<(i64, &'static str)> {
    let sequence = facts.snapshot.schema.sequences.iter().find(|s| {
        s.table.as_ref() == Some(&relation.name) && s.column.as_ref() == Some(&column.name)
    });
    if let Some(last) = sequence.and_then(|s| s.last_value) {
        return Some((last, "of its sequence"));
    }
    let statistics = crate::tables::statistics(relation, column)?;
    let largest = statistics.histogram().iter().filter_map(|v| v.parse::<i64>().ok()).max()?;
    Some((largest, "in the statistics"))
}

#[cfg(test)]
mod tests {
    use super::share_used;

    #[test]
    fn the_way_is_counted_from_the_beginning() {
        assert_eq!(share_used(0, 50, 100), 0.5);
        assert_eq!(share_used(-1, -51, -101), 0.5);
        assert_eq!(share_used(i64::MIN, 0, i64::MAX), 0.5);
        assert_eq!(share_used(5, 5, 5), 1.0);
    }
}
