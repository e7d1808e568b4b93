//! How does a statement run, watched by another session? Tries with back-off, progress, the wish to
//! stop, and the removal of what a failed try leaves behind.
//!
//! `lock_timeout` covers two very different waits of CREATE and DROP INDEX CONCURRENTLY: for the
//! SHARE UPDATE EXCLUSIVE lock on the table, and for older transactions to end (a wait for their
//! virtual transaction ids, `WaitForLockers()` in `lmgr.c`). A short limit on the second would throw
//! away a finished build because of one long reader. So the table's lock is taken and given back
//! first, with the short limit, and then the statement runs with the long one.

use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use model::Millis;
use postgres::{Session, SessionOptions, Target};
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::action::Action;
use crate::catalog::{self, Blocker};
use crate::error::{Error, StepFailure, describe};
use crate::event::{Event, OnEvent};
use crate::operations::{Condition, Operation, marked};
use crate::options::ExecuteOptions;
use crate::preflight::patiently;

/// How often the removal of remains is tried.
const CLEANUP_TRIES: u32 = 3;

/// `lock_timeout` of the session that writes the journal and looks at the catalog.
pub(crate) const JOURNAL_LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The session that changes things.
pub(crate) struct Worker<'a> {
    target: &'a Target,
    options: &'a ExecuteOptions,
    session: Session,
    pid: i32,
    backend_start: Option<DateTime<Utc>>,
}

/// A session that reads and writes the journal, and watches the worker.
pub(crate) async fn open_journal_session(target: &Target) -> Result<Session, Error> {
    let options = SessionOptions {
        application_name: "pgwright journal".into(),
        // Its statements touch pgwright's own tables and the catalog; a wait would mean trouble.
        statement_timeout: Some(Duration::from_secs(60)),
        lock_timeout: Some(JOURNAL_LOCK_TIMEOUT),
        ..SessionOptions::default()
    };
    let session = target.connect(&options).await?;
    lift_timeouts(&session, &["idle_session_timeout", "transaction_timeout"]).await?;
    // A journal that says "running" must be on disk before the statement is sent: a server that
    // commits asynchronously and then crashes would forget what was under way.
    session
        .execute(
            "select /* pgwright:journal_durable */ pg_catalog.set_config('synchronous_commit', 'local', false) \
             from pg_catalog.pg_settings where name = 'synchronous_commit' and setting = 'off'",
            &[],
        )
        .await
        .map_err(Error::query("make the journal durable"))?;
    Ok(session)
}

/// Lifts timeouts that a role or database may have been given; which exist depends on the version.
pub(crate) async fn lift_timeouts(client: &Client, names: &[&str]) -> Result<(), Error> {
    client
        .query(
            "select /* pgwright:lift_timeouts */ pg_catalog.set_config(s.name, '0', false) \
             from pg_catalog.pg_settings s where s.name = any ($1)",
            &[&names],
        )
        .await
        .map(drop)
        .map_err(Error::query("set the session's timeouts"))
}

/// Why a watched statement did not succeed.
struct Failure {
    sqlstate: Option<String>,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    /// Whether it was the short lock on the table that was not to be had.
    at_probe: bool,
    cancelled: bool,
    blockers: Vec<Blocker>,
}

impl Failure {
    fn from(error: &tokio_postgres::Error, cancelled: bool, blockers: Vec<Blocker>) -> Self {
        let db = error.as_db_error();
        Self {
            sqlstate: db.map(|d| d.code().code().to_owned()),
            message: db.map_or_else(|| describe(error), |d| d.message().to_owned()),
            detail: db.and_then(|d| d.detail()).map(str::to_owned),
            hint: db.and_then(|d| d.hint()).map(str::to_owned),
            at_probe: false,
            cancelled: cancelled && db.is_none_or(|d| *d.code() == SqlState::QUERY_CANCELED),
            blockers,
        }
    }
}

/// What the catalog says after a statement failed and its remains were dealt with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Settled {
    /// The change is not made, and nothing of it is left.
    NotDone {
        /// What was found and removed, when something was.
        removed: Option<String>,
    },
    /// The change is made.
    Done {
        /// What it made.
        made: Option<(u32, String)>,
        /// What was found and finished, when something was.
        finished: Option<String>,
    },
    /// Remains could not be removed, or something else is in the place, in a sentence.
    Stuck(String),
}

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Undo,
}

impl<'a> Worker<'a> {
    /// Opens the session: no statement timeout, the memory for builds, the pinned `search_path`.
    pub async fn open(target: &'a Target, options: &'a ExecuteOptions) -> Result<Self, Error> {
        let session = Self::connect(target, options).await?;
        let facts = catalog::session_facts(&session).await?;
        Ok(Self { target, options, session, pid: facts.pid, backend_start: facts.backend_start })
    }

