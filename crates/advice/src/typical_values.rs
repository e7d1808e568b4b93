//! Which values does a normalised statement get called with?
//!
//! `pg_stat_statements` hides every constant, and a generic plan guesses a third of the table for a
//! range, which misleads. So values are taken from the statistics of the compared column: common,
//! middling and rare ones for equality, stretches of different selectivity for ranges, and round
//! intervals ("7 days") for `column > now() - interval $1`. Several executions of a statement are
//! planned and averaged; where the statement's rows per call say which of them is typical, their
//! weights follow that evidence ([`weigh_by_rows`]).

mod column_values;
mod documents;
mod grouped_constants;
mod hidden_constants;
mod patterns;
mod predicates;
mod usual_values;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use model::snapshot::{Column, Relation, Statement};
use model::{QualifiedName, Snapshot};
use sql::{Analysis, Literal, ParameterContext, ParsedStatement, Value};

use self::column_values::ColumnValues;
pub use self::hidden_constants::Assumed;
pub(crate) use self::hidden_constants::written;
use crate::tables::Tables;

/// A way of executing a statement: values in place of parameters, and how usual it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The statement with values; the first that the planner accepts counts. Later ones differ in the
    /// values of parameters of which nothing is known.
    pub variants: Vec<String>,
    /// Its share of the calls; the weights of a statement's bindings add up to 1.
    pub weight: f64,
    /// The number of a guess that rows per call tell nothing of: whether the pattern for an expression without
    /// statistics begins with the text. PostgreSQL estimates the two by constants.
    pub guess: u32,
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
pub(crate) struct Evidence<'a> {
    /// Where statistics come from.
    pub snapshot: &'a Snapshot,
    /// Its tables.
    pub tables: &'a Tables<'a>,
    /// The statement's counters.
    pub statement: &'a Statement,
    /// Its parsed text.
    pub parsed: &'a ParsedStatement,
    /// Its facts.
    pub analysis: &'a Analysis,
    /// Values it was seen with.
    pub observed: &'a [ObservedValues],
    /// Whether `now()` becomes the time of the snapshot in the text.
    pub stops_clock: bool,
}

/// One possibility for a group of parameters that belong together.
#[derive(Clone, Debug)]
struct Choice {
    values: BTreeMap<u32, Value>,
    weight: f64,
    /// As in [`Binding::guess`].
    guess: u32,
}

/// How many bindings are tried before evidence reduces them.
const MAX_TRIED: usize = 9;
/// How many bindings of a statement are kept.
pub const MAX_KEPT: usize = 3;

impl<'a> Evidence<'a> {
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

    fn relation(&self, name: &QualifiedName) -> Option<&'a Relation> {
        self.tables.relation(name)
    }

    fn column(&self, relation: usize, column: &str) -> Option<(&'a Relation, &'a Column)> {
        let relation = self.relation(&self.analysis.relations.get(relation)?.name)?;
        Some((relation, relation.column(column)?))
    }

    /// The rows of a relation of the statement.
    fn rows(&self, relation: usize) -> f64 {
        let relation = self.analysis.relations.get(relation).and_then(|r| self.relation(&r.name));
        relation.map_or(1.0, |r| self.tables.extent(r).rows).max(1.0)
    }

    fn values(&self, table: &'a Relation, column: &'a Column) -> ColumnValues<'a> {
        ColumnValues::new(table, column, self.tables.extent(table).rows, self.snapshot.taken_at)
    }
}

/// A moment as PostgreSQL reads it whatever its time zone.
pub fn clock(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.6f+00").to_string()
}

/// What is assumed of constants within expressions, see [`Assumed`].
pub(crate) fn assume(evidence: Evidence<'_>) -> Assumed {
    hidden_constants::assume(evidence)
}

