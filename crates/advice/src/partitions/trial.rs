//! What would become of the workload if a table were divided like this? Planned on a twin of the snapshot as it is, and
//! on one in which it is divided, before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::{Configuration, CostError, CostModel, PlanningTimes, Registered};
use model::{Bytes, IndexDefinition, QualifiedName, Snapshot};
use serde::Serialize;

use super::layout::{Divided, LostReference, WidenedKey};
use super::reading::{Made, read};
use super::sets::{SetOfPartitions, partitioned_sets};
use crate::what_if::{Before, Effect, StatementOutcome, Wanted};
use crate::workload::Workload;

/// A statement that becomes slower, or cannot be run any more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorseStatement {
    /// Its `queryid`.
    pub queryid: i64,
    /// The normalised text.
    pub query: String,
    /// How many times its cost, 1 when it is refused.
    pub factor: f64,
    /// Why PostgreSQL refuses it, when it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// What a division does to the workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// How it is divided, for instance `RANGE (at), each 1 month in UTC`.
    pub division: String,
    /// Partitions, those ahead and the default one included.
    pub partitions: usize,
    /// Rows of the largest.
    pub largest_rows: f64,
    /// Pages of the largest.
    pub largest_pages: i64,
    /// Statements of the workload that touch the table.
    pub statements: usize,
    /// Those that leave partitions out.
    pub pruning: usize,
    /// Their measured time in milliseconds.
    pub total_ms: f64,
    /// Milliseconds of it that running them saves by the planner's costs; negative when it takes longer.
    pub saved_ms: f64,
    /// Milliseconds that planning them takes more, where it was measured.
    pub planning_ms: f64,
    /// Milliseconds that planning those takes as things are.
    pub planning_now_ms: f64,
    /// Planning of the statement that is called most, as it is.
    pub planning_before: Option<PlanningTimes>,
    /// The same with the table divided.
    pub planning_after: Option<PlanningTimes>,
    /// Bytes of the table's indexes as they would be built now.
    pub index_bytes_before: Bytes,
    /// Bytes of those of all partitions.
    pub index_bytes_after: Bytes,
    /// Statements that become slower or are refused, the worst first.
    pub worse: Vec<WorseStatement>,
    /// Unique keys that the partition key is added to.
    pub widened: Vec<WidenedKey>,
    /// Foreign keys of others that go.
    pub lost_references: Vec<LostReference>,
    /// The share of the calls that assign the partition column, so that rows move.
    pub moving_share: f64,
    /// The share of the calls whose statements cost many times as much.
    pub dearer_share: f64,
}

#[cfg(test)]
impl Trial {
    /// One of statements that took a second, and would take so much less.
    pub(super) fn that_saves(saved_ms: f64) -> Self {
        Self {
            division: "LIST (status), 4 parts".into(),
            partitions: 5,
            largest_rows: 200_000.0,
            largest_pages: 5000,
            statements: 3,
            pruning: 2,
            total_ms: 1000.0,
            saved_ms,
            planning_ms: 0.0,
            planning_now_ms: 0.0,
            planning_before: None,
            planning_after: None,
            index_bytes_before: Bytes(0),
            index_bytes_after: Bytes(0),
            worse: Vec::new(),
            widened: Vec::new(),
            lost_references: Vec::new(),
            moving_share: 0.0,
            dearer_share: 0.0,
        }
    }
}

impl Trial {
    /// What is saved of the time of the statements that touch the table, planning counted.
    pub fn net_share(&self) -> f64 {
        let now_ms = self.total_ms + self.planning_now_ms;
        (self.saved_ms - self.planning_ms) / now_ms.max(f64::MIN_POSITIVE)
    }
}

/// A statement that costs so many times as much is dearer whatever it saves elsewhere.
pub(super) const MANY_TIMES: f64 = 2.0;

/// Of how many statements planning is measured.
const TIMED: usize = 5;

