//! Which constant stood in an expression before `pg_stat_statements` took it out?
//!
//! `doc ->> $1 = $2` was `doc ->> 'email' = …` and `date_trunc($1, at) = $2` was `date_trunc('day', at) = …`, and an
//! index on the expression needs the constant. Three things tell it: which keys the documents of the column have and
//! which of them fit the rest of the expression; how many rows a call gave, set against the rows that each possibility
//! would give; and custom (a space between two names, the server's own text search configuration). A possibility that
//! is more likely than all others together is taken; otherwise nothing is assumed and the advice says so.

use std::collections::{BTreeMap, BTreeSet};

use sql::{Expression, KeyExpression, Literal, Operator, Predicate};

use super::column_values::parse_time;
use super::documents::{AtPath, Documents};
use super::{Evidence, grouped_constants, usual_values};

/// What is assumed of one statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assumed {
    /// Constants by parameter.
    pub constants: BTreeMap<u32, Literal>,
    /// Expressions of which too little is known, as text with `$n`.
    pub unknown: BTreeSet<String>,
    /// Constants of expressions that rows are grouped by. Less is at stake than with an index, so no index is advised
    /// from them.
    pub grouped: BTreeMap<u32, Literal>,
}

impl Assumed {
    /// An expression with the constants in place that are known.
    pub fn in_place(&self, expression: &Expression) -> Expression {
        expression.with_constants(&self.constants).with_constants(&self.grouped)
    }
}

/// One way to fill the parameters of one predicate's key.
#[derive(Clone, Debug)]
pub(super) struct Possibility {
    pub(super) constants: BTreeMap<u32, Literal>,
    /// The share of the table's rows that the predicate keeps then.
    share: f64,
    /// How far off that share may be, as a logarithm: half for parts of a moment, a factor of e for the values of
    /// documents, of which the sample is small.
    doubt: f64,
    /// How usual it is, whatever the rows say.
    prior: f64,
}

/// A possibility with more than this share of the likelihood is taken.
pub(super) const CERTAIN: f64 = 0.5;
/// How many combinations of several predicates are looked at.
const MAX_COMBINED: usize = 4_096;

/// Decides on the hidden constants of a statement.
pub(super) fn assume(evidence: Evidence<'_>) -> Assumed {
    let mut assumed = Assumed::default();
    let observed: BTreeMap<u32, Literal> = observed(evidence);
    for (number, relation_use) in evidence.analysis.relations.iter().enumerate() {
        assumed.constants.extend(usual_values::of_relation(evidence, number));
        let hidden: Vec<&Predicate> =
            relation_use.predicates.iter().filter(|p| !parameters(&p.key).is_empty()).collect();
        let sorted = relation_use.sorts.iter().flat_map(|s| &s.items).any(|i| !parameters(&i.key).is_empty());
        if hidden.is_empty() && !sorted {
            continue;
        }
        let mut combined =
            vec![Possibility { constants: observed.clone(), share: 1.0, doubt: 0.5, prior: 1.0 }];
        let mut settled: BTreeSet<u32> = observed.keys().copied().collect();
        for predicate in hidden {
            let wanted = parameters(&predicate.key);
            if wanted.is_subset(&settled) {
                continue;
            }
            let possibilities = possibilities(evidence, number, predicate);
            if possibilities.is_empty() {
                assumed.unknown.insert(written(&predicate.key));
                continue;
            }
            settled.extend(wanted);
            if combined.len() * possibilities.len() > MAX_COMBINED {
                combined.sort_by(|a, b| b.prior.total_cmp(&a.prior));
                combined.truncate((MAX_COMBINED / possibilities.len()).max(1));
            }
            combined =
                combined.iter().flat_map(|all| possibilities.iter().map(|one| both(all, one))).collect();
        }
        let rows = rows_per_call(evidence, number);
        let table_rows = evidence.rows(number);
        let weigh = |p: &Possibility| {
            let likelihood = rows.map_or(1.0, |seen| {
                let distance = ((table_rows * p.share).max(0.1) / seen.max(0.1)).ln() / p.doubt;
                (-distance * distance / 2.0).exp().max(1e-9)
            });
            p.prior * likelihood
        };
        // Which of two like expressions has which constant does not matter: the index is the same.
        let mut alike: BTreeMap<Vec<&Literal>, (f64, f64, &Possibility)> = BTreeMap::new();
        for possibility in &combined {
            let weight = weigh(possibility);
            let mut constants: Vec<&Literal> = possibility.constants.values().collect();
            constants.sort();
            let (sum, most, best) = alike.entry(constants).or_insert((0.0, weight, possibility));
            *sum += weight;
            if weight > *most {
                (*most, *best) = (weight, possibility);
            }
        }
        let all: f64 = alike.values().map(|(sum, _, _)| sum).sum();
        let best = alike.values().max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((weight, _, possibility)) = best {
            if *weight > CERTAIN * all {
                assumed.constants.extend(possibility.constants.clone());
            } else {
                let open = relation_use.predicates.iter().filter(|p| !parameters(&p.key).is_empty());
                assumed.unknown.extend(open.map(|p| written(&p.key)));
            }
        }
    }
    assumed.grouped = grouped_constants::of(evidence, &assumed.constants);
    assumed
}

