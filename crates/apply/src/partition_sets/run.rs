//! How is a survey carried out? Partition by partition, each in one transaction with its row of the journal.

use std::time::Instant;

use model::Millis;
use partitioning::settings::SetSettings;
use postgres::{Session, Target};
use serde::Serialize;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::moving::Watch;
use super::survey::{Survey, Surveyed, survey};
use crate::action::{Action, SetChange};
use crate::error::{Error, StepFailure};
use crate::event::{Event, OnEvent};
use crate::executor::{RunStep, StepSite, begin};
use crate::journal::{self, Record, Status};
use crate::operations::{is_still_detached, marked, operation_of, preparation};
use crate::options::ExecuteOptions;
use crate::partition_archive::{Hold, Store, hold_and_archive};
use crate::plan::{PlannedRecommendation, PlannedStep};
use crate::recovery::{Recovered, recover_locked, unlock};
use crate::schema;
use crate::worker::Worker;

/// What a run did.
#[derive(Debug, Serialize)]
pub struct SetRun {
    /// What was found of earlier runs.
    pub recovered: Vec<Recovered>,
    /// What was seen under the lock, after which it was done.
    pub survey: Survey,
    /// What was done, in order.
    pub steps: Vec<SetRunStep>,
    /// Why sets were given up, each with its table; the others went on.
    #[serde(skip)]
    pub failures: Vec<(String, Error)>,
}

/// One statement, or one transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetRunStep {
    /// The partitioned table.
    pub table: String,
    /// The journal's step.
    pub step_id: i64,
    /// What was run.
    pub sql: String,
    /// What became of it.
    pub status: Status,
    /// How long it took, waiting and tries included.
    pub elapsed: Millis,
}

