//! How is a plan carried out? One step after the other, each journaled before and after, all of
//! them checked before the first.
//!
//! Two sessions: one holds the lock, writes the journal and watches; the other changes things. The
//! journal's session commits each write at once, so that a death of either session, of pgwright or
//! of the server leaves a journal that says what was under way.

use std::time::Instant;

use model::{Change, Millis};
use postgres::{Session, Target};
use serde::Serialize;
use uuid::Uuid;

use crate::catalog::{self, SessionFacts};
use crate::error::{Error, Refusal, StepFailure};
use crate::event::{Event, OnEvent};
use crate::journal::{self, Record, Status};
use crate::objection::Objection;
use crate::operations::{Site, operation_of};
use crate::options::ExecuteOptions;
use crate::plan::{ApplyPlan, PlannedStep};
use crate::preflight::{self, patiently};
use crate::recovery::{Recovered, recover_locked, unlock};
use crate::schema;
use crate::worker::{Direction, Settled, Worker, open_journal_session};

/// What a run did.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Its number in the journal.
    pub run_id: Uuid,
    /// What was found of earlier runs.
    pub recovered: Vec<Recovered>,
    /// What preflight had to say, in sentences.
    pub notices: Vec<String>,
    /// The journal's entries that were written, in order, with the state of each.
    pub entries: Vec<RunEntry>,
    /// Why the run ended early; the steps after it were skipped.
    #[serde(skip)]
    pub failure: Option<Error>,
}

impl Run {
    /// The run, or why it ended early.
    ///
    /// # Errors
    /// The failure of the step that ended it.
    pub fn into_result(mut self) -> Result<Self, Error> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }
}

/// One recommendation of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunEntry {
    /// The journal's entry.
    pub entry_id: i64,
    /// The recommendation.
    pub recommendation_id: String,
    /// Its steps in order.
    pub steps: Vec<RunStep>,
}

/// One statement of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStep {
    /// The journal's step.
    pub step_id: i64,
    /// The change.
    pub change: Change,
    /// The statement.
    pub sql: String,
    /// Its state.
    pub status: Status,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took, waiting and tries included.
    pub elapsed: Millis,
}

