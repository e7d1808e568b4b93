//! Which values does a normalised statement get called with?
//!
//! `pg_stat_statements` hides every constant, and a generic plan guesses a third of the table for a
//! range, which misleads. So values are taken from the statistics of the compared column: common,
//! middling and rare ones for equality, stretches of different selectivity for ranges, and round
//! intervals ("7 days") for `column > now() - interval $1`. Several executions of a statement are
//! planned and averaged; where the statement's rows per call say which of them is typical, their
//! weights follow that evidence ([`weigh_by_rows`]).

mod column_values;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use model::snapshot::{Column, Relation, Statement};
use model::{QualifiedName, Snapshot};
use sql::{Analysis, Expression, Operator, ParameterContext, ParsedStatement, Value};

use self::column_values::ColumnValues;

/// A way of executing a statement: values in place of parameters, and how usual it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The statement with values; the first that the planner accepts counts. Later ones differ in the
    /// values of parameters of which nothing is known.
    pub variants: Vec<String>,
    /// Its share of the calls; the weights of a statement's bindings add up to 1.
    pub weight: f64,
}

/// Values that a statement was seen with, for instance in a log.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedValues {
    /// The text form of each parameter's value; `None` is NULL.
    pub values: BTreeMap<u32, Option<String>>,
    /// How often this combination was seen.
    pub times: u64,
}

/// Everything that the choice of values rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Where statistics come from.
    pub snapshot: &'a Snapshot,
    /// The statement's counters.
    pub statement: &'a Statement,
    /// Its parsed text.
    pub parsed: &'a ParsedStatement,
    /// Its facts.
    pub analysis: &'a Analysis,
    /// Values it was seen with.
    pub observed: &'a [ObservedValues],
}

/// One possibility for a group of parameters that belong together.
#[derive(Clone, Debug)]
struct Choice {
    values: BTreeMap<u32, Value>,
    weight: f64,
}

/// How many bindings are tried before evidence reduces them.
const MAX_TRIED: usize = 9;
/// How many bindings of a statement are kept.
pub const MAX_KEPT: usize = 3;

impl Evidence<'_> {
    /// The average number of rows that one call gave.
    pub fn rows_per_call(&self) -> f64 {
        if self.statement.calls > 0 { self.statement.rows as f64 / self.statement.calls as f64 } else { 0.0 }
    }

    /// Whether rows per call tell something about the selectivity of its predicates.
    pub fn rows_are_evidence(&self) -> bool {
        self.statement.calls > 0
            && !self.analysis.aggregated
            && !self.analysis.limited
            && self.analysis.target.as_ref().is_none_or(|t| t.inserted.is_empty())
    }

    /// The clock of the snapshot as a timestamp in text form.
    pub fn clock(&self) -> String {
        clock(self.snapshot.taken_at)
    }

    fn relation(&self, name: &QualifiedName) -> Option<&Relation> {
        self.snapshot.relation(name)
    }

    fn column(&self, relation: usize, column: &str) -> Option<(&Relation, &Column)> {
        let relation = self.relation(&self.analysis.relations.get(relation)?.name)?;
        Some((relation, relation.column(column)?))
    }
}

/// A moment as PostgreSQL reads it whatever its time zone.
pub fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// Typical executions of a statement, the most usual first.
pub fn bindings(evidence: Evidence<'_>) -> Vec<Binding> {
    let parameters = evidence.parsed.parameters();
    let groups = groups(evidence);
    let mut combined = combine(&groups, evidence.rows_are_evidence());
    if !evidence.observed.is_empty() {
        combined = observed(evidence);
    }
    let clock = evidence.clock();
    let mut bindings: Vec<Binding> = Vec::new();
    for choice in combined {
        let mut values = choice.values;
        let mut unknown = BTreeSet::new();
        for number in &parameters {
            if !values.contains_key(number) {
                match from_context(evidence, *number) {
                    Some(value) => drop(values.insert(*number, value)),
                    None => drop(unknown.insert(*number)),
                }
            }
        }
        // `'1'` is a valid integer, numeric, text, boolean, JSON and interval; what it is not valid for
        // takes NULL, and operators between two unknown constants need a number.
        let fillers = [
            Value::Untyped("1".into()),
            Value::Number("1".into()),
            Value::Null,
            Value::Untyped("epoch".into()),
        ];
        let fillers = if unknown.is_empty() { &fillers[..1] } else { &fillers[..] };
        let variants: Vec<String> = fillers
            .iter()
            .map(|filler| {
                let mut all = values.clone();
                all.extend(unknown.iter().map(|number| (*number, filler.clone())));
                evidence.parsed.bind(&all, Some(&clock))
            })
            .collect();
        match bindings.iter_mut().find(|b| b.variants == variants) {
            Some(same) => same.weight += choice.weight,
            None => bindings.push(Binding { variants, weight: choice.weight }),
        }
    }
    if !evidence.rows_are_evidence() || !evidence.observed.is_empty() {
        keep_heaviest(&mut bindings);
    }
    bindings
}

