//! Is a sequence about to reach its end?
//!
//! `last_value` against the end that comes first: the sequence's own or that of the column that it feeds. After it,
//! every INSERT fails. The key of a table is `primary-key-exhaustion`'s; sequences that cycle have no end.

use model::schema::Sequence;
use model::{ObjectRef, Severity};

use super::Check;
use super::primary_key_exhaustion::{integer_end, share_used};
use crate::schema::facts::percent;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "sequence-overflow",
    title: "sequence that comes to its end",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    facts.snapshot.schema.sequences.iter().filter_map(|s| judge(facts, s)).collect()
}

fn judge(facts: &Facts<'_>, sequence: &Sequence) -> Option<LintFinding> {
    let last = sequence.last_value?;
    if sequence.cycle || sequence.increment == 0 {
        return None;
    }
    let column = sequence.table.as_ref().and_then(|t| facts.tables.relation(t)).and_then(|r| {
        let column = r.column(sequence.column.as_ref()?)?;
        Some((r, column))
    });
    let of_column = column.and_then(|(_, c)| integer_end(c));
    let key = column.is_some_and(|(relation, column)| {
        facts.primary_key(&relation.name).is_some_and(|k| k.columns == [column.name.clone()])
    });
    let (first, end) = if sequence.increment > 0 {
        (sequence.min_value, of_column.map_or(sequence.max_value, |e| e.min(sequence.max_value)))
    } else {
        (sequence.max_value, of_column.map_or(sequence.min_value, |e| (-e - 1).max(sequence.min_value)))
    };
    let used = share_used(first, last, end);
    if used < facts.thresholds.exhausted_share || (key && of_column.is_some_and(|e| e < i64::MAX)) {
        return None;
    }
    let severity =
        if used >= facts.thresholds.exhausted_error_share { Severity::Error } else { Severity::Warning };
    let step = i128::from(sequence.increment).abs();
    let left = (i128::from(end) - i128::from(last)).abs() / step;
    let finding = CHECK
        .finding(
            ObjectRef::Sequence { name: sequence.name.clone() },
            format!("{} of sequence {} is used up", percent(used), sequence.name),
            "When it has come to its end, every statement that asks for a value fails.",
        )
        .severity(severity)
        .with("last value", last)
        .with("end", end)
        .with("values left", left);
    // The column's type has to be widened first, where that is the end.
    let bounded_by_column = of_column.is_some_and(|e| e == end.max(-(end + 1)) && e < i64::MAX);
    if bounded_by_column || sequence.data_type == "bigint" {
        return Some(finding);
    }
    Some(finding.mended_by(Remedy::without_lock(
        vec![format!("ALTER SEQUENCE {} AS bigint", sequence.name)],
        "The sequence alone is locked, for an instant; nextval waits meanwhile.",
    )))
}
