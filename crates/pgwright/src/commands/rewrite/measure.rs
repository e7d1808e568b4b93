//! Is a rewrite really faster? Both texts run by turns in a transaction that only reads, and medians are compared.
//!
//! By turns, so that what else happens on the machine falls on both; the first run of each warms the cache and
//! does not count. Buffers are the same from run to run, times are not.

use std::time::Duration;

use postgres::explain::ExplainOptions;
use postgres::{Session, SessionOptions, Target};
use serde::Serialize;
use serde_json::Value as Json;

use super::{ShownRewrite, ShownStatement, State};
use crate::commands::Context;
use crate::commands::explain::safety;
use crate::error::CommandError;

/// Runs of each text that count.
const RUNS: usize = 5;

/// What was measured of one execution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Median milliseconds of the statement, planning included.
    pub before_ms: f64,
    /// Median milliseconds of the rewrite.
    pub after_ms: f64,
    /// Shared buffers that the statement touched.
    pub before_buffers: u64,
    /// Shared buffers that the rewrite touched.
    pub after_buffers: u64,
    /// How often each ran.
    pub runs: usize,
    /// In how many of the turns the rewrite was faster.
    pub faster_in: usize,
    /// Whether the statement was stopped by the timeout, so that it takes at least as long.
    pub before_timed_out: bool,
    /// Whether the rewrite was.
    pub after_timed_out: bool,
}

impl Measured {
    /// Whether the rewrite is faster by more than noise: by the medians, and in all turns but one.
    pub fn is_faster(&self) -> bool {
        !self.after_timed_out && self.after_ms < 0.95 * self.before_ms && self.faster_in + 1 >= self.runs
    }
}

/// Measures every rewrite that may be recommended; one that is proved and faster is.
///
/// # Errors
/// Fails when the server cannot be reached, or a statement must not be run.
pub async fn all(
    context: &Context,
    target: &Target,
    shown: &mut [ShownStatement],
    timeout: Duration,
) -> Result<(), CommandError> {
    let options = SessionOptions { statement_timeout: Some(timeout), ..context.planning() };
    let session = target.connect(&options).await?;
    for statement in shown {
        for rewrite in &mut statement.rewrites {
            let Some(execution) = rewrite.rewrite.executions.first() else { continue };
            if !is_worth_running(rewrite) {
                continue;
            }
            if let Some(reason) = refusal(&session, &execution.before, &execution.after).await? {
                let name = match statement.queryid {
                    0 => "the statement".to_owned(),
                    queryid => format!("statement {queryid}"),
                };
                context.printer.status(&format!("note: {name} is not measured: {reason}"));
                break;
            }
            let spinner = context.printer.spinner("measuring by turns");
            let measured = measure(&session, &execution.before, &execution.after, timeout).await;
            spinner.finish_and_clear();
            let measured = measured?;
            rewrite.recommended = matches!(rewrite.state, State::Proved { .. }) && measured.is_faster();
            rewrite.measured = Some(measured);
        }
    }
    Ok(())
}

/// Median milliseconds of one statement, planning included; `None` when a run was stopped by the timeout.
///
/// # Errors
/// Fails when the server cannot be reached or refuses the statement.
pub async fn alone(
    context: &Context,
    target: &Target,
    sql: &str,
    timeout: Duration,
) -> Result<Option<f64>, CommandError> {
    let session =
        target.connect(&SessionOptions { statement_timeout: Some(timeout), ..context.planning() }).await?;
    let options = ExplainOptions { timing: false, statement_timeout: timeout, ..ExplainOptions::analyze() };
    let mut runs = Vec::new();
    // The first run warms the cache.
    for run in 0..=RUNS {
        match postgres::explain::explain(&session, sql, &options).await {
            Ok(explain) if run > 0 => runs.push(spent_ms(&explain)),
            Ok(_) => {}
            Err(postgres::Error::Timeout { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(median(runs.into_iter())))
}

/// Whether it may be recommended: the same rows as far as is known, and cheaper.
fn is_worth_running(rewrite: &ShownRewrite) -> bool {
    matches!(rewrite.state, State::Proved { .. } | State::Tested { .. })
        && rewrite.rewrite.worth != advice::rewriting::Worth::NotCheaper
}

/// Why one of the texts must not be run. What is behind views and functions is looked into as for `explain --analyze`.
async fn refusal(session: &Session, before: &str, after: &str) -> Result<Option<String>, CommandError> {
    for text in [before, after] {
        if let Some(reason) = safety::objection(session, text).await? {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

async fn measure(
    session: &Session,
    before: &str,
    after: &str,
    timeout: Duration,
) -> Result<Measured, CommandError> {
    let mut turns: Vec<[f64; 2]> = Vec::new();
    let mut buffers = [0, 0];
    let mut timed_out = [false, false];
    let options = ExplainOptions { timing: false, statement_timeout: timeout, ..ExplainOptions::analyze() };
    // The first run of each warms the cache.
    for run in 0..=RUNS {
        let mut turn = [timeout.as_secs_f64() * 1000.0; 2];
        for (side, sql) in [before, after].into_iter().enumerate() {
            // What takes too long once is not waited for again: it takes the timeout at least.
            if timed_out[side] {
                continue;
            }
            match postgres::explain::explain(session, sql, &options).await {
                Ok(explain) => {
                    buffers[side] = touched(&explain);
                    turn[side] = spent_ms(&explain);
                }
                Err(postgres::Error::Timeout { .. }) => timed_out[side] = true,
                Err(error) => return Err(error.into()),
            }
        }
        if timed_out[1] {
            turns = vec![turn; RUNS];
            break;
        }
        if run > 0 {
            turns.push(turn);
        }
    }
    Ok(Measured {
        before_ms: median(turns.iter().map(|t| t[0])),
        after_ms: median(turns.iter().map(|t| t[1])),
        before_buffers: buffers[0],
        after_buffers: buffers[1],
        runs: RUNS,
        faster_in: turns.iter().filter(|t| t[1] < t[0]).count(),
        before_timed_out: timed_out[0],
        after_timed_out: timed_out[1],
    })
}

fn spent_ms(explain: &Json) -> f64 {
    let ms = |name: &str| explain[name].as_f64().unwrap_or(0.0);
    ms("Planning Time") + ms("Execution Time")
}

fn touched(explain: &Json) -> u64 {
    let count = |name: &str| explain["Plan"][name].as_u64().unwrap_or(0);
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faster_is_more_than_a_twentieth_in_nearly_every_turn() {
        let sure = Measured {
            before_ms: 10.0,
            after_ms: 5.0,
            before_buffers: 9,
            after_buffers: 3,
            runs: 5,
            faster_in: 4,
            before_timed_out: false,
            after_timed_out: false,
        };
        assert!(sure.is_faster());
        assert!(!Measured { faster_in: 3, ..sure.clone() }.is_faster());
        assert!(!Measured { after_ms: 9.6, faster_in: 5, ..sure.clone() }.is_faster());
        assert!(!Measured { before_ms: 60e3, after_timed_out: true, ..sure }.is_faster());
    }
}
