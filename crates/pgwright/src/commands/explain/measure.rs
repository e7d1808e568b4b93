//! What happens while a statement is measured? It is shown how long it has run and what it waits for, and an
//! interrupt ends it on the server as well.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use plan::LockWait;
use postgres::catalog::{BlockerRow, blockers, session_wait};
use postgres::{ExplainOptions, Session, Target};

use crate::commands::Context;
use crate::error::{CommandError, underlined};
use crate::printer::one_line;

/// How often it is asked what the statement waits for.
const PULSE: Duration = Duration::from_secs(1);

/// SQLSTATE of a statement that was canceled.
const STOPPED: &str = "57014";

/// When something is said off a terminal, in seconds; then each time twice as late.
const FIRST_WORD: u64 = 5;

/// About how many planner cost units pass in a millisecond when the data is in memory: `seq_page_cost` of 1 for
/// a page that takes some ten microseconds to look through. Good for an order of magnitude.
const COST_PER_MS: f64 = 100.0;

/// How often it is looked who blocks the statement.
const LOOK: Duration = Duration::from_millis(500);

/// SQLSTATE of a statement that was not granted its lock in time.
const NOT_GRANTED: &str = "55P03";

/// What the server said.
pub(super) struct Measured {
    /// `{"Plan": …}`.
    pub explain: serde_json::Value,
    /// Why it holds estimates alone although it should have been measured.
    pub cut_short: Option<String>,
    /// Who held locks that it waited for.
    pub waits: Vec<LockWait>,
}

/// Explains a statement under watch: a lock may be waited for while it is planned, too. What does not end in time with
/// `analyze` is still planned.
pub(super) async fn run(
    context: &Context,
    target: &Target,
    session: &Session,
    text: &str,
    options: &ExplainOptions,
) -> Result<Measured, CommandError> {
    let options = &ExplainOptions { lock_timeout: context.settings.lock_timeout, ..options.clone() };
    let unmeasured = ExplainOptions { analyze: false, buffers: false, ..options.clone() };
    let mut watch = Watch::begin(context, target, session.backend_pid(), options.statement_timeout);
    let first = if options.analyze { &unmeasured } else { options };
    let (planned, stopped) = watch.over(session, postgres::explain::explain(session, text, first)).await?;
    let planned = match planned {
        Ok(planned) => planned,
        Err(error) => return Err(watch.failed(error, stopped, text)),
    };
    if !options.analyze {
        return Ok(Measured { explain: planned, cut_short: None, waits: watch.end() });
    }
    watch.cost = planned.pointer("/Plan/Total Cost").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let (result, stopped) = watch.over(session, postgres::explain::explain(session, text, options)).await?;
    match result {
        Ok(explain) => Ok(Measured { explain, cut_short: None, waits: watch.end() }),
        Err(postgres::Error::Timeout { sqlstate, .. }) if sqlstate == STOPPED && !stopped => {
            let cut_short = Some(format!(
                "the statement did not end within {} s and was stopped: what is said of its plan rests on estimates; --timeout \
                 gives it longer",
                options.statement_timeout.as_secs_f64()
            ));
            Ok(Measured { explain: planned, cut_short, waits: watch.end() })
        }
        Err(error) => Err(watch.failed(error, stopped, text)),
    }
}

/// Comes back when the user or the system wants an end.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { std::future::pending().await },
        () = terminated => {}
    }
}

/// A server's error about a place of the statement, with the place underlined.
pub(super) fn in_text(error: postgres::Error, text: &str) -> CommandError {
    let postgres::Error::Statement { position, .. } = &error else { return error.into() };
    let place = sql::Place::at_position(text.trim_start(), *position);
    let line = underlined(&place);
    let detail = error.detail();
    let error = CommandError::from(error);
    match detail {
        Some(detail) => error.detail(format!("{detail}\n{line}")),
        None => error.detail(line),
    }
}

/// Who tells what the statement is doing.
struct Watch<'a> {
    context: &'a Context,
    target: &'a Target,
    pid: i32,
    cost: f64,
    limit: Duration,
    began: Instant,
    /// When it was last looked who blocks it.
    looked: Instant,
    next_word: u64,
    bar: ProgressBar,
    /// A session of its own, opened when the statement takes its time.
    other: Option<Session>,
    waits: BTreeMap<i32, LockWait>,
}

impl<'a> Watch<'a> {
    fn begin(context: &'a Context, target: &'a Target, pid: i32, limit: Duration) -> Self {
        let bar = context.printer.spinner("running the statement");
        let began = Instant::now();
        Self {
            context,
            target,
            pid,
            cost: 0.0,
            limit,
            began,
            looked: began,
            next_word: FIRST_WORD,
            bar,
            other: None,
            waits: BTreeMap::new(),
        }
    }

