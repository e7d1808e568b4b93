//! Did it hold what it promised, and did it harm? Is the index there and used, did the statements get
//! as fast as was said, and did any other become slower because of it?
//!
//! Measured times are differences of `pg_stat_statements`' counters, since its means cover all time
//! since the last reset. Whether an index is used is asked twice: by its scan counter, which moves
//! only when the workload runs, and by `EXPLAIN` of the typical executions on the real server.

mod cause;
mod figures;
mod plans;
mod record;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use model::{Bytes, Change, Millis, QualifiedName};
use postgres::{Session, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;

use crate::action::{Action, PartitionChange};
use crate::error::Error;
use crate::executor::begin_writing;
use crate::journal::{self, JournalEntry, JournalStep, Status};
use crate::partitions::tree;
use crate::schema;

use cause::{AppliedChange, AppliedKind, Suspect};
pub use cause::{Cause, Slower};
pub use figures::Figures;
use plans::PlanFacts;
pub use record::{KindRecord, track_record};

/// A promise counts as held when at least this share of the promised saving was measured. Costs are
/// no milliseconds, and caches are warmer or colder than before.
pub const HELD_SHARE: f64 = 0.7;

/// A statement that takes so many times as long as before has become slower.
pub const SLOWER_FACTOR: f64 = 1.2;

/// What was measured around the application of the recommendations of one run.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// The statements before it; where one is missing the promise's own figure is used.
    pub before: Vec<Figures>,
    /// The statements since it.
    pub since: Vec<Figures>,
    /// The `search_path` in which the statements mean what they mean to the roles that run them.
    pub search_path: Option<String>,
    /// Typical executions of statements, by `queryid`.
    pub examples: BTreeMap<i64, Vec<String>>,
    /// Their plans before, as `EXPLAIN (FORMAT JSON, VERBOSE)` gave them.
    pub plans_before: BTreeMap<i64, Vec<Value>>,
    /// The bytes of the tables before, without their indexes.
    pub table_bytes_before: BTreeMap<QualifiedName, u64>,
    /// Take back only what costs more time than it saves.
    pub only_losing: bool,
}

/// What came of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Held,
    /// The statements got faster, by less than was promised.
    SlowerThanPromised,
    /// The statements got slower than before.
    SlowerThanBefore,
    /// The promise holds or not, but another statement became slower because of it.
    MadeOthersSlower,
    /// No plan uses the index.
    NotUsed,
    /// No statement concerned was run since.
    NoCallsYet,
    /// The index is invalid or gone.
    NotThere,
}

/// What was measured of one statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuredStatement {
    /// Its `queryid`.
    pub queryid: i64,
    /// Its text.
    pub query: String,
    /// Mean execution time before.
    pub mean_before: Millis,
    /// Promised mean execution time.
    pub promised: Millis,
    /// Mean execution time since; `None` without calls.
    pub mean_after: Option<Millis>,
    /// Calls since.
    pub calls: i64,
    /// Whether the plan of its typical execution names an index of the recommendation; `None` when
    /// it could not be planned.
    pub uses_index: Option<bool>,
    /// The indexes of the recommendation that the plan names.
    pub used: BTreeSet<QualifiedName>,
}

/// What was measured of one index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredIndex {
    /// Its name.
    pub name: QualifiedName,
    /// Whether it is there and valid.
    pub valid: bool,
    /// Scans since it was made.
    pub idx_scan: i64,
    /// Its size.
    pub bytes: Bytes,
    /// Whether a plan of a typical execution names it.
    pub planned: bool,
}

/// A promise beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The journal's entry.
    pub entry_id: i64,
    /// The recommendation.
    pub recommendation_id: String,
    /// When it was verified.
    pub verified_at: DateTime<Utc>,
    /// What came of it.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub sentence: String,
    /// Time saved of the time promised to be saved, weighted by calls; `None` without calls.
    pub kept_share: Option<f64>,
    /// The statements.
    pub statements: Vec<MeasuredStatement>,
    /// The indexes made.
    pub indexes: Vec<MeasuredIndex>,
    /// The statements that became slower because of it.
    #[serde(default)]
    pub slower: Vec<Slower>,
}

