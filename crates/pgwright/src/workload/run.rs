//! How is a workload sent at a fixed rate? One thread keeps time, a fixed number of sessions serve.
//!
//! Source: as wrk2 and HdrHistogram's author describe it. The thread hands over each arrival when it
//! is due. When all sessions are busy it hands over late, but the arrival keeps its time, so the
//! queue needs no memory: what waits is the rest of the schedule. Sleeping is left to the operating
//! system because the timer of the async runtime rounds to a millisecond, more than a good index
//! needs for an answer.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use postgres::tokio_postgres::{self, SimpleQueryMessage};
use postgres::{SearchPath, Session, SessionOptions, Target};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::bind::bind;
use super::error::WorkloadError;
use super::file::{Statement, WorkloadFile};
use super::outcome::{End, Outcome, QUERY_CANCELED, StatementOutcome, rate};
use super::parameter::BoundParameters;
use super::schedule::{Arrival, Arrivals, Schedule, parameter_draw};

/// How a workload is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Arrivals per second.
    pub rate: f64,
    /// How long arrivals are counted.
    pub duration: Duration,
    /// How long it runs before it counts.
    pub warm_up: Duration,
    /// How long it waits for answers after the last arrival. What has none by then is unanswered.
    pub grace: Duration,
    /// Sessions.
    pub clients: usize,
    /// Decides the arrivals and their parameters.
    pub seed: u64,
    /// How arrivals are spread.
    pub arrivals: Arrivals,
    /// `statement_timeout` of the sessions; none leaves the role's own.
    pub statement_timeout: Option<Duration>,
    /// `application_name` of the sessions.
    pub application_name: String,
    /// The time that drawn timestamps are relative to.
    pub now: DateTime<Utc>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 10.0,
            duration: Duration::from_secs(60),
            warm_up: Duration::ZERO,
            grace: Duration::from_secs(10),
            clients: 8,
            seed: 1,
            arrivals: Arrivals::Poisson,
            statement_timeout: None,
            application_name: "pgwright workload".into(),
            now: Utc::now(),
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Since the first arrival, warm-up included.
    pub elapsed: Duration,
    /// The whole run without the grace period.
    pub total: Duration,
    /// Requests that were due so far, warm-up included.
    pub due: u64,
    /// Requests that have ended, in whatever way.
    pub ended: u64,
    /// Those of them that failed or timed out.
    pub failed: u64,
}

