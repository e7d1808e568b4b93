//! Which values does a predicate compare with? One group of possibilities for each column, or for each expression.

use std::collections::{BTreeMap, BTreeSet};

use sql::{ColumnUse, Expression, KeyExpression, Operator, Predicate, Value};

use super::column_values::ColumnValues;
use super::{Assumed, Choice, Evidence, patterns};

/// The possibilities of every predicate, predicates on one column taken together.
pub(super) fn groups(evidence: Evidence<'_>, assumed: &Assumed) -> Vec<Vec<Choice>> {
    let mut groups: Vec<Vec<Choice>> = Vec::new();
    let mut taken: BTreeSet<u32> = assumed.constants.keys().copied().collect();
    for (r, relation) in evidence.analysis.relations.iter().enumerate() {
        groups.extend(valid_at(evidence, r, &mut taken));
        // Lower and upper bounds of one column make one stretch.
        let mut bounded: BTreeSet<&str> = BTreeSet::new();
        for predicate in &relation.predicates {
            if predicate.values.iter().all(|v| v.parameters().is_empty()) {
                continue;
            }
            let choices = match &predicate.key {
                KeyExpression::Column(column) => {
                    let Some((table, definition)) = evidence.column(r, column) else { continue };
                    let values = evidence.values(table, definition);
                    if predicate.operator.is_range() {
                        if !bounded.insert(column) {
                            continue;
                        }
                        ranges(evidence, &values, &relation.predicates, column, &mut taken)
                    } else {
                        points(evidence, &values, predicate, &mut taken)
                    }
                }
                KeyExpression::Expression { expression, .. } => {
                    let expression = expression.with_constants(&assumed.constants);
                    computed(evidence, &expression, predicate, &mut taken)
                }
            };
            if !choices.is_empty() {
                groups.push(choices);
            }
        }
    }
    groups
}

/// Common, middling and rare values for a predicate on a column.
fn points(
    evidence: Evidence<'_>,
    values: &ColumnValues<'_>,
    predicate: &Predicate,
    taken: &mut BTreeSet<u32>,
) -> Vec<Choice> {
    let numbers: Vec<u32> = predicate.values.iter().flat_map(direct).filter(|n| taken.insert(*n)).collect();
    if numbers.is_empty() {
        return Vec::new();
    }
    let choices: Vec<Choice> = match &predicate.operator {
        Operator::Other(operator) => {
            let element = predicate.values.iter().any(|v| matches!(v.without_casts(), Expression::List(_)));
            let options = values.operands(operator, element);
            let nth = |i: usize, n: usize| options[(i + n) % options.len()].0.clone();
            let of = |i: usize| numbers.iter().enumerate().map(|(n, number)| (*number, nth(i, n))).collect();
            options
                .iter()
                .enumerate()
                .map(|(i, (_, weight))| Choice { values: of(i), weight: *weight, guess: 0 })
                .collect()
        }
        operator => {
            let options = values.points();
            // A list of all values that there are would restrict nothing.
            let listed = options.len().saturating_sub(1).clamp(1, 3);
            let squashed = numbers.first().is_some_and(|n| evidence.parsed.is_squashed_list(*n));
            // Of a pattern nobody knows whether it begins with the text: both are tried.
            let kinds = if matches!(operator, Operator::Like { .. }) { 2 } else { 1 };
            let others = if kinds == 2 { values.bounds() } else { Vec::new() };
            (0..options.len() * kinds)
                .map(|nth_choice| {
                    let i = nth_choice / kinds;
                    // Several values of one list are neighbours in the list of options.
                    let nth = |n: usize| options[(i + n) % options.len()].0.as_str();
                    let value = |n: usize| match operator {
                        Operator::In if squashed => {
                            Value::List((0..listed).map(|k| values.typed(nth(k))).collect())
                        }
                        Operator::In => values.typed(nth(n)),
                        Operator::AnyOf if numbers.len() == 1 && !in_a_list(predicate) => {
                            values.array(&(0..listed).map(nth).collect::<Vec<_>>())
                        }
                        Operator::AnyOf => values.typed(nth(n)),
                        Operator::Like { .. } => {
                            Value::Untyped(pattern(nth(0), &others, nth_choice % 2 == 0))
                        }
                        _ => values.typed(nth(0)),
                    };
                    let values = numbers.iter().enumerate().map(|(n, number)| (*number, value(n))).collect();
                    Choice { values, weight: options[i].1 / kinds as f64, guess: 0 }
                })
                .collect()
        }
    };
    if choices.is_empty() {
        // Nothing was assigned, so another predicate may.
        taken.retain(|n| !numbers.contains(n));
    }
    choices
}