    /// Lets a statement of a session run to its end, and tells whether the user wanted an end before.
    async fn over<T>(
        &mut self,
        session: &Session,
        work: impl Future<Output = Result<T, postgres::Error>>,
    ) -> Result<(Result<T, postgres::Error>, bool), CommandError> {
        let cancel = session.cancel_token();
        tokio::pin!(work);
        let interrupt = interrupted();
        tokio::pin!(interrupt);
        let mut pulse = tokio::time::interval(LOOK);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok((done, stopping)),
                () = &mut interrupt, if !stopping => {
                    stopping = true;
                    self.say("stopping the statement on the server");
                    cancel.cancel().await?;
                }
                _ = pulse.tick() => self.tell().await,
            }
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| self.context.printer.status(text));
    }

    async fn tell(&mut self) {
        let elapsed = self.began.elapsed();
        if elapsed < LOOK {
            return;
        }
        if self.other.is_none() {
            // Behind the same limits as any look at the catalog; without a free slot it goes on unseen.
            self.other = self.context.connect(self.target).await.ok();
        }
        let waits = match &self.other {
            Some(session) => match session_wait(session, session.version_num(), self.pid).await {
                Ok(Some(row)) => {
                    if row.blockers.unwrap_or(0) > 0 {
                        let rows =
                            blockers(session, session.version_num(), self.pid).await.unwrap_or_default();
                        let since = self.looked.elapsed();
                        self.blocked_by(&rows, since);
                    }
                    waiting(&row, &self.waits)
                }
                _ => String::new(),
            },
            None => String::new(),
        };
        self.looked = Instant::now();
        if elapsed < PULSE {
            return;
        }
        let estimate = self.cost / COST_PER_MS / 1000.0;
        let expected = if estimate >= 1.0 {
            format!(", planner cost {:.0} (some {:.0} s when cached)", self.cost, estimate)
        } else {
            String::new()
        };
        let text = format!(
            "running for {} s of at most {} s{expected}{waits}",
            elapsed.as_secs(),
            self.limit.as_secs()
        );
        self.bar.set_message(text.clone());
        if self.bar.is_hidden() && elapsed.as_secs() >= self.next_word {
            self.next_word *= 2;
            self.context.printer.status(&text);
        }
    }

    /// Counts the time since the last look as waited for those who block now.
    fn blocked_by(&mut self, rows: &[BlockerRow], since: Duration) {
        for row in rows {
            let wait = self.waits.entry(row.pid).or_default();
            (wait.blocker, wait.doing) = told(row);
            wait.ms += since.as_secs_f64() * 1000.0;
        }
    }

    /// The error, with who held the lock that was not granted.
    fn failed(self, error: postgres::Error, stopped: bool, text: &str) -> CommandError {
        let waits = self.end();
        match &error {
            postgres::Error::Timeout { .. } if stopped => {
                CommandError::new("measuring was interrupted").detail("The server has stopped the statement.")
            }
            postgres::Error::Timeout { sqlstate, .. } if sqlstate == NOT_GRANTED && !waits.is_empty() => {
                let held: Vec<String> = waits
                    .iter()
                    .map(|wait| format!("The lock is held by {}: {}.", wait.blocker, wait.doing))
                    .collect();
                CommandError::from(error).detail(held.join("\n")).hint(
                    "Try again when that transaction has ended, or wait longer: lock_timeout_ms in pgwright.toml. pg_terminate_backend() ends a \
                     session that forgot its transaction.",
                )
            }
            _ => in_text(error, text),
        }
    }

    fn end(self) -> Vec<LockWait> {
        self.bar.finish_and_clear();
        self.waits.into_values().collect()
    }
}

/// A session that blocks, and what it does.
fn told(row: &BlockerRow) -> (String, String) {
    let application = row.application_name.as_deref().filter(|name| !name.is_empty());
    let who = [application, row.user.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" of ");
    let blocker =
        if who.is_empty() { format!("process {}", row.pid) } else { format!("process {} ({who})", row.pid) };
    let state = row.state.as_deref().unwrap_or("state not visible to this role");
    let since = row
        .xact_start
        .map(|at| format!(", transaction open since {}", at.format("%H:%M:%S UTC")))
        .unwrap_or_default();
    let query =
        row.query.as_deref().map(|q| format!(", last statement: {}", one_line(q, 120))).unwrap_or_default();
    (blocker, format!("{state}{since}{query}"))
}

fn waiting(row: &postgres::catalog::SessionWaitRow, waits: &BTreeMap<i32, LockWait>) -> String {
    let blocked = match (row.blockers.unwrap_or(0), waits.is_empty()) {
        (0, _) => String::new(),
        (number, true) => format!(", blocked by {number} sessions"),
        (_, false) => {
            let all: Vec<&str> = waits.values().map(|w| w.blocker.as_str()).collect();
            format!(", blocked by {}", all.join(", "))
        }
    };
    match (&row.wait_event_type, &row.wait_event) {
        (Some(kind), Some(event)) => format!(", waits for {kind} {event}{blocked}"),
        _ => format!(", computing{blocked}"),
    }
}
