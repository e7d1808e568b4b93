//! Of which series does a condition hold now, and with which value?
//!
//! Source: Prometheus documentation, "Operators" (matching, filters, sets), "Functions" (`rate`, `increase`,
//! `histogram_quantile`). A test compares the values with those of the real Prometheus.

use std::collections::HashMap;

use crate::expression::{AggregateFunction, Expression, Grouping, Operator, Selector, WindowFunction};
use crate::functions::{extrapolated_increase, histogram_quantile};
use crate::history::History;
use crate::labels::Labels;

/// When it is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The time of the reading; only grows.
    pub reading_ms: i64,
    /// The clock on the wall, in seconds: `time()`.
    pub wall_seconds: f64,
}

/// Values by their labels.
pub(crate) type Vector = Vec<(Labels, f64)>;

enum Value {
    Number(f64),
    Vector(Vector),
}

/// Evaluates a condition: the series of which it holds.
///
/// # Errors
/// Why it cannot be evaluated over what is there, in a sentence.
pub(crate) fn evaluate(expression: &Expression, history: &History, at: Moment) -> Result<Vector, String> {
    match value_of(expression, history, at)? {
        Value::Vector(vector) => Ok(vector),
        Value::Number(_) => Err("It is a number, not a condition on series.".into()),
    }
}

fn value_of(expression: &Expression, history: &History, at: Moment) -> Result<Value, String> {
    Ok(match expression {
        Expression::Number(number) => Value::Number(*number),
        Expression::Time => Value::Number(at.wall_seconds),
        Expression::Select(selector) => {
            let values = history.instants(&selector.metric, at.reading_ms, selector.offset_ms);
            Value::Vector(
                values.filter(|(l, _)| matches(selector, l)).map(|(l, value)| (l.clone(), value)).collect(),
            )
        }
        Expression::Window { function, selector, range_ms } => {
            Value::Vector(windows(*function, selector, *range_ms, history, at))
        }
        Expression::HistogramQuantile { quantile, of } => {
            Value::Vector(quantiles(*quantile, evaluate(of, history, at)?))
        }
        Expression::Aggregate { function, grouping, of } => {
            Value::Vector(aggregate(*function, grouping, evaluate(of, history, at)?))
        }
        Expression::Negate(of) => match value_of(of, history, at)? {
            Value::Number(number) => Value::Number(-number),
            Value::Vector(vector) => {
                Value::Vector(vector.into_iter().map(|(labels, value)| (labels, -value)).collect())
            }
        },
        Expression::Binary { operator, left, right, matching } => {
            let (left, right) = (value_of(left, history, at)?, value_of(right, history, at)?);
            binary(*operator, left, right, matching)?
        }
    })
}

fn matches(selector: &Selector, labels: &Labels) -> bool {
    selector.matchers.iter().all(|m| m.name == "__name__" || m.is_match(labels.get(&m.name)))
}

fn windows(
    function: WindowFunction,
    selector: &Selector,
    range_ms: i64,
    history: &History,
    at: Moment,
) -> Vector {
    let (end_ms, offset_ms) = (at.reading_ms - selector.offset_ms, selector.offset_ms);
    let begin_ms = end_ms - range_ms;
    history
        .windows(&selector.metric, at.reading_ms, offset_ms, range_ms)
        .filter(|(labels, _)| matches(selector, labels))
        .filter_map(|(labels, samples)| {
            let values = || samples.iter().map(|s| s.value);
            let value = match function {
                WindowFunction::Increase => extrapolated_increase(&samples, begin_ms, end_ms)?,
                WindowFunction::Rate => {
                    extrapolated_increase(&samples, begin_ms, end_ms)? / (range_ms as f64 / 1000.0)
                }
                WindowFunction::Average => values().sum::<f64>() / samples.len() as f64,
                WindowFunction::Least => values().fold(f64::NAN, f64::min),
                WindowFunction::Greatest => values().fold(f64::NAN, f64::max),
            };
            Some((labels.clone(), value))
        })
        .collect()
}

fn quantiles(quantile: f64, buckets: Vector) -> Vector {
    let le = ["le".to_owned()];
    let mut groups: HashMap<Labels, Vec<(f64, f64)>> = HashMap::new();
    for (labels, count) in buckets {
        let end = match labels.get("le") {
            "+Inf" => f64::INFINITY,
            text => match text.parse() {
                Ok(end) => end,
                Err(_) => continue,
            },
        };
        groups.entry(labels.without(&le)).or_default().push((end, count));
    }
    groups.into_iter().map(|(labels, buckets)| (labels, histogram_quantile(quantile, buckets))).collect()
}