/// A change that is to be taken back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TakeBack {
    /// The journal's entry.
    pub entry_id: i64,
    /// The recommendation.
    pub recommendation_id: String,
    /// The journal's step that made the change.
    pub step_id: i64,
    /// What it made or dropped.
    pub object: QualifiedName,
    /// Why, in a sentence.
    pub sentence: String,
    /// When the user decided to keep the entry; then it stays.
    pub kept_at: Option<DateTime<Utc>>,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Proof {
    /// Its entries, each beside its promise.
    pub verifications: Vec<Verification>,
    /// Statements that became slower, whatever the cause, the one that costs most first.
    pub slower: Vec<Slower>,
    /// By how much statements take longer that have nothing to do with the run, where enough of them
    /// ran to tell.
    pub load: Option<f64>,
    /// Statements that ran too seldom, before or since, to say anything.
    pub too_few_calls: usize,
    /// What is to be taken back.
    pub take_back: Vec<TakeBack>,
}

/// Compares the promises of the entries of one run with what was measured, asks the server about their
/// indexes, looks for statements that became slower and why, and stores the answers in the journal.
///
/// # Errors
/// [`Error::NoEntry`] when there is no such entry, or what the server says.
pub async fn verify(target: &Target, entry_ids: &[i64], measurement: &Measurement) -> Result<Proof, Error> {
    let session = begin_writing(target).await?;
    schema::ensure(&session).await?;
    let all = journal::read(&session, None).await?;
    let mut entries = Vec::new();
    for id in entry_ids {
        let entry = all.iter().find(|e| e.entry_id == *id);
        entries.push(entry.ok_or_else(|| Error::NoEntry { wanted: format!("entry {id}") })?);
    }
    let planner = plans::open(target, measurement.search_path.as_deref()).await?;
    let mut changes = Vec::new();
    for entry in &entries {
        changes.extend(changes_of(&session, entry).await?);
    }
    let mut proof = find_slower(&session, &planner, &entries, &changes, measurement).await?;
    for entry in &entries {
        let made: Vec<&AppliedChange> = changes
            .iter()
            .filter(|c| c.entry_id == entry.entry_id && c.kind == AppliedKind::Created)
            .collect();
        let planned = plan_promised(&planner, entry, &made).await;
        let indexes = index_use(&session, &made, &planned).await?;
        let verification = judge(entry, measurement, indexes, &planned);
        proof.verifications.push(verification);
    }
    decide(&entries, &changes, measurement, &mut proof);
    for (entry, verification) in entries.iter().zip(&mut proof.verifications) {
        let own: BTreeSet<i64> = entry.steps.iter().map(|s| s.step_id).collect();
        let by_it = |slower: &&Slower| slower.steps.iter().any(|id| own.contains(id));
        verification.slower = proof.slower.iter().filter(by_it).cloned().collect();
        if proof.take_back.iter().any(|t| t.entry_id == entry.entry_id)
            && verification.verdict != Verdict::NotThere
        {
            verification.verdict = Verdict::MadeOthersSlower;
            let ids: Vec<String> = verification.slower.iter().map(|s| s.queryid.to_string()).collect();
            verification.sentence =
                format!("{} But it made others slower: {}.", verification.sentence, ids.join(", "));
        }
        let value = serde_json::to_value(&*verification).map_err(Error::json("store a verification"))?;
        journal::write_measured(&session, entry.entry_id, &value).await?;
        record::keep(&session, entry, verification).await?;
    }
    Ok(proof)
}

/// What an entry did that is still done, as far as a statement can feel it.
async fn changes_of(client: &Client, entry: &JournalEntry) -> Result<Vec<AppliedChange>, Error> {
    let mut changes = Vec::new();
    for step in entry.forward_steps().filter(|s| s.status == Status::Done) {
        changes.extend(change_of(client, entry, step).await?);
    }
    Ok(changes)
}

