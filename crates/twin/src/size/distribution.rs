//! How are the values of a column, and of several together, distributed? As the statistics say:
//! some common values with their frequencies, and the rest evenly.

use std::collections::BTreeMap;

use model::snapshot::{ColumnStatistics, Relation};

use super::Attribute;

/// Values of equal probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Class {
    /// The probability of each value.
    pub(crate) probability: f64,
    /// How many values there are.
    pub(crate) values: f64,
    /// Whether they are NULL in every key.
    pub(crate) null: bool,
}

/// Distinct values that the planner assumes without statistics (`DEFAULT_NUM_DISTINCT`).
const DEFAULT_DISTINCT: f64 = 200.0;

/// The distribution of one attribute's values.
pub(crate) fn of_one(attribute: &Attribute, relation: &Relation, table_rows: f64) -> Vec<Class> {
    let Some(statistics) = attribute.statistics(relation) else {
        return vec![Class { probability: 1.0 / DEFAULT_DISTINCT, values: DEFAULT_DISTINCT, null: false }];
    };
    let nulls = attribute.null_fraction(relation);
    let mut classes = Vec::new();
    if nulls > 0.0 {
        classes.push(Class { probability: nulls, values: 1.0, null: true });
    }
    let mut distinct = statistics.distinct(table_rows);
    if !attribute.evaluated.is_empty() {
        classes.extend(
            of_results(attribute, (1.0 - nulls) * table_rows, distinct)
                .into_iter()
                .map(|c| Class { probability: c.probability * (1.0 - nulls), ..c }),
        );
        return classes;
    }
    let mut left = 1.0 - nulls;
    for frequency in statistics.most_common_freqs.iter().flatten() {
        let probability = f64::from(*frequency);
        classes.push(Class { probability, values: 1.0, null: false });
        left -= probability;
        distinct -= 1.0;
    }
    if left > 1e-6 {
        let values = distinct.max(1.0);
        classes.push(Class { probability: left / values, values, null: false });
    }
    classes
}

/// The distribution of an expression's results that are not NULL.
fn of_results(attribute: &Attribute, rows: f64, column_distinct: f64) -> Vec<Class> {
    let mut seen: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for result in &attribute.evaluated {
        if let Some(value) = &result.value {
            let entry = seen.entry(value).or_default();
            entry.0 += 1.0;
            entry.1 += result.weight;
        }
    }
    let total: f64 = seen.values().map(|(_, weight)| weight).sum();
    let sampled: f64 = seen.values().map(|(count, _)| count).sum();
    let once = seen.values().filter(|(count, _)| *count < 1.5).count() as f64;
    let all =
        distinct_values(sampled, seen.len() as f64, once, rows).min(column_distinct.max(seen.len() as f64));
    let mut classes = Vec::new();
    let mut rare = 0.0;
    for (count, weight) in seen.values() {
        if *count < 1.5 {
            rare += weight / total;
        } else {
            classes.push(Class { probability: weight / total, values: 1.0, null: false });
        }
    }
    if rare > 0.0 {
        let values = (all - (seen.len() as f64 - once)).max(once);
        classes.push(Class { probability: rare / values, values, null: false });
    }
    classes
}

/// How many distinct values there are among `rows` rows when a sample of `sampled` rows has
/// `distinct`, of which `once` occur only once: Haas and Stokes' estimator, which ANALYZE uses as
/// well (`compute_scalar_stats`).
pub(crate) fn distinct_values(sampled: f64, distinct: f64, once: f64, rows: f64) -> f64 {
    let rows = rows.max(1.0);
    (sampled * distinct / (sampled - once + once * sampled / rows).max(f64::MIN_POSITIVE))
        .clamp(distinct, rows.max(distinct))
}

/// The distribution of several attributes' values together, taken as independent, which errs
/// towards more distinct values and so towards the larger index.
pub(crate) fn of_all(attributes: &[Attribute], relation: &Relation, table_rows: f64) -> Vec<Class> {
    let mut joint: Option<Vec<Class>> = None;
    for attribute in attributes {
        let next = merged(of_one(attribute, relation, table_rows));
        joint = Some(match joint {
            None => next,
            Some(before) => {
                let pairs = before.iter().flat_map(|a| {
                    next.iter().map(|b| Class {
                        probability: a.probability * b.probability,
                        values: a.values * b.values,
                        null: a.null && b.null,
                    })
                });
                merged(pairs.collect())
            }
        });
    }
    joint.unwrap_or_default()
}

