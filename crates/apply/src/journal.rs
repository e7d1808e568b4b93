//! What has pgwright done to this database? Tables `pgwright.journal` and `pgwright.journal_step`:
//! one entry per recommendation, one step per statement, written before and after the statement by
//! another session than the one that runs it, so that the record survives whatever happens to that.
//!
//! A step goes `planned → running → done → undoing → undone`, or ends as `failed` (the statement
//! failed and was cleaned up), `cleaned` (found half-done later and cleaned up) or `skipped` (never
//! begun because an earlier step failed); those three become `retried` when a later run has gone on with
//! the entry. [`Status::may_become`] is the whole state machine, and every update repeats it in its
//! `WHERE`. Where undoing takes several statements, each is a step too, which names the one it undoes.

use chrono::{DateTime, Utc};
use model::{Benefit, Confidence, Price, Recommendation, StatementEffect};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::action::Action;
use crate::error::{Error, StepFailure};
use crate::plan::{PlannedRecommendation, PlannedStep};
use crate::schema::{self, LOCK_CLASS, Presence};

/// The second key of the lock that keeps two runs apart.
const APPLY_LOCK: i32 = 1;

/// The state of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Will be run.
    Planned,
    /// Is being run, or was when pgwright died.
    Running,
    /// Was run and verified in the catalog.
    Done,
    /// Did not succeed; what it left was removed, or is named in `error.left_behind`.
    Failed,
    /// Was found half-done or not begun after a death, and nothing of it is left.
    Cleaned,
    /// Was not begun.
    Skipped,
    /// Did not come about, and a later step of the entry stands in its place.
    Retried,
    /// Is being undone, or was when pgwright died.
    Undoing,
    /// Was undone.
    Undone,
}

impl Status {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Planned,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cleaned,
        Self::Skipped,
        Self::Retried,
        Self::Undoing,
        Self::Undone,
    ];

    /// Its name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cleaned => "cleaned",
            Self::Skipped => "skipped",
            Self::Retried => "retried",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Whether a step in this state may get into another.
    pub fn may_become(self, next: Self) -> bool {
        use Status as S;
        matches!(
            (self, next),
            // What is journaled by the transaction that does it is never seen running.
            (S::Planned, S::Running | S::Skipped | S::Done)
                | (S::Running, S::Done | S::Failed | S::Cleaned)
                | (S::Done, S::Undoing)
                // An undo that did not come about leaves the step as it was.
                | (S::Undoing, S::Undone | S::Done)
                // What a failed step could not remove, a later run removes.
                | (S::Failed, S::Cleaned)
                | (S::Failed | S::Cleaned | S::Skipped, S::Retried)
        )
    }

    /// The states from which a step may get into this one.
    fn predecessors(self) -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|s| s.may_become(self)).map(Self::as_str).collect()
    }

    /// Whether a step in this state, with no pgwright at work, was left by a death.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Planned | Self::Running | Self::Undoing)
    }
}

/// What a recommendation promised, kept to be compared with what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Promise {
    /// The promised gain.
    pub benefit: Benefit,
    /// The announced price.
    pub price: Price,
    /// How sure it was.
    pub confidence: Option<Confidence>,
    /// Keys of the findings that it was to resolve.
    pub resolves: Vec<String>,
    /// What it was to do to each statement; plans are left out.
    pub statements: Vec<StatementEffect>,
}

impl Promise {
    /// The promise of a recommendation.
    pub fn of(recommendation: &Recommendation) -> Self {
        let statements = recommendation
            .statements
            .iter()
            .map(|s| StatementEffect { plan_before: Value::Null, plan_after: Value::Null, ..s.clone() })
            .collect();
        Self {
            benefit: recommendation.benefit,
            price: recommendation.price,
            confidence: Some(recommendation.confidence),
            resolves: recommendation.resolves.clone(),
            statements,
        }
    }
}

