//! What does the workload cost under a set of candidates, with few planner calls?
//!
//! A statement is planned anew only when the answer cannot be known. Two observations make most
//! answers known: only indexes on the statement's own tables with a leading column that it uses can
//! matter, and a plan that was the best among many indexes is still the best among fewer as long as
//! those it uses are there (the monotonicity that INUM and CoPhy rest on; Papadomanolakis et al. 2007,
//! Dash et al. 2011).

mod early_stop;

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{CandidateId, Configuration, CostError, CostModel, Planned};
use model::{IndexDefinition, KeyTarget, Snapshot};
use serde_json::Value as Json;
use sql::KeyExpression;

use crate::typical_values::weigh_by_rows;
use crate::workload::{SkippedStatement, Workload, WorkloadStatement};

/// A candidate that the cost model accepted.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub definition: IndexDefinition,
    pub bytes: u64,
}

/// One execution of a statement that the planner accepts.
#[derive(Clone, Debug)]
struct Execution {
    sql: String,
    weight: f64,
    known: Vec<Known>,
}

/// A plan that was made: with these candidates on, these were used, at this cost.
#[derive(Clone, Debug)]
struct Known {
    on: BTreeSet<CandidateId>,
    used: BTreeSet<CandidateId>,
    /// With doubt about early stops.
    cost: f64,
    /// As the planner says, by which it chooses: more indexes never make this higher.
    planner_cost: f64,
}

impl Execution {
    /// What is known of a set without planning: exactly, when a plan with more indexes used only these;
    /// or because more indexes never cost more, which bounds it from both sides.
    fn answer(&self, on: &BTreeSet<CandidateId>) -> Option<Known> {
        let (mut lower, mut upper): (f64, Option<&Known>) = (0.0, None);
        for known in &self.known {
            let more = on.is_subset(&known.on);
            if more && known.used.is_subset(on) {
                return Some(known.clone());
            }
            if more {
                lower = lower.max(known.planner_cost);
            }
            if known.on.is_subset(on) && upper.is_none_or(|u| known.planner_cost < u.planner_cost) {
                upper = Some(known);
            }
        }
        let certain = |u: &&Known| {
            u.planner_cost - lower <= 1e-3 * u.planner_cost && u.cost <= u.planner_cost * (1.0 + 1e-6)
        };
        upper.filter(certain).cloned()
    }
}

/// The cost of one statement under one set of candidates.
#[derive(Clone, Debug, Default)]
pub(super) struct StatementCost {
    /// Average over its executions, with doubt about early stops.
    pub cost: f64,
    /// The same as the planner says; with every candidate on, no set can be below it.
    pub planner_cost: f64,
    /// Candidates that at least one execution uses.
    pub used: BTreeSet<CandidateId>,
}

/// Asks the cost model and remembers.
pub(super) struct Evaluator<'a, M> {
    model: &'a mut M,
    /// Key columns of existing indexes and candidates, by name.
    keys: BTreeMap<String, Vec<KeyTarget>>,
    /// Candidates by handle.
    pub candidates: BTreeMap<CandidateId, Ready>,
    by_name: BTreeMap<String, CandidateId>,
    executions: Vec<Vec<Execution>>,
    /// Candidates that could matter, by statement.
    pub relevant: Vec<BTreeSet<CandidateId>>,
}