fn both(a: &Possibility, b: &Possibility) -> Possibility {
    let mut constants = a.constants.clone();
    let mut prior = a.prior * b.prior;
    for (number, constant) in &b.constants {
        prior *= constants.values().map(|other| beside(other, constant)).product::<f64>();
        constants.insert(*number, constant.clone());
    }
    Possibility { constants, share: a.share * b.share, doubt: a.doubt.max(b.doubt), prior }
}

/// How usual two constants are beside each other. The same twice would be one condition; parts of a moment come
/// with the year, or as a day of any year, or as an hour of the week.
fn beside(a: &Literal, b: &Literal) -> f64 {
    let (Literal::Text(a), Literal::Text(b)) = (a, b) else { return 1.0 };
    let field = |text: &str| FIELDS.iter().any(|(name, _, _)| *name == text);
    match (a.as_str(), b.as_str()) {
        (a, b) if a == b => 0.01,
        (a, b) if !field(a) || !field(b) => 1.0,
        ("year", _) | (_, "year") => 1.0,
        ("month", "day") | ("day", "month") => 1.0,
        ("dow" | "isodow", "hour") | ("hour", "dow" | "isodow") => 1.0,
        _ => 0.1,
    }
}

pub(super) fn parameters(key: &KeyExpression) -> BTreeSet<u32> {
    match key {
        KeyExpression::Column(_) => BTreeSet::new(),
        KeyExpression::Expression { expression, .. } => expression.parameters(),
    }
}

/// An expression for people, its parameters as `$n`.
pub(crate) fn written(key: &KeyExpression) -> String {
    let KeyExpression::Expression { expression, .. } = key else { return String::new() };
    let marked: BTreeMap<u32, Literal> =
        expression.parameters().into_iter().map(|n| (n, Literal::Number(format!("${n}")))).collect();
    expression.with_constants(&marked).index_sql().unwrap_or_else(|| "an expression".into())
}

/// Constants that every observed execution agrees on.
fn observed(evidence: Evidence<'_>) -> BTreeMap<u32, Literal> {
    let mut agreed: BTreeMap<u32, Option<String>> = BTreeMap::new();
    for seen in evidence.observed {
        for (number, value) in &seen.values {
            let same = agreed.entry(*number).or_insert_with(|| value.clone());
            if same != value {
                *same = None;
            }
        }
    }
    let keyed: BTreeSet<u32> = evidence
        .analysis
        .relations
        .iter()
        .flat_map(|r| &r.predicates)
        .flat_map(|p| parameters(&p.key))
        .collect();
    agreed
        .into_iter()
        .filter(|(number, _)| keyed.contains(number))
        .filter_map(|(number, value)| Some((number, Literal::Text(value?))))
        .collect()
}

/// The rows that a call took from a relation, when that is known: the statement reads nothing else.
fn rows_per_call(evidence: Evidence<'_>, relation: usize) -> Option<f64> {
    let alone = evidence.analysis.relations.len() == 1;
    let others = &evidence.analysis.relations[relation].predicates;
    // What plain conditions keep is not known well enough to be divided out.
    let explained = others.iter().all(|p| !parameters(&p.key).is_empty());
    (alone && explained && evidence.rows_are_evidence()).then(|| evidence.rows_per_call())
}

