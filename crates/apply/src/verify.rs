//! Did it hold what it promised? Is the index there and used, and did the statements get as fast as
//! was said?
//!
//! Measured times are differences of `pg_stat_statements`' counters, since its means cover all time
//! since the last reset. Whether an index is used is asked twice: by its scan counter, which moves
//! only when the workload runs, and by `EXPLAIN` of the typical executions on the real server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use model::snapshot::Statement;
use model::{Bytes, Change, Millis, QualifiedName};
use postgres::{SessionOptions, Target};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;

use crate::action::Action;
use crate::error::Error;
use crate::executor::begin_writing;
use crate::journal::{self, JournalEntry, Promise, Status};
use crate::schema;

/// A promise counts as held when at least this share of the promised saving was measured. Costs are
/// no milliseconds, and caches are warmer or colder than before.
pub const HELD_SHARE: f64 = 0.7;

/// The counters of one statement at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// The statement.
    pub queryid: i64,
    /// `calls`.
    pub calls: i64,
    /// `total_exec_time`.
    pub total_exec_time: Millis,
}

impl From<&Statement> for Counters {
    fn from(statement: &Statement) -> Self {
        Self {
            queryid: statement.queryid,
            calls: statement.calls,
            total_exec_time: statement.total_exec_time,
        }
    }
}

impl Counters {
    /// The counters of all statements; the top-level and the nested entry of one id are added.
    pub fn of(statements: &[Statement]) -> Vec<Self> {
        let mut by_id: BTreeMap<i64, Self> = BTreeMap::new();
        for statement in statements {
            let sum = by_id.entry(statement.queryid).or_default();
            sum.queryid = statement.queryid;
            sum.calls += statement.calls;
            sum.total_exec_time.0 += statement.total_exec_time.0;
        }
        by_id.into_values().collect()
    }
}

/// What was measured around the application of a recommendation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// The mean time of each statement before, by `queryid`, when it was measured apart; where it is
    /// missing the promise's own figure is used.
    pub mean_before: BTreeMap<i64, Millis>,
    /// Counters when the recommendation had just been applied.
    pub at_apply: Vec<Counters>,
    /// Counters now.
    pub now: Vec<Counters>,
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
    /// No plan uses the index.
    NotUsed,
    /// No statement concerned was run since.
    NoCallsYet,
    /// The index is invalid or gone.
    NotThere,
}

/// What was measured of one statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// Compares an entry's promise with what was measured, asks the server about its indexes, and
/// stores the answer in the journal.
///
/// # Errors
/// [`Error::NoEntry`] when there is no such entry, or what the server says.
pub async fn verify(
    target: &Target,
    entry_id: i64,
    measurement: &Measurement,
) -> Result<Verification, Error> {
    let session = begin_writing(target).await?;
    let entry = journal::read(&session, Some(entry_id))
        .await?
        .pop()
        .ok_or_else(|| Error::NoEntry { wanted: format!("entry {entry_id}") })?;
    let made = indexes_made(&entry)?;
    let planned = explain_examples(target, &entry.promised).await?;
    let indexes = index_use(&session, &made, &planned).await?;
    let verification = judge(&entry, measurement, indexes, &planned);
    let value = serde_json::to_value(&verification).map_err(Error::json("store a verification"))?;
    journal::write_measured(&session, entry_id, &value).await?;
    Ok(verification)
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

/// The indexes that an entry made and that were not undone.
fn indexes_made(entry: &JournalEntry) -> Result<Vec<QualifiedName>, Error> {
    let mut made = Vec::new();
    for step in entry.steps.iter().filter(|s| s.status == Status::Done) {
        if let Action::Change(change @ Change::CreateIndex { .. }) = step.action()? {
            made.push(change.object());
        }
    }
    Ok(made)
}

/// The names of the indexes in the plan of each statement's typical execution; `None` when the
/// server would not plan it.
type PlannedIndexes = BTreeMap<i64, Option<BTreeSet<QualifiedName>>>;

async fn explain_examples(target: &Target, promise: &Promise) -> Result<PlannedIndexes, Error> {
    let mut planned = PlannedIndexes::new();
    if promise.statements.iter().all(|s| s.example.is_empty()) {
        return Ok(planned);
    }
    // The names in a statement mean what they mean to its user.
    let options = SessionOptions {
        read_only: true,
        statement_timeout: Some(Duration::from_secs(30)),
        lock_timeout: Some(Duration::from_secs(2)),
        ..SessionOptions::for_user_statements()
    };
    let session = target.connect(&options).await?;
    for statement in promise.statements.iter().filter(|s| !s.example.is_empty()) {
        // VERBOSE gives the schema of each relation, and an index lives in the schema of its table.
        // Without ANALYZE nothing is run; the extended protocol takes one statement only.
        let sql = format!("EXPLAIN /* pgwright:verify */ (FORMAT JSON, VERBOSE) {}", statement.example);
        let plan = session.query_one(&sql, &[]).await.ok().and_then(|row| row.try_get::<_, Value>(0).ok());
        let names = plan.map(|plan| {
            let mut names = BTreeSet::new();
            collect_indexes(&plan, None, &mut names);
            names
        });
        planned.insert(statement.queryid, names);
    }
    Ok(planned)
}

/// Walks a plan. A bitmap index scan does not say its schema; the bitmap heap scan above it does.
fn collect_indexes(node: &Value, schema: Option<&str>, names: &mut BTreeSet<QualifiedName>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| collect_indexes(item, schema, names)),
        Value::Object(fields) => {
            let schema = fields.get("Schema").and_then(Value::as_str).or(schema);
            if let (Some(name), Some(schema)) = (fields.get("Index Name").and_then(Value::as_str), schema) {
                names.insert(QualifiedName::new(schema, name));
            }
            for key in ["Plan", "Plans"] {
                if let Some(below) = fields.get(key) {
                    collect_indexes(below, schema, names);
                }
            }
        }
        _ => {}
    }
}