async fn change_of(
    client: &Client,
    entry: &JournalEntry,
    step: &JournalStep,
) -> Result<Option<AppliedChange>, Error> {
    let action = step.action()?;
    let object = action.object();
    let mut indexes = BTreeSet::from([object.clone()]);
    let mut tables = BTreeSet::from([action.table().clone()]);
    let kind = match &action {
        Action::Change(Change::CreateIndex { .. }) => AppliedKind::Created,
        Action::Change(Change::DropIndex { .. }) => AppliedKind::Dropped,
        Action::Change(
            change @ (Change::Analyze { .. }
            | Change::Vacuum { .. }
            | Change::CreateStatistics { .. }
            | Change::SetParameter { .. }),
        ) => {
            indexes.clear();
            tables.extend(tree::read(client, change.table()).await?.nodes.into_iter().map(|n| n.table));
            AppliedKind::Statistics
        }
        Action::Partition(
            PartitionChange::CreateParentIndex { root, index }
            | PartitionChange::CreateOverPartitions { root, index, .. },
        ) if root.index == index.name => {
            for part in tree::index_parts(client, &root.index).await? {
                indexes.insert(part.index.name);
                tables.insert(part.index.table);
            }
            AppliedKind::Created
        }
        Action::Partition(PartitionChange::DropPartitionedIndex { parts, .. }) => {
            for part in parts {
                indexes.insert(part.index.name.clone());
                tables.insert(part.index.table.clone());
            }
            AppliedKind::Dropped
        }
        // A part of one of those.
        Action::Partition(_) | Action::Set(_) => return Ok(None),
    };
    let (entry_id, step_id) = (entry.entry_id, step.step_id);
    Ok(Some(AppliedChange { entry_id, step_id, object, kind, indexes, tables }))
}

/// The figures of a statement; another server numbers its statements otherwise, the text is the same.
fn figures_of<'m>(all: &'m [Figures], queryid: i64, query: &str) -> Option<&'m Figures> {
    all.iter().find(|f| f.queryid == queryid).or_else(|| all.iter().find(|f| f.query == query))
}

/// The statements that became slower, and why.
async fn find_slower(
    client: &Client,
    planner: &Session,
    entries: &[&JournalEntry],
    changes: &[AppliedChange],
    measurement: &Measurement,
) -> Result<Proof, Error> {
    let promised: BTreeMap<i64, &str> = entries
        .iter()
        .flat_map(|e| &e.promised.statements)
        .map(|s| (s.queryid, s.example.as_str()))
        .collect();
    let mut proof = Proof::default();
    let mut pairs = Vec::new();
    for since in &measurement.since {
        match figures_of(&measurement.before, since.queryid, &since.query) {
            Some(before) if before.calls >= figures::LEAST_CALLS && since.calls >= figures::LEAST_CALLS => {
                pairs.push((before, since));
            }
            _ => proof.too_few_calls += 1,
        }
    }
    // Those that were promised to change say nothing of the load.
    let others = pairs.iter().filter(|(_, since)| !promised.contains_key(&since.queryid));
    proof.load = figures::load_factor(others.map(|(before, since)| (before.mean.0, since.mean.0)));
    for (before, since) in pairs {
        if !figures::is_slower(before, since, SLOWER_FACTOR, 1.0) {
            continue;
        }
        let mut examples = measurement.examples.get(&before.queryid).cloned().unwrap_or_default();
        examples.extend(promised.get(&since.queryid).map(|e| (*e).to_owned()));
        let plan_now = plans::facts(planner, &examples, &since.query).await;
        let plan_before = measurement.plans_before.get(&before.queryid).map(|plans| {
            let mut facts = PlanFacts::default();
            plans.iter().for_each(|plan| facts.merge(PlanFacts::of(plan)));
            facts
        });
        let growth = match &plan_now {
            Some(plan) => growth_of(client, plan, measurement).await?,
            None => 1.0,
        };
        let suspect =
            Suspect { before, since, plan_before: plan_before.as_ref(), plan_now: plan_now.as_ref(), growth };
        proof.slower.push(cause::find(&suspect, changes, SLOWER_FACTOR, proof.load));
    }
    proof.slower.sort_by(|a, b| b.lost_ms().total_cmp(&a.lost_ms()).then(a.queryid.cmp(&b.queryid)));
    Ok(proof)
}