fn aggregate(function: AggregateFunction, grouping: &Grouping, vector: Vector) -> Vector {
    let mut groups: HashMap<Labels, Vec<f64>> = HashMap::new();
    for (labels, value) in vector {
        groups.entry(key(&labels, grouping)).or_default().push(value);
    }
    groups
        .into_iter()
        .map(|(labels, values)| {
            let (sum, count) = (values.iter().sum::<f64>(), values.len() as f64);
            let value = match function {
                AggregateFunction::Sum => sum,
                AggregateFunction::Average => sum / count,
                AggregateFunction::Count => count,
                AggregateFunction::Least => values.into_iter().fold(f64::NAN, f64::min),
                AggregateFunction::Greatest => values.into_iter().fold(f64::NAN, f64::max),
            };
            (labels, value)
        })
        .collect()
}

/// The labels by which series belong together.
fn key(labels: &Labels, grouping: &Grouping) -> Labels {
    match grouping {
        Grouping::Only(names) => labels.only(names),
        Grouping::Without(names) => labels.without(names),
    }
}

fn binary(operator: Operator, left: Value, right: Value, matching: &Grouping) -> Result<Value, String> {
    Ok(match (left, right) {
        (Value::Vector(left), Value::Vector(right)) if operator.joins() => {
            Value::Vector(join(operator, left, right, matching))
        }
        (Value::Vector(left), Value::Vector(right)) => {
            Value::Vector(one_to_one(operator, left, right, matching)?)
        }
        (Value::Number(left), Value::Number(right)) => Value::Number(calculate(operator, left, right)),
        (Value::Vector(vector), Value::Number(number)) => {
            Value::Vector(each(operator, vector, |value| (value, number)))
        }
        (Value::Number(number), Value::Vector(vector)) => {
            Value::Vector(each(operator, vector, |value| (number, value)))
        }
    })
}

/// Every value with a number; a comparison keeps the value where it holds.
fn each(operator: Operator, vector: Vector, sides: impl Fn(f64) -> (f64, f64)) -> Vector {
    vector
        .into_iter()
        .filter_map(|(labels, value)| {
            let (left, right) = sides(value);
            if operator.compares() {
                compare(operator, left, right).then_some((labels, value))
            } else {
                Some((labels, calculate(operator, left, right)))
            }
        })
        .collect()
}

fn one_to_one(
    operator: Operator,
    left: Vector,
    right: Vector,
    matching: &Grouping,
) -> Result<Vector, String> {
    let mut others: HashMap<Labels, f64> = HashMap::with_capacity(right.len());
    for (labels, value) in right {
        let key = key(&labels, matching);
        if others.contains_key(&key) {
            return Err(format!("There are several series with {key} on the right side of an operator."));
        }
        others.insert(key, value);
    }
    let mut seen: HashMap<Labels, ()> = HashMap::with_capacity(left.len());
    let mut found = Vec::new();
    for (labels, value) in left {
        let key = key(&labels, matching);
        let Some(other) = others.get(&key) else { continue };
        if seen.insert(key.clone(), ()).is_some() {
            return Err(format!("There are several series with {key} on the left side of an operator."));
        }
        if operator.compares() {
            if compare(operator, value, *other) {
                found.push((key, value));
            }
        } else {
            found.push((key, calculate(operator, value, *other)));
        }
    }
    Ok(found)
}

fn join(operator: Operator, left: Vector, right: Vector, matching: &Grouping) -> Vector {
    let keys = |vector: &Vector| -> HashMap<Labels, ()> {
        vector.iter().map(|(labels, _)| (key(labels, matching), ())).collect()
    };
    match operator {
        Operator::Or => {
            let known = keys(&left);
            let more = right.into_iter().filter(|(labels, _)| !known.contains_key(&key(labels, matching)));
            left.into_iter().chain(more).collect()
        }
        _ => {
            let (known, wanted) = (keys(&right), operator == Operator::And);
            left.into_iter()
                .filter(|(labels, _)| known.contains_key(&key(labels, matching)) == wanted)
                .collect()
        }
    }
}

fn compare(operator: Operator, left: f64, right: f64) -> bool {
    match operator {
        // Prometheus compares exactly, and so does this.
        #[allow(clippy::float_cmp)]
        Operator::Equal => left == right,
        #[allow(clippy::float_cmp)]
        Operator::NotEqual => left != right,
        Operator::Less => left < right,
        Operator::LessOrEqual => left <= right,
        Operator::Greater => left > right,
        _ => left >= right,
    }
}

fn calculate(operator: Operator, left: f64, right: f64) -> f64 {
    match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        _ => left / right,
    }
}
