//! Which partitions does each statement of the workload read, and why not fewer?

use std::collections::{BTreeMap, BTreeSet};

use model::QualifiedName;
use model::Snapshot;
use model::cost_model::{Configuration, CostError, CostModel, PlanningTimes};
use serde::Serialize;
use sql::{ParsedStatement, Rewriter};

use super::causes::{Cause, PruningCause, Signs, cause};
use super::reading::{Made, Read, read};
use super::sets::{SetOfPartitions, partitioned_sets};
use crate::index_advisor::SkippedStatement;
use crate::rewriting::{Depth, rewrite};
use crate::what_if::{Execution, plan_executions};
use crate::workload::{Source, Workload, WorkloadStatement};

/// When partitions are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pruning {
    /// While the plan is made: the others are not even looked at.
    Planning,
    /// When the plan is started: it is made for all of them, and the others are not read.
    Start,
    /// While the plan runs, once a subquery has given the value that the key is compared with.
    Subquery,
    /// For each row of another table: the plan holds all of them, and each look-up reads one.
    RowByRow,
    /// Never.
    None,
}

/// What a statement reads of one occurrence of a set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetUse {
    /// The set.
    pub table: QualifiedName,
    /// The name that it goes by in the statement.
    pub alias: String,
    /// Partitions of the set.
    pub partitions: usize,
    /// Partitions in the plan as it is made, averaged over typical executions.
    pub planned: f64,
    /// Partitions that are read once the plan is started.
    pub read: f64,
    /// When the others are left out.
    pub pruning: Pruning,
    /// Why none is, when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

/// The plan that serves every value of a prepared statement's parameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GenericPlan {
    /// Planner cost of the plan.
    pub cost: f64,
    /// Planner cost of the plans for given values with what PostgreSQL adds for making them.
    pub custom_cost: f64,
    /// Whether PostgreSQL would take it from the sixth execution on (`plan_cache_mode` is `auto`).
    pub is_chosen: bool,
    /// Partitions in it, all of which every execution locks before 18.
    pub planned: usize,
    /// Whether starting it leaves partitions out.
    pub prunes: bool,
}

/// Another text that reads fewer partitions, planned to see that it does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PruningRewrite {
    /// The rules of `pgwright rewrite`, in their order.
    pub rules: Vec<&'static str>,
    /// The text.
    pub sql: String,
    /// Partitions in its plan as it is made.
    pub planned: f64,
    /// Partitions that it reads.
    pub read: f64,
    /// Planner cost of the statement as it is.
    pub cost_before: f64,
    /// Planner cost of the text, which counts partitions that are left out at the start.
    pub cost_after: f64,
    /// Whether the catalogue proves that it gives the same rows.
    pub is_proved: bool,
}

/// One statement that touches a set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatementPruning {
    /// Its `queryid`.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// The foreign key whose check this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_key: Option<String>,
    /// Calls in the snapshot.
    pub calls: i64,
    /// Measured mean execution time in milliseconds.
    pub mean_ms: f64,
    /// Measured execution time of all calls in milliseconds.
    pub total_ms: f64,
    /// Planner cost, averaged over typical executions.
    pub cost: f64,
    /// The typical execution that counts most, with its values.
    pub typical: String,
    /// What it reads of each occurrence of a set.
    pub uses: Vec<SetUse>,
    /// Its plan when it is prepared; `None` without parameters, or where it cannot be prepared as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic: Option<GenericPlan>,
    /// A text that reads fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<PruningRewrite>,
    /// How long planning takes on the twin, for the statements that take the most time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planning: Option<PlanningTimes>,
    /// The same with the time of now as a constant, of statements that leave partitions out when they are started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planning_with_constant: Option<PlanningTimes>,
}

impl StatementPruning {
    /// The latest at which partitions of a set are left out, over its occurrences.
    pub fn worst(&self) -> Option<&SetUse> {
        self.uses.iter().max_by_key(|u| u.pruning)
    }
}

/// What became of the whole workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PruningReport {
    /// The sets that were looked at.
    pub sets: Vec<SetOfPartitions>,
    /// The statements that touch them, the most time first.
    pub statements: Vec<StatementPruning>,
    /// Statements that could not be planned, with the reason.
    pub skipped: Vec<SkippedStatement>,
    /// Execution time of all statements of the snapshot in milliseconds.
    pub total_ms: f64,
}

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// The sets; all of them when it is empty.
    pub tables: BTreeSet<QualifiedName>,
    /// Of how many statements the planning time is measured.
    pub timed: usize,
}