/// Joins classes whose probabilities lie within a factor of the square root of two, so that
/// products stay small.
fn merged(mut classes: Vec<Class>) -> Vec<Class> {
    classes.sort_by(|a, b| {
        (b.null, b.probability).partial_cmp(&(a.null, a.probability)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut out: Vec<Class> = Vec::new();
    for class in classes {
        match out.last_mut() {
            Some(last)
                if last.null == class.null
                    && last.probability < class.probability * std::f64::consts::SQRT_2 =>
            {
                let mass = last.probability * last.values + class.probability * class.values;
                last.values += class.values;
                last.probability = mass / last.values;
            }
            _ => out.push(class),
        }
    }
    out
}

/// Values from the statistics with the share of rows that each stands for: common values with
/// their frequencies, histogram bounds with equal parts of the rest.
pub(crate) fn samples(statistics: &ColumnStatistics) -> Vec<(String, f64)> {
    let mut samples: Vec<(String, f64)> =
        statistics.common_values().into_iter().map(|(v, f)| (v, f64::from(f))).collect();
    let common: f64 = samples.iter().map(|(_, f)| f).sum();
    let bounds = statistics.histogram();
    let rest = (1.0 - common - f64::from(statistics.null_frac)).max(0.0);
    let share = rest / bounds.len().max(1) as f64;
    samples.extend(bounds.into_iter().map(|b| (b, share)));
    let total: f64 = samples.iter().map(|(_, w)| w).sum();
    if total > 0.0 {
        for (_, weight) in &mut samples {
            *weight /= total;
        }
    }
    samples
}

/// The lengths of stored values, header included, with their shares; `None` where the text of a
/// value does not tell its stored length.
pub(crate) fn stored_lengths(attribute: &Attribute, relation: &Relation) -> Option<Vec<(f64, f64)>> {
    // An expression's values are not its column's.
    if attribute.attnum == 0 {
        return None;
    }
    let length: fn(&str) -> f64 = match attribute.type_name.as_str() {
        "text" | "varchar" | "bpchar" | "citext" => |v| v.len() as f64 + 1.0,
        "numeric" => numeric_length,
        _ => return None,
    };
    let samples = samples(attribute.statistics(relation)?);
    (!samples.is_empty()).then(|| samples.iter().map(|(v, w)| (length(v), *w)).collect())
}

/// `numeric` holds four decimal digits in two bytes, after a short varlena header of one byte and
/// a header of two.
fn numeric_length(text: &str) -> f64 {
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0').len().div_ceil(4);
    let fraction = fraction.trim_end_matches('0').len().div_ceil(4);
    (3 + 2 * (whole + fraction)) as f64
}

#[cfg(test)]
mod tests {
    use super::super::tests::{attribute, relation, statistics};
    use super::*;

    #[test]
    fn probabilities_add_up_to_one() {
        let skewed =
            ColumnStatistics { null_frac: 0.1, most_common_freqs: Some(vec![0.5, 0.2]), ..statistics(50.0) };
        let relation = relation(vec![("a", 4, Some(skewed)), ("b", 4, Some(statistics(-1.0)))]);
        let both = [attribute(1, 4, 4, "int4"), attribute(2, 4, 4, "int4")];
        for classes in [of_one(&both[0], &relation, 1e6), of_all(&both, &relation, 1e6)] {
            let sum: f64 = classes.iter().map(|c| c.probability * c.values).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{classes:?}");
        }
    }

    #[test]
    fn numeric_values_are_as_long_as_pg_column_size_says() {
        // select pg_column_size(v::numeric) - 3 of a stored value
        for (text, length) in
            [("0", 3.0), ("1", 5.0), ("12345", 7.0), ("-1.5", 7.0), ("0.0001", 5.0), ("10.00", 5.0)]
        {
            assert_eq!(numeric_length(text), length, "{text}");
        }
    }
}