/// Keeps the most usual bindings and makes their weights add up to 1.
fn keep_heaviest(bindings: &mut Vec<Binding>) {
    // The sort is stable: equal weights keep the order in which they were made.
    bindings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    bindings.truncate(MAX_KEPT);
    let sum: f64 = bindings.iter().map(|b| b.weight).sum();
    for binding in bindings.iter_mut() {
        binding.weight = if sum > 0.0 { binding.weight / sum } else { 1.0 };
    }
}

/// Weighs bindings by how near the planner's row estimate of each comes to the rows that a call gave,
/// and keeps the nearest.
///
/// `estimates` are the planner's rows, in the order of the bindings.
pub fn weigh_by_rows(bindings: &mut Vec<Binding>, estimates: &[f64], rows_per_call: f64) {
    let rows = rows_per_call.max(0.1);
    for (binding, estimate) in bindings.iter_mut().zip(estimates) {
        // A factor of e away halves nothing and forgives nothing: the weight falls with the square.
        let distance = (estimate.max(0.1) / rows).ln();
        binding.weight *= (-(distance * distance) / 2.0).exp().max(1e-12);
    }
    keep_heaviest(bindings);
    // What is a hundred times less likely is not worth a planner call.
    bindings.retain(|b| b.weight >= 0.01);
    keep_heaviest(bindings);
}

fn observed(evidence: Evidence<'_>) -> Vec<Choice> {
    let mut sorted: Vec<&ObservedValues> = evidence.observed.iter().collect();
    sorted.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.values.cmp(&b.values)));
    sorted
        .into_iter()
        .map(|o| Choice {
            values: o
                .values
                .iter()
                .map(|(number, value)| {
                    let value = match value {
                        Some(text) => typed(evidence, *number, text),
                        None => Value::Null,
                    };
                    (*number, value)
                })
                .collect(),
            weight: o.times.max(1) as f64,
        })
        .collect()
}

/// An observed value with the type of the column it is compared with.
fn typed(evidence: Evidence<'_>, number: u32, text: &str) -> Value {
    for context in evidence.analysis.parameters.get(&number).into_iter().flatten() {
        if matches!(context, ParameterContext::Limit | ParameterContext::Offset) {
            return Value::Number(text.into());
        }
    }
    Value::Untyped(text.into())
}

/// The possibilities of every predicate, predicates on one column taken together.
fn groups(evidence: Evidence<'_>) -> Vec<Vec<Choice>> {
    let mut groups: Vec<Vec<Choice>> = Vec::new();
    let mut assigned: BTreeSet<u32> = BTreeSet::new();
    for (r, relation) in evidence.analysis.relations.iter().enumerate() {
        // Lower and upper bounds of one column make one stretch.
        let mut bounded: BTreeSet<&str> = BTreeSet::new();
        for predicate in &relation.predicates {
            let has_parameters = predicate.values.iter().any(|v| !v.parameters().is_empty());
            let (column, lowered) = match predicate.key.column() {
                Some(column) => (Some(column), None),
                None => only_column(&predicate.key),
            };
            let Some(column) = column.filter(|_| has_parameters) else { continue };
            let Some((table, definition)) = evidence.column(r, column) else { continue };
            let values = ColumnValues::new(table, definition, evidence.snapshot.taken_at);
            let choices = if predicate.operator.is_range() && lowered.is_none() {
                if !bounded.insert(column) {
                    continue;
                }
                ranges(&values, &relation.predicates, column, &mut assigned)
            } else {
                equalities(evidence, &values, predicate, lowered.as_deref(), &mut assigned)
            };
            if !choices.is_empty() {
                groups.push(choices);
            }
        }
    }
    groups
}