/// Looks at every statement that touches a partitioned table. `progress` is told how many of how many are done.
///
/// # Errors
/// When the model itself fails.
pub async fn check<M: CostModel>(
    snapshot: &Snapshot,
    model: &mut M,
    options: &CheckOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PruningReport, CostError> {
    let mut sets = partitioned_sets(snapshot);
    sets.retain(|s| options.tables.is_empty() || options.tables.contains(&s.table));
    let workload = Workload::with_running_clock(snapshot);
    let touching: Vec<WorkloadStatement> = workload
        .statements
        .into_iter()
        .filter(|s| s.analysis.relations.iter().any(|r| sets.iter().any(|set| set.table == r.name)))
        .collect();
    let rewriter = Rewriter::new(snapshot);
    let mut checker = Checker { snapshot, model, sets: &sets, rewriter: &rewriter };
    let (mut statements, mut skipped) = (Vec::new(), Vec::new());
    let total = touching.len();
    for (done, statement) in touching.into_iter().enumerate() {
        progress(done, total);
        match checker.statement(statement).await? {
            Ok(mut found) => {
                if statements.len() < options.timed {
                    checker.time(&mut found).await?;
                }
                statements.push(found);
            }
            Err(left_out) => skipped.push(left_out),
        }
    }
    // Of statements that could not be read nobody knows what they touch.
    let known: BTreeSet<&str> = sets.iter().map(|s| s.table.name.as_str()).collect();
    let names_a_set = |queryid: i64| {
        let query =
            snapshot.statements.iter().find(|s| s.queryid == queryid).map_or("", |s| s.query.as_str());
        !sql::is_utility(query) && known.iter().any(|name| query.contains(name))
    };
    let inserts = "it inserts given rows";
    skipped.extend(
        workload.skipped.into_iter().filter(|s| !s.reason.starts_with(inserts) && names_a_set(s.queryid)),
    );
    Ok(PruningReport { sets, statements, skipped, total_ms: workload.total_ms })
}

struct Checker<'a, M> {
    snapshot: &'a Snapshot,
    model: &'a mut M,
    sets: &'a [SetOfPartitions],
    rewriter: &'a Rewriter<'a>,
}

/// What is read of one occurrence, averaged over executions.
#[derive(Clone, Debug, Default)]
struct Average {
    planned: f64,
    read: f64,
    /// Whether some execution has left any out, when it was started or row by row.
    at_start: bool,
    row_by_row: bool,
    /// Whether it is a subquery that every scan waits for.
    by_subquery: bool,
    signs: Signs,
}