/// By which factor the tables of a plan have grown, at most; 1 when nothing is known of before.
async fn growth_of(client: &Client, plan: &PlanFacts, measurement: &Measurement) -> Result<f64, Error> {
    let doing = || Error::query("read the sizes of tables");
    let tables: Vec<&QualifiedName> = plan.read.iter().chain(&plan.written).collect();
    let schemas: Vec<&str> = tables.iter().map(|t| t.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    let rows = client
        .query(include_str!("../queries/table_sizes.sql"), &[&schemas, &names])
        .await
        .map_err(doing())?;
    let mut growth = 1.0_f64;
    for row in &rows {
        let read = || -> Result<_, tokio_postgres::Error> {
            let table =
                QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
            Ok((table, row.try_get::<_, i64>("bytes")?))
        };
        let (table, bytes) = read().map_err(doing())?;
        if let Some(before) = measurement.table_bytes_before.get(&table).filter(|b| **b > 0) {
            growth = growth.max(bytes as f64 / *before as f64);
        }
    }
    Ok(growth)
}

/// What is to be taken back. A statement that reads has become slower by a change: that goes. A
/// statement that writes pays for an index that others gain by, which was the announced price: it goes
/// when it costs more than it saves.
fn decide(
    entries: &[&JournalEntry],
    changes: &[AppliedChange],
    measurement: &Measurement,
    proof: &mut Proof,
) {
    for change in changes {
        let caused: Vec<&Slower> = proof
            .slower
            .iter()
            .filter(|s| s.cause.is_a_change() && s.steps.contains(&change.step_id))
            .collect();
        let Some(worst) = caused.first() else { continue };
        let Some(entry) = entries.iter().find(|e| e.entry_id == change.entry_id) else { continue };
        let gained: Vec<&MeasuredStatement> = proof
            .verifications
            .iter()
            .filter(|v| v.entry_id == change.entry_id)
            .flat_map(|v| &v.statements)
            .filter(|s| s.calls >= figures::LEAST_CALLS)
            .collect();
        let saved: f64 = gained
            .iter()
            .filter_map(|s| s.mean_after.map(|after| s.calls as f64 * (s.mean_before.0 - after.0)))
            .sum();
        let lost: f64 = caused.iter().map(|s| s.lost_ms()).sum();
        let of_reads = caused.iter().any(|s| s.cause != Cause::Upkeep);
        // What it saves is not known before the statements that it was made for have run.
        let losing = !gained.is_empty() && lost > saved;
        let goes = losing || (of_reads && !measurement.only_losing);
        if !goes {
            continue;
        }
        proof.take_back.push(TakeBack {
            entry_id: change.entry_id,
            recommendation_id: entry.recommendation_id.clone(),
            step_id: change.step_id,
            object: change.object.clone(),
            sentence: format!(
                "Statement {} takes {} instead of {} because of {}; since then it has cost {} and the recommendation has \
                 saved {}.",
                worst.queryid,
                worst.mean_since,
                worst.mean_before,
                change.object,
                Millis(lost),
                Millis(saved.max(0.0)),
            ),
            kept_at: entry.kept_at,
        });
    }
}

/// Notes the user's decision to keep what an entry did, whatever is measured of it.
///
/// # Errors
/// [`Error::NoEntry`] when there is no such entry, or what the server says.
pub async fn keep(target: &Target, entry_id: i64) -> Result<(), Error> {
    let session = begin_writing(target).await?;
    schema::ensure(&session).await?;
    journal::write_kept(&session, entry_id).await
}

/// The indexes of the recommendation in the plan of each promised statement's typical execution; `None`
/// when the server would not plan it.
type PlannedIndexes = BTreeMap<i64, Option<BTreeSet<QualifiedName>>>;

async fn plan_promised(planner: &Session, entry: &JournalEntry, made: &[&AppliedChange]) -> PlannedIndexes {
    let mut planned = PlannedIndexes::new();
    for statement in entry.promised.statements.iter().filter(|s| !s.example.is_empty()) {
        let facts = plans::facts(planner, std::slice::from_ref(&statement.example), "").await;
        // The index of a partition stands for that of the whole.
        let used = facts.map(|facts| {
            made.iter().filter(|c| !c.indexes.is_disjoint(&facts.indexes)).map(|c| c.object.clone()).collect()
        });
        planned.insert(statement.queryid, used);
    }
    planned
}

async fn index_use(
    client: &Client,
    made: &[&AppliedChange],
    planned: &PlannedIndexes,
) -> Result<Vec<MeasuredIndex>, Error> {
    let doing = || Error::query("read the use of indexes");
    let made: Vec<&QualifiedName> = made.iter().map(|c| &c.object).collect();
    let schemas: Vec<&str> = made.iter().map(|n| n.schema.as_str()).collect();
    let names: Vec<&str> = made.iter().map(|n| n.name.as_str()).collect();
    let rows =
        client.query(include_str!("../queries/index_use.sql"), &[&schemas, &names]).await.map_err(doing())?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let read = || -> Result<_, tokio_postgres::Error> {
            let name =
                QualifiedName::new(row.try_get::<_, String>("schema")?, row.try_get::<_, String>("name")?);
            Ok((name, (row.try_get("valid")?, row.try_get("idx_scan")?, row.try_get::<_, i64>("bytes")?)))
        };
        let (name, facts) = read().map_err(doing())?;
        found.insert(name, facts);
    }
    Ok(made
        .into_iter()
        .map(|name| {
            let (valid, idx_scan, bytes) = found.get(name).copied().unwrap_or((false, 0, 0));
            MeasuredIndex {
                name: name.clone(),
                valid,
                idx_scan,
                bytes: Bytes(u64::try_from(bytes).unwrap_or(0)),
                planned: planned.values().flatten().any(|names| names.contains(name)),
            }
        })
        .collect())
}