/// The column under an expression of one column, and the function around it.
fn only_column(key: &sql::KeyExpression) -> (Option<&str>, Option<String>) {
    let sql::KeyExpression::Expression { expression, .. } = key else { return (None, None) };
    let columns = expression.columns();
    let column = columns.iter().next().filter(|_| columns.len() == 1).map(|c| c.column.as_str());
    let function = match expression {
        Expression::Function { name, .. } => name.clone(),
        Expression::Operator { name, .. } => name.clone(),
        Expression::Cast { to, .. } => format!("::{to}"),
        _ => String::new(),
    };
    (column, Some(function))
}

/// Common, middling and rare values for one predicate.
fn equalities(
    evidence: Evidence<'_>,
    values: &ColumnValues<'_>,
    predicate: &sql::Predicate,
    around: Option<&str>,
    assigned: &mut BTreeSet<u32>,
) -> Vec<Choice> {
    let mut options = values.points();
    match around {
        Some("lower") => options.iter_mut().for_each(|(text, _)| *text = text.to_lowercase()),
        Some("upper") => options.iter_mut().for_each(|(text, _)| *text = text.to_uppercase()),
        None => {}
        // The value of another function is not the value of the column.
        Some(_) => return Vec::new(),
    }
    let numbers: Vec<u32> =
        predicate.values.iter().flat_map(direct).filter(|n| assigned.insert(*n)).collect();
    if numbers.is_empty() {
        return Vec::new();
    }
    let typed = |text: &str| match around {
        None => values.typed(text),
        Some(_) => Value::Untyped(text.into()),
    };
    // A list of all values that there are would restrict nothing.
    let listed = options.len().saturating_sub(1).clamp(1, 3);
    let mut choices = Vec::new();
    for (i, (text, weight)) in options.iter().enumerate() {
        // Several values of one list are neighbours in the list of options.
        let nth = |n: usize| options.get((i + n) % options.len()).map_or(text.as_str(), |(t, _)| t.as_str());
        let mut assignment = BTreeMap::new();
        for (n, number) in numbers.iter().enumerate() {
            let value = match &predicate.operator {
                Operator::In if evidence.parsed.is_squashed_list(*number) => {
                    Value::List((0..listed).map(|k| typed(nth(k))).collect())
                }
                Operator::In
                    if matches!(predicate.values.as_slice(), [one] if one.without_casts() == &Expression::Parameter(*number))
                        && !is_in_list(evidence, *number) =>
                {
                    values.array(&(0..listed).map(nth).collect::<Vec<_>>())
                }
                Operator::In => typed(nth(n)),
                Operator::Like { .. } => {
                    let prefix: String = text.chars().take(4).collect();
                    Value::Untyped(if i % 2 == 0 { format!("{prefix}%") } else { format!("%{prefix}%") })
                }
                Operator::Other(operator) => match values.contained(operator, text) {
                    Some(value) => value,
                    None => continue,
                },
                _ => typed(text),
            };
            assignment.insert(*number, value);
        }
        choices.push(Choice { values: assignment, weight: *weight });
    }
    choices.retain(|c| !c.values.is_empty());
    if choices.is_empty() {
        // Nothing was assigned, so another predicate may.
        assigned.retain(|n| !numbers.contains(n));
    }
    choices
}