/// Typical executions of a statement, the most usual first.
pub(crate) fn bindings(evidence: Evidence<'_>, assumed: &Assumed) -> Vec<Binding> {
    let parameters = evidence.parsed.parameters();
    let groups = predicates::groups(evidence, assumed);
    let mut combined = combine(&groups, evidence.rows_are_evidence());
    if !evidence.observed.is_empty() {
        let usual = std::mem::replace(&mut combined, observed(evidence));
        // Of parameters that were not seen the statistics tell.
        for (choice, other) in combined.iter_mut().zip(usual.iter().cycle()) {
            for (number, value) in &other.values {
                choice.values.entry(*number).or_insert_with(|| value.clone());
            }
        }
    }
    let clock = evidence.stops_clock.then(|| evidence.clock());
    let mut bindings: Vec<Binding> = Vec::new();
    for choice in combined {
        let mut values = choice.values;
        for (number, constant) in assumed.constants.iter().chain(&assumed.grouped) {
            let value = match constant {
                Literal::Number(text) => Value::Number(text.clone()),
                other => other.text().map_or(Value::Null, Value::Untyped),
            };
            values.entry(*number).or_insert(value);
        }
        let mut unknown = BTreeSet::new();
        for number in &parameters {
            if !values.contains_key(number) {
                match from_context(evidence, *number) {
                    Some(value) => drop(values.insert(*number, value)),
                    None => drop(unknown.insert(*number)),
                }
            }
        }
        let variants = variants(evidence, &values, &unknown, clock.as_deref());
        match bindings.iter_mut().find(|b| b.variants == variants) {
            Some(same) => same.weight += choice.weight,
            None => bindings.push(Binding { variants, weight: choice.weight, guess: choice.guess }),
        }
    }
    if !evidence.rows_are_evidence() || !evidence.observed.is_empty() {
        keep_heaviest(&mut bindings);
    }
    bindings
}

/// The spellings of one execution, the best first. `'1'` is a valid integer, numeric, text, boolean, JSON and
/// interval, `'epoch'` a moment; operators between two unknown constants need a number; what is left takes NULL. A
/// computed value that PostgreSQL cannot compute gives way to its text and then to these.
fn variants(
    evidence: Evidence<'_>,
    values: &BTreeMap<u32, Value>,
    unknown: &BTreeSet<u32>,
    clock: Option<&str>,
) -> Vec<String> {
    let computed: BTreeSet<u32> =
        values.iter().filter(|(_, v)| matches!(v, Value::Computed { .. })).map(|(n, _)| *n).collect();
    let fillers =
        [Value::Untyped("1".into()), Value::Untyped("epoch".into()), Value::Number("1".into()), Value::Null];
    let mut variants = Vec::new();
    let mut add = |values: &BTreeMap<u32, Value>, fillers: &[Value]| {
        for filler in fillers {
            let mut all = values.clone();
            all.extend(unknown.iter().map(|number| (*number, filler.clone())));
            let text = evidence.parsed.bind(&all, clock);
            if !variants.contains(&text) {
                variants.push(text);
            }
        }
    };
    // A text of a megabyte is not spelt in twelve ways.
    let few = if evidence.parsed.text().len() > 100_000 { 1 } else { fillers.len() };
    add(values, if unknown.is_empty() { &fillers[..1] } else { &fillers[..few] });
    if !computed.is_empty() && few > 1 {
        let mut plain = values.clone();
        for (number, value) in &mut plain {
            if computed.contains(number) {
                *value = Value::Untyped(value.text().to_owned());
            }
        }
        add(&plain, &fillers[..1]);
        for filler in &fillers {
            for number in &computed {
                plain.insert(*number, filler.clone());
            }
            add(&plain, std::slice::from_ref(filler));
        }
    }
    variants
}

/// Keeps the most usual bindings and makes their weights add up to 1.
fn keep_heaviest(bindings: &mut Vec<Binding>) {
    // The sort is stable: equal weights keep the order in which they were made.
    bindings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    bindings.truncate(MAX_KEPT);
    let sum: f64 = bindings.iter().map(|b| b.weight).sum();
    let kept = bindings.len() as f64;
    for binding in bindings.iter_mut() {
        binding.weight = if sum > 0.0 { binding.weight / sum } else { 1.0 / kept };
    }
}

