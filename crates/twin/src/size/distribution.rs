//! How are the values of a column, and of several together, distributed? As the statistics say:
//! some common values with their frequencies, and the rest evenly.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime};
use model::snapshot::{ColumnStatistics, Relation};

use super::{Attribute, Evaluated};

/// Values of equal probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Class {
    /// The probability of each value.
    pub(crate) probability: f64,
    /// How many values there are.
    pub(crate) values: f64,
    /// Whether they are NULL in every key.
    pub(crate) null: bool,
    /// Whether rows fall on these values at random, so that some have more and some have none.
    pub(crate) random: bool,
}

impl Class {
    fn new(probability: f64, values: f64) -> Self {
        Self { probability, values, null: false, random: false }
    }
}

/// Distinct values that the planner assumes without statistics (`DEFAULT_NUM_DISTINCT`).
const DEFAULT_DISTINCT: f64 = 200.0;

/// The distribution of one attribute's values.
pub(crate) fn of_one(attribute: &Attribute, relation: &Relation, table_rows: f64) -> Vec<Class> {
    let Some(statistics) = attribute.statistics(relation) else {
        // What is made of several columns tells as many rows apart as one of them at least, as a rule.
        let known = attribute.mentioned(relation).filter_map(|c| c.statistics.as_ref());
        let distinct = known.map(|s| s.distinct(table_rows)).fold(DEFAULT_DISTINCT, f64::max);
        return vec![Class::new(1.0 / distinct, distinct)];
    };
    let nulls = attribute.null_fraction(relation);
    let mut classes = Vec::new();
    if nulls > 0.0 {
        classes.push(Class { null: true, ..Class::new(nulls, 1.0) });
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
        classes.push(Class::new(probability, 1.0));
        left -= probability;
        distinct -= 1.0;
    }
    if left > 1e-6 {
        let distinct = distinct.max(1.0);
        match between_bounds(statistics, &attribute.type_name, left, left * table_rows, distinct) {
            Some(buckets) => classes.extend(buckets),
            None => classes.push(Class::new(left / distinct, distinct)),
        }
    }
    classes
}

/// The values of a histogram's buckets, each of which holds as many rows as another. Of whole numbers and
/// days the bounds tell how many there can be in a bucket, so narrow buckets have few, with many rows each.
fn between_bounds(
    statistics: &ColumnStatistics,
    type_name: &str,
    share: f64,
    rows: f64,
    distinct: f64,
) -> Option<Vec<Class>> {
    let number = |text: &String| match type_name {
        "int2" | "int4" | "int8" | "oid" => text.parse::<i64>().ok(),
        "date" => Some(i64::from(text.parse::<NaiveDate>().ok()?.num_days_from_ce())),
        _ => None,
    };
    let bounds: Vec<i64> = statistics.histogram().iter().map(number).collect::<Option<_>>()?;
    let common: Vec<i64> = statistics.common_values().iter().filter_map(|(v, _)| number(v)).collect();
    // All multiples of a hundred, for instance.
    let step = bounds.windows(2).fold(0, |step, b| gcd(step, b[1].abs_diff(b[0])));
    if bounds.len() < 3 || step == 0 {
        return None;
    }
    let last = bounds.len() - 2;
    let widths: Vec<f64> = bounds
        .windows(2)
        .enumerate()
        .map(|(n, b)| {
            let width = (b[1].abs_diff(b[0]) / step) as f64 + if n == last { 1.0 } else { 0.0 };
            let taken = common.iter().filter(|v| (b[0]..b[1]).contains(v)).count() as f64;
            (width - taken).max(0.5)
        })
        .collect();
    let each = rows / widths.len() as f64;
    let occupied = |part: f64| widths.iter().map(|w| occupied(w * part, each)).sum::<f64>();
    let all: f64 = widths.iter().sum();
    // More values than chance would fill: each number is there about as often as any other. Or few of many
    // numbers are in use, as of the keys of customers that have orders.
    let even = distinct > 1.05 * occupied(1.0);
    let part = match even {
        true => (distinct / all).min(1.0),
        false if occupied(1.0) <= 2.0 * distinct => 1.0,
        false => solve(occupied, distinct),
    };
    let classes = widths.iter().map(|width| {
        let values = width * part;
        Class { random: !even, ..Class::new(share / widths.len() as f64 / values, values) }
    });
    Some(classes.collect())
}

/// How many of `values` equally likely values `rows` rows have on average.
pub(crate) fn occupied(values: f64, rows: f64) -> f64 {
    values * -(-rows / values).exp_m1()
}

/// Where between 0 and 1 a growing function has a value.
pub(super) fn solve(function: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if function(middle) < value { low = middle } else { high = middle }
    }
    high
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What is known of one result of an expression.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// How many of the values in the column's statistics have it.
    pub(crate) count: f64,
    /// The share of all rows that they stand for.
    pub(crate) weight: f64,
    /// Whether one of them is among the column's most common values.
    pub(crate) common: bool,
    /// Its place in the order of its type, where that has one.
    pub(crate) rank: Option<i64>,
}

/// The results of an expression that are not NULL.
pub(crate) struct Results<'a> {
    pub(crate) values: BTreeMap<&'a str, Seen>,
    /// How many differ among all rows.
    pub(crate) distinct: f64,
    /// How many can be, when that is known.
    possible: Option<f64>,
}

