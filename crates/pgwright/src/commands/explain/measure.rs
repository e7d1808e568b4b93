//! What happens while a statement is measured? It is shown how long it has run and what it waits for, and an
//! interrupt ends it on the server as well.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use postgres::catalog::session_wait;
use postgres::{ExplainOptions, Session, Target};

use crate::commands::Context;
use crate::error::{CommandError, underlined};

/// How often it is asked what the statement waits for.
const PULSE: Duration = Duration::from_secs(1);

/// SQLSTATE of a statement that was canceled.
const STOPPED: &str = "57014";

/// When something is said off a terminal, in seconds; then each time twice as late.
const FIRST_WORD: u64 = 5;

/// About how many planner cost units pass in a millisecond when the data is in memory: `seq_page_cost` of 1 for
/// a page that takes some ten microseconds to look through. Good for an order of magnitude.
const COST_PER_MS: f64 = 100.0;

/// What the server said.
pub(super) struct Measured {
    /// `{"Plan": …}`.
    pub explain: serde_json::Value,
    /// Why it holds estimates alone although it should have been measured.
    pub cut_short: Option<String>,
}

/// Explains a statement; with `analyze` under watch. What does not end in time is still planned.
pub(super) async fn run(
    context: &Context,
    target: &Target,
    session: &Session,
    text: &str,
    options: &ExplainOptions,
) -> Result<Measured, CommandError> {
    if !options.analyze {
        let explain =
            postgres::explain::explain(session, text, options).await.map_err(|e| in_text(e, text))?;
        return Ok(Measured { explain, cut_short: None });
    }
    let unmeasured = ExplainOptions { analyze: false, buffers: false, ..options.clone() };
    let planned =
        postgres::explain::explain(session, text, &unmeasured).await.map_err(|e| in_text(e, text))?;
    let cost = planned.pointer("/Plan/Total Cost").and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let cancel = session.cancel_token();
    let work = postgres::explain::explain(session, text, options);
    tokio::pin!(work);
    let interrupt = interrupted();
    tokio::pin!(interrupt);
    let mut watch = Watch::begin(context, target, session.backend_pid(), cost, options.statement_timeout);
    let mut pulse = tokio::time::interval(PULSE);
    let mut stopping = false;
    let result = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            () = &mut interrupt, if !stopping => {
                stopping = true;
                watch.say("stopping the statement on the server");
                cancel.cancel().await?;
            }
            _ = pulse.tick() => watch.tell().await,
        }
    };
    watch.end();
    match result {
        Ok(explain) => Ok(Measured { explain, cut_short: None }),
        Err(postgres::Error::Timeout { .. }) if stopping => {
            Err(CommandError::new("measuring was interrupted")
                .detail("The server has stopped the statement."))
        }
        Err(postgres::Error::Timeout { sqlstate, .. }) if sqlstate == STOPPED => {
            let cut_short = Some(format!(
                "the statement did not end within {} s and was stopped: what is said of its plan rests on estimates; --timeout \
                 gives it longer",
                options.statement_timeout.as_secs_f64()
            ));
            Ok(Measured { explain: planned, cut_short })
        }
        Err(error) => Err(in_text(error, text)),
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
    next_word: u64,
    bar: ProgressBar,
    /// A session of its own, opened when the statement takes its time.
    other: Option<Session>,
}

impl<'a> Watch<'a> {
    fn begin(context: &'a Context, target: &'a Target, pid: i32, cost: f64, limit: Duration) -> Self {
        let bar = context.printer.spinner("running the statement");
        let began = Instant::now();
        Self { context, target, pid, cost, limit, began, next_word: FIRST_WORD, bar, other: None }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| self.context.printer.status(text));
    }

    async fn tell(&mut self) {
        let elapsed = self.began.elapsed();
        if elapsed < PULSE {
            return;
        }
        if self.other.is_none() {
            // Behind the same limits as any look at the catalog; without a free slot it goes on unseen.
            self.other = self.context.connect(self.target).await.ok();
        }
        let waits = match &self.other {
            Some(session) => match session_wait(session, session.version_num(), self.pid).await {
                Ok(Some(row)) => waiting(&row),
                _ => String::new(),
            },
            None => String::new(),
        };
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

    fn end(self) {
        self.bar.finish_and_clear();
    }
}

fn waiting(row: &postgres::catalog::SessionWaitRow) -> String {
    let blockers = row.blockers.unwrap_or(0);
    let blocked = if blockers > 0 { format!(", blocked by {blockers} sessions") } else { String::new() };
    match (&row.wait_event_type, &row.wait_event) {
        (Some(kind), Some(event)) => format!(", waits for {kind} {event}{blocked}"),
        _ => format!(", computing{blocked}"),
    }
}