async fn index_use(
    client: &Client,
    made: &[QualifiedName],
    planned: &PlannedIndexes,
) -> Result<Vec<MeasuredIndex>, Error> {
    let doing = || Error::query("read the use of indexes");
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
        .iter()
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

/// Calls and total time between two moments. Counters that ran backwards were reset in between, so
/// that all they show was counted since.
fn delta(at_apply: Option<&Counters>, now: Option<&Counters>) -> (i64, f64) {
    match (at_apply, now) {
        (Some(then), Some(now))
            if now.calls >= then.calls && now.total_exec_time.0 >= then.total_exec_time.0 =>
        {
            (now.calls - then.calls, now.total_exec_time.0 - then.total_exec_time.0)
        }
        (_, Some(now)) => (now.calls, now.total_exec_time.0),
        (_, None) => (0, 0.0),
    }
}

fn judge(
    entry: &JournalEntry,
    measurement: &Measurement,
    indexes: Vec<MeasuredIndex>,
    planned: &PlannedIndexes,
) -> Verification {
    let find = |all: &[Counters], id: i64| all.iter().find(|c| c.queryid == id).copied();
    let made: BTreeSet<&QualifiedName> = indexes.iter().map(|i| &i.name).collect();
    let statements: Vec<MeasuredStatement> = entry
        .promised
        .statements
        .iter()
        .map(|effect| {
            let id = effect.queryid;
            let (calls, total) =
                delta(find(&measurement.at_apply, id).as_ref(), find(&measurement.now, id).as_ref());
            MeasuredStatement {
                queryid: id,
                query: effect.query.clone(),
                mean_before: measurement.mean_before.get(&id).copied().unwrap_or(effect.mean_ms),
                promised: effect.expected_ms,
                mean_after: (calls > 0).then(|| Millis(total / calls as f64)),
                calls,
                uses_index: planned
                    .get(&id)
                    .and_then(Option::as_ref)
                    .map(|names| names.iter().any(|n| made.contains(n))),
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
            uses_index: None,
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

    #[test]
    fn a_reset_in_between_counts_from_the_reset() {
        let at = |calls, ms| Counters { queryid: 1, calls, total_exec_time: Millis(ms) };
        assert_eq!(delta(Some(&at(10, 100.0)), Some(&at(15, 110.0))), (5, 10.0));
        assert_eq!(delta(Some(&at(10, 100.0)), Some(&at(3, 6.0))), (3, 6.0));
        assert_eq!(delta(None, Some(&at(3, 6.0))), (3, 6.0));
        assert_eq!(delta(Some(&at(10, 100.0)), None), (0, 0.0));
    }

    #[test]
    fn indexes_of_a_plan_are_found_with_their_schema() {
        let plan = serde_json::json!([{"Plan": {"Node Type": "Nested Loop", "Plans": [
            {"Node Type": "Bitmap Heap Scan", "Schema": "a", "Plans": [
                {"Node Type": "Bitmap Index Scan", "Index Name": "i"}]},
            {"Node Type": "Index Scan", "Schema": "b", "Index Name": "j"},
        ]}}]);
        let mut names = BTreeSet::new();
        collect_indexes(&plan, None, &mut names);
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a.i", "b.j"]);
    }
}
