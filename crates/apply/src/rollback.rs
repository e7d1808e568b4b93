//! How is an applied recommendation taken back? Only what the journal says pgwright did, only while
//! the object is still what pgwright made, in reverse order, with the same patience and the same
//! journal as the way there.

use std::time::Instant;

use model::{LockLevel, Millis};
use postgres::{Session, Target};
use serde::Serialize;

use crate::action::{Action, PartitionChange, TreeRoot};
use crate::catalog::{self, SessionFacts};
use crate::error::{Error, Refusal};
use crate::event::{Event, OnEvent};
use crate::executor::{RunStep, StepSite, begin};
use crate::journal::{self, JournalEntry, JournalStep, Record, Status};
use crate::objection::Objection;
use crate::operations::{Site, operation_of};
use crate::options::ExecuteOptions;
use crate::partitions::reversal;
use crate::plan::PlannedStep;
use crate::preflight::patiently;
use crate::recovery::{Recovered, recover_locked, unlock};
use crate::schema;
use crate::worker::{Direction, Worker};

/// What is to be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoTarget {
    /// The latest application of a recommendation, by its id.
    Recommendation(String),
    /// An entry of the journal, by its number.
    Entry(i64),
    /// One step of the journal, by its number.
    Step(i64),
    /// Whatever was applied last and is not undone. What needs no undoing, a VACUUM for instance,
    /// is passed over.
    Last,
}

impl std::fmt::Display for UndoTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Recommendation(id) => write!(f, "entry for \"{id}\""),
            Self::Entry(id) => write!(f, "entry {id}"),
            Self::Step(id) => write!(f, "step {id}"),
            Self::Last => f.write_str("change to undo"),
        }
    }
}

/// What an undo would run, or has run.
#[derive(Debug, Serialize)]
pub struct Undo {
    /// The journal's entry.
    pub entry_id: i64,
    /// The recommendation.
    pub recommendation_id: String,
    /// Its title.
    pub title: String,
    /// What was found of earlier runs.
    pub recovered: Vec<Recovered>,
    /// The steps in the order of undoing.
    pub steps: Vec<RunStep>,
    /// What was found, in sentences.
    pub notices: Vec<String>,
    /// Why it ended early.
    #[serde(skip)]
    pub failure: Option<Error>,
}

impl Undo {
    /// The undo, or why it ended early.
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

/// What undoing something would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UndoPlan {
    /// The journal's entry.
    pub entry_id: i64,
    /// The recommendation.
    pub recommendation_id: String,
    /// Its title.
    pub title: String,
    /// The statements in order.
    pub steps: Vec<PlannedUndo>,
    /// What the user should know, in sentences.
    pub notices: Vec<String>,
}

/// One statement that undoes something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedUndo {
    /// The statement.
    pub sql: String,
    /// The strongest lock; it is held for more than an instant unless `lock_detail` says so.
    pub lock: LockLevel,
    /// On what the lock is taken and who waits, where it is not the usual lock on the table.
    pub lock_detail: Option<String>,
}

/// What would be run to undo something: statements in order, nothing written.
///
/// # Errors
/// [`Error::NoEntry`] and [`Error::NothingToUndo`], or what the server says.
pub async fn plan_undo(target: &Target, wanted: &UndoTarget) -> Result<UndoPlan, Error> {
    let session = crate::worker::open_journal_session(target).await?;
    let facts = catalog::session_facts(&session).await?;
    let (entry, steps) = find(journal::read(&session, None).await?, wanted)?;
    let mut plan = UndoPlan {
        entry_id: entry.entry_id,
        recommendation_id: entry.recommendation_id.clone(),
        title: entry.title.clone(),
        steps: Vec::new(),
        notices: Vec::new(),
    };
    let site = Site { client: &session, facts: &facts, rehearse: false };
    let options = ExecuteOptions { tries: 1, ..ExecuteOptions::default() };
    for part in parts_of(&entry, steps)? {
        match part {
            Part::Step(step) => {
                let action = step.action()?;
                plan.steps.extend(operation_of(&action).undo_statement(&action).map(|sql| PlannedUndo {
                    sql,
                    lock: action.lock_level(),
                    lock_detail: None,
                }));
            }
            Part::Tree { root, steps } => {
                let action = steps[0].action()?;
                let look = async || reversal::of_steps(&site, &root, &steps).await;
                let expansion = patiently(&session, &action, &options, look).await?;
                plan.notices.extend(expansion.notices);
                for action in &expansion.actions {
                    let look = async || operation_of(action).preflight(&site, action).await;
                    plan.notices.extend(patiently(&session, action, &options, look).await?.notices);
                }
                plan.steps.extend(expansion.actions.into_iter().map(PlannedStep::new).map(|s| PlannedUndo {
                    sql: s.sql,
                    lock: s.lock,
                    lock_detail: s.lock_detail,
                }));
            }
        }
    }
    Ok(plan)
}