impl<'a, M: CostModel> Evaluator<'a, M> {
    /// Plans every statement as things are, fixes the weights of its executions, and drops statements
    /// that cannot be planned from the workload.
    pub async fn start(
        model: &'a mut M,
        snapshot: &Snapshot,
        workload: &mut Workload,
    ) -> Result<Self, CostError> {
        let keys: BTreeMap<String, Vec<KeyTarget>> =
            snapshot.indexes.iter().map(|i| (i.name.name.clone(), key_targets(&i.definition))).collect();
        let mut executions = Vec::new();
        let mut kept = Vec::new();
        let current = Configuration::current();
        for mut statement in std::mem::take(&mut workload.statements) {
            let mut planned = Vec::new();
            let mut refusal = None;
            for binding in &statement.bindings {
                // The first spelling that PostgreSQL accepts; the refusal of the first says most.
                for variant in &binding.variants {
                    match model.plan(variant, &current).await {
                        Ok(plan) => {
                            planned.push((variant.clone(), binding.weight, plan));
                            break;
                        }
                        Err(CostError::Statement { message, .. }) => {
                            refusal.get_or_insert(message);
                        }
                        Err(failed) => return Err(failed),
                    }
                }
            }
            if planned.is_empty() {
                let reason = refusal.unwrap_or_else(|| "there are no values to plan it with".into());
                let reason = format!("the planner refuses it: {reason}");
                workload.skipped.push(SkippedStatement { queryid: statement.queryid, reason });
                continue;
            }
            let mut bindings: Vec<_> = planned
                .iter()
                .map(|(sql, weight, _)| crate::typical_values::Binding {
                    variants: vec![sql.clone()],
                    weight: *weight,
                })
                .collect();
            let estimates: Vec<f64> = if statement.rows_are_evidence {
                planned.iter().map(|(_, _, plan)| root_rows(&plan.explain)).collect()
            } else {
                // Without evidence the weights stand; equal factors leave them alone.
                vec![statement.rows_per_call; planned.len()]
            };
            weigh_by_rows(&mut bindings, &estimates, statement.rows_per_call);
            let of_statement: Vec<Execution> = bindings
                .iter()
                .filter_map(|binding| {
                    let sql = binding.variants.first()?;
                    let (_, _, plan) = planned.iter().find(|(s, _, _)| s == sql)?;
                    let known = Known {
                        on: BTreeSet::new(),
                        used: BTreeSet::new(),
                        cost: early_stop::robust_cost(plan, &keys),
                        planner_cost: plan.total_cost,
                    };
                    Some(Execution { sql: sql.clone(), weight: binding.weight, known: vec![known] })
                })
                .collect();
            statement.bindings = bindings;
            executions.push(of_statement);
            kept.push(statement);
        }
        workload.statements = kept;
        let relevant = vec![BTreeSet::new(); workload.statements.len()];
        Ok(Self { model, keys, candidates: BTreeMap::new(), by_name: BTreeMap::new(), executions, relevant })
    }

    /// Makes candidates known; gives those that PostgreSQL refused with its message.
    pub async fn register(
        &mut self,
        definitions: &[(IndexDefinition, BTreeSet<usize>)],
        workload: &Workload,
    ) -> Result<Vec<(usize, String)>, CostError> {
        let list: Vec<IndexDefinition> = definitions.iter().map(|(d, _)| d.clone()).collect();
        let answers = self.model.register(&list).await?;
        let mut refused = Vec::new();
        for (number, (answer, (definition, statements))) in answers.into_iter().zip(definitions).enumerate() {
            match answer {
                model::Registered::Ready { id, bytes } => {
                    for (s, statement) in workload.statements.iter().enumerate() {
                        if statements.contains(&s) || could_matter(statement, definition) {
                            self.relevant[s].insert(id);
                        }
                    }
                    self.keys.insert(definition.name.clone(), key_targets(definition));
                    self.by_name.insert(definition.name.clone(), id);
                    self.candidates.insert(id, Ready { definition: definition.clone(), bytes: bytes.0 });
                }
                model::Registered::Refused { reason } => refused.push((number, reason)),
            }
        }
        Ok(refused)
    }

