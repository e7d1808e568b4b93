//! What would become of every statement of the workload if …? Planned before and after, on one model with
//! two configurations or on two models, and weighed by measured time.
//!
//! Where the advisor looks for the best set, this takes the set that a person has in mind. Expected times
//! follow the planner: a statement whose cost halves is expected to take half of its measured time.
//! Source: Chaudhuri and Narasayya, "AutoAdmin 'What-if' Index Analysis Utility" (SIGMOD 1998).

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{Configuration, CostError, CostModel, Planned};
use model::{Bytes, IndexDefinition, QualifiedName, Snapshot};
use serde::Serialize;
use serde_json::Value as Json;

use crate::index_advisor::combinations;
use crate::index_advisor::naming::Names;
use crate::index_advisor::price::Pricing;
use crate::index_advisor::{Options, SkippedStatement};
use crate::typical_values::{Binding, ObservedValues, weigh_by_rows};
use crate::workload::{Source, Workload, WorkloadStatement};

/// The share of its cost by which a statement must change to count as faster or slower. Below it the
/// planner's own rounding decides.
pub const NOTICEABLE: f64 = 0.01;

/// What a change does to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Cheaper by more than [`NOTICEABLE`].
    Faster,
    /// Dearer by more than [`NOTICEABLE`].
    Slower,
    /// Its plan is another one, and costs before and after cannot be compared.
    Changed,
    /// None of these.
    Unchanged,
    /// It can be planned before and not after.
    Refused,
}

/// One typical execution of a statement, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecutionOutcome {
    /// The statement with values in place of its parameters.
    pub sql: String,
    /// Its share of the calls.
    pub weight: f64,
    /// Planner cost before.
    pub cost_before: f64,
    /// Planner cost after.
    pub cost_after: f64,
    /// The plan before, as `EXPLAIN (FORMAT JSON)` gives it.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub plan_before: Json,
    /// The plan after.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub plan_after: Json,
}

/// One statement, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementOutcome {
    /// The `queryid` of `pg_stat_statements`.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// The foreign key whose check this is; its `queryid` is that of the `DELETE` that causes it.
    pub foreign_key: Option<String>,
    /// The tables that it reads or writes, as it names them: partitioned ones and not their partitions.
    pub tables: BTreeSet<QualifiedName>,
    /// Calls in the snapshot.
    pub calls: i64,
    /// Measured mean execution time in milliseconds.
    pub mean_ms: f64,
    /// Measured execution time of all calls in milliseconds.
    pub total_ms: f64,
    /// The mean time to expect: the measured one scaled as the cost.
    pub expected_ms: f64,
    /// Planner cost before, averaged over its typical executions.
    pub cost_before: f64,
    /// Planner cost after.
    pub cost_after: f64,
    /// What the change does to it.
    pub effect: Effect,
    /// Why it cannot be planned after the change.
    pub refusal: Option<String>,
    /// Its typical executions, the most usual first.
    pub executions: Vec<ExecutionOutcome>,
}

impl StatementOutcome {
    /// Milliseconds that all its calls save; negative when it becomes slower.
    pub fn saved_ms(&self) -> f64 {
        if self.mean_ms > 0.0 { self.total_ms * (1.0 - self.expected_ms / self.mean_ms) } else { 0.0 }
    }

    /// Names of the indexes in its plans before.
    pub fn indexes_before(&self) -> BTreeSet<&str> {
        self.executions.iter().flat_map(|e| index_names(&e.plan_before)).collect()
    }

    /// Names of the indexes in its plans after.
    pub fn indexes_after(&self) -> BTreeSet<&str> {
        self.executions.iter().flat_map(|e| index_names(&e.plan_after)).collect()
    }
}

/// The whole workload, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// Its statements, the most time first.
    pub statements: Vec<StatementOutcome>,
    /// What was left out, with the reason.
    pub skipped: Vec<SkippedStatement>,
    /// Execution time of all statements of the snapshot in milliseconds, skipped ones included.
    pub total_ms: f64,
    /// Hours over which it was counted.
    pub hours: f64,
}

