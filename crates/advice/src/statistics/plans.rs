//! Does a statement get another plan with better statistics? It is planned on a planner twin as things are, and on one
//! that holds what ANALYZE of the sample collected, with values that occur together in the rows.
//!
//! Costs before and after are two estimates of different plans over different rows, so their quotient is no gain: a
//! plan that was taken for cheap because too few rows were expected costs more once they are. What is told is whether
//! the plan becomes another one and in what; the time is measured after the change (`verify`). Source: Leis et al.,
//! "How Good Are Query Optimizers, Really?" (VLDB 2015): estimates make plans, and most of the time they are what is
//! wrong with one.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{Configuration, CostError, CostModel};
use model::estimate::{Attempt, Collected, ColumnSet, Comparison, Measured, Tried};
use model::snapshot::{ColumnStatistics, ExtendedStatistics, ExtendedStatisticsData};
use model::{Change, Millis, Recommendation, Snapshot, StatementEffect, StatisticsDefinition};
use plan::Plan;
use plan::diff::ChangeKind;
use plan::render::shape;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sql::{Expression, Operator};

use super::{StatisticsAdvice, Verdict, column_sets, verdict};
use crate::typical_values::{MAX_KEPT, ObservedValues};
use crate::what_if::{Before, Effect, ExecutionOutcome, StatementOutcome, WhatIf};
use crate::workload::Workload;

/// How many differences of two plans are told.
const MAX_WORDS: usize = 4;

/// A statement, planned without and with the statistics that are recommended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanChange {
    /// The statement.
    pub queryid: i64,
    /// Its text.
    pub query: String,
    /// It with values that occur together in the rows.
    pub example: String,
    /// The recommendations whose statistics it was planned with.
    pub recommendations: Vec<String>,
    /// Whether its plan becomes another one.
    pub becomes_another: bool,
    /// What becomes different, in sentences without full stops.
    pub in_words: Vec<String>,
    /// The nodes of the plan, one a line, by the estimates of now.
    pub shape_before: String,
    /// The same with the statistics.
    pub shape_after: String,
    /// What the planner takes the plan of now to cost. No measure for [`Self::cost_after`], which rests on other rows.
    pub cost_before: f64,
    /// What it takes the plan with the statistics to cost.
    pub cost_after: f64,
}

/// A snapshot with statistics that do not exist yet, and what to plan on it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Values of the statements in question that occur together.
    observed: BTreeMap<i64, Vec<ObservedValues>>,
}

impl Trial {
    /// Plans the statements in question on a model of the database as it is, and on one of [`Self::snapshot`].
    ///
    /// # Errors
    /// When a model fails.
    pub async fn run<M: CostModel>(
        &self,
        snapshot: &Snapshot,
        model: &mut M,
        with_statistics: &mut M,
    ) -> Result<WhatIf, CostError> {
        let before = Before::plan_observed(snapshot, model, &self.observed).await?;
        let mut found = before.compare(with_statistics, &Configuration::current(), &mut |_, _| {}).await?;
        found.judge_by_plans(is_same);
        Ok(found)
    }
}

fn is_same(before: &Json, after: &Json) -> bool {
    match (Plan::from_json(before), Plan::from_json(after)) {
        (Ok(before), Ok(after)) => shape(&before) == shape(&after),
        _ => before == after,
    }
}

/// The finding that a recommendation resolves.
pub(super) fn finding(set: &ColumnSet) -> String {
    format!("row-misestimate:{} ({})", set.table, set.label())
}

/// The sets whose statistics a recommendation makes.
fn sets_of<'a>(
    advice: &'a StatisticsAdvice,
    recommendation: &Recommendation,
) -> Vec<(&'a Measured, &'a Tried)> {
    let worth = advice.measured.iter().filter(|m| recommendation.resolves.contains(&finding(&m.set)));
    worth
        .filter_map(|measured| match verdict(measured) {
            Verdict::Worth { tried } => Some((measured, &measured.tried[tried])),
            Verdict::NotWorth { .. } => None,
        })
        .collect()
}

