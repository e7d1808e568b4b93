//! What did an earlier run leave when it died? Looked for at the start of every command that works
//! with the journal, under the lock, so that an open step cannot belong to a run that is alive.
//!
//! The journal says what was under way; the catalog says how far it got. A server process can
//! outlive the pgwright that it served: a build goes on until the server tries to answer. Such a
//! process is known by its id and start time together, since ids are used again.

use chrono::{DateTime, Utc};
use model::QualifiedName;
use postgres::{Session, Target};
use serde::Serialize;
use tokio_postgres::Client;

use crate::action::{Action, PartitionChange};
use crate::catalog;
use crate::error::Error;
use crate::event::{Event, OnEvent};
use crate::journal::{self, JournalEntry, JournalStep, Record, Status};
use crate::operations::{Condition, operation_of};
use crate::options::{ExecuteOptions, Orphans};
use crate::schema::{self, Presence};
use crate::worker::{Settled, Worker, cancel_backend, open_journal_session};

/// What was found of an earlier run and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recovered {
    /// The journal's entry.
    pub entry_id: i64,
    /// The recommendation.
    pub recommendation_id: String,
    /// Its title.
    pub title: String,
    /// The step.
    pub step_id: i64,
    /// The object.
    pub object: QualifiedName,
    /// The state that the step was found in.
    pub was: Status,
    /// The state that it is in now; the same when nothing could be done yet.
    pub is: Status,
    /// What was found and done, in a sentence.
    pub sentence: String,
}