impl WhatIf {
    /// Milliseconds that the workload saves; negative when it becomes slower.
    pub fn saved_ms(&self) -> f64 {
        self.statements.iter().map(StatementOutcome::saved_ms).sum()
    }

    /// Judges by plans and not by costs, which cannot be compared after a change of cost constants or of
    /// the version: expected times are the measured ones then. `same` tells whether two plans are alike.
    pub fn judge_by_plans(&mut self, same: impl Fn(&Json, &Json) -> bool) {
        for statement in self.statements.iter_mut().filter(|s| s.effect != Effect::Refused) {
            let alike = statement.executions.iter().all(|e| same(&e.plan_before, &e.plan_after));
            statement.effect = if alike { Effect::Unchanged } else { Effect::Changed };
            statement.expected_ms = statement.mean_ms;
        }
    }

    /// The statements with one effect, those whose time changes most first, else the most time first.
    pub fn with_effect(&self, effect: Effect) -> Vec<&StatementOutcome> {
        let mut found: Vec<_> = self.statements.iter().filter(|s| s.effect == effect).collect();
        if matches!(effect, Effect::Faster | Effect::Slower) {
            // The sort is stable: equal ones stay in the order of their time.
            found.sort_by(|a, b| b.saved_ms().abs().total_cmp(&a.saved_ms().abs()));
        }
        found
    }
}

/// What an index costs besides its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Upkeep {
    /// Milliseconds per hour for inserts, updates and deletes.
    pub write_ms_per_hour: f64,
    /// Updates per hour that are not HOT any more.
    pub hot_updates_lost_per_hour: f64,
    /// Milliseconds to build it.
    pub build_ms: f64,
}

impl Upkeep {
    /// Estimates what an index would cost in the workload of a snapshot.
    pub fn of(snapshot: &Snapshot, index: &IndexDefinition, bytes: Bytes) -> Self {
        let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
        Self::in_workload(snapshot, &workload, index, bytes)
    }

    fn in_workload(snapshot: &Snapshot, workload: &Workload, index: &IndexDefinition, bytes: Bytes) -> Self {
        let options = Options::default();
        let price = Pricing::new(snapshot, workload, &options, workload.total_ms).price(index, bytes.0);
        Self {
            write_ms_per_hour: price.write_ms / workload.hours,
            hot_updates_lost_per_hour: price.hot_lost / workload.hours,
            build_ms: price.build_ms,
        }
    }
}

/// One typical execution, planned.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub sql: String,
    pub weight: f64,
    pub planned: Planned,
}

/// What is to be planned: everything with typical values, unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'w> {
    /// Only the statement with this `queryid`.
    pub only: Option<i64>,
    /// Values that statements were seen with, by `queryid`.
    pub observed: Option<&'w BTreeMap<i64, Vec<ObservedValues>>>,
}

/// The workload, planned as things are.
#[derive(Clone, Debug)]
pub struct Before {
    workload: Workload,
    executions: Vec<Vec<Execution>>,
}

impl Before {
    /// Plans the statements of a snapshot that are wanted, under a configuration. `progress` is told how many of how many
    /// are done.
    ///
    /// # Errors
    /// When the model itself fails; a statement that cannot be planned is listed with the reason.
    pub async fn plan<M: CostModel>(
        snapshot: &Snapshot,
        model: &mut M,
        configuration: &Configuration,
        wanted: Wanted<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, CostError> {
        let none = BTreeMap::new();
        let mut workload = Workload::from_snapshot(snapshot, wanted.observed.unwrap_or(&none));
        model.learn_combinations(&combinations::known(snapshot, &workload));
        if let Some(queryid) = wanted.only {
            workload.statements.retain(|s| s.queryid == queryid);
            workload.skipped.retain(|s| s.queryid == queryid);
        }
        Self::plan_workload(workload, model, configuration, progress).await
    }

    /// Plans the statements that these values were seen of, with them, as things are; those without any with typical
    /// ones.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub(crate) async fn plan_observed<M: CostModel>(
        snapshot: &Snapshot,
        model: &mut M,
        observed: &BTreeMap<i64, Vec<ObservedValues>>,
    ) -> Result<Self, CostError> {
        let mut workload = Workload::from_snapshot(snapshot, observed);
        workload.statements.retain(|s| s.source == Source::Statement && observed.contains_key(&s.queryid));
        workload.skipped.retain(|s| observed.contains_key(&s.queryid));
        Self::plan_workload(workload, model, &Configuration::current(), &mut |_, _| {}).await
    }