impl<M: CostModel> Checker<'_, M> {
    async fn statement(
        &mut self,
        mut statement: WorkloadStatement,
    ) -> Result<Result<StatementPruning, SkippedStatement>, CostError> {
        let planned = plan_executions(self.model, &mut statement, &Configuration::current()).await?;
        let executions = match planned {
            Ok(executions) => executions,
            Err(reason) => {
                let reason = format!("the planner refuses it: {reason}");
                return Ok(Err(SkippedStatement { queryid: statement.queryid, reason }));
            }
        };
        let mut uses = Vec::new();
        for set in self.sets {
            uses.extend(uses_of(&statement, set, &executions));
        }
        let cost = executions.iter().map(|e| e.weight * e.planned.total_cost).sum();
        let typical = executions.iter().max_by(|a, b| a.weight.total_cmp(&b.weight));
        let mut found = StatementPruning {
            queryid: statement.queryid,
            query: statement.query.clone(),
            foreign_key: match &statement.source {
                Source::ForeignKeyCheck { constraint, .. } => Some(constraint.clone()),
                Source::Statement => None,
            },
            calls: statement.calls,
            mean_ms: statement.mean_ms,
            total_ms: statement.total_ms,
            cost,
            typical: typical.map(|e| e.sql.clone()).unwrap_or_default(),
            uses,
            generic: None,
            rewrite: None,
            planning: None,
            planning_with_constant: None,
        };
        if found.foreign_key.is_none() {
            found.generic = self.generic(&statement, &found).await?;
            for set in found.uses.iter_mut().filter(|u| u.planned == 0.0 && u.partitions > 1) {
                self.as_for_all_values(&statement, set, found.generic.as_ref());
            }
            found.rewrite = self.rewrite(&statement, &found).await?;
        }
        Ok(Ok(found))
    }

    /// The plan for all values. What PostgreSQL adds to a plan for given values is `cached_plan_cost` in
    /// `plancache.c`: 1000 operators for each relation of the plan and one more.
    async fn generic(
        &mut self,
        statement: &WorkloadStatement,
        found: &StatementPruning,
    ) -> Result<Option<GenericPlan>, CostError> {
        let Ok(parsed) = ParsedStatement::parse(&statement.query) else { return Ok(None) };
        if parsed.parameters().is_empty() {
            return Ok(None);
        }
        let planned = match self.model.plan_generic(&statement.query).await {
            Ok(planned) => planned,
            Err(CostError::Statement { .. }) => return Ok(None),
            Err(failed) => return Err(failed),
        };
        let (mut partitions, mut prunes) = (0, true);
        for set in self.sets {
            let aliases = aliases(statement, set);
            if aliases.is_empty() {
                continue;
            }
            for read in read(&planned.explain, Made::ForAllValues, set, &aliases).values() {
                partitions += read.planned;
                prunes &= read.removed > 0 || read.row_by_row || read.planned < set.partitions.len();
            }
        }
        let operator = self.snapshot.setting("cpu_operator_cost").and_then(|s| s.parse().ok());
        let operator: f64 = operator.unwrap_or(0.0025);
        let relations: f64 =
            statement.analysis.relations.len() as f64 + found.uses.iter().map(|u| u.planned).sum::<f64>();
        let custom_cost = found.cost + 1000.0 * operator * (relations + 1.0);
        Ok(Some(GenericPlan {
            cost: planned.total_cost,
            custom_cost,
            is_chosen: planned.total_cost < custom_cost,
            planned: partitions,
            prunes,
        }))
    }

    /// What the plan for all values says where every value that was tried contradicts another: when nothing is left out
    /// of it, nothing can be.
    fn as_for_all_values(
        &self,
        statement: &WorkloadStatement,
        set: &mut SetUse,
        generic: Option<&GenericPlan>,
    ) {
        let known = self.sets.iter().find(|s| s.table == set.table);
        if let (Some(known), Some(generic)) = (known, generic)
            && !generic.prunes
            && generic.planned >= set.partitions
        {
            set.planned = set.partitions as f64;
            set.read = set.planned;
            set.pruning = Pruning::None;
            set.cause = Some(cause(&statement.analysis, known, &set.alias, Signs::default()));
        }
    }

    /// A text that reads fewer partitions, of those that the rules know; it is planned to see that it does.
    async fn rewrite(
        &mut self,
        statement: &WorkloadStatement,
        found: &StatementPruning,
    ) -> Result<Option<PruningRewrite>, CostError> {
        let all: Vec<&SetUse> = found.uses.iter().filter(|u| u.pruning == Pruning::None).collect();
        let hopeless = |u: &&&SetUse| {
            u.cause
                .as_ref()
                .is_some_and(|c| matches!(c.kind, PruningCause::AllWanted | PruningCause::StopsAtLimit))
        };
        if all.iter().all(|u| hopeless(&u)) {
            return Ok(None);
        }
        let depth = Depth { steps: 2, with_indexes: 0 };
        let rewrites = rewrite(self.snapshot, self.rewriter, self.model, statement, depth).await?;
        let before: f64 = found.uses.iter().map(|u| u.read).sum();
        let mut better: Vec<PruningRewrite> = rewrites
            .rewrites
            .into_iter()
            .filter_map(|rewrite| {
                let is_proved = rewrite.is_proved();
                let (mut planned, mut read) = (0.0, 0.0);
                for execution in &rewrite.executions {
                    let (in_plan, left) = self.partitions_in(statement, &execution.plan_after);
                    planned += execution.weight * in_plan;
                    read += execution.weight * left;
                }
                (read < before).then_some(PruningRewrite {
                    rules: rewrite.rules,
                    sql: rewrite.sql,
                    planned: even(planned),
                    read: even(read),
                    cost_before: rewrite.cost_before,
                    cost_after: rewrite.cost_after,
                    is_proved,
                })
            })
            .collect();
        better.sort_by(|a, b| b.is_proved.cmp(&a.is_proved).then(a.read.total_cmp(&b.read)));
        Ok(better.into_iter().next())
    }

    /// Partitions of all occurrences of sets that a plan holds, and that it reads.
    fn partitions_in(&self, statement: &WorkloadStatement, explain: &serde_json::Value) -> (f64, f64) {
        let (mut planned, mut left) = (0, 0);
        for set in self.sets {
            let aliases = aliases(statement, set);
            if !aliases.is_empty() {
                for read in read(explain, Made::ForTheseValues, set, &aliases).values() {
                    planned += read.planned;
                    left += read.planned - read.removed;
                }
            }
        }
        (planned as f64, left as f64)
    }

    /// Measures planning; of a statement whose partitions are left out at the start also with a constant for now.
    async fn time(&mut self, found: &mut StatementPruning) -> Result<(), CostError> {
        found.planning = self.planning_of(&found.typical).await?;
        if found.uses.iter().any(|u| u.pruning == Pruning::Start)
            && let Ok(parsed) = ParsedStatement::parse(&found.typical)
        {
            let clock = crate::typical_values::clock(self.snapshot.taken_at);
            let constant = parsed.bind(&BTreeMap::new(), Some(&clock));
            if constant != found.typical {
                found.planning_with_constant = self.planning_of(&constant).await?;
            }
        }
        Ok(())
    }

    async fn planning_of(&mut self, sql: &str) -> Result<Option<PlanningTimes>, CostError> {
        match self.model.time_planning(sql).await {
            Ok(times) => Ok(Some(times)),
            Err(CostError::Statement { .. }) => Ok(None),
            Err(failed) => Err(failed),
        }
    }
}