/// Looks for the remains of dead runs and deals with them. Does nothing while another run is alive,
/// and nothing on a standby.
///
/// # Errors
/// When the server cannot be asked, or the journal not written.
pub async fn recover(
    target: &Target,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Vec<Recovered>, Error> {
    let session = open_journal_session(target).await?;
    let facts = catalog::session_facts(&session).await?;
    if facts.in_recovery || facts.read_only || !any_open(&session).await? {
        return Ok(Vec::new());
    }
    match journal::lock(&session).await {
        Ok(()) => {}
        Err(Error::Locked { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    }
    let result = recover_locked(target, &session, options, on_event).await;
    unlock(&session).await;
    result
}

/// Whether a run that is dead has left something for [`recover`]. Writes nothing.
///
/// # Errors
/// When the server cannot be asked.
pub async fn interrupted(target: &Target) -> Result<bool, Error> {
    let session = open_journal_session(target).await?;
    Ok(any_open(&session).await? && journal::holder(&session).await?.is_none())
}

/// Gives the lock back at once. When that fails the session is gone, and the lock with it.
pub(crate) async fn unlock(client: &Client) {
    let _ =
        client.batch_execute("select /* pgwright:apply_unlock */ pg_catalog.pg_advisory_unlock_all()").await;
}

async fn any_open(client: &Client) -> Result<bool, Error> {
    if schema::presence(client).await? == Presence::Absent {
        return Ok(false);
    }
    let doing = || Error::query("read the journal");
    client
        .query_one(
            "select /* pgwright:journal_open */ exists (select from pgwright.journal_step \
             where status in ('planned', 'running', 'undoing') \
                or status = 'failed' and error ->> 'left_behind' is not null) as open",
            &[],
        )
        .await
        .and_then(|row| row.try_get("open"))
        .map_err(doing())
}

/// The same for a caller that holds the lock.
pub(crate) async fn recover_locked(
    target: &Target,
    session: &Session,
    options: &ExecuteOptions,
    on_event: OnEvent<'_>,
) -> Result<Vec<Recovered>, Error> {
    if !any_open(session).await? {
        return Ok(Vec::new());
    }
    let mut worker = Worker::open(target, options).await?;
    let mut all = Vec::new();
    for entry in journal::read(session, None).await? {
        // What undoes a step comes before the step, which is judged by what has become of it.
        let (undoing, forward): (Vec<&JournalStep>, Vec<&JournalStep>) =
            entry.steps.iter().partition(|s| s.undoes.is_some());
        for step in undoing.into_iter().chain(forward) {
            let left_behind = step.status == Status::Failed
                && step.error.as_ref().and_then(|e| e.get("left_behind")).is_some_and(|l| !l.is_null());
            if !(step.status.is_open() || left_behind) {
                continue;
            }
            let recovered = recover_step(session, &mut worker, options, &entry, step, on_event).await?;
            on_event(Event::Recovered(recovered.clone()));
            all.push(recovered);
        }
    }
    if all.iter().any(|r| r.is == Status::Undone) {
        close_trees(session).await?;
    }
    Ok(all)
}

/// The steps of an index of a partitioned table whose whole is undone have gone with it.
pub(crate) async fn close_trees(session: &Client) -> Result<(), Error> {
    for entry in journal::read(session, None).await? {
        let mut actions = Vec::new();
        for step in entry.forward_steps() {
            actions.push((step, step.action()?));
        }
        let undone = |action: &Action| {
            action.root().is_some_and(|root| {
                actions.iter().any(|(step, other)| {
                    step.status == Status::Undone
                        && other.root() == Some(root)
                        && operation_of(other).undo_statement(other).is_some()
                })
            })
        };
        for (step, action) in actions.iter().filter(|(s, a)| s.status == Status::Done && undone(a)) {
            if operation_of(action).inspect(session, action).await? == Condition::NotDone {
                journal::advance(session, step.step_id, Status::Undoing, Record::default()).await?;
                journal::advance(session, step.step_id, Status::Undone, Record::default()).await?;
            }
        }
    }
    Ok(())
}

async fn recover_step(
    session: &Session,
    worker: &mut Worker<'_>,
    options: &ExecuteOptions,
    entry: &JournalEntry,
    step: &JournalStep,
    on_event: OnEvent<'_>,
) -> Result<Recovered, Error> {
    let change = step.action()?;
    let operation = operation_of(&change);
    let object = change.object();
    let (is, sentence, made) = if step.status == Status::Planned {
        (
            Status::Skipped,
            format!("{} had not begun when pgwright ended.", naming(operation.action(), &object)),
            None,
        )
    } else {
        if let Some(pid) = step.worker_pid {
            outlive(session, options, pid, step.worker_backend_start, on_event).await?;
        }
        let settled = match (&change, step.status) {
            // It is being made again until it is valid.
            (Action::Partition(PartitionChange::DropPartitionedIndex { .. }), Status::Undoing)
                if catalog::index_state(session, &object).await?.is_some_and(|state| !state.valid) =>
            {
                Settled::Done { made: None, finished: None }
            }
            _ => worker.settle(session, step.step_id, operation, &change, on_event).await,
        };
        verdict(step.status, &change, settled)
    };
    if is != step.status {
        let record = Record { made, error: step.error.clone(), ..Record::note(sentence.clone()) };
        journal::advance(session, step.step_id, is, record).await?;
    }
    Ok(Recovered {
        entry_id: entry.entry_id,
        recommendation_id: entry.recommendation_id.clone(),
        title: entry.title.clone(),
        step_id: step.step_id,
        object,
        was: step.status,
        is,
        sentence,
    })
}

fn naming(action: &str, object: &QualifiedName) -> String {
    let mut text = format!("{action} {object}");
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// What a step is now, given what the catalog says of its change.
fn verdict(was: Status, change: &Action, settled: Settled) -> (Status, String, Option<(u32, String)>) {
    let what = naming(operation_of(change).action(), &change.object());
    match (was, settled) {
        (_, Settled::Stuck(sentence)) => (was, sentence, None),
        (Status::Running, Settled::Done { made, finished: None }) => {
            (Status::Done, format!("{what} had been finished when pgwright ended; it counts as done."), made)
        }
        (Status::Running, Settled::Done { made, finished: Some(found) }) => {
            (Status::Done, format!("{what} had been left half-done ({found}); it was finished."), made)
        }
        (Status::Running, Settled::NotDone { removed: Some(found) }) => {
            (Status::Cleaned, format!("{what} had been left half-done: {found} was removed."), None)
        }
        (Status::Running, Settled::NotDone { removed: None }) => (
            Status::Cleaned,
            format!("{what} was under way when pgwright ended and did not come about; nothing was left."),
            None,
        ),
        (Status::Undoing, Settled::NotDone { removed: None }) => {
            (Status::Undone, format!("Undoing \"{what}\" had been finished when pgwright ended."), None)
        }
        (Status::Undoing, Settled::NotDone { removed: Some(found) }) => (
            Status::Undone,
            format!("Undoing \"{what}\" had been left half-done ({found}); it was finished."),
            None,
        ),
        (Status::Undoing, Settled::Done { finished: None, .. }) => {
            (Status::Done, format!("Undoing \"{what}\" did not come about; it is still applied."), None)
        }
        (Status::Undoing, Settled::Done { finished: Some(found), .. }) => (
            Status::Done,
            format!("Undoing \"{what}\" had been left half-done: {found} was removed; it is still applied."),
            None,
        ),
        // A failed step that could not remove its remains at the time.
        (_, Settled::NotDone { removed }) => {
            let found = removed.map_or_else(|| "nothing is left".into(), |f| format!("{f} was removed"));
            (Status::Cleaned, format!("{what} had failed before; {found}."), None)
        }
        (_, Settled::Done { .. }) => {
            (Status::Cleaned, format!("{what} had failed before and is done by now, not by pgwright."), None)
        }
    }
}

/// Waits for, or stops, a server process that outlived the pgwright that it served.
async fn outlive(
    client: &Client,
    options: &ExecuteOptions,
    pid: i32,
    backend_start: Option<DateTime<Utc>>,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    while let Some(activity) = catalog::worker_activity(client, pid, backend_start).await? {
        let stop = options.orphans == Orphans::Cancel;
        on_event(Event::Orphan { pid, activity });
        if stop {
            cancel_backend(client, pid).await?;
        }
        tokio::select! {
            () = tokio::time::sleep(options.poll) => {}
            () = options.cancellation.cancelled() => {
                return Err(Error::Cancelled { next: format!("session {pid} of an earlier run had ended") });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_found_the_next_state_is_one_that_the_journal_allows() {
        let table = QualifiedName::new("s", "t");
        let change = Action::Change(model::Change::Analyze { table });
        let found = || Some("invalid index s.i".to_owned());
        let settled = [
            Settled::NotDone { removed: None },
            Settled::NotDone { removed: found() },
            Settled::Done { made: None, finished: None },
            Settled::Done { made: None, finished: found() },
            Settled::Stuck("It is not known.".into()),
        ];
        for was in [Status::Running, Status::Undoing, Status::Failed] {
            for settled in &settled {
                let (is, sentence, _) = verdict(was, &change, settled.clone());
                assert!(is == was || was.may_become(is), "{was:?} {settled:?} {is:?}");
                assert_eq!(is == was, matches!(settled, Settled::Stuck(_)), "{was:?} {settled:?}");
                assert!(sentence.ends_with('.') && sentence.starts_with(|c: char| c.is_uppercase()));
            }
        }
    }
}