/// One recommendation that was applied, or tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalEntry {
    /// Its number, in the order of application.
    pub entry_id: i64,
    /// The run that it belongs to.
    pub run_id: Uuid,
    /// The recommendation's id.
    pub recommendation_id: String,
    /// The recommendation's title.
    pub title: String,
    /// Its place within the run, from 0.
    pub position: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// By which role.
    pub created_by: String,
    /// By which version of pgwright.
    pub pgwright_version: String,
    /// What was promised.
    pub promised: Promise,
    /// What [`crate::verify`] found, when it has looked.
    pub measured: Option<Value>,
    /// When it looked.
    pub verified_at: Option<DateTime<Utc>>,
    /// When the user decided to keep it whatever is measured.
    pub kept_at: Option<DateTime<Utc>>,
    /// `planned`, `running`, `done`, `failed`, `cleaned`, `skipped`, `undoing`, `undone` or
    /// `partly undone`.
    pub status: String,
    /// Its steps in order.
    pub steps: Vec<JournalStep>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalStep {
    /// Its number.
    pub step_id: i64,
    /// The entry that it belongs to.
    pub entry_id: i64,
    /// Its place within the entry, from 0.
    pub position: i32,
    /// The step that it undoes, when undoing that takes several.
    pub undoes: Option<i64>,
    /// The change as it was stored.
    pub change: Value,
    /// The statement.
    pub sql: String,
    /// The statement that undoes it.
    pub undo_sql: Option<String>,
    /// Its state.
    pub status: Status,
    /// When it was written.
    pub planned_at: DateTime<Utc>,
    /// When it, or its undoing, began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it, or its undoing, ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// How often it was tried.
    pub attempts: i32,
    /// The session that ran it.
    pub worker_pid: Option<i32>,
    /// When that session began; with the process ID it tells sessions apart.
    pub worker_backend_start: Option<DateTime<Utc>>,
    /// The OID of what it made.
    pub made_oid: Option<u32>,
    /// `pg_get_indexdef()` of what it made.
    pub made_definition: Option<String>,
    /// How it failed.
    pub error: Option<Value>,
    /// What recovery or undo found, in a sentence.
    pub note: Option<String>,
}

impl JournalStep {
    /// What it changes, typed.
    ///
    /// # Errors
    /// [`Error::Unreadable`] when another version of pgwright wrote a change that this one does not
    /// know.
    pub fn action(&self) -> Result<Action, Error> {
        Action::from_json(self.change.clone())
            .map_err(|e| Error::Unreadable { step: self.step_id, reason: e.to_string() })
    }
}

impl JournalEntry {
    /// The steps that make its changes, and not those that undo others.
    pub fn forward_steps(&self) -> impl Iterator<Item = &JournalStep> {
        self.steps.iter().filter(|s| s.undoes.is_none())
    }

    /// Whether a run has done a part of it and ended, so that another can do the rest.
    pub(crate) fn is_unfinished(&self) -> bool {
        use Status as S;
        let any = |wanted: &[Status]| self.forward_steps().any(|s| wanted.contains(&s.status));
        any(&[S::Done])
            && any(&[S::Planned, S::Running, S::Failed, S::Cleaned, S::Skipped])
            && !any(&[S::Undoing, S::Undone])
    }
}

/// What is written beside a new state; `None` leaves a column as it is, except that `error` is set
/// anew each time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub attempts: Option<i32>,
    pub worker: Option<(i32, Option<DateTime<Utc>>)>,
    pub made: Option<(u32, String)>,
    pub error: Option<Value>,
    pub note: Option<String>,
}

impl Record {
    pub fn failure(failure: &StepFailure) -> Result<Self, Error> {
        let error = serde_json::to_value(failure).map_err(Error::json("journal a failure"))?;
        Ok(Self { attempts: i32::try_from(failure.attempts).ok(), error: Some(error), ..Self::default() })
    }

    pub fn note(note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..Self::default() }
    }
}