/// Weighs bindings by how near the planner's row estimate of each comes to the rows that a call gave,
/// and keeps the nearest.
///
/// `estimates` are the planner's rows, in the order of the bindings.
pub fn weigh_by_rows(bindings: &mut Vec<Binding>, estimates: &[f64], rows_per_call: f64) {
    let rows = rows_per_call.max(0.1);
    let distance = |estimate: &f64| (estimate.max(0.1) / rows).ln().abs();
    let guesses: BTreeSet<u32> = bindings.iter().map(|b| b.guess).collect();
    for guess in guesses {
        let of_guess = || bindings.iter().zip(estimates).filter(move |(b, _)| b.guess == guess);
        // The nearest tells how well the planner estimates this statement, and so how far off the others are.
        let nearest = of_guess().map(|(_, estimate)| distance(estimate)).fold(f64::INFINITY, f64::min);
        let spread = nearest.clamp(0.4, 2.0);
        let likelihood = |estimate: &f64| {
            let far = distance(estimate) / spread;
            (-(far * far) / 2.0).exp().max(1e-12)
        };
        let before: f64 = of_guess().map(|(b, _)| b.weight).sum();
        let after: f64 = of_guess().map(|(b, estimate)| b.weight * likelihood(estimate)).sum();
        for (binding, estimate) in bindings.iter_mut().zip(estimates).filter(|(b, _)| b.guess == guess) {
            binding.weight *= likelihood(estimate) * before / after.max(f64::MIN_POSITIVE);
        }
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
            guess: 0,
        })
        .collect()
}

/// An observed value with the type of the column it is compared with.
fn typed(evidence: Evidence<'_>, number: u32, text: &str) -> Value {
    for context in evidence.analysis.parameters.get(&number).into_iter().flatten() {
        // Between two unknown constants no operator is the only one.
        let is_number =
            matches!(context, ParameterContext::Limit | ParameterContext::Offset | ParameterContext::Number);
        if is_number && text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Value::Number(text.into());
        }
    }
    Value::Untyped(text.into())
}