/// The statements of a snapshot that touch a table, as a snapshot with no others.
pub fn touching(snapshot: &Snapshot, table: &QualifiedName) -> Snapshot {
    let workload = Workload::from_snapshot(snapshot, &BTreeMap::new());
    let queryids: BTreeSet<i64> = workload
        .statements
        .iter()
        .filter(|s| s.analysis.tables().contains(table))
        .map(|s| s.queryid)
        .collect();
    let mut only = snapshot.clone();
    only.statements.retain(|s| queryids.contains(&s.queryid));
    only
}

/// Plans every statement that touches a table on both models.
///
/// # Errors
/// When a model fails.
pub async fn trial<A: CostModel, B: CostModel>(
    snapshot: &Snapshot,
    table: &QualifiedName,
    division: String,
    divided: &Divided,
    as_it_is: &mut A,
    as_divided: &mut B,
) -> Result<Trial, CostError> {
    let only = touching(snapshot, table);
    let current = Configuration::current();
    let before = Before::plan(&only, as_it_is, &current, Wanted::default(), &mut |_, _| {}).await?;
    let outcome = before.compare(as_divided, &current, &mut |_, _| {}).await?;
    let set = partitioned_sets(&divided.snapshot).into_iter().find(|s| &s.table == table);
    let prunes = |s: &&StatementOutcome| set.as_ref().is_some_and(|set| prunes(s, set));
    let rows = |name: &QualifiedName| divided.snapshot.relation(name).map_or(0.0, |r| r.reltuples.max(0.0));
    let mut trial = Trial {
        division,
        partitions: divided.partitions.len(),
        largest_rows: divided.partitions.iter().map(|(name, _)| rows(name)).fold(0.0, f64::max),
        largest_pages: divided
            .partitions
            .iter()
            .filter_map(|(name, _)| divided.snapshot.relation(name))
            .map(|r| r.pages)
            .max()
            .unwrap_or(0),
        statements: outcome.statements.len(),
        pruning: outcome.statements.iter().filter(prunes).count(),
        total_ms: outcome.statements.iter().map(|s| s.total_ms).fold(0.0, |sum, ms| sum + ms),
        saved_ms: outcome.statements.iter().map(StatementOutcome::saved_ms).fold(0.0, |sum, ms| sum + ms),
        planning_ms: 0.0,
        planning_now_ms: 0.0,
        planning_before: None,
        planning_after: None,
        index_bytes_before: index_bytes(snapshot, table, as_it_is).await?,
        index_bytes_after: index_bytes(&divided.snapshot, table, as_divided).await?,
        worse: worse(&outcome.statements),
        widened: divided.widened.clone(),
        lost_references: divided.lost_references.clone(),
        moving_share: 0.0,
        dearer_share: share_of_calls(&outcome.statements, |s| {
            s.refusal.is_none() && s.cost_after >= MANY_TIMES * s.cost_before
        }),
    };
    if let Some(set) = &set {
        let moving = moving(&only, set);
        trial.moving_share = share_of_calls(&outcome.statements, |s| moving.contains(&s.queryid));
    }
    planning(&only, &outcome.statements, &mut trial, as_it_is, as_divided).await?;
    Ok(trial)
}

/// Whether a statement leaves out partitions of a set in its plan, when it is started or row by row.
fn prunes(statement: &StatementOutcome, set: &SetOfPartitions) -> bool {
    let aliases = BTreeSet::from([set.table.name.as_str()]);
    let partitions = set.partitions.len();
    statement.refusal.is_none()
        && statement.executions.iter().any(|e| {
            let reads = read(&e.plan_after, Made::ForTheseValues, set, &aliases);
            reads.values().any(|r| r.planned < partitions || r.removed > 0 || r.row_by_row)
        })
}

/// The share of the calls that statements of a kind make up; checks of foreign keys are no calls.
fn share_of_calls(statements: &[StatementOutcome], kind: impl Fn(&StatementOutcome) -> bool) -> f64 {
    let calls = |of: &dyn Fn(&StatementOutcome) -> bool| -> f64 {
        let own = statements.iter().filter(|s| s.foreign_key.is_none() && of(s));
        own.map(|s| s.calls as f64).fold(0.0, |sum, calls| sum + calls)
    };
    calls(&kind) / calls(&|_| true).max(1.0)
}