/// Moves a step into another state.
pub(crate) async fn advance(client: &Client, step_id: i64, to: Status, record: Record) -> Result<(), Error> {
    let (pid, backend_start) = match record.worker {
        Some((pid, start)) => (Some(pid), start),
        None => (None, None),
    };
    let (oid, definition) = record.made.unzip();
    let moved = client
        .execute(
            include_str!("../queries/journal_advance.sql"),
            &[
                &step_id,
                &to.as_str(),
                &to.predecessors(),
                &record.attempts,
                &pid,
                &backend_start,
                &oid,
                &definition,
                &record.error,
                &record.note,
            ],
        )
        .await
        .map_err(Error::query("write the journal"))?;
    if moved == 1 { Ok(()) } else { Err(Error::OutOfOrder { step: step_id, wanted: to.as_str() }) }
}

/// Writes a recommendation and its steps as planned, in one transaction.
pub(crate) async fn write_plan(
    client: &Client,
    run_id: Uuid,
    position: i32,
    planned: &PlannedRecommendation,
) -> Result<(i64, Vec<i64>), Error> {
    let doing = || Error::query("write the journal");
    let json = || Error::json("journal a recommendation");
    let promised = serde_json::to_value(&planned.promise).map_err(json())?;
    let steps = stored(&planned.steps)?;
    // One statement, so the entry and its steps are there together or not at all.
    let rows = client
        .query(
            "with /* pgwright:journal_plan */ entry as ( \
               insert into pgwright.journal \
                 (run_id, recommendation_id, title, position, pgwright_version, promised) \
               values ($1, $2, $3, $4, $5, $6) returning entry_id) \
             insert into pgwright.journal_step (entry_id, position, change, sql, undo_sql) \
             select e.entry_id, s.ordinality::integer - 1, s.step -> 'change', s.step ->> 'sql', \
                    s.step ->> 'undo_sql' \
             from entry e, pg_catalog.jsonb_array_elements($7) with ordinality s (step, ordinality) \
             returning entry_id, step_id, position",
            &[
                &run_id,
                &planned.recommendation_id,
                &planned.title,
                &position,
                &env!("CARGO_PKG_VERSION"),
                &promised,
                &steps,
            ],
        )
        .await
        .map_err(doing())?;
    let mut written = rows
        .iter()
        .map(|r| Ok((r.try_get("position")?, r.try_get("entry_id")?, r.try_get("step_id")?)))
        .collect::<Result<Vec<(i32, i64, i64)>, tokio_postgres::Error>>()
        .map_err(doing())?;
    written.sort_unstable();
    let entry_id = written.first().map_or(0, |w| w.1);
    Ok((entry_id, written.into_iter().map(|w| w.2).collect()))
}

fn stored(steps: &[PlannedStep]) -> Result<Value, Error> {
    steps
        .iter()
        .map(|s| {
            Ok(serde_json::json!({
                "change": serde_json::to_value(&s.change)?, "sql": s.sql, "undo_sql": s.undo_sql,
            }))
        })
        .collect::<Result<_, serde_json::Error>>()
        .map(Value::Array)
        .map_err(Error::json("journal a step"))
}

/// Writes further steps of an entry as planned. Those that `undoes` another have no opposite.
pub(crate) async fn append(
    client: &Client,
    entry_id: i64,
    steps: &[PlannedStep],
    undoes: Option<i64>,
) -> Result<Vec<i64>, Error> {
    let doing = || Error::query("write the journal");
    let rows = client
        .query(
            "insert /* pgwright:journal_append */ into pgwright.journal_step \
               (entry_id, position, change, sql, undo_sql, undoes) \
             select $1, last.position + s.ordinality::integer, s.step -> 'change', s.step ->> 'sql', \
                    case when $3::bigint is null then s.step ->> 'undo_sql' end, $3 \
             from (select coalesce(pg_catalog.max(t.position), -1) as position \
                   from pgwright.journal_step t where t.entry_id = $1) last, \
                  pg_catalog.jsonb_array_elements($2) with ordinality s (step, ordinality) \
             returning position, step_id",
            &[&entry_id, &stored(steps)?, &undoes],
        )
        .await
        .map_err(doing())?;
    let mut written = rows
        .iter()
        .map(|r| Ok((r.try_get("position")?, r.try_get("step_id")?)))
        .collect::<Result<Vec<(i32, i64)>, tokio_postgres::Error>>()
        .map_err(doing())?;
    written.sort_unstable();
    Ok(written.into_iter().map(|w| w.1).collect())
}