fn possibilities(evidence: Evidence<'_>, relation: usize, predicate: &Predicate) -> Vec<Possibility> {
    let KeyExpression::Expression { expression, .. } = &predicate.key else { return Vec::new() };
    let (mut numeric, mut truth) = (false, false);
    let mut inner = expression;
    while let Expression::Cast { to, inner: below } = inner {
        numeric |= is_number(to);
        truth |= matches!(to.as_str(), "boolean" | "bool");
        inner = below;
    }
    if let Some((column, steps)) = document_steps(inner) {
        let reads = |at: &AtPath| (!numeric || at.numeric) && (!truth || at.truth.is_some());
        return in_documents(evidence, relation, &column, &steps, predicate, reads);
    }
    match inner {
        Expression::Function { name, args, .. } => match (name.as_str(), args.as_slice()) {
            ("date_trunc", [Expression::Parameter(unit), at, ..]) => {
                times(evidence, relation, at, *unit, &UNITS)
            }
            ("extract" | "date_part", [Expression::Parameter(field), at]) => {
                times(evidence, relation, at, *field, &FIELDS)
            }
            _ => by_custom(evidence, inner),
        },
        _ => by_custom(evidence, inner),
    }
}

/// Whether an expression is a number, as far as its columns tell.
fn is_numeric(evidence: Evidence<'_>, expression: &Expression) -> bool {
    let columns = expression.columns();
    !columns.is_empty()
        && columns.iter().all(|c| {
            evidence.column(c.relation, &c.column).is_some_and(|(_, column)| column.type_category == 'N')
        })
}

fn is_number(type_name: &str) -> bool {
    let base = type_name.split('(').next().unwrap_or(type_name).trim();
    matches!(base, "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision")
}

/// A step into a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Key(String),
    HiddenKey(u32),
    HiddenPath(u32),
    Path(Vec<String>),
}

/// The column and the steps of `column -> 'a' ->> $1`.
pub(super) fn document_steps(expression: &Expression) -> Option<(String, Vec<Step>)> {
    let Expression::Operator { name, left: Some(left), right } = expression else { return None };
    let (column, mut steps) = match left.without_casts() {
        Expression::Column(column) => (column.column.clone(), Vec::new()),
        deeper => document_steps(deeper)?,
    };
    steps.push(match (name.as_str(), right.without_casts()) {
        ("->" | "->>", Expression::Parameter(number)) => Step::HiddenKey(*number),
        ("->" | "->>", Expression::Constant(key)) => Step::Key(key.text()?),
        ("#>" | "#>>", Expression::Parameter(number)) => Step::HiddenPath(*number),
        ("#>" | "#>>", Expression::Constant(path)) => {
            Step::Path(model::snapshot::array_elements(&path.text()?).into_iter().flatten().collect())
        }
        _ => return None,
    });
    Some((column, steps))
}

/// Fills steps with the keys of a path; `None` when they do not lead there.
pub(super) fn lead_to(steps: &[Step], path: &[String]) -> Option<BTreeMap<u32, Literal>> {
    match steps {
        [] => path.is_empty().then(BTreeMap::new),
        [Step::Key(key), rest @ ..] => {
            path.first().filter(|k| *k == key)?;
            lead_to(rest, &path[1..])
        }
        [Step::Path(keys), rest @ ..] => path.strip_prefix(keys.as_slice()).and_then(|p| lead_to(rest, p)),
        [Step::HiddenKey(number), rest @ ..] => {
            let key = path.first()?;
            let mut filled = lead_to(rest, &path[1..])?;
            filled.insert(*number, Literal::Text(key.clone()));
            Some(filled)
        }
        // A path of one key is mostly written with an arrow.
        [Step::HiddenPath(number)] if path.len() >= 2 => {
            let quoted: Vec<String> = path
                .iter()
                .map(|key| {
                    let plain =
                        !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
                    if plain {
                        key.clone()
                    } else {
                        format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))
                    }
                })
                .collect();
            Some(BTreeMap::from([(*number, Literal::Text(format!("{{{}}}", quoted.join(","))))]))
        }
        [Step::HiddenPath(_), ..] => None,
    }
}