    /// The cost of a statement under a set of candidates.
    pub async fn cost(
        &mut self,
        statement: usize,
        on: &BTreeSet<CandidateId>,
    ) -> Result<StatementCost, CostError> {
        let on: BTreeSet<CandidateId> = on.intersection(&self.relevant[statement]).copied().collect();
        let mut total = StatementCost::default();
        for number in 0..self.executions[statement].len() {
            let execution = &self.executions[statement][number];
            let weight = execution.weight;
            let known = execution.answer(&on);
            let known = match known {
                Some(known) => known,
                None => {
                    let configuration =
                        Configuration { added: on.iter().copied().collect(), dropped: Vec::new() };
                    let sql = execution.sql.clone();
                    let known = match self.model.plan(&sql, &configuration).await {
                        Ok(planned) => Known {
                            on: on.clone(),
                            used: self.used(&planned.explain),
                            cost: early_stop::robust_cost(&planned, &self.keys),
                            planner_cost: planned.total_cost,
                        },
                        // It was planned without the candidates, so this is about them: they are no help.
                        Err(CostError::Statement { .. }) => Known {
                            on: on.clone(),
                            used: BTreeSet::new(),
                            cost: execution.known.first().map_or(f64::MAX, |k| k.cost),
                            planner_cost: execution.known.first().map_or(f64::MAX, |k| k.planner_cost),
                        },
                        Err(failed) => return Err(failed),
                    };
                    self.executions[statement][number].known.push(known.clone());
                    known
                }
            };
            total.cost += weight * known.cost;
            total.planner_cost += weight * known.planner_cost;
            total.used.extend(known.used);
        }
        Ok(total)
    }

    /// Plans the most usual execution of a statement, for people to read.
    pub async fn example(
        &mut self,
        statement: usize,
        on: &BTreeSet<CandidateId>,
    ) -> Result<Option<(String, Json)>, CostError> {
        let heaviest = self.executions[statement]
            .iter()
            .max_by(|a, b| a.weight.total_cmp(&b.weight))
            .map(|e| e.sql.clone());
        let Some(sql) = heaviest else { return Ok(None) };
        let configuration = Configuration { added: on.iter().copied().collect(), dropped: Vec::new() };
        match self.model.plan(&sql, &configuration).await {
            Ok(Planned { explain, .. }) => Ok(Some((sql, explain))),
            Err(CostError::Statement { .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// How often the planner was called so far.
    pub fn planner_calls(&self) -> u64 {
        self.model.planner_calls()
    }

    fn used(&self, explain: &Json) -> BTreeSet<CandidateId> {
        let mut names = BTreeSet::new();
        index_names(explain, &mut names);
        names.iter().filter_map(|name| self.by_name.get(*name).copied()).collect()
    }
}

fn key_targets(index: &IndexDefinition) -> Vec<KeyTarget> {
    index.keys.iter().map(|k| k.target.clone()).collect()
}

/// The rows that the root of a plan expects.
fn root_rows(explain: &Json) -> f64 {
    explain.pointer("/Plan/Plan Rows").and_then(Json::as_f64).unwrap_or(1.0)
}

/// The names of all indexes in a plan.
fn index_names<'j>(value: &'j Json, names: &mut BTreeSet<&'j str>) {
    match value {
        Json::Object(map) => {
            if let Some(name) = map.get("Index Name").and_then(Json::as_str) {
                names.insert(name);
            }
            map.values().for_each(|v| index_names(v, names));
        }
        Json::Array(items) => items.iter().for_each(|v| index_names(v, names)),
        _ => {}
    }
}

/// Whether an index could take part in a plan of a statement: its table is there and its leading key
/// is compared, joined, sorted or grouped.
fn could_matter(statement: &WorkloadStatement, index: &IndexDefinition) -> bool {
    let Some(first) = index.keys.first() else { return false };
    let analysis = &statement.analysis;
    analysis.relations.iter().enumerate().filter(|(_, r)| r.name == index.table).any(|(number, relation)| {
        let is_first = |key: &KeyExpression| match (key, &first.target) {
            (KeyExpression::Column(a), KeyTarget::Column(b)) => a == b,
            (KeyExpression::Expression { sql: Some(a), .. }, KeyTarget::Expression(b)) => a == b,
            _ => false,
        };
        let joined = |column: &str| {
            analysis.joins.iter().any(|j| {
                [&j.left, &j.right].iter().any(|side| side.relation == number && side.column == column)
            })
        };
        relation.predicates.iter().any(|p| is_first(&p.key))
            || relation.sorts.iter().any(|s| s.items.iter().any(|i| is_first(&i.key)))
            || matches!(&first.target, KeyTarget::Column(c) if joined(c) || relation.extremes.contains(c))
    })
}
