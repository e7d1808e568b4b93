//! Which constant stood in an expression that rows are grouped by?
//!
//! `GROUP BY date_trunc($1, at)` gives as many rows as there are days, or hours, or months in the table: the rows of a
//! call tell which. Under a condition there are fewer groups, so that only too few of them speak against a unit. A
//! possibility that is more likely than all others together is taken, as for conditions.

use std::collections::BTreeMap;

use sql::{Expression, Grouping, KeyExpression, Literal, ParameterContext};

use super::Evidence;
use super::documents::Documents;
use super::hidden_constants::{
    CERTAIN, FIELDS, UNITS, by_custom, document_steps, lead_to, parameters, span_seconds,
};
use crate::tables::statistics;

/// One way to fill the parameters of one key.
struct Possibility {
    constants: BTreeMap<u32, Literal>,
    /// How many groups the whole table would have.
    groups: f64,
    /// How usual it is, whatever the rows say.
    prior: f64,
}

/// How far off the number of groups may be, as a logarithm.
const DOUBT: f64 = 0.4;

/// The constants of keys of `GROUP BY` and `DISTINCT`, and of the same keys in the list of results.
pub(super) fn of(evidence: Evidence<'_>, known: &BTreeMap<u32, Literal>) -> BTreeMap<u32, Literal> {
    let mut found: BTreeMap<u32, Literal> = BTreeMap::new();
    for (relation, used) in evidence.analysis.relations.iter().enumerate() {
        for grouping in &used.groups {
            for key in &grouping.keys {
                let KeyExpression::Expression { expression, .. } = key else { continue };
                let expression = expression.with_constants(known).with_constants(&found);
                if expression.parameters().is_empty() {
                    continue;
                }
                if let Some(constants) = likeliest(evidence, relation, grouping, &expression) {
                    found.extend(repeated(evidence, known, &constants));
                    found.extend(constants);
                }
            }
        }
    }
    found
}

fn likeliest(
    evidence: Evidence<'_>,
    relation: usize,
    grouping: &Grouping,
    expression: &Expression,
) -> Option<BTreeMap<u32, Literal>> {
    let possibilities = possibilities(evidence, relation, expression);
    // Other keys multiply the groups, and conditions leave some out.
    let others: f64 = grouping
        .keys
        .iter()
        .filter_map(KeyExpression::column)
        .filter_map(|name| evidence.column(relation, name))
        .filter_map(|(table, column)| Some(statistics(table, column)?.distinct(evidence.rows(relation))))
        .product();
    // Of other expressions it is not known how many values they have.
    let alone = grouping.keys.iter().filter(|key| key.column().is_none()).count() == 1;
    let others = if alone { others } else { evidence.rows(relation) };
    let used = &evidence.analysis.relations[relation];
    let seen = evidence.rows_per_call().max(1.0);
    let is_counted = evidence.statement.calls > 0 && grouping.complete && !evidence.analysis.limited;
    let all_rows = evidence.analysis.relations.len() == 1 && used.predicates.is_empty();
    let weight = |p: &Possibility| {
        // There are at least as many groups as values of one key, and at most as many as combinations of all.
        let most = (p.groups * others).clamp(1.0, evidence.rows(relation));
        let off = match (is_counted, all_rows) {
            (false, _) => 1.0,
            _ if seen > most => seen / most,
            (_, true) if seen < p.groups => p.groups / seen,
            _ => 1.0,
        };
        let distance = off.max(1.0).ln() / DOUBT;
        p.prior * (-distance * distance / 2.0).exp().max(1e-9)
    };
    let sum: f64 = possibilities.iter().map(weight).sum();
    let best = possibilities.into_iter().max_by(|a, b| weight(a).total_cmp(&weight(b)))?;
    (weight(&best) > CERTAIN * sum).then_some(best.constants)
}

fn possibilities(evidence: Evidence<'_>, relation: usize, expression: &Expression) -> Vec<Possibility> {
    let inner = expression.without_casts();
    if let Some((column, steps)) = document_steps(inner) {
        let Some((_, definition)) = evidence.column(relation, &column) else { return Vec::new() };
        let statistics = definition.statistics.as_ref().or(definition.inherited_statistics.as_ref());
        let paths = statistics.map(Documents::of).unwrap_or_default().paths(evidence.rows(relation));
        let scalar = paths.into_iter().filter(|at| at.scalar);
        return scalar
            .filter_map(|at| {
                let constants = lead_to(&steps, &at.path)?;
                Some(Possibility { constants, groups: at.distinct, prior: at.presence })
            })
            .collect();
    }
    let parts = match inner {
        Expression::Function { name, args, .. } => match (name.as_str(), args.as_slice()) {
            ("date_trunc", [Expression::Parameter(number), at, ..]) => Some((*number, at, &UNITS[..])),
            ("extract" | "date_part", [Expression::Parameter(number), at]) => {
                Some((*number, at, &FIELDS[..]))
            }
            _ => None,
        },
        _ => None,
    };
    let Some((number, at, parts)) = parts else {
        let rows = evidence.rows(relation);
        let custom = by_custom(evidence, inner).into_iter();
        return custom.map(|p| Possibility { constants: p.constants, groups: rows, prior: 1.0 }).collect();
    };
    if !at.parameters().is_empty() {
        return Vec::new();
    }
    let span = span_seconds(evidence, relation, at);
    parts
        .iter()
        .map(|(part, length, prior)| {
            let groups = match span {
                _ if *length < 0.0 => -length,
                Some(span) => (span / length).max(1.0),
                None => evidence.rows(relation),
            };
            let constants = BTreeMap::from([(number, Literal::Text((*part).to_owned()))]);
            Possibility { constants, groups, prior: *prior }
        })
        .collect()
}

/// The parameters of the same key where the statement writes it out again, in its list of results or its order.
fn repeated(
    evidence: Evidence<'_>,
    known: &BTreeMap<u32, Literal>,
    constants: &BTreeMap<u32, Literal>,
) -> BTreeMap<u32, Literal> {
    let mut found = BTreeMap::new();
    let parameters = &evidence.analysis.parameters;
    // Which of several constants an equal place has, nothing tells.
    let Some((number, constant)) = constants.first_key_value().filter(|_| constants.len() == 1) else {
        return found;
    };
    let Some(own) = parameters.get(number) else { return found };
    let compared: Vec<u32> = evidence
        .analysis
        .relations
        .iter()
        .flat_map(|r| &r.predicates)
        .flat_map(|p| self::parameters(&p.key))
        .collect();
    for (other, contexts) in parameters {
        let alike = contexts.iter().any(|context| {
            matches!(context, ParameterContext::Argument { .. } | ParameterContext::JsonKey { .. })
                && own.contains(context)
        });
        if alike && !known.contains_key(other) && !compared.contains(other) {
            found.insert(*other, (*constant).clone());
        }
    }
    found
}