/// Surveys sets and does what is to be done. A set that fails does not keep the others from being looked after.
///
/// # Errors
/// What keeps a run from beginning: no connection, another run at work, no right to write.
pub async fn run(
    target: &Target,
    settings: &[SetSettings],
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<SetRun, Error> {
    let (session, facts) = begin(target).await?;
    on_event(Event::Locked);
    let result = async {
        let recovered = recover_locked(target, &session, options, on_event).await?;
        let survey = survey(&session, settings).await?;
        let mut run = SetRun { recovered, survey, steps: Vec::new(), failures: Vec::new() };
        let undropped = undropped(&session).await?;
        if run.survey.sets.iter().all(|s| s.steps.is_empty()) && undropped.is_empty() {
            return Ok(run);
        }
        schema::ensure(&session).await?;
        let mut worker = Worker::open(target, options).await?;
        let mut hold = None;
        let run_id = options.run_id.unwrap_or_else(Uuid::new_v4);
        let mut site = StepSite { session: &session, facts: &facts, worker: &mut worker, options };
        for (entry_id, old_step, change) in undropped {
            let table = change.partition().to_string();
            let steps: Vec<PlannedStep> = again(&change).into_iter().map(PlannedStep::new).collect();
            journal::advance(&session, old_step, Status::Retried, Record::default()).await?;
            let mut failure = None;
            let step_ids = journal::append(&session, entry_id, &steps, None).await?;
            for (step, step_id) in steps.iter().zip(step_ids) {
                let done = one((target, &mut site, &mut hold), step, step_id, &mut failure, on_event).await?;
                run.steps.push(SetRunStep { table: table.clone(), ..done });
            }
            run.failures.extend(failure.map(|failure| (table, failure)));
        }
        let sets: Vec<&Surveyed> = run.survey.sets.iter().filter(|s| !s.steps.is_empty()).collect();
        for (set, step_ids) in sets.iter().zip(journal_all(&session, run_id, &sets, on_event).await?) {
            let mut failure = takes_no_archives(set, options).await;
            for (step, step_id) in set.steps.iter().zip(step_ids) {
                let done = one((target, &mut site, &mut hold), step, step_id, &mut failure, on_event).await?;
                run.steps.push(SetRunStep { table: set.table.clone(), ..done });
            }
            if let Some(failure) = failure {
                run.failures.push((set.table.clone(), failure));
            }
        }
        Ok(run)
    }
    .await;
    unlock(&session).await;
    result
}

/// Why the place of a set's archives takes none, when there is something to archive: this is found before anything is
/// detached.
async fn takes_no_archives(set: &Surveyed, options: &ExecuteOptions) -> Option<Error> {
    let archives = |s: &PlannedStep| matches!(s.change, Action::Set(SetChange::ArchivePartition { .. }));
    let location = set.set.as_ref().and_then(|s| s.retention.archive.as_deref())?;
    if !set.steps.iter().any(archives) {
        return None;
    }
    let store = match Store::open(location, &options.object_storage) {
        Ok(store) => store,
        Err(error) => return Some(error.into()),
    };
    store.probe().await.err().map(Error::from)
}

/// Journals the steps of all sets as planned, in one transaction, so that a thousand sets are one commit.
async fn journal_all(
    session: &Session,
    run_id: Uuid,
    sets: &[&Surveyed],
    on_event: OnEvent<'_>,
) -> Result<Vec<Vec<i64>>, Error> {
    let doing = || Error::query("write the journal");
    session.batch_execute("begin /* pgwright:journal_begin */").await.map_err(doing())?;
    let mut all = Vec::new();
    for (position, set) in (0_i32..).zip(sets) {
        let title = format!("look after the partitions of {}", set.table);
        let planned = PlannedRecommendation::of_steps(
            format!("partitions {}", set.table),
            title.clone(),
            set.steps.clone(),
        );
        match journal::write_plan(session, run_id, position, &planned).await {
            Ok((entry_id, step_ids)) => {
                on_event(Event::Journaled { entry_id, recommendation_id: planned.recommendation_id, title });
                all.push(step_ids);
            }
            Err(error) => {
                let _ = session.batch_execute("rollback /* pgwright:journal_end */").await;
                return Err(error);
            }
        }
    }
    session.batch_execute("commit /* pgwright:journal_end */").await.map_err(doing())?;
    Ok(all)
}

/// What is done anew for a table that was to be dropped: nothing goes without its archive being compared again.
fn again(drop: &SetChange) -> Vec<Action> {
    let archive = match drop {
        SetChange::DropPartition { partition, archive: Some(archive) } => {
            Some(SetChange::ArchivePartition { partition: partition.clone(), archive: archive.clone() })
        }
        _ => None,
    };
    archive.into_iter().chain([drop.clone()]).map(Action::Set).collect()
}

/// What an earlier run detached to be dropped and did not drop: the entry, the step, and the change.
async fn undropped(session: &Session) -> Result<Vec<(i64, i64, SetChange)>, Error> {
    if schema::presence(session).await? == schema::Presence::Absent {
        return Ok(Vec::new());
    }
    let doing = || Error::query("read the journal");
    let rows =
        session.query(include_str!("../../queries/undropped_partitions.sql"), &[]).await.map_err(doing())?;
    let mut found = Vec::new();
    for row in rows {
        let read = || -> Result<(i64, i64, serde_json::Value, u32), tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (entry_id, step_id, change, oid) = read().map_err(doing())?;
        let change: SetChange = serde_json::from_value(change).map_err(Error::json("read a step"))?;
        if is_still_detached(session, change.partition(), oid).await? {
            found.push((entry_id, step_id, change));
        }
    }
    Ok(found)
}

/// Runs one step, unless an earlier one of its set has failed.
async fn one(
    (target, site, hold): (&Target, &mut StepSite<'_, '_>, &mut Option<Hold>),
    step: &PlannedStep,
    step_id: i64,
    failure: &mut Option<Error>,
    on_event: OnEvent<'_>,
) -> Result<SetRunStep, Error> {
    let began = Instant::now();
    let stop = failure.is_some() || site.options.cancellation.is_cancelled();
    let own = match &step.change {
        Action::Set(change) if !stop => {
            own_way((target, site, hold), (step, change), step_id, on_event).await?
        }
        _ => None,
    };
    let is_own = own.is_some();
    let status = match own {
        Some(Ok(())) => Status::Done,
        Some(Err(error)) => {
            on_event(Event::Failed { step_id });
            *failure = Some(Error::Step(Box::new(error)));
            Status::Failed
        }
        None => {
            let mut steps = [RunStep::of(step, step_id)];
            site.run_steps(&mut steps, failure, on_event).await?;
            steps.first().map_or(Status::Skipped, |s| s.status)
        }
    };
    let elapsed = Millis(began.elapsed().as_secs_f64() * 1000.0);
    if is_own && status == Status::Done {
        on_event(Event::Finished { step_id, sql: step.sql.clone(), elapsed });
    }
    Ok(SetRunStep { table: String::new(), step_id, sql: step.sql.clone(), status, elapsed })
}

/// Runs a step that is no statement of the worker's: one that is journaled by the transaction that does it, or one that
/// writes a file. `None` for others.
async fn own_way(
    (target, site, hold): (&Target, &mut StepSite<'_, '_>, &mut Option<Hold>),
    (step, change): (&PlannedStep, &SetChange),
    step_id: i64,
    on_event: OnEvent<'_>,
) -> Result<Option<Result<(), StepFailure>>, Error> {
    let options = site.options;
    let failed = async |failure: StepFailure| -> Result<Option<Result<(), StepFailure>>, Error> {
        journal::advance(site.session, step_id, Status::Running, Record::default()).await?;
        journal::advance(site.session, step_id, Status::Failed, Record::failure(&failure)?).await?;
        Ok(Some(Err(failure)))
    };
    match change {
        SetChange::CreatePartition { .. } => {
            match create((target, site.session), &step.change, step_id, options, on_event).await {
                Ok(()) => Ok(Some(Ok(()))),
                Err(failure) => failed(failure).await,
            }
        }
        SetChange::ArchivePartition { partition, archive } => {
            journal::advance(site.session, step_id, Status::Running, Record::default()).await?;
            on_event(Event::Started { step_id, sql: step.sql.clone() });
            *hold = None;
            let held = hold_and_archive(target, partition, archive, options, step_id, on_event).await;
            on_event(Event::Answered { step_id });
            match held {
                Ok(held) => {
                    let note = format!("Archived and compared: {}.", held.archive);
                    journal::advance(site.session, step_id, Status::Done, Record::note(note)).await?;
                    *hold = Some(held);
                    Ok(Some(Ok(())))
                }
                Err(error) => {
                    let cancelled = options.cancellation.is_cancelled();
                    let failure = StepFailure { cancelled, ..error.into_step(&step.change) };
                    journal::advance(site.session, step_id, Status::Failed, Record::failure(&failure)?)
                        .await?;
                    Ok(Some(Err(failure)))
                }
            }
        }
        SetChange::DropPartition { partition, archive: Some(_) } => {
            let Some(held) = hold.take().filter(|held| held.is_of(partition)) else {
                let reason = "its archive was not compared in this run";
                return failed(StepFailure::of(&step.change, reason)).await;
            };
            on_event(Event::Started { step_id, sql: step.sql.clone() });
            match held.drop_table(step_id, options, on_event).await {
                Ok(()) => Ok(Some(Ok(()))),
                Err(error) => failed(error.into_step(&step.change)).await,
            }
        }
        _ => Ok(None),
    }
}

/// Makes a partition and journals it in one transaction, again when a lock was not to be had.
async fn create(
    (target, session): (&Target, &Session),
    action: &Action,
    step_id: i64,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<(), StepFailure> {
    let operation = operation_of(action);
    let id = operation.id();
    on_event(Event::Started { step_id, sql: operation.statement(action) });
    let (unread, moves) = match action {
        Action::Set(SetChange::CreatePartition { unread_default, from_default, .. }) => {
            (unread_default.as_ref(), from_default.is_some())
        }
        _ => (None, false),
    };
    let transaction = |statements: &[String], end: &str| -> String {
        let mut script = String::new();
        for statement in statements {
            script.push_str(&marked(id, statement));
            script.push_str(";\n");
        }
        format!("{script}{end}commit /* pgwright:create_partition */")
    };
    if let Action::Set(change) = action
        && let Some(before) = preparation(change)
        && let Some((last, first)) = before.split_last()
    {
        for script in [transaction(first, ""), transaction(std::slice::from_ref(last), "")] {
            patiently((session, None), &script, action, step_id, options, on_event).await?;
        }
    }
    let watch = match moves {
        true => Some(
            Watch::over(session, target, options)
                .await
                .map_err(|e| StepFailure::of(action, e.detail().unwrap_or_else(|| e.to_string())))?,
        ),
        false => None,
    };
    let end = format!(
        "update /* pgwright:journal_create */ pgwright.journal_step set status = 'done', attempts = 1, \
           started_at = pg_catalog.transaction_timestamp(), finished_at = pg_catalog.clock_timestamp() \
         where step_id = {step_id} and status = 'planned';\n"
    );
    let script = transaction(&operation.statements(action), &end);
    let made = patiently((session, watch.as_ref()), &script, action, step_id, options, on_event).await;
    if let (Err(_), Some(unread)) = (&made, unread) {
        // What cannot be taken away now refuses nothing, and the next run takes it away.
        let script = transaction(&unread.removal(), "");
        if session.batch_execute(&format!("{}{script}", opening(options, ""))).await.is_err() {
            let _ = session.batch_execute("rollback /* pgwright:create_partition */").await;
        }
    }
    made
}

/// How a transaction begins.
fn opening(options: &ExecuteOptions, settings: &str) -> String {
    let timeout_ms = options.lock_timeout.as_millis().max(1);
    // Moving the rows of a large DEFAULT takes its time.
    format!(
        "begin isolation level read committed /* pgwright:create_partition */; \
         set local lock_timeout = {timeout_ms}; set local statement_timeout = 0; {settings}\n"
    )
}

/// Sends a transaction until its locks are to be had.
async fn patiently(
    (session, watch): (&Session, Option<&Watch>),
    script: &str,
    action: &Action,
    step_id: i64,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<(), StepFailure> {
    let timeout_ms = u64::try_from(options.lock_timeout.as_millis()).unwrap_or(u64::MAX).max(1);
    let sql = operation_of(action).statement(action);
    let mut attempt = 1;
    loop {
        on_event(Event::Sending { step_id, sql: sql.clone(), attempt });
        let settings = watch.map(|watch| watch.settings(attempt)).unwrap_or_default();
        let script = format!("{}{script}", opening(options, &settings));
        let (answer, taken_back) = match watch {
            Some(watch) => watch.send(session, &script).await,
            None => (session.batch_execute(&script).await, false),
        };
        let Err(error) = answer else { return Ok(()) };
        on_event(Event::Answered { step_id });
        let _ = session.batch_execute("rollback /* pgwright:create_partition */").await;
        // Only where rows are moved do statements have a limit of their own.
        let ran_out = watch.is_some() && error.code() == Some(&SqlState::QUERY_CANCELED);
        let again = options.tries_again(attempt, error.code()) || ran_out && options.has_tries_after(attempt);
        if !again {
            let message = match (taken_back, ran_out) {
                (true, _) => {
                    "others change the rows that are being moved out of DEFAULT all the time".to_owned()
                }
                (false, true) => {
                    let ms = options.max_lock.as_millis();
                    format!("DEFAULT would be locked for longer than max_lock ({ms} ms) while rows leave it")
                }
                _ => error.as_db_error().map_or_else(|| error.to_string(), |d| d.message().to_owned()),
            };
            let hint = "Allow a longer lock with --max-lock, or try again when fewer rows are changed.";
            return Err(StepFailure {
                // A timeout that pgwright has set is no wish of somebody to stop.
                sqlstate: error.code().filter(|_| !ran_out).map(|c| c.code().to_owned()),
                attempts: attempt,
                timeout_ms,
                cancelled: options.cancellation.is_cancelled(),
                server_hint: ran_out.then(|| hint.to_owned()),
                ..StepFailure::of(action, message)
            });
        }
        options.back_off(step_id, attempt, error.code(), on_event).await;
        attempt += 1;
    }
}