/// Lets an entry go on in another run: what did not come about before is done again.
pub(crate) async fn resume(client: &Client, entry_id: i64, run_id: Uuid) -> Result<(), Error> {
    // One statement, so that the entry is not found between two runs.
    client
        .execute(
            "with /* pgwright:journal_resume */ again as ( \
               update pgwright.journal_step set status = $3 \
               where entry_id = $1 and undoes is null and status = any ($4)) \
             update pgwright.journal set run_id = $2 where entry_id = $1",
            &[&entry_id, &run_id, &Status::Retried.as_str(), &Status::Retried.predecessors()],
        )
        .await
        .map(drop)
        .map_err(Error::query("write the journal"))
}

/// Notes that the user keeps an entry whatever is measured.
pub(crate) async fn write_kept(client: &Client, entry_id: i64) -> Result<(), Error> {
    let written = client
        .execute(
            "update /* pgwright:journal_kept */ pgwright.journal \
             set kept_at = pg_catalog.clock_timestamp() where entry_id = $1",
            &[&entry_id],
        )
        .await
        .map_err(Error::query("write the journal"))?;
    if written == 1 { Ok(()) } else { Err(Error::NoEntry { wanted: format!("entry {entry_id}") }) }
}

/// Stores what verification found.
pub(crate) async fn write_measured(client: &Client, entry_id: i64, measured: &Value) -> Result<(), Error> {
    let written = client
        .execute(
            "update /* pgwright:journal_measured */ pgwright.journal \
             set measured = $2, verified_at = pg_catalog.clock_timestamp() where entry_id = $1",
            &[&entry_id, measured],
        )
        .await
        .map_err(Error::query("write the journal"))?;
    if written == 1 { Ok(()) } else { Err(Error::NoEntry { wanted: format!("entry {entry_id}") }) }
}

/// Reads the journal, the oldest entry first; nothing when there is none.
pub(crate) async fn read(client: &Client, entry_id: Option<i64>) -> Result<Vec<JournalEntry>, Error> {
    if schema::presence(client).await? == Presence::Absent {
        return Ok(Vec::new());
    }
    let doing = || Error::query("read the journal");
    let entries =
        client.query(include_str!("../queries/journal_entries.sql"), &[&entry_id]).await.map_err(doing())?;
    let steps =
        client.query(include_str!("../queries/journal_steps.sql"), &[&entry_id]).await.map_err(doing())?;
    let mut read: Vec<JournalEntry> =
        entries.iter().map(entry).collect::<Result<_, tokio_postgres::Error>>().map_err(doing())?;
    for row in &steps {
        let step = step(row)?;
        // Entries are sorted by their number.
        if let Ok(at) = read.binary_search_by_key(&step.entry_id, |e| e.entry_id) {
            read[at].steps.push(step);
        }
    }
    Ok(read)
}

fn entry(row: &Row) -> Result<JournalEntry, tokio_postgres::Error> {
    let promised: Value = row.try_get("promised")?;
    Ok(JournalEntry {
        entry_id: row.try_get("entry_id")?,
        run_id: row.try_get("run_id")?,
        recommendation_id: row.try_get("recommendation_id")?,
        title: row.try_get("title")?,
        position: row.try_get("position")?,
        created_at: row.try_get("created_at")?,
        created_by: row.try_get("created_by")?,
        pgwright_version: row.try_get("pgwright_version")?,
        // A promise in the words of another version is no reason not to show the rest.
        promised: serde_json::from_value(promised).unwrap_or_default(),
        measured: row.try_get("measured")?,
        verified_at: row.try_get("verified_at")?,
        kept_at: row.try_get("kept_at")?,
        status: row.try_get("status")?,
        steps: Vec::new(),
    })
}