/// What is to be planned on which snapshot; `None` when no statement is concerned or nothing can be carried.
pub fn trial_of_plans(snapshot: &Snapshot, advice: &StatisticsAdvice) -> Option<Trial> {
    let mut changed = snapshot.clone();
    let mut concerned: Vec<&Measured> = Vec::new();
    for recommendation in &advice.recommendations {
        let sets = sets_of(advice, recommendation);
        if sets.is_empty() || !carry(&mut changed, recommendation, &sets) {
            continue;
        }
        concerned.extend(sets.into_iter().map(|(measured, _)| measured));
    }
    if concerned.iter().all(|m| m.set.statements.is_empty()) {
        return None;
    }
    changed.notes.clear();
    let observed = values_that_occur(snapshot, &concerned);
    Some(Trial { snapshot: changed, observed })
}

/// Puts what was collected into a snapshot.
fn carry(snapshot: &mut Snapshot, recommendation: &Recommendation, sets: &[(&Measured, &Tried)]) -> bool {
    let target = recommendation.changes.iter().find_map(|c| match c {
        Change::SetParameter { parameter: model::Parameter::ObjectTarget { .. }, value, .. } => {
            value.as_str().parse().ok()
        }
        _ => None,
    });
    let created = recommendation.changes.iter().find_map(|c| match c {
        Change::CreateStatistics { statistics } => Some(statistics),
        _ => None,
    });
    if let Some(definition) = created {
        let mut all: Option<ExtendedStatisticsData> = None;
        for (_, tried) in sets {
            let Some(Collected::Extended(data)) = &tried.collected else { continue };
            match &mut all {
                None => all = Some((**data).clone()),
                Some(all) => {
                    all.n_distinct = all.n_distinct.take().or_else(|| data.n_distinct.clone());
                    all.dependencies = all.dependencies.take().or_else(|| data.dependencies.clone());
                    if all.most_common_vals.is_none() {
                        all.most_common_vals.clone_from(&data.most_common_vals);
                        all.most_common_freqs.clone_from(&data.most_common_freqs);
                        all.most_common_base_freqs.clone_from(&data.most_common_base_freqs);
                    }
                }
            }
        }
        let Some(data) = all else { return false };
        snapshot.schema_sql.push_str(&format!("\n\n{};\n", definition.create_sql()));
        snapshot.extended_statistics.push(object(definition, target, data));
        return true;
    }
    let Some((measured, tried)) = sets.first() else { return false };
    let relation = snapshot.relations.iter_mut().find(|r| r.name == measured.set.table);
    let name = match &tried.attempt {
        Attempt::Target { column, .. } | Attempt::Distinct { column } => column,
        Attempt::Extended { .. } => return false,
    };
    let column = relation.and_then(|r| r.columns.iter_mut().find(|c| &c.name == name));
    let Some(known) = column.and_then(|c| match c.inherited_statistics.is_some() {
        true => c.inherited_statistics.as_mut(),
        false => c.statistics.as_mut(),
    }) else {
        return false;
    };
    match (&tried.attempt, &tried.collected) {
        (Attempt::Distinct { .. }, _) => match tried.n_distinct {
            Some(distinct) => known.n_distinct = distinct as f32,
            None => return false,
        },
        (_, Some(Collected::Column(collected))) => more_values(known, collected),
        _ => return false,
    }
    true
}

/// A longer list of common values and finer bounds. How values lie in the table, and how many there are in all, a
/// sample of it does not tell as well as ANALYZE of the whole.
fn more_values(known: &mut ColumnStatistics, collected: &ColumnStatistics) {
    known.null_frac = collected.null_frac;
    known.most_common_vals.clone_from(&collected.most_common_vals);
    known.most_common_freqs.clone_from(&collected.most_common_freqs);
    known.histogram_bounds.clone_from(&collected.histogram_bounds);
}

