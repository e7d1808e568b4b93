//! Is a rewrite really faster? Both texts run by turns in a transaction that only reads, and medians are compared.
//!
//! By turns, so that what else happens on the machine falls on both; the first run of each warms the cache and
//! does not count. Buffers are the same from run to run, times are not.

use std::time::Duration;

use postgres::explain::ExplainOptions;
use postgres::{Session, SessionOptions};
use serde::Serialize;
use serde_json::Value as Json;

use super::ShownStatement;
use crate::commands::Context;
use crate::error::CommandError;

/// Runs of each text that count.
const RUNS: usize = 5;

/// What was measured of one execution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Median milliseconds of the statement.
    pub before_ms: f64,
    /// Median milliseconds of the rewrite.
    pub after_ms: f64,
    /// Shared buffers that the statement touched.
    pub before_buffers: u64,
    /// Shared buffers that the rewrite touched.
    pub after_buffers: u64,
    /// How often each ran.
    pub runs: usize,
    /// Whether the statement was stopped by the timeout, so that it takes at least as long.
    pub before_timed_out: bool,
}

impl Measured {
    /// Whether the rewrite is faster by more than noise: by the medians and not by more buffers alone.
    pub fn is_faster(&self) -> bool {
        self.after_ms < 0.95 * self.before_ms
    }
}

/// Measures every rewrite that would be recommended; one that is not faster is not recommended any more.
///
/// # Errors
/// Fails when the server cannot be reached, or a statement must not be run.
pub async fn all(
    context: &Context,
    shown: &mut [ShownStatement],
    timeout: Duration,
) -> Result<(), CommandError> {
    let target = context.target()?;
    let options = SessionOptions { statement_timeout: Some(timeout), ..context.planning() };
    let session = target.connect(&options).await?;
    for statement in shown {
        for rewrite in &mut statement.rewrites {
            let Some(execution) = rewrite.rewrite.executions.first() else { continue };
            if let Err(reason) = may_run(&session, &execution.before).await {
                context
                    .printer
                    .status(&format!("note: statement {} is not measured: {reason}", statement.queryid));
                continue;
            }
            let spinner = context.printer.spinner("measuring by turns");
            let measured = measure(&session, &execution.before, &execution.after, timeout).await;
            spinner.finish_and_clear();
            let measured = measured?;
            rewrite.recommended &= measured.is_faster();
            rewrite.measured = Some(measured);
        }
    }
    Ok(())
}

/// What writes or may do more than read is not run.
async fn may_run(session: &Session, sql: &str) -> Result<(), String> {
    let safety = sql::statement_safety(sql).map_err(|e| e.to_string())?;
    if !safety.reads_only {
        return Err(safety.reasons.join(", "));
    }
    let volatile = postgres::catalog::volatile_functions(session, &safety.unknown_functions)
        .await
        .map_err(|e| e.to_string())?;
    if volatile.is_empty() { Ok(()) } else { Err(format!("it calls {}", volatile.join(", "))) }
}

async fn measure(
    session: &Session,
    before: &str,
    after: &str,
    timeout: Duration,
) -> Result<Measured, CommandError> {
    let mut times: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut buffers = [0, 0];
    let mut timed_out = false;
    for run in 0..=RUNS {
        for (side, sql) in [before, after].into_iter().enumerate() {
            if side == 0 && timed_out {
                continue;
            }
            let options =
                ExplainOptions { timing: false, statement_timeout: timeout, ..ExplainOptions::analyze() };
            match postgres::explain::explain(session, sql, &options).await {
                Ok(explain) => {
                    buffers[side] = touched(&explain);
                    // The first run warms the cache.
                    if run > 0 {
                        times[side].push(explain["Execution Time"].as_f64().unwrap_or(0.0));
                    }
                }
                // A statement that takes too long is what is to be mended.
                Err(postgres::Error::Timeout { .. }) if side == 0 => {
                    timed_out = true;
                    times[0] = vec![timeout.as_secs_f64() * 1000.0];
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    let [before_times, after_times] = times;
    Ok(Measured {
        before_ms: median(before_times),
        after_ms: median(after_times),
        before_buffers: buffers[0],
        after_buffers: buffers[1],
        runs: RUNS,
        before_timed_out: timed_out,
    })
}

fn touched(explain: &Json) -> u64 {
    let count = |name: &str| explain["Plan"][name].as_u64().unwrap_or(0);
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