fn in_a_list(predicate: &Predicate) -> bool {
    predicate.values.iter().any(|v| matches!(v.without_casts(), Expression::List(_)))
}

/// A pattern that a text matches: its beginning, or a part of its middle.
fn pattern(text: &str, others: &[String], prefix: bool) -> String {
    if prefix {
        format!("{}%", patterns::written(text, patterns::beginning(text, others)))
    } else {
        format!("%{}%", patterns::written(text, patterns::middle(text, others)))
    }
}

/// The parameters that are the compared value itself, not a part of its computation: `$1` and
/// `ARRAY[$1, $2]`, but not `md5($1 || $2)`. The last argument of `to_tsquery` and the like stands for it.
fn direct(value: &Expression) -> Vec<u32> {
    match value.without_casts() {
        Expression::Parameter(number) => vec![*number],
        Expression::List(items) => items.iter().flat_map(direct).collect(),
        Expression::Function { args, name, .. } if matches!(name.as_str(), "lower" | "upper") => {
            args.iter().flat_map(direct).collect()
        }
        Expression::Function { args, name, .. } if name.ends_with("to_tsquery") => {
            args.last().map(direct).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Values of an expression: what it gives for values of its columns, for the planner to compute. Without statistics
/// of the expression any value of its type is as good as another.
fn computed(
    evidence: Evidence<'_>,
    expression: &Expression,
    predicate: &Predicate,
    taken: &mut BTreeSet<u32>,
) -> Vec<Choice> {
    let numbers: Vec<u32> = predicate.values.iter().flat_map(direct).filter(|n| taken.insert(*n)).collect();
    let samples: Vec<(String, String)> = (0..3).filter_map(|n| sample(evidence, expression, n)).collect();
    if numbers.is_empty() || samples.is_empty() {
        taken.retain(|n| !numbers.contains(n));
        return Vec::new();
    }
    let search = predicate.values.iter().any(|v| matches!(v.without_casts(), Expression::Function { .. }));
    // What an expression makes of its only column mostly has the same parts in the same places.
    let columns = expression.columns();
    let alike = columns.len() == 1 && document_keys(expression).is_empty();
    let wanted = matches!(predicate.operator, Operator::Like { .. }) && alike;
    let only = columns.first().filter(|_| wanted).and_then(|c| evidence.column(c.relation, &c.column));
    let others = only.map_or_else(Vec::new, |(table, column)| evidence.values(table, column).bounds());
    let choice = |i: usize| -> BTreeMap<u32, Value> {
        let of = |n: usize| {
            let (sql, text) = &samples[(i + n) % samples.len()];
            let computed = |sql: String, text: &str| Value::Computed { sql, text: text.to_owned() };
            match &predicate.operator {
                Operator::AnyOf if !in_a_list(predicate) => {
                    let all: Vec<&str> = samples.iter().map(|(sql, _)| sql.as_str()).collect();
                    computed(format!("ARRAY[{}]", all.join(", ")), &format!("{{{text}}}"))
                }
                Operator::Like { .. } if i == 0 => {
                    let length = patterns::beginning(text, &others).length;
                    computed(format!("left(({sql})::text, {length}) || '%'"), &pattern(text, &others, true))
                }
                Operator::Like { .. } => {
                    let patterns::Part { skip, length } = patterns::middle(text, &others);
                    let part = format!("substr(({sql})::text, {}, {length})", skip + 1);
                    computed(format!("'%' || {part} || '%'"), &pattern(text, &others, false))
                }
                Operator::Other(operator) => match operator.as_str() {
                    "@@" => Value::Untyped(word(text)),
                    "~" | "~*" => Value::Untyped(word(text).chars().take(6).collect()),
                    "^@" => computed(format!("left(({sql})::text, 5)"), text),
                    "?" | "?|" | "?&" => Value::Untyped(if operator == "?" { "a" } else { "{a}" }.into()),
                    _ => computed(sql.clone(), text),
                },
                _ if search && predicate.operator == Operator::Equal => Value::Untyped(text.clone()),
                _ => computed(sql.clone(), text),
            }
        };
        numbers.iter().enumerate().map(|(n, number)| (*number, of(n))).collect()
    };
    // Only of a pattern it is known that its kinds differ.
    let kinds = if matches!(predicate.operator, Operator::Like { .. }) { 2 } else { 1 };
    // An upper bound is another value than the lower one of the same expression: equal ones would contradict each other.
    let first = usize::from(matches!(predicate.operator, Operator::Less | Operator::LessOrEqual));
    let of = |i: usize| Choice { values: choice(i + first), weight: 1.0 / kinds as f64, guess: i as u32 };
    (0..kinds).map(of).collect()
}

/// The longest word of a text.
fn word(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.max_by_key(|w| w.chars().count()).filter(|w| !w.is_empty()).unwrap_or("word").to_owned()
}

/// An expression with the `n`th value of each of its columns in their place, and the text of one of these.
fn sample(evidence: Evidence<'_>, expression: &Expression, n: usize) -> Option<(String, String)> {
    let keys = document_keys(expression);
    let text = |column: &ColumnUse| {
        let (table, definition) = evidence.column(column.relation, &column.column)?;
        let values = evidence.values(table, definition);
        let text = if keys.is_empty() { values.sample(n) } else { values.document_with(&keys, n) }?;
        Some((text, definition.type_name.clone()))
    };
    let sql = expression.sql_with(&|column| {
        let (text, type_name) = text(column)?;
        Some(format!("{}::{type_name}", model::quote_literal(&text)))
    })?;
    let first = expression.columns().into_iter().next().and_then(text)?;
    Some((sql, first.0))
}

/// The keys that an expression looks up in documents.
fn document_keys(expression: &Expression) -> Vec<String> {
    let mut keys = Vec::new();
    expression.visit(&mut |part| {
        let Expression::Operator { name, right, .. } = part else { return };
        let Expression::Constant(constant) = right.without_casts() else { return };
        match (name.as_str(), constant.text()) {
            ("->" | "->>", Some(key)) => keys.push(key),
            ("#>" | "#>>", Some(path)) => {
                keys.extend(model::snapshot::array_elements(&path).into_iter().flatten());
            }
            _ => {}
        }
    });
    keys
}

/// How much of a table the ranges of a statement keep: nobody knows, so several are tried.
const SELECTIVITIES: [(f64, f64); 4] = [(0.01, 0.45), (0.1, 0.25), (0.001, 0.2), (0.0001, 0.1)];
/// "Since a while ago" mostly means a short while.
const RECENT: [(f64, f64); 3] = [(0.01, 0.6), (0.001, 0.2), (0.04, 0.2)];

fn ranges(
    evidence: Evidence<'_>,
    values: &ColumnValues<'_>,
    predicates: &[Predicate],
    column: &str,
    taken: &mut BTreeSet<u32>,
) -> Vec<Choice> {
    let on_column: Vec<&Predicate> =
        predicates.iter().filter(|p| p.key.column() == Some(column) && p.operator.is_range()).collect();
    let has = |operators: &[Operator]| on_column.iter().any(|p| operators.contains(&p.operator));
    let lower = has(&[Operator::Greater, Operator::GreaterOrEqual, Operator::Between]);
    let upper = has(&[Operator::Less, Operator::LessOrEqual, Operator::Between]);
    let mut since_now = false;
    for value in on_column.iter().flat_map(|p| &p.values) {
        value.visit(&mut |e| since_now |= matches!(e, Expression::Now));
    }
    let mut shares: Vec<(f64, f64)> = if since_now { RECENT.to_vec() } else { SELECTIVITIES.to_vec() };
    if evidence.rows_are_evidence() {
        // Were this the only condition, the rows that a call gave would tell its share.
        let share = (evidence.rows_per_call() / values.rows()).clamp(1e-6, 1.0);
        if shares.iter().all(|(s, _)| (share / s).ln().abs() > 0.5) {
            shares.push((share, 0.3));
        }
    }
    let before = taken.clone();
    let mut choices = Vec::new();
    for (share, weight) in shares {
        let mut now_taken = before.clone();
        // Times are asked for at their recent end, other things anywhere.
        let (from, to) = match (lower, upper) {
            (true, true) if values.is_time() => (1.0 - share, 1.0),
            (true, true) => (0.5 - share / 2.0, 0.5 + share / 2.0),
            (true, false) => (1.0 - share, 1.0),
            _ => (0.0, share),
        };
        let mut assignment = BTreeMap::new();
        for predicate in &on_column {
            let bounds: &[f64] = match predicate.operator {
                Operator::Between => &[from, to],
                Operator::Greater | Operator::GreaterOrEqual => &[from],
                _ => &[to],
            };
            for (value, bound) in predicate.values.iter().zip(bounds) {
                solve(values, value, (*bound, &predicate.operator), &mut assignment, &mut now_taken);
            }
        }
        if !assignment.is_empty() {
            taken.extend(now_taken);
            choices.push(Choice { values: assignment, weight, guess: 0 });
        }
    }
    choices.dedup_by(|a, b| a.values == b.values);
    choices
}

/// Two columns that bound the time in which a row is valid, asked at one moment: `valid_from <= $1 AND valid_to > $2`.
/// As two ranges, each with a share of its own, they would never meet.
fn valid_at(evidence: Evidence<'_>, relation: usize, taken: &mut BTreeSet<u32>) -> Option<Vec<Choice>> {
    let predicates = &evidence.analysis.relations[relation].predicates;
    let bound = |operators: [Operator; 2]| {
        predicates.iter().find_map(|p| {
            let column = p.key.column()?;
            let ranges =
                predicates.iter().filter(|o| o.key.column() == Some(column) && o.operator.is_range());
            let Expression::Parameter(number) = p.values.first()?.without_casts() else { return None };
            let fits = ranges.count() == 1 && operators.contains(&p.operator) && !taken.contains(number);
            let (table, definition) = evidence.column(relation, column)?;
            let values = evidence.values(table, definition);
            (fits && values.is_time()).then_some((values, *number))
        })
    };
    let (begins, from) = bound([Operator::Less, Operator::LessOrEqual])?;
    let (ends, to) = bound([Operator::Greater, Operator::GreaterOrEqual])?;
    if from == to {
        return None;
    }
    let choices: Vec<Choice> = [(0.5, 0.4), (0.95, 0.4), (0.1, 0.2)]
        .into_iter()
        .filter_map(|(share, weight)| {
            let moment = begins.quantile(share)?;
            let values = BTreeMap::from([(from, begins.typed(&moment)), (to, ends.typed(&moment))]);
            Some(Choice { values, weight, guess: 0 })
        })
        .collect();
    if choices.is_empty() {
        return None;
    }
    taken.extend([from, to]);
    Some(choices)
}

/// Chooses the parameters of an expression so that it has the value at a quantile of the column, or the next at which a
/// comparison by an operator keeps any row.
fn solve(
    values: &ColumnValues<'_>,
    expression: &Expression,
    quantile: (f64, &Operator),
    assignment: &mut BTreeMap<u32, Value>,
    assigned: &mut BTreeSet<u32>,
) {
    match expression.without_casts() {
        Expression::Parameter(number) if assigned.insert(*number) => {
            if let Some(text) = values.bound(quantile.0, quantile.1) {
                assignment.insert(*number, values.typed(&text));
            }
        }
        Expression::Operator { name, left: Some(left), right } if name == "-" || name == "+" => {
            let steps = right.parameters();
            match (left.without_casts(), steps.iter().next()) {
                (Expression::Now, Some(step)) if assigned.insert(*step) => {
                    if let Some(interval) = values.interval_before_now(quantile.0) {
                        assignment
                            .insert(*step, Value::Typed { text: interval, type_name: "interval".into() });
                    }
                }
                (_, step) => {
                    solve(values, left, quantile, assignment, assigned);
                    if let Some(step) = step
                        && assigned.insert(*step)
                    {
                        let zero = if values.is_time() {
                            Value::Typed { text: "00:00:00".into(), type_name: "interval".into() }
                        } else {
                            Value::Number("0".into())
                        };
                        assignment.insert(*step, zero);
                    }
                }
            }
        }
        // A unit or a zone is no value of the column.
        Expression::Function { name, args, .. }
            if matches!(name.as_str(), "date_trunc" | "date_part" | "timezone") && args.len() > 1 =>
        {
            if let Some(Expression::Parameter(number)) = args.first().map(Expression::without_casts)
                && assigned.insert(*number)
            {
                let word = if name == "timezone" { "UTC" } else { "day" };
                assignment.insert(*number, Value::Untyped(word.into()));
            }
            for arg in &args[1..] {
                solve(values, arg, quantile, assignment, assigned);
            }
        }
        // Of seconds since 1970, and of a text with the pattern that reads it.
        Expression::Function { name, args, .. } if matches!(name.as_str(), "to_timestamp" | "to_date") => {
            let text = values.bound(quantile.0, quantile.1);
            let Some((Expression::Parameter(number), text)) =
                args.first().map(Expression::without_casts).zip(text)
            else {
                return;
            };
            if !assigned.insert(*number) {
                return;
            }
            if args.len() == 1 {
                assignment.insert(*number, seconds(&text));
                return;
            }
            let pattern = "YYYY-MM-DD HH24:MI:SS";
            assignment.insert(*number, Value::Untyped(text.chars().take(19).collect()));
            if let Some(Expression::Parameter(pattern_number)) = args.get(1).map(Expression::without_casts)
                && assigned.insert(*pattern_number)
            {
                assignment.insert(*pattern_number, Value::Untyped(pattern.into()));
            }
        }
        Expression::Function { args, .. } => {
            for arg in args {
                if let Expression::Parameter(number) = arg.without_casts()
                    && assigned.insert(*number)
                    && let Some(text) = values.bound(quantile.0, quantile.1)
                {
                    assignment.insert(*number, Value::Untyped(text));
                }
            }
        }
        _ => {}
    }
}

/// A moment as seconds since 1970; one of which only PostgreSQL knows what it is, it computes.
fn seconds(text: &str) -> Value {
    match chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z") {
        Ok(moment) => Value::Number(moment.timestamp().to_string()),
        Err(_) => Value::Computed {
            sql: format!("extract(epoch FROM {}::timestamptz)", model::quote_literal(text)),
            text: "0".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_in_seconds() {
        let number = |text: &str| Value::Number(text.into());
        assert_eq!(seconds("2025-12-14 00:05:00+00"), number("1765670700"));
        assert_eq!(seconds("2025-12-14 00:05:00.250000+00"), number("1765670700"));
        assert_eq!(seconds("2025-12-14 01:05:00+01"), number("1765670700"));
        assert!(matches!(seconds("2025-12-14"), Value::Computed { .. }));
    }
}