fn object(
    definition: &StatisticsDefinition,
    target: Option<i32>,
    data: ExtendedStatisticsData,
) -> ExtendedStatistics {
    let kinds = definition.kinds.iter().map(|k| k.letter());
    let of_expressions = (!definition.expressions.is_empty()).then_some('e');
    ExtendedStatistics {
        name: definition.name.clone(),
        table: definition.table.clone(),
        definition: definition.create_sql(),
        columns: definition.columns.clone(),
        target,
        kinds: kinds.chain(of_expressions).collect(),
        expressions: definition.expressions.clone(),
        data: vec![data],
    }
}

/// Values of the parameters that the members of a set are compared with: of rows of the sample, so that they occur
/// together, which typical values of each column alone do not.
fn values_that_occur(snapshot: &Snapshot, concerned: &[&Measured]) -> BTreeMap<i64, Vec<ObservedValues>> {
    let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
    let mut observed: BTreeMap<i64, Vec<ObservedValues>> = BTreeMap::new();
    let all: BTreeSet<i64> = concerned.iter().flat_map(|m| m.set.statements.iter().copied()).collect();
    for queryid in all {
        let mut seen: Vec<BTreeMap<u32, Option<String>>> = Vec::new();
        if let Some(statement) = workload.statements.iter().find(|s| s.queryid == queryid) {
            for measured in concerned.iter().filter(|m| m.set.statements.contains(&queryid)) {
                for (number, values) in measured.occurring.iter().take(MAX_KEPT).enumerate() {
                    let next = measured.occurring.get(number + 1).or_else(|| measured.occurring.first());
                    let bound = parameters(&statement.analysis, &statement.assumed, measured, values, next);
                    if bound.is_empty() {
                        continue;
                    }
                    match seen.get_mut(number) {
                        Some(known) => known.extend(bound),
                        None => seen.push(bound),
                    }
                }
            }
        }
        let seen = seen.into_iter().map(|values| ObservedValues { values, times: 1 });
        observed.insert(queryid, seen.collect());
    }
    observed
}

/// The parameters of a statement that the members are compared with, by their values in one row; a list takes the
/// value of another row as well.
fn parameters(
    analysis: &sql::Analysis,
    assumed: &crate::typical_values::Assumed,
    measured: &Measured,
    values: &[Option<String>],
    next: Option<&Vec<Option<String>>>,
) -> BTreeMap<u32, Option<String>> {
    let mut bound = BTreeMap::new();
    for used in analysis.uses_of(&measured.set.table) {
        for predicate in used.predicates.iter().filter(|p| p.disjunct.is_none()) {
            let comparison = match predicate.operator {
                Operator::Equal => Comparison::Equal,
                Operator::In => Comparison::List,
                _ => continue,
            };
            let Some(key) = column_sets::member(&predicate.key, assumed, comparison) else { continue };
            let Some(at) = measured.set.members.iter().position(|m| m.sql == key.sql) else { continue };
            let rows = [Some(values), next.map(Vec::as_slice)];
            for (number, value) in predicate.values.iter().enumerate() {
                let row = rows.get(number).copied().flatten().unwrap_or(values);
                if let (Expression::Parameter(parameter), Some(Some(text))) =
                    (value.without_casts(), row.get(at))
                {
                    bound.insert(*parameter, Some(text.clone()));
                }
            }
        }
    }
    bound
}

