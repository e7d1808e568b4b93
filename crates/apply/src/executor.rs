//! How is a plan carried out? One step after the other, each journaled before and after, all of
//! them checked before the first.
//!
//! Two sessions: one holds the lock, writes the journal and watches; the other changes things. The
//! journal's session commits each write at once, so that a death of either session, of pgwright or
//! of the server leaves a journal that says what was under way.

use std::collections::BTreeMap;
use std::time::Instant;

use model::{Change, Millis};
use postgres::{Session, Target};
use serde::Serialize;
use uuid::Uuid;

use crate::action::{Action, IndexShape, TreeRoot};
use crate::catalog::{self, SessionFacts};
use crate::error::{Error, Refusal, StepFailure};
use crate::event::{Event, OnEvent};
use crate::journal::{self, JournalEntry, Record, Status};
use crate::objection::Objection;
use crate::operations::{Inspection, Site, operation_of};
use crate::options::ExecuteOptions;
use crate::partitions::expansion::{self, Wanted};
use crate::plan::{ApplyPlan, PlannedRecommendation, PlannedStep};
use crate::preflight::{self, patiently};
use crate::recovery::{Recovered, recover_locked, unlock};
use crate::schema;
use crate::store;
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
    /// What it changes.
    pub change: Action,
    /// The statement.
    pub sql: String,
    /// Its state.
    pub status: Status,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took, waiting and tries included.
    pub elapsed: Millis,
}

impl RunStep {
    /// A step that has not begun.
    pub(crate) fn of(step: &PlannedStep, step_id: i64) -> Self {
        Self {
            step_id,
            change: step.change.clone(),
            sql: step.sql.clone(),
            status: Status::Planned,
            attempts: 0,
            elapsed: Millis(0.0),
        }
    }
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
        run_id: options.run_id.unwrap_or_else(Uuid::new_v4),
        recovered,
        notices: preflight.notices,
        entries: Vec::new(),
        failure: None,
    };
    let given = plan;
    let plan = preflight.plan;
    if plan.recommendations.iter().all(|r| r.steps.is_empty() && r.resumes.is_none()) {
        return Ok(run);
    }
    if !given.steps().map(|(_, s)| &s.sql).eq(plan.steps().map(|(_, s)| &s.sql)) {
        let statements = plan.steps().map(|(_, s)| s.sql.clone()).collect();
        on_event(Event::Replanned { statements });
    }
    // Everything that can fail before the first statement fails before the journal is written.
    let mut worker = Worker::open(target, options).await?;
    schema::ensure(session).await?;
    if let Some(before) = &options.before {
        store::save_on(session, before).await?;
    }
    for (position, planned) in (0_i32..).zip(&plan.recommendations) {
        let (entry_id, step_ids) = match planned.resumes {
            Some(entry_id) => {
                journal::resume(session, entry_id, run.run_id).await?;
                (entry_id, journal::append(session, entry_id, &planned.steps, None).await?)
            }
            None => journal::write_plan(session, run.run_id, position, planned).await?,
        };
        let steps = run_steps(&planned.steps, step_ids);
        let recommendation_id = planned.recommendation_id.clone();
        on_event(Event::Journaled {
            entry_id,
            recommendation_id: recommendation_id.clone(),
            title: planned.title.clone(),
        });
        run.entries.push(RunEntry { entry_id, recommendation_id, steps });
    }
    let mut site = StepSite { session, facts, worker: &mut worker, options };
    for (entry, planned) in run.entries.iter_mut().zip(&plan.recommendations) {
        let was_running = run.failure.is_none();
        site.run_steps(&mut entry.steps, &mut run.failure, on_event).await?;
        if run.failure.is_none() {
            run.failure = site.complete(entry, planned, &mut run.notices, on_event).await?;
        }
        let begun = entry.steps.iter().any(|s| s.status == Status::Done);
        if was_running && begun && run.failure.is_some() {
            let text = format!(
                "Entry {} of the journal is not finished; \"pgwright apply\" goes on with it, \"pgwright undo\" takes \
                 back what was done.",
                entry.entry_id
            );
            on_event(Event::Notice { text: text.clone() });
            run.notices.push(text);
        }
    }
    Ok(run)
}