fn in_documents(
    evidence: Evidence<'_>,
    relation: usize,
    column: &str,
    steps: &[Step],
    predicate: &Predicate,
    reads: impl Fn(&AtPath) -> bool,
) -> Vec<Possibility> {
    let Some((_, definition)) = evidence.column(relation, column) else { return Vec::new() };
    let statistics = definition.statistics.as_ref().or(definition.inherited_statistics.as_ref());
    let documents = statistics.map(Documents::of).unwrap_or_default();
    let rows = evidence.rows(relation);
    let of_documents = matches!(&predicate.operator, Operator::Other(o) if matches!(o.as_str(), "@>" | "<@" | "?" | "?|" | "?&" | "@?" | "@@"));
    documents
        .paths(rows)
        .iter()
        .filter(|at| reads(at))
        // What is searched for parts has parts: a scalar contains nothing but itself.
        .filter(|at| !of_documents || !at.scalar)
        .filter_map(|at| {
            let constants = lead_to(steps, &at.path)?;
            let share = at.presence * kept(&predicate.operator, at, predicate.values.len());
            // A document is seldom compared.
            let fits = if of_documents || at.scalar { 1.0 } else { 0.02 };
            let prior = fits * prior_of_key(at, &predicate.operator);
            // How many rows hold a part depends on the part more than on the key.
            let doubt = if of_documents { 2.5 } else { 1.0 };
            Some(Possibility { constants, share, doubt, prior })
        })
        .collect()
}

/// The share of rows that an operator keeps of a key with so many values.
fn kept(operator: &Operator, at: &AtPath, values: usize) -> f64 {
    let truth = at.truth.unwrap_or(0.5);
    match operator {
        Operator::Equal => 1.0 / at.distinct,
        Operator::In => (values as f64 / at.distinct).min(1.0),
        Operator::AnyOf => (3.0 / at.distinct).min(1.0),
        Operator::IsTrue | Operator::IsNotFalse => truth,
        Operator::IsFalse | Operator::IsNotTrue => 1.0 - truth,
        Operator::NotEqual | Operator::IsNotNull => 1.0,
        Operator::IsNull => 0.1,
        Operator::Like { .. } => 0.01,
        _ => 0.1,
    }
}

/// How usual it is to search by a key: by names and numbers of things more than by what has few values.
fn prior_of_key(at: &AtPath, operator: &Operator) -> f64 {
    let mut prior = 1.0;
    let name = at.path.last().map(|k| k.to_ascii_lowercase()).unwrap_or_default();
    let names_a_thing = ["id", "key", "code", "uuid", "guid", "email", "number", "no", "name", "slug", "ref"]
        .iter()
        .any(|end| name == *end || name.ends_with(&format!("_{end}")) || name.ends_with(&format!("-{end}")));
    let camel =
        at.path.last().is_some_and(|k| k.ends_with("Id") || k.ends_with("Key") || k.ends_with("Code"));
    match operator {
        Operator::Equal | Operator::In | Operator::AnyOf => {
            prior *= if names_a_thing || camel { 4.0 } else { 1.0 };
            prior *= if at.distinct < 4.0 { 0.3 } else { 1.0 };
        }
        o if o.is_range() => prior *= if at.numeric { 2.0 } else { 0.5 },
        Operator::Like { .. } => prior *= if at.numeric { 0.1 } else { 1.0 },
        _ => {}
    }
    prior
}

/// Units of `date_trunc` with their length in seconds, and how usual they are.
pub(super) const UNITS: [(&str, f64, f64); 7] = [
    ("minute", 60.0, 0.05),
    ("hour", 3_600.0, 0.2),
    ("day", 86_400.0, 1.0),
    ("week", 604_800.0, 0.15),
    ("month", 2_629_746.0, 0.4),
    ("quarter", 7_889_238.0, 0.03),
    ("year", 31_556_952.0, 0.1),
];