/// Puts the possibilities of all groups together: every combination when they are few or when evidence
/// will sort them out, else the first with the first, the second with the second.
fn combine(groups: &[Vec<Choice>], evidence: bool) -> Vec<Choice> {
    let start = Choice { values: BTreeMap::new(), weight: 1.0, guess: 0 };
    // A generated text may have tens of thousands of groups.
    let product = groups.iter().map(Vec::len).fold(1_usize, usize::saturating_mul);
    let limit = if evidence { MAX_TRIED } else { MAX_KEPT };
    let add = |all: &mut Choice, one: &Choice| {
        all.values.extend(one.values.iter().map(|(number, value)| (*number, value.clone())));
        all.weight *= one.weight;
        all.guess = all.guess.wrapping_mul(2).wrapping_add(one.guess);
    };
    if product <= limit {
        return groups.iter().fold(vec![start], |all, group| {
            let with = |a: &Choice, b: &Choice| {
                let mut both = a.clone();
                add(&mut both, b);
                both
            };
            all.iter().flat_map(|a| group.iter().map(|b| with(a, b)).collect::<Vec<_>>()).collect()
        });
    }
    let longest = groups.iter().map(Vec::len).max().unwrap_or(1);
    let chosen = |at: &dyn Fn(usize) -> usize| {
        let mut all = start.clone();
        for (number, group) in groups.iter().enumerate().filter(|(_, group)| !group.is_empty()) {
            add(&mut all, &group[at(number) % group.len()]);
        }
        all
    };
    let mut combined: Vec<Choice> = (0..longest).map(|i| chosen(&|_| i)).collect();
    if evidence && groups.len() > 1 {
        // The narrow end of one with the wide end of the others, as far as planner calls allow.
        for shift in 1..longest {
            for i in 0..longest {
                if combined.len() >= MAX_TRIED {
                    return combined;
                }
                combined.push(chosen(&|number| i + if number % 2 == 1 { shift } else { 0 }));
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
            let values = evidence.values(table, column);
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
        ParameterContext::Argument { function, position } => {
            range_bound(evidence, function, *position).or_else(|| argument(function, *position))
        }
        ParameterContext::JsonKey { column } => {
            let key = column.as_ref().and_then(|c| {
                let (table, column) = evidence.column(c.relation, &c.column)?;
                evidence.values(table, column).json_key()
            });
            Some(Value::Untyped(key.unwrap_or_else(|| "id".into())))
        }
        ParameterContext::JsonPath { .. } => Some(Value::Untyped("{id}".into())),
        ParameterContext::Number => Some(Value::Number("1".into())),
        ParameterContext::Predicate { .. } | ParameterContext::Unknown => None,
    })
}

/// A bound of a range of time that is asked for: a day from now.
fn range_bound(evidence: Evidence<'_>, function: &str, position: usize) -> Option<Value> {
    let type_name = match function {
        "tstzrange" => "timestamptz",
        "tsrange" => "timestamp",
        "daterange" => "date",
        _ => return None,
    };
    let days = i64::try_from(position).ok().filter(|days| *days < 2)?;
    let moment = evidence.snapshot.taken_at + chrono::Duration::days(days);
    let text = column_values::sample_of_type(type_name, moment)?;
    Some(Value::Typed { text, type_name: type_name.into() })
}

/// The row count after `LIMIT`. A call never gives more rows than that. Where it is a whole number it is the limit; where it
/// is not, some calls gave fewer, and it is rounded up to what people write. Without calls it is 50.
pub fn limit(rows_per_call: f64) -> u64 {
    const ROUND: [u64; 12] = [1, 10, 20, 25, 50, 100, 200, 250, 500, 1_000, 5_000, 10_000];
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
        for (rows, expected) in
            [(0.0, 50), (20.0, 20), (19.7, 20), (1.6, 10), (3.2, 10), (0.4, 1), (12_345.5, 12_346)]
        {
            assert_eq!(limit(rows), expected, "{rows}");
        }
    }

    #[test]
    fn a_generated_text_has_as_many_groups_as_it_likes() {
        let choice = |number: u32, guess| Choice {
            values: BTreeMap::from([(number, Value::Number("1".into()))]),
            weight: 0.5,
            guess,
        };
        // Two to the power of 64 combinations, and more than a quadratic number of steps gets through.
        for groups in [64, 100_000] {
            let groups: Vec<Vec<Choice>> = (0..groups).map(|n| vec![choice(n, 0), choice(n, 1)]).collect();
            for evidence in [false, true] {
                let combined = combine(&groups, evidence);
                assert!((2..=MAX_TRIED).contains(&combined.len()), "{}", combined.len());
                assert!(combined.iter().all(|c| c.values.len() == groups.len()));
            }
        }
        let binding = |weight| Binding { variants: vec![], weight, guess: 0 };
        let mut bindings = vec![binding(0.0), binding(0.0)];
        keep_heaviest(&mut bindings);
        assert!((bindings[0].weight - 0.5).abs() < 1e-9);
    }

    #[test]
    fn rows_per_call_choose_the_typical_execution() {
        let binding = |name: &str, weight| Binding { variants: vec![name.into()], weight, guess: 0 };
        let mut bindings = vec![binding("wide", 0.6), binding("right", 0.2), binding("narrow", 0.2)];
        weigh_by_rows(&mut bindings, &[100_000.0, 900.0, 2.0], 1_000.0);
        assert_eq!(bindings.len(), 1);
        assert_eq!(bindings[0].variants, ["right"]);
        assert!((bindings[0].weight - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_rows_say_nothing_of_stays_as_likely() {
        let binding = |name: &str, guess| Binding { variants: vec![name.into()], weight: 0.25, guess };
        let mut bindings =
            vec![binding("'a%'", 0), binding("'abc%'", 0), binding("'%a%'", 1), binding("'%abc%'", 1)];
        weigh_by_rows(&mut bindings, &[100_000.0, 1_500.0, 50_000.0, 30.0], 60.0);
        let left: Vec<(&str, f64)> =
            bindings.iter().map(|b| (b.variants[0].as_str(), (b.weight * 1e2).round() / 1e2)).collect();
        assert_eq!(left, [("'%abc%'", 0.5), ("'abc%'", 0.5)]);
    }
}