/// Counts results, which `rows` rows have that are not NULL, of a column with so many distinct values.
pub(crate) fn results(evaluated: &[Evaluated], rows: f64, column_distinct: f64) -> Results<'_> {
    let mut values: BTreeMap<&str, Seen> = BTreeMap::new();
    for result in evaluated {
        if let Some(value) = &result.value {
            let seen = values.entry(value).or_default();
            seen.count += 1.0;
            seen.weight += result.weight;
            seen.common |= result.common;
            seen.rank = result.rank;
        }
    }
    let sampled: f64 = values.values().map(|seen| seen.count).sum();
    let once = values.values().filter(|seen| seen.count < 1.5).count() as f64;
    let possible = possible_values(values.keys().copied());
    let distinct = distinct_values(sampled, values.len() as f64, once, rows, possible)
        .min(column_distinct.max(values.len() as f64));
    Results { values, distinct, possible }
}

/// The distribution of an expression's results that are not NULL.
fn of_results(attribute: &Attribute, rows: f64, column_distinct: f64) -> Vec<Class> {
    let results = results(&attribute.evaluated, rows, column_distinct);
    let total: f64 = results.values.values().map(|seen| seen.weight).sum();
    let mut classes = Vec::new();
    let (mut rare, mut once) = (0.0, 0.0);
    for seen in results.values.values() {
        if seen.count < 1.5 {
            rare += seen.weight / total;
            once += 1.0;
        } else {
            classes.push(Class::new(seen.weight / total, 1.0));
        }
    }
    if rare > 0.0 {
        let values = (results.distinct - (results.values.len() as f64 - once)).max(once);
        classes.push(Class { random: results.possible.is_some(), ..Class::new(rare / values, values) });
    }
    classes
}

/// How many distinct values there are among `rows` rows when a sample of `sampled` rows has
/// `distinct`, of which `once` occur only once: Haas and Stokes' estimator, which ANALYZE uses as
/// well (`compute_scalar_stats`).
///
/// A hundred values say little about how many there are. Where not more than `possible` can be, they say more:
/// as many as rows fall on, when they collide no more often than that explains.
pub(crate) fn distinct_values(
    sampled: f64,
    distinct: f64,
    once: f64,
    rows: f64,
    possible: Option<f64>,
) -> f64 {
    let rows = rows.max(1.0);
    let all = (sampled * distinct / (sampled - once + once * sampled / rows).max(f64::MIN_POSITIVE))
        .clamp(distinct, rows.max(distinct));
    let Some(possible) = possible else { return all };
    let collisions = sampled * sampled / (2.0 * possible);
    let explained = sampled - distinct <= collisions + 2.0 * collisions.sqrt() + 1.0;
    if explained { occupied(possible, rows).max(distinct) } else { all.min(possible) }
}

/// How many numbers, or moments, lie between the smallest and the largest: numbers with no more decimals than these
/// have, moments as far apart as these can be.
pub(crate) fn possible_values<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Option<f64> {
    possible_numbers(texts.clone()).or_else(|| possible_moments(texts))
}

fn possible_numbers<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Option<f64> {
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let most = texts.clone().map(decimals).max()?;
    let (mut low, mut high) = (f64::MAX, f64::MIN);
    for text in texts {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-');
        let number = text.parse::<f64>().ok().filter(|_| plain)?;
        low = low.min(number);
        high = high.max(number);
    }
    Some((high - low).max(0.0) * 10_f64.powi(i32::try_from(most).ok()?) * 1.02 + 1.0)
}

/// Days, or moments that were cut to hours: the largest step that leads from each to each tells which.
fn possible_moments<'a>(texts: impl Iterator<Item = &'a str>) -> Option<f64> {
    let moments: Vec<i64> = texts.map(microseconds).collect::<Option<_>>()?;
    let (low, high) = (*moments.iter().min()?, *moments.iter().max()?);
    let step = moments.iter().fold(0, |step, at| gcd(step, at.abs_diff(low)));
    (step > 0).then(|| high.abs_diff(low) as f64 / step as f64 + 1.0)
}

/// A date or a timestamp as PostgreSQL prints it in the ISO style, the zone left off.
fn microseconds(text: &str) -> Option<i64> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    let (day, rest) = text.split_once(' ')?;
    let time = rest.split(['+', '-']).next()?;
    let moment = NaiveDateTime::parse_from_str(&format!("{day} {time}"), "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(moment.and_utc().timestamp_micros())
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
                        random: a.random || b.random,
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
                    && last.random == class.random
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

#[cfg(test)]
mod tests {
    use super::super::tests::{attribute, relation, statistics};
    use super::*;

    #[test]
    fn numbers_between_bounds_are_counted() {
        assert_eq!(possible_values(["0.12", "0.5", "-0.5"].into_iter()).unwrap().round(), 103.0);
        assert_eq!(possible_values(["7", "107"].into_iter()).unwrap().round(), 103.0);
        assert_eq!(possible_values(["7", "a"].into_iter()), None);
        // Half of the rows on ten numbers, the other half on a million.
        let lean = ColumnStatistics { histogram_bounds: Some("{0,10,1000010}".into()), ..statistics(-0.5) };
        let classes = between_bounds(&lean, "int4", 1.0, 1000.0, 505.0).unwrap();
        assert!(classes[0].values < 10.5 && classes[0].probability > 0.04, "{classes:?}");
        assert!(classes[1].values > 1e5, "{classes:?}");
        // Of a million numbers a hundred are in use.
        let sparse =
            ColumnStatistics { histogram_bounds: Some("{3,500001,1000010}".into()), ..statistics(100.0) };
        let classes = between_bounds(&sparse, "int8", 1.0, 1e6, 100.0).unwrap();
        assert!((classes.iter().map(|c| c.values).sum::<f64>() - 100.0).abs() < 1.0, "{classes:?}");
    }

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
}