fn step(row: &Row) -> Result<JournalStep, Error> {
    let doing = || Error::query("read the journal");
    let step_id: i64 = row.try_get("step_id").map_err(doing())?;
    let status: String = row.try_get("status").map_err(doing())?;
    let status = Status::parse(&status)
        .ok_or_else(|| Error::Unreadable { step: step_id, reason: format!("Its status is \"{status}\"") })?;
    let fields = || -> Result<JournalStep, tokio_postgres::Error> {
        Ok(JournalStep {
            step_id,
            entry_id: row.try_get("entry_id")?,
            position: row.try_get("position")?,
            undoes: row.try_get("undoes")?,
            change: row.try_get("change")?,
            sql: row.try_get("sql")?,
            undo_sql: row.try_get("undo_sql")?,
            status,
            planned_at: row.try_get("planned_at")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            attempts: row.try_get("attempts")?,
            worker_pid: row.try_get("worker_pid")?,
            worker_backend_start: row.try_get("worker_backend_start")?,
            made_oid: row.try_get("made_oid")?,
            made_definition: row.try_get("made_definition")?,
            error: row.try_get("error")?,
            note: row.try_get("note")?,
        })
    };
    fields().map_err(doing())
}

/// Takes the lock that keeps two runs apart. It belongs to the session and dies with it.
///
/// # Errors
/// [`Error::Locked`] when another session holds it.
pub(crate) async fn lock(client: &Client) -> Result<(), Error> {
    let doing = || Error::query("take pgwright's lock");
    let row = client
        .query_one(
            "select /* pgwright:apply_lock */ pg_catalog.pg_try_advisory_lock($1, $2) as taken",
            &[&LOCK_CLASS, &APPLY_LOCK],
        )
        .await
        .map_err(doing())?;
    if row.try_get("taken").map_err(doing())? {
        return Ok(());
    }
    let (pid, since) = holder(client).await?.unwrap_or_default();
    Err(Error::Locked { pid, since })
}

/// The session that holds the lock, and since when it is there; neither is shown to every role.
pub(crate) async fn holder(client: &Client) -> Result<Option<(Option<i32>, Option<DateTime<Utc>>)>, Error> {
    let doing = || Error::query("look for the holder of pgwright's lock");
    let holder = client
        .query_opt(
            "select /* pgwright:apply_lock_holder */ l.pid, a.backend_start from pg_catalog.pg_locks l \
             join pg_catalog.pg_database d on d.oid = l.database \
             left join pg_catalog.pg_stat_activity a on a.pid = l.pid \
             where l.locktype = 'advisory' and l.classid = $1::oid and l.objid = $2::oid and l.objsubid = 2 \
               and l.granted and d.datname = pg_catalog.current_database()",
            &[&LOCK_CLASS.unsigned_abs(), &APPLY_LOCK.unsigned_abs()],
        )
        .await
        .map_err(doing())?;
    match holder {
        Some(row) => {
            Ok(Some((row.try_get("pid").map_err(doing())?, row.try_get("backend_start").map_err(doing())?)))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_machine_is_exactly_this() {
        let allowed: Vec<String> = Status::ALL
            .into_iter()
            .flat_map(|from| {
                Status::ALL
                    .into_iter()
                    .filter(move |to| from.may_become(*to))
                    .map(move |to| format!("{} -> {}", from.as_str(), to.as_str()))
            })
            .collect();
        assert_eq!(
            allowed,
            [
                "planned -> running",
                "planned -> done",
                "planned -> skipped",
                "running -> done",
                "running -> failed",
                "running -> cleaned",
                "done -> undoing",
                "failed -> cleaned",
                "failed -> retried",
                "cleaned -> retried",
                "skipped -> retried",
                "undoing -> done",
                "undoing -> undone",
            ]
        );
    }

    #[test]
    fn every_state_has_a_way_out_or_is_final_and_keeps_its_name() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            let leaves = Status::ALL.into_iter().any(|next| status.may_become(next));
            assert!(leaves || !status.is_open(), "{} would stay open for ever", status.as_str());
        }
    }

    #[test]
    fn a_promise_of_another_version_is_read_as_far_as_it_goes() {
        let promise: Promise = serde_json::from_str(r#"{"resolves": ["a"], "later": 1}"#).unwrap();
        assert_eq!(promise.resolves, ["a"]);
        assert!(promise.statements.is_empty());
    }
}