/// Writes down what became of the plans, at the recommendations too.
pub fn add_plan_changes(advice: &mut StatisticsAdvice, what_if: &WhatIf) {
    let mut of_recommendation: Vec<(String, BTreeSet<i64>)> = Vec::new();
    for recommendation in &advice.recommendations {
        let sets = sets_of(advice, recommendation);
        if !sets.is_empty() {
            let statements = sets.iter().flat_map(|(m, _)| m.set.statements.iter().copied()).collect();
            of_recommendation.push((recommendation.id.clone(), statements));
        }
    }
    let planned: Vec<&StatementOutcome> =
        what_if.statements.iter().filter(|s| s.effect != Effect::Refused).collect();
    for outcome in &planned {
        let ids: Vec<String> = of_recommendation
            .iter()
            .filter(|(_, statements)| statements.contains(&outcome.queryid))
            .map(|(id, _)| id.clone())
            .collect();
        if let Some(change) = change(outcome, ids) {
            advice.plans.push(change);
        }
    }
    for recommendation in &mut advice.recommendations {
        let Some((id, _)) = of_recommendation.iter().find(|(id, _)| *id == recommendation.id) else {
            continue;
        };
        let own: Vec<&PlanChange> = advice.plans.iter().filter(|p| p.recommendations.contains(id)).collect();
        let others: Vec<&PlanChange> = own.iter().copied().filter(|p| p.becomes_another).collect();
        if own.is_empty() {
            continue;
        }
        recommendation.rationale.push_str(&sentence(own.len(), &others));
        recommendation.statements = others
            .iter()
            .filter_map(|change| Some((change, planned.iter().find(|o| o.queryid == change.queryid)?)))
            .map(|(change, outcome)| effect(change, outcome))
            .collect();
    }
    // What changes a plan stands before what makes an estimate true; what has nothing to do with either stays.
    let is_of_statistics = |r: &Recommendation| of_recommendation.iter().any(|(id, _)| *id == r.id);
    let first = advice.recommendations.iter().position(is_of_statistics).unwrap_or(0);
    if advice.recommendations[first..].iter().all(is_of_statistics) {
        advice.recommendations[first..].sort_by_key(|r| r.statements.is_empty());
    }
}

fn sentence(planned: usize, others: &[&PlanChange]) -> String {
    let all = if planned == 1 { "its statement".to_owned() } else { format!("its {planned} statements") };
    match others {
        [] => format!(
            " On a planner twin that holds them the plan of {all} stays the same: what becomes true is the estimate, \
             which other values and plans of more tables rest on."
        ),
        [first, ..] => {
            let which = match (planned, others.len()) {
                (1, _) => "its statement gets another plan".to_owned(),
                (_, 1) => format!("one of {all} gets another plan"),
                (_, number) => format!("{number} of {all} get another plan"),
            };
            let words = first.in_words.join("; ");
            let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
            format!(" On a planner twin that holds them {which}{words}.")
        }
    }
}

/// The execution whose plan becomes another one, else the most usual.
fn telling(outcome: &StatementOutcome) -> Option<&ExecutionOutcome> {
    let another = outcome.executions.iter().find(|e| !is_same(&e.plan_before, &e.plan_after));
    another.or_else(|| outcome.executions.first())
}

fn change(outcome: &StatementOutcome, recommendations: Vec<String>) -> Option<PlanChange> {
    let execution = telling(outcome)?;
    let (before, after) =
        (Plan::from_json(&execution.plan_before).ok()?, Plan::from_json(&execution.plan_after).ok()?);
    let (shape_before, shape_after) = (shape(&before), shape(&after));
    let in_words = plan::diff::diff(&before, &after)
        .changes
        .into_iter()
        .filter(|c| c.kind <= ChangeKind::Parallelism)
        .map(|c| c.text)
        .take(MAX_WORDS)
        .collect();
    Some(PlanChange {
        queryid: outcome.queryid,
        query: outcome.query.clone(),
        example: execution.sql.clone(),
        recommendations,
        becomes_another: shape_before != shape_after,
        in_words,
        shape_before,
        shape_after,
        cost_before: execution.cost_before,
        cost_after: execution.cost_after,
    })
}

/// No time is promised: the cost of a wrong estimate is no price.
fn effect(change: &PlanChange, outcome: &StatementOutcome) -> StatementEffect {
    let execution = telling(outcome);
    StatementEffect {
        queryid: outcome.queryid,
        query: outcome.query.clone(),
        calls: outcome.calls,
        mean_ms: Millis(outcome.mean_ms),
        cost_before: change.cost_before,
        cost_after: change.cost_after,
        expected_ms: Millis(outcome.mean_ms),
        plan_before: execution.map_or(Json::Null, |e| e.plan_before.clone()),
        plan_after: execution.map_or(Json::Null, |e| e.plan_after.clone()),
        example: change.example.clone(),
    }
}