fn judge(
    entry: &JournalEntry,
    measurement: &Measurement,
    indexes: Vec<MeasuredIndex>,
    planned: &PlannedIndexes,
) -> Verification {
    let statements: Vec<MeasuredStatement> = entry
        .promised
        .statements
        .iter()
        .map(|effect| {
            let id = effect.queryid;
            let before = figures_of(&measurement.before, id, &effect.query);
            let since = figures_of(&measurement.since, id, &effect.query).filter(|s| s.calls > 0);
            let used = planned.get(&id).and_then(Option::as_ref);
            MeasuredStatement {
                queryid: id,
                query: effect.query.clone(),
                mean_before: before.map_or(effect.mean_ms, |b| b.mean),
                promised: effect.expected_ms,
                mean_after: since.map(|s| s.mean),
                calls: since.map_or(0, |s| s.calls),
                uses_index: used.map(|used| !used.is_empty()),
                used: used.cloned().unwrap_or_default(),
            }
        })
        .collect();
    let (verdict, sentence, kept_share) = conclude(&statements, &indexes);
    Verification {
        entry_id: entry.entry_id,
        recommendation_id: entry.recommendation_id.clone(),
        verified_at: Utc::now(),
        verdict,
        sentence,
        kept_share,
        statements,
        indexes,
        slower: Vec::new(),
    }
}