/// The steps of a run, none of them begun.
fn run_steps(planned: &[PlannedStep], step_ids: Vec<i64>) -> Vec<RunStep> {
    planned.iter().zip(step_ids).map(|(step, step_id)| RunStep::of(step, step_id)).collect()
}

/// How often it is looked for partitions that came while an index was made.
const ROUNDS: usize = 20;

/// Where steps are run.
pub(crate) struct StepSite<'a, 'w> {
    pub session: &'a Session,
    pub facts: &'a SessionFacts,
    pub worker: &'a mut Worker<'w>,
    pub options: &'a ExecuteOptions,
}

impl StepSite<'_, '_> {
    /// Runs steps in order; those after a failure are skipped.
    pub async fn run_steps(
        &mut self,
        steps: &mut [RunStep],
        failure: &mut Option<Error>,
        on_event: OnEvent<'_>,
    ) -> Result<(), Error> {
        for step in steps {
            if failure.is_none() && self.options.cancellation.is_cancelled() {
                *failure = Some(Error::Cancelled { next: step.sql.clone() });
            }
            if failure.is_some() {
                journal::advance(self.session, step.step_id, Status::Skipped, Record::default()).await?;
                step.status = Status::Skipped;
                on_event(Event::Skipped { step_id: step.step_id });
                continue;
            }
            *failure = self.run_step(step, on_event).await?;
        }
        Ok(())
    }

    /// Journals further steps of an entry, shows them and runs them.
    pub async fn run_more(
        &mut self,
        entry_id: i64,
        actions: Vec<Action>,
        undoes: Option<i64>,
        failure: &mut Option<Error>,
        on_event: OnEvent<'_>,
    ) -> Result<Vec<RunStep>, Error> {
        let planned: Vec<PlannedStep> = actions.into_iter().map(PlannedStep::new).collect();
        let step_ids = journal::append(self.session, entry_id, &planned, undoes).await?;
        let mut steps = run_steps(&planned, step_ids);
        on_event(Event::Replanned { statements: steps.iter().map(|s| s.sql.clone()).collect() });
        self.run_steps(&mut steps, failure, on_event).await?;
        Ok(steps)
    }

    /// Sees to it that the indexes of partitioned tables are whole: that a partition which was
    /// attached meanwhile has them, and that they have become valid.
    async fn complete(
        &mut self,
        entry: &mut RunEntry,
        planned: &PlannedRecommendation,
        notices: &mut Vec<String>,
        on_event: OnEvent<'_>,
    ) -> Result<Option<Error>, Error> {
        for change in &planned.changes {
            let Change::CreateIndex { index } = change else { continue };
            let name = index.qualified_name();
            if !entry.steps.iter().any(|s| s.change.root().is_some_and(|root| root.index == name)) {
                continue;
            }
            let root = TreeRoot { index: name, table: index.table.clone() };
            let wanted = |journal: &[JournalEntry]| Wanted {
                root: root.clone(),
                shape: IndexShape::of(index),
                names: BTreeMap::new(),
                adopt: true,
                exact: None,
                ours: expansion::made_for(&root, journal),
            };
            let (steps, failure) =
                self.until_whole(entry.entry_id, &root, wanted, None, notices, on_event).await?;
            entry.steps.extend(steps);
            if failure.is_some() {
                return Ok(failure);
            }
        }
        Ok(None)
    }