/// Sends the workload to the target's database and measures how long its clients wait.
///
/// The same file, options and data give the same requests at the same moments, except that fresh
/// UUIDs are new in each run. `cancel` ends the run early; what is counted by then is returned.
///
/// # Errors
/// [`WorkloadError`] before the first arrival: no session, a parameter without values, options that
/// make no run. Errors after that are counted in the outcome.
pub async fn run(
    target: &Target,
    file: &WorkloadFile,
    options: &Options,
    cancel: CancellationToken,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, WorkloadError> {
    check(options)?;
    let session_options = SessionOptions {
        application_name: options.application_name.clone(),
        statement_timeout: options.statement_timeout,
        search_path: SearchPath::RoleDefault,
        ..SessionOptions::default()
    };
    // Parameters' queries may take longer than a statement is allowed to.
    let unlimited = SessionOptions { statement_timeout: None, ..session_options.clone() };
    let parameters = bind(target, file, &unlimited).await?;
    let mut sessions = Vec::new();
    for _ in 0..options.clients {
        sessions.push(target.connect(&session_options).await.map_err(WorkloadError::connect)?);
    }

    let weights = file.statements.iter().map(|statement| statement.weight);
    let schedule = Schedule::new(options.seed, options.rate, options.arrivals, weights);
    let give_up = CancellationToken::new();
    let shared = Arc::new(Shared {
        target: target.clone(),
        session_options,
        statements: file.statements.clone(),
        parameters,
        seed: options.seed,
        now: options.now,
        warm_up: options.warm_up,
        // A moment to start everything before the first arrival is due.
        start: Instant::now() + Duration::from_millis(20),
        due: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        give_up: give_up.clone(),
    });
    let started_at = Utc::now() + TimeDelta::from_std(options.warm_up).unwrap_or_default();
    let total = options.warm_up + options.duration;

    let (send, receive) = mpsc::channel(options.clients);
    let receive = Arc::new(Mutex::new(receive));
    let clock = {
        let (shared, cancel) = (Arc::clone(&shared), cancel.clone());
        tokio::task::spawn_blocking(move || keep_time(&shared, schedule, total, &send, &cancel))
    };
    let workers: Vec<_> = sessions
        .into_iter()
        .map(|session| tokio::spawn(serve(Arc::clone(&shared), session, Arc::clone(&receive))))
        .collect();

    let mut finish = pin!(futures_util::future::join_all(workers));
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let end_of_grace = tokio::time::Instant::from_std(shared.start + total + options.grace);
    let mut give_up_at = pin!(tokio::time::sleep_until(end_of_grace));
    let finished = loop {
        tokio::select! {
            workers = &mut finish => break workers,
            () = &mut give_up_at, if !give_up.is_cancelled() => give_up.cancel(),
            () = cancel.cancelled(), if !give_up.is_cancelled() => give_up.cancel(),
            _ = tick.tick() => progress(shared.progress(total)),
        }
    };

    let mut tally = Tally::new(&file.statements);
    for worker in finished.into_iter().flatten() {
        tally.merge(&worker);
    }
    // What the clock could not hand over any more.
    if let Ok(left) = clock.await {
        let now = shared.start.elapsed();
        for arrival in left {
            tally.record(&shared, &arrival, now.saturating_sub(arrival.at), &End::Unanswered);
        }
    }
    progress(shared.progress(total));
    Ok(tally.outcome(file, options, started_at, cancel.is_cancelled()))
}

/// Measures how many requests of the workload per second the server answers at most: more arrive than
/// it can answer, in the workload's own mix. A rate above it makes a queue that grows for as long as
/// the run lasts, a rate well below it none.
///
/// Of `options` the rate, the warm-up and the grace period are not used.
///
/// # Errors
/// As [`run`].
pub async fn capacity(
    target: &Target,
    file: &WorkloadFile,
    options: &Options,
    cancel: CancellationToken,
) -> Result<f64, WorkloadError> {
    let flood = Options {
        rate: 20_000.0,
        warm_up: Duration::ZERO,
        grace: Duration::ZERO,
        arrivals: Arrivals::Fixed,
        ..options.clone()
    };
    let outcome = run(target, file, &flood, cancel, &|_| {}).await?;
    Ok(rate(outcome.overall.answered, outcome.elapsed_seconds))
}

fn check(options: &Options) -> Result<(), WorkloadError> {
    let fail = |message: String| Err(WorkloadError::Options(message));
    if !(options.rate.is_finite() && options.rate > 0.0 && options.rate <= 1e6) {
        return fail(format!("rate {} is not between 0 and 1000000 per second", options.rate));
    }
    if options.clients == 0 || options.clients > 10_000 {
        return fail(format!("{} clients cannot run a workload", options.clients));
    }
    if options.duration.is_zero() {
        return fail("a run of no duration measures nothing".into());
    }
    Ok(())
}

struct Shared {
    target: Target,
    session_options: SessionOptions,
    statements: Vec<Statement>,
    parameters: BoundParameters,
    seed: u64,
    now: DateTime<Utc>,
    warm_up: Duration,
    start: Instant,
    due: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    give_up: CancellationToken,
}

impl Shared {
    fn progress(&self, total: Duration) -> Progress {
        Progress {
            elapsed: self.start.elapsed(),
            total,
            due: self.due.load(Ordering::Relaxed),
            ended: self.ended.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// The text of a request; the arrival's number decides its values.
    fn render(&self, arrival: &Arrival) -> String {
        let template = &self.statements[arrival.statement].template;
        let mut draw = parameter_draw(self.seed, arrival.index);
        let now = self.now + TimeDelta::from_std(arrival.at).unwrap_or_default();
        let literals = self.parameters.draw(template.references(), &mut draw, now);
        // `bind` has made sure that every reference has a value.
        template.render(&literals).unwrap_or_default()
    }
}

/// Hands over each arrival when it is due; returns those that were due and could not be handed over.
fn keep_time(
    shared: &Shared,
    schedule: Schedule,
    total: Duration,
    send: &mpsc::Sender<Arrival>,
    cancel: &CancellationToken,
) -> Vec<Arrival> {
    let mut left = Vec::new();
    let mut open = true;
    for arrival in schedule.take_while(|arrival| arrival.at < total) {
        let due = shared.start + arrival.at;
        if open {
            loop {
                let wait = due.saturating_duration_since(Instant::now());
                if wait.is_zero() || cancel.is_cancelled() {
                    break;
                }
                // In slices, to notice a cancellation.
                std::thread::sleep(wait.min(Duration::from_millis(100)));
            }
        }
        // After a cancellation nobody asks any more: what is not due by now never arrives.
        if cancel.is_cancelled() && Instant::now() < due {
            break;
        }
        shared.due.fetch_add(1, Ordering::Relaxed);
        if open && send.blocking_send(arrival).is_err() {
            open = false;
        }
        if !open {
            left.push(arrival);
        }
    }
    left
}

/// What one session has counted.
struct Tally {
    statements: Vec<StatementOutcome>,
    last_end: Duration,
    lag: Duration,
}

impl Tally {
    fn new(statements: &[Statement]) -> Self {
        let statements =
            statements.iter().map(|statement| StatementOutcome::named(&statement.name)).collect();
        Self { statements, last_end: Duration::ZERO, lag: Duration::ZERO }
    }

    fn record(&mut self, shared: &Shared, arrival: &Arrival, latency: Duration, end: &End) {
        shared.ended.fetch_add(1, Ordering::Relaxed);
        if matches!(end, End::Failed { .. } | End::TimedOut { .. }) {
            shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        if arrival.at >= shared.warm_up {
            self.statements[arrival.statement].record(latency, end);
            self.last_end = self.last_end.max(arrival.at + latency - shared.warm_up);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.statements.iter_mut().zip(&other.statements) {
            mine.merge(theirs);
        }
        self.last_end = self.last_end.max(other.last_end);
        self.lag = self.lag.max(other.lag);
    }

    fn outcome(
        self,
        file: &WorkloadFile,
        options: &Options,
        started_at: DateTime<Utc>,
        interrupted: bool,
    ) -> Outcome {
        let mut overall = StatementOutcome::default();
        for statement in &self.statements {
            overall.merge(statement);
        }
        let elapsed = if interrupted { self.last_end } else { self.last_end.max(options.duration) };
        Outcome {
            workload: file.name.clone(),
            description: file.description.clone(),
            started_at,
            rate: options.rate,
            clients: options.clients,
            seed: options.seed,
            seconds: if interrupted { elapsed.min(options.duration) } else { options.duration }.as_secs_f64(),
            elapsed_seconds: elapsed.as_secs_f64(),
            achieved_rate: rate(overall.answered, elapsed.as_secs_f64()),
            interrupted,
            overall,
            statements: self.statements,
            generator_lag_ms: self.lag.as_secs_f64() * 1_000.0,
        }
    }
}

/// Serves arrivals with one session until there are no more.
async fn serve(
    shared: Arc<Shared>,
    session: Session,
    arrivals: Arc<Mutex<mpsc::Receiver<Arrival>>>,
) -> Tally {
    let mut tally = Tally::new(&shared.statements);
    let mut session = Some(session);
    loop {
        let waited_from = shared.start.elapsed();
        let arrival = {
            let mut arrivals = arrivals.lock().await;
            if shared.give_up.is_cancelled() {
                arrivals.close();
            }
            tokio::select! {
                biased;
                arrival = arrivals.recv() => arrival,
                () = shared.give_up.cancelled() => {
                    arrivals.close();
                    arrivals.recv().await
                }
            }
        };
        let Some(arrival) = arrival else { return tally };
        let sent = shared.start.elapsed();
        if waited_from <= arrival.at {
            // This session was free when the request was due.
            tally.lag = tally.lag.max(sent.saturating_sub(arrival.at));
        }
        let end = if shared.give_up.is_cancelled() {
            End::Unanswered
        } else {
            let sql = shared.render(&arrival);
            tokio::select! {
                end = answer(&shared, &mut session, &sql) => end,
                () = shared.give_up.cancelled() => {
                    if let Some(session) = session.take() {
                        // Dropping the session alone would leave the statement running on the server.
                        let _ = session.cancel_token().cancel().await;
                    }
                    End::Unanswered
                }
            }
        };
        let ended = shared.start.elapsed();
        tally.record(&shared, &arrival, ended.saturating_sub(arrival.at), &end);
    }
}

/// Sends one request, first opening the session again if it was lost.
async fn answer(shared: &Shared, session: &mut Option<Session>, sql: &str) -> End {
    let open = loop {
        match session {
            Some(open) if !open.is_closed() => break open,
            _ => match shared.target.connect(&shared.session_options).await {
                Ok(new) => *session = Some(new),
                // The server may be restarting. Requests wait meanwhile, as they would.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            },
        }
    };
    let sent = Instant::now();
    match count_rows(open, sql).await {
        Ok(rows) => End::Answered { rows, service: sent.elapsed() },
        Err(error) => {
            let message = error.as_db_error().map_or_else(|| error.to_string(), |db| db.message().to_owned());
            let sqlstate = error.code().map_or("connection", |code| code.code()).to_owned();
            if !open.is_closed() {
                // A statement text with a BEGIN of its own must not spoil the next one.
                let _ = open.simple_query("ROLLBACK /* pgwright:workload */").await;
            }
            if sqlstate == QUERY_CANCELED {
                End::TimedOut { message }
            } else {
                End::Failed { sqlstate, message }
            }
        }
    }
}

/// Runs a text by the simple protocol and reads the whole answer without keeping it.
async fn count_rows(session: &Session, sql: &str) -> Result<u64, tokio_postgres::Error> {
    let mut messages = pin!(session.simple_query_raw(sql).await?);
    let mut rows = 0;
    while let Some(message) = messages.try_next().await? {
        if matches!(message, SimpleQueryMessage::Row(_)) {
            rows += 1;
        }
    }
    Ok(rows)
}
