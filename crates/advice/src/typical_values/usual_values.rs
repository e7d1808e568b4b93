//! Which values does `state <> $1` leave out? Where few rows are left, the usual ones.
//!
//! Of jobs that are done and of those that are not, somebody asks for the others. A partial index of the others is small
//! however large the table, but it needs the constant, which `pg_stat_statements` took out. It is taken to be the most common
//! value, and of several conditions on one column the most common ones, where the rows that calls gave speak for it: without
//! another value most rows would have come.

use std::collections::BTreeMap;

use sql::{Expression, Literal, Operator};

use super::Evidence;

/// At least this share of the rows is left out.
const LEFT_OUT: f64 = 0.6;
/// Beside other conditions, which may be why few rows came, it has to be this much.
const LEFT_OUT_BESIDE: f64 = 0.9;
/// How many times the rows that are expected may have come.
const TOLERANCE: f64 = 3.0;

/// The constants that are assumed of one use of a table.
pub(super) fn of_relation(evidence: Evidence<'_>, relation: usize) -> BTreeMap<u32, Literal> {
    let mut assumed = BTreeMap::new();
    // What was observed is known, and rows tell of a table only that is read alone.
    let alone = evidence.analysis.relations.len() == 1;
    if !alone || !evidence.rows_are_evidence() || !evidence.observed.is_empty() {
        return assumed;
    }
    let predicates = &evidence.analysis.relations[relation].predicates;
    let mut by_column: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    let mut others = 0;
    for predicate in predicates {
        match (predicate.key.column(), &predicate.operator, predicate.values.as_slice()) {
            (Some(column), Operator::NotEqual, [value]) if predicate.disjunct.is_none() => {
                let Expression::Parameter(number) = value.without_casts() else { continue };
                if !evidence.parsed.is_squashed_list(*number) {
                    by_column.entry(column).or_default().push(*number);
                }
            }
            _ => others += 1,
        }
    }
    let least = if others + by_column.len() > 1 { LEFT_OUT_BESIDE } else { LEFT_OUT };
    let (rows, came) = (evidence.rows(relation), evidence.rows_per_call());
    for (column, numbers) in by_column {
        let Some((_, definition)) = evidence.column(relation, column) else { continue };
        let Some(statistics) = definition.statistics.as_ref().or(definition.inherited_statistics.as_ref())
        else {
            continue;
        };
        let mut common = statistics.common_values();
        common.sort_by(|a, b| b.1.total_cmp(&a.1));
        common.truncate(numbers.len());
        let usual: f64 = common.iter().map(|(_, frequency)| f64::from(*frequency)).sum();
        let most = common.first().map_or(0.0, |(_, frequency)| f64::from(*frequency));
        let left = (1.0 - usual - f64::from(statistics.null_frac)).max(0.0);
        let expected = (left * rows).max(1.0);
        // With other values the most common one would be among the rows.
        let speaks_for_it = came <= TOLERANCE * expected && came <= 0.5 * most * rows;
        if common.len() == numbers.len() && usual >= least && speaks_for_it {
            let values = common.into_iter().map(|(value, _)| Literal::Text(value));
            assumed.extend(numbers.into_iter().zip(values));
        }
    }
    assumed
}