/// Statements that assign a column of the partition key.
fn moving(only: &Snapshot, set: &SetOfPartitions) -> BTreeSet<i64> {
    let workload = Workload::from_snapshot(only, &BTreeMap::new());
    let assigns = |target: &sql::Target| {
        target.table == set.table && target.assigned.iter().any(|c| set.key_columns.contains(c))
    };
    workload
        .statements
        .iter()
        .filter(|s| s.analysis.target.as_ref().is_some_and(assigns))
        .map(|s| s.queryid)
        .collect()
}

fn worse(statements: &[StatementOutcome]) -> Vec<WorseStatement> {
    let mut worse: Vec<WorseStatement> = statements
        .iter()
        .filter(|s| matches!(s.effect, Effect::Slower | Effect::Refused))
        .map(|s| WorseStatement {
            queryid: s.queryid,
            query: s.query.clone(),
            factor: s.cost_after / s.cost_before.max(f64::MIN_POSITIVE),
            refusal: s.refusal.clone(),
        })
        .collect();
    worse.sort_by(|a, b| b.refusal.is_some().cmp(&a.refusal.is_some()).then(b.factor.total_cmp(&a.factor)));
    worse
}

/// What the indexes of a table would weigh if they were built now, those of its partitions added up.
async fn index_bytes<M: CostModel>(
    snapshot: &Snapshot,
    table: &QualifiedName,
    model: &mut M,
) -> Result<Bytes, CostError> {
    let definitions: Vec<IndexDefinition> = snapshot
        .indexes_of(table)
        .map(|index| IndexDefinition {
            name: format!("{}_sized", index.definition.name),
            ..index.definition.clone()
        })
        .collect();
    let registered = model.register(&definitions).await?;
    let sizes = registered.into_iter().map(|r| match r {
        Registered::Ready { bytes, .. } => bytes,
        Registered::Refused { .. } => Bytes(0),
    });
    Ok(sizes.sum())
}

/// Measures planning of the statements that are called most, on both.
async fn planning<A: CostModel, B: CostModel>(
    only: &Snapshot,
    statements: &[StatementOutcome],
    trial: &mut Trial,
    as_it_is: &mut A,
    as_divided: &mut B,
) -> Result<(), CostError> {
    let running = Workload::with_running_clock(only);
    let mut often: Vec<&StatementOutcome> =
        statements.iter().filter(|s| s.refusal.is_none() && s.foreign_key.is_none()).collect();
    often.sort_by(|a, b| {
        b.calls.cmp(&a.calls).then(b.total_ms.total_cmp(&a.total_ms)).then(a.queryid.cmp(&b.queryid))
    });
    for statement in often.into_iter().take(TIMED) {
        let texts = running
            .statements
            .iter()
            .filter(|s| s.queryid == statement.queryid)
            .flat_map(|s| s.bindings.iter().flat_map(|b| &b.variants));
        for text in texts {
            let (before, after) =
                match (as_it_is.time_planning(text).await, as_divided.time_planning(text).await) {
                    (Ok(before), Ok(after)) => (before, after),
                    (Err(failed @ CostError::Model { .. }), _)
                    | (_, Err(failed @ CostError::Model { .. })) => {
                        return Err(failed);
                    }
                    _ => continue,
                };
            trial.planning_now_ms += before.again.0 * statement.calls as f64;
            trial.planning_ms += (after.again.0 - before.again.0) * statement.calls as f64;
            trial.planning_before.get_or_insert(before);
            trial.planning_after.get_or_insert(after);
            break;
        }
    }
    // What is within the noise of a clock is not told as a gain.
    if trial.planning_ms.abs() < 0.001 * trial.total_ms {
        trial.planning_ms = 0.0;
    }
    Ok(())
}