fn conclude(statements: &[MeasuredStatement], indexes: &[MeasuredIndex]) -> (Verdict, String, Option<f64>) {
    if let Some(gone) = indexes.iter().find(|i| !i.valid) {
        return (Verdict::NotThere, format!("Index {} is invalid or gone.", gone.name), None);
    }
    let (mut promised, mut saved, mut before, mut after) = (0.0, 0.0, 0.0, 0.0);
    for statement in statements {
        if let Some(mean_after) = statement.mean_after {
            let calls = statement.calls as f64;
            promised += calls * (statement.mean_before.0 - statement.promised.0);
            saved += calls * (statement.mean_before.0 - mean_after.0);
            before += calls * statement.mean_before.0;
            after += calls * mean_after.0;
        }
    }
    let called = statements.iter().any(|s| s.mean_after.is_some());
    let unused: Vec<String> =
        indexes.iter().filter(|i| i.idx_scan == 0 && !i.planned).map(|i| i.name.to_string()).collect();
    if !unused.is_empty() && (called || statements.iter().any(|s| s.uses_index == Some(false))) {
        let sentence = format!("No plan uses {}, and nothing has scanned it.", unused.join(", "));
        return (Verdict::NotUsed, sentence, None);
    }
    if !statements.is_empty() && !called {
        return (Verdict::NoCallsYet, "None of the statements was run since.".into(), None);
    }
    if statements.is_empty() {
        return (Verdict::Held, "It is in place; nothing was promised of any statement.".into(), None);
    }
    let share = if promised > 0.0 { saved / promised } else { 1.0 };
    let figures = format!("The statements took {} in all instead of {}", Millis(after), Millis(before));
    // Nothing may have been promised of statements that are only not to get slower.
    let tolerated = if promised > 0.0 { 0.0 } else { before * (1.0 - HELD_SHARE) };
    if saved < -tolerated {
        (Verdict::SlowerThanBefore, format!("{figures}."), Some(share))
    } else if share < HELD_SHARE {
        let sentence = format!("{figures}, {:.0} % of the promised saving.", share * 100.0);
        (Verdict::SlowerThanPromised, sentence, Some(share))
    } else {
        (Verdict::Held, format!("{figures}."), Some(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(before: f64, promised: f64, after: Option<f64>) -> MeasuredStatement {
        MeasuredStatement {
            queryid: 1,
            query: "select".into(),
            mean_before: Millis(before),
            promised: Millis(promised),
            mean_after: after.map(Millis),
            calls: if after.is_some() { 10 } else { 0 },
            ..MeasuredStatement::default()
        }
    }

    fn index(idx_scan: i64, planned: bool, valid: bool) -> MeasuredIndex {
        MeasuredIndex { name: QualifiedName::new("s", "i"), valid, idx_scan, bytes: Bytes(0), planned }
    }

    #[test]
    fn verdicts_follow_from_use_and_time() {
        for (statements, indexes, verdict) in [
            (vec![statement(100.0, 1.0, Some(2.0))], vec![index(9, true, true)], Verdict::Held),
            (
                vec![statement(100.0, 1.0, Some(60.0))],
                vec![index(9, true, true)],
                Verdict::SlowerThanPromised,
            ),
            (vec![statement(100.0, 1.0, Some(160.0))], vec![index(9, true, true)], Verdict::SlowerThanBefore),
            (vec![statement(100.0, 1.0, Some(2.0))], vec![index(0, false, true)], Verdict::NotUsed),
            (vec![statement(100.0, 1.0, None)], vec![index(0, true, true)], Verdict::NoCallsYet),
            (vec![statement(100.0, 1.0, None)], vec![index(0, false, true)], Verdict::NoCallsYet),
            (vec![statement(100.0, 1.0, Some(1.0))], vec![index(0, true, false)], Verdict::NotThere),
            (vec![], vec![], Verdict::Held),
            // A drop promises only that nothing gets slower.
            (vec![statement(10.0, 10.0, Some(11.0))], vec![], Verdict::Held),
            (vec![statement(10.0, 10.0, Some(20.0))], vec![], Verdict::SlowerThanBefore),
        ] {
            let (found, sentence, _) = conclude(&statements, &indexes);
            assert_eq!(found, verdict, "{sentence}");
        }
    }
}