/// Fields of `extract`; below zero, the number of values that return again and again.
pub(super) const FIELDS: [(&str, f64, f64); 10] = [
    ("year", 31_556_952.0, 1.0),
    ("month", -12.0, 0.6),
    ("day", -30.4, 0.2),
    ("dow", -7.0, 0.3),
    ("isodow", -7.0, 0.1),
    ("doy", -365.0, 0.1),
    ("week", -52.2, 0.1),
    ("quarter", -4.0, 0.1),
    ("hour", -24.0, 0.3),
    ("epoch", 1.0, 0.05),
];

/// How long the times of an expression's column reach, as far as its statistics tell.
pub(super) fn span_seconds(evidence: Evidence<'_>, relation: usize, at: &Expression) -> Option<f64> {
    let column = at.columns().into_iter().next()?;
    let (_, definition) = evidence.column(relation, &column.column)?;
    let statistics = definition.statistics.as_ref().or(definition.inherited_statistics.as_ref())?;
    let histogram = statistics.histogram();
    let (first, last) = (parse_time(histogram.first()?)?, parse_time(histogram.last()?)?);
    Some((last - first).num_seconds().max(1) as f64)
}

/// Parts of a moment: each keeps a part of the span that the column's times cover.
fn times(
    evidence: Evidence<'_>,
    relation: usize,
    at: &Expression,
    number: u32,
    parts: &[(&str, f64, f64)],
) -> Vec<Possibility> {
    if !at.parameters().is_empty() {
        return Vec::new();
    }
    let span = span_seconds(evidence, relation, at);
    parts
        .iter()
        .map(|(part, length, prior)| {
            let share = match span {
                _ if *length < 0.0 => -1.0 / length,
                Some(span) => (length / span).min(1.0),
                None => 0.05,
            };
            let constants = BTreeMap::from([(number, Literal::Text((*part).to_owned()))]);
            Possibility { constants, share, doubt: 0.5, prior: *prior }
        })
        .collect()
}

/// Constants that are nearly always the same; nothing when one of the parameters is not of that kind.
pub(super) fn by_custom(evidence: Evidence<'_>, expression: &Expression) -> Vec<Possibility> {
    let mut constants = BTreeMap::new();
    expression.visit(&mut |part| match part {
        Expression::Operator { name, left: Some(left), right } if name == "||" => {
            for side in [left, right] {
                if let Expression::Parameter(number) = side.without_casts() {
                    constants.insert(*number, Literal::Text(" ".into()));
                }
            }
        }
        Expression::Coalesce(items) => {
            for item in items.iter().skip(1) {
                if let Expression::Parameter(number) = item.without_casts() {
                    let numeric = items.first().is_some_and(|first| is_numeric(evidence, first));
                    let nothing =
                        if numeric { Literal::Number("0".into()) } else { Literal::Text(String::new()) };
                    constants.insert(*number, nothing);
                }
            }
        }
        Expression::Function { name, args, .. } => match (name.as_str(), args.as_slice()) {
            ("to_tsvector", [Expression::Parameter(number), _]) => {
                let own = evidence.snapshot.setting("default_text_search_config").unwrap_or("simple");
                constants.insert(*number, Literal::Text(own.to_owned()));
            }
            ("timezone", [Expression::Parameter(number), _]) => {
                constants.insert(*number, Literal::Text("UTC".into()));
            }
            _ => {}
        },
        _ => {}
    });
    let all = expression.parameters().iter().all(|n| constants.contains_key(n));
    if all { vec![Possibility { constants, share: 0.01, doubt: 3.0, prior: 1.0 }] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_to_paths() {
        let path = |p: &str| p.split('.').map(str::to_owned).collect::<Vec<_>>();
        let steps = [Step::Key("a".into()), Step::HiddenKey(3)];
        assert_eq!(lead_to(&steps, &path("a.b")).unwrap()[&3], Literal::Text("b".into()));
        assert_eq!(lead_to(&steps, &path("x.b")), None);
        assert_eq!(lead_to(&steps, &path("a.b.c")), None);
        let hidden = [Step::HiddenPath(1)];
        assert_eq!(lead_to(&hidden, &path("a.b c")).unwrap()[&1], Literal::Text("{a,\"b c\"}".into()));
        assert_eq!(lead_to(&hidden, &path("a")), None);
    }
}