    async fn plan_workload<M: CostModel>(
        mut workload: Workload,
        model: &mut M,
        configuration: &Configuration,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, CostError> {
        let mut executions = Vec::new();
        let mut kept = Vec::new();
        let statements = std::mem::take(&mut workload.statements);
        let total = statements.len();
        for (done, mut statement) in statements.into_iter().enumerate() {
            progress(done, total);
            match plan_executions(model, &mut statement, configuration).await? {
                Ok(planned) => {
                    executions.push(planned);
                    kept.push(statement);
                }
                Err(reason) => {
                    let reason = format!("the planner refuses it: {reason}");
                    workload.skipped.push(SkippedStatement { queryid: statement.queryid, reason });
                }
            }
        }
        workload.statements = kept;
        Ok(Self { workload, executions })
    }

    /// Estimates what an index costs at every write and to build.
    pub fn upkeep(&self, snapshot: &Snapshot, index: &IndexDefinition, bytes: Bytes) -> Upkeep {
        Upkeep::in_workload(snapshot, &self.workload, index, bytes)
    }

    /// Plans the same executions with another model or under another configuration.
    ///
    /// # Errors
    /// When the model itself fails.
    pub async fn compare<M: CostModel>(
        self,
        model: &mut M,
        configuration: &Configuration,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<WhatIf, CostError> {
        let total = self.executions.len();
        let mut statements = Vec::new();
        for (done, (statement, before)) in self.workload.statements.iter().zip(self.executions).enumerate() {
            progress(done, total);
            statements.push(outcome(model, configuration, statement, before).await?);
        }
        Ok(WhatIf {
            statements,
            skipped: self.workload.skipped,
            total_ms: self.workload.total_ms,
            hours: self.workload.hours,
        })
    }
}

/// The names that new indexes can have.
#[derive(Clone, Debug)]
pub struct IndexNames(Names);

impl IndexNames {
    /// All that the snapshot does not have.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self(Names::new(snapshot))
    }

    /// Takes a name that somebody chose; false when something has it already.
    pub fn take(&mut self, name: &QualifiedName) -> bool {
        self.0.take(name)
    }

    /// Chooses a name as PostgreSQL would, and takes it.
    pub fn choose(&mut self, index: &IndexDefinition) -> String {
        self.0.choose(index)
    }
}

/// Plans the typical executions of a statement and weighs them, or tells why none can be planned.
pub(crate) async fn plan_executions<M: CostModel>(
    model: &mut M,
    statement: &mut WorkloadStatement,
    configuration: &Configuration,
) -> Result<Result<Vec<Execution>, String>, CostError> {
    let mut executions: Vec<Execution> = Vec::new();
    let mut bindings: Vec<Binding> = Vec::new();
    let mut refusal = None;
    for binding in &statement.bindings {
        // The first spelling that PostgreSQL accepts; the refusal of the first says most.
        for variant in &binding.variants {
            match model.plan(variant, configuration).await {
                Ok(planned) => {
                    executions.push(Execution { sql: variant.clone(), weight: binding.weight, planned });
                    bindings.push(Binding { variants: vec![variant.clone()], ..binding.clone() });
                    break;
                }
                Err(CostError::Statement { message, .. }) => drop(refusal.get_or_insert(message)),
                Err(failed) => return Err(failed),
            }
        }
    }
    if executions.is_empty() {
        return Ok(Err(refusal.unwrap_or_else(|| "there are no values to plan it with".into())));
    }
    let estimates: Vec<f64> = if statement.rows_are_evidence {
        executions.iter().map(|e| root_rows(&e.planned.explain)).collect()
    } else {
        // Without evidence the weights stand; equal factors leave them alone.
        vec![statement.rows_per_call; executions.len()]
    };
    weigh_by_rows(&mut bindings, &estimates, statement.rows_per_call);
    let weighed = bindings.iter().filter_map(|binding| {
        let sql = binding.variants.first()?;
        let execution = executions.iter().find(|e| &e.sql == sql)?;
        Some(Execution { weight: binding.weight, ..execution.clone() })
    });
    Ok(Ok(weighed.collect()))
}

async fn outcome<M: CostModel>(
    model: &mut M,
    configuration: &Configuration,
    statement: &WorkloadStatement,
    before: Vec<Execution>,
) -> Result<StatementOutcome, CostError> {
    let mut executions = Vec::new();
    let mut refusal = None;
    for Execution { sql, weight, planned } in before {
        let (cost_after, plan_after) = match model.plan(&sql, configuration).await {
            Ok(after) => (without_disable_cost(after.total_cost, planned.total_cost), after.explain),
            Err(CostError::Statement { message, .. }) => {
                refusal.get_or_insert(message);
                (planned.total_cost, Json::Null)
            }
            Err(failed) => return Err(failed),
        };
        let (cost_before, plan_before) = (planned.total_cost, planned.explain);
        executions.push(ExecutionOutcome { sql, weight, cost_before, cost_after, plan_before, plan_after });
    }
    let cost_before: f64 = executions.iter().map(|e| e.weight * e.cost_before).sum();
    let cost_after: f64 = executions.iter().map(|e| e.weight * e.cost_after).sum();
    let ratio = cost_after / cost_before.max(f64::MIN_POSITIVE);
    let effect = match ratio {
        _ if refusal.is_some() => Effect::Refused,
        r if r < 1.0 - NOTICEABLE => Effect::Faster,
        r if r > 1.0 + NOTICEABLE => Effect::Slower,
        _ => Effect::Unchanged,
    };
    // What is not noticeable is not promised either.
    let ratio = if matches!(effect, Effect::Faster | Effect::Slower) { ratio } else { 1.0 };
    Ok(StatementOutcome {
        queryid: statement.queryid,
        query: statement.query.clone(),
        foreign_key: match &statement.source {
            Source::ForeignKeyCheck { constraint, .. } => Some(constraint.clone()),
            Source::Statement => None,
        },
        tables: statement.analysis.tables().into_iter().cloned().collect(),
        calls: statement.calls,
        mean_ms: statement.mean_ms,
        total_ms: statement.total_ms,
        expected_ms: statement.mean_ms * ratio,
        cost_before,
        cost_after,
        effect,
        refusal,
        executions,
    })
}

/// Before 18 a node that `enable_…` has switched off and that is needed all the same costs `disable_cost`
/// (`costsize.c`) more, which says nothing about time.
fn without_disable_cost(after: f64, before: f64) -> f64 {
    const DISABLE_COST: f64 = 1.0e10;
    if before < DISABLE_COST { after % DISABLE_COST } else { after }
}

/// The rows that the root of a plan expects.
fn root_rows(explain: &Json) -> f64 {
    explain.pointer("/Plan/Plan Rows").and_then(Json::as_f64).unwrap_or(1.0)
}

/// The names of all indexes in a plan.
fn index_names(value: &Json) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut next = vec![value];
    while let Some(value) = next.pop() {
        match value {
            Json::Object(map) => {
                names.extend(map.get("Index Name").and_then(Json::as_str));
                next.extend(map.values());
            }
            Json::Array(items) => next.extend(items),
            _ => {}
        }
    }
    names
}