    /// Does what is missing of an index of a partitioned table until nothing is.
    pub async fn until_whole(
        &mut self,
        entry_id: i64,
        root: &TreeRoot,
        wanted: impl Fn(&[JournalEntry]) -> Wanted,
        undoes: Option<i64>,
        notices: &mut Vec<String>,
        on_event: OnEvent<'_>,
    ) -> Result<(Vec<RunStep>, Option<Error>), Error> {
        let mut all = Vec::new();
        let mut failure = None;
        for _ in 0..ROUNDS {
            let wanted = wanted(&journal::read(self.session, None).await?);
            let site = Site { client: self.session, facts: self.facts, rehearse: false };
            let missing = expansion::missing(&site, wanted).await?;
            if !missing.objections.is_empty() {
                let refusal = |objection| Refusal {
                    recommendation_id: None,
                    object: Some(root.index.clone()),
                    objection,
                };
                failure = Some(Error::Refused(missing.objections.into_iter().map(refusal).collect()));
                break;
            }
            if missing.actions.is_empty() {
                break;
            }
            all.extend(self.run_more(entry_id, missing.actions, undoes, &mut failure, on_event).await?);
            if failure.is_some() {
                break;
            }
        }
        if failure.is_none()
            && catalog::index_state(self.session, &root.index).await?.is_some_and(|state| !state.valid)
        {
            let text = format!(
                "Index {} as a whole is still invalid, though the partitions that can have it have it and use it.",
                root.index
            );
            on_event(Event::Notice { text: text.clone() });
            notices.push(text);
        }
        Ok((all, failure))
    }

    /// Runs one step; its failure comes back as a value, an error means that the journal itself
    /// could not be written.
    async fn run_step(&mut self, step: &mut RunStep, on_event: OnEvent<'_>) -> Result<Option<Error>, Error> {
        let began = Instant::now();
        let change = &step.change.clone();
        let operation = operation_of(change);
        let step_id = step.step_id;
        // The world may have changed since the check of the whole plan.
        let site = Site { client: self.session, facts: self.facts, rehearse: false };
        let look = async || operation.preflight(&site, change).await;
        let mut already = None;
        let refused = match patiently(self.session, change, self.options, look).await {
            Ok(inspection) if inspection.objections.is_empty() => {
                already = inspection.already;
                None
            }
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
        if let Some(reason) = already {
            return self.count_as_done(step, reason, on_event).await;
        }
        on_event(Event::Started { step_id, sql: step.sql.clone() });
        // What an earlier build left under this name goes first.
        let ready = self.worker.settle(self.session, step_id, operation, change, on_event).await;
        let made = match ready {
            Settled::NotDone { .. } => {
                self.worker.make(self.session, step_id, operation, change, Direction::Forward, on_event).await
            }
            // PostgreSQL itself gives a new partition its index, for instance.
            Settled::Done { made, .. } if change.root().is_some() => Ok((0, made)),
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
                on_event(Event::Finished { step_id, sql: step.sql.clone(), elapsed: step.elapsed });
                Ok(None)
            }
            Err(failure) => {
                // The partition may be gone, and with it the reason for the step.
                if change.root().is_some() && failure.left_behind.is_none() {
                    let look = async || operation.preflight(&site, change).await;
                    if let Ok(Inspection { already: Some(reason), .. }) =
                        patiently(self.session, change, self.options, look).await
                    {
                        return self.count_as_done(step, reason, on_event).await;
                    }
                }
                journal::advance(self.session, step_id, Status::Failed, Record::failure(&failure)?).await?;
                (step.status, step.attempts) = (Status::Failed, failure.attempts);
                on_event(Event::Failed { step_id });
                Ok(Some(Error::Step(Box::new(failure))))
            }
        }
    }

    /// Journals a running step as done because there was nothing to do.
    async fn count_as_done(
        &self,
        step: &mut RunStep,
        reason: String,
        on_event: OnEvent<'_>,
    ) -> Result<Option<Error>, Error> {
        journal::advance(self.session, step.step_id, Status::Done, Record::note(reason.clone())).await?;
        step.status = Status::Done;
        on_event(Event::Notice { text: reason });
        Ok(None)
    }
}