    async fn connect(target: &Target, options: &ExecuteOptions) -> Result<Session, Error> {
        let session_options = SessionOptions {
            application_name: "pgwright apply".into(),
            lock_timeout: Some(options.lock_timeout),
            ..SessionOptions::default()
        };
        let session = target.connect(&session_options).await?;
        lift_timeouts(
            &session,
            &[
                "statement_timeout",
                "transaction_timeout",
                "idle_session_timeout",
                "idle_in_transaction_session_timeout",
            ],
        )
        .await?;
        if let Some(memory) = &options.maintenance_work_mem {
            session
                .execute(
                    "select /* pgwright:build_memory */ \
                     pg_catalog.set_config('maintenance_work_mem', $1, false)",
                    &[memory],
                )
                .await
                .map_err(Error::query("set maintenance_work_mem"))?;
        }
        Ok(session)
    }

    /// The process and when it began, for the journal.
    pub fn identity(&self) -> (i32, Option<DateTime<Utc>>) {
        (self.pid, self.backend_start)
    }

    /// Opens the session anew when the server has closed it.
    pub async fn reopen_if_closed(&mut self) -> Result<(), Error> {
        if self.session.is_closed() {
            *self = Self::open(self.target, self.options).await?;
        }
        Ok(())
    }

    /// Runs the statement of a change, forth or back, with tries. Afterwards the catalog says that
    /// it is made (or unmade), or the failure says what was left behind.
    pub async fn make(
        &mut self,
        observer: &Client,
        step_id: i64,
        operation: &dyn Operation,
        action: &Action,
        direction: Direction,
        on_event: OnEvent<'_>,
    ) -> Result<(u32, Option<(u32, String)>), StepFailure> {
        let statements = match direction {
            Direction::Forward => Some(operation.statements(action)),
            Direction::Undo => operation.undo_statement(action).map(|sql| vec![sql]),
        };
        let mut attempt = 1;
        loop {
            let failure = match &statements {
                Some(statements) => {
                    on_event(Event::Sending { step_id, sql: statements.join("; "), attempt });
                    self.try_once(observer, step_id, operation, action, statements, on_event).await.err()
                }
                None => None,
            };
            on_event(Event::Answered { step_id });
            // Someone else has made it, or removed it, since preflight: not this run's doing, so it must
            // not be journaled as such, and there is nothing of ours to remove.
            if let Some(Failure { sqlstate: Some(code), .. }) = &failure
                && [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT, SqlState::UNDEFINED_OBJECT]
                    .iter()
                    .any(|known| known.code() == code)
                && let Some(failure) = failure
            {
                return Err(self.failed(operation, action, direction, attempt, failure, None));
            }
            let settled = if failure.is_none() && !operation.changes_schema() {
                // Statistics leave no trace in the catalog that belongs to this run alone.
                Settled::Done { made: None, finished: None }
            } else {
                self.settle(observer, step_id, operation, action, on_event).await
            };
            let reached = match (&settled, direction) {
                (Settled::Done { made, .. }, Direction::Forward) => Some(made.clone()),
                (Settled::NotDone { .. }, Direction::Undo) => Some(None),
                _ => None,
            };
            // The catalog decides: a connection may break after the server has done its work.
            if let Some(made) = reached {
                return Ok((attempt, made));
            }
            let failure = failure.unwrap_or_else(|| Failure {
                sqlstate: None,
                message: "the statement succeeded but the catalog does not show its result".into(),
                detail: None,
                hint: None,
                at_probe: false,
                cancelled: false,
                blockers: Vec::new(),
            });
            let stuck = match settled {
                Settled::Stuck(sentence) => Some(sentence),
                _ => None,
            };
            let retry = match failure.sqlstate.as_deref() {
                Some("40P01") => true,
                // The long wait for old transactions is not repeated.
                Some("55P03") => failure.at_probe || !operation.waits_for_transactions(),
                // It had begun to lock table after table and gave all of them back.
                Some("57014") => operation.is_bounded() && !failure.cancelled,
                _ => false,
            };
            if !retry || stuck.is_some() || attempt >= self.options.tries || failure.cancelled {
                return Err(self.failed(operation, action, direction, attempt, failure, stuck));
            }
            let pause = self.options.pause_after(attempt);
            on_event(Event::Retrying {
                step_id,
                attempt,
                of: self.options.tries,
                sqlstate: failure.sqlstate.clone().unwrap_or_default(),
                pause: Millis(pause.as_secs_f64() * 1000.0),
                blockers: failure.blockers.clone(),
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.options.cancellation.cancelled() => {
                    let failure = Failure { cancelled: true, ..failure };
                    return Err(self.failed(operation, action, direction, attempt, failure, None));
                }
            }
            attempt += 1;
        }
    }

    fn failed(
        &self,
        operation: &dyn Operation,
        action: &Action,
        direction: Direction,
        attempts: u32,
        failure: Failure,
        left_behind: Option<String>,
    ) -> StepFailure {
        let old_transactions = operation.waits_for_transactions() && !failure.at_probe;
        StepFailure {
            action: match direction {
                Direction::Forward => operation.action().to_owned(),
                Direction::Undo => operation.undo_action().to_owned(),
            },
            object: action.object(),
            table: action.table().clone(),
            sqlstate: failure.sqlstate,
            message: failure.message,
            server_detail: failure.detail,
            server_hint: failure.hint,
            attempts,
            old_transactions,
            timeout_ms: u64::try_from(
                if old_transactions { self.options.transaction_timeout } else { self.options.lock_timeout }
                    .as_millis(),
            )
            .unwrap_or(u64::MAX),
            blockers: failure.blockers,
            left_behind,
            cancelled: failure.cancelled,
        }
    }

    async fn try_once(
        &self,
        observer: &Client,
        step_id: i64,
        operation: &dyn Operation,
        action: &Action,
        statements: &[String],
        on_event: OnEvent<'_>,
    ) -> Result<(), Failure> {
        if operation.waits_for_transactions() && self.can_lock(observer, action).await {
            let lock = format!(
                "BEGIN /* pgwright:probe_lock */; LOCK TABLE ONLY {} IN SHARE UPDATE EXCLUSIVE MODE; COMMIT",
                action.table()
            );
            self.set_lock_timeout(self.options.lock_timeout).await?;
            if let Err(failure) = self.watch(observer, step_id, Wire::Batch(&lock), on_event).await {
                // The failed statement has left its transaction open; if that fails too the session
                // is gone, which the next statement will say.
                let _ = self.session.batch_execute("ROLLBACK").await;
                let lockers = catalog::table_lockers(observer, action.table()).await.unwrap_or_default();
                let blockers = if lockers.is_empty() { failure.blockers } else { lockers };
                return Err(Failure { at_probe: true, blockers, ..failure });
            }
            self.set_lock_timeout(self.options.transaction_timeout).await?;
        } else {
            self.set_lock_timeout(self.options.lock_timeout).await?;
        }
        if operation.is_bounded() {
            self.set_statement_timeout(Some(self.options.lock_timeout)).await?;
        }
        let sent = match statements {
            // The extended protocol takes one statement only, so text within a definition cannot bring
            // another along.
            [sql] => self.watch(observer, step_id, Wire::One(&marked(operation.id(), sql)), on_event).await,
            // Names alone; the simple protocol runs them in one transaction.
            many => {
                let batch: Vec<String> = many.iter().map(|sql| marked(operation.id(), sql)).collect();
                self.watch(observer, step_id, Wire::Batch(&batch.join("; ")), on_event).await
            }
        };
        if operation.is_bounded() {
            // Should this fail, then the session is gone, which the next statement will say.
            let _ = self.set_statement_timeout(None).await;
        }
        sent
    }

    /// `LOCK TABLE` knows tables and views only.
    async fn can_lock(&self, observer: &Client, action: &Action) -> bool {
        let facts = catalog::table_facts(observer, action.table()).await;
        matches!(facts, Ok(Some(facts)) if matches!(facts.relkind, 'r' | 'p'))
    }

    async fn set_lock_timeout(&self, timeout: Duration) -> Result<(), Failure> {
        self.set_timeout("lock_timeout", Some(timeout)).await
    }

    async fn set_statement_timeout(&self, timeout: Option<Duration>) -> Result<(), Failure> {
        self.set_timeout("statement_timeout", timeout).await
    }

    async fn set_timeout(&self, name: &str, timeout: Option<Duration>) -> Result<(), Failure> {
        let milliseconds = timeout.map_or(0, |t| t.as_millis().clamp(1, i32::MAX as u128));
        self.session
            .execute(
                "select /* pgwright:timeout */ pg_catalog.set_config($1, $2, false)",
                &[&name, &format!("{milliseconds}ms")],
            )
            .await
            .map(drop)
            .map_err(|error| Failure::from(&error, false, Vec::new()))
    }

    /// Runs one statement, reports what the session does, and cancels it on request.
    async fn watch(
        &self,
        observer: &Client,
        step_id: i64,
        wire: Wire<'_>,
        on_event: OnEvent<'_>,
    ) -> Result<(), Failure> {
        let cancellation = &self.options.cancellation;
        if cancellation.is_cancelled() {
            return Err(Failure {
                sqlstate: Some(SqlState::QUERY_CANCELED.code().to_owned()),
                message: "cancelled before the statement was sent".into(),
                detail: None,
                hint: None,
                at_probe: false,
                cancelled: true,
                blockers: Vec::new(),
            });
        }
        let began = Instant::now();
        let mut blockers = Vec::new();
        let mut running = pin!(async {
            match wire {
                Wire::One(sql) => self.session.execute(sql, &[]).await.map(drop),
                Wire::Batch(sql) => self.session.batch_execute(sql).await,
            }
        });
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + self.options.poll, self.options.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cancelling = false;
        loop {
            tokio::select! {
                biased;
                result = &mut running => {
                    return result.map_err(|error| Failure::from(&error, cancelling, blockers));
                }
                () = cancellation.cancelled(), if !cancelling => {
                    cancelling = true;
                    // Asked again at every tick: a request that comes between two statements of the
                    // session is lost.
                    let _ = self.session.cancel_token().cancel().await;
                }
                _ = ticks.tick() => {
                    if cancelling {
                        let _ = self.session.cancel_token().cancel().await;
                    }
                    // A look that fails is no reason to stop a build; the journal's next write will
                    // say what is wrong with that session.
                    let look = catalog::worker_activity(observer, self.pid, self.backend_start).await;
                    if let Ok(Some(activity)) = look {
                        if !activity.waiting_for.is_empty() {
                            blockers.clone_from(&activity.waiting_for);
                        }
                        let elapsed = Millis(began.elapsed().as_secs_f64() * 1000.0);
                        on_event(Event::Progress { step_id, elapsed, activity });
                    }
                }
            }
        }
    }

    /// Reads the catalog for what became of a change and removes what is half-done.
    pub async fn settle(
        &mut self,
        observer: &Client,
        step_id: i64,
        operation: &dyn Operation,
        action: &Action,
        on_event: OnEvent<'_>,
    ) -> Settled {
        let mut mended = None;
        let mut tries = 0;
        let mut waited = Duration::ZERO;
        loop {
            let look = async || operation.inspect(observer, action).await;
            let condition = match patiently(observer, action, self.options, look).await {
                Ok(condition) => condition,
                Err(error) => {
                    let why = error.detail().unwrap_or_default();
                    return Settled::Stuck(format!(
                        "What is left of {} is not known, because the catalog could not be read. {why} The \
                         next run of pgwright will look.",
                        action.object()
                    ));
                }
            };
            match condition {
                Condition::NotDone => return Settled::NotDone { removed: mended },
                Condition::Done { made } => return Settled::Done { made, finished: mended },
                Condition::Foreign { found } => {
                    return Settled::Stuck(format!(
                        "Under the name {} stands something else: {found}.",
                        action.object()
                    ));
                }
                // The connection broke, but its server process goes on for a while.
                Condition::Busy { pid } => {
                    if waited >= self.options.cleanup_timeout {
                        return Settled::Stuck(format!("Session {pid} still works on {}.", action.object()));
                    }
                    if pid == self.pid {
                        let _ = cancel_backend(observer, pid).await;
                    }
                    tokio::time::sleep(self.options.poll).await;
                    waited += self.options.poll;
                }
                Condition::HalfDone { mend, found } => {
                    if tries == CLEANUP_TRIES {
                        return Settled::Stuck(format!(
                            "{found} could not be removed yet; the next run of pgwright removes it; so does {mend}."
                        ));
                    }
                    tries += 1;
                    on_event(Event::Mending { step_id, sql: mend.clone() });
                    if self.mend(&mend).await.is_ok() {
                        mended = Some(found);
                    } else if tries < CLEANUP_TRIES {
                        tokio::time::sleep(self.options.pause_after(tries)).await;
                    }
                }
            }
        }
    }

    async fn mend(&mut self, sql: &str) -> Result<(), Error> {
        self.reopen_if_closed().await?;
        let doing = || Error::query("remove what was left behind");
        let timeout = format!("{}ms", self.options.cleanup_timeout.as_millis().clamp(1, i32::MAX as u128));
        self.session
            .execute(
                "select /* pgwright:cleanup_timeout */ pg_catalog.set_config('lock_timeout', $1, false)",
                &[&timeout],
            )
            .await
            .map_err(doing())?;
        self.session.execute(&marked("mend", sql), &[]).await.map(drop).map_err(doing())
    }
}

/// How a statement is sent.
#[derive(Clone, Copy)]
enum Wire<'a> {
    /// Through the extended protocol, which takes one statement.
    One(&'a str),
    /// Through the simple protocol, for pgwright's own text.
    Batch(&'a str),
}

/// Asks the server to cancel what a session does.
pub(crate) async fn cancel_backend(client: &Client, pid: i32) -> Result<(), Error> {
    client
        .query("select /* pgwright:cancel */ pg_catalog.pg_cancel_backend($1)", &[&pid])
        .await
        .map(drop)
        .map_err(Error::query("cancel a session"))
}