/// Undoes something.
///
/// # Errors
/// Everything that keeps an undo from beginning; nothing has been changed then. A step that fails is
/// in [`Undo::failure`].
pub async fn undo(
    target: &Target,
    wanted: &UndoTarget,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Undo, Error> {
    let (session, facts) = begin(target).await?;
    on_event(Event::Locked);
    let result = undo_locked(target, &session, &facts, wanted, options, on_event).await;
    unlock(&session).await;
    result
}

/// The entry and its steps that are done, the last first.
fn find(entries: Vec<JournalEntry>, wanted: &UndoTarget) -> Result<(JournalEntry, Vec<JournalStep>), Error> {
    let meant = |entry: &JournalEntry| match wanted {
        UndoTarget::Recommendation(id) => &entry.recommendation_id == id,
        UndoTarget::Entry(id) => entry.entry_id == *id,
        UndoTarget::Step(id) => entry.steps.iter().any(|s| s.step_id == *id),
        UndoTarget::Last => entry.forward_steps().any(|s| s.status == Status::Done && s.undo_sql.is_some()),
    };
    let undoable = |entry: &JournalEntry| -> Vec<JournalStep> {
        let chosen = |s: &&JournalStep| {
            s.status == Status::Done && !matches!(wanted, UndoTarget::Step(id) if s.step_id != *id)
        };
        entry.forward_steps().filter(chosen).cloned().collect()
    };
    let mut candidates: Vec<JournalEntry> = entries.into_iter().filter(meant).collect();
    while let Some(entry) = candidates.pop() {
        let steps = undoable(&entry);
        if !steps.is_empty() {
            return Ok((entry, steps));
        }
        if candidates.is_empty() && !matches!(wanted, UndoTarget::Last) {
            return Err(Error::NothingToUndo { entry: entry.entry_id, status: entry.status });
        }
    }
    Err(Error::NoEntry { wanted: wanted.to_string() })
}

/// What is undone together.
enum Part {
    /// One statement, by its opposite.
    Step(JournalStep),
    /// The statements of an index of a partitioned table, which go as a whole.
    Tree {
        root: TreeRoot,
        /// In the order of application; never empty.
        steps: Vec<JournalStep>,
    },
}

/// The parts in the order of undoing: the last first. Of a tree all steps go, whichever was meant.
fn parts_of(entry: &JournalEntry, steps: Vec<JournalStep>) -> Result<Vec<Part>, Error> {
    let mut parts: Vec<Part> = Vec::new();
    for step in steps {
        let Some(root) = step.action()?.root().cloned() else {
            parts.push(Part::Step(step));
            continue;
        };
        if parts.iter().any(|p| matches!(p, Part::Tree { root: known, .. } if *known == root)) {
            continue;
        }
        let mut steps = Vec::new();
        for other in entry.forward_steps().filter(|s| s.status == Status::Done) {
            if other.action()?.root() == Some(&root) {
                steps.push(other.clone());
            }
        }
        parts.push(Part::Tree { root, steps });
    }
    parts.reverse();
    Ok(parts)
}

async fn undo_locked(
    target: &Target,
    session: &Session,
    facts: &SessionFacts,
    wanted: &UndoTarget,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Undo, Error> {
    let recovered = recover_locked(target, session, options, on_event).await?;
    let (entry, steps) = find(journal::read(session, None).await?, wanted)?;
    let mut undo = Undo {
        entry_id: entry.entry_id,
        recommendation_id: entry.recommendation_id.clone(),
        title: entry.title.clone(),
        recovered,
        steps: Vec::new(),
        notices: Vec::new(),
        failure: None,
    };
    // All of them are looked at before the first is touched.
    let site = Site { client: session, facts, rehearse: false };
    let mut ready = Vec::new();
    let mut refusals = Vec::new();
    for part in parts_of(&entry, steps)? {
        let (action, objections) = match part {
            Part::Step(step) => {
                let action = step.action()?;
                let made = step.made_oid.zip(step.made_definition.as_deref());
                let look = async || operation_of(&action).undo_preflight(&site, &action, made).await;
                let inspection = patiently(session, &action, options, look).await?;
                undo.notices.extend(inspection.already.clone());
                ready.push(Ready::Step { step: step.clone(), already: inspection.already });
                (action, inspection.objections)
            }
            Part::Tree { root, steps } => {
                let action = steps[0].action()?;
                let look = async || reversal::of_steps(&site, &root, &steps).await;
                let expansion = patiently(session, &action, options, look).await?;
                undo.notices.extend(expansion.notices);
                let mut objections = expansion.objections;
                for action in &expansion.actions {
                    let look = async || operation_of(action).preflight(&site, action).await;
                    let inspection = patiently(session, action, options, look).await?;
                    objections.extend(inspection.objections);
                    undo.notices.extend(inspection.notices);
                }
                ready.push(Ready::Tree { root, steps, actions: expansion.actions });
                (action, objections)
            }
        };
        for objection in objections {
            if let Objection::IndexChanged { index: object, expected, found }
            | Objection::StatisticsChanged { name: object, expected, found }
            | Objection::ParameterChanged { table: object, expected, found } = objection
            {
                return Err(Error::ChangedSince { object, expected, found });
            }
            refusals.push(Refusal {
                recommendation_id: Some(entry.recommendation_id.clone()),
                object: Some(action.object()),
                objection,
            });
        }
    }
    if !refusals.is_empty() {
        return Err(Error::Refused(refusals));
    }
    let mut worker = Worker::open(target, options).await?;
    schema::ensure(session).await?;
    for part in ready {
        if options.cancellation.is_cancelled() {
            undo.failure = Some(Error::Cancelled { next: part.first_statement() });
            break;
        }
        let failure = match part {
            Ready::Step { step, already } => {
                let note = options.reason.clone();
                undo_step(session, &mut worker, &step, (already, note), &mut undo.steps, on_event).await?
            }
            Ready::Tree { root, steps, actions } => {
                let mut site = StepSite { session, facts, worker: &mut worker, options };
                undo_tree(&mut site, &mut undo, &root, &steps, actions, on_event).await?
            }
        };
        if failure.is_some() {
            undo.failure = failure;
            break;
        }
    }
    Ok(undo)
}

/// What is undone together, looked at.
enum Ready {
    Step { step: JournalStep, already: Option<String> },
    Tree { root: TreeRoot, steps: Vec<JournalStep>, actions: Vec<Action> },
}

impl Ready {
    fn first_statement(&self) -> String {
        match self {
            Self::Step { step, .. } => step.undo_sql.clone().unwrap_or_default(),
            Self::Tree { actions, .. } => {
                actions.first().map(|a| operation_of(a).statement(a)).unwrap_or_default()
            }
        }
    }
}

/// Undoes the index of a partitioned table. Every statement is a step of its own that names the one
/// it undoes, so that a death in between is recovered as that of a run is, and the next undo goes on.
async fn undo_tree(
    site: &mut StepSite<'_, '_>,
    undo: &mut Undo,
    root: &TreeRoot,
    steps: &[JournalStep],
    actions: Vec<Action>,
    on_event: OnEvent<'_>,
) -> Result<Option<Error>, Error> {
    let session = site.session;
    let whole = |step: &&JournalStep| step.action().is_ok_and(|a| a.object() == root.index);
    let Some(anchor) = steps.iter().find(whole).or_else(|| steps.first()) else { return Ok(None) };
    let dropped = match anchor.action()? {
        Action::Partition(PartitionChange::DropPartitionedIndex { parts, .. }) => Some(parts),
        _ => None,
    };
    journal::advance(session, anchor.step_id, Status::Undoing, Record::default()).await?;
    let mut failure = None;
    let undoes = Some(anchor.step_id);
    undo.steps.extend(site.run_more(undo.entry_id, actions, undoes, &mut failure, on_event).await?);
    let again = dropped.and_then(|parts| reversal::wanted_again(root, &parts));
    if let (None, Some(wanted)) = (&failure, again) {
        let notices = &mut undo.notices;
        let (more, stopped) =
            site.until_whole(undo.entry_id, root, |_| wanted.clone(), undoes, notices, on_event).await?;
        undo.steps.extend(more);
        failure = stopped;
    }
    if let Some(failure) = failure {
        let record = Record::note(format!(
            "Undoing \"{}\" stopped in the middle: {failure}. Undo again to finish.",
            operation_of(&anchor.action()?).statement(&anchor.action()?)
        ));
        journal::advance(session, anchor.step_id, Status::Done, record).await?;
        return Ok(Some(failure));
    }
    let record = Record { note: site.options.reason.clone(), ..Record::default() };
    journal::advance(session, anchor.step_id, Status::Undone, record).await?;
    for step in steps.iter().filter(|s| s.step_id != anchor.step_id) {
        journal::advance(session, step.step_id, Status::Undoing, Record::default()).await?;
        journal::advance(session, step.step_id, Status::Undone, Record::default()).await?;
    }
    Ok(None)
}

async fn undo_step(
    session: &Session,
    worker: &mut Worker<'_>,
    step: &JournalStep,
    (already, reason): (Option<String>, Option<String>),
    done: &mut Vec<RunStep>,
    on_event: OnEvent<'_>,
) -> Result<Option<Error>, Error> {
    let began = Instant::now();
    let change = step.action()?;
    let operation = operation_of(&change);
    let step_id = step.step_id;
    // Rendered anew from the change: the stored text is for people.
    let sql = operation.undo_statement(&change).unwrap_or_default();
    worker.reopen_if_closed().await?;
    let record = Record { worker: Some(worker.identity()), ..Record::default() };
    journal::advance(session, step_id, Status::Undoing, record).await?;
    on_event(Event::Started { step_id, sql: sql.clone() });
    let undone = match &already {
        Some(_) => Ok((0, None)),
        None => worker.make(session, step_id, operation, &change, Direction::Undo, on_event).await,
    };
    let elapsed = Millis(began.elapsed().as_secs_f64() * 1000.0);
    let report = |status, attempts| RunStep {
        step_id,
        change: change.clone(),
        sql: sql.clone(),
        status,
        attempts,
        elapsed,
    };
    match undone {
        Ok((attempts, _)) => {
            let record = Record { note: already.or(reason), ..Record::default() };
            journal::advance(session, step_id, Status::Undone, record).await?;
            on_event(Event::Finished { step_id, sql: sql.clone(), elapsed });
            done.push(report(Status::Undone, attempts));
            Ok(None)
        }
        Err(failure) => {
            // What stays half-done stays open, for the next run to finish.
            if failure.left_behind.is_none() {
                journal::advance(session, step_id, Status::Done, Record::failure(&failure)?).await?;
            }
            on_event(Event::Failed { step_id });
            let status = if failure.left_behind.is_none() { Status::Done } else { Status::Undoing };
            done.push(report(status, failure.attempts));
            Ok(Some(Error::Step(Box::new(failure))))
        }
    }
}

/// Removes schema `pgwright` with the journal and all baselines; `false` when there was none.
///
/// # Errors
/// [`Error::StillApplied`] when changes are applied that could not be undone afterwards, unless
/// `force` says that this is meant. [`Error::Locked`] when a run is at work.
pub async fn purge(target: &Target, force: bool) -> Result<bool, Error> {
    let (session, _) = begin(target).await?;
    let purged = async {
        crate::partition_conversion::none_is_open(target).await?;
        let entries = journal::read(&session, None).await?;
        let is_applied = |s: &JournalStep| {
            let reversible = s.undo_sql.is_some();
            (s.status == Status::Done && reversible) || matches!(s.status, Status::Running | Status::Undoing)
        };
        let applied = entries.iter().filter(|e| e.forward_steps().any(is_applied)).count();
        if applied > 0 && !force {
            return Err(Error::StillApplied { entries: i64::try_from(applied).unwrap_or(i64::MAX) });
        }
        schema::drop_schema(&session).await
    }
    .await;
    unlock(&session).await;
    purged
}