/// The parameters that are the compared value itself, not a part of its computation: `$1` and
/// `ARRAY[$1, $2]`, but not `md5($1 || $2)`. The argument of `to_tsquery` and the like stands for it.
fn direct(value: &Expression) -> Vec<u32> {
    match value.without_casts() {
        Expression::Parameter(number) => vec![*number],
        Expression::List(items) => items.iter().flat_map(direct).collect(),
        Expression::Function { args, name, .. } if matches!(name.as_str(), "lower" | "upper") => {
            args.iter().flat_map(direct).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a parameter is the element of an `IN (…)` list and not the array of `= ANY (…)`.
fn is_in_list(evidence: Evidence<'_>, number: u32) -> bool {
    let text = evidence.parsed.text().to_ascii_lowercase();
    let parameter = format!("${number}");
    text.match_indices(&parameter).any(|(at, _)| {
        let head = text[..at].trim_end().trim_end_matches('(').trim_end();
        head.ends_with(" in") || head.ends_with(',')
    })
}

/// How much of a table the ranges of a statement keep: nobody knows, so several are tried.
const SELECTIVITIES: [(f64, f64); 3] = [(0.01, 0.5), (0.1, 0.3), (0.001, 0.2)];
/// "Since a while ago" mostly means a short while.
const RECENT: [(f64, f64); 3] = [(0.01, 0.6), (0.001, 0.2), (0.04, 0.2)];

fn ranges(
    values: &ColumnValues<'_>,
    predicates: &[sql::Predicate],
    column: &str,
    assigned: &mut BTreeSet<u32>,
) -> Vec<Choice> {
    let on_column: Vec<&sql::Predicate> =
        predicates.iter().filter(|p| p.key.column() == Some(column) && p.operator.is_range()).collect();
    let has = |operators: &[Operator]| on_column.iter().any(|p| operators.contains(&p.operator));
    let lower = has(&[Operator::Greater, Operator::GreaterOrEqual, Operator::Between]);
    let upper = has(&[Operator::Less, Operator::LessOrEqual, Operator::Between]);
    let mut since_now = false;
    for value in on_column.iter().flat_map(|p| &p.values) {
        value.visit(&mut |e| since_now |= matches!(e, Expression::Now));
    }
    let before = assigned.clone();
    let mut choices = Vec::new();
    for (selectivity, weight) in if since_now { RECENT } else { SELECTIVITIES } {
        let mut taken = before.clone();
        // Times are asked for at their recent end, other things anywhere.
        let (from, to) = match (lower, upper) {
            (true, true) if values.is_time() => (1.0 - selectivity, 1.0),
            (true, true) => (0.5 - selectivity / 2.0, 0.5 + selectivity / 2.0),
            (true, false) => (1.0 - selectivity, 1.0),
            _ => (0.0, selectivity),
        };
        let mut assignment = BTreeMap::new();
        for predicate in &on_column {
            let bounds: &[f64] = match predicate.operator {
                Operator::Between => &[from, to],
                Operator::Greater | Operator::GreaterOrEqual => &[from],
                _ => &[to],
            };
            for (value, bound) in predicate.values.iter().zip(bounds) {
                solve(values, value, *bound, &mut assignment, &mut taken);
            }
        }
        if !assignment.is_empty() {
            assigned.extend(taken);
            choices.push(Choice { values: assignment, weight });
        }
    }
    choices.dedup_by(|a, b| a.values == b.values);
    choices
}

/// Chooses the parameters of an expression so that it has the value at a quantile of the column.
fn solve(
    values: &ColumnValues<'_>,
    expression: &Expression,
    quantile: f64,
    assignment: &mut BTreeMap<u32, Value>,
    assigned: &mut BTreeSet<u32>,
) {
    match expression.without_casts() {
        Expression::Parameter(number) if assigned.insert(*number) => {
            if let Some(text) = values.quantile(quantile) {
                assignment.insert(*number, values.typed(&text));
            }
        }
        Expression::Operator { name, left: Some(left), right } if name == "-" || name == "+" => {
            let steps = right.parameters();
            match (left.without_casts(), steps.iter().next()) {
                (Expression::Now, Some(step)) if assigned.insert(*step) => {
                    if let Some(interval) = values.interval_before_now(quantile) {
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
        Expression::Function { args, .. } => {
            for arg in args {
                if let Expression::Parameter(number) = arg.without_casts()
                    && assigned.insert(*number)
                    && let Some(text) = values.quantile(quantile)
                {
                    assignment.insert(*number, Value::Untyped(text));
                }
            }
        }
        _ => {}
    }
}

/// Puts the possibilities of all groups together: every combination when they are few or when evidence
/// will sort them out, else the first with the first, the second with the second.
fn combine(groups: &[Vec<Choice>], evidence: bool) -> Vec<Choice> {
    let start = Choice { values: BTreeMap::new(), weight: 1.0 };
    let product: usize = groups.iter().map(Vec::len).product();
    let limit = if evidence { MAX_TRIED } else { MAX_KEPT };
    let join = |a: &Choice, b: &Choice| {
        let mut values = a.values.clone();
        values.extend(b.values.iter().map(|(n, v)| (*n, v.clone())));
        Choice { values, weight: a.weight * b.weight }
    };
    if product <= limit {
        return groups.iter().fold(vec![start], |all, group| {
            all.iter().flat_map(|a| group.iter().map(|b| join(a, b)).collect::<Vec<_>>()).collect()
        });
    }
    let longest = groups.iter().map(Vec::len).max().unwrap_or(1);
    let mut combined: Vec<Choice> = (0..longest)
        .map(|i| groups.iter().fold(start.clone(), |all, group| join(&all, &group[i % group.len()])))
        .collect();
    if evidence && groups.len() > 1 {
        // The narrow end of one with the wide end of the others, as far as planner calls allow.
        for shift in 1..longest {
            for i in 0..longest {
                if combined.len() >= MAX_TRIED {
                    return combined;
                }
                let shifted = groups.iter().enumerate().fold(start.clone(), |all, (g, group)| {
                    join(&all, &group[(i + if g % 2 == 1 { shift } else { 0 }) % group.len()])
                });
                combined.push(shifted);
            }
        }
    }
    combined
}

/// A value for a parameter that no predicate explains.
fn from_context(evidence: Evidence<'_>, number: u32) -> Option<Value> {
    let contexts = evidence.analysis.parameters.get(&number)?;
    contexts.iter().find_map(|context| match context {
        ParameterContext::Limit => Some(Value::Number(limit(evidence.rows_per_call()).to_string())),
        ParameterContext::Offset => Some(Value::Number("0".into())),
        ParameterContext::ColumnValue { table, column } => {
            let table = evidence.relation(table)?;
            let column = table.column(column)?;
            let values = ColumnValues::new(table, column, evidence.snapshot.taken_at);
            let (text, _) = values.points().into_iter().next()?;
            Some(values.typed(&text))
        }
        ParameterContext::Cast(type_name) if type_name == "regconfig" => {
            // The one that calls without a configuration use.
            let own = evidence.snapshot.setting("default_text_search_config").unwrap_or("simple");
            Some(Value::Typed { text: own.to_owned(), type_name: type_name.clone() })
        }
        ParameterContext::Cast(type_name) => {
            let text = column_values::sample_of_type(type_name, evidence.snapshot.taken_at)?;
            Some(Value::Typed { text, type_name: type_name.clone() })
        }
        ParameterContext::Argument { function, position } => argument(function, *position),
        ParameterContext::JsonKey { column } => {
            let key = column.as_ref().and_then(|c| {
                let (table, column) = evidence.column(c.relation, &c.column)?;
                ColumnValues::new(table, column, evidence.snapshot.taken_at).json_key()
            });
            Some(Value::Untyped(key.unwrap_or_else(|| "id".into())))
        }
        ParameterContext::Number => Some(Value::Number("1".into())),
        ParameterContext::Predicate { .. } | ParameterContext::Unknown => None,
    })
}

/// The row count after `LIMIT`. A call never gives more rows than that, and mostly as many: rows per
/// call rounded up to what people write. Without calls it is 50.
pub fn limit(rows_per_call: f64) -> u64 {
    const ROUND: [u64; 14] = [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1_000, 5_000, 10_000];
    if rows_per_call <= 0.0 {
        return 50;
    }
    let whole = rows_per_call.round();
    if (rows_per_call - whole).abs() < 1e-9 {
        return whole as u64;
    }
    ROUND.into_iter().find(|r| *r as f64 >= rows_per_call).unwrap_or(rows_per_call.ceil() as u64)
}

fn argument(function: &str, position: usize) -> Option<Value> {
    let text = |t: &str| Some(Value::Untyped(t.into()));
    let number = |n: &str| Some(Value::Number(n.into()));
    match (function, position) {
        ("date_trunc", 0) => text("day"),
        ("extract" | "date_part", 0) => text("year"),
        ("timezone", 0) => text("UTC"),
        ("to_char", 1) => text("YYYY-MM-DD"),
        ("string_agg" | "array_to_string" | "split_part", 1) => text(","),
        ("percentile_cont" | "percentile_disc", 0) => number("0.5"),
        ("round" | "trunc" | "left" | "right" | "lag" | "lead" | "ntile" | "nth_value", 1) => number("2"),
        ("split_part", 2) | ("substring" | "substr", 1) | ("ntile", 0) => number("1"),
        ("substring" | "substr", 2) => number("2"),
        ("to_tsquery" | "plainto_tsquery" | "websearch_to_tsquery" | "phraseto_tsquery", 0 | 1) => text("a"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_what_people_write() {
        for (rows, expected) in [(0.0, 50), (20.0, 20), (19.7, 20), (3.2, 5), (0.4, 1), (12_345.5, 12_346)] {
            assert_eq!(limit(rows), expected, "{rows}");
        }
    }

    #[test]
    fn rows_per_call_choose_the_typical_execution() {
        let binding = |name: &str, weight| Binding { variants: vec![name.into()], weight };
        let mut bindings = vec![binding("wide", 0.6), binding("right", 0.2), binding("narrow", 0.2)];
        weigh_by_rows(&mut bindings, &[100_000.0, 900.0, 2.0], 1_000.0);
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].variants, ["right"]);
        assert!((bindings[0].weight - 1.0).abs() < 1e-9);
    }
}