/// Carries out a plan.
///
/// # Errors
/// Everything that keeps a run from beginning: no connection, another run at work, a refusal of
/// preflight. Nothing has been changed then. A step that fails is in [`Run::failure`], since what
/// was done before it stays done.
pub async fn execute(
    target: &Target,
    plan: &ApplyPlan,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Run, Error> {
    let (session, facts) = begin(target).await?;
    on_event(Event::Locked);
    let result = execute_locked(target, &session, &facts, plan, options, on_event).await;
    unlock(&session).await;
    result
}

/// Opens the journal's session and takes the lock, unless the server takes no changes.
pub(crate) async fn begin(target: &Target) -> Result<(Session, SessionFacts), Error> {
    let refuse =
        |objection| Error::Refused(vec![Refusal { recommendation_id: None, object: None, objection }]);
    let session = match open_journal_session(target).await {
        Err(Error::Connect(postgres::Error::Pooler { .. })) => {
            return Err(refuse(Objection::TransactionPooler));
        }
        other => other?,
    };
    let facts = catalog::session_facts(&session).await?;
    if let Some(objection) = preflight::server_objections(&facts).into_iter().next() {
        return Err(refuse(objection));
    }
    journal::lock(&session).await?;
    Ok((session, facts))
}

/// Opens a session for writes that need no lock, unless the server takes no changes.
pub(crate) async fn begin_writing(target: &Target) -> Result<Session, Error> {
    let session = open_journal_session(target).await?;
    let facts = catalog::session_facts(&session).await?;
    match preflight::server_objections(&facts).into_iter().next() {
        None => Ok(session),
        Some(objection) => {
            Err(Error::Refused(vec![Refusal { recommendation_id: None, object: None, objection }]))
        }
    }
}

async fn execute_locked(
    target: &Target,
    session: &Session,
    facts: &SessionFacts,
    plan: &ApplyPlan,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Run, Error> {
    let recovered = recover_locked(target, session, options, on_event).await?;
    let preflight = preflight::check(session, facts, plan, true, options).await?;
    if !preflight.refusals.is_empty() {
        return Err(Error::Refused(preflight.refusals));
    }
    for text in &preflight.notices {
        on_event(Event::Notice { text: text.clone() });
    }
    let mut run = Run {
        run_id: Uuid::new_v4(),
        recovered,
        notices: preflight.notices,
        entries: Vec::new(),
        failure: None,
    };
    if plan.is_empty() {
        return Ok(run);
    }
    // Everything that can fail before the first statement fails before the journal is written.
    let mut worker = Worker::open(target, options).await?;
    schema::ensure(session).await?;
    for (position, planned) in (0_i32..).zip(&plan.recommendations) {
        let (entry_id, step_ids) = journal::write_plan(session, run.run_id, position, planned).await?;
        let steps = planned
            .steps
            .iter()
            .zip(step_ids)
            .map(|(step, step_id)| RunStep {
                step_id,
                change: step.change.clone(),
                sql: step.sql.clone(),
                status: Status::Planned,
                attempts: 0,
                elapsed: Millis(0.0),
            })
            .collect();
        let recommendation_id = planned.recommendation_id.clone();
        on_event(Event::Journaled {
            entry_id,
            recommendation_id: recommendation_id.clone(),
            title: planned.title.clone(),
        });
        run.entries.push(RunEntry { entry_id, recommendation_id, steps });
    }
    let steps = run.entries.iter_mut().flat_map(|e| &mut e.steps);
    let mut failure = None;
    for (step, (_, planned)) in steps.zip(plan.steps()) {
        if failure.is_none() && options.cancellation.is_cancelled() {
            failure = Some(Error::Cancelled { next: planned.sql.clone() });
        }
        if failure.is_some() {
            journal::advance(session, step.step_id, Status::Skipped, Record::default()).await?;
            step.status = Status::Skipped;
            on_event(Event::Skipped { step_id: step.step_id });
            continue;
        }
        let mut site = StepSite { session, facts, worker: &mut worker, options };
        failure = site.run_step(step, planned, on_event).await?;
    }
    run.failure = failure;
    Ok(run)
}

struct StepSite<'a, 'w> {
    session: &'a Session,
    facts: &'a SessionFacts,
    worker: &'a mut Worker<'w>,
    options: &'a ExecuteOptions,
}

impl StepSite<'_, '_> {
    /// Runs one step; its failure comes back as a value, an error means that the journal itself
    /// could not be written.
    async fn run_step(
        &mut self,
        step: &mut RunStep,
        planned: &PlannedStep,
        on_event: OnEvent<'_>,
    ) -> Result<Option<Error>, Error> {
        let began = Instant::now();
        let change = &planned.change;
        let operation = operation_of(change);
        let step_id = step.step_id;
        // The world may have changed since the check of the whole plan.
        let site = Site { client: self.session, facts: self.facts, rehearse: false };
        let look = async || operation.preflight(&site, change).await;
        let refused = match patiently(self.session, change, self.options, look).await {
            Ok(inspection) if inspection.objections.is_empty() => None,
            Ok(inspection) => Some(Error::Refused(
                inspection
                    .objections
                    .into_iter()
                    .map(|objection| Refusal {
                        recommendation_id: None,
                        object: Some(change.object()),
                        objection,
                    })
                    .collect(),
            )),
            Err(error @ Error::Step(_)) => Some(error),
            Err(error) => return Err(error),
        };
        if let Some(error) = refused {
            let record = Record::note(format!("Not begun: {error}."));
            journal::advance(self.session, step_id, Status::Skipped, record).await?;
            step.status = Status::Skipped;
            on_event(Event::Skipped { step_id });
            return Ok(Some(error));
        }
        self.worker.reopen_if_closed().await?;
        let worker = self.worker.identity();
        let record = Record { worker: Some(worker), attempts: Some(1), ..Record::default() };
        journal::advance(self.session, step_id, Status::Running, record).await?;
        step.status = Status::Running;
        on_event(Event::Started { step_id, sql: planned.sql.clone() });
        // What an earlier build left under this name goes first.
        let ready = self.worker.settle(self.session, step_id, operation, change, on_event).await;
        let made = match ready {
            Settled::NotDone { .. } => {
                self.worker.make(self.session, step_id, operation, change, Direction::Forward, on_event).await
            }
            Settled::Done { .. } => {
                Err(StepFailure::of(change, "it had been done by somebody else meanwhile"))
            }
            Settled::Stuck(sentence) => Err(StepFailure {
                left_behind: Some(sentence),
                ..StepFailure::of(change, "its place is taken")
            }),
        };
        step.elapsed = Millis(began.elapsed().as_secs_f64() * 1000.0);
        match made {
            Ok((attempts, made)) => {
                let record = Record { attempts: i32::try_from(attempts).ok(), made, ..Record::default() };
                journal::advance(self.session, step_id, Status::Done, record).await?;
                (step.status, step.attempts) = (Status::Done, attempts);
                on_event(Event::Finished { step_id, sql: planned.sql.clone(), elapsed: step.elapsed });
                Ok(None)
            }
            Err(failure) => {
                journal::advance(self.session, step_id, Status::Failed, Record::failure(&failure)?).await?;
                (step.status, step.attempts) = (Status::Failed, failure.attempts);
                on_event(Event::Failed { step_id });
                Ok(Some(Error::Step(Box::new(failure))))
            }
        }
    }
}