/// The names that a set goes by in a statement.
fn aliases<'s>(statement: &'s WorkloadStatement, set: &'s SetOfPartitions) -> BTreeSet<&'s str> {
    statement.analysis.uses_of(&set.table).map(|r| r.alias.as_str()).collect()
}

fn uses_of(statement: &WorkloadStatement, set: &SetOfPartitions, executions: &[Execution]) -> Vec<SetUse> {
    let aliases = aliases(statement, set);
    if aliases.is_empty() {
        return Vec::new();
    }
    let reads: Vec<(f64, BTreeMap<String, Read>)> = executions
        .iter()
        .map(|e| (e.weight, read(&e.planned.explain, Made::ForTheseValues, set, &aliases)))
        .collect();
    let mut averages: BTreeMap<String, Average> = BTreeMap::new();
    for alias in &aliases {
        // Several occurrences under one name share what is read.
        let times = statement.analysis.uses_of(&set.table).filter(|r| r.alias == *alias).count();
        let mut own: Vec<(f64, &Read)> =
            reads.iter().filter_map(|(w, r)| Some((*w, r.get(*alias)?))).collect();
        // Values that contradict each other leave no scan, and tell nothing of those with which it is called.
        if own.iter().any(|(_, r)| r.planned > 0) {
            own.retain(|(_, r)| r.planned > 0);
        }
        let whole: f64 = own.iter().map(|(w, _)| w).sum();
        let average = averages.entry((*alias).to_owned()).or_default();
        for (weight, read) in own {
            average.add(read, weight / whole.max(f64::MIN_POSITIVE) / times.max(1) as f64);
        }
    }
    let partitions = set.partitions.len();
    averages
        .into_iter()
        .map(|(alias, average)| {
            let pruning = match &average {
                a if a.at_start => Pruning::Start,
                a if a.planned < partitions as f64 - 1e-6 => Pruning::Planning,
                a if a.row_by_row && a.by_subquery => Pruning::Subquery,
                a if a.row_by_row => Pruning::RowByRow,
                _ => Pruning::None,
            };
            let cause = (pruning == Pruning::None && partitions > 1)
                .then(|| cause(&statement.analysis, set, &alias, average.signs));
            SetUse {
                table: set.table.clone(),
                alias,
                partitions,
                planned: even(average.planned),
                read: even(average.read),
                pruning,
                cause,
            }
        })
        .collect()
}

/// Weights add up to 1 but for the last digits, which nobody wants to see.
fn even(average: f64) -> f64 {
    (average * 1e6).round() / 1e6
}

impl Average {
    fn add(&mut self, read: &Read, weight: f64) {
        self.planned += weight * read.planned as f64;
        self.read += weight * (read.planned - read.removed) as f64;
        self.at_start |= read.removed > 0;
        self.row_by_row |= read.row_by_row;
        self.by_subquery |= read.by_subquery;
        self.signs.partly_by_subquery |= read.partly_by_subquery;
        self.signs.casts_key |= read.casts_key;
        self.signs.compares_rows |= read.compares_rows;
        self.signs.stops_early |= read.stops_early;
    }
}
